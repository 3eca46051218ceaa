import itertools
from math import nextafter, sqrt
from statistics import stdev

import pytest

from tbot_bot.core.instants import MINUTE
from tbot_bot.strategy import strategy_close
from tbot_bot.strategy.strategy_close import CloseState, explain, figures, initial_state, non_decision, score, step
from tbot_bot.strategy.strategy_meta import BEARISH, LONG, NONE, CloseParams, Tick, tick_of_price

BELL = 870 * MINUTE
DAY = CloseParams(BELL, BELL + 20 * MINUTE, BELL + 24 * MINUTE, BELL + 28 * MINUTE, MINUTE, 0.01, 3.0)
FLAT = [100.0, 100.1] * 10
DRIFT = [100.0 + 0.1 * i + 0.05 * (i % 2) for i in range(20)]


def bar(minute: float, close: float, previous: float | None = None, span: int = 1) -> Tick:
    start, before = BELL + round(minute * MINUTE), close if previous is None else previous
    return Tick(start, start + span * MINUTE, before, max(close, before), min(close, before), close, 100.0)


def run(closes: list[float], params: CloseParams = DAY) -> tuple[CloseState, list[int]]:
    state, actions = initial_state(params), []
    for minute, close in enumerate(closes):
        state, action = step(params, state, bar(minute, close))
        actions.append(action)
    return state, actions


def check(day: list[float], window: list[float], entry: list[float], gives: list[int]) -> CloseState:
    state, actions = run([*day, *window, *entry])
    assert actions[: len(day) + len(window)] == [NONE] * (len(day) + len(window))
    assert actions[len(day) + len(window) :] == gives
    return state


RISE, FALL = [100.0, 100.5, 101.0, 102.0], [100.0, 99.5, 99.0, 98.0]


def test_a_rise_too_large_for_the_day_is_sold_at_the_middle_of_the_window():
    check(FLAT, RISE, [103.0, nextafter(101.0, 200)], [NONE, NONE])
    check(FLAT, RISE, [103.0, 101.0, 90.0], [NONE, BEARISH, NONE])


def test_a_fall_too_large_for_the_day_is_bought_at_the_middle_of_the_window():
    check(FLAT, FALL, [97.0, nextafter(99.0, 0)], [NONE, NONE])
    check(FLAT, FALL, [97.0, 99.0, 110.0], [NONE, LONG, NONE])


def test_a_large_move_that_is_already_back_through_the_middle_is_not_faded():
    state = check(FLAT, [100.0, 104.0, 103.0, 101.0], [100.0, 99.0], [NONE, NONE])

    assert non_decision(DAY, state).startswith("window closed at 101, already back at its middle 102")


def test_a_rising_day_is_bought_above_the_high_of_a_rising_window_and_not_at_it():
    window = [102.0, 102.05, 102.0, 102.1]
    check(DRIFT, window, [102.1], [NONE])
    check(DRIFT, window, [nextafter(102.1, 200)], [LONG])


def test_a_falling_day_is_sold_below_the_low_of_a_falling_window_and_not_at_it():
    day, window = [200.0 - close for close in DRIFT], [98.0, 97.95, 98.0, 97.9]
    check(day, window, [97.9], [NONE])
    check(day, window, [nextafter(97.9, 0)], [BEARISH])


def test_a_window_against_the_day_gives_nothing():
    state = check(DRIFT, [102.1, 102.0, 102.05, 102.0], [110.0, 90.0], [NONE, NONE])

    assert non_decision(DAY, state).startswith("window moved against the day; z -")


def test_a_quiet_day_gives_nothing():
    state = check(FLAT, [100.0, 100.1, 100.0, 100.1], [110.0, 90.0], [NONE, NONE])

    assert non_decision(DAY, state).startswith("day too quiet for momentum")


@pytest.mark.parametrize(("above", "plan"), [(False, strategy_close.FADE_BEARISH), (True, strategy_close.NO_PLAN)])
def test_z_at_the_threshold_fades_and_below_it_does_not(above, plan):
    state, _ = run([*FLAT, *RISE])
    z = figures(DAY, state).z
    params = DAY._replace(fade_z=nextafter(z, 1e9) if above else z, momentum_pct=0.5)

    assert step(params, state, bar(24, 103.0))[0].plan == plan


@pytest.mark.parametrize(("above", "plan"), [(False, strategy_close.FOLLOW_LONG), (True, strategy_close.NO_PLAN)])
def test_the_day_at_the_threshold_is_followed_and_below_it_is_not(above, plan):
    state, _ = run([*DRIFT, 102.0, 102.05, 102.0, 102.1])
    day = figures(DAY, state).day
    params = DAY._replace(momentum_pct=nextafter(day, 1) if above else day)

    assert step(params, state, bar(24, 102.0))[0].plan == plan


def test_the_figures_are_those_of_the_textbook():
    state, _ = run([*DRIFT, *RISE])
    found = figures(DAY, state)
    prices = [DRIFT[0], *DRIFT]
    s = stdev(b / a - 1.0 for a, b in itertools.pairwise(prices))

    assert found.deviation == pytest.approx(s, rel=1e-12)
    assert found.move == pytest.approx(0.02)
    assert found.z == pytest.approx(0.02 / (s * sqrt(4)), rel=1e-12)
    assert found.day == pytest.approx(0.02)
    assert found.middle == 101.0


def test_five_minute_returns_are_brought_to_one_minute_by_the_square_root_of_time():
    params = CloseParams(BELL, BELL + 50 * MINUTE, BELL + 60 * MINUTE, BELL + 70 * MINUTE, 5 * MINUTE, 0.01, 3.0)
    closes, state = [100.0, 100.4, 100.1, 100.6, 100.2, 100.9, 100.3, 100.5, 100.8, 100.0], initial_state(params)
    for place, close in enumerate(closes):
        state, _ = step(params, state, bar(5 * place, close, span=5))
    prices = [closes[0], *closes]
    s = stdev(b / a - 1.0 for a, b in itertools.pairwise(prices))

    assert figures(params, state).deviation == pytest.approx(s / sqrt(5), rel=1e-12)


def test_a_return_over_a_hole_of_the_tape_is_scaled_by_its_own_minutes():
    state, _ = step(DAY, initial_state(DAY), bar(0, 100.0))
    state, _ = step(DAY, state, bar(4, 102.0))

    assert state.mean == pytest.approx((0.02 / 2) / 2)


def test_trades_make_a_return_a_bar_span_and_keep_the_first_price_as_the_day_s_open():
    state = initial_state(DAY)
    for second in range(0, 181, 20):
        state, _ = step(DAY, state, tick_of_price(BELL + second * MINUTE // 60, 100.0 + second))

    assert (state.day_open, state.returns, state.previous) == (100.0, 3, 280.0)


def test_a_day_without_variation_has_no_z_and_says_so():
    state = check([100.0] * 20, RISE, [101.0, 90.0, 110.0], [NONE] * 3)

    assert non_decision(DAY, state) == "z undefined: the price did not vary before the window (s = 0)"


def test_a_day_known_only_from_the_window_on_has_no_z_and_says_so():
    state = initial_state(DAY)
    for minute, close in enumerate([*RISE, 101.0], start=20):
        state, action = step(DAY, state, bar(minute, close))
        assert action == NONE

    assert non_decision(DAY, state) == "z undefined: 0 returns between the bell and 14:50Z"


def test_an_empty_window_says_so():
    state, _ = run(FLAT)
    state, action = step(DAY, state, bar(24, 150.0))

    assert (non_decision(DAY, state), action) == ("no bar between 14:50Z and 14:54Z", NONE)


def test_bars_before_the_bell_and_after_the_entries_change_nothing():
    state, _ = run([*FLAT, *RISE])

    assert step(DAY, initial_state(DAY), bar(-1, 50.0)) == (initial_state(DAY), NONE)
    assert step(DAY, state, bar(27.001, 101.0)) == (state, NONE)
    assert step(DAY, state, bar(27, 101.0))[1] == BEARISH


def test_reasons_and_non_decisions_carry_their_numbers():
    state, _ = run([*FLAT, *RISE])
    after, action = step(DAY, state, tick := bar(24, 100.9))
    waiting, _ = step(DAY, state, bar(24, 101.5))

    assert explain(DAY, after, tick, action).startswith("close 100.9 <= middle 101 of the window; fade: z +10.")
    assert "window +2 %" in explain(DAY, after, tick, action)
    assert non_decision(DAY, waiting).startswith("waited for fade at 101: nearest close 101.5, -0.4926 % short of it")
    assert non_decision(DAY, state).startswith("no bar between 14:54Z and 14:58Z; z +10.")
    assert non_decision(DAY, after) == "signalled"


def test_the_score_is_the_multiple_of_the_threshold_for_both_kinds():
    fade = check(FLAT, RISE, [101.0], [BEARISH])
    follow = check(DRIFT, [102.0, 102.05, 102.0, 102.1], [103.0], [LONG])

    assert score(DAY, fade) == pytest.approx(figures(DAY, fade).z / 3.0)
    assert score(DAY, follow) == pytest.approx(0.021 / 0.01)
    assert score(DAY, initial_state(DAY)) == 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"fade_z": 0.0}, "fade_z"), ({"momentum_pct": 1.0}, "momentum_pct"), ({"bar_span": 5 * MINUTE}, "longer")],
)
def test_self_check_names_each_broken_parameter(change, complaint):
    assert strategy_close.self_check(DAY) == []
    assert any(complaint in problem for problem in strategy_close.self_check(DAY._replace(**change)))


def test_self_check_notices_a_rule_that_decides_otherwise(monkeypatch):
    monkeypatch.setattr(strategy_close, "step", lambda _params, state, _tick: (state, NONE))

    assert len(strategy_close.self_check()) == 4
