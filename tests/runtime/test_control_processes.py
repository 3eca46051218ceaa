"""Every way of stopping and of changing settings, with real processes: what test_supervisor.py leaves over."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tbot_bot
import tbot_bot.journal.canary  # its rows are among the notes
from tbot_bot.broker.broker_sim import SimulatedBroker, VenueStore
from tbot_bot.broker.matching import Venue
from tbot_bot.core.codec import loads
from tbot_bot.core.events import ControlReceived
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import OrderType
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import open_reader
from tbot_bot.reporting.noted import Noted
from tbot_bot.runtime.background import supervisor_pid
from tbot_bot.runtime.control import ControlFolder
from tbot_bot.trading.spec import SessionSpec
from tests.support.crafted_day import DAY, breakout_up, write_day

PATIENCE_SECONDS = 60
BOT_FILE = "TEST_MODE=true\nMAX_OPEN_POSITIONS={}\n"


class Run:
    """`tbot run` over a crafted day on which OPEN buys AAA and BBB."""

    def __init__(self, home):
        self.home = home
        self.process = None
        (home / ".env").write_text("ENVIRONMENT=development\n")
        (home / ".env_bot").write_text(BOT_FILE.format(3))
        write_day(home / "bars.csv", {"AAA": breakout_up(), "BBB": breakout_up()})

    def start(self, *words, sessions="open", speed=250):
        command = [sys.executable, "-m", "tbot_bot.runtime.cli", "run", "--once", "--rehearsal", "--day", str(DAY)]
        command += ["--data", "bars.csv", "--speed", str(speed), "--set", f"STRATEGY_OVERRIDE={sessions}", *words]
        if not sessions:
            command.remove("STRATEGY_OVERRIDE=")
            command.remove("--set")
        with (self.home / "out.txt").open("ab") as out:
            self.process = subprocess.Popen(
                command, cwd=self.home, env={**os.environ, "TBOT_HOME": str(self.home)}, stdout=out, stderr=out
            )
        return self.process

    def read(self, *path):
        try:
            return json.loads(self.home.joinpath(*path).read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.home / "out.txt").read_text()
            time.sleep(0.01)

    def until_phase(self, phase):
        self.until(lambda: self.read("control", "runner.json").get("phase") == phase)

    def until_positions(self):
        self.until(lambda: len(self.read("output", "status_bot.json").get("positions", [])) == 2)

    def rows(self, kind):
        path = self.home / "output" / "journal" / "tbot_paper.sqlite3"
        if not path.exists():
            return []
        with open_reader(path) as journal:
            return [loads(row.payload) for row in journal.rows(kind=kind)]

    def notes(self):
        return [note.text for note in self.rows(Kind.NOTE) if isinstance(note, Noted)]

    def venue(self):
        (path,) = (self.home / "output" / "venue").glob("*/*.sqlite3")
        return SimulatedBroker(Venue(broker=path.stem.rpartition("_")[0], cash=ZERO), store=VenueStore(path)).venue

    def clean_up(self):
        pid = self.read("control", "runner.json").get("pid")
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path)
    yield made
    made.clean_up()


def test_a_second_sigterm_ends_everything_at_once_and_leaves_the_protective_stops(run):
    process = run.start(speed=300)
    run.until_positions()
    os.kill(run.read("control", "runner.json")["pid"], signal.SIGSTOP)  # it cannot act on the first
    process.send_signal(signal.SIGTERM)
    run.until(lambda: any("stop asked by signal: SIGTERM" in note for note in run.notes()))
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=PATIENCE_SECONDS) == 1
    assert time.monotonic() - began < 15
    venue = run.venue()
    held = {position.instrument.symbol: position.quantity for position in venue.positions()}
    stops = {order.request.instrument.symbol: order.request.quantity for order in venue.open_orders()}
    assert set(held) == {"AAA", "BBB"}
    assert stops == held
    assert {order.request.order_type for order in venue.open_orders()} == {OrderType.STOP}


def test_ctrl_c_stops_safely_and_ends_with_130(run):
    process = run.start(sessions="open")
    run.until_phase("analysis")
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=PATIENCE_SECONDS) == 130
    assert run.read("output", "status_bot.json")["state"] == "shutdown"
    assert "Traceback" not in (run.home / "out.txt").read_text()


def test_a_flag_that_names_by_whom_and_why_closes_everything_and_is_journaled_so(run):
    process = run.start()
    run.until_positions()
    (run.home / "control" / "control_stop.txt").write_text('{"by": "anna", "why": "a storm is coming"}')
    run.until(lambda: any("a storm is coming" in note for note in run.notes()))
    process.send_signal(signal.SIGTERM)  # the first signal, whatever flags said before: still a safe stop

    assert process.wait(timeout=PATIENCE_SECONDS) == 0
    assert run.venue().positions() == ()
    asked = [event for event in run.rows(Kind.INPUT) if isinstance(event, ControlReceived)]
    assert [(event.kind, event.by, event.why) for event in asked] == [("stop", "anna", "a storm is coming")]


def test_a_bot_that_waits_for_its_day_is_stopped_by_a_flag(run):
    """On the real clock of today: whatever the market does now, the bot ends."""
    command = [sys.executable, "-m", "tbot_bot.runtime.cli", "run"]
    with (run.home / "out.txt").open("ab") as out:
        run.process = subprocess.Popen(command, env={**os.environ, "TBOT_HOME": str(run.home)}, stdout=out, stderr=out)
    run.until(lambda: run.read("control", "supervisor.json"))
    run.until(lambda: run.read("output", "status_bot.json"))
    ControlFolder(run.home / "control").folder.joinpath("control_stop.txt").write_text("")
    began = time.monotonic()

    assert run.process.wait(timeout=PATIENCE_SECONDS) == 0
    assert time.monotonic() - began < 15
    assert "stop asked by unknown" in run.read("output", "status_bot.json")["state_reason"]


def limits_by_session(run):
    specs = (item for item in run.rows(Kind.SESSION) if isinstance(item, SessionSpec))
    return [(spec.strategy.value, spec.limits.max_open_positions) for spec in specs]


@pytest.mark.parametrize(
    ("text", "hangup", "follows", "said"),
    [
        pytest.param(BOT_FILE.format(1), True, 1, "the settings are read again", id="asked for"),
        pytest.param(BOT_FILE.format("many"), True, 3, "the old ones stay", id="bad file", marks=pytest.mark.slow),
        pytest.param(BOT_FILE.format(1), False, 1, "", id="without asking", marks=pytest.mark.slow),
    ],
)
def test_settings_change_for_the_next_session_if_they_can_be_used_and_never_within_one(
    run, text, hangup, follows, said
):
    process = run.start(sessions="", speed=300)
    run.until_phase("analysis")
    (run.home / ".env_bot").write_text(text)
    if hangup:
        process.send_signal(signal.SIGHUP)
    os.kill(run.read("control", "runner.json")["pid"], signal.SIGKILL)  # recovered with what the session began with
    run.until(lambda: len(limits_by_session(run)) == 2)

    assert limits_by_session(run) == [("open", 3), ("mid", follows)]
    assert any(said in note for note in run.notes())


@pytest.mark.parametrize("form", ["module", "file"])
def test_cron_may_start_the_bot_by_module_or_by_file(run, form):
    ControlFolder(run.home / "control").latch(by="anna", why="a test")  # so that the start is over at once
    file = Path(tbot_bot.__file__).parent / "runtime" / "start_bot.py"
    words = ["-m", "tbot_bot.runtime.start_bot"] if form == "module" else [str(file)]
    told = subprocess.run(
        [sys.executable, *words, "--home", str(run.home), "--once"], capture_output=True, text=True, check=False
    )

    assert (told.returncode, "the kill switch is engaged by anna: a test" in told.stdout) == (5, True), told


@pytest.mark.slow
def test_of_two_real_starts_at_once_one_runs_and_both_are_content(run):
    command = [sys.executable, "-m", "tbot_bot.runtime.start_bot", "--home", str(run.home), "--rehearsal", "--once"]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [racer.communicate()[0] for racer in racers]
    pid = supervisor_pid(run.home / "control")

    assert [racer.returncode for racer in racers] == [0, 0], told
    assert sorted("is started" in words for words in told) == [False, True], told
    assert pid
    os.kill(pid, signal.SIGTERM)
    run.until(lambda: supervisor_pid(run.home / "control") is None)
