"""Histories of hundreds of trades, told in one line: `trades("WWL" * 70)`."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from tbot_bot.core.instants import Instant, instant, later
from tbot_bot.trading.defense import FloatRead, History, KillEngaged, TradeClosed

TODAY = date(2025, 9, 30)
RESULTS = {"W": Decimal("0.01"), "L": Decimal("-0.01"), "E": Decimal(0)}
"""Won, lost, and even: as narrow as they can be."""
NEW_YORK = ZoneInfo("America/New_York")


def moment(day, minute=0):
    """Return an instant of New York's `day`, `minute` minutes after 10 o'clock."""
    return later(Instant(instant(datetime.combine(day, time(10), tzinfo=NEW_YORK))), minute * 60 * 10**9)


def trade(row, result, day=TODAY, session="", broker="sim", pnl=None):
    return TradeClosed(
        row=row,
        at=moment(day, row % 300),
        day=day,
        trade_id=f"{day:%Y%m%d}-open-{broker}-S{row:05}",
        session=session or f"{day.isoformat()}/open",
        broker=broker,
        pnl=RESULTS[result] if pnl is None else Decimal(pnl),
    )


def trades(results, day=TODAY, first_row=1, per_session=0, broker="sim"):
    """Return a trade for each letter; with `per_session` so many in each of consecutive sessions, a day each."""
    made = []
    for number, result in enumerate(results):
        own = day + timedelta(days=number // per_session) if per_session else day
        made.append(trade(first_row + number, result, own, broker=broker))
    return tuple(made)


def history(*parts, day=TODAY, **fields):
    """Return the history of these trades, readings and engagements."""
    return History(
        day=day,
        brokers=fields.pop("brokers", ("sim",)),
        trades=tuple(part for part in parts if isinstance(part, TradeClosed)),
        floats=tuple(part for part in parts if isinstance(part, FloatRead)),
        kills=tuple(part for part in parts if isinstance(part, KillEngaged)),
        **fields,
    )


def read(row, equity, broker="sim", **changes):
    return FloatRead(row=row, broker=broker, equity=Decimal(equity), **changes)


def kill(row, day=TODAY):
    return KillEngaged(row=row, day=day)
