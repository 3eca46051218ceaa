"""Orders of somebody else that rest in an account that we trade in: told, counted, and left alone."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, runtime_checkable

from tbot_bot.core.codec import record
from tbot_bot.core.identity import OrderName
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO, plain
from tbot_bot.core.orders import BrokerOrder


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignOrder:
    """A resting order that bears no name of our making. What a broker tells of it may be little."""

    broker: str
    broker_order_id: str
    """The broker's own, which stays the same while the order rests."""
    name: str
    """What whoever sent it calls it; empty where it has no name."""
    instrument: Instrument
    buys: bool
    quantity: Decimal | None
    """What is left to be filled; None where the broker tells none, as of an order in dollars."""
    price: Decimal | None
    """Its limit, else its stop; None where it has neither."""

    @property
    def notional(self) -> Decimal:
        """Return what buying it takes, in dollars; 0 for a sale, and where the broker does not tell enough."""
        if not self.buys or self.quantity is None or self.price is None or self.instrument.currency != "USD":
            return ZERO
        return max(self.instrument.notional(self.price, self.quantity), ZERO)

    @property
    def words(self) -> str:
        """Return the order in words: `buy 10 XYZ at 12.50 (its name)`."""
        quantity = "some" if self.quantity is None else plain(self.quantity)
        price = "" if self.price is None else f" at {plain(self.price)}"
        name = f" ({self.name})" if self.name else ""
        return f"{'buy' if self.buys else 'sell'} {quantity} {self.instrument.symbol}{price}{name}"


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignOrdersSeen:
    """What has changed among the orders that rest at a broker and are not ours. Each is told once in a session."""

    at: Instant
    broker: str
    orders: tuple[ForeignOrder, ...]
    """Not seen in this session before."""
    gone: tuple[str, ...] = ()
    """The broker's ids of those that rest no longer: filled, cancelled or expired."""
    alert: bool = False
    """A person is to be told: the first at this broker on this day."""


@runtime_checkable
class ListsForeignOrders(Protocol):
    """A broker that tells which orders of others rest in the account."""

    async def foreign_orders(self) -> tuple[ForeignOrder, ...]:
        """Return the orders that rest, or may, and bear no name of our making."""
        ...


def foreign_of(order: BrokerOrder) -> ForeignOrder:
    """Return an order of a broker's list as somebody else's."""
    asked = order.request
    price = asked.limit_price
    if price is None and asked.stop is not None:
        price = asked.stop.price
    return ForeignOrder(
        broker=asked.broker,
        broker_order_id=order.broker_order_id,
        name=order.client_order_id,
        instrument=asked.instrument,
        buys=asked.side.buys,
        quantity=asked.quantity - order.filled_quantity if asked.quantity else None,
        price=price,
    )


def is_foreign(client_order_id: str) -> bool:
    """Return whether an order with this name, or none, is somebody else's."""
    return OrderName.parse(client_order_id) is None


__all__ = ["ForeignOrder", "ForeignOrdersSeen", "ListsForeignOrders", "foreign_of", "is_foreign"]
