"""The days that break schedules, run whole: after the clocks change, an early close, and days without any session."""

import os
import subprocess
import sys
from datetime import date

import pytest

from tbot_bot.core.calendar import trading_day
from tbot_bot.core.commands import Phase, PhaseEntered, SubmitOrder, TradeRecord
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import MINUTE, iso, to_datetime
from tests.support.rehearsal import SENSITIVE, Rehearsed, random_walks, write_csv


def rehearsed(folder, day, **settings):
    """Run a random day between that day's own bells."""
    bells = trading_day(day)
    minutes = (bells.close_at - bells.open_at) // MINUTE
    data = write_csv(folder / "bars.csv", random_walks(5, minutes=minutes), bell=to_datetime(bells.open_at))
    return Rehearsed(folder / "home", data, day=day, **{**SENSITIVE, **settings})


def starts(run):
    """Return when each session's analysis began, in UTC."""
    began = [(session, output) for session, answer in run.decided() for output in answer.outputs]
    return [
        f"{session.rpartition('/')[2]} {iso(output.at)[11:16]}"
        for session, output in began
        if isinstance(output, PhaseEntered) and output.phase is Phase.ANALYSIS
    ]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2025, 3, 7), ["open 14:30", "mid 15:30", "close 19:30"]),
        (date(2025, 3, 10), ["open 13:30", "mid 14:30", "close 18:30"]),  # the clocks have gone forward
        (date(2025, 10, 31), ["open 13:30", "mid 14:30", "close 18:30"]),
        (date(2025, 11, 3), ["open 14:30", "mid 15:30", "close 19:30"]),  # and back
        (date(2025, 11, 28), ["open 14:30", "mid 15:30", "close 16:35"]),  # closes at 18:00
    ],
)
def test_a_day_at_the_edge_runs_whole_and_is_flat_before_its_own_bell(tmp_path, day, expected):
    run = rehearsed(tmp_path, day).check()
    bells = trading_day(day)
    assert starts(run) == expected
    ordered = [answer.at for _, answer in run.decided() if any(isinstance(one, SubmitOrder) for one in answer.outputs)]
    assert ordered
    assert all(bells.open_at < at <= bells.close_at - 10 * MINUTE for at in ordered)  # the hard exit's own distance
    assert [line.strategy for line in run.report.sessions] == list(StrategyName)
    assert all(trade.error_code == "" for trade in run.outputs(TradeRecord) if trade.entry_price is not None)


def test_an_early_close_can_do_without_the_last_session(tmp_path):
    run = rehearsed(tmp_path, date(2025, 11, 28), EARLY_CLOSE_POLICY="skip").check()
    assert starts(run) == ["open 14:30", "mid 15:30"]


@pytest.mark.parametrize(
    ("day", "why"),
    [("2025-12-25", "holiday (Christmas)"), ("2025-11-29", "weekend (Saturday)"), ("1889-01-02", "range")],
)
def test_a_day_without_a_session_is_refused_with_its_reason_and_where_to_look(tmp_path, day, why):
    command = [sys.executable, "-m", "tbot_bot.runtime.cli", "dry-run", "--data", str(tmp_path), "--day", day]
    environment = {**os.environ, "TBOT_HOME": str(tmp_path)}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 1
    assert f"{day} is not a trading day" in ended.stderr
    assert why in ended.stderr
    assert "tbot schedule" in ended.stderr
