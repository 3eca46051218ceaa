"""Live sessions that come late, are frozen, or ask a broker that does not answer: real processes over the sandbox."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.terminal import CLI, REPOSITORY
from tests.support.trading_floor import Floor, agrees, protected

AT_IBKR = {"ALPACA_ENABLED": "false", "IBKR_ENABLED": "true", "FRACTIONAL": "false"}
NO_ALPACA_KEYS = {"ALPACA_PAPER_API_KEY": "", "ALPACA_PAPER_SECRET_KEY": ""}
SILENCE_MAX_SECONDS = 15.0
"""After which the supervisor takes a runner for dead."""


@pytest.fixture
def floor(tmp_path):
    made = []

    def _floor(**words):
        made.append(Floor(tmp_path, **words))
        return made[-1]

    yield _floor
    for one in made:
        one.close()


def log(floor):
    return (floor.home / "output" / "logs" / "open_paper.log").read_text(encoding="utf-8")


def tbot(home, *words):
    return subprocess.run(
        [sys.executable, "-c", CLI, *words], env={**os.environ, "TBOT_HOME": str(home)}, cwd=REPOSITORY,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_session_joined_in_its_analysis_asks_for_what_it_missed_and_trades(floor):
    one = floor(speed=20, begin="09:31")
    one.start()
    one.until(protected)
    assert one.end() == 0
    assert "range high 50.2" in log(one)
    assert agrees(one)["exit_reason"] == "time"


@pytest.mark.slow
def test_a_session_joined_after_its_signal_opens_nothing_on_the_old_price(floor):
    one = floor(speed=20, begin="09:35:30")
    one.start()
    assert one.end() == 0
    assert one.truth()["orders"] == []
    assert '"code":"late"' in log(one)


@pytest.mark.slow
def test_a_runner_frozen_while_it_holds_goes_on_and_closes_once(floor):
    one = floor(speed=20, begin="09:27")
    one.start()
    one.until(protected)
    one.runner.send_signal(signal.SIGSTOP)
    time.sleep(4)  # eighty seconds of the market
    one.runner.send_signal(signal.SIGCONT)
    assert one.end() == 0
    assert agrees(one)["exit_reason"] == "time"


@pytest.mark.slow
def test_a_runner_frozen_over_its_signal_opens_nothing_on_the_old_price(floor):
    one = floor(speed=60, begin="09:29")
    one.start()
    one.until(lambda _: '"analyzing"' in status_of(one))
    one.runner.send_signal(signal.SIGSTOP)
    time.sleep(8)  # eight minutes of the market: over the signal, and beyond the window for entries
    one.runner.send_signal(signal.SIGCONT)
    assert one.end() == 0
    assert one.truth()["orders"] == []
    assert '"event":"order_submitted"' not in log(one)


def status_of(floor):
    path = floor.home / "output" / "status_bot.json"
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "lost_before", "vendor": "alpaca", "place": "POST /v2/orders", "seconds": 30, "times": 2},
        {"kind": "lost_after", "vendor": "alpaca", "place": "POST /v2/orders", "seconds": 30, "times": 2},
        {"kind": "half_open", "vendor": "alpaca", "place": "trade_updates", "times": 1},
    ],
    ids=["lost before", "lost after", "half open stream"],
)
def test_a_broker_that_does_not_answer_leaves_the_pulse_going_and_the_books_right(floor, fault):
    one = floor(speed=10, begin="09:28:30", OPEN_BREAKOUT_TIME="6m")
    one.breaks(fault)
    one.start()
    gaps = pulse_until_the_end(one)
    assert one.end() == 0
    assert max(gaps) < 3.0, gaps
    assert agrees(one)["error_code"] == ""


def pulse_until_the_end(floor):
    """Return the spans in which neither the pulse nor the data that it tells of moved, in real seconds."""
    path, gaps, last, since = floor.home / "control" / "runner.json", [0.0], None, time.monotonic()
    while floor.runner.poll() is None:
        try:
            count = json.loads(path.read_text(encoding="utf-8"))["count"]
        except (OSError, ValueError, KeyError):
            count = last
        if count != last:
            gaps.append(0.0 if last is None else time.monotonic() - since)
            last, since = count, time.monotonic()
        time.sleep(0.05)
    return gaps


@pytest.mark.slow
def test_a_wrong_account_at_interactive_brokers_ends_the_start_with_status_six(floor):
    one = floor(speed=20, begin="09:26", env=NO_ALPACA_KEYS | {"IBKR_PAPER_ACCOUNT_NUMBER": "DU9999999"}, **AT_IBKR)
    ended = tbot(one.home, "run", "--once")
    assert ended.returncode == 6, ended.stderr
    assert "account" in ended.stderr
