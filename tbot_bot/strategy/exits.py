# ruff: noqa: PLR1716, PLR1730 - kernels compile as they stand: branches, no calls, NaN compares false
"""When to leave: pure kernels over completed bars, called by the engine and compiled in backtests.

Stop distances are fractions; `rising` says on which side the stop is, as `StopTrigger.rising` does: True
protects a bearish trade (the stop is above the price), False a long one.
"""

from tbot_bot.strategy.strategy_meta import Tick


def trail(best: float, tick: Tick, pct: float, rising: bool) -> tuple[float, float]:  # noqa: FBT001 - numba has no keyword-only
    """Take one completed bar; return the best price since entry and the stop level that trails it by `pct`.

    `best` is the entry price before the first bar. The level is for prices after this bar: a bar never
    meets the stop that its own extreme has moved. Exit of OPEN; a trailing exit for opening range
    breakouts as in Crabel (1990).
    """
    _start, _end, _open, high, low, _close, _volume = tick
    if rising:
        if low < best:
            best = low
        return best, best * (1.0 + pct)
    if high > best:
        best = high
    return best, best * (1.0 - pct)


def vwap_touched(low: float, high: float, vwap: float) -> bool:
    """Return whether a bar traded at VWAP; False where VWAP is NaN.

    Exit of MID. VWAP is the one that includes the bar (Berkowitz, Logue and Noser 1988).
    """
    return low <= vwap and vwap <= high


def vwap_reached(low: float, high: float, vwap: float, rising: bool) -> bool:  # noqa: FBT001 - numba has no keyword-only
    """Return whether a trade's price is at VWAP or has jumped over it; False where VWAP is NaN.

    Like `vwap_touched`, but a gap through VWAP also ends the trade: `rising` is True for a bearish trade
    (VWAP below the entry), as for `trail`.
    """
    if rising:
        return low <= vwap
    return high >= vwap
