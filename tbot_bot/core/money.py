"""Exact numbers for prices, quantities and amounts of money.

Everything that reaches a book is a `Decimal`. Binary floats live in strategy kernels only; they become
Decimals in one place, `Instrument.round_price` and `Instrument.round_quantity`.
"""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Final

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
CENT: Final = Decimal("0.01")


def exact(text: str | int | Decimal) -> Decimal:
    """Return the Decimal that `text` spells.

    Raises:
        TypeError: a float was given; it has already lost digits.
        ValueError: not a finite number.
    """
    if isinstance(text, float):
        msg = f"float {text!r} where an exact number is needed: pass a string or a Decimal"
        raise TypeError(msg)
    try:
        number = Decimal(text)
    except ArithmeticError:
        msg = f"{text!r} is not a number"
        raise ValueError(msg) from None
    if not number.is_finite():
        msg = f"{text!r} is not a finite number"
        raise ValueError(msg)
    return number


@lru_cache(maxsize=1 << 15, typed=True)  # else 5 might come back as 5.0, if that was asked before
def spelled(number: float) -> Decimal:
    """Return what the shortest decimal spelling of `number` says: 41.22 is exactly 41.22. Market data come again.

    Raises:
        ValueError: not a finite number.
    """
    return exact(repr(number))


def to_cents(amount: Decimal) -> Decimal:
    """Return `amount` rounded half-even to whole cents."""
    return amount.quantize(CENT, rounding=ROUND_HALF_EVEN)


def cents_down(amount: Decimal) -> Decimal:
    """Return `amount` truncated to whole cents, toward zero: a budget never grows by rounding."""
    return amount.quantize(CENT, rounding=ROUND_DOWN)


def floor_to(number: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` not above `number`."""
    return (number / step).to_integral_value(rounding=ROUND_FLOOR) * step


def ceil_to(number: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of `step` not below `number`."""
    return (number / step).to_integral_value(rounding=ROUND_CEILING) * step


def nearest_to(number: Decimal, step: Decimal) -> Decimal:
    """Return the multiple of `step` nearest to `number`, half to even."""
    return (number / step).to_integral_value(rounding=ROUND_HALF_EVEN) * step


def plain(number: Decimal) -> str:
    """Return `number` without exponent and without trailing zeros: `0.5`, `100`, `-3.25`."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
