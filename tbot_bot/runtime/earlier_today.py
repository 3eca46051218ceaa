"""What earlier sessions of the same day did, read from the journal."""

from datetime import date
from decimal import Decimal

from tbot_bot.core.commands import TradeApproved, TradeOpened, TradeRecord
from tbot_bot.core.events import EarlierToday
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.session_log import decided_in
from tbot_bot.journal.store import JournalReader


def earlier_today(journal: JournalReader, session: SessionId, at: Instant) -> EarlierToday:
    """Return the symbols traded, the trades still open and the realised results of the day before `session`.

    Only sessions of the same run count: a rehearsal knows nothing of the rehearsals before it.
    """
    traded: dict[str, None] = {}
    opened: set[str] = set()
    realized: dict[str, Decimal] = {}
    for name in journal.sessions_of(session.day):
        other = SessionId.parse(name)
        if other.run != session.run or other == session:
            continue
        for row in journal.rows(session=name, kind=Kind.COMMAND):
            decided = decided_in(row)
            for output in () if decided is None else decided.outputs:
                match output:
                    case TradeApproved():
                        traded[output.symbol] = None
                    case TradeOpened():
                        opened.add(output.trade_id)
                    case TradeRecord():
                        opened.discard(output.trade_id)
                        realized[output.broker] = realized.get(output.broker, ZERO) + output.pnl
                    case _:
                        pass
    return EarlierToday(
        at=at,
        traded=tuple(traded),
        open_trades=len(opened),
        realized=tuple((broker, str(result)) for broker, result in realized.items()),
    )


def next_run(journal: JournalReader, day: date) -> int:
    """Return the first run number of `day` that no session in the journal has."""
    runs = [SessionId.parse(name).run for name in journal.sessions_of(day)]
    return max(runs, default=0) + 1
