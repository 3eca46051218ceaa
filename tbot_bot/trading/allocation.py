"""How a session's budget is made and shared."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from tbot_bot.core.money import ONE, ZERO, cents_down

SHARES: Final[dict[int, tuple[Decimal, ...]]] = {
    1: (ONE,),
    2: (Decimal("0.60"), Decimal("0.40")),
    3: (Decimal("0.40"), Decimal("0.30"), Decimal("0.30")),
}
"""Fractions of the budget by number of live candidates; from four on the configured weights hold."""


def shares(live_candidates: int, max_trades: int, free_slots: int, weights: Sequence[Decimal]) -> tuple[Decimal, ...]:
    """Return the fraction of the budget for the first, second, ... signal; empty where nothing may trade.

    `weights` are the configured fractions for `max_trades` trades, summing to one.
    """
    count = min(live_candidates, max_trades, free_slots)
    if count <= 0:
        return ()
    if count == len(weights):
        return tuple(weights)
    if count in SHARES:
        return SHARES[count]
    # More than three trades, but fewer than weights: the best ranks keep their proportions.
    total = sum(weights[:count], ZERO)
    return tuple(weight / total for weight in weights[:count])


def allotments(budget: Decimal, fractions: Sequence[Decimal]) -> tuple[Decimal, ...]:
    """Return `budget` in dollars split by `fractions`, each rounded down to the cent: the sum never exceeds it."""
    return tuple(allotment(budget, fraction) for fraction in fractions)


def allotment(budget: Decimal, fraction: Decimal) -> Decimal:
    """Return `fraction` of `budget` in dollars, rounded down to the cent."""
    return cents_down(budget * fraction)
