"""The trading calendar agrees with the exchange's package, with recorded sessions, and with itself."""

import csv
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.calendar import (
    NotATradingDay,
    exchange_time,
    is_trading_day,
    next_trading_day,
    previous_trading_day,
    trading_day,
    trading_days,
)
from tbot_bot.core.calendar_table import FIRST, LAST
from tbot_bot.core.instants import HOUR, Instant, parse_iso

inside = st.dates(FIRST + timedelta(days=10), LAST - timedelta(days=10))


@pytest.mark.filterwarnings("ignore")  # the package is behind pandas
def test_every_session_of_the_range_is_the_one_of_exchange_calendars() -> None:
    package = pytest.importorskip("exchange_calendars")
    calendar = package.get_calendar("XNYS", start=FIRST.isoformat(), end=LAST.isoformat())
    expected = [
        (label.date(), opened.value, closed.value)
        for label, opened, closed in zip(calendar.sessions, calendar.opens, calendar.closes, strict=True)
    ]

    ours = [(day, *_bells(day)) for day in trading_days(FIRST, LAST)]

    assert expected == ours


def test_every_recorded_session_is_ours(shared: Path) -> None:
    path = shared / "data" / "licensed" / "calendar_xnys.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    with path.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))

    for row in rows:
        session = trading_day(date.fromisoformat(row["date"]))
        assert (parse_iso(row["open_utc"]), parse_iso(row["close_utc"])) == (session.open_at, session.close_at)
        assert (row["early_close"] == "True") == session.early
    first, last = (date.fromisoformat(rows[end]["date"]) for end in (0, -1))
    assert len(rows) == len(list(trading_days(first, last)))


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        (date(2018, 3, 3), "weekend (Saturday)"),
        (date(2018, 3, 4), "weekend (Sunday)"),
        (date(2018, 3, 30), "holiday (Good Friday)"),
        (date(2022, 6, 20), "holiday (Juneteenth National Independence Day)"),
        (date(2012, 10, 29), "holiday (Hurricane Sandy)"),
        (date(2025, 1, 9), "holiday (funeral of President Carter)"),
        (date(1989, 12, 29), "outside the calendar's range 1990-01-01 to 2035-12-31"),
        (date(2036, 1, 2), "outside the calendar's range 1990-01-01 to 2035-12-31"),
    ],
)
def test_a_day_without_trading_is_refused_with_its_reason(day: date, reason: str) -> None:
    with pytest.raises(NotATradingDay) as refusal:
        trading_day(day)

    assert reason == refusal.value.reason
    assert f"{day.isoformat()} is not a trading day: {reason}" == str(refusal.value)


def test_bells_follow_daylight_saving_and_early_closes() -> None:
    winter, summer, half = (trading_day(date(2018, *md)) for md in ((3, 9), (3, 12), (7, 3)))

    assert parse_iso("2018-03-09T14:30:00Z") == winter.open_at
    assert parse_iso("2018-03-12T13:30:00Z") == summer.open_at
    assert parse_iso("2018-07-03T17:00:00Z") == half.close_at
    assert (winter.early, summer.early, half.early) == (False, False, True)


def test_exchange_time_is_new_york_wall_time() -> None:
    wall = exchange_time(parse_iso("2018-03-12T13:30:00Z"))

    assert datetime(2018, 3, 12, 9, 30, tzinfo=wall.tzinfo) == wall
    assert time(9, 30) == wall.time()


def test_steps_stop_at_the_ends_of_the_range() -> None:
    with pytest.raises(NotATradingDay):
        next_trading_day(LAST)
    with pytest.raises(NotATradingDay):
        previous_trading_day(FIRST)
    with pytest.raises(NotATradingDay):
        list(trading_days(FIRST - timedelta(days=1), LAST))


@given(inside)
def test_next_and_previous_undo_each_other_and_skip_no_day(day: date) -> None:
    following = next_trading_day(day)

    assert following > day
    assert is_trading_day(following)
    assert not any(is_trading_day(day + timedelta(days=n)) for n in range(1, (following - day).days))
    assert next_trading_day(previous_trading_day(following)) == following


@given(inside)
def test_a_session_lasts_half_past_nine_to_the_close_of_new_york(day: date) -> None:
    if is_trading_day(day):
        session = trading_day(day)
        assert time(9, 30) == exchange_time(session.open_at).time()
        assert day == exchange_time(session.close_at).date()
        assert session.early == (session.close_at - session.open_at < 6 * HOUR)


def _bells(day: date) -> tuple[Instant, Instant]:
    session = trading_day(day)
    return session.open_at, session.close_at
