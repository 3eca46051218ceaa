"""Interactive Brokers, through IB Gateway or TWS and the client library ib_async.

IB neither checks nor indexes our client order ids, so this adapter does: an id that was sent before is refused, and
`order_by_client_id` looks through open orders, completed orders and executions before it says "not there", and says
so only once the line has been up, and the order unheard of, for `settle_seconds`.

A replacement is a cancel, then a new order under the new id: IB keeps an order's reference through changes, and an
order that is known by another's name could not be looked up after a crash. What fills in between stops it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from tbot_bot.broker.authorization import LiveAuthorization
from tbot_bot.broker.capabilities import CAPABILITIES
from tbot_bot.broker.ibkr_access import ibkr_endpoint
from tbot_bot.broker.ibkr_account import account_of, positions_of
from tbot_bot.broker.ibkr_book import Kept
from tbot_bot.broker.ibkr_foreign import less_foreign
from tbot_bot.broker.ibkr_link import Endpoint, GatewayLink
from tbot_bot.broker.ibkr_lookup import ContractDesk, account_summary
from tbot_bot.broker.ibkr_market import IbkrMarket
from tbot_bot.broker.ibkr_orders import OrderDesk
from tbot_bot.broker.ibkr_wire import Standing, order_of
from tbot_bot.config.error_handler import LogicError
from tbot_bot.config.settings import Settings
from tbot_bot.core.circuit import CircuitReading
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable
from tbot_bot.core.events import CancelRejected, OrderCancelled, OrderEvent, OrderRejected, OrderReplaced
from tbot_bot.core.foreign_orders import ForeignOrder
from tbot_bot.core.instants import SECOND, Instant, instant, later
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Account, BrokerOrder, BrokerOrderStatus, Fill, OrderRequest, OrderType, Position, Side

NAME: Final = "ibkr"
SETTLE_SECONDS: Final = 2.0
"""How long an order may take from our socket to the gateway's lists."""
_ORDERS: Final = "orders"
"""The family of requests that a submission is of; what opens a position is held back while its circuit is open."""
_CLOSING: Final = frozenset({Side.SELL, Side.BUY_TO_COVER})
_NUMBERS_TRIED: Final = 3
"""Order numbers tried where the gateway says that one was used."""
_HALF_SECOND: Final = SECOND // 2
"""The gateway's clock tells whole seconds, cut off: on average it is this much further."""


class IbkrBroker:
    """The broker protocol over one gateway connection and one account."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        now: Callable[[], Instant],
        settle_seconds: float = SETTLE_SECONDS,
        authorization: LiveAuthorization | None = None,
        live: bool = False,
    ) -> None:
        """`now` stamps events: market time. Nothing is opened before `connect`.

        Raises:
            LogicError: a live account without the authorization.
        """
        if live and authorization is None:
            raise LogicError("a live client was asked for without authorization", where="broker ibkr")
        self.name = NAME
        self.capabilities = replace(CAPABILITIES[NAME], live=live)
        self._desk = OrderDesk(NAME, endpoint.account, endpoint.client_id, now)
        self.link = GatewayLink(endpoint, self._desk)
        self._desk.link = self.link
        self.contracts = ContractDesk(self.link)
        self.market = IbkrMarket(self.link, self.contracts, now)
        self._desk.data_listener = self.market
        self._endpoint, self._now, self._settle_seconds = endpoint, now, settle_seconds
        self._lookup = asyncio.Lock()
        self._sent_at: dict[str, float] = {}
        self._room_made: dict[str, str] = {}
        """Orders that were cancelled to make room, by the order that was to take their place."""

    # --- connection and account --------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect to the gateway, and read what it holds.

        Raises:
            BrokerUnavailable: it does not answer; it is tried again behind the scenes.
            CredentialsRejected: it is logged in to another account.
        """
        await self.link.open()

    async def close(self) -> None:
        """Hang up; resting orders stay."""
        await self.link.close()

    def circuits(self) -> tuple[CircuitReading, ...]:
        """Return how each family of requests is, for the watchdog."""
        return self.link.circuits.readings()

    async def clock(self) -> Instant:
        """Return the gateway's time, good to half a second; raises `BrokerUnavailable`."""
        told = await self.link.ask_alone("time", lambda ib: ib.reqCurrentTimeAsync())
        return later(instant(told), _HALF_SECOND)

    async def account(self) -> Account:
        """Return the account as IB values it now, less what resting orders of others may take of its buying power.

        IB's figures are those of the portfolio: orders that only rest are not in them. Raises `BrokerUnavailable`,
        and `UnknownMessage` at an answer without the figures that matter.
        """
        mine = self._endpoint.account
        told = account_of(self.name, await self.link.ask("account", lambda ib: account_summary(ib, mine)))
        return less_foreign(told, await self.foreign_orders())

    async def positions(self) -> tuple[Position, ...]:
        """Return all positions of the account, ours or not; raises `BrokerUnavailable` and `UnknownMessage`."""
        told = await self.link.ask_alone("positions", lambda ib: ib.reqPositionsAsync())
        return positions_of(self.name, self._endpoint.account, told)

    # --- orders ------------------------------------------------------------------------------------------------------

    async def submit(self, order: OrderRequest) -> None:
        """Send `order`, and wait until the gateway says what became of it; both outcomes are events.

        Raises:
            BrokerRefused: its id was sent before, IB knows no such contract, or it would sell more than is held.
            BrokerUnavailable: no word of it in time: look it up.
        """
        self._refuse_known(order.client_order_id)
        self._refuse_openings_to_a_mute_gateway(order)
        await self._refuse_beyond_position(order)
        await self._send(order)
        await self._await_answer(order.client_order_id)

    def _refuse_known(self, name: str) -> None:
        if name in self._desk.book.orders:
            raise BrokerRefused(f"the client order id must be unique: {name} was sent before, look it up")

    def _refuse_openings_to_a_mute_gateway(self, order: OrderRequest) -> None:
        try:
            self.link.circuits.admit(_ORDERS, insist=order.side in _CLOSING)
        except BrokerUnavailable as problem:
            raise BrokerRefused(str(problem)) from None

    async def _refuse_beyond_position(self, order: OrderRequest) -> None:
        """Refuse a sale, or a cover, of more than is held: IB would open a position the other way round.

        The larger of what IB lists and what our executions add up to counts: either may lag behind the other.
        """
        if order.side not in _CLOSING:
            return
        symbol, sign = order.instrument.symbol, -1 if order.side is Side.BUY_TO_COVER else 1
        listed = sum((one.quantity for one in await self.positions() if one.instrument.symbol == symbol), ZERO)
        held = max(sign * listed, sign * self._desk.book.net_quantity(symbol))
        if order.quantity > held:
            raise BrokerRefused(f"{order.client_order_id}: {order.quantity} to {order.side}, {max(held, ZERO)} held")

    async def _send(self, order: OrderRequest) -> None:
        contract = await self.contracts.of(order.instrument)
        watched = 0
        if order.order_type is OrderType.STOP and order.stop and order.stop.symbol != order.instrument.symbol:
            watched = (await self.contracts.of_stock(order.stop.symbol)).conId
        ib, name = self.link.ib, order.client_order_id
        self._refuse_known(name)
        try:
            wanted = order_of(order, account=self._endpoint.account, condition_con_id=watched)
            wanted.orderId = ib.client.getReqId()
            self._desk.book.sent(order, wanted.orderId, self._endpoint.client_id)
            self._sent_at[name] = asyncio.get_running_loop().time()
            ib.placeOrder(contract, wanted)
        except ConnectionError as error:
            raise BrokerUnavailable(f"{name}: {error}") from None

    async def _await_answer(self, name: str) -> Kept:
        """Return the order once the gateway has taken or refused it; a used number is changed for the next."""
        desk = self._desk

        def answered() -> bool:
            return desk.book.orders[name].answered or desk.id_is_taken(name)

        for _ in range(_NUMBERS_TRIED):
            kept = desk.book.orders[name]
            if not await self._learned(answered):
                told = f"no word from IB Gateway in {self._endpoint.deadline_seconds:g} s"
                self.link.circuits.failed(_ORDERS, told)
                raise BrokerUnavailable(f"{name}: {told}")
            self.link.circuits.answered(_ORDERS)
            if not desk.id_was_taken(name):
                return kept
            desk.book.forget(name)
            await self._send(kept.request)
        raise BrokerUnavailable(f"{name}: the gateway says of every order number that it was used")

    async def _learned(self, holds: Callable[[], bool]) -> bool:
        """Return whether `holds` came true in time; what is not told after a while is looked for in the lists."""
        seconds = self._endpoint.deadline_seconds
        if await self._desk.until(holds, seconds / 4):
            return True
        await self._desk.refresh()
        return await self._desk.until(holds, seconds * 3 / 4)

    async def cancel(self, client_order_id: str) -> None:
        """Cancel the order, and wait for the gateway's first word; every outcome is an event.

        An order that another client id placed can only be cancelled there; that is refused, too.

        Raises:
            BrokerUnavailable: no answer.
        """
        kept, problem = await self._cancellable(client_order_id)
        if problem or kept is None:
            self._desk.tell([CancelRejected(at=self._now(), client_order_id=client_order_id, reason=problem)])
            return
        kept.followed = True
        await self._cancel(client_order_id, kept, lambda: kept.over or kept.standing is Standing.CANCEL_PENDING)

    async def _cancellable(self, name: str) -> tuple[Kept | None, str]:
        """Return the order and why it cannot be cancelled; "" where it can."""
        if name not in self._desk.book.orders:
            await self._desk.refresh()
        kept = self._desk.book.orders.get(name)
        if kept is None:
            return None, f"IB has no order {name}"
        if kept.over:
            return kept, f"{name} is {kept.standing} already"
        if kept.client_id != self._endpoint.client_id or kept.order_id <= 0:
            return kept, f"{name} was placed under client id {kept.client_id}: cancel it there, or by hand"
        return kept, ""

    async def _cancel(self, name: str, kept: Kept, holds: Callable[[], bool]) -> None:
        self._desk.send_cancel(name, kept)
        if not await self._learned(lambda: holds() or kept.cancel_refused):
            raise BrokerUnavailable(f"{name}: no word of its cancel from IB Gateway")

    async def replace(self, order: OrderRequest) -> None:
        """Cancel `order.replaces`, and send `order` once it is gone, unless something of it was executed meanwhile.

        Where the new order's answer was lost and it is not there, the same may be asked again.

        Raises:
            BrokerRefused: the new id was sent before, or IB knows no such contract.
            BrokerUnavailable: the outcome of either is unknown.
        """
        desk, old_name = self._desk, order.replaces or ""
        self._refuse_known(order.client_order_id)
        await self.contracts.of(order.instrument)
        if self._room_made.get(order.client_order_id) != old_name:
            old, problem = await self._cancellable(old_name)
            if problem or old is None:
                self._not_replaced(order, problem)
                return
            filled = desk.book.filled_quantity(old_name)
            old.quiet, old.followed = True, True
            try:
                await self._cancel(old_name, old, lambda: old.over)
            finally:
                old.quiet = False
            if old.standing is not Standing.CANCELLED or desk.book.filled_quantity(old_name) != filled:
                if old.standing is Standing.CANCELLED:
                    desk.tell([self._gone(order)])
                self._not_replaced(order, f"{old_name} was executed, or its cancel refused, before it was gone")
                return
            self._room_made[order.client_order_id] = old_name
        await self._succeed(order)

    async def _succeed(self, order: OrderRequest) -> None:
        try:
            await self._send(order)
            kept = await self._await_answer(order.client_order_id)
        except BrokerRefused:
            self._desk.tell([self._gone(order)])
            raise
        self._settle_room(order.client_order_id, there=not kept.refusal)

    def _settle_room(self, name: str, *, there: bool) -> None:
        """Tell what became of the order that made room for `name`, once it is known whether `name` took its place."""
        old = self._room_made.get(name)
        if old is None:
            return
        at = self._now()
        if there:
            del self._room_made[name]
            self._desk.tell([OrderReplaced(at=at, client_order_id=old, by=name)])
        else:
            reason = f"made room for {name}, which is not there"
            self._desk.tell([OrderCancelled(at=at, client_order_id=old, reason=reason)])

    def _gone(self, order: OrderRequest) -> OrderCancelled:
        reason = f"to make room for {order.client_order_id}"
        return OrderCancelled(at=self._now(), client_order_id=order.replaces or "", reason=reason)

    def _not_replaced(self, order: OrderRequest, reason: str) -> None:
        """Tell that the old order is as it is, and that the new one never left."""
        at, old = self._now(), order.replaces or ""
        rejected = OrderRejected(at=at, client_order_id=order.client_order_id, reason=reason)
        self._desk.tell([rejected, CancelRejected(at=at, client_order_id=old, reason=reason)])

    async def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Return the orders that can still fill, oldest first; orders without a reference are others' and left out.

        Raises:
            BrokerUnavailable: no answer.
        """
        listed = await self._desk.refresh()
        found = (self._desk.book.order(name) for name in self._desk.book.orders if name in listed)
        return tuple(order for order in found if order is not None and order.status.open)

    async def foreign_orders(self) -> tuple[ForeignOrder, ...]:
        """Return the resting orders of others, those without a reference included; raises `BrokerUnavailable`."""
        return await self._desk.foreign()

    async def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order, in whatever state; None is a definite "not there", after IB's own delay.

        Raises:
            BrokerUnavailable: no answer: nothing is known.
            UnknownMessage: the gateway says something of it that nobody understands.
        """
        async with self._lookup:
            found = await self._look(client_order_id)
            wait = self._unsettled_seconds(client_order_id)
            if found is None and wait > 0:
                await asyncio.sleep(wait)
                found = await self._look(client_order_id)
            if found is None:
                self._desk.book.forget(client_order_id)
            self._settle_room(
                client_order_id, there=found is not None and found.status is not BrokerOrderStatus.REJECTED
            )
            return found

    async def _look(self, name: str) -> BrokerOrder | None:
        listed = await self._desk.refresh()
        self._desk.readable(name)
        book = self._desk.book
        kept = book.orders.get(name)
        if kept is not None:
            kept.followed = True
            filled = book.filled_quantity(name)
            if name not in listed and not kept.over and filled < kept.request.quantity:
                return self._unlisted(name, kept) if kept.acknowledged or filled else None
        return book.order(name)

    def _unlisted(self, name: str, kept: Kept) -> BrokerOrder | None:
        """Return an order that worked once and is listed nowhere: over, for no resting order is left out."""
        if self._unsettled_seconds(name) > 0:
            return None  # looked for once more
        kept.note = kept.note or "the gateway lists it no longer"
        kept.standing = Standing.CANCELLED
        return self._desk.book.order(name)

    def _unsettled_seconds(self, name: str) -> float:
        """Return how long to wait until "not there" can be believed: since it was sent, or since the line is up."""
        now = asyncio.get_running_loop().time()
        since_sent = now - self._sent_at.get(name, now - self._settle_seconds)
        return self._settle_seconds - min(self.link.up_seconds, since_sent)

    async def orders_since(self, at: Instant) -> tuple[BrokerOrder, ...]:
        """Return the orders of our making, whoever sent them: those of the present day; see `OrderDesk.ours`."""
        del at
        return await self._desk.ours()

    async def fills_since(self, at: Instant) -> tuple[Fill, ...]:
        """Return our executions at or after `at`, oldest first; IB tells those of the present day only.

        Raises:
            BrokerUnavailable: no answer.
            UnknownMessage: an execution that cannot be read.
        """
        await self._desk.refresh_fills()
        return self._desk.book.fills(at)

    def events(self) -> AsyncIterator[OrderEvent]:
        """Yield order events, at least once, in order per order."""
        return self._desk.events()

    def drain(self) -> list[OrderEvent]:
        """Return the order events that have come since the last call, without waiting."""
        return self._desk.drain()


def ibkr_broker(
    settings: Settings,
    *,
    now: Callable[[], Instant],
    authorization: LiveAuthorization | None = None,
    client_id: int | None = None,
) -> IbkrBroker:
    """Return the adapter for the account that the settings name; test mode always takes the paper account.

    `client_id` stands in for the settings' own where a second process looks at the same account.

    Raises:
        ConfigError: the account number is missing, or of the other kind.
        LogicError: a live account without `authorization`.
    """
    endpoint, live = ibkr_endpoint(settings, client_id)
    return IbkrBroker(endpoint, now=now, authorization=authorization, live=live)
