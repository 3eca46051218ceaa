"""Orders at Alpaca: placed, cancelled and replaced, each request made once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tbot_bot.broker.alpaca_book import AlpacaBook
from tbot_bot.broker.alpaca_lookup import AlpacaLookup
from tbot_bot.broker.alpaca_market_wire import WireAsset, asset_of
from tbot_bot.broker.alpaca_requests import (
    DUPLICATE,
    WASH_TRADE,
    is_fractional,
    objection,
    opens,
    replacement,
    submission,
)
from tbot_bot.broker.alpaca_rest import AlpacaRest, NotThere
from tbot_bot.broker.alpaca_wire import order_of
from tbot_bot.broker.turns import AlpacaTurns
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable, UnknownMessage
from tbot_bot.core.events import CancelRejected, OrderEvent, OrderRejected
from tbot_bot.core.instants import SECOND, Duration, Instant
from tbot_bot.core.orders import BrokerOrderStatus, Capabilities, OrderRequest, Side
from tbot_bot.core.trails import TrailingTrigger

_SETTLES_SECONDS: Final = 3.0
"""After a lost answer: how long "not there" does not count, since the request may still be on its way."""
_ASSET_SECONDS: Final = 900.0
_STEP_SECONDS: Final = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the adapter needs of the process around it."""

    now: Callable[[], Instant]
    """Market time: it stamps events."""
    monotonic: Callable[[], float]
    """Seconds that nobody sets: for deadlines and pauses."""
    dice: Callable[[], float]
    """From 0 up to 1: spreads reconnects."""
    note: Callable[[str], None]
    """Is told anomalies and troubles, in words without secrets."""
    speed: float = 1.0
    """Market seconds per real one; more in a rehearsal only, whose stand-in counts requests by market minutes."""
    turns: AlpacaTurns | None = None
    """Shared with whoever else asks by the same keys in this process; None: nobody does."""


class AlpacaOrders:
    """What may be asked about orders; the news of what becomes of them goes to `tell`."""

    def __init__(
        self,
        *,
        rest: AlpacaRest,
        book: AlpacaBook,
        lookup: AlpacaLookup,
        around: Surroundings,
        capabilities: Capabilities,
        deadline_seconds: float,
        tell: Callable[[list[OrderEvent]], None],
        look: Callable[[], None],
    ) -> None:
        """`look` asks for a look at the orders soon, in case the stream is silent."""
        self._rest, self._book, self._lookup, self._around = rest, book, lookup, around
        self._capabilities, self._deadline = capabilities, deadline_seconds
        self._tell, self._look = tell, look
        self._doubts: dict[str, float] = {}
        """Until when a lost request may still arrive, by client order id."""
        self._assets: dict[str, tuple[float, WireAsset]] = {}

    async def submit(self, order: OrderRequest) -> None:
        """Hand over `order`; see `core.protocols.Broker`.

        Raises:
            BrokerRefused: not taken, or taken once before ("client_order_id must be unique"): look it up.
            BrokerUnavailable: the outcome is unknown.
        """
        await self._refuse_impossible(order)
        try:
            await self._send(order, "POST", "/orders", submission(order))
        except BrokerRefused as refusal:
            in_the_way = {} if opens(order) else self._book.opposite(order)
            if WASH_TRADE not in str(refusal) or not in_the_way:
                raise
            await self._make_room(in_the_way)
            await self._send(order, "POST", "/orders", submission(order))

    async def _make_room(self, orders: dict[str, str]) -> None:
        """Cancel what is left of entries, so that the order that protects what they bought may rest.

        Alpaca takes no stop beside an open order of the other side, and protection goes before the remainder.
        """
        for client_order_id, order_id in orders.items():
            self._around.note(f"{client_order_id}: the remainder is cancelled, a protective order is refused beside it")
            try:
                await self._rest.order("DELETE", f"/orders/{order_id}", opens=False)
                await self._wait_for_cancel(client_order_id, order_id)
            except BrokerRefused as refusal:  # it has ended by itself, so it is not in the way either
                self._around.note(f"{client_order_id}: {refusal}")

    async def cancel(self, client_order_id: str) -> None:
        """Ask for a cancel; the confirmation, a fill that beat it, or a refusal is an event."""
        try:
            order_id = await self._order_id(client_order_id)
            await self._rest.order("DELETE", f"/orders/{order_id}", opens=False)
        except BrokerRefused as refusal:
            at = self._around.now()
            self._tell([CancelRejected(at=at, client_order_id=client_order_id, reason=str(refusal))])
        self._look()

    async def replace(self, order: OrderRequest) -> None:
        """Put `order` in the place of `order.replaces`.

        Alpaca changes orders over whole shares in place. Over fractions it does not change the quantity, and never the
        type, so the old order is cancelled and, once it is gone, the new one sent; a stop is away for that moment.

        Raises:
            BrokerRefused: nothing was changed.
            BrokerUnavailable: the outcome is unknown.
        """
        old = order.replaces or ""
        await self._refuse_impossible(order)
        order_id, known = await self._order_id(old), self._book.request(old)
        same = known is not None and known.quantity == order.quantity
        other_kind = known is not None and isinstance(known.stop, TrailingTrigger) != isinstance(
            order.stop, TrailingTrigger
        )
        if other_kind or self._book.filled(old):  # whether a change counts what is executed already, no document says
            await self._exchange(order, old, order_id)
            return
        if is_fractional(order) or (known is not None and is_fractional(known)):
            if not same or not await self._changed(order, old, order_id):
                await self._exchange(order, old, order_id)
            return
        self._book.replacing(old, order.client_order_id)
        try:
            await self._send(order, "PATCH", f"/orders/{order_id}", replacement(order, same_quantity=False))
        except BrokerRefused:
            self._book.not_replaced(old)
            raise
        self._look()

    async def _changed(self, order: OrderRequest, old: str, order_id: str) -> bool:
        """Return whether Alpaca changed the prices of an order over fractions in place."""
        self._book.replacing(old, order.client_order_id)
        try:
            await self._send(order, "PATCH", f"/orders/{order_id}", replacement(order, same_quantity=True))
        except BrokerRefused as refusal:
            self._book.not_replaced(old)
            if DUPLICATE in str(refusal):
                raise
            return False
        self._look()
        return True

    async def _exchange(self, order: OrderRequest, old: str, order_id: str) -> None:
        """Cancel the old order, wait until it is gone, and send the new one."""
        self._book.hold(old)
        try:
            await self._rest.order("DELETE", f"/orders/{order_id}", opens=False)
            await self._wait_for_cancel(old, order_id)
        except BaseException:
            self._tell(self._book.release(old))
            raise
        by = ""
        try:
            await self._send(order, "POST", "/orders", submission(order))
            by = order.client_order_id
        except BrokerRefused as refusal:
            if DUPLICATE in str(refusal):
                raise
            at = self._around.now()
            self._tell([OrderRejected(at=at, client_order_id=order.client_order_id, reason=str(refusal))])
        finally:
            self._tell(self._book.release(old, by))

    async def _wait_for_cancel(self, old: str, order_id: str) -> None:
        """Return when an order whose cancel was asked is cancelled.

        Raises:
            BrokerRefused: it has ended otherwise, or is still there when our time is over.
        """
        end = self._around.monotonic() + self._deadline
        while True:
            found = await self._lookup.by_order_id(order_id)
            if found is None:
                raise NotThere(f"order not found: {old}")
            self._tell(self._book.on_order(found))
            if found.status is BrokerOrderStatus.CANCELLED:
                return
            if not found.status.open or self._around.monotonic() > end:
                raise BrokerRefused(f"{old} could not be taken off to make room: it is {found.status}")
            await asyncio.sleep(_STEP_SECONDS)

    async def _send(self, order: OrderRequest, method: str, path: str, body: dict[str, str]) -> None:
        """Send `order` once and take Alpaca's word for what it has made of it."""
        order_id = order.client_order_id
        self._book.asked(order)
        try:
            told = await self._rest.order(method, path, body, opens=opens(order) and method == "POST")
            found = order_of(told)
        except BrokerRefused as refusal:
            if DUPLICATE not in str(refusal):
                self._book.forget(order_id)
            raise
        except (BrokerUnavailable, UnknownMessage) as problem:
            self._doubt(order_id)
            raise BrokerUnavailable(f"{order_id}: {problem}") from None
        except asyncio.CancelledError:
            self._doubt(order_id)
            raise
        if found.client_order_id != order_id or found.quantity != order.quantity:
            asked = f"{order_id}: {order.quantity}"
            self._around.note(f"asked for {asked}, Alpaca speaks of {found.client_order_id}: {found.quantity}")
        self._tell(self._book.on_order(found))

    def _doubt(self, client_order_id: str) -> None:
        self._doubts[client_order_id] = self._around.monotonic() + _SETTLES_SECONDS

    async def _refuse_impossible(self, order: OrderRequest) -> None:
        """Refuse what Alpaca would refuse, and short sales that it would accept at a price nobody has agreed to."""
        why = objection(order, self._capabilities)
        if not why and order.side is Side.SELL_SHORT:
            asset = await self.asset(order.instrument.symbol)
            if not (asset.shortable and asset.easy_to_borrow):
                why = f"{asset.symbol} is not easy to borrow"
        if why:
            raise BrokerRefused(why)

    async def _order_id(self, client_order_id: str) -> str:
        """Return Alpaca's id of an order.

        Raises:
            BrokerRefused: there is no such order.
        """
        known = self._book.broker_order_id(client_order_id)
        if known:
            return known
        found = await self._lookup.by_client_id(client_order_id)
        if found is None:
            raise NotThere(f"order not found: {client_order_id}")
        self._tell(self._book.on_order(found))
        return found.order_id

    def refuse_to_tell_too_early(self, client_order_id: str) -> None:
        """Say nothing about an order that is not there, while its lost request may still arrive.

        Raises:
            BrokerUnavailable: it may.
        """
        left = self._doubts.get(client_order_id, float("-inf")) - self._around.monotonic()
        if left > 0:
            told = f"{client_order_id} is not there yet, but its request may still be on its way"
            raise BrokerUnavailable(told, retry_after=Duration(int(left * SECOND)))
        self._doubts.pop(client_order_id, None)

    async def asset(self, symbol: str) -> WireAsset:
        """Return what may be done with a share, as of at most a quarter of an hour ago.

        Raises:
            BrokerRefused: Alpaca does not know it.
        """
        until, known = self._assets.get(symbol, (float("-inf"), None))
        if known is None or until < self._around.monotonic():
            known = asset_of(await self._rest.look(f"/assets/{symbol}"))
            self._assets[symbol] = (self._around.monotonic() + _ASSET_SECONDS, known)
        return known


__all__ = ["AlpacaOrders", "Surroundings"]
