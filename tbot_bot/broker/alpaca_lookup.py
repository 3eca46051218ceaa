"""Asking Alpaca what it knows: orders in whatever state, executions since a time, page by page."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tbot_bot.broker.alpaca_book import AlpacaBook
from tbot_bot.broker.alpaca_rest import AlpacaRest, NotThere
from tbot_bot.broker.alpaca_wire import WireExecution, WireOrder, execution_of, order_of, told_order
from tbot_bot.broker.json_fields import items, words
from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.foreign_orders import ForeignOrder, foreign_of, is_foreign
from tbot_bot.core.identity import OrderName
from tbot_bot.core.instants import DAY, MILLISECOND, Instant, iso, later
from tbot_bot.core.instruments import Instrument

_ORDERS_PAGE: Final = 500
_ACTIVITIES_PAGE: Final = 100
_PAGES_MAX: Final = 200


class AlpacaLookup:
    """Reads what concerns orders; whatever is seen, the book learns which id is whose."""

    def __init__(self, rest: AlpacaRest, book: AlpacaBook, note: Callable[[str], None]) -> None:
        """`note` is told of orders that are not ours and cannot be read."""
        self._rest, self._book, self._note = rest, book, note
        self._foreign: set[str] = set()
        """Alpaca's ids of orders that it does not know any more, or that cannot be read."""
        self._noted: set[str] = set()
        """Ids of orders of others of which was noted that they cannot be read."""

    def is_ours(self, client_order_id: str) -> bool:
        """Return whether the order was asked for by this process, or bears a name of our making."""
        return self._book.request(client_order_id) is not None or OrderName.parse(client_order_id) is not None

    async def by_client_id(self, client_order_id: str) -> WireOrder | None:
        """Return the order; None is a definite "not there"."""
        try:
            told = await self._rest.look("/orders:by_client_order_id", {"client_order_id": client_order_id})
        except NotThere:
            return None
        return order_of(told)

    async def by_order_id(self, order_id: str) -> WireOrder | None:
        """Return the order with Alpaca's own id; None where it does not know it."""
        try:
            return order_of(await self._rest.look(f"/orders/{order_id}"))
        except NotThere:
            return None

    async def foreign(self, broker: str) -> tuple[ForeignOrder, ...]:
        """Return the open orders that bear no name of our making, oldest first; unreadable ones come last."""
        unread: list[Mapping[str, object]] = []
        found = await self.orders("open", unread=unread)
        readable = [foreign_of(told_order(one, None, broker)) for one in found if is_foreign(one.client_order_id)]
        return (*readable, *(_unread(one, broker) for one in unread))

    async def orders(
        self, status: str, since: Instant | None = None, *, unread: list[Mapping[str, object]] | None = None
    ) -> list[WireOrder]:
        """Return the orders that are `open`, or `all`, submitted after `since`, oldest first, whoever made them.

        Those of others that cannot be read are left out, and put into `unread`.
        """
        found: dict[str, WireOrder] = {}
        after = None if since is None else iso(since)
        for _ in range(_PAGES_MAX):
            query = {"status": status, "limit": str(_ORDERS_PAGE), "direction": "asc", "nested": "false"}
            page = items(await self._rest.look("/orders", query | ({"after": after} if after else {})), "orders")
            readable = [order for one in page if (order := self._readable(one, unread)) is not None]
            news = [order for order in readable if order.order_id not in found]
            found |= {order.order_id: order for order in news}
            times = [order.submitted_at for order in readable if order.submitted_at is not None]
            if len(page) < _ORDERS_PAGE or not news or not times:
                break
            after = iso(later(max(times), -MILLISECOND))  # what was submitted in the same instant is asked for again
        for order in found.values():
            self._book.saw(order)
        return list(found.values())

    async def executions(self, since: Instant) -> list[WireExecution]:
        """Return the executions of our orders at or after `since`, oldest first."""
        found: dict[str, WireExecution] = {}
        token = ""
        for _ in range(_PAGES_MAX):
            query = {"after": iso(later(since, -MILLISECOND)), "direction": "asc", "page_size": str(_ACTIVITIES_PAGE)}
            told = await self._rest.look("/account/activities/FILL", query | ({"page_token": token} if token else {}))
            page = items(told, "activities")
            for one in page:
                execution = execution_of(one)
                if execution.at >= since:
                    found[execution.vendor_id] = execution
            if len(page) < _ACTIVITIES_PAGE:
                break
            token = words(page[-1], "id")
        await self._learn(tuple(found.values()), since)
        ours = [one for one in found.values() if self.is_ours(self._book.client_order_id(one.order_id) or "")]
        # partial fills of one instant come in no order of their own
        return sorted(ours, key=lambda one: (one.at, one.order_id, one.cumulative))

    async def _learn(self, executions: Sequence[WireExecution], since: Instant) -> None:
        """Find out whose orders these executions are of."""
        if not self._strangers(executions):
            return
        await self.orders("all", later(since, -DAY))
        for order_id in self._strangers(executions):
            try:
                order = await self.by_order_id(order_id)
            except UnknownMessage as problem:
                self._note(f"order {order_id} cannot be read and is taken for somebody else's: {problem}")
                order = None
            if order is None:
                self._foreign.add(order_id)
            else:
                self._book.saw(order)

    def _strangers(self, executions: Sequence[WireExecution]) -> list[str]:
        unknown = (one.order_id for one in executions if self._book.client_order_id(one.order_id) is None)
        return [order_id for order_id in dict.fromkeys(unknown) if order_id not in self._foreign]

    def _readable(
        self, value: Mapping[str, object], unread: list[Mapping[str, object]] | None = None
    ) -> WireOrder | None:
        """Return the order in `value`; None where it cannot be read and is not ours.

        Raises:
            UnknownMessage: it is ours.
        """
        try:
            return order_of(value)
        except UnknownMessage as problem:
            if self.is_ours(words(value, "client_order_id")):
                raise
            if unread is not None:
                unread.append(value)
            if words(value, "id") not in self._noted:
                self._noted.add(words(value, "id"))
                self._note(f"an order that is not ours cannot be read and is left alone: {problem}")
            return None


def _unread(value: Mapping[str, object], broker: str) -> ForeignOrder:
    """Return what little an order tells that cannot be read, such as one of several legs, which has no symbol."""
    return ForeignOrder(
        broker=broker,
        broker_order_id=words(value, "id"),
        name=words(value, "client_order_id"),
        instrument=Instrument(symbol=words(value, "symbol")),
        buys=words(value, "side").startswith("buy"),
        quantity=None,
        price=None,
    )


__all__ = ["AlpacaLookup"]
