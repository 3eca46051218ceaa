"""What of ours is open at a broker, asked of the broker itself, and the cancelling of what would open more."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tbot_bot.core.identity import OPENING, Leg, OrderName
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO, plain
from tbot_bot.core.orders import BrokerOrder
from tbot_bot.core.protocols import Broker

_EVER: Final = Instant(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTrade:
    """One of our trades that holds something."""

    trade_id: str
    symbol: str
    quantity: Decimal
    """Signed: negative is short."""
    protected: bool
    """A stop of ours rests for it."""

    def __str__(self) -> str:
        """Return it in words."""
        stop = "" if self.protected else ", no stop rests under it"
        return f"{self.trade_id}: {plain(self.quantity)} {self.symbol}{stop}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What is ours at one broker."""

    broker: str
    held: tuple[HeldTrade, ...]
    entries: tuple[str, ...]
    """Client ids of resting orders that would open something."""

    @property
    def is_open(self) -> bool:
        """Return whether something of ours is held, or may come to be."""
        return bool(self.held or self.entries)


async def read_book(broker: Broker, ours: Callable[[str], bool], since: Instant = _EVER) -> Book:
    """Return what is ours at `broker`; `ours` judges client order ids of orders submitted at or after `since`.

    Raises:
        BrokerProblem: it gave no answer, or none that can be understood.
    """
    orders = [order for order in await broker.orders_since(since) if ours(order.client_order_id)]
    resting = [order for order in orders if order.status.open]
    quantities: dict[str, Decimal] = {}
    instruments: dict[str, Instrument] = {}
    for order in orders:
        trade, filled = trade_of(order.client_order_id), order.filled_quantity
        quantities[trade] = quantities.get(trade, ZERO) + (filled if order.request.side.buys else -filled)
        instruments[trade] = order.request.instrument
    stops = {trade_of(order.client_order_id) for order in resting if leg_of(order.client_order_id) is Leg.STOP}
    held = (
        HeldTrade(trade_id=trade, symbol=instruments[trade].symbol, quantity=quantity, protected=trade in stops)
        for trade, quantity in quantities.items()
        if quantity != ZERO
    )
    return Book(broker=broker.name, held=tuple(held), entries=tuple(_entries(resting)))


async def cancel_entries(broker: Broker, ours: Callable[[str], bool]) -> tuple[str, ...]:
    """Cancel what would open something, and nothing else: stops and exits are what gets us out.

    Raises:
        BrokerUnavailable: it gave no answer; what it did is not known.
    """
    wanted = _entries([order for order in await broker.open_orders() if ours(order.client_order_id)])
    for order_id in wanted:
        await broker.cancel(order_id)
    broker.drain()  # what came of it is looked up
    return tuple(wanted)


def _entries(orders: list[BrokerOrder]) -> list[str]:
    return [order.client_order_id for order in orders if leg_of(order.client_order_id) in OPENING]


def trade_of(order_id: str) -> str:
    """Return the trade that an order id of ours names; the id itself where it names none."""
    name = OrderName.parse(order_id)
    return order_id if name is None else name.trade


def leg_of(order_id: str) -> Leg | None:
    """Return the leg that an order id of ours names."""
    name = OrderName.parse(order_id)
    return None if name is None else name.leg


__all__ = ["Book", "HeldTrade", "cancel_entries", "read_book"]
