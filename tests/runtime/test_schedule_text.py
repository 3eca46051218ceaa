"""What `tbot schedule` shows: months ahead on one screen, on any machine's clock, and nothing left unsaid."""

import json
import os
import re
import subprocess
import sys
from datetime import date, timedelta

import pytest

from tbot_bot.core.calendar import is_trading_day

DAY_LINE = re.compile(r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) +\d+")


@pytest.fixture
def schedule(tmp_path):
    (tmp_path / ".env").write_text("ENVIRONMENT=development\n")

    def shown(*words, zone="UTC", columns=120, settings=""):
        (tmp_path / ".env_bot").write_text(f"TEST_MODE=true\n{settings}")
        command = [sys.executable, "-m", "tbot_bot.runtime.cli", "schedule", *words]
        environment = {**os.environ, "TBOT_HOME": str(tmp_path), "TZ": zone, "COLUMNS": str(columns)}
        told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert told.returncode == 0, told.stderr
        return told.stdout

    return shown


def line_of(text, day):
    (line,) = [line for line in text.splitlines() if line.startswith(day)]
    return line


@pytest.mark.parametrize("columns", [80, 120])
def test_400_days_are_one_line_each_with_weekends_folded_and_fit_the_terminal(schedule, columns):
    text = schedule("--days", "400", "--from", "2025-01-01", columns=columns, zone="Asia/Tokyo")
    lines = text.splitlines()
    days = [date(2025, 1, 1) + timedelta(days=offset) for offset in range(400)]
    trading = [day for day in days if is_trading_day(day)]
    assert max(len(line) for line in lines) <= columns
    assert len(lines) < 420
    told = [line for line in lines if DAY_LINE.match(line) and re.search(r"\d\d:\d\d \d\d:\d\d", line)]
    assert len(told) == len(trading)
    weekends = {(day.month, day.isocalendar()[:2]) for day in days if day.weekday() > 4}  # a month's end cuts some
    assert sum("weekend" in line for line in lines) == len(weekends)
    assert sum("holiday (" in line for line in lines) == sum(day.weekday() < 5 for day in days) - len(trading)
    assert [line[:7] for line in lines if re.match(r"\d{4}-\d\d ", line)] == sorted({f"{day:%Y-%m}" for day in days})


def test_starts_stand_in_utc_new_york_and_local_time(schedule):
    text = schedule("--days", "3", "--from", "2025-11-26", zone="Asia/Tokyo")
    assert "local time (JST, UTC+09:00)" in text
    assert line_of(text, "Wed 26").split() == [
        "Wed", "26", "14:30", "09:30", "23:30", "15:30", "10:30", "00:30+1", "19:30", "14:30", "04:30+1",
    ]  # fmt: skip
    assert line_of(text, "Thu 27") == "Thu 27  holiday (Thanksgiving)"
    assert line_of(text, "Fri 28").endswith("early close 13:00 New York, 18:00 UTC")


@pytest.mark.parametrize(
    ("zone", "first", "says"),
    [
        ("UTC", "2025-11-01", "Sat  1 - Sun  2  weekend; New York's clocks go back 1 h on Sun 2"),
        ("UTC", "2026-03-07", "Sat  7 - Sun  8  weekend; New York's clocks go forward 1 h on Sun 8"),
        ("Europe/Berlin", "2025-10-25", "Sat 25 - Sun 26  weekend; local clocks go back 1 h on Sun 26"),
        ("America/New_York", "2026-03-07", "weekend; clocks go forward 1 h on Sun 8, in New York and here"),
        ("Australia/Lord_Howe", "2025-10-04", "weekend; local clocks go forward 30 min on Sun 5"),
    ],
)
def test_the_days_on_which_clocks_change_are_marked(schedule, zone, first, says):
    assert says in schedule("--days", "3", "--from", first, zone=zone)


def test_a_standing_reason_is_told_once_a_month_and_not_every_day(schedule):
    settings = "SESSION_ANCHOR=utc\nSTART_TIME_OPEN=13:30\nSTRAT_MID_ENABLED=false\nTRADING_DAYS=mon,tue,wed\n"
    text = schedule("--days", "59", "--from", "2025-11-03", settings=settings)
    reason = "OPEN is skipped: it would start at 13:30 UTC, before the opening bell at 14:30 UTC"
    assert text.count(reason) == 2
    assert text.count("STRAT_MID_ENABLED is false") == 1
    assert line_of(text, "Tue  4").split()[2:4] == ["skipped", "off"]
    assert line_of(text, "Thu  6") == "Thu  6 - Fri  7  not in TRADING_DAYS"
    skipping = schedule("--days", "1", "--from", "2025-11-28", settings="EARLY_CLOSE_POLICY=skip\n")
    assert "CLOSE is skipped: the exchange closes early, and EARLY_CLOSE_POLICY is skip" in skipping


def test_the_phases_can_be_asked_for(schedule):
    text = schedule("--days", "1", "--from", "2025-11-28", "--phases")
    for word in ("screen", "analysis", "breakout", "monitoring", "out by", "14:25", "09:30", "early close"):
        assert word in text


def test_json_has_everything_that_the_text_says_and_more(schedule):
    days = json.loads(schedule("--days", "400", "--from", "2025-01-01", "--json", zone="Asia/Tokyo"))["days"]
    assert len(days) == 400
    by_day = {day["day"]: day for day in days}
    assert by_day["2025-11-28"]["early_close"] is True
    assert by_day["2025-11-28"]["exchange_closes"]["local"] == "2025-11-29T03:00:00+09:00"
    assert by_day["2025-11-27"]["closed"] == "holiday (Thanksgiving)"
    assert by_day["2025-11-27"]["exchange_closes"] is None
    changes = {day: found["clocks_change_minutes"] for day, found in by_day.items()}
    assert {day: change for day, change in changes.items() if any(change.values())} == {
        "2025-03-09": {"exchange": 60, "local": 0},
        "2025-11-02": {"exchange": -60, "local": 0},
    }
    for day in days:
        assert bool(day["closed"]) is not bool(day["sessions"])
        for session in day["sessions"]:
            utc = [clocks["utc"] for clocks in session["phases"].values()]
            assert utc == sorted(utc)
            assert len(utc) == 5
