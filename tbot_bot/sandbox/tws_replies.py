"""What the TWS protocol answers, server version 176, one record per kind of message; orders are in `tws_orders`. Pure.

The order of fields was read in the client library that the project uses (ib_async 2.1, decoder.py).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from tbot_bot.sandbox.tws_contracts import ContractTold, TagValue
from tbot_bot.sandbox.tws_fields import Message

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Message):
    """An error, a warning or a notice: the protocol has one message for all three."""

    number: ClassVar = 4
    version: ClassVar = 2
    req_id: int
    """The request or order it is about; -1 for the system."""
    code: int
    text: str
    advanced_reject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextValidId(Message):
    number: ClassVar = 9
    version: ClassVar = 1
    order_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedAccounts(Message):
    number: ClassVar = 15
    version: ClassVar = 1
    accounts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentTime(Message):
    number: ClassVar = 49
    version: ClassVar = 1
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TickPrice(Message):
    number: ClassVar = 1
    version: ClassVar = 6
    req_id: int
    tick: int
    price: Decimal
    size: Decimal = _ZERO
    attributes: int = 0
    """Bits: 1 can be executed against, 2 beyond the limit, 4 before the open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TickSize(Message):
    number: ClassVar = 2
    version: ClassVar = 6
    req_id: int
    tick: int
    size: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TickGeneric(Message):
    number: ClassVar = 45
    version: ClassVar = 6
    req_id: int
    tick: int
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TickString(Message):
    number: ClassVar = 46
    version: ClassVar = 6
    req_id: int
    tick: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TickRequestParameters(Message):
    number: ClassVar = 81
    req_id: int
    min_tick: Decimal
    bbo_exchange: str
    snapshot_permissions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TickSnapshotEnd(Message):
    number: ClassVar = 57
    version: ClassVar = 1
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketDataType(Message):
    number: ClassVar = 58
    version: ClassVar = 1
    req_id: int
    kind: int
    """1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountValue(Message):
    number: ClassVar = 6
    version: ClassVar = 2
    tag: str
    value: str
    currency: str
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioValue(Message):
    number: ClassVar = 7
    version: ClassVar = 8
    contract: ContractTold
    position: Decimal
    market_price: Decimal
    market_value: Decimal
    average_cost: Decimal
    """Per unit of quantity: price times multiplier."""
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTime(Message):
    number: ClassVar = 8
    version: ClassVar = 1
    time: str
    """HH:MM in the exchange's zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDownloadEnd(Message):
    number: ClassVar = 54
    version: ClassVar = 1
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSummary(Message):
    number: ClassVar = 63
    version: ClassVar = 1
    req_id: int
    account: str
    tag: str
    value: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSummaryEnd(Message):
    number: ClassVar = 64
    version: ClassVar = 1
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUpdateMulti(Message):
    number: ClassVar = 73
    version: ClassVar = 1
    req_id: int
    account: str
    model_code: str
    tag: str
    value: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUpdateMultiEnd(Message):
    number: ClassVar = 74
    version: ClassVar = 1
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionTold(Message):
    number: ClassVar = 61
    version: ClassVar = 3
    account: str
    contract: ContractTold
    position: Decimal
    average_cost: Decimal
    """Per unit of quantity: price times multiplier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsEnd(Message):
    number: ClassVar = 62
    version: ClassVar = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractDetails(Message):
    number: ClassVar = 10
    req_id: int
    symbol: str
    sec_type: str
    last_trade: str = ""
    """YYYYMMDD, for options with `-HH:MM:SS-zone` behind it."""
    strike: Decimal = _ZERO
    right: str = ""
    exchange: str
    currency: str = "USD"
    local_symbol: str
    market_name: str
    trading_class: str
    con_id: int
    min_tick: Decimal = Decimal("0.01")
    multiplier: str = ""
    order_types: str = ""
    valid_exchanges: str = ""
    price_magnifier: int = 1
    underlying_con_id: int = 0
    long_name: str = ""
    primary_exchange: str = ""
    contract_month: str = ""
    industry: str = ""
    category: str = ""
    subcategory: str = ""
    time_zone: str = "US/Eastern"
    trading_hours: str = ""
    liquid_hours: str = ""
    ev_rule: str = ""
    ev_multiplier: str = ""
    security_ids: tuple[TagValue, ...] = ()
    aggregated_group: int = 1
    underlying_symbol: str = ""
    underlying_sec_type: str = ""
    market_rule_ids: str = ""
    real_expiration: str = ""
    stock_type: str = ""
    min_size: Decimal = Decimal(1)
    size_increment: Decimal = Decimal(1)
    suggested_size_increment: Decimal = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractDetailsEnd(Message):
    number: ClassVar = 52
    version: ClassVar = 1
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionParameters(Message):
    """The options of an underlying on one exchange: every expiration and every strike, not every pair of both."""

    number: ClassVar = 75
    req_id: int
    exchange: str
    underlying_con_id: int
    trading_class: str
    multiplier: str
    expirations: tuple[str, ...]
    strikes: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionParametersEnd(Message):
    number: ClassVar = 76
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolSample:
    """One match of a symbol search."""

    con_id: int
    symbol: str
    sec_type: str
    primary_exchange: str
    currency: str
    derivatives: tuple[str, ...] = ()
    description: str = ""
    issuer_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolSamples(Message):
    number: ClassVar = 79
    req_id: int
    samples: tuple[SymbolSample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceIncrement:
    """From which price on which increment holds."""

    low_edge: Decimal
    increment: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRule(Message):
    number: ClassVar = 93
    rule_id: int
    increments: tuple[PriceIncrement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricalBar:
    """One bar; `date` is a text in the exchange's zone, or seconds since 1970."""

    date: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    average: Decimal
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricalData(Message):
    number: ClassVar = 17
    req_id: int
    start: str
    end: str
    bars: tuple[HistoricalBar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricalDataUpdate(Message):
    """The newest bar of a request that is kept up to date; its fields stand in another order."""

    number: ClassVar = 90
    req_id: int
    count: int
    date: str
    open: Decimal
    close: Decimal
    high: Decimal
    low: Decimal
    average: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RealTimeBar(Message):
    """Five seconds of trading, told at their end."""

    number: ClassVar = 50
    version: ClassVar = 3
    req_id: int
    start: int
    """Seconds since 1970."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    average: Decimal
    count: int
