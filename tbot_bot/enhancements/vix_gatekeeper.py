"""CLOSE trades only in nervous markets: the CBOE volatility index has to stand above a threshold."""

from decimal import Decimal
from typing import Final

from tbot_bot.core.bars import VixReading
from tbot_bot.core.instants import DAY, HOUR, Instant
from tbot_bot.enhancements.filters import FilterAnswer, FilterName, allow_if, missing

AGE_MAX: Final = DAY
"""Nanoseconds; an older reading says nothing about today."""


def vix_gatekeeper(reading: VixReading | None, threshold: Decimal, at: Instant) -> FilterAnswer:
    """Block where VIX, in index points, is at or below `threshold`; a reading older than a day is missing.

    A reading from after `at` is missing too: nobody could have known it.
    """
    if reading is None:
        return missing(FilterName.VIX_GATEKEEPER, "no source has a VIX value")
    age = at - reading.known_at
    told = f"VIX {reading.value} from {reading.source}, {age / HOUR:.1f} h old"
    if age > AGE_MAX:
        return missing(FilterName.VIX_GATEKEEPER, f"{told}: older than a day")
    if age < 0:
        return missing(FilterName.VIX_GATEKEEPER, f"{told}: not known yet")
    if not reading.value.is_finite():
        return missing(FilterName.VIX_GATEKEEPER, f"{told}: not a number")
    sign = ">" if reading.value > threshold else "<="
    return allow_if(reading.value > threshold, FilterName.VIX_GATEKEEPER, f"{told}: {sign} {threshold}")
