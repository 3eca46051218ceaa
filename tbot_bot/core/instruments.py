"""What can be traded, and how its prices and quantities are rounded."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

from tbot_bot.core.codec import record
from tbot_bot.core.money import CENT, ONE, ZERO, ceil_to, floor_to, nearest_to, spelled

_SUB_PENNY_LIMIT: Final = ONE
_SUB_PENNY_TICK: Final = Decimal("0.0001")
FRACTION_STEP: Final = Decimal("0.000000001")
"""Nine decimals: the finest share fraction a US broker accepts (Alpaca, fractional trading)."""


class AssetClass(StrEnum):
    """What kind of thing an instrument is."""

    EQUITY = "equity"
    OPTION = "option"


class OptionRight(StrEnum):
    """The right an option gives its holder."""

    CALL = "call"
    PUT = "put"


class Rounding(StrEnum):
    """Toward where a price is moved onto the tick grid."""

    DOWN = "down"
    UP = "up"
    NEAREST = "nearest"


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """A tradable thing; `symbol` is unique (an option's is its OCC symbol)."""

    symbol: str
    asset_class: AssetClass = AssetClass.EQUITY
    currency: str = "USD"
    quantity_step: Decimal = ONE
    """Smallest increment of a quantity: shares, or contracts."""
    multiplier: Decimal = ONE
    """Units of the underlying that one unit of quantity stands for: 100 for a US equity option."""
    underlying: str = ""
    """The stock behind an option; empty for the stock itself."""
    strike: Decimal = ZERO
    expiry: date | None = None
    right: OptionRight | None = None

    def tick(self, price: Decimal) -> Decimal:
        """Return the price increment at `price`: a cent, below one dollar a hundredth of it (SEC Rule 612)."""
        return _tick(price, self.asset_class)

    def round_price(self, price: float | Decimal, rounding: Rounding = Rounding.NEAREST) -> Decimal:
        """Return `price` on the tick grid; the one place where a float becomes a book price.

        A float is read by its shortest decimal spelling, so 41.22 is exactly 41.22.
        """
        if isinstance(price, float):
            return _float_on_grid(price, rounding, self.asset_class)
        return _on_grid(price, rounding, self.asset_class)

    def round_quantity(self, quantity: Decimal) -> Decimal:
        """Return `quantity` floored to the instrument's step: never more than asked."""
        return floor_to(quantity, self.quantity_step)

    def notional(self, price: Decimal, quantity: Decimal) -> Decimal:
        """Return the money that `quantity` at `price` moves, in the instrument's currency, unrounded."""
        return price * quantity * self.multiplier


def _tick(price: Decimal, kind: AssetClass) -> Decimal:
    return _SUB_PENNY_TICK if kind is AssetClass.EQUITY and price < _SUB_PENNY_LIMIT else CENT


def _on_grid(price: Decimal, rounding: Rounding, kind: AssetClass) -> Decimal:
    tick = _tick(price, kind)
    match rounding:
        case Rounding.DOWN:
            return floor_to(price, tick)
        case Rounding.UP:
            return ceil_to(price, tick)
        case Rounding.NEAREST:
            return nearest_to(price, tick)


@lru_cache(maxsize=1 << 15)
def _float_on_grid(price: float, rounding: Rounding, kind: AssetClass) -> Decimal:
    """Return a market datum on the grid; the same few thousand prices come again and again."""
    return _on_grid(spelled(price), rounding, kind)


@lru_cache(maxsize=1 << 14)
def equity(symbol: str, *, fractional: bool = False) -> Instrument:
    """Return a US-listed share or ETF, in fractions of nine decimals or in whole shares."""
    return Instrument(symbol=symbol, quantity_step=FRACTION_STEP if fractional else ONE)


def put_option(underlying: str, expiry: date, strike: Decimal) -> Instrument:
    """Return a listed US equity put: one contract is 100 shares; the symbol is the 21-character OCC one, unpadded.

    Source of the symbol's form: OCC Options Symbology Initiative (root, yymmdd, P, strike x 1000 on 8 digits).
    """
    yymmdd = expiry.isoformat()[2:].replace("-", "")
    return Instrument(
        symbol=f"{underlying}{yymmdd}P{int(strike * 1000):08d}",
        asset_class=AssetClass.OPTION,
        multiplier=Decimal(100),
        underlying=underlying,
        strike=strike,
        expiry=expiry,
        right=OptionRight.PUT,
    )
