"""The hands of a session: what the engine commands, done through brokers and data sources."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tbot_bot.broker.broker_api import BrokerRouter
from tbot_bot.core.commands import (
    CancelOrder,
    EngageKillSwitch,
    Output,
    RaiseAlert,
    ReadPutQuotes,
    ReadVix,
    ReplaceOrder,
    SubmitOrder,
    WatchSymbols,
)
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable
from tbot_bot.core.events import (
    AnswerLost,
    BarsClosed,
    CancelRejected,
    Event,
    OrderRejected,
    PutQuotesRead,
    VixRead,
)
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import OrderRequest
from tbot_bot.core.protocols import Broker


class MarketAccess(Protocol):
    """What the hands fetch from the market for the engine; None: the answer comes later, as an event."""

    def watch(self, symbols: tuple[str, ...], at: Instant) -> BarsClosed | None:
        """Deliver these symbols from now on; return their history since the bell, where there is any already."""
        ...

    def vix(self, at: Instant) -> VixRead | None:
        """Return the VIX as known at `at`."""
        ...

    def put_quotes(self, request: ReadPutQuotes) -> PutQuotesRead | None:
        """Return the puts on offer."""
        ...


class SessionHands:
    """Performs commands one after another; a broker's answer and its events come back as events."""

    def __init__(
        self,
        *,
        router: BrokerRouter,
        market: MarketAccess,
        now: Callable[[], Instant],
        alert: Callable[[RaiseAlert], None],
        engage: Callable[[str], None],
    ) -> None:
        """`now` gives the market time at which a broker's answer is taken; `engage` latches the kill switch."""
        self._router, self._market, self._now = router, market, now
        self._alert, self._engage = alert, engage

    async def perform(self, output: Output) -> Sequence[Event]:
        """Do what `output` asks, and return what is known of it at once; decisions ask nothing."""
        match output:
            case SubmitOrder():
                return await self._submit(output.order)
            case CancelOrder():
                return await self._cancel(output)
            case ReplaceOrder():
                return await self._replace(output.order)
            case ReadPutQuotes():
                return _known(self._market.put_quotes(output))
            case ReadVix():
                return _known(self._market.vix(output.at))
            case WatchSymbols():
                return _known(self._market.watch(output.symbols, self._now()))
            case RaiseAlert():
                self._alert(output)
                return []
            case EngageKillSwitch():
                self._engage(output.reason)
                return []
            case _:
                return []

    async def _submit(self, order: OrderRequest) -> Sequence[Event]:
        broker = self._router.broker(order.broker)
        return await self._ask(broker, order.client_order_id, lambda: broker.submit(order), _rejected)

    async def _cancel(self, command: CancelOrder) -> Sequence[Event]:
        broker = self._router.broker(command.broker)
        order_id = command.client_order_id
        return await self._ask(broker, order_id, lambda: broker.cancel(order_id), _cancel_rejected)

    async def _replace(self, order: OrderRequest) -> Sequence[Event]:
        broker = self._router.broker(order.broker)

        def refused(at: Instant, order_id: str, reason: str) -> list[Event]:
            old = _cancel_rejected(at, order.replaces or "", reason)
            return [*old, *_rejected(at, order_id, reason)]

        return await self._ask(broker, order.client_order_id, lambda: broker.replace(order), refused)

    async def _ask(
        self,
        broker: Broker,
        order_id: str,
        request: Callable[[], Awaitable[None]],
        refused: Callable[[Instant, str, str], list[Event]],
    ) -> Sequence[Event]:
        try:
            await request()
        except BrokerRefused as error:
            if await _knows(broker, order_id):
                again = f"sent before, to be looked up: {error}"
                return [*broker.drain(), AnswerLost(at=self._now(), client_order_id=order_id, reason=again)]
            return [*broker.drain(), *refused(self._now(), order_id, str(error))]
        except BrokerUnavailable as error:
            return [*broker.drain(), AnswerLost(at=self._now(), client_order_id=order_id, reason=str(error))]
        return broker.drain()


def _known(answer: Event | None) -> list[Event]:
    return [] if answer is None else [answer]


async def _knows(broker: Broker, order_id: str) -> bool:
    """Return whether the order may be at the broker already: then a refusal speaks of the second sending only."""
    try:
        return await broker.order_by_client_id(order_id) is not None
    except BrokerUnavailable:
        return True


def _rejected(at: Instant, order_id: str, reason: str) -> list[Event]:
    return [OrderRejected(at=at, client_order_id=order_id, reason=reason)]


def _cancel_rejected(at: Instant, order_id: str, reason: str) -> list[Event]:
    return [CancelRejected(at=at, client_order_id=order_id, reason=reason)]
