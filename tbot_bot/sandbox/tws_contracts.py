"""How the TWS protocol names what is traded: in full in requests, in short in answers. Pure."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractAsked:
    """A contract in a request, as far as the client described it."""

    con_id: int = 0
    symbol: str = ""
    sec_type: str = ""
    last_trade_date: str = ""
    """YYYYMMDD or YYYYMM."""
    strike: Decimal = Decimal(0)
    right: str = ""
    """P, C, PUT or CALL; empty, 0 or ? where it does not matter."""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractTold:
    """A contract in an answer."""

    con_id: int
    symbol: str
    sec_type: str
    last_trade_date: str = ""
    strike: Decimal = Decimal(0)
    right: str = "?"
    multiplier: str = ""
    exchange: str = ""
    currency: str = "USD"
    local_symbol: str = ""
    trading_class: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaNeutral:
    """The hedge of a volatility order; the sandbox reads over it."""

    con_id: int = 0
    delta: Decimal = Decimal(0)
    price: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComboLeg:
    """One leg of a combination in a data request."""

    con_id: int = 0
    ratio: int = 0
    action: str = ""
    exchange: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagValue:
    """One named value."""

    tag: str
    value: str
