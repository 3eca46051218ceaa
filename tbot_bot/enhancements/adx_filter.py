"""MID trades back to the mean only where there is no strong trend: ADX (Wilder 1978) at or below a maximum."""

from math import isnan

from tbot_bot.enhancements.filters import FilterAnswer, FilterName, allow_if, missing


def adx_filter(adx: float | None, adx_max: float) -> FilterAnswer:
    """Block where `adx` (14 bars, 0 to 100) is above `adx_max`; None or NaN is missing."""
    if adx is None or isnan(adx):
        return missing(FilterName.ADX, "ADX undefined: fewer than 28 bars")
    sign = "<=" if adx <= adx_max else ">"
    return allow_if(adx <= adx_max, FilterName.ADX, f"ADX {adx:.4g} {sign} {adx_max:.4g}")
