from math import nan

from tbot_bot.core.instants import MINUTE
from tbot_bot.strategy.exits import trail, vwap_reached, vwap_touched
from tbot_bot.strategy.strategy_meta import Tick


def bar(high: float, low: float) -> Tick:
    return Tick(0, MINUTE, low, high, low, high, 1.0)


def test_a_long_trail_follows_the_highest_high_and_never_goes_back():
    best, stop = trail(100.0, bar(110.0, 99.0), 0.02, False)
    assert (best, stop) == (110.0, 110.0 * (1.0 - 0.02))
    assert trail(best, bar(105.0, 90.0), 0.02, False) == (best, stop)


def test_a_bearish_trail_follows_the_lowest_low_and_never_goes_back():
    best, stop = trail(100.0, bar(101.0, 90.0), 0.02, True)
    assert (best, stop) == (90.0, 90.0 * (1.0 + 0.02))
    assert trail(best, bar(120.0, 95.0), 0.02, True) == (best, stop)


def test_the_trail_starts_at_the_entry():
    assert trail(100.0, bar(99.5, 99.0), 0.02, False) == (100.0, 98.0)


def test_vwap_is_touched_at_either_end_of_the_bar_and_not_beyond():
    assert vwap_touched(49.0, 50.0, 50.0)
    assert vwap_touched(50.0, 51.0, 50.0)
    assert not vwap_touched(49.0, 49.99, 50.0)
    assert not vwap_touched(50.01, 51.0, 50.0)
    assert not vwap_touched(49.0, 51.0, nan)


def test_a_gap_through_vwap_reaches_it_on_the_trade_s_side_only():
    assert vwap_reached(51.0, 52.0, 50.0, False)
    assert vwap_reached(49.0, 50.0, 50.0, False)
    assert not vwap_reached(48.0, 49.0, 50.0, False)
    assert vwap_reached(48.0, 49.0, 50.0, True)
    assert vwap_reached(50.0, 51.0, 50.0, True)
    assert not vwap_reached(51.0, 52.0, 50.0, True)
    assert not vwap_reached(49.0, 51.0, nan, True)
    assert not vwap_reached(49.0, 51.0, nan, False)
