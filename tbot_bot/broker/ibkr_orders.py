"""Orders at Interactive Brokers: the listener that feeds the book, and the reading of what the gateway lists.

Events wait here until somebody takes them. The library's own guesses (an order marked cancelled because of an error,
`ValidationError` because of a warning) are told from the gateway's statuses by the log entry that comes with them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

from tbot_bot.broker.ibkr_book import Book, Kept
from tbot_bot.broker.ibkr_contracts import CURRENCY, known_number
from tbot_bot.broker.ibkr_foreign import foreign_order, rests_for_others
from tbot_bot.broker.ibkr_link import GatewayLink
from tbot_bot.broker.ibkr_wire import Meaning, executed, meaning_of, sighting
from tbot_bot.core.errors import BrokerUnavailable, UnknownMessage
from tbot_bot.core.events import AnswerLost, OrderEvent
from tbot_bot.core.foreign_orders import ForeignOrder
from tbot_bot.core.identity import OrderName
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import BrokerOrder

if TYPE_CHECKING:
    from ib_async import IB, CommissionReport, Fill, Trade

_OVERDUE_SECONDS: Final = 0.1
"""Between two looks at what waits for its commission or its reason."""


class DataListener(Protocol):
    """Hears what concerns subscriptions to market data."""

    def messaged(self, number: int, code: int, text: str) -> None:
        """A message about the request `number` was told; -1 concerns the whole connection."""

    def data_lost(self) -> None:
        """Subscriptions are gone."""


class OrderDesk:
    """Hears of orders, keeps the book, and queues the events that follow."""

    def __init__(self, broker: str, account: str, client_id: int, now: Callable[[], Instant]) -> None:
        """`now` stamps events: market time."""
        self.book = Book(broker=broker, now=now, seconds=lambda: asyncio.get_running_loop().time())
        self.link: GatewayLink
        """Set by whoever builds both."""
        self._account, self._client_id = account, client_id
        self._queue: deque[OrderEvent] = deque()
        self._arrived = asyncio.Event()
        self._moved = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._unreadable: dict[str, UnknownMessage] = {}
        self._taken: set[str] = set()
        self._guessing = False
        """While the library notes that a cancel is pending, which the gateway has not said."""
        self.data_listener: DataListener | None = None
        """Who subscribes to market data over the same line."""

    # --- events ------------------------------------------------------------------------------------------------------

    def drain(self) -> list[OrderEvent]:
        """Return the events that wait, each once."""
        waiting = list(self._queue)
        self._queue.clear()
        return waiting

    async def events(self) -> AsyncIterator[OrderEvent]:
        """Yield events as they come, for ever; what `drain` took is not seen here."""
        while True:
            while self._queue:
                yield self._queue.popleft()
            self._arrived.clear()
            await self._arrived.wait()

    def tell(self, events: Iterable[OrderEvent]) -> None:
        """Queue events, and wake whoever waits for an order to change."""
        self._queue.extend(events)
        if self._queue:
            self._arrived.set()
        self._moved.set()
        if self.book.waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_OVERDUE_SECONDS, self._overdue)
        while self.book.revived and self.link.is_up:
            name = self.book.revived.pop()
            self.send_cancel(name, self.book.orders[name])

    def _overdue(self) -> None:
        self._timer = None
        self.tell(self.book.overdue())

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Return whether `holds` came true in time.

        Raises:
            BrokerUnavailable: the line broke meanwhile.
        """
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    _ = self.link.ib
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    # --- what the gateway says unasked -------------------------------------------------------------------------------

    def order_changed(self, trade: "Trade") -> None:
        """Take in a status that the gateway sent; a guess of the library is passed over."""
        if self._guessing or (trade.log and trade.log[-1].errorCode):
            return
        self.tell(self._seen(trade))

    def _seen(self, trade: "Trade") -> list[OrderEvent]:
        name = trade.order.orderRef
        if not name or trade.order.account not in {"", self._account}:
            return []
        try:
            events = self.book.seen(sighting(trade, self.book.broker))
        except UnknownMessage as problem:
            self._unreadable[name] = problem
            followed = self.book.is_followed(name)
            return [AnswerLost(at=self.book.now(), client_order_id=name, reason=str(problem))] if followed else []
        self._unreadable.pop(name, None)
        return events

    def executed(self, fill: "Fill") -> None:
        """Take in an execution that just happened."""
        try:
            self.tell(self._printed(fill, live=True))
        except UnknownMessage as problem:
            name = fill.execution.orderRef
            self._unreadable[name] = problem
            self.tell([AnswerLost(at=self.book.now(), client_order_id=name, reason=str(problem))])

    def _printed(self, fill: "Fill", *, live: bool) -> list[OrderEvent]:
        if not fill.execution.orderRef or fill.execution.acctNumber != self._account:
            return []
        events = self.book.executed(executed(fill.contract, fill.execution), live=live)
        return [*events, *self._charged(fill.commissionReport)]

    def charged(self, report: "CommissionReport") -> None:
        """Take in what an execution cost."""
        self.tell(self._charged(report))

    def _charged(self, report: "CommissionReport") -> list[OrderEvent]:
        fees = known_number(report.commission) if report.execId and report.currency == CURRENCY else None
        return [] if fees is None else self.book.charged(report.execId, fees)

    def messaged(self, number: int, code: int, text: str) -> None:
        """Take in a message about an order; others are about data, or belong to requests that have failed with them."""
        name = self.book.by_number(number, self._client_id)
        if not name:
            if self.data_listener is not None:
                self.data_listener.messaged(number, code, text)
            return
        if meaning_of(code) is Meaning.ID_TAKEN:
            self._taken.add(name)
        self.tell(self.book.messaged(name, code, text))

    def went_down(self) -> None:
        """Wake those who wait for what will not come."""
        self._moved.set()

    def data_lost(self) -> None:
        """Have subscriptions made again."""
        if self.data_listener is not None:
            self.data_listener.data_lost()

    # --- what is asked of the gateway --------------------------------------------------------------------------------

    async def synchronise(self) -> None:
        """Read orders and executions; tell what changed for orders that somebody follows."""
        await self.refresh(self.link.unread)

    async def refresh(self, ib: "IB | None" = None) -> frozenset[str]:
        """Read what the gateway lists: open and completed orders, the day's executions; return the names found.

        Open orders come first: an order that ends meanwhile is then found twice, and never not at all.

        Raises:
            BrokerUnavailable: no answer; then nothing is known of what was not found.
            UnknownMessage: an execution of ours that cannot be read.
        """
        ask, link = self.link.ask, self.link
        opened = await self._opened(ib)
        ended = await link.ask_alone("completed orders", lambda line: line.reqCompletedOrdersAsync(False), ib=ib)  # noqa: FBT003  the library's own
        fills = await ask("executions", lambda line: line.reqExecutionsAsync(), ib=ib)
        self.take_fills(fills)
        still_open = {trade.order.orderRef for trade in opened}
        trades = [*opened, *(trade for trade in ended if trade.order.orderRef not in still_open)]
        self.tell([event for trade in trades for event in self._seen(trade)])
        listed = frozenset(trade.order.orderRef for trade in trades)
        lost = [name for name, kept in self.book.orders.items() if not kept.over and name not in listed]
        if ib is not None:
            self.tell([event for name in lost for event in self.book.vanished(name)])
        return listed

    async def _opened(self, ib: "IB | None" = None) -> "list[Trade]":
        return await self.link.ask_alone("open orders", lambda line: line.reqAllOpenOrdersAsync(), ib=ib)

    async def foreign(self) -> tuple[ForeignOrder, ...]:
        """Return the orders of the account that rest and bear no name of our making: by hand, or another program's.

        Raises:
            BrokerUnavailable: no answer.
        """
        theirs = [one for one in await self._opened() if one.order.account in {"", self._account}]
        return tuple(foreign_order(one, self.book.broker) for one in theirs if rests_for_others(one))

    async def ours(self) -> tuple[BrokerOrder, ...]:
        """Return the day's orders that bear names of our making, under whatever client id they were placed.

        Raises:
            BrokerUnavailable: no answer.
            UnknownMessage: the gateway says something of one of them that nobody understands.
        """
        await self.refresh()
        names = [name for name in self.book.names if OrderName.parse(name) is not None]
        for name in names:
            self.readable(name)
        return tuple(order for name in names if (order := self.book.order(name)) is not None)

    async def refresh_fills(self) -> None:
        """Read the day's executions.

        Raises:
            BrokerUnavailable: no answer.
            UnknownMessage: an execution of ours that cannot be read.
        """
        self.take_fills(await self.link.ask("executions", lambda line: line.reqExecutionsAsync()))

    def take_fills(self, fills: "Iterable[Fill]") -> None:
        """Take in executions that were asked for."""
        told = [(fill.execution.execId, fill) for fill in fills]
        for _, fill in sorted(told, key=lambda pair: pair[0]):
            self.tell(self._printed(fill, live=False))

    def readable(self, name: str) -> None:
        """Raise what stood in the way of understanding this order.

        Raises:
            UnknownMessage: the gateway said something of it that the table does not know.
        """
        if name in self._unreadable:
            raise self._unreadable[name]

    def send_cancel(self, name: str, kept: Kept) -> None:
        """Ask for the order's cancel; what comes of it is an event.

        Raises:
            BrokerUnavailable: the line is down.
        """
        from ib_async import Order

        kept.cancel_refused, self._guessing = False, True
        try:
            self.link.ib.cancelOrder(Order(orderId=kept.order_id, clientId=kept.client_id, permId=kept.perm_id))
        except ConnectionError as error:
            raise BrokerUnavailable(f"cancel of {name}: {error}") from None
        finally:
            self._guessing = False

    def id_was_taken(self, name: str) -> bool:
        """Return, once, whether the gateway refused the number under which `name` was sent."""
        taken = name in self._taken
        self._taken.discard(name)
        return taken

    def id_is_taken(self, name: str) -> bool:
        """Return the same, as often as asked."""
        return name in self._taken


__all__ = ["DataListener", "OrderDesk"]
