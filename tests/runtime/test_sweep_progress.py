"""How far a sweep is, said where nobody's terminal can show a bar: a line now and then with the time that is left."""

import pytest

from tbot_bot.runtime import sweep_progress
from tbot_bot.runtime.sweep_progress import SweepProgress, duration


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(sweep_progress, "_now", lambda: now[0])
    return now


def test_lines_come_every_ten_seconds_with_pace_and_time_left(clock, capsys):
    shown = SweepProgress("sets")
    shown.told(0, 101, 0)
    for done in range(1, 102):
        clock[0] += 30 if done == 1 else 2  # the first waits for machine code, which says nothing of the others
        shown.told(done, 101, 0)
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "1 of 101 sets"
    assert lines[1] == "6 of 101 sets, 0.5 a second, about 3 min left"
    assert lines[2] == "11 of 101 sets, 0.5 a second, about 3 min left"
    assert lines[-1] == "101 of 101 sets"
    assert len(lines) == 21


def test_what_an_earlier_attempt_did_is_told_and_not_counted_as_pace(clock, capsys):
    shown = SweepProgress("sets")
    shown.told(50, 100, 50)
    for done in (51, 52):
        clock[0] += 10
        shown.told(done, 100, 50)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "going on: 50 of 100 sets are done already",
        "51 of 100 sets",
        "52 of 100 sets, 0.1 a second, about 8 min left",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (119, "119 s"), (121, "2 min"), (7140, "119 min"), (12_000, "3 h 20 min")]
)
def test_a_span_is_said_in_two_units_at_most(seconds, words):
    assert duration(seconds) == words
