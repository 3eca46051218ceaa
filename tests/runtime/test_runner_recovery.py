"""The runner process killed with SIGKILL in each phase: the same command again, and the day goes on."""

import csv
import json
import signal
import subprocess
import sys
import time

import pytest

from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.core.instants import MINUTE, parse_iso
from tbot_bot.journal.store import open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.projector import rebuild
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.replay import replay_day
from tests.support.crafted_day import DAY, write_day

SPEED = 150.0
UNHURRIED = 20.0  # three seconds a bar: time to see what lasts one bar
SESSION = "2025-12-02/open"
PATIENCE_SECONDS = 60


class Rehearsal:
    """One session in real runner processes, over a crafted day."""

    def __init__(self, home):
        self.home = home
        self.data = write_day(home / "bars.csv")
        self.anchor = f"{parse_iso('2025-12-02T14:18:00Z')}:{time.time_ns()}"
        self.speed = SPEED
        self.process = self.start()

    def start(self):
        """Start a runner: the very same command each time."""
        command = [sys.executable, "-m", "tbot_bot.runtime.main", "--session", SESSION, "--home", str(self.home)]
        command += ["--anchor", self.anchor, "--speed", str(self.speed), "--data", str(self.data), "--rehearsal"]
        with (self.home / "stderr.txt").open("ab") as errors:
            return subprocess.Popen(command, stderr=errors)

    def beat(self):
        """Return the runner's last heartbeat, {} before the first."""
        try:
            return json.loads((self.home / "control" / "runner.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def until(self, condition):
        """Wait for `condition`; the runner must not end before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.process.poll() is None, (self.home / "stderr.txt").read_text()
            assert time.monotonic() < deadline, f"waited too long; last beat {self.beat()}"
            time.sleep(0.005)

    def until_phase(self, phase):
        """Wait until this very process says it is in `phase`."""
        self.until(lambda: (self.beat().get("phase"), self.beat().get("pid")) == (phase, self.process.pid))

    def kill_and_restart(self):
        """Kill the runner as a power cut would, and start it again."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self.start()

    def go_on_unhurried(self):
        """Kill the runner, and let the next one take the market from here at a slower pace."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.anchor, self.speed = f"{self.beat()['market_time']}:{time.time_ns()}", UNHURRIED
        self.process = self.start()

    def until_next_bar(self):
        """Wait until the running process has heard one more bar."""
        self.until(lambda: self.beat().get("pid") == self.process.pid)
        heard = self.beat()["data_until"]
        self.until(lambda: self.beat().get("data_until", heard) > heard)

    def end(self):
        """Wait for the runner's own end and return its exit status."""
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def trades(self):
        """Return the trade history's rows."""
        with (self.home / "output" / "trades" / "trade_history_paper.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def sound(self):
        """Assert what holds after any run: the chain, and a replay that decides the same."""
        assert verify(self.home / "output" / "journal" / "tbot_paper.sqlite3").ok
        assert replay_day(self.home, DAY, Mode.PAPER).identical
        self.assert_files_are_projections()

    def assert_files_are_projections(self):
        """Assert that every file for people is, byte for byte, what the journal alone makes of it."""
        again = records_for(self.home / "again", Mode.PAPER, test_mode=True)
        with open_reader(self.home / "output" / "journal" / "tbot_paper.sqlite3") as journal:
            rebuild(journal, again)
        written = records_for(self.home, Mode.PAPER, test_mode=True)
        for path, rebuilt in zip(written.for_people(), again.for_people(), strict=True):
            assert path.exists() is rebuilt.exists(), path.name
            assert not path.exists() or path.read_bytes() == rebuilt.read_bytes(), path.name


@pytest.fixture
def rehearsal(tmp_path):
    running = Rehearsal(tmp_path)
    yield running
    running.process.kill()
    running.process.wait()


def test_a_runner_killed_in_every_phase_goes_on_and_trades_once(rehearsal):
    for phase in ("screen", "analysis"):
        rehearsal.until_phase(phase)
        rehearsal.kill_and_restart()
    rehearsal.until_phase("breakout")
    rehearsal.until(lambda: any(row["entry_timestamp"] for row in open_positions(rehearsal)))
    rehearsal.kill_and_restart()
    rehearsal.until_phase("monitoring")
    rehearsal.kill_and_restart()
    status = rehearsal.end()
    filled = [row for row in rehearsal.trades() if row["entry_timestamp"]]

    assert status == 0
    assert [(row["ticker"], row["exit_reason"], row["error_code"]) for row in filled] == [("AAA", "time", "")]
    held = parse_iso(filled[0]["timestamp"]) - parse_iso(filled[0]["entry_timestamp"])
    assert 30 * MINUTE <= held <= 40 * MINUTE  # the time a restart takes, at this speed
    story = (rehearsal.home / "output" / "logs" / "open_paper.log").read_text().splitlines()
    assert len(story) == len(set(story))  # nothing is told twice, however often the runner died
    rehearsal.sound()


def open_positions(rehearsal):
    """Return the status file's positions as rows with an `entry_timestamp` (true where anything is held)."""
    try:
        status = json.loads((rehearsal.home / "output" / "status_bot.json").read_text())
    except (FileNotFoundError, ValueError):
        return []
    return [{"entry_timestamp": position["quantity"]} for position in status["positions"]]


def test_a_runner_killed_while_it_closes_out_closes_all_the_same(rehearsal):
    rehearsal.until_phase("breakout")
    rehearsal.until(lambda: open_positions(rehearsal))
    rehearsal.go_on_unhurried()
    rehearsal.until_next_bar()
    ControlFolder(rehearsal.home / "control").write(Flag.STOP, by="test", why="rehearsal of a stop")
    rehearsal.until_phase("close_out")
    rehearsal.kill_and_restart()
    status = rehearsal.end()
    filled = [row for row in rehearsal.trades() if row["entry_timestamp"]]

    assert status == 0
    assert [(row["ticker"], row["exit_reason"]) for row in filled] == [("AAA", "stop_request")]
    rehearsal.sound()


def test_a_second_runner_waits_for_the_first_one(rehearsal):
    rehearsal.until_phase("analysis")
    first = rehearsal.process
    rehearsal.process = rehearsal.start()
    still_the_first = rehearsal.beat()["pid"] == first.pid
    first.kill()
    first.wait()
    rehearsal.until_phase("analysis")

    assert still_the_first
    assert SessionId.parse(SESSION).day == DAY
