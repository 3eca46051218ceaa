"""Which sessions a trading day has, and when their phases begin. Pure: settings and calendar in, plan out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from tbot_bot.config.choices import EarlyClosePolicy, LateStartPolicy, SessionAnchor, Weekday
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.core.calendar import NotATradingDay, TradingDay, new_york, trading_day
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import HOUR, MINUTE, Duration, Instant, instant, iso, later, minutes
from tbot_bot.trading.spec import Windows

SCREEN_BEFORE: Final = Duration(5 * MINUTE)
"""How long before its start a session begins to screen (spec 4)."""
BAR_SPAN: Final = MINUTE
_NEW_YORK_BEHIND_UTC: Final = Duration(5 * HOUR)
"""Of New York standard time: how `START_TIME_*` are read where the anchor is the exchange."""
_USUAL_CLOSE: Final = time(16, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRule:
    """How long one strategy's phases take."""

    enabled: bool
    start: time
    """As in `START_TIME_S`."""
    analysis: Duration
    breakout: Duration
    monitoring: Duration
    """Counted from each position's entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRules:
    """All settings that the schedule depends on."""

    anchor: SessionAnchor
    early_close: EarlyClosePolicy
    late_start: LateStartPolicy
    weekdays: tuple[Weekday, ...]
    hard_exit_before_close: Duration
    sequence: tuple[StrategyName, ...]
    """Order of precedence; a session of a later place waits for those before it."""
    override: tuple[StrategyName, ...]
    """These run instead of the sequence, where given."""
    sessions: Mapping[StrategyName, SessionRule]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSession:
    """One session of a day: its windows, and why it will not take place (empty where it will)."""

    strategy: StrategyName
    windows: Windows
    skipped: str = ""

    @property
    def ends_at(self) -> Instant:
        """The latest instant at which it can still hold a position."""
        return min(later(self.windows.entry_end, self.windows.monitoring), self.windows.hard_exit_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayPlan:
    """A day's sessions in order of start; `closed` says why there are none."""

    day: date
    sessions: tuple[PlannedSession, ...] = ()
    closed: str = ""
    early: bool = False

    @property
    def due(self) -> tuple[PlannedSession, ...]:
        """The sessions that take place."""
        return tuple(session for session in self.sessions if not session.skipped)


def schedule_rules(bot: BotSettings) -> ScheduleRules:
    """Return what the settings say about the schedule."""
    strategies = {name: bot.strategy(name) for name in StrategyName}
    return ScheduleRules(
        anchor=bot.session_anchor,
        early_close=bot.early_close_policy,
        late_start=bot.late_start_policy,
        weekdays=tuple(bot.trading_days),
        hard_exit_before_close=minutes(bot.close_hard_exit_minutes),
        sequence=tuple(bot.strategy_sequence),
        override=tuple(bot.strategy_override),
        sessions={
            name: SessionRule(
                enabled=strategy.enabled,
                start=strategy.start_time,
                analysis=strategy.analysis_time,
                breakout=strategy.breakout_time,
                monitoring=strategy.monitoring_time,
            )
            for name, strategy in strategies.items()
        },
    )


def plan_day(rules: ScheduleRules, day: date) -> DayPlan:
    """Return the plan of `day`, whether or not it trades."""
    try:
        trading = trading_day(day)
    except NotATradingDay as closed:
        return DayPlan(day=day, closed=closed.reason)
    weekday = tuple(Weekday)[day.weekday()]
    if weekday not in rules.weekdays:
        return DayPlan(day=day, closed=f"{weekday} is not in TRADING_DAYS", early=trading.early)
    return DayPlan(day=day, sessions=planned_sessions(rules, trading), early=trading.early)


def planned_sessions(rules: ScheduleRules, trading: TradingDay) -> tuple[PlannedSession, ...]:
    """Return the sessions of `trading` in the order in which they run, the skipped ones with their reason.

    A session that would begin while the one before it may still hold a position waits for it. Its phases keep
    their lengths; where they no longer end in time it is skipped.
    """
    nominal = [_nominal(rules, trading, name) for name in rules.override or rules.sequence]
    # by start; where two start together the sequence decides, since sorting is stable
    nominal.sort(key=lambda session: session.windows.start)
    planned: list[PlannedSession] = []
    free_at = Instant(0)
    for session in nominal:
        final = session if session.skipped else _waiting(session, free_at)
        planned.append(final)
        if not final.skipped:
            free_at = final.ends_at
    return tuple(planned)


def late(rules: ScheduleRules, session: PlannedSession, now: Instant) -> str:
    """Return why `session` cannot begin as late as `now`, empty where it can."""
    windows = session.windows
    if now <= windows.start:
        return ""
    if now >= windows.entry_end:
        return f"the entry window ended at {iso(windows.entry_end)}"
    if rules.late_start is LateStartPolicy.SKIP:
        return f"it should have started at {iso(windows.start)}, and LATE_START_POLICY is skip"
    return ""


def _nominal(rules: ScheduleRules, trading: TradingDay, name: StrategyName) -> PlannedSession:
    rule = rules.sessions[name]
    shift = _early_by(trading) if name is StrategyName.CLOSE else Duration(0)
    start = later(_start_of(rules.anchor, trading.day, rule.start), -shift)
    windows = _windows(rules, rule, trading, start)
    if not rule.enabled:
        reason = f"STRAT_{name.upper()}_ENABLED is false"
    elif trading.early and name is StrategyName.CLOSE and rules.early_close is EarlyClosePolicy.SKIP:
        reason = "the exchange closes early, and EARLY_CLOSE_POLICY is skip"
    else:
        reason = _unfit(windows)
    return PlannedSession(strategy=name, windows=windows, skipped=reason)


def _waiting(session: PlannedSession, free_at: Instant) -> PlannedSession:
    windows = session.windows
    wait = max(free_at - windows.start, 0)
    if not wait:
        return session
    moved = Windows(
        bell=windows.bell,
        screen_at=later(windows.screen_at, wait),
        start=later(windows.start, wait),
        analysis_end=later(windows.analysis_end, wait),
        entry_end=later(windows.entry_end, wait),
        monitoring=windows.monitoring,
        hard_exit_at=windows.hard_exit_at,
        market_close=windows.market_close,
        bar_span=windows.bar_span,
    )
    unfit = _unfit(moved)
    reason = f"it would have to wait for the session before it, until {iso(moved.start)}: {unfit}" if unfit else ""
    return PlannedSession(strategy=session.strategy, windows=moved, skipped=reason)


def _windows(rules: ScheduleRules, rule: SessionRule, trading: TradingDay, start: Instant) -> Windows:
    analysis_end = later(start, rule.analysis)
    return Windows(
        bell=trading.open_at,
        screen_at=later(start, -SCREEN_BEFORE),
        start=start,
        analysis_end=analysis_end,
        entry_end=later(analysis_end, rule.breakout),
        monitoring=rule.monitoring,
        hard_exit_at=later(trading.close_at, -rules.hard_exit_before_close),
        market_close=trading.close_at,
        bar_span=BAR_SPAN,
    )


def _unfit(windows: Windows) -> str:
    if windows.start < windows.bell:
        return f"it would start at {iso(windows.start)}, before the opening bell at {iso(windows.bell)}"
    if windows.entry_end > windows.hard_exit_at:
        end, hard_exit = iso(windows.entry_end), iso(windows.hard_exit_at)
        return f"its entry window would end at {end}, after the hard exit at {hard_exit}"
    return ""


def _start_of(anchor: SessionAnchor, day: date, start: time) -> Instant:
    utc = instant(datetime.combine(day, start, tzinfo=UTC))
    if anchor is SessionAnchor.UTC:
        return utc
    # 14:30 read in standard time is 9:30 in New York; then ask for 9:30 of that day, summer or winter
    wall = (datetime.combine(day, start) - timedelta(seconds=_NEW_YORK_BEHIND_UTC // 10**9)).time()
    return new_york(day, wall)


def _early_by(trading: TradingDay) -> Duration:
    return Duration(new_york(trading.day, _USUAL_CLOSE) - trading.close_at) if trading.early else Duration(0)
