"""Integers of the smallest unit, and where they meet Decimals.

The unit of money is a nano-dollar (0.000000001 USD), of quantity a nano-share. Brokers report prices with four decimals
and more and fractions of nine, so a cent, or a tenth of it, would round each fill of a fraction; a nano-dollar is off
by half of itself at most, and 64 bits still hold nine thousand million dollars. An amount is rounded once, half to
even, where it becomes an integer; everything after that is adding and splitting integers, so books balance exactly.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.money import plain

DECIMALS: Final = 9
PER_DOLLAR: Final = 10**DECIMALS
UNITS_MAX: Final = 2**63 - 1
"""The largest integer that the ledger's file holds."""
_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_SCALE: Final = Decimal(PER_DOLLAR)


class EntryRefused(TbotError):
    """Something that cannot be booked as it is; nothing was written."""

    code = "LEDGER_REFUSED"


def to_units(dollars: Decimal) -> int:
    """Return `dollars` in units, rounded half to even.

    Raises:
        EntryRefused: more than a ledger can hold.
    """
    units = int(_EXACT.multiply(dollars, _SCALE).to_integral_value(rounding=ROUND_HALF_EVEN, context=_EXACT))
    if abs(units) > UNITS_MAX:
        raise EntryRefused(f"an amount of {dollars} dollars", mend="The ledger holds nine thousand million at most.")
    return units


def product_units(price: Decimal, quantity: Decimal, multiplier: Decimal) -> int:
    """Return the money of `quantity` at `price` in units; all digits are kept until the one rounding."""
    return to_units(_EXACT.multiply(_EXACT.multiply(price, quantity), multiplier))


def quantity_units(quantity: Decimal) -> int:
    """Return a quantity in nano-shares, or nano-contracts.

    Raises:
        EntryRefused: it has more than nine decimals, or is too large: it would not be what was traded.
    """
    scaled = _EXACT.multiply(quantity, _SCALE)
    units = int(scaled)
    if units != scaled or abs(units) > UNITS_MAX:
        raise EntryRefused(f"a quantity of {quantity}", mend="Nine decimals are the finest that a broker knows.")
    return units


def dollars_of(units: int) -> Decimal:
    """Return units as dollars, or nano-shares as shares, exactly."""
    return Decimal(units).scaleb(-DECIMALS, _EXACT)


def spelled(units: int, decimals: int = 2) -> str:
    """Return units as a decimal number with at least `decimals` digits after the point, never rounded."""
    text = plain(dollars_of(units))
    whole, _, part = text.partition(".")
    return f"{whole}.{part.ljust(decimals, '0')}" if decimals else text


__all__ = [
    "DECIMALS",
    "PER_DOLLAR",
    "EntryRefused",
    "dollars_of",
    "product_units",
    "quantity_units",
    "spelled",
    "to_units",
]
