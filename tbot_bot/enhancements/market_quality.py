"""Can this market carry the trade: a spread narrow enough, and volume enough. Off in test mode."""

from decimal import Decimal
from typing import Final

from tbot_bot.core.money import ZERO
from tbot_bot.enhancements.filters import FilterAnswer, FilterName, allow_if, missing, skipped

_SPREAD_OFF: Final = skipped(FilterName.SPREAD, "test mode: spread not looked at")
_VOLUME_OFF: Final = skipped(FilterName.VOLUME, "test mode: volume not looked at")


def spread(
    bid: Decimal | None, ask: Decimal | None, entry_price: Decimal, spread_max: Decimal, *, test_mode: bool
) -> FilterAnswer:
    """Block where `ask` - `bid` is above `spread_max`, a fraction, of `entry_price`.

    A quote that lacks a side, or is crossed, is missing: it is no market to trade against.
    """
    if test_mode:
        return _SPREAD_OFF
    if bid is None or ask is None or bid <= ZERO or ask <= ZERO:
        return missing(FilterName.SPREAD, f"no two-sided quote (bid {bid}, ask {ask})")
    if ask < bid:
        return missing(FilterName.SPREAD, f"crossed quote (bid {bid}, ask {ask})")
    width, limit = ask - bid, spread_max * entry_price
    sign = "<=" if width <= limit else ">"
    reason = f"spread {width} ({bid} to {ask}) {sign} {spread_max} x {entry_price} = {limit}"
    return allow_if(width <= limit, FilterName.SPREAD, reason)


def volume(average_volume: Decimal | None, volume_min: Decimal, *, test_mode: bool) -> FilterAnswer:
    """Block where the average daily volume, in shares, is below `volume_min`."""
    if test_mode:
        return _VOLUME_OFF
    if average_volume is None:
        return missing(FilterName.VOLUME, "average daily volume unknown")
    sign = ">=" if average_volume >= volume_min else "<"
    reason = f"average daily volume {average_volume} {sign} {volume_min}"
    return allow_if(average_volume >= volume_min, FilterName.VOLUME, reason)
