"""Everything that one session's engine needs to know before its first event; journaled as its first row."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tbot_bot.core.codec import record
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.core.money import ONE
from tbot_bot.core.orders import Capabilities, ShortType
from tbot_bot.core.policies import EntryOrder, Routing, SizingMode
from tbot_bot.strategy.strategy_meta import CloseParams, MidParams, OpenParams


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The instants at which a session's phases begin, UTC nanoseconds."""

    bell: Instant
    """Opening bell of the day."""
    screen_at: Instant
    start: Instant
    analysis_end: Instant
    entry_end: Instant
    monitoring: Duration
    """Counted from each position's entry."""
    hard_exit_at: Instant
    """Nothing is held beyond this, whatever the windows say."""
    market_close: Instant
    bar_span: Duration


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSpec:
    """One broker of this session."""

    name: str
    capabilities: Capabilities
    halted: bool = False
    """True: no entries until the next trading day (daily loss, watchdog)."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """How the session's budget is made and shared. Fractions, not percent."""

    total_allocation: Decimal
    weights: tuple[Decimal, ...]
    max_trades: int
    sizing_mode: SizingMode
    fractional: bool
    entry_order: EntryOrder
    max_slippage: Decimal
    best_signals: Decimal = ONE
    """Fraction of the candidates, and of the signals of one instant, that may trade, the best first; rounded up."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """The limits of the pre-trade checks. Fractions, dollars, counts."""

    disable_all_trades: bool
    kill_switch: bool
    max_risk_per_trade: Decimal
    daily_loss_limit: Decimal
    max_open_positions: int
    max_concurrent_per_broker: int
    max_order_notional: Decimal
    max_orders_per_minute: int
    price_collar: Decimal
    max_spread: Decimal
    min_volume: Decimal
    blocked_symbols: tuple[str, ...] = ()


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class BearishRules:
    """How bearish signals become instruments."""

    short_type: ShortType
    inverse_by_symbol: tuple[tuple[str, str], ...]
    inverse_by_sector: tuple[tuple[str, str], ...]
    inverse_default: str
    put_min_days: int
    put_max_spread: Decimal
    put_target_delta: Decimal


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRules:
    """Limits of the filters that a strategy asks."""

    adx_enabled: bool
    adx_max: float
    bollinger_enabled: bool
    bollinger_deviations: float
    vix_threshold: Decimal
    imbalance_enabled: bool


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """One session, whole: the same spec and the same events give the same commands."""

    session: SessionId
    day: date
    strategy: StrategyName
    mode: Mode
    test_mode: bool
    confirmation_required: bool
    windows: Windows
    params: OpenParams | MidParams | CloseParams
    stop_fraction: Decimal
    """Distance of the protective stop: OPEN trails it, MID and CLOSE keep it."""
    max_gap: Decimal
    brokers: tuple[BrokerSpec, ...]
    routing: Routing
    allocation: Allocation
    limits: RiskLimits
    bearish: BearishRules
    filters: FilterRules
    tags: tuple[str, ...] = ()
    code_fingerprint: str = ""
    settings_fingerprint: str = ""
