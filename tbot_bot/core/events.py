"""What can happen to a session: every input of the engine, in the past tense.

`at` is market time (UTC nanoseconds) and never goes backward within a session. Inputs are journaled
before the engine sees them; feeding the same inputs again gives the same commands.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tbot_bot.core.bars import Bar, Imbalance, Quote, VixReading
from tbot_bot.core.codec import record
from tbot_bot.core.foreign_orders import ForeignOrdersSeen
from tbot_bot.core.halts import HaltsTold
from tbot_bot.core.instants import Instant
from tbot_bot.core.options import PutQuote
from tbot_bot.core.orders import Account, Fill, Position
from tbot_bot.core.screening import Verdict
from tbot_bot.core.trails import StopTrailed


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsRead:
    """Each broker's account at the session's start: its floats; and positions that are not ours, and left alone."""

    at: Instant
    accounts: tuple[Account, ...]
    foreign_positions: tuple[Position, ...] = ()


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsMarked:
    """What the accounts are worth while something is open, at the brokers' own prices."""

    at: Instant
    accounts: tuple[Account, ...]


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierToday:
    """What earlier sessions of the same day left behind, read from the journal."""

    at: Instant
    traded: tuple[str, ...]
    """Symbols (underlyings) that have been traded today: one trade per symbol and day."""
    open_trades: int
    """Trades of earlier sessions that are still open, over all brokers."""
    realized: tuple[tuple[str, str], ...] = ()
    """(broker, realised result of the day in dollars as a decimal string)."""
    halted: tuple[tuple[str, str], ...] = ()
    """(broker, why): halted until the next trading day."""
    first_floats: tuple[tuple[str, str], ...] = ()
    """(broker, equity in dollars as a decimal string) at the day's first open."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenCompleted:
    """The screener's verdict on every symbol that it looked at."""

    at: Instant
    source: str
    verdicts: tuple[Verdict, ...]


class BarsClosed:
    """A grid step of the market is complete: its bars by symbol, or none. On the tape, not in rows; plain for speed."""

    __slots__ = ("at", "backfill", "bars")

    def __init__(self, *, at: Instant, bars: tuple[Bar, ...], backfill: bool = False) -> None:
        """`backfill`: history that came late; it updates what is known and opens nothing."""
        self.at = at
        self.bars = bars
        self.backfill = backfill

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BarsClosed):
            return NotImplemented
        return (self.at, self.bars, self.backfill) == (other.at, other.bars, other.backfill)

    def __hash__(self) -> int:
        return hash((self.at, self.bars, self.backfill))

    def __repr__(self) -> str:
        return f"BarsClosed(at={self.at}, bars={len(self.bars)}, backfill={self.backfill})"


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class QuotesRead:
    """Best bids and asks, for the spread check."""

    at: Instant
    quotes: tuple[Quote, ...]


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ImbalancesRead:
    """Auction imbalances, for the filter that asks for them."""

    at: Instant
    imbalances: tuple[Imbalance, ...]


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class VixRead:
    """An answer to `ReadVix`; no reading means that no source had one."""

    at: Instant
    reading: VixReading | None


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class PutQuotesRead:
    """An answer to `ReadPutQuotes`: the puts on offer, and why there are none."""

    at: Instant
    trade_id: str
    quotes: tuple[PutQuote, ...]
    problem: str = ""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAcknowledged:
    """The broker has the order and works it."""

    at: Instant
    client_order_id: str
    broker_order_id: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilled:
    """The broker reported an execution, perhaps late, perhaps again."""

    at: Instant
    fill: Fill


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled:
    """The broker confirmed that the order rests no longer."""

    at: Instant
    client_order_id: str
    reason: str = ""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReplaced:
    """The order has made room for the one that replaces it."""

    at: Instant
    client_order_id: str
    by: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected:
    """The broker definitely refused the order; it never existed."""

    at: Instant
    client_order_id: str
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRejected:
    """The broker would not cancel or replace: usually because a fill came first."""

    at: Instant
    client_order_id: str
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class OrderExpired:
    """The broker's own time limit ended the order."""

    at: Instant
    client_order_id: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLost:
    """A request went out and no answer came: nothing is known of the order until it is looked up."""

    at: Instant
    client_order_id: str
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class FillBusted:
    """The broker undid an execution."""

    at: Instant
    execution_id: str
    client_order_id: str
    reason: str = ""


class ControlKind(StrEnum):
    """What a person or the supervisor may ask of a running session."""

    STOP = "stop"
    """No new entries, cancel, flatten, report."""
    KILL = "kill"
    """The same at once, and latched."""
    FLATTEN = "flatten"
    """Close what is open at `broker` or in `symbol`, or all; the session goes on."""
    CONFIRM = "confirm"
    """Let the signal of `trade_id` go ahead."""
    DECLINE = "decline"


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ControlReceived:
    """A control request reached the session."""

    at: Instant
    kind: ControlKind
    by: str
    why: str
    trade_id: str = ""
    broker: str = ""
    symbol: str = ""
    """The underlying."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesSuspended:
    """Something is not well enough to open positions (data stale, journal failing, clock jumped)."""

    at: Instant
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesResumed:
    """What suspended entries is over and has been reconciled."""

    at: Instant


MARKET_DATA: Final = "market data"
"""The link that is no broker; a broker's name has no blank in it."""


class LinkState(StrEnum):
    """How well a broker or the market's data can be reached."""

    OK = "ok"
    DEGRADED = "degraded"
    """Not well enough to open positions."""
    DOWN = "down"
    """It does not answer, however often it is asked."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class LinkImpaired:
    """The watchdog found a broker, or the market's data, not well: no entries there until it is restored."""

    at: Instant
    link: str
    """The broker's name, or `MARKET_DATA`."""
    state: LinkState
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRestored:
    """What was impaired answers again, and orders, fills and positions there have been reconciled."""

    at: Instant
    link: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLost:
    """A broker has been down for longer than we wait: it is given up until the next trading day."""

    at: Instant
    broker: str
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class PositionDiffers:
    """A broker holds something else in a symbol than our executions, and what was there before us, add up to."""

    at: Instant
    broker: str
    symbol: str
    expected: Decimal
    """Signed, as `found`: negative is short."""
    found: Decimal


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class PositionAgrees:
    """A position that differed is again what it should be."""

    at: Instant
    broker: str
    symbol: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionChecked:
    """The brokers were asked what rests, and a position was found without a live protective stop of its size."""

    at: Instant
    trade_ids: tuple[str, ...]
    """For people; the engine judges by its own orders."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class MarketOver:
    """No further data will come for this day (a recorded day has ended, or the closing bell rang)."""

    at: Instant


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTakenOver:
    """Code that would have decided differently recovers the session: from here on it closes what other code opened."""

    at: Instant
    code_fingerprint: str
    """Of the code that takes over."""
    reason: str


OrderEvent = (
    OrderAcknowledged
    | OrderFilled
    | OrderCancelled
    | OrderReplaced
    | OrderRejected
    | CancelRejected
    | OrderExpired
    | AnswerLost
    | FillBusted
    | StopTrailed
)

Event = (
    AccountsRead
    | AccountsMarked
    | EarlierToday
    | ScreenCompleted
    | BarsClosed
    | QuotesRead
    | ImbalancesRead
    | HaltsTold
    | VixRead
    | PutQuotesRead
    | OrderEvent
    | ControlReceived
    | EntriesSuspended
    | EntriesResumed
    | LinkImpaired
    | LinkRestored
    | BrokerLost
    | PositionDiffers
    | PositionAgrees
    | ForeignOrdersSeen
    | ProtectionChecked
    | MarketOver
    | CodeTakenOver
)
