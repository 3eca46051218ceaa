"""The words of the sandbox exchange: what is asked of it, what it keeps, what it tells. Records only."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Fill


class Kind(StrEnum):
    """How an order is priced."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class Lifetime(StrEnum):
    """How long an order works (FIX tag 59)."""

    DAY = "day"
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    OPENING = "opg"
    CLOSING = "cls"


class Phase(StrEnum):
    """Where an order stands; how much of it is filled is told by its fills."""

    HELD = "held"
    """Waits for its parent to be wholly filled."""
    WORKING = "working"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REJECTED = "rejected"
    """Refused only after it was taken in: a leg that the account could not carry when it woke."""

    @property
    def open(self) -> bool:
        """Return whether the order can still fill."""
        return self in {Phase.HELD, Phase.WORKING}


class RefusalKind(StrEnum):
    """Why the exchange did not take a request; each vendor has its own words for it."""

    BUYING_POWER = "buying_power"
    QUANTITY = "quantity"
    """More than is held, or than is not spoken for by resting orders."""
    SHORT = "short"
    """Cannot be sold short: no shares to borrow, a fraction, an account without the right."""
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    MALFORMED = "malformed"
    NOT_OPEN = "not_open"
    """The order to cancel or replace has ended."""
    UNKNOWN_ORDER = "unknown_order"


class Refused(Exception):
    """The exchange did not take the request; nothing of it remains."""

    def __init__(self, kind: RefusalKind, reason: str) -> None:
        """`reason` is the exchange's own sentence."""
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a client asks for. Prices are dollars per unit; the quantity is always positive."""

    instrument: Instrument
    buys: bool
    quantity: Decimal
    kind: Kind
    limit: Decimal | None = None
    stop: Decimal | None = None
    """Where the stop wakes; of a trailing one, where it begins: None where the market's price says so."""
    watches: str = ""
    """Symbol whose price wakes a stop; empty: the instrument itself."""
    wakes_rising: bool | None = None
    """A stop that watches another symbol: whether it wakes at or above `stop`; None: as the side has it."""
    trail: Decimal | None = None
    """Distance of a trailing stop in dollars."""
    trail_percent: Decimal | None = None
    """The same in percent of the high-water mark: 2 is two percent."""
    lifetime: Lifetime = Lifetime.DAY
    extended_hours: bool = False
    label: str = ""
    """The client's own id of the order; the exchange neither reads nor compares it."""
    parent: int | None = None
    """Number of the order that must be wholly filled before this one works; they end together."""
    group: str = ""
    """One-cancels-other: a fill of one reduces, a whole fill or a cancel ends, the others of the same group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as the exchange knows it now."""

    number: int
    """Counts the account's orders from 1."""
    ticket: Ticket
    phase: Phase
    submitted_at: Instant
    updated_at: Instant
    ended_at: Instant | None = None
    """When it was filled, cancelled, expired, replaced or rejected."""
    filled: Decimal = ZERO
    value: Decimal = ZERO
    """Sum of price times quantity over the fills, without the multiplier."""
    fees: Decimal = ZERO
    stop: Decimal | None = None
    """The present stop price; moves with a trailing stop."""
    high_water: Decimal | None = None
    """Best price that a trailing stop has seen (the lowest, for one that buys)."""
    triggered: bool = False
    replaces: int | None = None
    replaced_by: int | None = None
    reason: str = ""

    @property
    def remaining(self) -> Decimal:
        """Return what is asked and not yet executed."""
        return self.ticket.quantity - self.filled

    @property
    def average_price(self) -> Decimal | None:
        """Return the mean price of the fills, None before the first."""
        return self.value / self.filled if self.filled else None


class NewsKind(StrEnum):
    """What happened to an order."""

    ACCEPTED = "accepted"
    """It works now: just taken in, or woken from `HELD`."""
    CHANGED = "changed"
    """A trailing stop moved, a stop-limit woke, a sibling's fill reduced it."""
    FILLED = "filled"
    """Executed, in part or wholly: `fill` says how much, the order's phase whether it is done."""
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNews:
    """One change of one order, told to whoever subscribed to its account."""

    at: Instant
    kind: NewsKind
    order: Order
    """As it is after the change."""
    fill: Fill | None = None
    position: Decimal = ZERO
    """Signed quantity held after a fill."""


class Trade(NamedTuple):
    """A print of the tape."""

    symbol: str
    at: Instant
    price: Decimal
    size: Decimal
    number: int
    """The trade's id: unique for its symbol and day."""


class Trading(NamedTuple):
    """A symbol was halted or trades again."""

    symbol: str
    at: Instant
    halted: bool


MarketUpdate = Bar | Quote | Trade | Trading
"""What the tape tells: minute bars when complete, quotes, trades, halts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTruth:
    """The venue's own knowledge of one account, to hold books against."""

    name: str
    cash: Decimal
    """Exact, not rounded to cents."""
    equity: Decimal
    buying_power: Decimal
    fees: Decimal
    day_trades: int
    positions: tuple[tuple[str, Decimal, Decimal], ...]
    """Symbol, signed quantity, average price."""
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The whole exchange at one instant."""

    at: Instant
    is_open: bool
    halted: tuple[str, ...]
    accounts: tuple[AccountTruth, ...]
