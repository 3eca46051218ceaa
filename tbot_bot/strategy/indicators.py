# ruff: noqa: PLR1730 - kernels compile as they stand: branches, no calls, NaN compares false
"""Incremental indicators: `push` a bar into a small state, read the value when it is needed.

A value that is not yet defined is NaN. Reading is apart from pushing because a filter asks once a day
while bars come every minute. Wilder's averages depend on the whole history: warm up with the same bars
live and in a backtest.
"""

from math import nan, sqrt
from typing import Final, NamedTuple

from tbot_bot.core.instants import MINUTE

ADX_PERIOD: Final = 14
"""Bars; Wilder's own choice."""
BOLLINGER_BARS: Final = 20
"""Bars; Bollinger's own choice."""
_TINY: Final = 1e-14
"""What TA-Lib takes for zero in a denominator."""


class VwapState(NamedTuple):
    """Sums since the session's anchor."""

    weighted: float
    """Typical price x volume."""
    volume: float


class AdxState(NamedTuple):
    """Wilder's directional movement system; prices in the quote currency."""

    bars: int
    """Bars so far."""
    high: float
    """Of the last bar, as `low` and `close`."""
    low: float
    close: float
    plus: float
    """Smoothed upward movement."""
    minus: float
    """Smoothed downward movement."""
    span: float
    """Smoothed true range."""
    adx: float
    """Sum of DX while warming up, then the average; 0 to 100."""


class BollingerState(NamedTuple):
    """The last closes, oldest first."""

    closes: int
    """Closes so far."""
    window: tuple[float, ...]
    """Always `BOLLINGER_BARS` long; padded with zeros in front until it has filled."""


class VolatilityState(NamedTuple):
    """Returns of one day; see `volatility_push`."""

    previous: float
    """Price at which the last return ended; 0 before the first bar."""
    previous_end: int
    """Instant at which it ended."""
    returns: int
    mean: float
    squares: float
    """Sum of squared distances from the mean."""


VWAP_START: Final = VwapState(0.0, 0.0)
ADX_START: Final = AdxState(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
BOLLINGER_START: Final = BollingerState(0, (0.0,) * BOLLINGER_BARS)
VOLATILITY_START: Final = VolatilityState(0.0, 0, 0, 0.0, 0.0)


def vwap_push(state: VwapState, high: float, low: float, close: float, volume: float) -> VwapState:
    """Add a bar at its typical price; a bar without volume changes nothing."""
    typical = (high + low + close) / 3.0
    if volume > 0.0 and typical > 0.0:
        return VwapState(state.weighted + typical * volume, state.volume + volume)
    return state


def vwap_value(state: VwapState) -> float:
    """Return the volume-weighted average price, in the quote currency (Berkowitz, Logue and Noser 1988)."""
    return state.weighted / state.volume if state.volume > 0.0 else nan


def adx_push(state: AdxState, high: float, low: float, close: float) -> AdxState:
    """Add a bar to the 14-bar average directional index.

    J. Welles Wilder, New Concepts in Technical Trading Systems (1978), seeded as TA-Lib seeds it: sums over
    the first 13 movements, DX averaged over the next 14, Wilder's smoothing from then on.
    """
    bars, last_high, last_low, last_close, plus, minus, span, adx = state
    if bars == 0:
        return AdxState(1, high, low, close, plus, minus, span, adx)
    if bars >= ADX_PERIOD:
        plus -= plus / ADX_PERIOD
        minus -= minus / ADX_PERIOD
        span -= span / ADX_PERIOD
    up = high - last_high
    down = last_low - low
    if down > 0.0 and up < down:
        minus += down
    elif up > 0.0 and up > down:
        plus += up
    true_range = high - low
    from_high = high - last_close if high > last_close else last_close - high
    from_low = low - last_close if low > last_close else last_close - low
    if from_high > true_range:
        true_range = from_high
    if from_low > true_range:
        true_range = from_low
    span += true_range
    if bars >= ADX_PERIOD and span >= _TINY:
        plus_index = 100.0 * (plus / span)
        minus_index = 100.0 * (minus / span)
        both = plus_index + minus_index
        if both >= _TINY:
            apart = plus_index - minus_index if plus_index > minus_index else minus_index - plus_index
            index = 100.0 * (apart / both)
            adx = (adx * (ADX_PERIOD - 1) + index) / ADX_PERIOD if bars >= 2 * ADX_PERIOD else adx + index
    if bars == 2 * ADX_PERIOD - 1:
        adx = adx / ADX_PERIOD
    return AdxState(bars + 1, high, low, close, plus, minus, span, adx)


def adx_value(state: AdxState) -> float:
    """Return ADX, 0 to 100; defined from the 28th bar on."""
    return state.adx if state.bars >= 2 * ADX_PERIOD else nan


def bollinger_push(state: BollingerState, close: float) -> BollingerState:
    """Add a close and forget the oldest."""
    return BollingerState(state.closes + 1, state.window[1:] + (close,))  # noqa: RUF005 - numba knows no star here


def bollinger_bands(state: BollingerState, width: float) -> tuple[float, float, float]:
    """Return lower band, mean and upper band over the last 20 closes, `width` deviations apart from the mean.

    John Bollinger, Bollinger on Bollinger Bands (2001); population deviation, as there. Distances are taken
    from the oldest close, so that a flat window has a deviation of exactly zero.
    """
    if state.closes < BOLLINGER_BARS:
        return nan, nan, nan
    anchor = state.window[0]
    total = 0.0
    for close in state.window:
        total += close - anchor
    mean = total / BOLLINGER_BARS
    squares = 0.0
    for close in state.window:
        distance = close - anchor - mean
        squares += distance * distance
    reach = width * sqrt(squares / BOLLINGER_BARS)
    middle = anchor + mean
    return middle - reach, middle, middle + reach


def volatility_push(
    state: VolatilityState, start: int, end: int, open_: float, close: float, bar_span: int
) -> VolatilityState:
    """Add a bar to the day's returns; times in nanoseconds UTC.

    The first return runs from the first bar's open, every other from the close before it. Prices less than
    `bar_span` apart make no return of their own, so that trades between bars do not returns bounces. A return
    over m minutes enters as return / sqrt(m). Welford's recurrence (1962) keeps the digits that a
    difference of large sums would lose, and needs one pass.
    """
    previous, previous_end, returns, mean, squares = state
    if previous <= 0.0:
        previous = open_
        previous_end = start
    span = end - previous_end
    if span < bar_span or not previous > 0.0 or not close > 0.0:
        return VolatilityState(previous, previous_end, returns, mean, squares)
    change = close / previous - 1.0
    if span != MINUTE:
        change = change / sqrt(span / MINUTE)
    returns += 1
    delta = change - mean
    mean += delta / returns
    squares += delta * (change - mean)
    return VolatilityState(close, end, returns, mean, squares)


def volatility_value(state: VolatilityState) -> float:
    """Return the sample standard deviation (n - 1) of one-minute returns, as a fraction."""
    return sqrt(state.squares / (state.returns - 1)) if state.returns > 1 else nan
