"""A bot over a crafted day on which OPEN buys AAA and BBB, whose runner can be poisoned, for the kill path's tests."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from decimal import Decimal

from tbot_bot.broker.broker_sim import SimulatedBroker, VenueStore
from tbot_bot.broker.matching import Venue
from tbot_bot.core.codec import loads
from tbot_bot.core.instruments import equity
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import OrderRequest, OrderType, Side
from tbot_bot.journal.store import open_reader
from tests.support.crafted_day import DAY, breakout_up, write_day

PATIENCE_SECONDS = 30
SOUND = "-"
PROGRAM = """
import sys
from pathlib import Path
from tests.support.crafted_day import DAY
from tbot_bot.runtime import supervisor
from tbot_bot.runtime.cli_output import complain, status_of
from tbot_bot.config.error_handler import TbotError
from tbot_bot.runtime.requests import RunRequest
from tbot_bot.runtime.tbot_runner_supervisor import run_supervisor
home = Path(sys.argv[1])
pairs = tuple(tuple(word.split("=", 1)) for word in sys.argv[3:] if "=" in word)
plain = "--plain" in sys.argv
request = RunRequest(home=home, once=True, rehearsal=not plain, day=DAY, data=home / "bars.csv",
                     speed=float(sys.argv[2]),
                     overrides=(("STRATEGY_OVERRIDE", "open"), *pairs))
real = supervisor.Supervisor._command
def poisoned(self, hand, session):
    python, dash, module, *rest = real(self, hand, session)
    return (python, dash, "tests.support.poisoned_runner", module, *rest)
supervisor.Supervisor._command = poisoned
try:
    sys.exit(run_supervisor(request))
except TbotError as error:
    complain(error)
    sys.exit(status_of(error))
"""


class Bot:
    """A supervisor of one OPEN session, its runner, and the venue's own books."""

    def __init__(self, home, *, bars=None, speed=400.0, settings=()):
        self.home, self.speed, self.settings = home, speed, settings
        (home / ".env").write_text("ENVIRONMENT=development\n")
        (home / ".env_bot").write_text("TEST_MODE=true\n")
        (home / "poison").write_text(SOUND)
        write_day(home / "bars.csv", bars or {"AAA": breakout_up(), "BBB": breakout_up()})
        self.processes = []

    @property
    def env(self):
        return {**os.environ, "TBOT_HOME": str(self.home)}

    def start(self):
        command = [sys.executable, "-c", PROGRAM, str(self.home), str(self.speed), *self.settings]
        with (self.home / "stderr.txt").open("ab") as errors:
            process = subprocess.Popen(command, stderr=errors, env={**self.env, "POISON": str(self.home / "poison")})
        self.processes.append(process)
        return process

    def started_with_positions(self):
        process = self.start()
        self.until(lambda: len(self.read("output", "status_bot.json").get("positions", [])) == 2)
        return process

    def tbot(self, *words, file_bytes=None):
        """Run a command; `file_bytes` is how large it may make a file."""

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

        return subprocess.run(
            [sys.executable, "-m", "tbot_bot.runtime.cli", *words], env=self.env, capture_output=True, text=True,
            check=False, timeout=PATIENCE_SECONDS, preexec_fn=None if file_bytes is None else limit,
        )  # fmt: skip

    def read(self, *path):
        try:
            return json.loads(self.home.joinpath(*path).read_text())
        except (OSError, ValueError):
            return {}

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert not self.processes or self.processes[-1].poll() in {None, 0, -9}, self.home.joinpath(
                "stderr.txt"
            ).read_text()
            assert time.monotonic() < deadline, (self.home / "stderr.txt").read_text()
            time.sleep(0.01)

    def ended(self):
        return self.processes[-1].wait(timeout=PATIENCE_SECONDS)

    def runner(self):
        return self.read("control", "runner.json").get("pid", 0)

    def poison(self, kind):
        """Have the next runner's engine be broken in this way, and end the present one."""
        (self.home / "poison").write_text(kind)
        pid = self.runner()
        os.kill(pid, signal.SIGKILL)
        return pid

    def die(self):
        """End supervisor and runner at once, as the machine's power switch would."""
        pid = self.runner()
        self.processes[-1].kill()
        os.killpg(pid, signal.SIGKILL)
        self.processes[-1].wait()
        return pid

    def hang(self):
        os.kill(self.runner(), signal.SIGSTOP)
        os.kill(self.processes[-1].pid, signal.SIGSTOP)

    @property
    def journal(self):
        return self.home / "output" / "journal" / "tbot_paper.sqlite3"

    def rows(self, kind):
        with open_reader(self.journal) as reader:
            return [loads(row.payload) for row in reader.rows(kind=kind)]

    @property
    def venue_file(self):
        (path,) = (self.home / "output" / "venue").glob("*/*.sqlite3")
        return path

    def broker(self):
        path = self.venue_file
        return SimulatedBroker(Venue(broker=path.stem.rpartition("_")[0], cash=ZERO), store=VenueStore(path))

    def held(self):
        return {position.instrument.symbol: position.quantity for position in self.broker().venue.positions()}

    def resting(self):
        return [order.client_order_id for order in self.broker().venue.open_orders()]

    def plant_a_stranger(self):
        """Give the account an order and soon a position in BBB that are not the bot's."""
        broker = self.broker()
        request = OrderRequest(
            client_order_id="by-hand-1", trade_id="by-hand", broker=broker.name, instrument=equity("BBB"),
            side=Side.BUY, quantity=Decimal(3), order_type=OrderType.MARKET,
        )  # fmt: skip
        asyncio.run(broker.submit(request))
        asyncio.run(broker.close())

    def flag(self):
        return self.read("output", "shutdown_flag.json")

    def clean_up(self):
        pids = [self.runner()]
        for process in self.processes:
            process.kill()
            process.wait()
        for pid in filter(None, pids):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def spoil(path, how):
    """Break a file in one of several ways."""
    match how:
        case "garbage":
            for beside in ("-wal", "-shm"):
                path.with_name(path.name + beside).unlink(missing_ok=True)
            path.write_bytes(b"rubbish" * 1000)
        case "gone":
            path.unlink()
        case _:
            raise ValueError(how)


__all__ = ["DAY", "PATIENCE_SECONDS", "Bot", "spoil"]
