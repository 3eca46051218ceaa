"""What the journal knows of a day's trades, for whoever closes them without an engine."""

from dataclasses import dataclass
from pathlib import Path

from tbot_bot.core.codec import loads
from tbot_bot.core.commands import Decided, ReplaceOrder, SubmitOrder, TradeApproved, TradeRecord
from tbot_bot.core.identity import SessionId
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import open_reader
from tbot_bot.reporting.noted import DeadManReport
from tbot_bot.runtime.flattening_records import UNCLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the journal knows of our trades of this day."""

    trades: frozenset[str] = frozenset()
    """Every trade that was given an order."""
    open: frozenset[str] = frozenset()
    """Approved ones without an end."""
    told: frozenset[str] = frozenset()
    """Those that an earlier run of this path has journaled."""


def known_trades(path: Path, session: SessionId) -> Known:
    """Return what the journal at `path` knows of the trades of the session's day and run.

    Raises:
        JournalError: it cannot be read.
        CodecError: a row cannot be read.
    """
    given: set[str] = set()
    approved: set[str] = set()
    over: set[str] = set()
    told: set[str] = set()
    with open_reader(path) as journal:
        for name in journal.sessions_of(session.day):
            if SessionId.parse(name).run != session.run:
                continue
            for row in journal.rows(session=name):
                if row.kind not in {Kind.COMMAND, Kind.ERROR}:
                    continue
                found = loads(row.payload)
                if isinstance(found, DeadManReport):
                    told |= {trade.trade_id for trade in found.trades if trade.error_code != UNCLOSED}
                for output in found.outputs if isinstance(found, Decided) else ():
                    match output:
                        case SubmitOrder(order=order) | ReplaceOrder(order=order):
                            given.add(order.trade_id)
                        case TradeApproved():
                            approved.add(output.trade_id)
                        case TradeRecord():
                            over.add(output.trade_id)
                        case _:
                            pass
    return Known(trades=frozenset(given), open=frozenset(approved - over), told=frozenset(told))


__all__ = ["Known", "known_trades"]
