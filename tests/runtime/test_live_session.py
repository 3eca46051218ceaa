"""Sessions on the sandbox's live market: real runner processes, real sockets, a shared compressed clock."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support.terminal import CLI, REPOSITORY
from tests.support.trading_floor import SESSION, Floor, agrees, protected

LIVE_KEYS = {"ALPACA_LIVE_API_KEY": "changeme", "ALPACA_LIVE_SECRET_KEY": "changeme"}


@pytest.fixture
def floor(tmp_path):
    made = []

    def _floor(**words):
        made.append(Floor(tmp_path, **words))
        return made[-1]

    yield _floor
    for one in made:
        one.close()


def test_a_whole_session_over_real_sockets_leaves_the_books_that_the_venue_has(floor):
    one = floor(speed=60)
    one.start()
    one.until(protected)
    assert one.end() == 0
    trade = agrees(one)
    assert (trade["ticker"], trade["exit_reason"], trade["error_code"]) == ("AAA", "time", "")


@pytest.mark.slow
def test_a_runner_killed_while_it_holds_reconciles_with_the_broker_and_closes_once(floor):
    one = floor(speed=60)
    one.start()
    one.until(protected)
    one.kill()
    one.start()
    assert one.end() == 0
    agrees(one)


@pytest.mark.slow
def test_a_stop_request_closes_at_the_broker_at_once(floor):
    one = floor(speed=60)
    one.start()
    one.until(protected)
    one.runner.send_signal(signal.SIGTERM)
    assert one.end() == 0
    assert agrees(one)["exit_reason"] == "stop_request"


@pytest.mark.slow
def test_a_lost_data_stream_is_asked_around_and_the_trade_is_the_same(floor):
    one = floor(speed=60)
    one.breaks({"kind": "dropped", "vendor": "alpaca", "place": "market_data", "skip": 200, "times": 2})
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


def test_the_dead_man_path_asks_a_real_broker_and_says_where_nothing_of_ours_is(floor):
    one = floor(speed=60)
    command = [sys.executable, "-m", "tbot_bot.runtime.dead_man", "--seconds", "5", "--session", SESSION]
    ended = subprocess.run(
        [*command, "--home", str(one.home), "--anchor", one.told["anchor"], "--speed", "60.0"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "alpaca: looking for what is ours" in ended.stdout
    assert "nothing of ours rests or is held" in ended.stdout


LIVE = {"TEST_MODE": "false", "ALPACA_MODE": "live", **LIVE_KEYS}


def at_a_live_account(floor):
    """Return a floor whose settings are not a test's: the sandbox stands where the live account is."""
    one = floor(speed=60, **LIVE)
    one.repoint("ALPACA_LIVE_URL", one.told["settings"]["ALPACA_PAPER_URL"])
    return one


def test_a_session_at_a_live_account_keeps_the_live_books(floor):
    """Without fundamentals nothing passes the screen outside test mode, so it trades nothing."""
    one = at_a_live_account(floor)
    one.start()
    assert one.end() == 0
    output = one.home / "output"
    assert "mode live, brokers alpaca" in (output / "logs" / "open_live.log").read_text(encoding="utf-8")
    assert list(output.rglob("*_paper*")) == []
    word = json.loads((one.home / "control" / "session_brokers.json").read_text(encoding="utf-8"))
    assert (word["test_mode"], word["modes"]) == (False, {"alpaca": "live"})


@pytest.mark.slow
def test_what_a_killed_runner_holds_is_closed_by_one_command(floor):
    one = floor(speed=60)
    one.start()
    one.until(protected)
    one.kill()

    ended = tbot(one.home, "kill", "--why", "a test", "--wait", "40")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert one.truth()["positions"] == []
    flag = json.loads((one.home / "output" / "shutdown_flag.json").read_text(encoding="utf-8"))
    assert flag["done"]
    history = (one.home / "output" / "trades" / "trade_history_paper.csv").read_text(encoding="utf-8")
    assert ",kill," in history


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"TRADIER_ENABLED": "true"}, "TRADIER_ENABLED"),
        ({"TEST_MODE": "false", "ALPACA_MODE": "live", "ALPACA_LIVE_API_KEY": "changeme"}, "ALPACA_LIVE_SECRET_KEY"),
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
