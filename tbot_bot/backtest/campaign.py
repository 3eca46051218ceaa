"""The days of a backtest one after another: accounts that live on, sessions planned and specified as live ones are."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.assembly.fingerprint import settings_fingerprint
from tbot_bot.assembly.schedule import DayPlan, PlannedSession, ScheduleRules, plan_day, schedule_rules
from tbot_bot.assembly.session_parts import float_targets, screener_for, session_spec, spec_on
from tbot_bot.backtest.market_facts import NOTHING, KnownMarket, RecordedFacts, facts_of
from tbot_bot.backtest.model import BacktestRequest, BacktestTrade, DayFacts, SessionFacts, SkippedSignal, UnfilledEntry
from tbot_bot.backtest.session_driver import SessionDriver
from tbot_bot.broker.matching import Venue
from tbot_bot.broker.venue_state import VenueRules
from tbot_bot.config.inverse_etf import InverseEtfMap, load_inverse_etf_map
from tbot_bot.config.named_files import blocked_symbols
from tbot_bot.config.settings import Settings, load_settings, settings_lines
from tbot_bot.core.commands import TradeRecord
from tbot_bot.core.events import EarlierToday
from tbot_bot.core.identity import Leg, Mode, SessionId, StrategyName
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.core.instruments import AssetClass
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.money import ZERO
from tbot_bot.core.protocols import Screener
from tbot_bot.trading.session_state import Trade
from tbot_bot.trading.spec import SessionSpec

_TEST_MODE: Final = "TEST_MODE"
_MODELLED, _RECORDED = "MODELLED_PRICE", "RECORDED_PRICE"
"""Tags that say where a put's prices come from; a trade with one modelled price is modelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The settings of one backtest, and what follows from them alone."""

    settings: Settings
    rules: ScheduleRules
    inverse: InverseEtfMap
    blocked: tuple[str, ...]
    lines: tuple[str, ...]
    fingerprint: str
    cash: tuple[tuple[str, Decimal], ...] = ()
    """(broker, dollars) with which the accounts begin; empty: the floats of the settings."""
    execution: VenueRules = field(default_factory=VenueRules)
    facts: RecordedFacts = NOTHING
    """What the files of the execution model say."""


@dataclass(slots=True, kw_only=True)
class Found:
    """What the sessions so far have come to."""

    days: list[DayFacts] = field(default_factory=list)
    trades: list[BacktestTrade] = field(default_factory=list)
    unfilled: list[UnfilledEntry] = field(default_factory=list)
    skipped: list[SkippedSignal] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Today:
    """What the sessions of one day leave to each other, as `EarlierToday` tells it in a live one."""

    traded: dict[str, None] = field(default_factory=dict)
    open_trades: int = 0
    realized: dict[str, Decimal] = field(default_factory=dict)
    halted: dict[str, str] = field(default_factory=dict)
    first_floats: dict[str, Decimal] = field(default_factory=dict)


def setting_of(request: BacktestRequest, facts: RecordedFacts | None = None) -> Setting:
    """Return the settings in force; `facts` are the files of its execution model, read here where they are not given.

    Volume and fundamentals that the data lack are passed over, as in every rehearsal, unless `TEST_MODE=false` is
    among the overrides: then a candidate needs them.

    Raises:
        ConfigError: the settings, or what the overrides make of them, cannot be used.
        DataError: a file of the execution model cannot be used.
    """
    overrides = {_TEST_MODE: "true", **dict(request.overrides)}
    if request.strategies:
        overrides["STRATEGY_OVERRIDE"] = ",".join(request.strategies)
    settings = load_settings(request.home, overrides, defaults_if_absent=True)
    bot = settings.bot
    lines = settings_lines(settings)
    return Setting(
        settings=settings,
        rules=schedule_rules(bot),
        inverse=load_inverse_etf_map(bot.inverse_etf_map and settings.home / bot.inverse_etf_map),
        blocked=blocked_symbols(settings.home),
        lines=tuple(lines),
        fingerprint=settings_fingerprint(lines),
        execution=request.execution.rules(),
        facts=facts_of(request.execution) if facts is None else facts,
        cash=request.cash,
    )


class Accounts:
    """The venues of a backtest; they live from day to day, so that what is won or lost moves later budgets."""

    def __init__(self, setting: Setting) -> None:
        """Fund one venue for each enabled broker."""
        self._market = market = KnownMarket(setting.facts)
        self.venues: Mapping[str, Venue] = {
            name: Venue(
                broker=name, cash=cash, rules=setting.execution, pricer=market, is_open=market.is_open, facts=market
            )
            for name, cash in (dict(setting.cash) or float_targets(setting.settings.bot)).items()
        }

    def enter(self, day: MarketDay) -> None:
        """Let the venues trade on `day`."""
        self._market.enter(day)

    def equity(self) -> tuple[tuple[str, Decimal], ...]:
        """Return what each account is worth at last prices."""
        return tuple((name, venue.account().equity) for name, venue in self.venues.items())

    def idle(self) -> bool:
        """Return whether nothing is held and nothing rests anywhere."""
        return not any(venue.positions() or venue.open_orders() for venue in self.venues.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class DueSession:
    """One session that is to be driven."""

    spec: SessionSpec
    screener: Callable[[], Screener]
    """Made when it is needed: many sessions over arrays need none."""


Drive = Callable[[DueSession, MarketDay, EarlierToday, Accounts], SessionDriver | None]
"""Runs one session; None where it is known that it could not have done anything."""


class Sessions:
    """Specifications and screeners of one run; what no day changes is put together once."""

    def __init__(self, setting: Setting) -> None:
        """Begin without any."""
        self._setting = setting
        self._specs: dict[StrategyName, SessionSpec] = {}
        self._screeners: dict[StrategyName, Screener] = {}

    def spec(self, day: MarketDay, planned: PlannedSession) -> SessionSpec:
        """Return the specification of `planned` on `day`."""
        setting = self._setting
        session = SessionId(day=day.day.day, strategy=planned.strategy)
        known = self._specs.get(planned.strategy)
        if known is not None and known.windows.bar_span == day.span:
            return spec_on(known, planned, session, setting.settings.bot)
        made = self._specs[planned.strategy] = session_spec(
            setting.settings.bot,
            planned,
            session=session,
            mode=Mode.BACKTEST,
            bar_span=Duration(day.span),
            inverse=setting.inverse,
            settings_fingerprint=setting.fingerprint,
            blocked=setting.blocked,
        )
        return made

    def screener(self, spec: SessionSpec) -> Screener:
        """Return the screener of a session."""
        known = self._screeners.get(spec.strategy)
        if known is None:
            known = self._screeners[spec.strategy] = screener_for(self._setting.settings, spec)
        return known


def run_days(
    setting: Setting,
    days: Iterator[MarketDay],
    drive: Drive,
    bars_of: Callable[[MarketDay], int],
    plan: Callable[[ScheduleRules, date], DayPlan] = plan_day,
) -> Found:
    """Run every session of `days` in order."""
    found, sessions = Found(), Sessions(setting)
    accounts = Accounts(setting)
    worth = accounts.equity()
    for day in days:
        accounts.enter(day)
        today = Today()
        facts = []
        for planned in plan(setting.rules, day.day.day).sessions:
            if planned.skipped:
                facts.append(SessionFacts(strategy=planned.strategy, skipped=planned.skipped))
                continue
            facts.append(_session(sessions, day, planned, accounts, today, drive, found))
        after = accounts.equity() if any(one.trades for one in facts) or not accounts.idle() else worth
        found.days.append(
            DayFacts(
                day=day.day.day,
                equity_before=worth,
                equity_after=after,
                bars=bars_of(day),
                sessions=tuple(facts),
                notices=day.notices,
            )
        )
        worth = after
    return found


def _session(
    sessions: Sessions,
    day: MarketDay,
    planned: PlannedSession,
    accounts: Accounts,
    today: Today,
    drive: Drive,
    found: Found,
) -> SessionFacts:
    spec = sessions.spec(day, planned)
    if not today.first_floats:
        today.first_floats.update(accounts.equity())
    due = DueSession(spec=spec, screener=lambda: sessions.screener(spec))
    driver = drive(due, day, _earlier(today, spec), accounts)
    if driver is None:
        return SessionFacts(strategy=planned.strategy, skipped="")
    _remember(driver, today)
    trades = [_trade(driver, record, spec) for record in driver.records if record.entered_at is not None]
    found.trades += trades
    found.unfilled += [_unfilled(driver, one, accounts) for one in driver.records if one.entered_at is None]
    found.skipped += [SkippedSignal(strategy=planned.strategy, dropped=one) for one in driver.dropped]
    for venue in accounts.venues.values():
        venue.forget_changes()
    state = driver.engine.state
    return SessionFacts(
        strategy=planned.strategy,
        candidates=driver.candidates,
        signals=state.signaled,
        trades=len(trades),
        ended=state.stop_reason,
        kill=driver.kill,
    )


def _earlier(today: Today, spec: SessionSpec) -> EarlierToday:
    return EarlierToday(
        at=spec.windows.screen_at,
        traded=tuple(today.traded),
        open_trades=today.open_trades,
        realized=tuple((broker, str(result)) for broker, result in today.realized.items()),
        halted=tuple(today.halted.items()),
        first_floats=tuple((broker, str(equity)) for broker, equity in today.first_floats.items()),
    )


def _remember(driver: SessionDriver, today: Today) -> None:
    today.traded.update(driver.approved)
    today.halted.update(driver.halted)
    for record in driver.records:
        today.realized[record.broker] = today.realized.get(record.broker, ZERO) + record.pnl


def _unfilled(driver: SessionDriver, record: TradeRecord, accounts: Accounts) -> UnfilledEntry:
    state = driver.engine.state
    entry = state.orders_of(state.trades[record.trade_id], Leg.ENTRY)[0].request
    known = accounts.venues[record.broker].order(entry.client_order_id)
    return UnfilledEntry(record=record, reason="" if known is None else known.reason)


def _trade(driver: SessionDriver, record: TradeRecord, spec: SessionSpec) -> BacktestTrade:
    state = driver.engine.state
    trade: Trade = state.trades[record.trade_id]
    entry = state.orders_of(trade, Leg.ENTRY)[0].request
    held = state.held(trade) > ZERO
    option = trade.instrument is not None and trade.instrument.asset_class is AssetClass.OPTION
    modelled = any(fill.modelled for fill in state.fills_of(trade, tuple(Leg)))
    if option:
        tags = tuple(tag for tag in record.tags if tag != _MODELLED)
        record = replace(record, tags=(*tags, _MODELLED if modelled else _RECORDED))
    return BacktestTrade(
        record=record,
        day=spec.day,
        entry_side=entry.side,
        asked=entry.quantity,
        allotted=trade.allotted,
        signal_at=trade.signal_at,
        signal_price=trade.signal.price,
        signal_score=trade.signal.score,
        signal_reason=trade.signal.reason,
        decision_price=trade.decision_price,
        exit_decision_price=trade.exit_decision_price,
        stop_price=trade.stop_price,
        watched=trade.watched,
        entered_at=record.entered_at or Instant(0),
        exited_at=None if held else record.at,
        modelled=modelled,
        recorded=option and not modelled,
    )
