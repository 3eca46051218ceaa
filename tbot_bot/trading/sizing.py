"""From a share of the budget to a quantity."""

from decimal import Decimal

from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO
from tbot_bot.core.policies import SizingMode


def quantity_for(
    *,
    mode: SizingMode,
    allotted: Decimal,
    instrument: Instrument,
    worst_price: Decimal,
    stop_distance: Decimal,
    notional_cap: Decimal,
) -> Decimal:
    """Return how many shares or contracts `allotted` dollars buy, rounded down; zero where not even one step fits.

    `worst_price` is the most that a unit may cost (the limit of the entry), `stop_distance` the loss per unit at
    the protective stop, `notional_cap` the most dollars that one trade may move.
    """
    per_unit = worst_price * instrument.multiplier
    if per_unit <= ZERO or allotted <= ZERO:
        return ZERO
    spendable = min(allotted, notional_cap)
    if mode is SizingMode.STOP_RISK:
        risk_per_unit = stop_distance * instrument.multiplier
        if risk_per_unit <= ZERO:
            return ZERO
        return instrument.round_quantity(min(allotted / risk_per_unit, notional_cap / per_unit))
    return instrument.round_quantity(spendable / per_unit)
