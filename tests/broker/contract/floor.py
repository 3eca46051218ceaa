"""What the contract needs to know of a broker under test, whatever it is: a venue that can be driven and broken.

To add a broker: write a class with the methods of `Floor` in a module beside this one, and name it in `conftest.py`.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol

from tbot_bot.core.errors import BrokerRefused
from tbot_bot.core.events import (
    CancelRejected,
    OrderEvent,
    OrderFilled,
    OrderRejected,
)
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import OrderRequest, OrderType, Side, StopTrigger
from tbot_bot.core.protocols import Broker

PATIENCE_SECONDS: Final = 15.0
_STEP_SECONDS: Final = 0.02
_NOW: Final = Instant(0)


class Asked(StrEnum):
    """What goes wrong is what was asked for."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    REPLACE = "replace"
    READ = "read"


class Floor(Protocol):
    """A broker's adapter in front of a venue with one liquid share, a hundred thousand dollars and no position."""

    symbol: str
    cannot: frozenset[str]
    """What this venue gives no means for, so that its tests are skipped: `bust`, `foreign`."""

    @property
    def broker(self) -> Broker:
        """Return the adapter that is connected at present."""
        ...

    async def open(self) -> None:
        """Start the venue and connect."""
        ...

    async def close(self) -> None:
        """Stop everything."""
        ...

    async def pass_time(self) -> None:
        """Let the venue trade for some time."""
        ...

    def price(self) -> Decimal:
        """Return about what the share costs now."""
        ...

    def thin(self, *, thin: bool) -> None:
        """Let orders fill in small parts only, or normally again."""
        ...

    def breaks(self, asked: Asked, *, after: bool) -> None:
        """Lose the next answer to such a request: the request takes effect (`after`), or it does not."""
        ...

    def mends(self) -> None:
        """Break nothing more."""
        ...

    def disorder(self) -> None:
        """Tell news twice and in another order from now on."""
        ...

    async def reborn(self) -> Broker:
        """Let the process die and another one connect to the same account; `broker` is the new one."""
        ...

    def venue_orders(self) -> list[str]:
        """Return the client order ids that the venue itself knows, in order of arrival."""
        ...

    def venue_filled(self, client_order_id: str) -> Decimal:
        """Return how much of an order the venue itself has executed."""
        ...

    def venue_stop(self, client_order_id: str) -> Decimal:
        """Return where the venue's stop of an order stands."""
        ...

    async def buys_by_hand(self, quantity: Decimal, *, resting: bool) -> str:
        """Let somebody else buy in the same account, or place a limit order that rests; return its client order id."""
        ...

    def busts(self, execution_id: str) -> None:
        """Let the venue undo an execution."""
        ...


@dataclass
class Trader:
    """Asks a floor's broker and hears its news, as the runner does."""

    floor: Floor
    heard: list[OrderEvent] = field(default_factory=list)

    @property
    def broker(self) -> Broker:
        return self.floor.broker

    def name(self, leg: str, symbol: str = "") -> str:
        """Return a client order id of our making."""
        return f"20250902-open-{self.broker.name}-{symbol or self.floor.symbol}-{leg}"

    def order(
        self,
        leg: str = "entry1",
        side: Side = Side.BUY,
        quantity: str = "10",
        *,
        limit: str = "",
        stop: str = "",
        replaces: str | None = None,
    ) -> OrderRequest:
        """Return an order; `limit` and `stop` are factors of the present price."""
        share = equity(self.floor.symbol, fractional=self.broker.capabilities.fractional)
        kind = OrderType.LIMIT if limit else OrderType.STOP if stop else OrderType.MARKET
        at = share.round_price(self.floor.price() * Decimal(limit or stop or "1"))
        trigger = StopTrigger(symbol=share.symbol, price=at, rising=side.buys) if stop else None
        return OrderRequest(
            client_order_id=self.name(leg),
            trade_id=self.name(leg).rpartition("-")[0],
            broker=self.broker.name,
            instrument=share,
            side=side,
            quantity=Decimal(quantity),
            order_type=kind,
            limit_price=at if limit else None,
            stop=trigger,
            replaces=None if replaces is None else self.name(replaces),
        )

    async def submits(self, order: OrderRequest) -> OrderRequest:
        """Submit; a refusal is news, as the hands make it."""
        try:
            await self.broker.submit(order)
        except BrokerRefused as refusal:
            self.heard.append(OrderRejected(at=_NOW, client_order_id=order.client_order_id, reason=str(refusal)))
        return order

    async def replaces(self, order: OrderRequest) -> None:
        """Replace; a refusal is news about both orders."""
        try:
            await self.broker.replace(order)
        except BrokerRefused as refusal:
            old, why = order.replaces or "", str(refusal)
            self.heard.append(CancelRejected(at=_NOW, client_order_id=old, reason=why))
            self.heard.append(OrderRejected(at=_NOW, client_order_id=order.client_order_id, reason=why))

    async def hears(self, leg: str, kind: type[OrderEvent], *, times: int = 1) -> OrderEvent:
        """Return the last event of `kind` about an order, once there were as many."""
        found: list[OrderEvent] = []

        def come() -> bool:
            found[:] = [event for event in self.news(leg) if isinstance(event, kind)]
            return len(found) >= times

        await self.until(come, f"{kind.__name__} of {leg}")
        return found[-1]

    async def until(self, true: Callable[[], bool], what: str) -> None:
        """Listen until `true` says so."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not self._listened(true):
            assert time.monotonic() < end, f"{what} did not come; there were {[type(e).__name__ for e in self.heard]}"
            await asyncio.sleep(_STEP_SECONDS)

    async def filled(self, leg: str, quantity: str) -> None:
        """Let time pass until so much of an order is filled, and told."""
        for _ in range(40):
            await self.floor.pass_time()
            if self.floor.venue_filled(self.name(leg)) >= Decimal(quantity):
                break
        await self.until(lambda: self.told(leg) >= Decimal(quantity), f"{quantity} of {leg}")

    async def quiet(self, seconds: float = 0.3) -> list[OrderEvent]:
        """Return all that was heard, once nothing more comes."""
        await asyncio.sleep(seconds)
        self._listened(lambda: True)
        return self.heard

    def news(self, leg: str) -> list[OrderEvent]:
        """Return what was heard of one order."""
        return [event for event in self.heard if _subject(event) == self.name(leg)]

    def told(self, leg: str) -> Decimal:
        """Return the quantity of an order whose executions were told, each counted once."""
        fills = {e.fill.execution_id: e.fill.quantity for e in self.news(leg) if isinstance(e, OrderFilled)}
        return sum(fills.values(), Decimal(0))

    def _listened(self, true: Callable[[], bool]) -> bool:
        self.heard += self.broker.drain()
        return true()


def kinds(events: Sequence[OrderEvent]) -> list[str]:
    """Return the names of the events without repetitions in a row."""
    found = [type(event).__name__ for event in events]
    return [name for place, name in enumerate(found) if place == 0 or found[place - 1] != name]


def _subject(event: OrderEvent) -> str:
    return event.fill.client_order_id if isinstance(event, OrderFilled) else event.client_order_id


__all__ = ["Asked", "Floor", "Trader", "kinds"]
