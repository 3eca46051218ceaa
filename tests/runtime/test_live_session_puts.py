"""Sessions that buy puts by chain: bought, protected by the share's price, sold to close, at either broker."""

import pytest

from tests.support.crafted_day import flat
from tests.support.trading_floor import Floor, agrees

PUTS = {"SHORT_TYPE_OPEN": "LongPut", "FRACTIONAL": "false", "PUT_MAX_SPREAD_PCT": "0.2"}
AT_IBKR = {"ALPACA_ENABLED": "false", "IBKR_ENABLED": "true"}
NO_ALPACA_KEYS = {"ALPACA_PAPER_API_KEY": "", "ALPACA_PAPER_SECRET_KEY": ""}


def falling_day(then=48.4):
    """Return AAA, which falls out of its range in the fifth minute and goes to `then` in the eighth."""
    bars = [*flat(50.0, 4), (49.9, 50.0, 48.3, 48.4), *flat(48.4, 2, width=0.1), (48.4, max(48.5, then), 48.3, then)]
    return {"AAA": [*bars, *flat(then, 382, width=0.1)], "BBB": flat(20.0, 390)}


@pytest.fixture
def floor(tmp_path):
    made = []

    def _floor(**words):
        made.append(Floor(tmp_path, vix=20.0, **words))
        return made[-1]

    yield _floor
    for one in made:
        one.close()


def holds_a_put(truth):
    return any("P000" in str(position) for position in truth["positions"])


@pytest.mark.slow
def test_a_put_at_alpaca_is_bought_by_chain_and_sold_when_its_share_passes_the_stop(floor):
    one = floor(speed=40, begin="09:26", day=falling_day(then=49.9), ALPACA_OPTIONS_ENABLED="true", **PUTS)
    one.start()
    one.until(holds_a_put)
    assert one.end() == 0
    trade = agrees(one)
    assert (trade["ticker"], trade["exit_reason"], trade["error_code"]) == ("AAA", "trailing_stop", "")


@pytest.mark.slow
def test_a_runner_killed_while_it_holds_a_put_takes_its_stop_up_again(floor):
    one = floor(speed=20, begin="09:26", day=falling_day(then=49.9), ALPACA_OPTIONS_ENABLED="true", **PUTS)
    one.start()
    one.until(holds_a_put)
    one.kill()
    one.start()
    assert one.end() == 0
    assert agrees(one)["exit_reason"] == "trailing_stop"


@pytest.mark.slow
def test_a_put_at_interactive_brokers_is_bought_by_chain_and_sold_at_its_time(floor):
    one = floor(speed=30, begin="09:24", day=falling_day(), env=NO_ALPACA_KEYS, **AT_IBKR, **PUTS)
    one.start()
    one.until(holds_a_put, "ibkr")
    assert one.end() == 0
    trade = agrees(one, "ibkr")
    assert (trade["ticker"], trade["exit_reason"], trade["error_code"]) == ("AAA", "time", "")


@pytest.mark.slow
def test_without_the_word_in_the_settings_no_put_is_bought_at_alpaca(floor):
    one = floor(speed=40, begin="09:26", day=falling_day(), **PUTS)
    one.start()
    assert one.end() == 0
    assert one.truth()["orders"] == []
    assert "no_options" in (one.home / "output" / "logs" / "open_paper.log").read_text(encoding="utf-8")
