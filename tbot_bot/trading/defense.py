"""When the bot defends itself, and when it may stop to: judged from a typed history, without clock or journal.

The terms, exactly:

trade           one that was entered and is over; what never filled is none, what is still held is none yet
win             a result after fees above zero; a result of exactly zero is a trade, and no win
day             New York's, of the trade's end; the last 30 calendar days are the day of judgement and the 29 before
float now       what the account was worth when last read, with the results booked and the money moved since
starting float  what the account was worth when first read, with the money moved since: transfers lose nothing.
                What comes counts when it has had five trading days to get from the bank to the broker.
                An account that is opened anew, as a rehearsal's is each day, has a new starting float
drawdown        what the float now lacks to the starting float. There is no memory of how deep it was: a float that
                has come back to the limit or above has recovered
reserve         likewise, with the moves alone that have a recorded cause
engagement      of the kill switch, on the day on which it was engaged; 20 trading days are the day of judgement
                (or the last trading day before it) and the 19 before
session         for the way out: one that closed a trade. What closed none says nothing, and is not counted

All rows are of one journal, and a journal has one mode: paper results never judge live trading.
A trigger that a person has overridden looks at what was recorded after that only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tbot_bot.core.calendar import is_trading_day, previous_trading_day
from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO, to_cents

WIN_RATE_MIN: Final = Decimal("0.50")
WIN_RATE_DAYS: Final = 30
WIN_RATE_TRADES: Final = 20
"""Fewer trades tell nothing."""
FLOAT_DRAWDOWN_MAX: Final = Decimal("0.15")
RESERVE_DRAWDOWN_MAX: Final = Decimal("0.10")
KILLS_MAX: Final = 2
KILL_DAYS: Final = 20
ARRIVAL_DAYS: Final = 5
"""Trading days that money may be on its way to a broker; until then nothing is missing there."""
EXIT_WIN_RATE: Final = Decimal("0.55")
EXIT_TRADES: Final = 60
EXIT_SESSIONS: Final = 30
_ROUNDED: Final = Decimal("0.0001")


class Trigger(StrEnum):
    """Why defense mode is entered."""

    WIN_RATE = "win_rate"
    FLOAT_DRAWDOWN = "float_drawdown"
    RESERVE_DRAWDOWN = "reserve_drawdown"
    KILL_SWITCH = "kill_switch"
    SETTING = "forced_by_setting"
    """`DEFENSE_MODE_ACTIVE` is true; while it is, nothing ends defense mode."""
    PERSON = "forced_by_person"


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerFound:
    """One trigger that holds, with its number, the limit that it passed, and both in words."""

    trigger: Trigger
    value: Decimal
    limit: Decimal
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeClosed:
    """One trade that was entered and is over."""

    row: int
    """Number of its row in the journal; so in all that follows."""
    at: Instant
    """Market time of its end."""
    day: date
    trade_id: str
    session: str
    broker: str
    pnl: Decimal
    """Dollars after fees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRead:
    """What a broker's account was worth when a session began."""

    row: int
    broker: str
    equity: Decimal
    opened: bool = False
    """The account was opened anew with this reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveRead:
    """What the reserve was worth."""

    row: int
    balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyMoved:
    """Dollars that came to a broker's account or to the reserve (negative: that left it)."""

    row: int
    name: str
    """Of the broker; empty: the reserve."""
    amount: Decimal
    day: date
    cause: str
    """Who allowed it and why; empty where nothing is on record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillEngaged:
    """The kill switch was engaged."""

    row: int
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that is judged, up to one moment of `day`; the order within each field does not matter."""

    day: date
    brokers: tuple[str, ...] = ()
    """The active ones: what was once lost elsewhere is over."""
    trades: tuple[TradeClosed, ...] = ()
    floats: tuple[FloatRead, ...] = ()
    reserve: tuple[ReserveRead, ...] = ()
    moves: tuple[MoneyMoved, ...] = ()
    kills: tuple[KillEngaged, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """How far the way out of defense mode is, counted from the entry."""

    trades: int = 0
    """Of the last 60."""
    trades_won: int = 0
    sessions: int = 0
    """Of the last 30 that closed a trade."""
    session_trades: int = 0
    session_trades_won: int = 0

    @property
    def met(self) -> str:
        """Return in words which of the two rules is met; empty where neither is."""
        if self.trades == EXIT_TRADES and _above(self.trades_won, self.trades):
            return f"{self.trades_won} of the last {EXIT_TRADES} trades were won, more than {EXIT_WIN_RATE:.0%}"
        if self.sessions == EXIT_SESSIONS and _above(self.session_trades_won, self.session_trades):
            won = f"{self.session_trades_won} of the {self.session_trades} trades"
            return f"{won} in the last {EXIT_SESSIONS} sessions were won, more than {EXIT_WIN_RATE:.0%}"
        return ""


def triggers_of(history: History, disregard: Mapping[Trigger, int]) -> tuple[TriggerFound, ...]:
    """Return the computed triggers that hold; of each, the rows up to the one in `disregard` do not count."""

    def after(trigger: Trigger) -> int:
        return disregard.get(trigger, 0)

    found = [
        _win_rate(history, after(Trigger.WIN_RATE)),
        *(_float_drawdown(history, broker, after(Trigger.FLOAT_DRAWDOWN)) for broker in history.brokers),
        _reserve_drawdown(history, after(Trigger.RESERVE_DRAWDOWN)),
        _kills(history, after(Trigger.KILL_SWITCH)),
    ]
    return tuple(one for one in found if one is not None)


def way_out(history: History, since: int) -> WayOut:
    """Return how the trades came out whose rows are beyond `since`, the row of the entry."""
    trades = _in_order(trade for trade in history.trades if trade.row > since)
    last = trades[-EXIT_TRADES:]
    names = list(dict.fromkeys(trade.session for trade in reversed(trades)))[:EXIT_SESSIONS]
    of_sessions = [trade for trade in trades if trade.session in set(names)]
    return WayOut(
        trades=len(last),
        trades_won=_won(last),
        sessions=len(names),
        session_trades=len(of_sessions),
        session_trades_won=_won(of_sessions),
    )


def _win_rate(history: History, after: int) -> TriggerFound | None:
    first = history.day - timedelta(days=WIN_RATE_DAYS - 1)
    trades = [trade for trade in history.trades if trade.row > after and first <= trade.day <= history.day]
    won = _won(trades)
    if len(trades) < WIN_RATE_TRADES or won >= WIN_RATE_MIN * len(trades):
        return None
    return TriggerFound(
        trigger=Trigger.WIN_RATE,
        value=round(Decimal(won) / len(trades), 4),
        limit=WIN_RATE_MIN,
        text=f"{won} of {len(trades)} trades from {first} to {history.day} were won, less than {WIN_RATE_MIN:.0%}",
    )


def _float_drawdown(history: History, broker: str, after: int) -> TriggerFound | None:
    reads = sorted(
        (read for read in history.floats if read.broker == broker and read.row > after), key=lambda read: read.row
    )
    if not reads:
        return None
    first = next((read for read in reversed(reads) if read.opened), reads[0])
    last = reads[-1]
    arrived = first_of_trading_days(history.day, ARRIVAL_DAYS)
    moves = [move for move in history.moves if move.amount < ZERO or move.day < arrived]
    start = first.equity + _moved(moves, broker, first.row)
    booked = sum((trade.pnl for trade in history.trades if trade.broker == broker and trade.row > last.row), ZERO)
    now = last.equity + _moved(moves, broker, last.row) + booked
    return _drawdown(Trigger.FLOAT_DRAWDOWN, f"the float of {broker}", start, now, FLOAT_DRAWDOWN_MAX)


def _reserve_drawdown(history: History, after: int) -> TriggerFound | None:
    reads = sorted((read for read in history.reserve if read.row > after), key=lambda read: read.row)
    if not reads:
        return None
    caused = [move for move in history.moves if move.cause and move.row < reads[-1].row]
    start = reads[0].balance + _moved(caused, "", reads[0].row)
    what = "without a recorded cause, the reserve"
    return _drawdown(Trigger.RESERVE_DRAWDOWN, what, start, reads[-1].balance, RESERVE_DRAWDOWN_MAX)


def _drawdown(trigger: Trigger, what: str, start: Decimal, now: Decimal, limit: Decimal) -> TriggerFound | None:
    lost = start - now
    if start <= ZERO or lost <= start * limit:
        return None
    share = lost / start
    text = f"{what} has fallen from {to_cents(start)} to {to_cents(now)} USD, by more than {limit:.0%}"
    return TriggerFound(trigger=trigger, value=share.quantize(_ROUNDED), limit=limit, text=text)


def _kills(history: History, after: int) -> TriggerFound | None:
    first = first_of_trading_days(history.day, KILL_DAYS)
    count = sum(1 for kill in history.kills if kill.row > after and first <= kill.day <= history.day)
    if count <= KILLS_MAX:
        return None
    text = f"the kill switch was engaged {count} times from {first} to {history.day}, more than {KILLS_MAX} times"
    return TriggerFound(trigger=Trigger.KILL_SWITCH, value=Decimal(count), limit=Decimal(KILLS_MAX), text=text)


def first_of_trading_days(day: date, count: int) -> date:
    """Return the first of the last `count` trading days, `day` among them where it is one.

    Raises:
        NotATradingDay: the calendar begins later.
    """
    first = day if is_trading_day(day) else previous_trading_day(day)
    for _ in range(count - 1):
        first = previous_trading_day(first)
    return first


def _moved(moves: Iterable[MoneyMoved], name: str, after: int) -> Decimal:
    return sum((move.amount for move in moves if move.name == name and move.row > after), ZERO)


def _in_order(trades: Iterable[TradeClosed]) -> list[TradeClosed]:
    return sorted(trades, key=lambda trade: (trade.at, trade.trade_id))


def _won(trades: Sequence[TradeClosed]) -> int:
    return sum(trade.pnl > ZERO for trade in trades)


def _above(won: int, trades: int) -> bool:
    return won > EXIT_WIN_RATE * trades


__all__ = [
    "FloatRead",
    "History",
    "KillEngaged",
    "MoneyMoved",
    "ReserveRead",
    "TradeClosed",
    "Trigger",
    "TriggerFound",
    "WayOut",
    "first_of_trading_days",
    "triggers_of",
    "way_out",
]
