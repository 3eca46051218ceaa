"""Stops that a broker moves by itself, as orders and as news."""

from dataclasses import dataclass
from decimal import Decimal

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import StopTrigger


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class TrailingTrigger(StopTrigger):
    """A stop that the broker moves behind the best price since it rests, and never back.

    `price` is where it shall begin, at a broker that can be told; others begin at the market's price.
    """

    trail: Decimal
    """Distance from the best price, as a fraction of it."""

    @property
    def percent(self) -> Decimal:
        """Return the distance in percent, as brokers want it."""
        return (self.trail * 100).normalize()

    @property
    def fixed(self) -> StopTrigger:
        """Return a stop that stays where this one begins."""
        return StopTrigger(symbol=self.symbol, price=self.price, rising=self.rising)


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class StopTrailed:
    """The broker told where a trailing stop of ours stands now."""

    at: Instant
    client_order_id: str
    price: Decimal
