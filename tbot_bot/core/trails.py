"""Stops that a broker moves by itself, as orders and as news."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import StopTrigger

TOLD_STEP: Final = Decimal("0.05")
"""Of the distance: a stop that moved by less is not told again."""


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

    def is_news_after(self, told: Decimal | None) -> bool:
        """Return whether this one is far enough ahead of where it was told to stand; each move would be a flood."""
        if told is None:
            return True
        return (told - self.price if self.rising else self.price - told) >= TOLD_STEP * self.trail * self.price

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
