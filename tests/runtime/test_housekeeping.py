"""The supervisor's jobs: logs and disk. Nothing of it may end the bot."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.core.identity import Mode
from tbot_bot.journal.store import JournalWriteFailed
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.housekeeping import FREE_BYTES_LOW, Housekeeping


class House:
    """Housekeeping of a home folder, and what it tells."""

    def __init__(self, home, tell=None):
        self.told: list[str] = []
        self.records = records_for(home, Mode.PAPER, test_mode=True)
        self.keeping = Housekeeping(
            bot=BotSettings(),
            records=self.records,
            control=home / "control",
            log=structlog.testing.CapturingLogger(),
            tell=tell or self.told.append,
        )


@pytest.fixture
def disk(monkeypatch):
    """Return a disk whose free bytes a test sets."""
    state = SimpleNamespace(free=80 * FREE_BYTES_LOW)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: state)
    return state


async def test_a_low_disk_is_told_once_and_so_is_its_end(tmp_path, disk):
    house = House(tmp_path)
    for free in (2, 0.9, 0.8, 0.7, 1.5, 1.6):
        disk.free = int(free * FREE_BYTES_LOW)
        await house.keeping.look_at_disk()

    assert house.told == [
        "the disk is low: 900 MB free, less than 1000 MB. Make room: a full disk stops all entries",
        "the disk has room again: 1500 MB free",
    ]


async def test_a_log_that_cannot_be_rotated_is_told_once_with_its_name(tmp_path):
    house = House(tmp_path)
    before = house.keeping.book.facts.rotated_at
    path = house.records.process_logs / "runner.out"
    path.parent.mkdir(parents=True)
    path.write_text("line")
    at = datetime.now(UTC) - timedelta(days=2)
    os.utime(path, (at.timestamp(), at.timestamp()))
    draft = path.with_name(f".runner.{at:%Y%m%dT%H%M%S}.out.gz.{os.getpid()}.draft")
    draft.mkdir()
    await house.keeping.rotate()
    await house.keeping.rotate()

    (told,) = house.told
    assert "paper/runner.out: Is a directory" in told
    assert (house.keeping.book.facts.rotated_at, path.read_text()) == (before, "line")
    draft.rmdir()
    await house.keeping.rotate()
    assert (house.keeping.book.facts.rotated_at is not None, path.read_text()) == (True, "")


async def test_a_journal_that_refuses_the_warning_ends_nothing(tmp_path, disk):
    def refuse(text):
        raise JournalWriteFailed("the journal could not be written", where="journal")

    house = House(tmp_path, refuse)
    disk.free = 5
    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.start()
    house.keeping.start(scheduler)
    assert {str(job.trigger) for job in scheduler.get_jobs()} == {
        "interval[0:15:00]",
        "cron[hour='1-23', minute='5']",
        "cron[hour='0', minute='5']",
    }
    scheduler.shutdown(wait=False)
    await house.keeping.close()
    assert house.keeping.book.facts.rotated_at is not None


def test_a_start_of_the_bot_brings_the_logs_in_order_and_touches_no_record(tmp_path):
    logs, old = tmp_path / "logs" / "bot", (datetime.now(UTC) - timedelta(days=30)).timestamp()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    files = {
        logs / "live" / "runner.log": old,
        logs / "supervisor.out": yesterday,
        tmp_path / "output" / "logs" / "disaster_live.log": old,
        tmp_path / "output" / "journal" / "tbot_live.sqlite3": old,
        tmp_path / "output" / "trades" / "trade_history_live.csv": old,
    }
    for path, at in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept?")
        os.utime(path, (at, at))
    words = ["run", "--once", "--rehearsal", "--day", "2025-09-01"]
    told = subprocess.run(
        [sys.executable, "-m", "tbot_bot.runtime.cli", *words],
        env={**os.environ, "TBOT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (told.returncode, told.stderr) == (0, "")
    assert not (logs / "live" / "runner.log").exists()
    assert (logs / "supervisor.out").read_text() == ""
    assert [path.name.rpartition(".")[2] for path in logs.glob("supervisor.*.out.gz")] == ["gz"]
    assert [path.read_text() for path in list(files)[2:]] == ["kept?"] * 3
