"""Asking again: how long to wait before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.backoff import Patience, pause_after
from tbot_bot.core.instants import SECOND, Duration

PATIENCE = Patience(retries=3, deadline=Duration(30 * SECOND))
DICE = st.floats(0, 1, exclude_max=True)


@given(attempt=st.integers(1, 10_000), dice=DICE)
def test_a_pause_is_never_none_and_never_too_long(attempt, dice):
    span = min(PATIENCE.pause_first * 2 ** (attempt - 1), PATIENCE.pause_longest)
    pause = pause_after(PATIENCE, attempt, lambda: dice)

    assert span // 2 <= pause <= span
    assert 0 < pause <= PATIENCE.pause_longest


def test_pauses_double_and_the_same_dice_give_the_same_pauses():
    lowest = [pause_after(PATIENCE, attempt, lambda: 0.0) / SECOND for attempt in range(1, 10)]
    highest = [pause_after(PATIENCE, attempt, lambda: 0.999_999_999_999) / SECOND for attempt in range(1, 10)]
    assert lowest == [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15]
    assert highest == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30])


def test_those_that_failed_together_do_not_come_back_together():
    falls = iter(number / 100 for number in range(100))
    assert len({pause_after(PATIENCE, 3, lambda: next(falls)) for _ in range(100)}) == 100


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"deadline": Duration(0)}, {"pause_first": Duration(31 * SECOND)}])
def test_patience_without_end_or_beginning_is_refused(wrong):
    with pytest.raises(ValueError, match="no patience"):
        Patience(**{"retries": 3, "deadline": Duration(SECOND), **wrong})
