"""Stops that watch another symbol, for a broker that holds none: kept by this process until the price says so.

A put is protected by its share's price. Where the broker has no such stop, the share's last trade is read every two
seconds, and when it is at the stop's price or beyond, the put is sold at the market, under the stop's own id. So the
venue learns of the stop only then, and a process that dies leaves none behind: the next one is handed it again, since
the venue says "not there". Whoever holds a put this way can lose its premium, and no more.

A stop whose price cannot be read is no protection. It is told as cancelled after half a minute, so that somebody acts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tbot_bot.broker.alpaca_requests import DUPLICATE
from tbot_bot.core.errors import BrokerProblem, BrokerRefused
from tbot_bot.core.events import OrderAcknowledged, OrderCancelled, OrderEvent, OrderRejected, OrderReplaced
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import BrokerOrder, BrokerOrderStatus, OrderRequest, OrderType, StopTrigger

WATCH_SECONDS: Final = 2.0
"""Real time between two readings of the price, all symbols in one request."""
_WATCH_SECONDS_MIN: Final = 0.1
BLIND_SECONDS: Final = 30.0
"""Without a price for so long a stop is taken back."""
HELD_HERE: Final = "held by this process"
"""Stands where a broker's order id would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPrice:
    """The last trade of a share."""

    price: Decimal
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """What a watched stop needs of its broker. Each may raise what the broker protocol raises."""

    prices: Callable[[tuple[str, ...]], Awaitable[Mapping[str, SeenPrice]]]
    send: Callable[[OrderRequest], Awaitable[None]]
    find: Callable[[str], Awaitable[BrokerOrder | None]]
    """Looks an order up, and tells the news of it."""
    tell: Callable[[list[OrderEvent]], None]
    note: Callable[[str], None]
    now: Callable[[], Instant]
    monotonic: Callable[[], float]


@dataclass(slots=True, kw_only=True)
class _Kept:
    order: OrderRequest
    stop: StopTrigger
    since: Instant
    """Trades before it say nothing."""
    heard: float
    """When the share's price was last read, in monotonic seconds."""


def is_watched(order: OrderRequest) -> bool:
    """Return whether `order` is a stop on an option that watches another symbol."""
    option = order.instrument.asset_class is AssetClass.OPTION
    return option and order.stop is not None and order.stop.symbol != order.instrument.symbol


def at_market(order: OrderRequest) -> OrderRequest:
    """Return what is sent when the stop is reached: the same order without its stop."""
    return replace(order, order_type=OrderType.MARKET, stop=None, replaces=None)


def is_reached(stop: StopTrigger, price: Decimal) -> bool:
    """Return whether a trade at `price` wakes `stop`."""
    return price >= stop.price if stop.rising else price <= stop.price


@dataclass(slots=True, kw_only=True)
class WatchedStops:
    """The stops that one broker's adapter keeps; `run` is their life."""

    venue: Venue
    look_seconds: float = WATCH_SECONDS
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _sending: dict[str, OrderRequest] = field(default_factory=dict)
    """Reached, and not yet known to be at the venue."""
    _doubtful: set[str] = field(default_factory=set)
    """Sent once, answer unknown."""
    _ended: dict[str, BrokerOrder] = field(default_factory=dict)
    _stirred: asyncio.Event = field(default_factory=asyncio.Event)

    # --- what is asked ------------------------------------------------------------------------------------------------

    def keep(self, order: OrderRequest) -> None:
        """Take on a stop.

        Raises:
            BrokerRefused: it was taken on before.
        """
        order_id, stop = order.client_order_id, order.stop
        if stop is None or order_id in self._kept or order_id in self._sending or order_id in self._ended:
            raise BrokerRefused(f"{order_id}: {DUPLICATE}")
        now = self.venue.now()
        self._kept[order_id] = _Kept(order=order, stop=stop, since=now, heard=self.venue.monotonic())
        self.venue.tell([OrderAcknowledged(at=now, client_order_id=order_id, broker_order_id=HELD_HERE)])
        self._stirred.set()

    def cancel(self, order_id: str) -> bool:
        """Take a stop off; False: it is not kept here, or has been reached."""
        if order_id not in self._kept:
            return False
        self._end(order_id, BrokerOrderStatus.CANCELLED, "")
        return True

    def replace(self, order: OrderRequest) -> None:
        """Put `order` in the place of `order.replaces`.

        Raises:
            BrokerRefused: the old one is not kept here any more: it was reached.
        """
        old = order.replaces or ""
        if old not in self._kept:
            raise BrokerRefused(f"{old} does not rest any more, so {order.client_order_id} cannot take its place")
        kept = self._kept.pop(old)
        self._ended[old] = _told(kept.order, BrokerOrderStatus.REPLACED, "")
        self.keep(order)
        at = self.venue.now()
        self.venue.tell([OrderReplaced(at=at, client_order_id=old, by=order.client_order_id)])

    # --- what is known ------------------------------------------------------------------------------------------------

    def found(self, order_id: str) -> BrokerOrder | None:
        """Return a stop that is kept here, or was and is over; None: the venue has to be asked."""
        kept = self._kept.get(order_id)
        return self._ended.get(order_id) if kept is None else _told(kept.order, BrokerOrderStatus.WORKING, "")

    def is_on_its_way(self, order_id: str) -> bool:
        """Return whether a stop has been reached, and nobody knows yet that the venue has it."""
        return order_id in self._sending

    def resting(self) -> tuple[BrokerOrder, ...]:
        """Return the stops that are kept, oldest first."""
        return tuple(_told(kept.order, BrokerOrderStatus.WORKING, "") for kept in self._kept.values())

    # --- their life ---------------------------------------------------------------------------------------------------

    async def run(self, speed: float = 1.0) -> None:
        """Look at the prices for as long as something is kept, for ever; `speed` is the market's."""
        pause = max(self.look_seconds / max(speed, 1.0), _WATCH_SECONDS_MIN)
        while True:
            if not self._kept and not self._sending:
                self._stirred.clear()
                await self._stirred.wait()
            await self.look()
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Read the prices once, and sell what has reached its stop."""
        for order in list(self._sending.values()):
            await self._sell(order)
        if not self._kept:
            return
        try:
            seen = await self.venue.prices(tuple(dict.fromkeys(kept.stop.symbol for kept in self._kept.values())))
        except BrokerProblem as problem:
            self.venue.note(f"the prices that stops on puts watch could not be read: {problem}")
            seen = {}
        now = self.venue.monotonic()
        for order_id, kept in list(self._kept.items()):
            price = seen.get(kept.stop.symbol)
            if price is None:
                if now - kept.heard >= BLIND_SECONDS:
                    why = f"no price of {kept.stop.symbol} for {BLIND_SECONDS:.0f} s, which this stop watches"
                    self._end(order_id, BrokerOrderStatus.CANCELLED, why)
                continue
            kept.heard = now
            if price.at < kept.since or not is_reached(kept.stop, price.price):
                continue
            if self._kept.pop(order_id, None) is not None:  # not cancelled or replaced while the price was read
                self._sending[order_id] = kept.order
                await self._sell(kept.order)

    async def _sell(self, order: OrderRequest) -> None:
        """Send a stop that was reached, once: after an unknown answer it is looked up first."""
        order_id = order.client_order_id
        try:
            if order_id not in self._doubtful or await self.venue.find(order_id) is None:
                await self.venue.send(at_market(order))
        except BrokerRefused as refusal:
            if DUPLICATE in str(refusal):
                self._doubtful.add(order_id)
                return
            at = self.venue.now()
            self.venue.tell([OrderRejected(at=at, client_order_id=order_id, reason=str(refusal))])
        except BrokerProblem as problem:
            self._doubtful.add(order_id)
            self.venue.note(f"{order_id}: reached, and not known to be sold: {problem}")
            return
        self._sending.pop(order_id, None)

    def _end(self, order_id: str, status: BrokerOrderStatus, why: str) -> None:
        kept = self._kept.pop(order_id)
        self._ended[order_id] = _told(kept.order, status, why)
        self.venue.tell([OrderCancelled(at=self.venue.now(), client_order_id=order_id, reason=why)])


def _told(order: OrderRequest, status: BrokerOrderStatus, why: str) -> BrokerOrder:
    return BrokerOrder(
        client_order_id=order.client_order_id,
        broker_order_id=HELD_HERE,
        status=status,
        request=order,
        filled_quantity=ZERO,
        reason=why,
    )


__all__ = [
    "BLIND_SECONDS",
    "WATCH_SECONDS",
    "SeenPrice",
    "Venue",
    "WatchedStops",
    "at_market",
    "is_reached",
    "is_watched",
]
