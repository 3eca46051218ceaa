"""Orders of others in an account that we trade in: what has changed among them since the session was last told.

The account may be shared. Such orders are journaled, shown and left alone: nothing here, and no command, cancels or
replaces an order that bears no name of ours.
"""

from collections.abc import Collection, Sequence
from typing import Final

from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.foreign_orders import ForeignOrder, ForeignOrdersSeen, ListsForeignOrders
from tbot_bot.core.identity import SessionId
from tbot_bot.core.protocols import Broker
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import JournalReader
from tbot_bot.runtime.shell import SessionShell

_SEEN: Final = f'{{"_":"{ForeignOrdersSeen.__name__}"'


async def foreign_orders_of(broker: Broker) -> tuple[ForeignOrder, ...]:
    """Return the orders of others that rest at `broker`; none where it cannot tell.

    Raises:
        BrokerUnavailable: no answer.
        BrokerProblem: an order of ours among them cannot be read.
    """
    return await broker.foreign_orders() if isinstance(broker, ListsForeignOrders) else ()


class ForeignOrders:
    """What one session knows of them; it is in the engine's state, so that a restart knows it again."""

    def __init__(self, shell: SessionShell, told_today: Collection[str] = ()) -> None:
        """`told_today`: brokers of which a person was told this day by sessions before this one."""
        self._shell, self._told_today = shell, frozenset(told_today)

    def news(self, broker: str, found: Sequence[ForeignOrder]) -> ForeignOrdersSeen | None:
        """Return what has changed at `broker`; None where nothing has."""
        known = {order_id: rests for (name, order_id), rests in self._known().items() if name == broker}
        listed = {one.broker_order_id for one in found}
        new = tuple(one for one in found if not known.get(one.broker_order_id))
        gone = tuple(order_id for order_id, rests in known.items() if rests and order_id not in listed)
        if not new and not gone:
            return None
        first = bool(new) and not known and broker not in self._told_today
        return ForeignOrdersSeen(at=self._shell.at, broker=broker, orders=new, gone=gone, alert=first)

    def _known(self) -> dict[tuple[str, str], bool]:
        return self._shell.engine.state.foreign_orders


def told_today(journal: JournalReader, session: SessionId) -> frozenset[str]:
    """Return the brokers of whose foreign orders a person was told by another session of the day and run.

    Raises:
        JournalError: the journal cannot be read.
    """
    others = [name for name in journal.sessions_of(session.day) if SessionId.parse(name).run == session.run]
    found: set[str] = set()
    for name in others:
        if name == str(session):
            continue
        for row in journal.rows(session=name, kind=Kind.INPUT):
            if not row.payload.startswith(_SEEN):
                continue
            try:
                event = loads(row.payload)
            except CodecError:  # of a newer version: told twice is better than never
                continue
            if isinstance(event, ForeignOrdersSeen) and event.alert:
                found.add(event.broker)
    return frozenset(found)


__all__ = ["ForeignOrders", "foreign_orders_of", "told_today"]
