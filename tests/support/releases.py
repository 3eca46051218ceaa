"""Copies of the program as releases, with small changes, and supervisors started from them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw

import tbot_bot
import tbot_bot.journal.canary  # with the next: what processes write into the journals that are read here
import tbot_bot.runtime.tbot_runner_supervisor
from tbot_bot.core.codec import loads
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import open_reader

PATIENCE_SECONDS = 90
PROGRAM = """
import sys
from pathlib import Path
from tbot_bot.config.error_handler import TbotError
from tbot_bot.runtime.requests import REHEARSAL_SEED, RunRequest
from tbot_bot.runtime.tbot_runner_supervisor import run_supervisor
request = RunRequest(home=Path(sys.argv[1]), once=True, rehearsal=True, seed=REHEARSAL_SEED, speed=250.0,
                     overrides=(("STRATEGY_OVERRIDE", "open"), ("OPEN_MONITORING_TIME", "60")))
try:
    sys.exit(run_supervisor(request))
except TbotError as error:
    sys.stderr.write(f"error: {error}")
    sys.exit(1)
"""


def make_release(folder: Path) -> Path:
    """Copy the program into `folder` and return the folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(tbot_bot.__file__).parent, folder / "tbot_bot", ignore=ignored)
    return folder


def change_nothing_that_decides(release: Path) -> None:
    """Change the deciding code's fingerprint, and nothing else."""
    source = release / "tbot_bot" / "trading" / "phases.py"
    source.write_text(source.read_text(encoding="utf-8") + "\n# a remark\n", encoding="utf-8")


def decide_in_other_words(release: Path) -> None:
    """Let the release give another reason for the first phase than the journal will hold."""
    source = release / "tbot_bot" / "trading" / "phases.py"
    text = source.read_text(encoding="utf-8")
    assert "the session's start" in text
    source.write_text(text.replace("the session's start", "the start of the session"), encoding="utf-8")


class Installation:
    """One home folder, run by supervisors of several releases."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home = home
        self.started: list[subprocess.Popen[bytes]] = []
        self.runners: set[int] = set()

    def supervise(self, release: Path) -> subprocess.Popen[bytes]:
        """Start the supervisor of `release` for one OPEN session, 250 times as fast as life.

        What is held is held for a quarter of a minute: another supervisor has to come up meanwhile.
        """
        environment = {**os.environ, "PYTHONPATH": str(release)}
        with (self.home / "stderr.txt").open("ab") as errors:
            command = [sys.executable, "-c", PROGRAM, str(self.home)]
            process = subprocess.Popen(command, stderr=errors, env=environment, cwd=self.home)
        self.started.append(process)
        return process

    def read(self, *path: str) -> dict[str, object]:
        """Return a JSON file of the installation, {} where it is not there."""
        try:
            found = json.loads(self.home.joinpath(*path).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def runner(self) -> int:
        """Return the pid of the runner whose pulse there is, 0 where there is none."""
        pid = int(str(self.read("control", "runner.json").get("pid", 0)))
        self.runners.add(pid)
        return pid

    def until(self, condition) -> None:
        """Wait for `condition`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.words()
            time.sleep(0.01)

    def until_a_position_is_open(self) -> None:
        """Wait until something is held."""
        self.until(lambda: self.read("output", "status_bot.json").get("positions"))

    def kill_runner(self) -> int:
        """Kill the runner as a power cut would, wait for another one's pulse, and return the other one's pid."""
        pid = self.runner()
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: self.runner() not in {0, pid})
        return self.runner()

    def words(self) -> str:
        """Return what the processes complained of."""
        found = [self.home / "stderr.txt", *self.home.rglob("runner.out")]
        return "\n".join(path.read_text(encoding="utf-8") for path in found if path.exists())

    def rows(self, kind: Kind) -> list[object]:
        """Return the records of the journal's rows of `kind`."""
        with open_reader(self.home / "output" / "journal" / "tbot_paper.sqlite3") as journal:
            return [loads(row.payload) for row in journal.rows(kind=kind)]

    def assert_the_venue_is_flat(self) -> dict[str, int]:
        """Hold the venue's own books against what no upgrade may break; return its count of orders by leg."""
        (path,) = (self.home / "output" / "venue").rglob("*.sqlite3")
        with apsw.Connection(str(path)) as venue:
            orders = [json.loads(str(body)) for (body,) in venue.execute("SELECT body FROM orders")]
            fills = [json.loads(str(body)) for (body,) in venue.execute("SELECT body FROM executions")]
        side = {one["request"]["client_order_id"]: one["request"]["side"] for one in orders}
        assert len(side) == len(orders)
        assert not [one for one in orders if one["status"] in {"working", "partially_filled"}]
        held: dict[str, float] = {}
        for one in fills:
            fill = one.get("fill", one)
            order = fill["client_order_id"]
            sign = 1 if "buy" in str(side[order]) else -1
            name = order.rpartition("-")[0]
            held[name] = held.get(name, 0) + sign * float(fill["quantity"])
        assert held
        assert set(held.values()) == {0.0}, held
        legs = [order.rpartition("-")[2].rstrip("0123456789") for order in side]
        entries = [order for order in side if order.rpartition("-")[2].startswith("entry")]
        assert len({order.rpartition("-")[0] for order in entries}) == len(entries), "an entry was sent twice"
        return {leg: legs.count(leg) for leg in set(legs)}

    def clean_up(self) -> None:
        """Leave no process behind."""
        self.runner()
        for process in self.started:
            process.kill()
            process.wait()
        for pid in self.runners - {0}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
