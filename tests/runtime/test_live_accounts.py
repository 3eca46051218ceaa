"""Live accounts, as the sandbox stands in for them: outside test mode, with production rules, in the live books."""

import os
import signal
import subprocess
import sys

import pytest

from tests.support.terminal import CLI, REPOSITORY
from tests.support.trading_floor import Floor, agrees, protected

BROKERS = ("alpaca", "ibkr")


@pytest.fixture
def floor(tmp_path):
    made = []

    def _floor(*brokers, **words):
        enabled = {f"{name.upper()}_ENABLED": str(name in brokers).lower() for name in BROKERS}
        made.append(Floor(tmp_path, live=True, speed=40, begin="09:12", FRACTIONAL="false", **enabled, **words))
        assert tbot(tmp_path, "fundamentals", "refresh").returncode == 0
        return made[-1]

    yield _floor
    for one in made:
        one.close()


def tbot(home, *words):
    return subprocess.run(
        [sys.executable, "-c", CLI, *words], env={**os.environ, "TBOT_HOME": str(home)}, cwd=REPOSITORY,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def in_the_live_books(one):
    output = one.home / "output"
    assert list(output.rglob("*_paper*")) == []
    assert "mode live" in (output / "logs" / "open_live.log").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("broker", BROKERS)
def test_a_session_at_a_live_account_trades_by_production_rules_and_keeps_the_live_books(floor, broker):
    one = floor(broker)
    one.start()
    one.until(protected, broker)
    assert one.end() == 0
    trade = agrees(one, broker)
    assert (trade["ticker"], trade["exit_reason"], trade["error_code"]) == ("AAA", "time", "")
    in_the_live_books(one)


@pytest.mark.slow
def test_two_live_accounts_in_one_run_each_have_their_own_trade(floor):
    one = floor(*BROKERS, ROUTING="each")
    one.start()
    for broker in BROKERS:
        one.until(protected, broker)
    assert one.end() == 0
    for broker in BROKERS:
        assert agrees(one, broker)["exit_reason"] == "time"
    in_the_live_books(one)


@pytest.mark.slow
@pytest.mark.parametrize("hung", [False, True], ids=["running", "hung"])
@pytest.mark.parametrize("broker", BROKERS)
def test_one_command_closes_what_a_running_or_a_hung_runner_holds_at_a_live_account(floor, broker, hung):
    one = floor(broker)
    one.start()
    one.until(protected, broker)
    if hung:
        one.runner.send_signal(signal.SIGSTOP)
    ended = tbot(one.home, "kill", "--why", "a test", "--wait", "60")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    truth = one.truth(broker)
    assert truth["positions"] == []
    assert not [order for order in truth["orders"] if order["phase"] in {"working", "held"}]
    in_the_live_books(one)
