"""Errors in real processes: a defect ends in the kill switch, no secret gets out, a full disk stops no watch."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from tbot_bot.broker.broker_sim import SimulatedBroker, VenueStore
from tbot_bot.broker.matching import Venue
from tbot_bot.config.env import EnvSettings
from tbot_bot.config.model import variables
from tbot_bot.core.codec import loads
from tbot_bot.core.money import ZERO
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.noted import ErrorRaised
from tbot_bot.runtime.control import ControlFolder
from tests.support.crafted_day import breakout_up, write_day

PATIENCE_SECONDS = 90
SUPERVISOR = """
import sys
from pathlib import Path
from tests.support.crafted_day import DAY
from tbot_bot.runtime import supervisor
from tbot_bot.runtime.last_resort import scrubbed_output
from tbot_bot.runtime.requests import RunRequest
from tbot_bot.runtime.tbot_runner_supervisor import run_supervisor
home, speed, runner = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
request = RunRequest(home=home, once=True, rehearsal=True, day=DAY, data=home / "bars.csv", speed=speed,
                     overrides=(("STRATEGY_OVERRIDE", "open"),))
real = supervisor.Supervisor._command
if runner:
    supervisor.Supervisor._command = lambda *words: (sys.executable, runner, *real(*words)[1:])
with scrubbed_output():
    sys.exit(run_supervisor(request))
"""
DEFECTIVE_RUNNER = """
import sys, urllib.parse
from pathlib import Path
from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.runtime import main
from tbot_bot.trading.engine import Engine
home = Path(sys.argv[sys.argv.index("--home") + 1])
secrets = [line.partition("=")[2] for line in (home / ".env").read_text().splitlines()]
real = Engine.handle
def handle(self, event):
    if sum(trade.entered_at is not None for trade in self.state.active_trades()) < 2:
        return real(self, event)
    sys.stderr.write("printed: " + " ".join(secrets) + "\\n")
    try:
        try:
            raise BrokerUnavailable(" ".join(secrets))
        except BrokerUnavailable as error:
            error.add_note("noted: " + secrets[3])
            raise KeyError({"token": secrets[0], "url": "https://x.test/?q=" + urllib.parse.quote(secrets[1], safe="")},
                           [secret.encode() for secret in secrets]) from error
    except KeyError as error:
        raise LogicError("the sum of the parts: " + ", ".join(map(repr, secrets)), where=secrets[2]) from error
Engine.handle = handle
sys.exit(main.main(sys.argv[3:]))  # without `-m module`
"""


def canary(name):
    """Return a secret that no other text contains and that its variable accepts."""
    word = f"zq9{name.lower().replace('_', '')}7kx"
    match name:
        case "ENCRYPTION_KEY":
            return base64.urlsafe_b64encode(b"zq9" * 10 + b"!!").decode()
        case "DATABASE_URL":
            return f"postgresql://tbot:{word}@db.test/tbot"
        case "SLACK_WEBHOOK_URL" | "ALERT_URLS":
            return f"https://hooks.test/{word}/x"
        case _:
            return word


CANARIES = {one.name: canary(one.name) for one in variables(EnvSettings) if one.kind.secret}


class Bot:
    """A supervisor of one OPEN session over a crafted day."""

    def __init__(self, home):
        self.home, self.control = home, ControlFolder(home / "control")
        home.mkdir(exist_ok=True)
        write_day(home / "bars.csv", {"AAA": breakout_up(), "BBB": breakout_up()})
        self.processes = []
        self.errors = home.parent / f"{home.name}_stderr.txt"

    def supervise(self, speed=400.0, runner=""):
        with self.errors.open("ab") as errors:
            command = [sys.executable, "-c", SUPERVISOR, str(self.home), str(speed), str(runner)]
            process = subprocess.Popen(command, stderr=errors, stdout=errors)
        self.processes.append(process)
        return process

    def status(self):
        return self.read("output", "status_bot.json")

    def read(self, *path):
        try:
            return json.loads(self.home.joinpath(*path).read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.errors.read_text()
            assert self.processes[-1].poll() is None, self.errors.read_text()
            time.sleep(0.02)

    def venue(self):
        (path,) = (self.home / "output" / "venue").glob("*/*.sqlite3")
        return SimulatedBroker(Venue(broker=path.stem.rpartition("_")[0], cash=ZERO), store=VenueStore(path)).venue

    def clean_up(self):
        runner = self.read("control", "runner.json").get("pid")
        for process in self.processes:
            process.kill()
            process.wait()
        if runner:
            try:
                os.kill(runner, signal.SIGKILL)
            except ProcessLookupError:
                return


@pytest.fixture
def bot(tmp_path):
    made = Bot(tmp_path / "home")
    yield made
    made.clean_up()


@pytest.mark.slow
def test_a_defect_in_the_decision_loop_ends_flat_in_the_kill_switch_and_shows_no_secret(bot, tmp_path):
    """The runner raises a LogicError full of secrets whenever two positions are open, after each restart too."""
    (bot.home / ".env").write_text("".join(f"{name}={value}\n" for name, value in CANARIES.items()))
    (bot.home / ".env").chmod(0o600)
    runner = tmp_path / "runner.py"
    runner.write_text(DEFECTIVE_RUNNER)
    status = bot.supervise(runner=runner).wait(timeout=PATIENCE_SECONDS)

    assert status == 5, bot.errors.read_text()
    assert "the runner ended 4 times, 3 restarts are allowed" in bot.control.killed()
    assert bot.venue().positions() == ()
    assert bot.venue().open_orders() == ()
    journal = bot.home / "output" / "journal" / "tbot_paper.sqlite3"
    assert verify(journal).ok
    with open_reader(journal) as reader:
        found = [(row.session, loads(row.payload)) for row in reader.rows(kind=Kind.ERROR)]
    raised = [error for session, error in found if isinstance(error, ErrorRaised) and error.code == "LOGIC"]
    assert len(raised) == 4
    assert all("handle" in error.trace for error in raised)
    assert {error.severity for error in raised} == {"critical"}

    lines = [json.loads(line) for line in
             (bot.home / "output" / "logs" / "unresolved_orders_paper.log").read_text().splitlines()]  # fmt: skip
    logic = [line for line in lines if line["error_class"] == "LogicError"]
    assert logic
    assert all((line["strategy"], line["code"]) == ("open", "LOGIC") for line in logic)
    assert all(line["timestamp"] and "LogicError" in line["trace"] and "********" in line["text"] for line in logic)
    assert "printed: ********" in (bot.home / "logs" / "bot" / "paper" / "runner.out").read_text()
    assert leaks(bot.home, bot.errors) == []


def leaks(home, *more):
    """Return which canary is in which file, in which form."""
    files = [path for path in [*home.rglob("*"), *more] if path.is_file() and path != home / ".env"]
    assert len(files) > 10
    words = {name: core(value) for name, value in CANARIES.items()}
    return [
        (name, str(path))
        for path in files
        for content in (path.read_bytes(),)
        for name, word in words.items()
        for form in {word, quote(word), base64.b64encode(word.encode()).decode()[1:-4], word.encode().hex()}
        if form.encode() in content
    ]  # fmt: skip


def core(value):
    """Return the part of a canary that is the secret, without what any address has."""
    return next(part for part in value.replace(":", "/").replace("@", "/").split("/") if "zq9" in part or "=" in part)


def test_the_canaries_are_found_where_they_are(tmp_path):
    """The search itself works: nothing is proven by a search that finds nothing anywhere."""
    for number in range(11):
        (tmp_path / f"file{number}").write_text("nothing")
    (tmp_path / "leaky.log").write_text(CANARIES["FINNHUB_API_KEY"])
    assert leaks(tmp_path) == [("FINNHUB_API_KEY", str(tmp_path / "leaky.log"))]
    assert len(CANARIES) >= 15


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 256 MB: a start asks for 200, where this machine lets us."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no disk of our own can be mounted here (needs root on Linux)")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> None:
    """Leave not one byte of room."""
    with (place / "ballast").open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    assert shutil.disk_usage(place).free == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill", "SIGTERM"])
def test_a_supervisor_on_a_full_disk_obeys(small_disk, how):
    """A runner that cannot record ends, and so does every one after it: the kill switch is the only safe end."""
    bot = Bot(small_disk / "home")
    try:
        supervisor = bot.supervise(speed=1.0)
        bot.until((bot.home / "control" / "runner.json").exists)
        fill(small_disk)
        time.sleep(3)  # it writes its status every two seconds, and fails
        assert supervisor.poll() is None
        if how == "SIGTERM":
            supervisor.terminate()
        else:
            (bot.home / "control" / f"control_{how}.txt").touch()
        assert supervisor.wait(timeout=20) == 5, bot.errors.read_text()
        assert bot.control.killed()
    finally:
        bot.clean_up()
