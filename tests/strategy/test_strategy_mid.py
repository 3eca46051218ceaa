from math import nan, nextafter

import pytest

from tbot_bot.core.instants import MINUTE
from tbot_bot.strategy import strategy_mid
from tbot_bot.strategy.strategy_meta import BEARISH, LONG, NONE, MidParams, Tick
from tbot_bot.strategy.strategy_mid import MidState, explain, initial_state, non_decision, score, step, vwap

BELL = 870 * MINUTE
DAY = MidParams(BELL, BELL + 60 * MINUTE, BELL + 70 * MINUTE, BELL + 80 * MINUTE, MINUTE, 0.02)


def bar(minute: float, close: float, volume: float = 0.0) -> Tick:
    start = BELL + round(minute * MINUTE)
    return Tick(start, start + MINUTE, close, close, close, close, volume)


def averaged() -> MidState:
    """Return the state after seventy minutes at 50; the entry bars below have no volume, so VWAP stays there."""
    state = initial_state(DAY)
    for minute in range(70):
        state, action = step(DAY, state, bar(minute, 50.0, 10.0))
        assert action == NONE
    return state


def check(*closes: float, gives: list[int]) -> MidState:
    state, actions = averaged(), []
    for minute, close in enumerate(closes, start=70):
        state, action = step(DAY, state, bar(minute, close))
        actions.append(action)
    assert actions == gives
    return state


def test_a_close_at_the_threshold_below_vwap_is_long_and_one_above_it_is_nothing():
    check(50.0 * (1.0 - 0.02), gives=[LONG])
    check(nextafter(50.0 * (1.0 - 0.02), 99), gives=[NONE])


def test_a_close_at_the_threshold_above_vwap_is_bearish_and_one_below_it_is_nothing():
    check(50.0 * (1.0 + 0.02), gives=[BEARISH])
    check(nextafter(50.0 * (1.0 + 0.02), 0), gives=[NONE])


def test_vwap_weighs_typical_prices_by_volume_from_the_bell():
    state = initial_state(DAY)
    for tick in (
        bar(-1, 10.0, 1e9),
        Tick(BELL, BELL + MINUTE, 9.0, 12.0, 9.0, 9.0, 100.0),
        bar(1, 20.0, 300.0),
    ):
        state, _ = step(DAY, state, tick)

    assert vwap(state) == (10.0 * 100 + 20.0 * 300) / 400


@pytest.mark.parametrize("volume", [0.0, nan])
def test_a_bar_without_volume_leaves_vwap_alone_but_may_signal(volume):
    state, action = step(DAY, averaged(), bar(70, 40.0, volume))

    assert (vwap(state), action) == (50.0, LONG)


def test_without_any_volume_there_is_no_vwap_and_no_signal():
    state = initial_state(DAY)
    for minute in range(75):
        state, action = step(DAY, state, bar(minute, 50.0 if minute < 70 else 30.0))
        assert action == NONE

    assert vwap(state) != vwap(state)
    assert non_decision(DAY, state) == "VWAP undefined: no volume since the bell"


def test_vwap_goes_on_after_the_signal_because_the_exit_needs_it():
    state = check(40.0, gives=[LONG])
    later, action = step(DAY, state, bar(90, 40.0, 700.0))

    assert (vwap(later), action) == (45.0, NONE)


def test_a_symbol_signals_once_a_session():
    check(49.0, 48.0, 60.0, gives=[LONG, NONE, NONE])


def test_bars_that_end_with_the_analysis_do_not_signal_and_with_the_entry_window_do():
    assert step(DAY, averaged(), bar(69, 40.0))[1] == NONE
    assert step(DAY, averaged(), bar(69.001, 40.0))[1] == LONG
    assert step(DAY, averaged(), bar(79, 40.0))[1] == LONG
    assert step(DAY, averaged(), bar(79.001, 40.0))[1] == NONE


def test_the_bar_itself_is_part_of_its_vwap():
    state, action = step(DAY, averaged(), bar(70, 48.9, 700.0))

    assert vwap(state) == pytest.approx(49.45)
    assert action == NONE


def test_reasons_and_non_decisions_carry_their_numbers():
    state, action = step(DAY, averaged(), tick := bar(70, 48.5))
    assert explain(DAY, state, tick, action) == "close 48.5 <= VWAP 50 x 0.98 = 49"
    state, action = step(DAY, averaged(), tick := bar(70, 51.5))
    assert explain(DAY, state, tick, action) == "close 51.5 >= VWAP 50 x 1.02 = 51"
    assert non_decision(DAY, check(49.5, 50.5, gives=[NONE, NONE])) == (
        "closes stayed between -1 % and +1 % of VWAP, 2 % needed; VWAP 50"
    )
    assert non_decision(DAY, averaged()) == "no bar between 15:40Z and 15:50Z; VWAP 50"


def test_the_farther_from_vwap_the_higher_the_score():
    assert score(DAY, check(48.0, gives=[LONG])) == pytest.approx(0.04)
    assert score(DAY, check(53.0, gives=[BEARISH])) == pytest.approx(0.06)
    assert score(DAY, averaged()) == 0


@pytest.mark.parametrize(
    ("change", "complaint"), [({"vwap_threshold": 0.0}, "vwap_threshold"), ({"entry_end": 0}, "entries end")]
)
def test_self_check_names_each_broken_parameter(change, complaint):
    assert strategy_mid.self_check(DAY) == []
    assert any(complaint in problem for problem in strategy_mid.self_check(DAY._replace(**change)))


def test_self_check_notices_a_rule_that_decides_otherwise(monkeypatch):
    monkeypatch.setattr(strategy_mid, "step", lambda _params, state, _tick: (state, LONG))

    assert len(strategy_mid.self_check()) == 3
