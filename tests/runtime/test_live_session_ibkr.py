"""Sessions through Interactive Brokers alone, and through both brokers at once: real processes and real sockets."""

import signal

import pytest

from tests.support.trading_floor import Floor, agrees, protected

ALONE = {"ALPACA_ENABLED": "false", "IBKR_ENABLED": "true", "FRACTIONAL": "false"}
NO_ALPACA_KEYS = {"ALPACA_PAPER_API_KEY": "", "ALPACA_PAPER_SECRET_KEY": ""}
BOTH = {"ALPACA_ENABLED": "true", "IBKR_ENABLED": "true"}


@pytest.fixture
def floor(tmp_path):
    made = []

    def _floor(**words):
        made.append(Floor(tmp_path, **words))
        return made[-1]

    yield _floor
    for one in made:
        one.close()


def test_a_whole_session_through_interactive_brokers_alone_leaves_the_books_that_the_venue_has(floor):
    one = floor(speed=40, begin="09:23", env=NO_ALPACA_KEYS, **ALONE)
    one.start()
    one.until(protected, "ibkr")
    assert one.end() == 0
    trade = agrees(one, "ibkr")
    assert (trade["ticker"], trade["exit_reason"], trade["error_code"]) == ("AAA", "time", "")
    assert one.truth("alpaca")["orders"] == []


@pytest.mark.slow
def test_a_runner_killed_while_it_holds_at_interactive_brokers_comes_back_and_closes_once(floor):
    one = floor(speed=60, begin="09:22", **ALONE)
    one.start()
    one.until(protected, "ibkr")
    one.kill()
    one.start()
    assert one.end() == 0
    agrees(one, "ibkr")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dropped", "lost_after"], ids=["1102", "1101"])
def test_an_outage_of_the_gateways_line_is_asked_around_and_the_books_agree(floor, kind):
    one = floor(speed=30, **ALONE)
    one.breaks({"kind": kind, "vendor": "ibkr", "place": "line", "since": "09:33:10", "until": "09:33:40"})
    one.start()
    one.until(protected, "ibkr")
    assert one.end() == 0
    agrees(one, "ibkr")


@pytest.mark.slow
def test_with_both_brokers_and_routing_each_either_one_has_its_own_trade(floor):
    one = floor(speed=60, begin="09:22", ROUTING="each", **BOTH)
    one.start()
    one.until(protected, "alpaca")
    one.until(protected, "ibkr")
    assert one.end() == 0
    for broker in ("alpaca", "ibkr"):
        assert agrees(one, broker)["exit_reason"] == "time"


@pytest.mark.slow
def test_with_both_brokers_and_routing_first_the_second_one_is_sent_nothing(floor):
    one = floor(speed=60, begin="09:22", ROUTING="first", **BOTH)
    one.start()
    one.until(protected, "alpaca")
    assert one.end() == 0
    agrees(one, "alpaca")
    assert one.truth("ibkr")["orders"] == []


@pytest.mark.slow
def test_a_stop_request_closes_at_interactive_brokers_at_once(floor):
    one = floor(speed=60, begin="09:22", **ALONE)
    one.start()
    one.until(protected, "ibkr")
    one.runner.send_signal(signal.SIGTERM)
    assert one.end() == 0
    assert agrees(one, "ibkr")["exit_reason"] == "stop_request"
