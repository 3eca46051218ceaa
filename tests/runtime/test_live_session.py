"""Sessions on the sandbox's live market: real runner processes, real sockets, a shared compressed clock."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest
import requests

from tbot_bot.core.identity import Mode
from tbot_bot.journal.verify import verify
from tbot_bot.runtime.replay import replay_day
from tests.support.crafted_day import DAY, flat, write_day
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


LIVE_KEYS = {"ALPACA_LIVE_API_KEY": "changeme", "ALPACA_LIVE_SECRET_KEY": "changeme"}


def rising_day():
    """Return AAA, which leaves its range in the fifth minute and stays there, and BBB, which stays."""
    return {"AAA": [*flat(50.0, 4), (50.1, 51.7, 50.0, 51.6), *flat(51.6, 385, width=0.1)], "BBB": flat(20.0, 390)}


class Floor:
    """A sandbox process, and a bot's home whose settings point at it."""

    def __init__(self, home, *, speed, **settings):
        self.home, self.speed = home, speed
        words = ["--data", str(write_day(home / "bars.csv", rising_day())), "--day", DAY.isoformat()]
        self.sandbox = subprocess.Popen(
            [sys.executable, "-c", CLI, "sandbox", "--json", *FREE, *words, "--speed", str(speed), "--begin", "09:26"],
            stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )  # fmt: skip
        assert self.sandbox.stdout is not None
        text = ""
        for line in self.sandbox.stdout:
            text += line
            if line == "}\n":
                break
        self.told = json.loads(text)
        self._write(".env", ".env.example", self.told["settings"] | settings)
        self._write(".env_bot", ".env_bot.template-test", QUICK | settings)
        (home / "VERSION.md").write_text((REPOSITORY / "VERSION.md").read_text())
        self.runner: subprocess.Popen[bytes] | None = None

    def _write(self, name, template, values):
        lines = (REPOSITORY / template).read_text(encoding="utf-8").splitlines()
        names = [line.partition("=")[0] for line in lines]
        found = [f"{name}={values[name]}" if name in values else line for name, line in zip(names, lines, strict=True)]
        (self.home / name).write_text("\n".join(found) + "\n", encoding="utf-8")
        (self.home / name).chmod(0o600)

    def start(self):
        """Start the runner: the very same command each time."""
        command = [sys.executable, "-m", "tbot_bot.runtime.main", "--session", SESSION, "--home", str(self.home)]
        command += ["--anchor", self.told["anchor"], "--speed", str(float(self.speed))]
        with (self.home / "stderr.txt").open("ab") as errors:
            self.runner = subprocess.Popen(command, stderr=errors, cwd=REPOSITORY)

    def end(self):
        """Wait for the runner's own end and return its exit status."""
        assert self.runner is not None
        status = self.runner.wait(timeout=PATIENCE_SECONDS)
        assert status in {0, 5}, (self.home / "stderr.txt").read_text()
        return status

    def truth(self):
        """Return Alpaca's account as the venue itself knows it."""
        told = requests.get(f"http://127.0.0.1:{self.told['ports']['admin']}/truth", timeout=10).json()
        return next(account for account in told["accounts"] if account["name"] == "alpaca")

    def until(self, true):
        """Wait until the venue's truth is such that `true`."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not true(self.truth()):
            assert time.monotonic() < end, self.truth()
            assert self.runner is not None
            assert self.runner.poll() is None, (self.home / "stderr.txt").read_text()
            time.sleep(0.02)

    def trades(self):
        """Return the rows of the trade history that were entered."""
        with (self.home / "output" / "trades" / "trade_history_paper.csv").open(encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if row["entry_timestamp"]]

    def close(self):
        for process in (self.runner, self.sandbox):
            if process is not None and process.poll() is None:
                process.kill()
        self.sandbox.communicate()


@pytest.fixture
def floor(tmp_path):
    made = []

    def _floor(**words):
        made.append(Floor(tmp_path, **words))
        return made[-1]

    yield _floor
    for one in made:
        one.close()


def agrees(floor):
    """Assert that our books are the venue's, to the cent and to the share, and that the journal proves itself."""
    (trade,) = floor.trades()
    truth = floor.truth()
    assert truth["positions"] == []
    assert not [order for order in truth["orders"] if order["phase"] in {"working", "held"}]
    booked = Decimal(trade["PnL"])
    assert booked == (Decimal(truth["cash"]) - 100_000).quantize(Decimal("0.01"))
    assert Decimal(trade["fees"]) == Decimal(truth["fees"]).quantize(Decimal("0.01"))
    labels = [order["ticket"]["label"] for order in truth["orders"]]
    assert len(labels) == len(set(labels))
    assert sum(label.endswith("entry1") for label in labels) == 1
    assert any("-stop" in label for label in labels)
    assert verify(floor.home / "output" / "journal" / "tbot_paper.sqlite3").ok
    assert replay_day(floor.home, DAY, Mode.PAPER).identical
    return trade


def test_a_whole_session_over_real_sockets_leaves_the_books_that_the_venue_has(floor):
    one = floor(speed=60)
    one.start()
    one.until(lambda truth: any(order["ticket"]["kind"] == "stop" for order in truth["orders"]))
    assert one.end() == 0
    trade = agrees(one)
    assert (trade["ticker"], trade["exit_reason"], trade["error_code"]) == ("AAA", "time", "")


@pytest.mark.slow
def test_a_runner_killed_while_it_holds_reconciles_with_the_broker_and_closes_once(floor):
    one = floor(speed=60)
    one.start()
    one.until(lambda truth: any(order["ticket"]["kind"] == "stop" for order in truth["orders"]))
    one.runner.send_signal(signal.SIGKILL)
    one.runner.wait()
    one.start()
    assert one.end() == 0
    agrees(one)


@pytest.mark.slow
def test_a_stop_request_closes_at_the_broker_at_once(floor):
    one = floor(speed=60)
    one.start()
    one.until(lambda truth: any(order["ticket"]["kind"] == "stop" for order in truth["orders"]))
    one.runner.send_signal(signal.SIGTERM)
    assert one.end() == 0
    assert agrees(one)["exit_reason"] == "stop_request"


@pytest.mark.slow
def test_a_lost_data_stream_is_asked_around_and_the_trade_is_the_same(floor):
    one = floor(speed=60)
    plan = '{"faults": [{"kind": "dropped", "vendor": "alpaca", "place": "market_data", "skip": 200, "times": 2}]}'
    admin = f"http://127.0.0.1:{one.told['ports']['admin']}/faults"
    answer = requests.put(admin, data=plan, timeout=10)
    assert answer.status_code < 300, answer.text
    one.start()
    assert one.end() == 0
    agrees(one)


def test_refused_keys_end_the_start_with_status_six_and_nothing_is_begun(floor):
    one = floor(speed=60)
    text = (one.home / ".env").read_text().replace("ALPACA_PAPER_SECRET_KEY=changeme", "ALPACA_PAPER_SECRET_KEY=other")
    (one.home / ".env").write_text(text)
    ended = tbot(one.home, "run", "--once")
    assert ended.returncode == 6, ended.stderr
    assert "ALPACA_" in ended.stderr
    assert "other" not in ended.stderr + ended.stdout


def test_the_dead_man_path_leaves_a_real_brokers_positions_under_their_stops_and_says_so(floor):
    one = floor(speed=60)
    command = [sys.executable, "-m", "tbot_bot.runtime.dead_man", "--seconds", "5", "--session", SESSION]
    ended = subprocess.run(
        [*command, "--home", str(one.home), "--anchor", one.told["anchor"], "--speed", "60.0"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "LEFT: alpaca" in ended.stdout
    assert "stops rest" in ended.stdout


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"TRADIER_ENABLED": "true"}, "TRADIER_ENABLED"),
        (
            {"TEST_MODE": "false", "ALPACA_MODE": "live", **LIVE_KEYS},
            "ALPACA_MODE: this version trades paper accounts only",
        ),
    ],
)
def test_what_cannot_trade_here_is_refused_by_name(floor, settings, words):
    one = floor(speed=60, **settings)
    ended = tbot(one.home, "run", "--once")
    assert ended.returncode in {1, 2}
    assert words in ended.stderr


def tbot(home, *words):
    return subprocess.run(
        [sys.executable, "-c", CLI, *words], env={**os.environ, "TBOT_HOME": str(home)}, cwd=REPOSITORY,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
