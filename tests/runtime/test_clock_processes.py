"""The supervisor and its runner as real processes, on a wall clock that is set while they work."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tbot_bot.core.codec import loads
from tbot_bot.core.events import EntriesResumed, EntriesSuspended
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import parse_iso
from tbot_bot.journal.store import open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.noted import Noted
from tbot_bot.runtime.files import write_atomically
from tbot_bot.runtime.replay import replay_day
from tbot_bot.runtime.requests import REHEARSAL_DAY, REHEARSAL_SEED
from tests.support.crafted_day import DAY, write_day

PATIENCE_SECONDS = 60
SHORT = ("--set", "OPEN_MONITORING_TIME=5")
SITE = Path(__file__).resolve().parent.parent / "support" / "set_clock"
SUPERVISE = f"""
import sys
from pathlib import Path
from tbot_bot.runtime.requests import REHEARSAL_DAY, RunRequest
from tbot_bot.runtime.tbot_runner_supervisor import run_supervisor
request = RunRequest(home=Path(sys.argv[1]), once=True, day=REHEARSAL_DAY, seed={REHEARSAL_SEED}, speed=60.0,
                     overrides=(("STRATEGY_OVERRIDE", "open"),))
sys.exit(run_supervisor(request))
"""


class SetClock:
    """Processes in a home of their own, whose wall clock can be set."""

    def __init__(self, home):
        self.home, self.clock, self.process = home, home / "clock_is_off_by", None
        self.set(0)

    def set(self, seconds):
        """Set the wall clock of the processes, in seconds off the true time."""
        write_atomically(self.clock, str(float(seconds)))

    def start(self, *command):
        """Start a Python process on that clock."""
        environment = {**os.environ, "PYTHONPATH": str(SITE), "TEST_CLOCK_FILE": str(self.clock)}
        with (self.home / "stderr.txt").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdout=errors, stderr=errors, env=environment, start_new_session=True
            )

    def beat(self):
        """Return the runner's last heartbeat, {} where there is none."""
        try:
            return json.loads((self.home / "control" / "runner.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def until(self, condition):
        """Wait for `condition` and return how many real seconds it took."""
        began = time.monotonic()
        while not condition():
            waited = time.monotonic() - began
            assert waited < PATIENCE_SECONDS, (self.home / "stderr.txt").read_text()
            time.sleep(0.01)
        return time.monotonic() - began

    def journaled(self, kind):
        """Return the journal's records of `kind`."""
        with open_reader(self.home / "output" / "journal" / "tbot_paper.sqlite3") as journal:
            found = [loads(row.payload) for row in journal.rows() if row.payload.startswith("{")]
        return [record for record in found if isinstance(record, kind)]

    def end(self):
        """End what still runs."""
        pid = self.beat().get("pid")
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if pid is not None and pid != os.getpid():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return


@pytest.fixture
def machine(tmp_path):
    made = SetClock(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize(("by", "way"), [(2, "forward"), pytest.param(-1.5, "backward", marks=pytest.mark.slow)])
def test_a_runner_whose_clock_is_set_stops_entries_backfills_and_trades_on(machine, by, way):
    anchor = f"{parse_iso('2025-12-02T14:23:00Z')}:{time.time_ns()}"
    data = write_day(machine.home / "bars.csv")
    words = ["--session", "2025-12-02/open", "--home", str(machine.home), "--anchor", anchor, "--speed", "250"]
    machine.start("-m", "tbot_bot.runtime.main", *words, "--data", str(data), "--rehearsal", *SHORT)
    machine.until(lambda: machine.beat().get("phase") == "analysis")
    machine.set(by)
    status = machine.process.wait(timeout=PATIENCE_SECONDS)

    assert status == 0, (machine.home / "stderr.txt").read_text()
    (suspended,) = machine.journaled(EntriesSuspended)
    (resumed,) = machine.journaled(EntriesResumed)
    assert f"jumped {way} by {abs(by):.1f} s" in suspended.reason
    assert suspended.at <= resumed.at
    assert [note.text for note in machine.journaled(Noted)] == [f"2025-12-02/open: {suspended.reason}"]
    story = (machine.home / "output" / "logs" / "open_paper.log").read_text()
    assert "entries_suspended" in story
    assert "entries_resumed" in story
    trades = json.loads((machine.home / "output" / "trades" / "trade_history_paper.json").read_text())
    assert [(row["ticker"], row["exit_reason"]) for row in trades if row["entry_timestamp"]] == [("AAA", "time")]
    assert verify(machine.home / "output" / "journal" / "tbot_paper.sqlite3").ok
    assert replay_day(machine.home, DAY, Mode.PAPER).identical


def waiting_supervisor(machine):
    """Start a supervisor whose only session is 22 seconds away."""
    (machine.home / ".env_bot").write_text("TEST_MODE=true\nTOTAL_CAPITAL=1000000\n")
    (machine.home / ".env").write_text("ENVIRONMENT=development\n")
    left = {
        "day": REHEARSAL_DAY.isoformat(), "run": 1, "anchor": f"{parse_iso('2025-09-02T13:00:00Z')}:{time.time_ns()}",
        "speed": 60.0, "data": None, "vix": None, "seed": REHEARSAL_SEED, "rehearsal": False,
    }  # fmt: skip
    (machine.home / "control").mkdir()
    (machine.home / "control" / "supervisor.json").write_text(json.dumps(left))
    machine.start("-c", SUPERVISE, str(machine.home))
    machine.until(lambda: "due at" in _read(machine.home / "output" / "status_bot.json"))


def test_a_supervisor_that_slept_wakes_its_session_at_once_and_joins_late(machine):
    waiting_supervisor(machine)
    machine.set(35)
    assert machine.until(machine.beat) < 10
    machine.until(lambda: machine.beat().get("phase") == "analysis")
    assert any("jumped forward by 35.0 s" in note.text for note in machine.journaled(Noted))

    runner = machine.beat()["pid"]
    machine.set(37)  # once more, now within the session
    machine.until(lambda: machine.journaled(EntriesResumed))
    assert machine.beat()["pid"] == runner, "the runner was taken for dead"


def test_a_supervisor_that_slept_over_a_session_skips_it_and_says_why(machine):
    waiting_supervisor(machine)
    machine.set(3 * 60)
    assert machine.process.wait(timeout=PATIENCE_SECONDS) == 0
    assert machine.beat() == {}
    assert any("is skipped: the entry window ended at" in note.text for note in machine.journaled(Noted))


def _read(path):
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
