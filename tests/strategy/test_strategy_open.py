from math import nextafter

import pytest

from tbot_bot.core.instants import MINUTE
from tbot_bot.strategy import strategy_open
from tbot_bot.strategy.strategy_meta import BEARISH, LONG, NONE, OpenParams, Tick, tick_of_price
from tbot_bot.strategy.strategy_open import OpenState, explain, initial_state, non_decision, score, step

# 14:30Z bell; range 14:30 to 14:50, entries to 15:00
BELL = 870 * MINUTE
DAY = OpenParams(BELL, BELL, BELL + 20 * MINUTE, BELL + 30 * MINUTE, MINUTE, 0.02)
HIGH, LOW = 40.35, 39.5
UP, DOWN = HIGH * (1.0 + 0.02), LOW * (1.0 - 0.02)


def bar(minute: float, close: float = 40.0, *, high: float | None = None, low: float | None = None, span: int = 1):
    start = BELL + round(minute * MINUTE)
    return Tick(start, start + span * MINUTE, close, high or close, low or close, close, 100.0)


def ranged(minutes=range(20), params: OpenParams = DAY) -> OpenState:
    state = initial_state(params)
    for minute in minutes:
        state, action = step(params, state, bar(minute, 40.0, high=HIGH, low=LOW))
        assert action == NONE
    return state


def check(*closes: float, gives: list[int], state: OpenState | None = None) -> OpenState:
    state = state or ranged()
    actions = []
    for minute, close in enumerate(closes, start=20):
        state, action = step(DAY, state, bar(minute, close))
        actions.append(action)
    assert actions == gives
    return state


def test_a_close_above_the_buffered_high_is_long_and_one_at_it_is_nothing():
    check(UP, gives=[NONE])
    check(nextafter(UP, 99), gives=[LONG])


def test_a_close_below_the_buffered_low_is_bearish_and_one_at_it_is_nothing():
    check(DOWN, gives=[NONE])
    check(nextafter(DOWN, 0), gives=[BEARISH])


def test_the_close_decides_and_not_the_high():
    _, action = step(DAY, ranged(), bar(20, 41.0, high=45.0))

    assert action == NONE


def test_a_symbol_signals_once_a_session():
    check(42.0, 43.0, 30.0, gives=[LONG, NONE, NONE])


def test_a_bar_that_ends_with_the_analysis_is_range_and_cannot_signal():
    state, action = step(DAY, ranged(range(19)), bar(19, 45.0))

    assert (state.high, action) == (45.0, NONE)


def test_a_bar_that_began_before_the_analysis_is_not_in_the_range():
    state, _ = step(DAY, initial_state(DAY), bar(-0.5, 45.0))

    assert state == initial_state(DAY)


def test_a_bar_may_signal_if_it_ends_with_the_entry_window_and_not_later():
    assert step(DAY, ranged(), bar(29, 45.0))[1] == LONG
    assert step(DAY, ranged(), bar(29.001, 45.0))[1] == NONE


def test_sixteen_of_twenty_minutes_make_a_range_and_fifteen_do_not():
    check(45.0, gives=[LONG], state=ranged(range(16)))
    state = check(45.0, gives=[NONE], state=ranged(range(15)))
    assert non_decision(DAY, state) == "range too thin: 15 of 20 min have bars, 80 % needed"


def test_coverage_counts_minutes_of_five_minute_bars():
    five = DAY._replace(bar_span=5 * MINUTE)
    state = initial_state(five)
    for minute in (0, 5, 10, 15):
        state, _ = step(five, state, bar(minute, span=5))

    assert state.covered == 20 * MINUTE


def test_many_trades_of_one_minute_cover_one_minute():
    state = initial_state(DAY)
    for second in range(60):
        state, _ = step(DAY, state, tick_of_price(BELL + second * MINUTE // 60, 40.0))

    assert state.covered == MINUTE


def test_a_bar_and_the_trades_inside_it_count_once():
    state, _ = step(DAY, initial_state(DAY), tick_of_price(BELL + MINUTE // 2, 41.0))
    state, _ = step(DAY, state, bar(0))
    state, _ = step(DAY, state, bar(0))

    assert (state.covered, state.high) == (MINUTE, 41.0)


def test_the_reason_shows_both_sides_of_the_comparison():
    state, action = step(DAY, ranged(), tick := bar(20, 41.22))

    assert explain(DAY, state, tick, action) == "close 41.22 > range high 40.35 x 1.02 = 41.157"
    state, action = step(DAY, ranged(), tick := bar(20, 38.0))
    assert explain(DAY, state, tick, action) == "close 38 < range low 39.5 x 0.98 = 38.71"


def test_the_non_decision_says_how_near_both_sides_came():
    state = check(41.0, 39.0, 40.0, gives=[NONE] * 3)

    assert non_decision(DAY, state) == (
        "highest close 41 is 0.3829 % below 41.157, lowest close 39 is 0.7436 % above 38.71"
    )
    assert non_decision(DAY, ranged()) == "no bar between 14:50Z and 15:00Z; range 39.5 to 40.35"
    assert non_decision(DAY, check(45.0, gives=[LONG])) == "signalled"


def test_the_farther_beyond_the_trigger_the_higher_the_score():
    near, far = check(41.2, gives=[LONG]), check(42.0, gives=[LONG])

    assert 0 < score(DAY, near) < score(DAY, far) == 42.0 / UP - 1.0
    assert score(DAY, check(38.0, gives=[BEARISH])) > 0
    assert score(DAY, ranged()) == 0


def test_it_says_what_it_does_today():
    assert strategy_open.describe(DAY) == (
        "OPEN measures the range from 14:30Z to 14:50Z and until 15:00Z follows the first close more than 2 % beyond "
        "it; symbols with bars in less than 80 % of the range are dropped"
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"buffer": -0.01}, "buffer"),
        ({"buffer": float("nan")}, "buffer"),
        ({"min_coverage": 0.0}, "min_coverage"),
        ({"entry_end": DAY.analysis_end}, "entries end"),
        ({"analysis_end": DAY.analysis_start}, "analysis ends"),
        ({"analysis_start": BELL - 1}, "before the bell"),
        ({"bar_span": 0}, "bar span"),
        ({"bar_span": 21 * MINUTE}, "longer than the analysis"),
    ],
)
def test_self_check_names_each_broken_parameter(change, complaint):
    assert strategy_open.self_check(DAY) == []
    assert any(complaint in problem for problem in strategy_open.self_check(DAY._replace(**change)))


def test_self_check_notices_a_rule_that_decides_otherwise(monkeypatch):
    monkeypatch.setattr(strategy_open, "step", lambda _params, state, _tick: (state, NONE))

    assert len(strategy_open.self_check()) == 2
