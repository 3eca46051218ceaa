"""Orders, fills, positions and accounts, in the words of FIX."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO


class Direction(StrEnum):
    """What a strategy expects of the underlying."""

    LONG = "long"
    BEARISH = "short"


class Side(StrEnum):
    """FIX tag 54, as far as we use it."""

    BUY = "buy"
    SELL = "sell"
    SELL_SHORT = "sell_short"
    BUY_TO_COVER = "buy_to_cover"

    @property
    def buys(self) -> bool:
        """Return whether a fill adds to the position's signed quantity."""
        return self in {Side.BUY, Side.BUY_TO_COVER}

    @property
    def closing(self) -> "Side":
        """Return the side that undoes a fill of this one."""
        return {
            Side.BUY: Side.SELL,
            Side.SELL: Side.BUY,
            Side.SELL_SHORT: Side.BUY_TO_COVER,
            Side.BUY_TO_COVER: Side.SELL_SHORT,
        }[self]


class OrderType(StrEnum):
    """FIX tag 40, as far as we use it."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"


class ShortType(StrEnum):
    """How a bearish signal is traded."""

    DISABLED = "disabled"
    SHORT_SELL = "ShortSell"
    LONG_PUT = "LongPut"
    INVERSE_ETF = "InverseETF"


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class StopTrigger:
    """When a stop order wakes: the price of `symbol` at or beyond `price`.

    `symbol` is the order's own instrument, or the underlying where an option is protected by its stock.
    """

    symbol: str
    price: Decimal
    rising: bool
    """True: wakes at or above `price` (protects a bearish trade); False: at or below."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What we ask of a broker. `client_order_id` is derived and unique for ever."""

    client_order_id: str
    trade_id: str
    broker: str
    instrument: Instrument
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None = None
    stop: StopTrigger | None = None
    replaces: str | None = None
    """Client order id of the order whose place this one takes."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """An execution the broker reported. `execution_id` is the broker's: applying it twice changes nothing."""

    execution_id: str
    client_order_id: str
    price: Decimal
    """Per share or per unit of the underlying (an option's premium), never times the multiplier."""
    quantity: Decimal
    fees: Decimal
    """Commission and regulatory fees of this execution, positive dollars."""
    transacted_at: Instant
    modelled: bool = False
    """True where the price came from a formula (put premiums of recorded data)."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrder:
    """An order as the broker knows it now."""

    client_order_id: str
    broker_order_id: str
    status: "BrokerOrderStatus"
    request: OrderRequest
    filled_quantity: Decimal
    reason: str = ""


class BrokerOrderStatus(StrEnum):
    """The states of an order at a broker that our adapters translate to."""

    WORKING = "working"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def open(self) -> bool:
        """Return whether the order can still fill."""
        return self is BrokerOrderStatus.WORKING


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A broker's position: signed quantity (negative is short) and average price per unit."""

    broker: str
    instrument: Instrument
    quantity: Decimal
    average_price: Decimal


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A broker account at one instant, in dollars."""

    broker: str
    equity: Decimal
    cash: Decimal
    buying_power: Decimal
    settled_cash: Decimal
    day_trades: int = 0
    """Day trades in the last five trading days, as the broker counts them (FINRA Rule 4210)."""
    is_margin: bool = True


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a broker's adapter can do."""

    real_orders: bool
    live: bool
    fractional: bool = True
    short: bool = True
    options: bool = True
    conditional_stops: bool = True
    """A stop on an option may watch the underlying: at the broker, or kept by its adapter."""
    replace: bool = True
    trailing_stops: bool = False
    """The broker moves stops on whole shares by itself, by a percentage of their price."""
    minimum_notional: Decimal = ZERO
