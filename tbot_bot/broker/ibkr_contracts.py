"""What Interactive Brokers calls the things that we trade, and back. Pure: no talking.

Stocks and ETFs go to SMART, puts are named by underlying, expiry, strike and right, the VIX lives at CBOE.
IB writes share classes with a blank where the rest of the market writes a dot: `BRK B` is BRK.B.
"""

import math
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.instruments import AssetClass, Instrument, OptionRight, equity, put_option
from tbot_bot.core.money import ONE, exact, plain

if TYPE_CHECKING:
    from ib_async import Contract

SMART: Final = "SMART"
STOCK: Final = "STK"
OPTION: Final = "OPT"
CURRENCY: Final = "USD"
VIX_SYMBOL: Final = "VIX"
VIX_EXCHANGE: Final = "CBOE"
CONTRACT_SHARES: Final = Decimal(100)
_RIGHTS: Final = {"P": OptionRight.PUT, "PUT": OptionRight.PUT, "C": OptionRight.CALL, "CALL": OptionRight.CALL}
_UNSET_FROM: Final = 1e300
"""IB says "no value" with the largest double."""


def number(value: float | str | Decimal, what: str) -> Decimal:
    """Return the exact number behind a figure of the client library.

    The library reads the wire's decimal text into a float; its shortest spelling is that text again, for anything
    of up to 15 digits.

    Raises:
        UnknownMessage: it is no finite number, or stands for "no value".
    """
    try:
        if isinstance(value, float):
            if not math.isfinite(value) or abs(value) > _UNSET_FROM:
                raise UnknownMessage(f"{what}: {value!r} is no number that can be booked")
            return exact(plain(Decimal(repr(value))))
        return exact(value)
    except ValueError as error:
        raise UnknownMessage(f"{what}: {error}") from None


def known_number(value: float | Decimal | None) -> Decimal | None:
    """Return the exact number behind a figure that may be missing: NaN, the largest double, None."""
    if value is None:
        return None
    as_float = float(value)
    return number(value, "figure") if math.isfinite(as_float) and abs(as_float) < _UNSET_FROM else None


def contract_of(instrument: Instrument) -> "Contract":
    """Return the contract that names `instrument`; it still has to be looked up, which fills in its number.

    Raises:
        ValueError: an option without expiry or right.
    """
    from ib_async import Option

    if instrument.asset_class is AssetClass.EQUITY:
        return stock_contract(instrument.symbol)
    if instrument.expiry is None or instrument.right is None:
        msg = f"{instrument.symbol} has no expiry or no right"
        raise ValueError(msg)
    right = "P" if instrument.right is OptionRight.PUT else "C"
    return Option(
        _ib_symbol(instrument.underlying),
        f"{instrument.expiry:%Y%m%d}",
        float(instrument.strike),
        right,
        SMART,
        plain(instrument.multiplier),
        CURRENCY,
    )


def stock_contract(symbol: str) -> "Contract":
    """Return the contract of a US share or ETF."""
    from ib_async import Stock

    return Stock(_ib_symbol(symbol), SMART, CURRENCY)


def vix_contract() -> "Contract":
    """Return the contract of the CBOE volatility index."""
    from ib_async import Index

    return Index(VIX_SYMBOL, VIX_EXCHANGE, CURRENCY)


def instrument_of(contract: "Contract") -> Instrument:
    """Return what `contract` is to us.

    What we do not trade (futures, bonds, currencies of a shared account) becomes an instrument whose symbol begins
    with IB's security type and a colon, so that it cannot be taken for a share.

    Raises:
        UnknownMessage: an option whose expiry, strike or right cannot be read.
    """
    if contract.secType == STOCK and contract.currency in {CURRENCY, ""}:
        return equity(_our_symbol(contract.symbol))
    if contract.secType == OPTION and contract.currency in {CURRENCY, ""}:
        return _option(contract)
    symbol = f"{contract.secType}:{contract.localSymbol or contract.symbol}"
    return Instrument(symbol=symbol, currency=contract.currency or CURRENCY, multiplier=multiplier_of(contract))


def multiplier_of(contract: "Contract") -> Decimal:
    """Return how many units of the underlying one unit stands for; 1 where IB names none."""
    return number(contract.multiplier, "multiplier") if contract.multiplier else ONE


def expiry_of(text: str) -> date:
    """Return the day that `YYYYMMDD` names, whatever follows it.

    Raises:
        UnknownMessage: it names none.
    """
    try:
        return datetime.strptime(text[:8], "%Y%m%d").date()  # noqa: DTZ007  a day, no time
    except ValueError:
        raise UnknownMessage(f"{text!r} is no expiry") from None


def _option(contract: "Contract") -> Instrument:
    right = _RIGHTS.get(contract.right)
    if right is None:
        raise UnknownMessage(f"option on {contract.symbol}: {contract.right!r} is no right")
    expiry = expiry_of(contract.lastTradeDateOrContractMonth)
    strike = number(contract.strike, f"strike of {contract.localSymbol}")
    put = put_option(_our_symbol(contract.symbol), expiry, strike)
    multiplier = multiplier_of(contract) if contract.multiplier else CONTRACT_SHARES
    if right is OptionRight.PUT:
        return replace(put, multiplier=multiplier)
    symbol = f"{put.underlying}{expiry:%y%m%d}C{int(strike * 1000):08d}"
    return replace(put, symbol=symbol, right=right, multiplier=multiplier)


def _ib_symbol(symbol: str) -> str:
    return symbol.replace(".", " ")


def _our_symbol(symbol: str) -> str:
    return symbol.replace(" ", ".")
