from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.settings import load_settings
from tbot_bot.core.calendar import exchange_time, trading_day
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import MINUTE, iso, later
from tbot_bot.runtime.schedule import DayPlan, late, plan_day, schedule_rules


@pytest.fixture(scope="module")
def bot_with(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")

    def build(**overrides: str) -> BotSettings:
        return load_settings(home, overrides, defaults_if_absent=True).bot

    return build


def starts(plan: DayPlan) -> list[str]:
    return [f"{session.strategy} {iso(session.windows.start)[11:16]}" for session in plan.due]


def test_the_opening_bell_is_the_start_of_open_in_summer_and_winter(bot_with):
    rules = schedule_rules(bot_with())
    assert starts(plan_day(rules, date(2025, 9, 2))) == ["open 13:30", "mid 14:30", "close 18:30"]
    assert starts(plan_day(rules, date(2025, 12, 2))) == ["open 14:30", "mid 15:30", "close 19:30"]


def test_with_the_utc_anchor_times_are_literal(bot_with):
    rules = schedule_rules(bot_with(SESSION_ANCHOR="utc"))
    assert starts(plan_day(rules, date(2025, 9, 2)))[0] == "open 14:30"


def test_on_an_early_close_the_last_session_keeps_its_distance_to_the_bell(bot_with):
    alone = schedule_rules(bot_with(STRAT_MID_ENABLED="false"))
    assert starts(plan_day(alone, date(2025, 11, 28)))[-1] == "close 16:30"


def test_a_session_waits_for_the_one_before_it(bot_with):
    # MID from 15:30 can hold a position for 65 minutes
    assert starts(plan_day(schedule_rules(bot_with()), date(2025, 11, 28)))[-1] == "close 16:35"


def test_on_an_early_close_the_last_session_can_be_skipped(bot_with):
    plan = plan_day(schedule_rules(bot_with(EARLY_CLOSE_POLICY="skip")), date(2025, 11, 28))
    assert starts(plan) == ["open 14:30", "mid 15:30"]
    assert "closes early" in plan.sessions[-1].skipped


@pytest.mark.parametrize(
    ("day", "why"),
    [(date(2025, 9, 1), "Labor"), (date(2025, 9, 6), "Saturday"), (date(1970, 1, 1), "range")],
)
def test_a_day_without_sessions_says_why(bot_with, day, why):
    plan = plan_day(schedule_rules(bot_with()), day)
    assert plan.sessions == ()
    assert why in plan.closed


def test_trading_days_narrow_the_calendar(bot_with):
    assert "TRADING_DAYS" in plan_day(schedule_rules(bot_with(TRADING_DAYS="mon")), date(2025, 9, 2)).closed


def test_a_late_start_joins_only_while_entries_are_open(bot_with):
    rules = schedule_rules(bot_with())
    session = plan_day(rules, date(2025, 9, 2)).due[0]
    assert late(rules, session, session.windows.start) == ""
    assert late(rules, session, session.windows.analysis_end) == ""
    assert "entry window ended" in late(rules, session, session.windows.entry_end)
    skipping = schedule_rules(bot_with(LATE_START_POLICY="skip"))
    assert "LATE_START_POLICY" in late(skipping, session, session.windows.analysis_end)


@settings(max_examples=300, deadline=None)
@given(
    day=st.dates(date(2005, 1, 1), date(2034, 12, 31)),
    anchor=st.sampled_from(["exchange", "utc"]),
    order=st.permutations(["open", "mid", "close"]),
)
def test_sessions_never_overlap_and_end_before_the_hard_exit(bot_with, day, anchor, order):
    rules = schedule_rules(bot_with(SESSION_ANCHOR=anchor, STRATEGY_SEQUENCE=",".join(order)))
    plan = plan_day(rules, day)
    assert bool(plan.closed) == (not plan.sessions)
    if plan.closed:
        return
    bell = trading_day(day)
    free_at = bell.open_at
    for session in plan.due:
        windows = session.windows
        assert windows.start >= free_at
        assert windows.screen_at == later(windows.start, -5 * MINUTE)
        assert windows.start < windows.analysis_end < windows.entry_end <= windows.hard_exit_at < bell.close_at
        assert session.ends_at <= windows.hard_exit_at
        free_at = session.ends_at
    if anchor == "exchange":
        first = next(session for session in plan.sessions if session.strategy is StrategyName.OPEN)
        assert exchange_time(first.windows.start).strftime("%H:%M") == "09:30"


def test_every_day_of_the_calendar_can_be_planned(bot_with):
    rules = schedule_rules(bot_with())
    day = date(2015, 1, 1)
    while day < date(2031, 1, 1):
        plan = plan_day(rules, day)
        assert plan.closed or len(plan.due) == 3, plan
        day += timedelta(days=1)
