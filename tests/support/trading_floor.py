"""A sandbox process on a crafted day, a bot's home whose settings point at it, and one runner."""

import csv
import json
import signal
import subprocess
import sys
import time
from decimal import Decimal

import requests

from tbot_bot.core.identity import Mode
from tbot_bot.journal.verify import verify
from tbot_bot.runtime.replay import replay_day
from tests.support.crafted_day import DAY, flat, with_history, write_day
from tests.support.rehearsal import write_vix
from tests.support.terminal import CLI, REPOSITORY

FREE = ("--port-alpaca", "0", "--port-finnhub", "0", "--port-tws", "0", "--admin-port", "0", "--no-limits")
SESSION = "2025-12-02/open"
PATIENCE_SECONDS = 60
QUICK = {
    "TEST_MODE_VENUE": "broker_paper",
    "STRATEGY_OVERRIDE": "open",
    "UNIVERSE": "AAA,BBB",
    "SHORT_TYPE_OPEN": "disabled",
    "OPEN_ANALYSIS_TIME": "3m",
    "OPEN_BREAKOUT_TIME": "4m",
    "OPEN_MONITORING_TIME": "3m",
}


LIVE = {"TEST_MODE": "false", "ALPACA_MODE": "live", "IBKR_MODE": "live"}
LIVE_KEYS = {"ALPACA_LIVE_API_KEY": "changeme", "ALPACA_LIVE_SECRET_KEY": "changeme"}


def rising_day():
    """Return AAA, which leaves its range in the fifth minute and stays there, and BBB, which stays."""
    return {"AAA": [*flat(50.0, 4), (50.1, 51.7, 50.0, 51.6), *flat(51.6, 385, width=0.1)], "BBB": flat(20.0, 390)}


class Floor:
    """A sandbox process, and a bot's home whose settings point at it."""

    def __init__(
        self, home, *, speed, day=None, session=SESSION, begin="09:26", env=None, vix=None, live=False, **settings
    ):
        """`env` stands in for single lines of `.env`, `settings` for those of `.env_bot`; `vix` prices puts.

        `live`: outside test mode, at what stands in for live accounts.
        """
        self.home, self.speed, self.session = home, speed, session
        self.mode = Mode.LIVE if live else Mode.PAPER
        words = ["--data", str(write_day(home / "bars.csv", day or rising_day())), "--day", DAY.isoformat()]
        words += [] if vix is None else ["--vix", str(write_vix(home / "vix.csv", vix))]
        if live:
            with_history(home / "bars.csv")
            words.append("--live-accounts")
            settings = LIVE | settings
        self.sandbox = subprocess.Popen(
            [sys.executable, "-c", CLI, "sandbox", "--json", *FREE, *words, "--speed", str(speed), "--begin", begin],
            stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )  # fmt: skip
        assert self.sandbox.stdout is not None
        text = ""
        for line in self.sandbox.stdout:
            text += line
            if line == "}\n":
                break
        self.told = json.loads(text)
        self._write(".env", ".env.example", self.told["settings"] | settings | (env or {}))
        self._write(".env_bot", ".env_bot.template-test", QUICK | settings)
        (home / "VERSION.md").write_text((REPOSITORY / "VERSION.md").read_text())
        self.runner: subprocess.Popen[bytes] | None = None

    def _write(self, name, template, values):
        lines = (REPOSITORY / template).read_text(encoding="utf-8").splitlines()
        names = [line.partition("=")[0] for line in lines]
        found = [f"{name}={values[name]}" if name in values else line for name, line in zip(names, lines, strict=True)]
        (self.home / name).write_text("\n".join(found) + "\n", encoding="utf-8")
        (self.home / name).chmod(0o600)

    def repoint(self, name, value):
        """Change one line of `.env`."""
        path = self.home / ".env"
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("".join(f"{name}={value}\n" if one.startswith(f"{name}=") else f"{one}\n" for one in lines))

    def start(self):
        """Start the runner: the very same command each time."""
        command = [sys.executable, "-m", "tbot_bot.runtime.main", "--session", self.session, "--home", str(self.home)]
        command += ["--anchor", self.told["anchor"], "--speed", str(float(self.speed))]
        with (self.home / "stderr.txt").open("ab") as errors:
            self.runner = subprocess.Popen(command, stderr=errors, cwd=REPOSITORY)

    def end(self):
        """Wait for the runner's own end and return its exit status."""
        assert self.runner is not None
        status = self.runner.wait(timeout=PATIENCE_SECONDS)
        assert status in {0, 5}, (self.home / "stderr.txt").read_text()
        return status

    def kill(self):
        """End the runner as a power cut would."""
        assert self.runner is not None
        self.runner.send_signal(signal.SIGKILL)
        self.runner.wait()

    def breaks(self, *rules):
        """Put these faults in force."""
        admin = f"http://127.0.0.1:{self.told['ports']['admin']}/faults"
        answer = requests.put(admin, json={"faults": list(rules)}, timeout=10)
        assert answer.status_code < 300, answer.text

    def truth(self, broker="alpaca"):
        """Return the account at `broker` as the venue itself knows it."""
        told = requests.get(f"http://127.0.0.1:{self.told['ports']['admin']}/truth", timeout=10).json()
        return next(account for account in told["accounts"] if account["name"] == broker)

    def until(self, true, broker="alpaca"):
        """Wait until the venue's truth about `broker` is such that `true`."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not true(self.truth(broker)):
            assert time.monotonic() < end, self.truth(broker)
            assert self.runner is not None
            assert self.runner.poll() is None, (self.home / "stderr.txt").read_text()
            time.sleep(0.02)

    def trades(self):
        """Return the rows of the trade history that were entered."""
        with (self.home / "output" / "trades" / f"trade_history_{self.mode}.csv").open(encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if row["entry_timestamp"]]

    def close(self):
        for process in (self.runner, self.sandbox):
            if process is not None and process.poll() is None:
                process.kill()
        self.sandbox.communicate()


STOPS = ("stop", "trailing_stop")
"""Kinds of protective orders: the second where the broker moves it."""


def protected(truth):
    """Return whether a protective stop has been sent."""
    return any(order["ticket"]["kind"] in STOPS for order in truth["orders"])


def agrees(floor, broker="alpaca"):
    """Assert that our books are the venue's, to the cent and to the share, and that the journal proves itself."""
    (trade,) = [trade for trade in floor.trades() if trade["broker"] == broker]
    truth = floor.truth(broker)
    assert truth["positions"] == []
    assert not [order for order in truth["orders"] if order["phase"] in {"working", "held"}]
    booked = Decimal(trade["PnL"])
    assert booked == (Decimal(truth["cash"]) - 100_000).quantize(Decimal("0.01"))
    assert Decimal(trade["fees"]) == Decimal(truth["fees"]).quantize(Decimal("0.01"))
    labels = [order["ticket"]["label"] for order in truth["orders"]]
    assert len(labels) == len(set(labels))
    assert sum(label.endswith("entry1") for label in labels) == 1
    assert any("-stop" in label for label in labels)
    assert verify(floor.home / "output" / "journal" / f"tbot_{floor.mode}.sqlite3").ok
    assert replay_day(floor.home, DAY, floor.mode).identical
    return trade
