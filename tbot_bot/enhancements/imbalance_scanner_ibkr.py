"""CLOSE at Interactive Brokers: do not stand against a strongly one-sided closing auction.

TWS API, generic tick 225: tick 34 is the auction volume (shares that would trade now), tick 36 the auction
imbalance (unmatched shares). The adapter gives the imbalance a sign: positive for buying interest.
"""

from math import isnan
from typing import Final

from tbot_bot.core.instants import MINUTE, Instant
from tbot_bot.core.orders import Direction
from tbot_bot.enhancements.filters import FilterAnswer, FilterName, allow_if, missing, skipped

PUBLISHED_BEFORE_BELL: Final = 30 * MINUTE
"""Nanoseconds; earlier figures, where a feed has any, are not about the close."""
STRONG: Final = 0.5
"""Imbalance as a fraction of the auction volume: half as many shares again find no other side."""


def imbalance_scanner_ibkr(
    *,
    direction: Direction,
    imbalance: float | None,
    auction_volume: float | None,
    at: Instant,
    closing_bell: Instant,
) -> FilterAnswer:
    """Block a signal that an imbalance of at least `STRONG` of the auction volume opposes.

    `imbalance` in shares, positive: more to buy; None or NaN, in either figure, is missing. An auction
    without volume makes any opposing imbalance strong.
    """
    name = FilterName.IMBALANCE
    if at < closing_bell - PUBLISHED_BEFORE_BELL:
        ahead = (closing_bell - at) / MINUTE
        return skipped(name, f"{ahead:.4g} min before the bell: imbalances count from 30 min on")
    if imbalance is None or auction_volume is None or isnan(imbalance) or isnan(auction_volume):
        return missing(name, "no auction imbalance published")
    against = -imbalance if direction is Direction.LONG else imbalance
    limit = STRONG * auction_volume
    reason = f"imbalance {imbalance:+.8g} shares on {auction_volume:.8g} paired, strong from {limit:.8g}"
    return allow_if(against <= 0 or against < limit, name, reason)
