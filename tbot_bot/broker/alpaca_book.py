"""What we have told of our orders at Alpaca: from its messages to our events, each told once and in order. Pure.

Three sources speak of the same things: answers to requests, the stream of trade updates (repeated, reordered,
or silent while it is down) and look-ups. The book takes them all and yields only news:

- an execution is known by its order and the order's executed quantity after it. Both the stream and the account
  activities tell these; whether they use the same execution id, no document says. A repeated one is no news.
- the end of an order is held back until all executions that it claims are told, so that no fill comes late because
  messages came out of order. What is missing is in `gaps`, for whoever can look it up.
- what nobody understands is an anomaly, noted and otherwise left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tbot_bot.broker.alpaca_requests import opens
from tbot_bot.broker.alpaca_wire import (
    BUST,
    CANCEL_REJECTED,
    CORRECT,
    EXECUTIONS,
    SILENT_EVENTS,
    WireExecution,
    WireOrder,
    WireUpdate,
    request_of,
)
from tbot_bot.broker.fees import commission_of, regulatory_fees
from tbot_bot.core.events import (
    CancelRejected,
    FillBusted,
    OrderAcknowledged,
    OrderCancelled,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from tbot_bot.core.identity import OrderName
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO, plain
from tbot_bot.core.orders import BrokerOrderStatus, Fill, OrderRequest
from tbot_bot.core.trails import StopTrailed, TrailingTrigger

_NO_REASON: Final = "rejected by Alpaca, which gives no reason"


@dataclass(slots=True, kw_only=True)
class _Page:
    """One order, and what has been told of it."""

    request: OrderRequest
    order: WireOrder | None = None
    """As last told by Alpaca; None while only we know it."""
    acknowledged: bool = False
    ended: bool = False
    fills: dict[str, Fill] = field(default_factory=dict)
    """By execution id."""
    sources: dict[str, set[str]] = field(default_factory=dict)
    """Ids under which Alpaca told an execution, by ours."""
    busted: set[str] = field(default_factory=set)
    reason: str = ""
    held: bool = False
    """Its end is not told yet: another order is being put in its place."""
    by: str = ""
    """The order that has taken its place after a cancel."""
    stands_at: Decimal | None = None
    """Where its trailing stop stands, as told."""

    @property
    def told(self) -> Decimal:
        """Return the quantity whose execution has been told, also where it was undone since."""
        return sum((fill.quantity for fill in self.fills.values()), ZERO)

    @property
    def gap(self) -> bool:
        """Return whether Alpaca has executed more than we could tell."""
        return self.order is not None and self.order.filled > self.told


class AlpacaBook:
    """The orders of one account, as far as they are ours."""

    def __init__(self, broker: str, *, now: Callable[[], Instant], anomaly: Callable[[str], None]) -> None:
        """`now` gives the market time that stamps events."""
        self._broker, self._now, self._anomaly = broker, now, anomaly
        self._pages: dict[str, _Page] = {}
        self._client_ids: dict[str, str] = {}
        """Our ids by Alpaca's, of every order that was ever seen, foreign ones too."""
        self._successors: dict[str, str] = {}

    # --- what we ask --------------------------------------------------------------------------------------------------

    def asked(self, request: OrderRequest) -> None:
        """Remember an order that is about to be sent."""
        page = self._pages.get(request.client_order_id)
        if page is None:
            self._pages[request.client_order_id] = _Page(request=request)
        else:
            page.request = request

    def replacing(self, old: str, new: str) -> None:
        """Remember which order shall take the place of `old`."""
        self._successors[old] = new

    def not_replaced(self, old: str) -> None:
        """Forget what `replacing` remembered."""
        self._successors.pop(old, None)

    def hold(self, client_order_id: str) -> None:
        """Tell no end of the order until `release`: it is being cancelled to make room for another one."""
        page = self._pages.get(client_order_id)
        if page is not None:
            page.held = True

    def release(self, client_order_id: str, by: str = "") -> list[OrderEvent]:
        """Tell what was held back; a cancelled order has been replaced, where `by` has taken its place."""
        page = self._pages.get(client_order_id)
        if page is None:
            return []
        page.held, page.by = False, by
        return self._settled(page)

    def forget(self, client_order_id: str) -> None:
        """Forget an order that Alpaca definitely did not take."""
        page = self._pages.get(client_order_id)
        if page is not None and page.order is None:
            del self._pages[client_order_id]

    # --- what is known ------------------------------------------------------------------------------------------------

    def request(self, client_order_id: str) -> OrderRequest | None:
        """Return what we asked; None where this process did not."""
        page = self._pages.get(client_order_id)
        return None if page is None else page.request

    def broker_order_id(self, client_order_id: str) -> str:
        """Return Alpaca's id of the order, empty where it was never told."""
        page = self._pages.get(client_order_id)
        return "" if page is None or page.order is None else page.order.order_id

    def filled(self, client_order_id: str) -> Decimal:
        """Return how much of the order Alpaca has executed, as far as told."""
        page = self._pages.get(client_order_id)
        return ZERO if page is None or page.order is None else max(page.order.filled, page.told)

    def reason(self, client_order_id: str) -> str:
        """Return why the order has ended, as the stream told; for a refusal, that Alpaca tells none; else empty."""
        page = self._pages.get(client_order_id)
        if page is None or page.order is None:
            return ""
        refused = page.order.status is BrokerOrderStatus.REJECTED
        return page.reason or (_NO_REASON if refused else "")

    def opposite(self, request: OrderRequest) -> dict[str, str]:
        """Return our open entries on the other side of the same instrument: Alpaca's ids by ours."""
        return {
            client_order_id: page.order.order_id
            for client_order_id, page in self._pages.items()
            if page.order is not None
            and page.order.status.open
            and page.order.instrument.symbol == request.instrument.symbol
            and page.order.buys != request.side.buys
            and opens(page.request)
        }

    def client_order_id(self, order_id: str) -> str | None:
        """Return our id of an order of Alpaca's; None where the order was never seen."""
        return self._client_ids.get(order_id)

    def unfinished(self) -> tuple[str, ...]:
        """Return the client ids of the orders at Alpaca whose end has not been told."""
        return tuple(oid for oid, page in self._pages.items() if page.order is not None and not page.ended)

    def gaps(self) -> tuple[WireOrder, ...]:
        """Return the orders whose executions have not all been told."""
        return tuple(page.order for page in self._pages.values() if page.order is not None and page.gap)

    def saw(self, order: WireOrder) -> None:
        """Learn whose order it is, and follow it where it is ours; nothing is told."""
        self._client_ids[order.order_id] = order.client_order_id
        self._page_of(order)

    # --- what Alpaca says ---------------------------------------------------------------------------------------------

    def on_order(self, order: WireOrder, reason: str = "") -> list[OrderEvent]:
        """Take an order as Alpaca knows it now."""
        self._client_ids[order.order_id] = order.client_order_id
        page = self._page_of(order)
        if page is None:
            return []
        if order.anomaly and (page.order is None or page.order.status_text != order.status_text):
            self._anomaly(order.anomaly)
        page.reason = reason or page.reason
        if page.order is None or not _outdated(order, page.order):
            page.order = order
        return self._settled(page)

    def on_execution(self, execution: WireExecution, source: str) -> list[OrderEvent]:
        """Take one execution; `source` names where it was told."""
        client_order_id = self._client_ids.get(execution.order_id)
        page = None if client_order_id is None else self._pages.get(client_order_id)
        if page is None:
            return []
        events = self._executed(page, execution, source)
        return [*events, *self._settled(page)]

    def on_update(self, update: WireUpdate) -> list[OrderEvent]:
        """Take a message of the stream."""
        order, event = update.order, update.event
        self._client_ids[order.order_id] = order.client_order_id
        page = self._page_of(order)
        if page is None:
            return []
        events: list[OrderEvent] = []
        if event in {BUST, CORRECT}:
            events += self._busted(page, update)
        elif event in CANCEL_REJECTED:
            reason = update.reason or event
            events.append(CancelRejected(at=self._now(), client_order_id=order.client_order_id, reason=reason))
        elif event not in EXECUTIONS and event not in SILENT_EVENTS:
            self._anomaly(f"order {order.client_order_id}: unknown event {event!r}")
        if update.execution is not None:
            events += self._executed(page, update.execution, "updates")
        return [*events, *self.on_order(order, update.reason)]

    def fill_of(self, execution: WireExecution, request: OrderRequest) -> Fill:
        """Return `execution` as a fill, with the fees that will be charged for it.

        Alpaca takes no commission; regulatory fees are booked by it at the day's end, and here with the execution.
        """
        kind = request.instrument.asset_class
        value = request.instrument.notional(execution.price, execution.quantity)
        regulatory = regulatory_fees(
            kind, sale=not request.side.buys, quantity=execution.quantity, value=value, at=execution.at
        )
        return Fill(
            execution_id=execution_id(execution),
            client_order_id=request.client_order_id,
            price=execution.price,
            quantity=execution.quantity,
            fees=commission_of("alpaca").of_order(kind, execution.quantity, value) + regulatory,
            transacted_at=execution.at,
        )

    # --- inside -------------------------------------------------------------------------------------------------------

    def _page_of(self, order: WireOrder) -> _Page | None:
        """Return the order's page, a new one where it bears a name of our making; None: it is somebody else's."""
        page = self._pages.get(order.client_order_id)
        if page is None and OrderName.parse(order.client_order_id) is not None:
            page = self._pages[order.client_order_id] = _Page(request=request_of(order, self._broker))
        return page

    def _executed(self, page: _Page, execution: WireExecution, source: str) -> list[OrderEvent]:
        key, name = execution_id(execution), f"{source} {execution.vendor_id}"
        known = page.sources.get(key, set())
        if name in known or (known and not any(other.startswith(f"{source} ") for other in known)):
            known.add(name)  # repeated, or told by the other source
            return []
        fill = self.fill_of(execution, page.request)
        if known:  # the same source tells two: after a bust the quantity was reached again
            key = f"{key}:{execution.vendor_id}"
            if key in page.fills:
                return []
            self._anomaly(f"order {fill.client_order_id}: two executions end at the same quantity, {key}")
            fill = replace(fill, execution_id=key)
        page.sources[key] = {name}
        page.fills[key] = fill
        events: list[OrderEvent] = self._acknowledged(page, execution.order_id)
        return [*events, OrderFilled(at=self._now(), fill=fill)]

    def _busted(self, page: _Page, update: WireUpdate) -> list[OrderEvent]:
        wanted = update.previous_execution
        key = next((key for key, names in page.sources.items() if wanted and f"updates {wanted}" in names), "")
        key = key or next((key for key, names in page.sources.items() if wanted and _ends(names, wanted)), "")
        if not key:
            self._anomaly(f"order {update.order.client_order_id}: {update.event} of unknown execution {wanted!r}")
            return []
        if key in page.busted:
            return []
        page.busted.add(key)
        page.order = update.order  # with less executed than before
        oid = update.order.client_order_id
        return [FillBusted(at=self._now(), execution_id=key, client_order_id=oid, reason=update.reason or update.event)]

    def _acknowledged(self, page: _Page, order_id: str) -> list[OrderEvent]:
        if page.acknowledged:
            return []
        page.acknowledged = True
        oid = page.request.client_order_id
        return [OrderAcknowledged(at=self._now(), client_order_id=oid, broker_order_id=order_id)]

    def _settled(self, page: _Page) -> list[OrderEvent]:
        """Return the acknowledgement and the end of an order, as far as they can be told now."""
        order = page.order
        if order is None or page.ended:
            return []
        events = self._acknowledged(page, order.order_id) if order.acknowledged else []
        events += self._trailed(page, order)
        if order.status is BrokerOrderStatus.WORKING or page.gap or page.held:
            return events
        page.ended = True
        return [*events, *self._end(order, page)]

    def _trailed(self, page: _Page, order: WireOrder) -> list[OrderEvent]:
        """Tell where a trailing stop stands now and then; what lies behind where it stood is an older word."""
        at, stop = order.stop_price, page.request.stop
        if at is None or not page.acknowledged or not order.status.open or not isinstance(stop, TrailingTrigger):
            return []
        if not replace(stop, price=at).is_news_after(page.stands_at):
            return []
        page.stands_at = at
        return [StopTrailed(at=self._now(), client_order_id=order.client_order_id, price=at)]

    def _end(self, order: WireOrder, page: _Page) -> list[OrderEvent]:
        at, oid, reason = self._now(), order.client_order_id, page.reason
        match order.status:
            case BrokerOrderStatus.CANCELLED if page.by:
                return [OrderReplaced(at=at, client_order_id=oid, by=page.by)]
            case BrokerOrderStatus.REJECTED:
                return [OrderRejected(at=at, client_order_id=oid, reason=reason or _NO_REASON)]
            case BrokerOrderStatus.CANCELLED:
                return [OrderCancelled(at=at, client_order_id=oid, reason=reason)]
            case BrokerOrderStatus.EXPIRED:
                return [OrderExpired(at=at, client_order_id=oid)]
            case BrokerOrderStatus.REPLACED:
                by = self._successors.get(oid) or self._client_ids.get(order.replaced_by, "")
                if by in self._pages:
                    return [OrderReplaced(at=at, client_order_id=oid, by=by)]
                why = f"replaced by {order.replaced_by or 'an order'}, which is not ours"
                return [OrderCancelled(at=at, client_order_id=oid, reason=why)]
            case BrokerOrderStatus.FILLED | BrokerOrderStatus.WORKING:
                return []  # its executions say so


def execution_id(execution: WireExecution) -> str:
    """Return the name of an execution, the same from whichever source: the order, and how much of it was done then."""
    return f"{execution.order_id}:{plain(execution.cumulative)}"


def _ends(names: set[str], vendor_id: str) -> bool:
    return any(name.rpartition(" ")[2] == vendor_id for name in names)


def _outdated(order: WireOrder, known: WireOrder) -> bool:
    """Return whether `order` was told before `known`: an order goes on filling, and does not come back from its end."""
    if order.status.open != known.status.open:
        return order.status.open
    return order.filled < known.filled


__all__ = ["AlpacaBook", "execution_id"]
