"""Laws that hold for every strategy over any tape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core import codec
from tbot_bot.core.bars import Bar
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import MINUTE
from tbot_bot.strategy.indicators import VOLATILITY_START, VWAP_START, volatility_push, vwap_push
from tbot_bot.strategy.strategy_close import CloseState
from tbot_bot.strategy.strategy_meta import (
    NONE,
    CloseParams,
    MidParams,
    OpenParams,
    Params,
    Tick,
    tick_of_bar,
    tick_of_price,
)
from tbot_bot.strategy.strategy_mid import MidState
from tbot_bot.strategy.strategy_router import STRATEGIES, sequence

# thresholds small enough that random tapes signal often
PARAMS: dict[StrategyName, Params] = {
    StrategyName.OPEN: OpenParams(0, 0, 10 * MINUTE, 20 * MINUTE, MINUTE, 0.001),
    StrategyName.MID: MidParams(0, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, MINUTE, 0.005),
    StrategyName.CLOSE: CloseParams(0, 6 * MINUTE, 10 * MINUTE, 20 * MINUTE, MINUTE, 0.001, 1.5),
}
NAMES = pytest.mark.parametrize("name", list(StrategyName))

prices = st.integers(900, 1100).map(lambda cents: cents / 10.0)
shape = st.tuples(prices, prices, st.sampled_from([0.0, 1.0, 250.0]), st.sampled_from([0, 1, 1, 1, 1, 1, 5]))


@st.composite
def tapes(draw: st.DrawFn) -> list[Tick]:
    tape, at = [], -MINUTE
    for open_, close, volume, span in draw(st.lists(shape, max_size=30)):
        at += draw(st.sampled_from([0, 0, 0, MINUTE // 2, MINUTE]))
        if span == 0:
            tape.append(tick_of_price(at, close, volume))
        else:
            end = at + span * MINUTE
            tape.append(Tick(at, end, open_, max(open_, close), min(open_, close), close, volume))
            at = end
    return tape


def actions_of(name: StrategyName, tape: list[Tick]) -> list[int]:
    strategy, params = STRATEGIES[name], PARAMS[name]
    state, actions = strategy.initial_state(params), []
    for tick in tape:
        state, action = strategy.step(params, state, tick)
        actions.append(action)
    return actions


@NAMES
@given(past=tapes(), future=tapes(), other=tapes())
def test_no_future_bar_changes_a_past_action(name, past, future, other):
    seen = len(past)

    assert actions_of(name, past + future)[:seen] == actions_of(name, past + other)[:seen]


@NAMES
@given(tape=tapes())
def test_the_same_tape_gives_the_same_actions_and_at_most_one_signal(name, tape):
    actions = actions_of(name, tape)

    assert actions == actions_of(name, list(tape))
    assert sum(action != NONE for action in actions) <= 1


@NAMES
@given(tape=tapes())
def test_signals_fall_into_the_entry_window_and_every_state_has_words_and_a_score(name, tape):
    strategy, params = STRATEGIES[name], PARAMS[name]
    state = strategy.initial_state(params)
    for tick in tape:
        state, action = strategy.step(params, state, tick)
        assert strategy.explain(params, state, tick, action)
        if action != NONE:
            assert params.analysis_end < tick.end <= params.entry_end
    assert strategy.non_decision(params, state)
    assert strategy.describe(params)
    assert strategy.score(params, state) >= 0.0


@NAMES
def test_random_tapes_do_signal(name):
    """The laws above would hold of a step that never signals."""
    closes = [100.0, 100.5] * 5 + [103.0, 100.2, 97.0, 100.2]
    tape = [Tick(i * MINUTE, (i + 1) * MINUTE, c, c, c, c, 10.0) for i, c in enumerate(closes)]
    if name is StrategyName.CLOSE:
        tape[9] = tape[9]._replace(close=104.0, high=104.0)

    assert sum(action != NONE for action in actions_of(name, tape)) == 1


@given(tape=tapes())
def test_mid_s_own_sums_are_those_of_the_vwap_indicator(tape):
    strategy, params = STRATEGIES[StrategyName.MID], PARAMS[StrategyName.MID]
    state, indicator = strategy.initial_state(params), VWAP_START
    for tick in tape:
        state, _ = strategy.step(params, state, tick)
        if tick.start >= 0:
            indicator = vwap_push(indicator, tick.high, tick.low, tick.close, tick.volume)
    assert isinstance(state, MidState)
    assert (state.weighted, state.volume) == tuple(indicator)


@given(tape=tapes())
def test_close_s_own_returns_are_those_of_the_volatility_indicator(tape):
    strategy, params = STRATEGIES[StrategyName.CLOSE], PARAMS[StrategyName.CLOSE]
    state, indicator = strategy.initial_state(params), VOLATILITY_START
    for tick in tape:
        state, _ = strategy.step(params, state, tick)
        if tick.start >= 0 and tick.end <= params.analysis_start:
            indicator = volatility_push(indicator, tick.start, tick.end, tick.open, tick.close, MINUTE)
    assert isinstance(state, CloseState)
    assert (state.returns, state.mean, state.squares) == tuple(indicator)[2:]


@NAMES
def test_parameters_travel_through_the_journal_unchanged(name):
    assert codec.loads(codec.dumps(PARAMS[name])) == PARAMS[name]


@NAMES
def test_the_table_s_entry_is_the_strategy_of_that_name(name):
    strategy = STRATEGIES[name]

    assert strategy.name is name
    assert strategy.params_type is type(PARAMS[name])
    assert strategy.self_check() == strategy.self_check(PARAMS[name]) == []


def test_a_bar_becomes_a_tick_without_its_symbol():
    assert tick_of_bar(Bar("SPY", 1, 2, 3.0, 4.0, 5.0, 6.0, 7.0)) == Tick(1, 2, 3.0, 4.0, 5.0, 6.0, 7.0)


def test_the_sequence_runs_what_is_enabled_in_the_given_order_and_an_override_runs_alone():
    every = list(StrategyName)
    backward = [StrategyName.CLOSE, StrategyName.OPEN]

    assert [s.name for s in sequence(every, every)] == every
    assert [s.name for s in sequence(backward, every)] == backward
    assert [s.name for s in sequence(every, backward)] == [StrategyName.OPEN, StrategyName.CLOSE]
    assert [s.name for s in sequence(every, [], StrategyName.MID)] == [StrategyName.MID]


def test_a_strategy_twice_in_the_sequence_is_refused():
    with pytest.raises(ValueError, match="twice"):
        sequence([StrategyName.MID, StrategyName.MID], list(StrategyName))
