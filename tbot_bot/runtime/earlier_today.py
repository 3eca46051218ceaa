"""What earlier sessions of the same day did, read from the journal."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from tbot_bot.core.codec import loads
from tbot_bot.core.commands import BrokerHalted, Output, TradeApproved, TradeOpened, TradeRecord
from tbot_bot.core.events import AccountsRead, EarlierToday
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.session_log import decided_in
from tbot_bot.journal.store import JournalReader
from tbot_bot.runtime.session_progress import dead_man_reports


def earlier_today(journal: JournalReader, session: SessionId, at: Instant) -> EarlierToday:
    """Return the symbols traded, the trades still open and the realised results of the day before `session`.

    Only sessions of the same run count: a rehearsal knows nothing of the rehearsals before it.
    """
    traded: dict[str, None] = {}
    opened: set[str] = set()
    realized: dict[str, Decimal] = {}
    halted: dict[str, str] = {}
    first_floats: dict[str, str] = {}
    for name in journal.sessions_of(session.day):
        other = SessionId.parse(name)
        if other.run != session.run or other == session:
            continue
        for broker, equity in _floats_read(journal, name):
            first_floats.setdefault(broker, equity)
        for output in _outputs(journal, other):
            match output:
                case TradeApproved():
                    traded[output.symbol] = None
                case TradeOpened():
                    opened.add(output.trade_id)
                case TradeRecord():
                    opened.discard(output.trade_id)
                    realized[output.broker] = realized.get(output.broker, ZERO) + output.pnl
                case BrokerHalted():
                    halted[output.broker] = output.reason
                case _:
                    pass
    return EarlierToday(
        at=at,
        traded=tuple(traded),
        open_trades=len(opened),
        realized=tuple((broker, str(result)) for broker, result in realized.items()),
        halted=tuple(halted.items()),
        first_floats=tuple(first_floats.items()),
    )


def _floats_read(journal: JournalReader, session: str) -> Iterator[tuple[str, str]]:
    """Return what each account was worth when `session` began."""
    for row in journal.rows(session=session, kind=Kind.INPUT):
        event = loads(row.payload)
        if isinstance(event, AccountsRead):
            yield from ((account.broker, str(account.equity)) for account in event.accounts)
            return  # it is among the first inputs


def _outputs(journal: JournalReader, session: SessionId) -> Iterator[Output]:
    """Yield what `session` decided, then the trades that the dead-man path closed for it."""
    for row in journal.rows(session=str(session), kind=Kind.COMMAND):
        decided = decided_in(row)
        if decided is not None:
            yield from decided.outputs
    for report in dead_man_reports(journal, session):
        yield from (trade for trade in report.trades if trade.error_code != "unclosed")


def next_run(journal: JournalReader, day: date) -> int:
    """Return the first run number of `day` that no session in the journal has."""
    runs = [SessionId.parse(name).run for name in journal.sessions_of(day)]
    return max(runs, default=0) + 1
