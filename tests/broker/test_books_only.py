"""Tradier, Webull and Robinhood: books are kept, nothing is sent, and whoever enables one is told."""

import socket
import subprocess
import sys
import time

import pytest

from tbot_bot.broker.books_only import books_only_notice
from tbot_bot.broker.broker_robinhood import RobinhoodBroker
from tbot_bot.broker.broker_tradier import TradierBroker
from tbot_bot.broker.broker_webull import WebullBroker
from tbot_bot.broker.capabilities import CAPABILITIES
from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.instants import parse_iso
from tests.broker.venue_kit import bar, fills, minute, order, venue

VENDORS = {"tradier": TradierBroker, "webull": WebullBroker, "robinhood": RobinhoodBroker}


@pytest.mark.parametrize("name", VENDORS)
async def test_orders_are_simulated_and_said_to_be(name, monkeypatch):
    def no_network(*words, **more):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    said: list[str] = []
    broker = VENDORS[name](venue(broker=name), note=said.append)
    await broker.connect()
    assert name in said[0]
    assert "nothing is ever sent" in said[0]
    await broker.submit(order("a", quantity="10"))
    broker.step_open(minute(0), {"XYZ": bar(40, 40, 40, 40)})
    assert fills(broker.drain()) == [("a", "10", "40.0")]
    assert (broker.name, broker.capabilities) == (name, CAPABILITIES[name])
    assert not broker.capabilities.real_orders
    assert not broker.capabilities.live


def test_books_of_another_name_are_a_defect():
    with pytest.raises(LogicError, match="books of sim for tradier"):
        TradierBroker(venue(), note=lambda _: None)


def test_only_brokers_that_send_nothing_have_a_notice():
    assert [name for name in CAPABILITIES if books_only_notice(name)] == list(VENDORS)
    assert books_only_notice("nobody") == ""


def test_a_session_says_at_its_start_who_sends_nothing(tmp_path):
    anchor = f"{parse_iso('2025-09-02T14:18:00Z')}:{time.time_ns()}"
    command = [sys.executable, "-m", "tbot_bot.runtime.main", "--session", "2025-09-02/open", "--home", str(tmp_path)]
    command += ["--anchor", anchor, "--rehearsal", "--set", "TRADIER_ENABLED=true"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        log, end = tmp_path / "logs" / "bot" / "paper" / "runner.log", time.monotonic() + 30
        while not (log.exists() and "broker_sends_nothing" in log.read_text(encoding="utf-8")):
            assert process.poll() is None
            assert time.monotonic() < end, "the log does not say it"
            time.sleep(0.02)
        assert "nothing is ever sent to Tradier" in log.read_text(encoding="utf-8")
    finally:
        process.kill()
        process.wait()
