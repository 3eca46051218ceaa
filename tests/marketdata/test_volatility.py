"""Realised volatility against a line of numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.bars import Bar
from tbot_bot.core.instants import MINUTE
from tbot_bot.marketdata.volatility import realised_volatility

prices = st.floats(0.5, 5000)


def bars(closes, span=1):
    width = span * MINUTE
    return [Bar("AAA", n * width, (n + 1) * width, one, one, one, one, 1.0) for n, one in enumerate(closes)]


@given(st.lists(prices, min_size=6, max_size=21))
def test_of_daily_closes(closes):
    expected = np.sqrt(np.mean(np.diff(np.log(closes)) ** 2) * 252)
    assert realised_volatility(closes, ()) == pytest.approx(expected, abs=1e-9)


@given(st.lists(prices, min_size=21, max_size=60), st.sampled_from([1, 5]))
def test_of_the_days_bars_where_closes_are_too_few(closes, span):
    expected = np.sqrt(np.mean(np.diff(np.log(closes)) ** 2) * 252 * 390 / span)
    assert realised_volatility(closes[:5], bars(closes, span)) == pytest.approx(expected, abs=1e-9)


def test_too_short_a_past_has_none():
    assert realised_volatility([10.0] * 5, bars([10.0] * 20)) is None
    assert realised_volatility((), ()) is None
