"""How the TWS protocol names what is traded: in full in requests, in short in answers. Pure."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final

from tbot_bot.sandbox.tws_fields import OnlyWhere, Seen

PRICE: Final = 1
"""The kind of condition that waits for a price."""


def _of_price(seen: Seen) -> bool:
    return seen["kind"] == PRICE


def _readable(seen: Seen) -> bool:
    condition = seen.get("condition")
    return isinstance(condition, PriceCondition) and condition.kind == PRICE


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceCondition:
    """The price of a contract, for which an order waits. Of other kinds of condition only the kind is read."""

    kind: int = PRICE
    conjunction: Annotated[str, OnlyWhere(_of_price)] = "a"
    is_more: Annotated[bool, OnlyWhere(_of_price)] = True
    """Whether it waits for the price or more; else for the price or less."""
    price: Annotated[Decimal, OnlyWhere(_of_price)] = Decimal(0)
    con_id: Annotated[int, OnlyWhere(_of_price)] = 0
    exchange: Annotated[str, OnlyWhere(_of_price)] = ""
    trigger_method: Annotated[int, OnlyWhere(_of_price)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What an order waits for. More than one condition, and other kinds than prices, are not read further."""

    conditions: int = 0
    condition: Annotated[PriceCondition | None, OnlyWhere(lambda seen: seen["conditions"] == 1)] = None
    ignores_hours: Annotated[bool, OnlyWhere(_readable)] = False
    cancels: Annotated[bool, OnlyWhere(_readable)] = False

    @property
    def readable(self) -> bool:
        """Return whether all of it was read, and so what follows it can be."""
        return not self.conditions or (self.condition is not None and self.condition.kind == PRICE)


AT_ONCE: Final = Waits()
"""An order that waits for nothing."""
