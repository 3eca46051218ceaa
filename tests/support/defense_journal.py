"""Journals whose sessions have won and lost by the hundred: `told.session(day, "WWL")`."""

from datetime import date, timedelta
from decimal import Decimal

from tbot_bot.config.settings import load_settings
from tbot_bot.core.commands import Decided, EngageKillSwitch, TradeRecord
from tbot_bot.core.events import AccountsRead
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.orders import Account, Direction
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.engaged import KillSwitchEngaged
from tbot_bot.journal.released import KillSwitchReleased
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.noted import DeadManReport
from tbot_bot.runtime.defense_mode import DefenseRoom, records_of
from tests.support.defense_history import RESULTS, TODAY, moment

BROKER = "alpaca"
PAPER = {"ALPACA_MODE": "paper", "TEST_MODE": "true"}


class Told:
    """One installation's journal, written by hand, and the room in which it is judged."""

    def __init__(self, home, **settings):
        self.home = home
        self.given = {**PAPER, **settings}
        self.settings = load_settings(home, self.given, defaults_if_absent=True)
        self.bot = self.settings.bot
        self.records = records_of(home, self.bot)
        self.journal = Journal.open(self.records.journal, self.records.mode)
        self.alerts = []
        self.room = self.room_with()

    def room_with(self, **settings):
        """Return the room with other settings."""
        bot = load_settings(self.home, {**self.given, **settings}, defaults_if_absent=True).bot
        return DefenseRoom(
            bot=bot,
            records=self.records,
            journal=self.journal,
            control=self.home / "control",
            warn=lambda title, text: self.alerts.append((title, text)),
        )

    def append(self, value, kind, at, session=None):
        name = "" if session is None else str(session)
        return self.journal.append([Entry.of(value, kind=kind, at=at, recorded_at=at, session=name)])

    def session(self, day, results="", *, run=1, strategy=StrategyName.OPEN, equity="", kill=False, **changes):
        """Let a session trade once for each letter; return its id."""
        session = SessionId(day=day, strategy=strategy, run=run)
        at = moment(day)
        if equity:
            worth = Decimal(equity)
            account = Account(broker=BROKER, equity=worth, cash=worth, buying_power=worth, settled_cash=worth)
            self.append(AccountsRead(at=at, accounts=(account,)), Kind.INPUT, at, session)
        records = tuple(record(session, number, result, **changes) for number, result in enumerate(results))
        outputs = (*records, *((EngageKillSwitch(at=at, reason="too much"),) if kill else ()))
        self.append(Decided(number=1, at=at, tape_digest="", outputs=outputs), Kind.COMMAND, at, session)
        return session

    def dead_man(self, session, results):
        """Let the dead-man path close a trade for each letter."""
        trades = tuple(record(session, 500 + number, result) for number, result in enumerate(results))
        at = moment(session.day)
        self.append(DeadManReport(at=at, why="gone", cancelled=(), trades=trades, left=()), Kind.ERROR, at, session)

    def engage(self, day):
        """Let a person pull the kill switch outside a session."""
        at = moment(day, 30)
        self.append(KillSwitchEngaged(at=at, by="a person", why="prices look wrong", source="cli"), Kind.CONTROL, at)

    def release(self, day):
        """Let a person resume after a kill."""
        at = moment(day, 60)
        self.append(KillSwitchReleased(at=at, by="a person", why="seen to", engaged="by x"), Kind.CONTROL, at)

    def days(self, results, per_session, last=TODAY):
        """Let consecutive days, the last of them `last`, trade `per_session` each."""
        count = -(-len(results) // per_session)
        for number in range(count):
            part = results[number * per_session : (number + 1) * per_session]
            self.session(last - timedelta(days=count - 1 - number), part)


def record(session, number, result, **changes):
    """Return one trade's record; `changes` name its fields."""
    fields = {
        "at": moment(session.day, number % 300),
        "entered_at": moment(session.day, -5),
        "trade_id": f"{session.day:%Y%m%d}-{session.strategy}-{BROKER}-S{number:03}-{session.run}",
        "strategy": session.strategy,
        "ticker": f"S{number:03}",
        "underlying": f"S{number:03}",
        "side": Direction.LONG,
        "instrument": f"S{number:03}",
        "size": Decimal(10),
        "entry_price": Decimal(100),
        "exit_price": Decimal(100),
        "pnl": RESULTS[result],
        "fees": Decimal(0),
        "slippage": Decimal(0),
        "exit_reason": "time",
        "broker": BROKER,
        "mode": Mode.PAPER,
        "session_id": str(session),
        "tags": (),
        "error_code": "",
        "signal_to_order_ns": 0,
        "order_to_fill_ns": 0,
    }
    return TradeRecord(**(fields | changes))


def next_session(day: date = TODAY, run: int = 1) -> SessionId:
    """Return the session that is about to begin: the last one of `day`."""
    return SessionId(day=day, strategy=StrategyName.CLOSE, run=run)
