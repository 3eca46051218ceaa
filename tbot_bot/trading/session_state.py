"""What one session's engine remembers. Mutable, but changed only while an event is handled."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tbot_bot.core.bars import Imbalance, Quote, VixReading
from tbot_bot.core.commands import AnomalySeen, Output, Phase
from tbot_bot.core.halts import TradingHalt
from tbot_bot.core.identity import Leg
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Account, Direction, Fill, ShortType
from tbot_bot.core.screening import Verdict
from tbot_bot.trading.orders_bot import OPEN_STATES, Order, OrderState
from tbot_bot.trading.spec import SessionSpec

START_OF_TIME: Final = Instant(0)
_LEAVING: Final = (Leg.STOP, Leg.EXIT)


class TradeState(StrEnum):
    """Where a trade (one symbol at one broker) stands."""

    AWAITING_CONFIRMATION = "awaiting_confirmation"
    AWAITING_QUOTES = "awaiting_quotes"
    ENTERING = "entering"
    OPEN = "open"
    EXITING = "exiting"
    CLOSED = "closed"


_CLOSED: Final = TradeState.CLOSED
_WITH_A_SLOT: Final = frozenset({TradeState.ENTERING, TradeState.OPEN, TradeState.EXITING})
"""Trades that hold or may come to hold a position."""


@dataclass(slots=True, kw_only=True)
class Signal:
    """A strategy's wish to enter, with what is needed to act on it later."""

    at: Instant
    symbol: str
    direction: Direction
    price: Decimal
    score: float
    why: Callable[[], str] = field(compare=False, repr=False)
    """Puts the reason into words, which nobody needs of most signals."""

    @property
    def reason(self) -> str:
        """Return why the strategy signals, with its numbers."""
        return self.why()


@dataclass(slots=True, kw_only=True)
class Trade:
    """One symbol at one broker from signal to flat."""

    trade_id: str
    broker: str
    symbol: str
    direction: Direction
    signal_at: Instant
    state: TradeState
    signal: Signal
    short_type: ShortType | None = None
    instrument: Instrument | None = None
    decision_price: Decimal = ZERO
    """Price of the instrument at which entry was decided."""
    allotted: Decimal = ZERO
    order_ids: list[tuple[Leg, str]] = field(default_factory=list)
    attempts: dict[Leg, int] = field(default_factory=dict)
    entered_at: Instant | None = None
    watched: str = ""
    """Symbol whose price the protective stop watches."""
    stop_rises: bool = False
    """True where the stop protects against a rising price of the watched symbol."""
    stop_price: Decimal = ZERO
    trailed_to: Decimal = ZERO
    """Where the broker's own trailing stop stands, as far as told; zero while none rests."""
    trail_kept_here: str = ""
    """Why we move the stop, at a broker that would; empty while that was not asked, or while the broker moves it."""
    best: float = 0.0
    """Most favourable price of the watched symbol since entry."""
    exit_code: str = ""
    exit_decision_price: Decimal = ZERO
    exit_failures: int = 0
    unsent: set[Leg] = field(default_factory=set)
    """Legs of which the gate let nothing through, and a person was told."""
    unprotected_since: Instant | None = None
    """Since when no live stop covers what is held; None while one does."""
    unprotected_told: bool = False
    stop_repairs: int = 0
    booked: Decimal = ZERO
    """Result that the day's realised results already hold; changes where a late execution reopens the trade."""


@dataclass(slots=True)
class SessionState:
    """The whole memory of a session; `out` collects the answer to the event at hand."""

    spec: SessionSpec
    phase: Phase = Phase.SCREEN
    at: Instant = START_OF_TIME
    out: list[Output] = field(default_factory=list)
    ended: bool = False
    stop_code: str = ""
    """Why entries are over for good: `stop_request`, `kill`, `hard_exit`, ...; empty while they are not."""
    stop_reason: str = ""
    suspended: str = ""
    """Why entries are suspended for now; empty while they are not."""
    impaired: dict[str, str] = field(default_factory=dict)
    """Links (brokers, market data) that the watchdog found not well, and why."""
    differing: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """By broker and instrument: what is held beyond what should be; these are halted."""
    foreign: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """By broker and instrument: what was held before the session; not ours."""
    foreign_orders: dict[tuple[str, str], bool] = field(default_factory=dict)
    """By broker and its id: orders that are not ours, and whether they rest still."""
    accounts: dict[str, Account] = field(default_factory=dict)
    budgets: dict[str, Decimal] = field(default_factory=dict)
    shares: dict[str, tuple[Decimal, ...]] = field(default_factory=dict)
    halted: dict[str, str] = field(default_factory=dict)
    killed: str = ""
    """Why this session has engaged the kill switch; empty while it has not."""
    marks: dict[str, Account] = field(default_factory=dict)
    """What each account was worth when it was last asked; absent before the first answer."""
    approved_since_mark: dict[str, Decimal] = field(default_factory=dict)
    """Dollars of entries approved since the account was last read: its buying power does not know of them yet."""
    first_floats: dict[str, Decimal] = field(default_factory=dict)
    """Equity of each account at the day's first open."""
    results_changed: bool = False
    """Whether the day's results have to be held against their limits."""
    realized: dict[str, Decimal] = field(default_factory=dict)
    realized_earlier: dict[str, Decimal] = field(default_factory=dict)
    earlier_open_trades: int = 0
    traded_earlier: tuple[str, ...] = ()
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    """Symbols whose bars the engine has asked for."""
    last_price: dict[str, float] = field(default_factory=dict)
    last_seen: dict[str, int] = field(default_factory=dict)
    """End of the last bar of a symbol."""
    quotes: dict[str, Quote] = field(default_factory=dict)
    imbalances: dict[str, Imbalance] = field(default_factory=dict)
    market_halts: dict[str, TradingHalt] = field(default_factory=dict)
    """By symbol: where trading is stopped at present."""
    vix: VixReading | None = None
    vix_waiting: list[Signal] = field(default_factory=list)
    signaled: int = 0
    signaled_symbols: set[str] = field(default_factory=set)
    """For looking up only: a set has no order that two runs share."""
    dropped: dict[str, str] = field(default_factory=dict)
    """Candidates that left before they could signal, and why."""
    filters_alerted: set[str] = field(default_factory=set)
    """Filters whose failure has been alerted: once is enough."""
    trades: dict[str, Trade] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    order_times: list[Instant] = field(default_factory=list)
    """When orders left within the last minute."""
    tells: bool = True
    """Whether signals, answers of filters and non-decisions are told; nothing follows from them, and backtests, which
    read none of them, go without."""

    def emit(self, *outputs: Output) -> None:
        """Add `outputs` to the answer."""
        self.out.extend(outputs)

    def anomaly(self, client_order_id: str, text: str) -> None:
        """Record something that does not add up."""
        self.emit(AnomalySeen(at=self.at, client_order_id=client_order_id, text=text))

    def orders_of(self, trade: Trade, leg: Leg) -> list[Order]:
        """Return the orders of one leg of `trade`, oldest first."""
        orders = self.orders
        return [orders[order_id] for kind, order_id in trade.order_ids if kind is leg]

    def open_orders_of(self, trade: Trade, leg: Leg) -> list[Order]:
        """Return those orders of a leg that may still fill."""
        orders = self.orders
        return [
            order
            for kind, order_id in trade.order_ids
            if kind is leg and (order := orders[order_id]).state in OPEN_STATES
        ]

    def filled(self, trade: Trade, legs: Iterable[Leg]) -> Decimal:
        """Return the quantity executed on `legs` of `trade`."""
        wanted, total = tuple(legs), ZERO
        for leg, order_id in trade.order_ids:
            if leg in wanted:
                for fill in self.orders[order_id].fills:
                    total += fill.quantity
        return total

    def held(self, trade: Trade) -> Decimal:
        """Return the quantity that `trade` holds: entry executions less stop and exit executions."""
        total = ZERO
        for leg, order_id in trade.order_ids:
            fills = self.orders[order_id].fills
            if not fills:
                continue
            if leg is Leg.ENTRY:
                for fill in fills:
                    total += fill.quantity
            elif leg in _LEAVING:
                for fill in fills:
                    total -= fill.quantity
        return total

    def fills_of(self, trade: Trade, legs: Iterable[Leg]) -> list[Fill]:
        """Return the executions of `legs`, in order of the orders."""
        wanted = tuple(legs)
        return [fill for leg, oid in trade.order_ids if leg in wanted for fill in self.orders[oid].fills]

    def active_trades(self) -> list[Trade]:
        """Return trades that are not over, in order of their signals."""
        return [trade for trade in self.trades.values() if trade.state is not _CLOSED]

    def slots_used(self, broker: str | None = None) -> int:
        """Return how many trades hold or may come to hold a position, at `broker` or everywhere."""
        return sum(
            1
            for trade in self.trades.values()
            if trade.state in _WITH_A_SLOT and (broker is None or trade.broker == broker)
        )

    def approved(self, broker: str) -> int:
        """Return how many trades this session has approved at `broker`."""
        return sum(1 for trade in self.trades.values() if trade.broker == broker and trade.allotted > ZERO)

    def committed(self, broker: str) -> Decimal:
        """Return the dollars of the budget that approved trades took; a refused entry gives its share back."""
        return sum(
            (
                trade.allotted
                for trade in self.trades.values()
                if trade.allotted and trade.broker == broker and not self._never_existed(trade)
            ),
            ZERO,
        )

    def _never_existed(self, trade: Trade) -> bool:
        entries = self.orders_of(trade, Leg.ENTRY)
        return bool(entries) and all(order.state is OrderState.REJECTED and not order.fills for order in entries)

    def flat(self) -> bool:
        """Return whether nothing is held, nothing rests and nothing waits."""
        if self.vix_waiting:
            return False
        for trade in self.trades.values():
            if trade.state is not _CLOSED:
                return False
        return not any(order.is_open for order in self.orders.values())
