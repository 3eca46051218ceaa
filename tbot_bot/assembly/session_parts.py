"""The composition root: settings become specifications, limits and venues. Nowhere else are they put together."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from tbot_bot.assembly.embedded_market import ModelledPuts
from tbot_bot.assembly.fingerprint import code_fingerprint
from tbot_bot.assembly.schedule import PlannedSession
from tbot_bot.broker.broker_sim import SimulatedBroker, VenueStore
from tbot_bot.broker.capabilities import SIMULATED
from tbot_bot.broker.matching import Venue
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.inverse_etf import InverseEtfMap
from tbot_bot.config.named_files import universe_symbols
from tbot_bot.config.settings import Settings
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.orders import Capabilities
from tbot_bot.core.protocols import Screener
from tbot_bot.screeners.recorded_screener import RecordedScreener
from tbot_bot.screeners.rules import ScreenRules
from tbot_bot.strategy.strategy_meta import CloseParams, MidParams, OpenParams
from tbot_bot.trading.defense_limits import DefenseRules, reduced
from tbot_bot.trading.float_bot import float_target
from tbot_bot.trading.spec import (
    Allocation,
    BearishRules,
    BrokerSpec,
    FilterRules,
    RiskLimits,
    SessionSpec,
    Windows,
)

EMBEDDED: Final = "sim"
"""Name of the simulated broker where test mode has none enabled."""
_PERCENT: Final = Decimal(100)


def broker_names(bot: BotSettings) -> tuple[str, ...]:
    """Return the names of the enabled brokers, in order of configuration; test mode without any has `sim`."""
    return bot.enabled_brokers or (EMBEDDED,)


def float_targets(bot: BotSettings) -> Mapping[str, Decimal]:
    """Return each active broker's share of what is not reserve: the dollars a simulated account starts with."""
    names = broker_names(bot)
    return dict.fromkeys(names, float_target(bot.total_capital, bot.reserve_fraction, len(names)))


def defense_rules(bot: BotSettings) -> DefenseRules:
    """Return what `bot` says of defense mode."""
    return DefenseRules(
        total_allocation=bot.defense_mode_total_allocation,
        trade_limit=Decimal(bot.defense_mode_trade_limit_pct) / _PERCENT,
    )


def session_spec(
    bot: BotSettings,
    planned: PlannedSession,
    *,
    session: SessionId,
    mode: Mode,
    bar_span: Duration,
    inverse: InverseEtfMap,
    settings_fingerprint: str,
    blocked: tuple[str, ...] = (),
    capabilities: Mapping[str, Capabilities] | None = None,
) -> SessionSpec:
    """Return the specification of `planned`, as the session's first journal row holds it; the setting may defend it.

    A broker that is not in `capabilities` is simulated.
    """
    can = capabilities or {}
    windows = replace(planned.windows, bar_span=bar_span)
    strategy = bot.strategy(planned.strategy)
    spec = SessionSpec(
        session=session,
        day=session.day,
        strategy=planned.strategy,
        mode=mode,
        test_mode=bot.test_mode,
        confirmation_required=bot.trade_confirmation_required,
        windows=windows,
        params=_params(bot, planned.strategy, windows),
        stop_fraction=_stop_fraction(bot, planned.strategy),
        max_gap=strategy.max_gap_pct,
        brokers=tuple(BrokerSpec(name=name, capabilities=can.get(name, SIMULATED)) for name in broker_names(bot)),
        routing=bot.routing,
        allocation=_allocation(bot),
        limits=replace(risk_limits(bot), blocked_symbols=blocked),
        bearish=BearishRules(
            short_type=strategy.short_type,
            inverse_by_symbol=tuple(inverse.by_symbol.items()),
            inverse_by_sector=tuple(inverse.by_sector.items()),
            inverse_default=bot.inverse_etf_default,
            put_min_days=bot.put_min_dte,
            put_max_spread=bot.put_max_spread_pct,
            put_target_delta=bot.put_target_delta,
        ),
        filters=FilterRules(
            adx_enabled=bot.adx_filter_enabled,
            adx_max=float(bot.adx_max),
            bollinger_enabled=bot.bollinger_filter_enabled,
            bollinger_deviations=float(bot.bollinger_stddev),
            vix_threshold=bot.strat_close_vix_threshold,
            imbalance_enabled=bot.imbalance_filter_enabled,
        ),
        code_fingerprint=code_fingerprint(),
        settings_fingerprint=settings_fingerprint,
    )
    return reduced(spec, defense_rules(bot)) if bot.defense_mode_active else spec


def spec_on(spec: SessionSpec, planned: PlannedSession, session: SessionId, bot: BotSettings) -> SessionSpec:
    """Return what `session_spec` would for `planned`, where `spec` is that of another day; a tenth of the work."""
    windows = replace(planned.windows, bar_span=spec.windows.bar_span)
    params = _params(bot, planned.strategy, windows)
    return replace(spec, session=session, day=session.day, windows=windows, params=params)


def _params(bot: BotSettings, strategy: StrategyName, windows: Windows) -> OpenParams | MidParams | CloseParams:
    bell, start, span = windows.bell, windows.start, windows.bar_span
    analysis_end, entry_end = windows.analysis_end, windows.entry_end
    match strategy:
        case StrategyName.OPEN:
            return OpenParams(bell, start, analysis_end, entry_end, span, float(bot.strat_open_buffer))
        case StrategyName.MID:
            return MidParams(bell, start, analysis_end, entry_end, span, float(bot.strat_mid_vwap_threshold))
        case StrategyName.CLOSE:
            momentum, fade = float(bot.close_momentum_pct), float(bot.close_fade_z)
            return CloseParams(bell, start, analysis_end, entry_end, span, momentum, fade)


def _stop_fraction(bot: BotSettings, strategy: StrategyName) -> Decimal:
    match strategy:
        case StrategyName.OPEN:
            return bot.open_trailing_stop_pct
        case StrategyName.MID:
            return bot.mid_stop_loss_pct
        case StrategyName.CLOSE:
            return bot.close_stop_loss_pct


def _allocation(bot: BotSettings) -> Allocation:
    return Allocation(
        total_allocation=bot.total_allocation,
        weights=bot.weights,
        max_trades=bot.max_trades,
        sizing_mode=bot.sizing_mode,
        fractional=bot.fractional,
        entry_order=bot.entry_order,
        max_slippage=bot.max_slippage_pct,
    )


def risk_limits(bot: BotSettings) -> RiskLimits:
    """Return the limits that the pre-trade checks hold an order against."""
    return RiskLimits(
        disable_all_trades=bot.disable_all_trades,
        kill_switch=False,
        max_risk_per_trade=bot.max_risk_per_trade,
        daily_loss_limit=bot.daily_loss_limit,
        max_open_positions=bot.max_open_positions,
        max_concurrent_per_broker=bot.max_concurrent_trades_per_broker,
        max_order_notional=bot.max_order_notional,
        max_orders_per_minute=bot.max_orders_per_minute,
        price_collar=bot.price_collar_pct,
        max_spread=bot.max_spread_pct,
        min_volume=Decimal(bot.min_volume_threshold),
    )


def simulated_brokers(
    bot: BotSettings, market: MarketDay, store: Callable[[str], VenueStore] | None = None
) -> Mapping[str, SimulatedBroker]:
    """Return the embedded venues behind the enabled brokers' names; without `store` they live in memory."""
    hours = market.day

    def is_open(at: Instant) -> bool:
        return hours.open_at <= at < hours.close_at

    puts = ModelledPuts(market)
    return {
        name: SimulatedBroker(
            Venue(broker=name, cash=cash, pricer=puts, is_open=is_open), store=None if store is None else store(name)
        )
        for name, cash in float_targets(bot).items()
    }


def screener_for(settings: Settings, spec: SessionSpec) -> Screener:
    """Return the screener of one session, bound to its limits.

    Raises:
        ConfigError: `UNIVERSE` names a file that cannot be used.
    """
    bot = settings.bot
    strategy = bot.strategy(spec.strategy)
    inverse = spec.bearish
    funds = {etf for _, etf in (*inverse.inverse_by_symbol, *inverse.inverse_by_sector)}
    if inverse.inverse_default:
        funds.add(inverse.inverse_default)
    rules = ScreenRules(
        min_price=bot.min_price,
        max_price=bot.max_price,
        min_volume=Decimal(bot.min_volume_threshold),
        max_gap=strategy.max_gap_pct,
        min_market_cap=strategy.min_market_cap,
        max_market_cap=strategy.max_market_cap,
        max_candidates=bot.screener_max_candidates,
        universe=universe_symbols(settings.home, settings.bot.universe),
        excluded=frozenset(funds),
        test_mode=bot.test_mode,
    )
    return RecordedScreener(spec.strategy, rules)
