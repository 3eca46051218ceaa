"""`tbot journal archive`: an installation goes on as before, with a shorter journal."""

import json
from datetime import UTC, date, datetime

import pytest

from tbot_bot.core.identity import Mode
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.cli import main
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, Lock
from tbot_bot.runtime.replay import replay_day
from tests.support.rehearsal import SENSITIVE, random_walks, write_csv

DAY, LATER = "2025-09-03", "2025-09-04"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TBOT_HOME", str(tmp_path))
    trade(tmp_path, DAY, seed=1)
    trade(tmp_path, LATER, seed=2)
    return tmp_path


def trade(home, day, seed):
    settings = [word for name, value in SENSITIVE.items() for word in ("--set", f"{name}={value}")]
    bell = datetime.fromisoformat(f"{day}T13:30:00").replace(tzinfo=UTC)
    data = write_csv(home / f"{day}.csv", random_walks(seed, symbols=3), bell)
    assert main(["dry-run", "--data", str(data), "--day", day, *settings]) == 0


def test_what_people_and_replays_see_is_the_same_after_archiving(home, capsys):
    records = records_for(home, Mode.PAPER, test_mode=True)
    before = {path: path.read_bytes() for path in records.for_people() if path.exists()}
    capsys.readouterr()
    assert main(["journal", "archive", "--before", LATER, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["rows"] > 10
    assert done["bytes_after"] < done["bytes_before"]

    for path in before:
        path.unlink()
    assert main(["journal", "export"]) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert replay_day(home, date.fromisoformat(DAY), Mode.PAPER).identical
    assert main(["journal", "verify"]) == 0
    assert main(["journal", "archive", "--before", LATER]) == 0
    assert "nothing to move" in capsys.readouterr().out
    trade(home, "2025-09-05", seed=3)
    assert main(["journal", "verify"]) == 0


def test_a_running_bot_is_not_disturbed(home, capsys):
    with Lock(home / "control" / SUPERVISOR_LOCK):
        capsys.readouterr()
        assert main(["journal", "archive", "--before", LATER]) == 4
    assert "tbot stop" in capsys.readouterr().err
    assert not list(home.glob("output/journal/*archive*"))


def test_a_home_without_a_journal_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TBOT_HOME", str(tmp_path))
    assert main(["journal", "archive", "--before", LATER]) == 1
    assert "there is no journal" in capsys.readouterr().err
