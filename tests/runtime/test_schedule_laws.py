"""The schedule's laws over every day of 29 years and over random rules, against calendars that are not ours."""

import csv
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.config.choices import EarlyClosePolicy, LateStartPolicy, SessionAnchor, Weekday
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant, instant, minutes
from tbot_bot.runtime.schedule import ScheduleRules, SessionRule, plan_day

FIRST, LAST = date(2007, 1, 1), date(2035, 12, 31)
DAYS = [FIRST + timedelta(days=offset) for offset in range((LAST - FIRST).days + 1)]
NEW_YORK = ZoneInfo("America/New_York")
OPEN, MID, CLOSE = StrategyName.OPEN, StrategyName.MID, StrategyName.CLOSE
MINUTE = minutes(1)


@cache
def other_calendar():
    """Return day -> (open, close, closes early) of exchange_calendars, which the bot does not use when it runs."""
    import exchange_calendars  # noqa: PLC0415 - with pandas it takes two seconds, which collecting should not

    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST.isoformat(), end=LAST.isoformat())
    table = calendar.schedule
    opens, closes = table["open"], table["close"]
    usual = time(16, 0)
    found = {}
    for day in table.index:
        opened, closed = opens[day].to_pydatetime(), closes[day].to_pydatetime()
        found[day.date()] = (instant(opened), instant(closed), closed.astimezone(NEW_YORK).time() < usual)
    return found


def rule(start, analysis=30, breakout=30, monitoring=60, *, enabled=True):
    return SessionRule(
        enabled=enabled, start=start, analysis=minutes(analysis), breakout=minutes(breakout),
        monitoring=minutes(monitoring),
    )  # fmt: skip


def rules_of(**changes):
    """Return rules with the built-in starts."""
    given_rules = {
        "anchor": SessionAnchor.EXCHANGE,
        "early_close": EarlyClosePolicy.SHIFT,
        "late_start": LateStartPolicy.JOIN,
        "weekdays": tuple(Weekday)[:5],
        "hard_exit_before_close": minutes(1),
        "sequence": (OPEN, MID, CLOSE),
        "override": (),
        "sessions": {
            OPEN: rule(time(14, 30)),
            MID: rule(time(15, 30), 5, 30, 30),
            CLOSE: rule(time(19, 30), 15, 30, 15),
        },
    }
    return ScheduleRules(**{**given_rules, **changes})


def hold_the_laws(rules, day, plan):
    """Assert what holds of any plan under any rules."""
    bells = other_calendar().get(day)
    trades = bells is not None and f"{day:%a}".lower() in rules.weekdays
    assert bool(plan.closed) is not trades, plan
    if bells is None:
        assert "TRADING_DAYS" not in plan.closed
        assert ("weekend" in plan.closed) is (day.weekday() >= 5)
        assert ("holiday" in plan.closed) is (day.weekday() < 5)
    if not trades:
        assert plan.sessions == ()
        return
    bell, close, early = bells
    assert plan.early is early
    order = rules.override or rules.sequence
    assert sorted(one.strategy for one in plan.sessions) == sorted(order)
    free_at = bell
    for session in plan.due:
        windows, wanted = session.windows, rules.sessions[session.strategy]
        assert wanted.enabled
        assert windows.start >= free_at, "sessions overlap"
        free_at = session.ends_at
        assert windows.screen_at == windows.start - 5 * MINUTE
        assert windows.analysis_end == windows.start + wanted.analysis, "a phase was cut"
        assert windows.entry_end == windows.analysis_end + wanted.breakout, "an entry window is not whole"
        assert windows.monitoring == wanted.monitoring
        assert windows.entry_end <= session.ends_at <= windows.hard_exit_at
        assert windows.hard_exit_at == close - rules.hard_exit_before_close
        assert (windows.bell, windows.market_close) == (bell, close)
        assert windows.start >= nominal_start(rules, day, session.strategy, close), "a session was moved forward"
    for session in plan.sessions:
        if session.skipped:
            assert reason_holds(rules, session, bells), session


def nominal_start(rules, day, name, close):
    """Return when the settings mean the session to begin: in the exchange's own clock, and not by our arithmetic."""
    start = rules.sessions[name].start
    if rules.anchor is SessionAnchor.UTC:
        at = datetime.combine(day, start, tzinfo=UTC)
    else:
        in_winter = (datetime.combine(date(2025, 1, 7), start, tzinfo=UTC)).astimezone(NEW_YORK)
        at = datetime.combine(day, in_winter.time(), tzinfo=NEW_YORK)
    usual = datetime.combine(day, time(16, 0), tzinfo=NEW_YORK)
    shift = instant(usual) - close if name is CLOSE else 0
    return Instant(instant(at) - shift)


def reason_holds(rules, session, bells):
    """Return whether the reason for a skipped session is the true one."""
    bell, _, early = bells
    windows, reason = session.windows, session.skipped
    if not rules.sessions[session.strategy].enabled:
        return f"STRAT_{session.strategy.upper()}_ENABLED" in reason
    if early and session.strategy is CLOSE and rules.early_close is EarlyClosePolicy.SKIP:
        return "EARLY_CLOSE_POLICY" in reason
    if windows.start < bell:
        return "before the opening bell" in reason
    return "after the hard exit" in reason and windows.entry_end > windows.hard_exit_at


@pytest.mark.parametrize("anchor", SessionAnchor)
@pytest.mark.parametrize("policy", EarlyClosePolicy)
def test_every_day_of_29_years_keeps_the_laws(anchor, policy):
    rules = rules_of(anchor=anchor, early_close=policy)
    for day in DAYS:
        hold_the_laws(rules, day, plan_day(rules, day))


def test_the_calendar_is_that_of_the_recorded_sessions(shared):
    path = shared / "data" / "licensed" / "calendar_xnys.csv"
    with path.open(encoding="utf-8") as file:
        recorded = {date.fromisoformat(row["date"]): row for row in csv.DictReader(file)}
    rules = rules_of()
    first, last = min(recorded), max(recorded)
    known = [day for day in DAYS if first <= day <= last]
    assert len(known) > 19 * 365
    for day in known:
        plan, row = plan_day(rules, day), recorded.get(day)
        assert bool(plan.closed) is (row is None), day
        if row is not None:
            windows = plan.sessions[0].windows
            assert windows.bell == instant(datetime.fromisoformat(row["open_utc"])), day
            assert windows.market_close == instant(datetime.fromisoformat(row["close_utc"])), day
            assert plan.early is (row["early_close"] == "True"), day


def test_open_and_mid_keep_their_distance_to_the_open_and_close_to_the_close_in_summer_and_winter():
    rules = rules_of(sequence=(OPEN, CLOSE))
    mid_alone = rules_of(sequence=(MID,))
    seen = set()
    for day, (bell, close, early) in other_calendar().items():
        opening, closing = plan_day(rules, day).due
        (middle,) = plan_day(mid_alone, day).due
        assert (opening.windows.start - bell, middle.windows.start - bell) == (0, 60 * MINUTE), day
        assert close - closing.windows.start == 90 * MINUTE, day
        at = datetime.fromtimestamp(bell / 10**9, tz=UTC)
        seen.add((at.hour, early))
    assert seen == {(13, False), (14, False), (13, True), (14, True)}  # both halves of the year, with early closes


def test_with_the_utc_anchor_starts_are_literal_on_every_day():
    rules = rules_of(anchor=SessionAnchor.UTC, sequence=(MID,))
    for day in other_calendar():
        (session,) = plan_day(rules, day).sessions
        assert session.windows.start == instant(datetime.combine(day, time(15, 30), tzinfo=UTC))


def test_the_days_around_a_change_of_the_clocks_differ_by_an_hour_of_utc_and_none_of_new_york():
    rules = rules_of(sequence=(OPEN,))
    for before, after, hours in (
        (date(2025, 3, 7), date(2025, 3, 10), -1),
        (date(2025, 10, 31), date(2025, 11, 3), 1),
        (date(2026, 3, 6), date(2026, 3, 9), -1),
        (date(2026, 10, 30), date(2026, 11, 2), 1),
    ):
        first, second = (plan_day(rules, day).due[0].windows.start for day in (before, after))
        assert second - first == minutes(((after - before).days * 24 + hours) * 60)


starts = st.integers(0, 24 * 60 - 1).map(lambda minute: time(minute // 60, minute % 60))
sensible = st.integers(14 * 60 + 30, 20 * 60 + 30).map(lambda minute: time(minute // 60, minute % 60))
session_rules = st.builds(
    rule,
    sensible | starts,
    analysis=st.integers(1, 180),
    breakout=st.integers(1, 180),
    monitoring=st.integers(1, 390),
    enabled=st.sampled_from([True, True, True, False]),
)
orders = st.permutations([OPEN, MID, CLOSE]).flatmap(
    lambda names: st.integers(1, 3).map(lambda count: tuple(names[:count]))
)
any_rules = st.builds(
    rules_of,
    anchor=st.sampled_from(SessionAnchor),
    early_close=st.sampled_from(EarlyClosePolicy),
    weekdays=st.just(tuple(Weekday)) | st.sets(st.sampled_from(Weekday), min_size=1).map(tuple),
    hard_exit_before_close=st.integers(1, 120).map(minutes),
    sequence=orders,
    override=st.just(()) | orders,
    sessions=st.fixed_dictionaries(dict.fromkeys((OPEN, MID, CLOSE), session_rules)),
)
early_days = st.deferred(lambda: st.sampled_from([day for day, bells in other_calendar().items() if bells[2]]))
open_days = st.deferred(lambda: st.sampled_from(list(other_calendar())))
days = st.dates(FIRST, LAST) | early_days


@settings(max_examples=1500)
@given(rules=any_rules, day=days)
def test_any_rules_on_any_day_keep_the_laws(rules, day):
    hold_the_laws(rules, day, plan_day(rules, day))


@settings(max_examples=300)
@given(rules=any_rules, day=days, fewer=st.sets(st.sampled_from(Weekday), min_size=1))
def test_trading_days_only_narrow(rules, day, fewer):
    every_day = replace(rules, weekdays=tuple(Weekday))
    some_days = replace(rules, weekdays=tuple(fewer))
    whole, narrowed = plan_day(every_day, day), plan_day(some_days, day)
    if f"{day:%a}".lower() in fewer:
        assert narrowed == whole
    else:
        assert narrowed.sessions == ()
        assert narrowed.closed


@settings(max_examples=300)
@given(rules=any_rules, day=days, order=orders)
def test_an_override_takes_the_place_of_the_sequence(rules, day, order):
    overridden = replace(rules, override=order)
    as_sequence = replace(rules, sequence=order, override=())
    assert plan_day(overridden, day) == plan_day(as_sequence, day)


@settings(max_examples=300)
@given(rules=any_rules, day=open_days, off=st.sampled_from([OPEN, MID, CLOSE]))
def test_a_session_that_is_off_holds_nobody_up(rules, day, off):
    others = tuple(name for name in (OPEN, MID, CLOSE) if name is not off)
    sessions = {**rules.sessions, off: replace(rules.sessions[off], enabled=False)}
    with_it = replace(rules, weekdays=tuple(Weekday), sessions=sessions, override=(off, *others))
    without = replace(with_it, override=others)
    assert plan_day(with_it, day).due == plan_day(without, day).due
