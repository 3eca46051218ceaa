"""Halts of trading over the sandbox: told by either broker, no entry meanwhile, and what is held keeps its stop."""

import pytest

from tests.support.trading_floor import STOPS, Floor, agrees, protected

AT_IBKR = {"ALPACA_ENABLED": "false", "IBKR_ENABLED": "true", "FRACTIONAL": "false"}


@pytest.fixture
def floor(tmp_path):
    made = []

    def _floor(**words):
        made.append(Floor(tmp_path, **words))
        return made[-1]

    yield _floor
    for one in made:
        one.close()


def halted(since, until):
    return {"kind": "halted", "symbols": ["AAA"], "since": since, "until": until}


def log(floor):
    return (floor.home / "output" / "logs" / "open_paper.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_share_that_is_halted_when_it_signals_is_not_entered(floor):
    one = floor(speed=40, OPEN_BREAKOUT_TIME="3m")
    one.breaks(halted("09:34:30", "09:50:00"))
    one.start()
    assert one.end() == 0
    assert one.truth()["orders"] == []
    told = log(one)
    assert '"event":"trading_halted","symbol":"AAA"' in told
    assert "AAA is halted: trading in AAA stopped at 2025-12-02T14:34:30" in told


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["alpaca", "ibkr"])
def test_a_position_keeps_its_stop_through_a_halt_and_is_left_when_trading_goes_on(floor, broker):
    one = floor(speed=30, begin="09:25", **(AT_IBKR if broker == "ibkr" else {}))
    one.breaks(halted("09:36:00", "09:38:30"))
    one.start()
    one.until(protected, broker)
    one.until(lambda truth: "trading_halted" in log(one), broker)
    assert any(
        order["ticket"]["kind"] in STOPS and order["phase"] == "working" for order in one.truth(broker)["orders"]
    )
    assert one.end() == 0
    assert agrees(one, broker)["exit_reason"] == "time"
    assert "trading_goes_on" in log(one)
