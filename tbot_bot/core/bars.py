"""Market data as the strategies see it: floats, because kernels compute in IEEE doubles.

A bar's `start` and `end` are instants; a bar is known only at its `end`.
"""

from decimal import Decimal
from typing import NamedTuple

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant


class Bar(NamedTuple):
    """One completed bar of one symbol; prices in the quote currency, volume in shares (or contracts)."""

    symbol: str
    start: int
    """Instant at which the bar begins."""
    end: int
    """Instant at which the bar is complete; before it nobody may know the bar."""
    open: float
    high: float
    low: float
    close: float
    volume: float


@record
class Quote(NamedTuple):
    """Best bid and ask of one symbol, sizes in shares (or contracts)."""

    symbol: str
    at: int
    bid: Decimal
    ask: Decimal
    bid_size: Decimal
    ask_size: Decimal
    modelled: bool
    """True where no market made this quote but a formula did."""


@record
class VixReading(NamedTuple):
    """A value of the CBOE volatility index, in index points, with when it was known and by whom."""

    value: Decimal
    known_at: Instant
    source: str


@record
class Imbalance(NamedTuple):
    """What an exchange publishes before an auction, in shares."""

    symbol: str
    at: int
    """Instant at which it was read."""
    shares: Decimal
    """Without another side; positive: more to buy."""
    paired: Decimal
    """Would trade now."""
