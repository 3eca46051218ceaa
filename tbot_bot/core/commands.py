"""What the engine wants done, in the imperative, and what it decided, in the past tense.

`Command` reaches the hands (broker, feeds, people). `Decision` is only recorded: the story of the session,
from which logs, histories and summaries are made. Both come out of `engine.handle` in one ordered list.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tbot_bot.core.codec import record
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import Direction, OrderRequest, ShortType


class Phase(StrEnum):
    """Where a session stands."""

    SCREEN = "screen"
    ANALYSIS = "analysis"
    BREAKOUT = "breakout"
    MONITORING = "monitoring"
    CLOSE_OUT = "close_out"
    REPORT = "report"


class Severity(StrEnum):
    """How loud an alert is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOrder:
    """Send this order, at most once per client order id, after it is durably in the journal."""

    order: OrderRequest


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """Ask the broker to take the order off."""

    broker: str
    client_order_id: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceOrder:
    """Put `order` in the place of `order.replaces`, without a moment in which neither rests."""

    order: OrderRequest


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPutQuotes:
    """Fetch the puts on `underlying` for one signal; the answer is `PutQuotesRead`."""

    trade_id: str
    broker: str
    underlying: str
    spot: Decimal
    at: Instant
    min_days: int


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ReadVix:
    """Fetch the VIX as known at `at`; the answer is `VixRead`."""

    at: Instant


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSymbols:
    """Deliver bars of these symbols from now on, with their history since the opening bell."""

    symbols: tuple[str, ...]


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseAlert:
    """Tell a person."""

    severity: Severity
    title: str
    text: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class EngageKillSwitch:
    """Latch the kill switch: this session ends now, and none begins until a person has lifted it."""

    at: Instant
    reason: str


Command = (
    SubmitOrder | CancelOrder | ReplaceOrder | ReadPutQuotes | ReadVix | WatchSymbols | RaiseAlert | EngageKillSwitch
)


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEntered:
    """The session moved on."""

    at: Instant
    phase: Phase
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatesChosen:
    """The symbols that this session watches, best rank first."""

    at: Instant
    symbols: tuple[str, ...]
    screened: int
    description: str
    """What the strategy would do today, in words."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SharesFixed:
    """The entry window opened: how many trades there may be and how the budget is shared."""

    at: Instant
    broker: str
    float_equity: Decimal
    budget: Decimal
    live_candidates: int
    shares: tuple[Decimal, ...]


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class FilterAsked:
    """A filter's answer to a signal."""

    at: Instant
    symbol: str
    filter: str
    verdict: str
    missing: bool
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRaised:
    """A strategy wishes to enter."""

    at: Instant
    symbol: str
    direction: Direction
    price: Decimal
    score: float
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAnswered:
    """One pre-trade rule's objection, or why it could not be asked; rules that agree are silent."""

    rule: str
    objection: bool
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SignalDropped:
    """A signal that becomes no order at `broker` (all brokers where empty), with every objection."""

    at: Instant
    trade_id: str
    broker: str
    symbol: str
    direction: Direction
    code: str
    """The reason code of the first objection, such as `max_trades` or `no_inverse_etf`."""
    reason: str
    checks: tuple[CheckAnswered, ...] = ()


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationAwaited:
    """A signal waits for a person: `tbot confirm ID`."""

    at: Instant
    trade_id: str
    symbol: str
    lapses_at: Instant


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class TradeApproved:
    """A sized, risk-approved intent; its order follows in the same list."""

    at: Instant
    trade_id: str
    broker: str
    symbol: str
    instrument: str
    direction: Direction
    short_type: ShortType | None
    quantity: Decimal
    decision_price: Decimal
    allotted: Decimal
    """The share of the budget in dollars."""
    checks: tuple[CheckAnswered, ...]


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOpened:
    """The first fill of an entry: from here on there is something to protect."""

    at: Instant
    trade_id: str
    price: Decimal
    quantity: Decimal


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class StopMoved:
    """The protective stop was placed or moved."""

    at: Instant
    trade_id: str
    watched: str
    price: Decimal
    quantity: Decimal


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class TrailKeptHere:
    """The broker moves stops by itself, but the stop of this trade is moved by us, from now on."""

    at: Instant
    trade_id: str
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ExitDecided:
    """The one exit authority of a trade chose to leave, and why."""

    at: Instant
    trade_id: str
    code: str
    """`stop`, `trailing_stop`, `target`, `time`, `hard_exit`, `stop_request`, `kill`, `data_over`,
    `code_changed`."""
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRecord:
    """One trade that is over (closed, or never filled), as the trade history shows it.

    Money in dollars; `pnl` is after fees. Slippage is positive where the fills were worse than the prices
    at which entry and exit were decided, in dollars over the whole trade.
    """

    at: Instant
    entered_at: Instant | None
    trade_id: str
    strategy: StrategyName
    ticker: str
    underlying: str
    side: Direction
    instrument: str
    size: Decimal
    entry_price: Decimal | None
    exit_price: Decimal | None
    pnl: Decimal
    fees: Decimal
    slippage: Decimal
    exit_reason: str
    broker: str
    mode: Mode
    session_id: str
    tags: tuple[str, ...]
    error_code: str
    signal_to_order_ns: int
    order_to_fill_ns: int


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerHalted:
    """A broker is out until the next trading day; what is open there is being closed."""

    at: Instant
    broker: str
    code: str
    """`daily_loss`, `watchdog`."""
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class NonDecision:
    """A candidate that gave no signal, and how near it came."""

    at: Instant
    symbol: str
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalySeen:
    """Something that the order table does not allow, or that does not add up; recorded, never raised."""

    at: Instant
    client_order_id: str
    text: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """The session is flat and over."""

    at: Instant
    reason: str
    candidates: int
    signaled: int
    entered: int
    exited: int
    realized: tuple[tuple[str, Decimal], ...]
    """(broker, realised result after fees in dollars)."""


Decision = (
    PhaseEntered
    | CandidatesChosen
    | SharesFixed
    | FilterAsked
    | SignalRaised
    | SignalDropped
    | ConfirmationAwaited
    | TradeApproved
    | TradeOpened
    | StopMoved
    | TrailKeptHere
    | ExitDecided
    | TradeRecord
    | BrokerHalted
    | NonDecision
    | AnomalySeen
    | SessionEnded
)
Output = Command | Decision


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """All that the engine answered to one input: one journal row, durable before any of it is done."""

    number: int
    """The input's number within its session, counted from 1."""
    at: Instant
    tape_digest: str
    """SHA-256 (hex) of the session's market tape up to this input: the chain covers what is beside it."""
    outputs: tuple[Output, ...]
