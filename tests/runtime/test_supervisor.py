"""The supervisor with real runner processes: alone, twice, killed, stopped, adopted."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tbot_bot.core.identity import Mode
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.status_logger import BotState
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.replay import replay_day
from tbot_bot.runtime.requests import REHEARSAL_DAY

PATIENCE_SECONDS = 90
PROGRAM = """
import sys
from pathlib import Path
from tbot_bot.runtime.requests import REHEARSAL_DAY, REHEARSAL_SEED, RunRequest
from tbot_bot.runtime.tbot_runner_supervisor import run_supervisor
from tbot_bot.config.error_handler import TbotError
from tbot_bot.runtime.locks import AlreadyRunning
home, rehearsal = Path(sys.argv[1]), sys.argv[2] == "rehearsal"
day = None if rehearsal else REHEARSAL_DAY
request = RunRequest(home=home, once=True, rehearsal=rehearsal, day=day, seed=REHEARSAL_SEED, speed=250.0,
                     overrides=(("STRATEGY_OVERRIDE", "open"),))
try:
    sys.exit(run_supervisor(request))
except AlreadyRunning as error:
    sys.stderr.write(str(error))
    sys.exit(4)
"""


class Installation:
    """A home folder with supervisors that come and go."""

    def __init__(self, home):
        self.home = home
        self.control = ControlFolder(home / "control")
        self.started = []

    def supervise(self, form="rehearsal"):
        """Start a supervisor of one OPEN session on the synthetic market, 250 times as fast as life."""
        with (self.home / "stderr.txt").open("ab") as errors:
            process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(self.home), form], stderr=errors)
        self.started.append(process)
        return process

    def read(self, *path):
        """Return a JSON file of the installation, {} where it is not there."""
        try:
            return json.loads(self.home.joinpath(*path).read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def runner(self):
        """Return the runner's last heartbeat."""
        return self.read("control", "runner.json")

    def until(self, condition):
        """Wait for `condition`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.home / "stderr.txt").read_text()
            time.sleep(0.01)

    def until_phase(self, phase):
        """Wait until a runner is in `phase`."""
        self.until(lambda: self.runner().get("phase") == phase)

    def trades(self):
        """Return the trades that were entered."""
        with (self.home / "output" / "trades" / "trade_history_paper.csv").open(encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if row["entry_timestamp"]]

    def assert_sound(self):
        """Assert that the chain holds and that a replay decides the same."""
        assert verify(self.home / "output" / "journal" / "tbot_paper.sqlite3").ok
        assert replay_day(self.home, REHEARSAL_DAY, Mode.PAPER).identical

    def clean_up(self):
        """Leave no process behind."""
        pid = self.runner().get("pid")
        for process in self.started:
            process.kill()
            process.wait()
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return


@pytest.fixture
def installation(tmp_path):
    made = Installation(tmp_path)
    yield made
    made.clean_up()


def test_a_second_supervisor_says_who_runs_already_and_leaves_everything_as_it_is(installation):
    first = installation.supervise()
    installation.until(installation.runner)
    second = installation.supervise()

    assert second.wait(timeout=PATIENCE_SECONDS) == 4
    assert f"already running (pid {first.pid})" in (installation.home / "stderr.txt").read_text()
    assert first.poll() is None


def test_the_runner_outlives_a_killed_supervisor_and_the_next_one_adopts_it(installation):
    first = installation.supervise()
    installation.until_phase("breakout")
    runner = installation.runner()["pid"]
    first.kill()
    first.wait()
    second = installation.supervise()
    status = second.wait(timeout=PATIENCE_SECONDS)

    assert status == 0
    assert installation.runner() == {}  # it ended by itself, and took its pulse along
    assert runner not in {first.pid, second.pid}
    assert len({row["trade_id"] for row in installation.trades()}) == len(installation.trades()) == 3
    installation.assert_sound()


def test_when_both_are_killed_the_next_supervisor_takes_the_day_up_again(installation):
    (installation.home / ".env_bot").write_text("TEST_MODE=true\nTOTAL_CAPITAL=1000000\n")
    (installation.home / ".env").write_text("ENVIRONMENT=development\n")
    first = installation.supervise("day")
    installation.until(lambda: installation.read("output", "status_bot.json").get("positions"))
    runner = installation.runner()["pid"]
    first.kill()
    os.kill(runner, signal.SIGKILL)
    first.wait()
    second = installation.supervise("day")

    assert second.wait(timeout=PATIENCE_SECONDS) == 0
    assert {row["session_id"] for row in installation.trades()} == {f"{REHEARSAL_DAY.isoformat()}/open"}
    assert all(row["exit_price"] for row in installation.trades())
    installation.assert_sound()


@pytest.mark.parametrize(
    "phase",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("screen", "analysis")] + ["breakout", "monitoring"],
)
def test_sigterm_in_any_phase_closes_everything_and_ends_with_status_zero(installation, phase):
    supervisor = installation.supervise()
    installation.until_phase(phase)
    supervisor.send_signal(signal.SIGTERM)

    assert supervisor.wait(timeout=PATIENCE_SECONDS) == 0
    assert all(row["exit_price"] for row in (installation.trades() if phase == "monitoring" else []))
    status = installation.read("output", "status_bot.json")
    assert (status["state"], status["canary"]["passed"]) == (BotState.SHUTDOWN, True)
    assert installation.control.peek(Flag.STOP) is None  # obeyed, and set aside
    installation.assert_sound()


def test_a_kill_flag_closes_everything_and_latches_over_restarts(installation):
    supervisor = installation.supervise()
    installation.until_phase("breakout")
    installation.control.write(Flag.KILL, by="test", why="rehearsal of a kill")
    killed = supervisor.wait(timeout=PATIENCE_SECONDS)
    again = installation.supervise().wait(timeout=PATIENCE_SECONDS)

    assert (killed, again) == (5, 5)
    assert "rehearsal of a kill" in installation.control.killed()


def test_a_stop_flag_from_before_the_start_is_set_aside_and_not_obeyed(installation):
    installation.control.write(Flag.STOP, by="test", why="yesterday")
    os.utime(installation.home / "control" / "control_stop.txt", (1_000_000_000, 1_000_000_000))
    supervisor = installation.supervise()
    installation.until_phase("analysis")

    assert installation.control.peek(Flag.STOP) is None
    assert list((installation.home / "control" / "done").glob("*stale_control_stop.txt"))
    assert supervisor.poll() is None


def test_a_day_without_sessions_says_why_and_ends_well(tmp_path):
    command = [sys.executable, "-m", "tbot_bot.runtime.cli", "run", "--once", "--rehearsal", "--day", "2025-09-01"]
    environment = {**os.environ, "TBOT_HOME": str(tmp_path)}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert told.returncode == 0
    assert "2025-09-01 has no sessions: holiday (Labor Day)" in told.stdout


def test_the_supervisor_is_lean():
    heavy = ("pandas", "pyarrow", "numpy", "exchange_calendars", "numba", "alpaca", "ib_async", "finnhub")
    strategies = tuple(f"tbot_bot.strategy.strategy_{name}" for name in ("open", "mid", "close"))
    check = f"""
import sys
import tbot_bot.runtime.tbot_runner_supervisor
print([name for name in {heavy + strategies!r} if name in sys.modules])
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) // 1024
      if sys.platform == "linux" else 0)
"""
    told = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    loaded, mebibytes = told.splitlines()

    assert loaded == "[]"
    assert int(mebibytes) < 64
