"""The spread of a share, estimated from its own bars: bar files hold no quotes.

D. Ardia, E. Guidotti and T. A. Kroencke, Efficient estimation of bid-ask spreads from open, high, low, and close
prices, Journal of Financial Economics 161 (2024), 103916. Prices bounce between bid and ask: what opens and closes do
against the middles of their bars, and those against the next ones, sums to a quarter of the squared spread. Two such
sums are weighted by their variances; bars in which nothing traded at two prices are left out of the count.

An estimate out of some dozen minutes is rough. It is kept within what is possible: never below a tick, since no market
in shares is narrower, and never above the mean range of the same bars, since a market whose bid and ask both trade has
at least that range.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple

from tbot_bot.core.bars import Bar
from tbot_bot.core.instruments import equity
from tbot_bot.core.money import CENT, exact, nearest_to

BARS: Final = 60
"""Of the last bars, so many count."""
FEWEST: Final = 3
"""Below this many bars nothing can be estimated."""
_SHARE: Final = equity("")
_STEP: Final = Decimal("0.0001")


def spread_of(bars: Sequence[Bar]) -> Decimal:
    """Return the spread in dollars at the end of `bars` (oldest first); a cent where there are too few."""
    last = bars[-BARS:]
    if not last:
        return CENT
    price = exact(repr(float(last[-1].close)))
    tick = _SHARE.tick(price)
    fraction = relative_spread(last)
    if fraction is None:
        return tick
    widest = math.fsum(bar.high - bar.low for bar in last) / len(last)
    return max(nearest_to(exact(repr(min(fraction * last[-1].close, widest))), _STEP), tick)


class _Sums(NamedTuple):
    """Log returns between a bar's open, its middle and the close and middle of the bar before it."""

    middle_open: float
    open_before: float
    """Open over the middle before it."""
    middle_close: float
    """Middle over the close before it."""
    close_before: float
    """Close before over the middle before."""
    open_close: float
    moved: bool
    """Whether anything traded at another price than the close before it."""


def relative_spread(bars: Sequence[Bar]) -> float | None:
    """Return the spread as a fraction of the price, 0 where no bounce is seen; None where nothing can be said."""
    if len(bars) < FEWEST:
        return None
    steps = [_sums(before, now) for before, now in pairwise(bars)]
    count = len(steps)
    moved = sum(step.moved for step in steps)
    pairs = [(before, now) for (before, now), step in zip(pairwise(bars), steps, strict=True) if step.moved]
    opens = sum((now.open != now.high) + (now.open != now.low) for _, now in pairs) / count
    closes = sum((old.close != old.high) + (old.close != old.low) for old, _ in pairs) / count
    if moved < FEWEST - 1 or not opens or not closes:
        return None
    drift_open = math.fsum(step.middle_open for step in steps) / moved
    drift_middle = math.fsum(step.middle_close for step in steps) / moved
    drift_close = math.fsum(step.open_close for step in steps) / moved
    first, second = [], []
    for step in steps:
        by_open = -4.0 / opens * (step.middle_open - drift_open * step.moved)
        by_middle = -4.0 / closes * (step.middle_close - drift_middle * step.moved)
        by_close = -4.0 / closes * (step.open_close - drift_close * step.moved)
        first.append(by_open * step.open_before + by_middle * step.close_before)
        second.append(by_open * step.open_close + by_close * step.close_before)
    square = _weighted(first, second)
    return math.sqrt(square) if square > 0.0 else 0.0


def _sums(before: Bar, now: Bar) -> _Sums:
    opened, closed = math.log(now.open), math.log(before.close)
    middle = (math.log(now.high) + math.log(now.low)) / 2.0
    earlier = (math.log(before.high) + math.log(before.low)) / 2.0
    return _Sums(
        middle_open=middle - opened,
        open_before=opened - earlier,
        middle_close=middle - closed,
        close_before=closed - earlier,
        open_close=opened - closed,
        moved=now.high != now.low or now.low != before.close,
    )


def _weighted(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the mean of two estimates of the squared spread, each weighted by the other's variance."""
    count = len(first)
    means = [math.fsum(values) / count for values in (first, second)]
    spreads = [
        math.fsum(value * value for value in values) / count - mean * mean
        for values, mean in zip((first, second), means, strict=True)
    ]
    total = spreads[0] + spreads[1]
    if total <= 0.0:
        return (means[0] + means[1]) / 2.0
    return (spreads[1] * means[0] + spreads[0] * means[1]) / total


__all__ = ["BARS", "FEWEST", "relative_spread", "spread_of"]
