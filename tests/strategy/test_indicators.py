import itertools
from math import isnan, sqrt
from pathlib import Path
from statistics import stdev

import numpy as np
import pyarrow.parquet as pq
import pytest
import talib
from numpy.typing import NDArray

from tbot_bot.core.instants import MINUTE
from tbot_bot.strategy.indicators import (
    ADX_START,
    BOLLINGER_START,
    VOLATILITY_START,
    VWAP_START,
    adx_push,
    adx_value,
    bollinger_bands,
    bollinger_push,
    volatility_push,
    volatility_value,
    vwap_push,
    vwap_value,
)

Floats = NDArray[np.float64]
Tape = tuple[Floats, Floats, Floats]


def random_tape(seed: int, bars: int = 2_000) -> Tape:
    draw = np.random.default_rng(seed)
    closes = 50.0 * np.exp(np.cumsum(draw.normal(0.0, 0.001, bars)))
    # every tenth bar does not move at all, so that ties between the directions occur
    spread = np.where(np.arange(bars) % 10 == 0, 0.0, draw.uniform(0.0, 0.05, bars))
    return np.round(closes + spread, 2), np.round(closes - spread, 2), np.round(closes, 2)


def recorded_tapes(shared: Path) -> list[Tape]:
    columns = ["symbol", "high", "low", "close"]
    table = pq.read_table(shared / "data/nolicence/us_equity_1m_2018.parquet", columns=columns)
    symbols = table["symbol"].combine_chunks().dictionary_encode()
    first = [symbols.indices.index(place).as_py() for place in (0, 40, 90)]
    parts = [table.slice(start, 4_000) for start in first]
    return [(part["high"].to_numpy(), part["low"].to_numpy(), part["close"].to_numpy()) for part in parts]


def adx_of(tape: Tape) -> list[float]:
    state, values = ADX_START, []
    for high, low, close in zip(*(column.tolist() for column in tape), strict=True):
        state = adx_push(state, high, low, close)
        values.append(adx_value(state))
    return values


def bands_of(closes: Floats, width: float) -> Floats:
    state, rows = BOLLINGER_START, []
    for close in closes.tolist():
        state = bollinger_push(state, close)
        rows.append(bollinger_bands(state, width))
    return np.array(rows)


def check_adx(tape: Tape) -> None:
    expected = talib.ADX(*tape, timeperiod=14)

    np.testing.assert_allclose(adx_of(tape), expected, rtol=1e-9, equal_nan=True)


def check_bands(tape: Tape, width: float) -> None:
    upper, middle, lower = talib.BBANDS(tape[2], timeperiod=20, nbdevup=width, nbdevdn=width)

    np.testing.assert_allclose(bands_of(tape[2], width), np.column_stack((lower, middle, upper)), rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_adx_agrees_with_talib_on_random_tapes(seed):
    check_adx(random_tape(seed))


def test_adx_agrees_with_talib_on_recorded_tapes(shared):
    for tape in recorded_tapes(shared):
        check_adx(tape)


def test_adx_agrees_with_talib_on_a_flat_and_on_a_straight_tape():
    flat = np.full(60, 10.0)
    rising = np.arange(60.0) + 10.0
    check_adx((flat, flat, flat))
    check_adx((rising + 0.5, rising - 0.5, rising))


def test_adx_is_undefined_before_its_28th_bar():
    values = adx_of(random_tape(7, 28))

    assert all(isnan(value) for value in values[:27])
    assert 0.0 <= values[27] <= 100.0


@pytest.mark.parametrize("width", [1.0, 2.0, 2.5])
def test_bollinger_bands_agree_with_talib_on_random_tapes(width):
    check_bands(random_tape(11), width)


def test_bollinger_bands_agree_with_talib_on_recorded_tapes(shared):
    for tape in recorded_tapes(shared):
        check_bands(tape, 2.0)


def test_a_flat_window_has_bands_of_no_width():
    closes = np.full(25, 0.1)

    assert set(bands_of(closes, 2.0)[19:].ravel().tolist()) == {0.1}


def test_bollinger_bands_are_undefined_before_their_20th_close():
    rows = bands_of(random_tape(3, 20)[2], 2.0)

    assert np.isnan(rows[:19]).all()
    assert not np.isnan(rows[19]).any()


def test_vwap_is_the_sum_of_typical_prices_times_volume_over_volume():
    draw = np.random.default_rng(5)
    highs, lows, closes = random_tape(5, 390)
    volumes = draw.integers(0, 3, 390) * 100.0
    state = VWAP_START
    for row in zip(highs.tolist(), lows.tolist(), closes.tolist(), volumes.tolist(), strict=True):
        state = vwap_push(state, *row)

    assert vwap_value(state) == pytest.approx(np.average((highs + lows + closes) / 3, weights=volumes), rel=1e-12)


def test_vwap_is_undefined_until_something_has_traded():
    assert isnan(vwap_value(vwap_push(VWAP_START, 1.0, 1.0, 1.0, 0.0)))


def test_volatility_is_the_sample_deviation_of_one_minute_returns():
    closes = random_tape(9, 300)[2].tolist()
    state = VOLATILITY_START
    for minute, close in enumerate(closes):
        state = volatility_push(state, minute * MINUTE, (minute + 1) * MINUTE, closes[0], close, MINUTE)
    prices = [closes[0], *closes]
    returns = [b / a - 1.0 for a, b in itertools.pairwise(prices)]

    assert volatility_value(state) == pytest.approx(stdev(returns), rel=1e-9)


def test_volatility_of_longer_bars_is_brought_to_one_minute():
    state = VOLATILITY_START
    closes = [100.0, 101.0, 100.5, 102.0]
    for place, close in enumerate(closes):
        state = volatility_push(state, place * 5 * MINUTE, (place + 1) * 5 * MINUTE, 100.0, close, 5 * MINUTE)
    returns = [b / a - 1.0 for a, b in zip([100.0, *closes], closes, strict=False)]

    assert volatility_value(state) == pytest.approx(stdev(returns) / sqrt(5), rel=1e-12)


def test_volatility_needs_two_returns():
    state = volatility_push(VOLATILITY_START, 0, MINUTE, 100.0, 101.0, MINUTE)

    assert isnan(volatility_value(state))
