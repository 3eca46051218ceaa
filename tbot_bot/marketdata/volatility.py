"""Realised volatility of a stock from its own past, annualised."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from tbot_bot.core.bars import Bar

TRADING_DAYS_A_YEAR: Final = 252
MINUTES_A_DAY: Final = 390
_NANOSECONDS_A_MINUTE: Final = 60_000_000_000
_MIN_DAILY_RETURNS: Final = 5
_MIN_BAR_RETURNS: Final = 20


def realised_volatility(closes: Sequence[float], bars: Sequence[Bar]) -> float | None:
    """Return the annualised standard deviation of log returns (0.35 is 35 %), None where the past is too short.

    Daily `closes` (dollars, oldest first) are used where they give five returns; else the day's own `bars`
    where they give twenty. Returns are taken about zero, as a mean over so few days is noise.
    """
    if len(closes) > _MIN_DAILY_RETURNS:
        return _deviation(closes) * math.sqrt(TRADING_DAYS_A_YEAR)
    if len(bars) > _MIN_BAR_RETURNS:
        minutes = (bars[-1].end - bars[0].end) / _NANOSECONDS_A_MINUTE / (len(bars) - 1)
        a_year = TRADING_DAYS_A_YEAR * MINUTES_A_DAY / minutes
        return _deviation([bar.close for bar in bars]) * math.sqrt(a_year)
    return None


def _deviation(prices: Sequence[float]) -> float:
    returns = [math.log(now / before) for before, now in pairwise(prices)]
    return math.sqrt(math.fsum(r * r for r in returns) / len(returns))
