"""The small protocols behind which everything outside stands."""

from collections.abc import AsyncIterator
from typing import Protocol

from tbot_bot.core.events import OrderEvent
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.orders import Account, BrokerOrder, Capabilities, Fill, OrderRequest, Position
from tbot_bot.core.screening import Verdict


class Clock(Protocol):
    """Market time: real, compressed or simulated."""

    def now(self) -> Instant:
        """Return the present market time."""
        ...

    async def sleep_until(self, at: Instant) -> None:
        """Return when market time has reached `at`."""
        ...

    def real_seconds(self, span: Duration) -> float:
        """Return how many seconds of a real clock `span` takes."""
        ...


class Screener(Protocol):
    """Judges every symbol for one session; its limits are its own."""

    def screen(self, day: MarketDay, at: Instant) -> tuple[Verdict, ...]:
        """Return the verdict on each symbol of `day` from what was known at `at`, sorted by symbol."""
        ...


class Broker(Protocol):
    """A place where orders go. Every outcome of an order is an event; answers only say that it was asked.

    Requests raise `BrokerUnavailable` when the outcome is unknown, and `BrokerRefused` when the broker
    definitely did not take the request.
    """

    name: str
    capabilities: Capabilities

    async def connect(self) -> None:
        """Authenticate and make the account readable.

        Raises:
            CredentialsRejected: the keys are missing, malformed or refused.
        """
        ...

    async def close(self) -> None:
        """Release the connection; resting orders stay."""
        ...

    async def clock(self) -> Instant | None:
        """Return the broker's time; None where it keeps none of its own (an embedded venue lives by our steps)."""
        ...

    async def account(self) -> Account:
        """Return the account as it is now."""
        ...

    async def positions(self) -> tuple[Position, ...]:
        """Return all positions, ours or not."""
        ...

    async def submit(self, order: OrderRequest) -> None:
        """Hand over `order`, at most once per client order id."""
        ...

    async def cancel(self, client_order_id: str) -> None:
        """Ask for a cancel; the confirmation, or a fill that beat it, is an event."""
        ...

    async def replace(self, order: OrderRequest) -> None:
        """Put `order` in the place of `order.replaces`."""
        ...

    async def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Return the orders that can still fill."""
        ...

    async def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order, in whatever state; None is a definite "not there"."""
        ...

    async def orders_since(self, at: Instant) -> tuple[BrokerOrder, ...]:
        """Return the orders of our making that were submitted at or after `at`, in whatever state, whoever sent them.

        A broker that keeps its lists for a day only tells those of the day.
        """
        ...

    async def fills_since(self, at: Instant) -> tuple[Fill, ...]:
        """Return executions at or after `at`, oldest first."""
        ...

    def events(self) -> AsyncIterator[OrderEvent]:
        """Yield order events, at least once, in order per order."""
        ...

    def drain(self) -> list[OrderEvent]:
        """Return the order events that have come since the last call, without waiting."""
        ...
