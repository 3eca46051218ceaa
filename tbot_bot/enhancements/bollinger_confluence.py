"""MID's second opinion: the close has to stand at or beyond the Bollinger band (Bollinger 2001) it trades back from."""

from math import isnan

from tbot_bot.core.orders import Direction
from tbot_bot.enhancements.filters import FilterAnswer, FilterName, allow_if, missing


def bollinger_confluence(direction: Direction, close: float, lower: float | None, upper: float | None) -> FilterAnswer:
    """Block a long entry above the `lower` band and a bearish one below the `upper`; None or NaN is missing."""
    if lower is None or upper is None or isnan(lower) or isnan(upper):
        return missing(FilterName.BOLLINGER_CONFLUENCE, "bands undefined: fewer than 20 bars")
    if direction is Direction.LONG:
        sign = "<=" if close <= lower else ">"
        reason = f"close {close:.8g} {sign} lower band {lower:.8g}"
        return allow_if(close <= lower, FilterName.BOLLINGER_CONFLUENCE, reason)
    sign = ">=" if close >= upper else "<"
    reason = f"close {close:.8g} {sign} upper band {upper:.8g}"
    return allow_if(close >= upper, FilterName.BOLLINGER_CONFLUENCE, reason)
