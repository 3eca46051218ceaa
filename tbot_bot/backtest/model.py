"""What a backtest is asked for, and what it gives: the records that engines, reports and sweeps share.

Instants are nanoseconds UTC, money is dollars as Decimal, fractions are fractions (0.02 is 2 %).
"""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from tbot_bot.backtest.execution_model import ExecutionModel
from tbot_bot.core.commands import SignalDropped, TradeRecord
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import Side

Overrides = tuple[tuple[str, str], ...]


class EngineChoice(StrEnum):
    """Which engine runs (`--engine`)."""

    AUTO = "auto"
    """The array engine, or the event engine where a setting cannot be expressed over arrays."""
    EVENT = "event"
    ARRAY = "array"


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestRequest:
    """One backtest: data, days, strategies and settings, the last as `--set NAME=VALUE` gives them elsewhere."""

    home: Path
    """Installation whose settings files count; absent files mean defaults. Nothing is written there."""
    data: Path
    """A bar file, or a folder of them."""
    first: date
    last: date
    """Inclusive; days on which New York is closed, and days without data, are passed over."""
    vix: Path | None = None
    strategies: tuple[StrategyName, ...] = ()
    """Empty: the daily sequence as the settings say; else these and no others, each in its own session."""
    overrides: Overrides = ()
    engine: EngineChoice = EngineChoice.AUTO
    execution: ExecutionModel = field(default_factory=ExecutionModel)
    cache: Path | None = None
    """Folder for memory-mapped arrays; None: bars are decoded anew."""
    cash: tuple[tuple[str, Decimal], ...] = ()
    """(broker, dollars) with which the accounts begin; empty: the floats of the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestTrade:
    """One trade that was entered, whole."""

    record: TradeRecord
    """As the trade history shows it: prices, quantity, fees, slippage, result, why it was left."""
    day: date
    entry_side: Side
    asked: Decimal
    """Shares or contracts ordered; `record.size` is what was filled."""
    allotted: Decimal
    """Dollars of the session's budget that the trade was given."""
    signal_at: Instant
    signal_price: Decimal
    signal_score: float
    signal_reason: str
    decision_price: Decimal
    """Price of the instrument at which the entry was decided."""
    exit_decision_price: Decimal
    """The same of the exit; 0 where nobody quoted it (a put)."""
    stop_price: Decimal
    """Last level of the protective stop, in the price of `watched`."""
    watched: str
    entered_at: Instant
    exited_at: Instant | None
    """None: still held when the day's data ended."""
    modelled: bool
    """Whether a price came from a formula instead of a market."""
    recorded: bool = False
    """Whether it was an option and every price came from recorded quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedSignal:
    """A signal that became no trade, and why."""

    strategy: StrategyName
    dropped: SignalDropped


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfilledEntry:
    """An entry order that executed nothing, or was refused."""

    record: TradeRecord
    reason: str = ""
    """Why the venue refused or ended it, in its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """One session of one day."""

    strategy: StrategyName
    skipped: str = ""
    """Why it did not take place, or why it could not have entered anything."""
    candidates: int = 0
    """0 as well where the array engine saw that nothing signalled and screened nobody."""
    signals: int = 0
    trades: int = 0
    ended: str = ""
    kill: str = ""
    """Why it engaged the kill switch; a live bot would stay halted until a person releases it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFacts:
    """One trading day."""

    day: date
    equity_before: tuple[tuple[str, Decimal], ...]
    """(broker, dollars) before the first session."""
    equity_after: tuple[tuple[str, Decimal], ...]
    """(broker, dollars) after the last one, at last prices."""
    bars: int
    """Regular-session bars of all symbols."""
    sessions: tuple[SessionFacts, ...]
    notices: tuple[str, ...] = ()

    @property
    def result(self) -> Decimal:
        """Return the day's result over all brokers, in dollars."""
        return sum((after for _, after in self.equity_after), Decimal(0)) - sum(
            (before for _, before in self.equity_before), Decimal(0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """What a backtest found. Equal requests over equal data and code give equal results, by either engine."""

    engine: EngineChoice
    """Which one ran: event or array."""
    fallback: str
    """Why the event engine ran although `auto` was asked for; empty else."""
    code_fingerprint: str
    settings_fingerprint: str
    data_fingerprint: str
    """Over the bytes of the data; empty where the source is not files."""
    settings: tuple[str, ...]
    """The settings in force, secrets masked, in their stable text form."""
    days: tuple[DayFacts, ...]
    trades: tuple[BacktestTrade, ...]
    """In order of their ends within a session, of sessions within a day, of days."""
    unfilled: tuple[UnfilledEntry, ...]
    skipped_signals: tuple[SkippedSignal, ...]
    missing_days: tuple[date, ...] = ()
    """Trading days in the range for which there are no data."""
    notices: tuple[str, ...] = ()
    """What the operator should know about the data as a whole, in words."""

    @property
    def bars(self) -> int:
        """Return how many bars the days hold."""
        return sum(day.bars for day in self.days)
