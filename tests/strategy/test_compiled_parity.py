"""The kernels compiled by numba give what they give as plain Python: the same states and actions, bit for bit."""

import itertools
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import DAY, MINUTE
from tbot_bot.strategy import exits, indicators
from tbot_bot.strategy.strategy_meta import NONE, CloseParams, MidParams, OpenParams, Params, Tick
from tbot_bot.strategy.strategy_router import STRATEGIES

NAMES = pytest.mark.parametrize("name", list(StrategyName))
HOUR = 60 * MINUTE


def njit(kernel):
    """Return `kernel` compiled; untyped, since numba's stubs describe the decorator and not its result."""
    return numba.njit(kernel)


COMPILED = {name: njit(strategy.step) for name, strategy in STRATEGIES.items()}


def params_of(name: StrategyName, bell: int, span: int = MINUTE) -> Params:
    """Return parameters with small thresholds, so that recorded days signal often, in both directions."""
    if name is StrategyName.OPEN:
        return OpenParams(bell, bell, bell + 20 * MINUTE, bell + 30 * MINUTE, span, 0.001)
    if name is StrategyName.MID:
        return MidParams(bell, bell + HOUR, bell + 70 * MINUTE, bell + 80 * MINUTE, span, 0.004)
    start = bell + 5 * HOUR
    return CloseParams(bell, start, start + 10 * MINUTE, start + 30 * MINUTE, span, 0.003, 1.5)


def bits(value: object) -> object:
    """Return `value` with every float as its eight bytes: NaN equals itself and 0.0 is not -0.0."""
    if isinstance(value, tuple):
        return tuple(bits(item) for item in value)
    return struct.pack("<d", value) if isinstance(value, float) else value


def check_day(name: StrategyName, params: Params, tape: Iterable[Tick]) -> int:
    """Run one day both ways; return the action it ended in."""
    strategy, compiled, signal = STRATEGIES[name], COMPILED[name], NONE
    plain = fast = strategy.initial_state(params)
    for tick in tape:
        plain, action = strategy.step(params, plain, tick)
        fast, compiled_action = compiled(params, fast, tick)
        assert action == compiled_action
        assert bits(tuple(plain)) == bits(tuple(fast)), tick
        signal = action or signal
    return signal


def recorded_days(table: pa.Table) -> Iterator[list[Tick]]:
    """Yield the bars of one symbol and UTC day at a time; `table` is sorted by symbol, then time."""
    starts = pc.cast(table["ts"], pa.int64()).to_numpy() * 1_000
    spans = np.full(len(starts), MINUTE)
    columns = [table[name].to_numpy().astype(np.float64) for name in ("open", "high", "low", "close", "volume")]
    symbols = table["symbol"].combine_chunks().dictionary_encode().indices.to_numpy()
    edges = np.flatnonzero((np.diff(starts // DAY) != 0) | (np.diff(symbols) != 0)) + 1
    cuts = [0, *edges.tolist(), len(starts)]
    for first, last in itertools.pairwise(cuts):
        part = slice(first, last)
        begin = starts[part].tolist()
        end = (starts[part] + spans[part]).tolist()
        yield [Tick(*row) for row in zip(begin, end, *(column[part].tolist() for column in columns), strict=True)]


def check_recorded(name: StrategyName, table: pa.Table, span: int = MINUTE) -> None:
    signals = set()
    for bars in recorded_days(table):
        tape = [tick._replace(end=tick.start + span) for tick in bars] if span != MINUTE else bars
        signals.add(check_day(name, params_of(name, tape[0].start, span), tape))
    assert signals == {0, 1, 2}  # else the tape would prove little
    assert len(COMPILED[name].nopython_signatures) == 1  # compiled, and with one type for every state


def random_tape(seed: int, bars: int = 390) -> Iterator[Tick]:
    draw, price, at = Random(seed), 50.0, 0
    for _ in range(bars):
        before = price
        price *= 1.0 + draw.gauss(0.0, 0.002)
        at += MINUTE if draw.random() < 0.05 else 0
        end = at if draw.random() < 0.1 else at + MINUTE
        high, low = max(before, price) * 1.0003, min(before, price) * 0.9997
        if end == at:
            yield Tick(at, at, price, price, price, price, 1.0)
        else:
            yield Tick(at, end, before, high, low, price, draw.choice([0.0, 100.0, 333.0]))
        at = end


@NAMES
def test_steps_agree_over_random_tapes(name):
    signals = {check_day(name, params_of(name, 0), random_tape(seed)) for seed in range(60)}

    assert signals == {0, 1, 2}


@NAMES
def test_steps_agree_over_recorded_minutes_of_2018(name, shared):
    path = shared / "data/nolicence/us_equity_1m_2018.parquet"
    check_recorded(name, pq.read_table(path, filters=[("symbol", "in", ["AAPL", "AMD", "BAC", "ROKU", "TWTR"])]))


@NAMES
@pytest.mark.slow
def test_steps_agree_over_all_recorded_minutes_of_2018(name, shared):
    check_recorded(name, pq.read_table(shared / "data/nolicence/us_equity_1m_2018.parquet"))


@NAMES
def test_steps_agree_over_recorded_five_minute_bars(name, shared):
    table = pq.read_table(shared / "data/nolicence/us_equity_5m_2026.parquet")
    check_recorded(name, table.slice(0, 12_000), 5 * MINUTE)


def closing_prices(shared: Path) -> pa.Table:
    return pq.read_table(shared / "data/nolicence/spy_1m_2024.parquet").slice(0, 6_000)


def test_indicators_agree_over_recorded_and_random_tapes(shared):
    recorded = [tick for day in recorded_days(closing_prices(shared)) for tick in day]
    vwap, adx = njit(indicators.vwap_push), njit(indicators.adx_push)
    rings, volatility = njit(indicators.bollinger_push), njit(indicators.volatility_push)
    bands, adx_value = njit(indicators.bollinger_bands), njit(indicators.adx_value)
    values = njit(indicators.vwap_value), njit(indicators.volatility_value)
    for tape in (recorded, list(random_tape(1, 3_000))):
        a = b = indicators.VWAP_START
        c = d = indicators.ADX_START
        e = f = indicators.BOLLINGER_START
        g = h = indicators.VOLATILITY_START
        for start, end, open_, high, low, close, volume in tape:
            a, b = indicators.vwap_push(a, high, low, close, volume), vwap(b, high, low, close, volume)
            c, d = indicators.adx_push(c, high, low, close), adx(d, high, low, close)
            e, f = indicators.bollinger_push(e, close), rings(f, close)
            g = indicators.volatility_push(g, start, end, open_, close, MINUTE)
            h = volatility(h, start, end, open_, close, MINUTE)
            plain = (a, c, e, g, indicators.vwap_value(a), indicators.adx_value(c), indicators.volatility_value(g))
            fast = (b, d, f, h, values[0](b), adx_value(d), values[1](h))
            assert bits(plain) == bits(fast)
            assert bits(indicators.bollinger_bands(e, 2.0)) == bits(bands(f, 2.0))


def test_exits_agree_over_random_tapes():
    trail, touched = njit(exits.trail), njit(exits.vwap_touched)
    reached = njit(exits.vwap_reached)
    for rising in (False, True):
        best = 50.0
        for tick in random_tape(3, 2_000):
            plain = exits.trail(best, tick, 0.02, rising)
            assert bits(plain) == bits(trail(best, tick, 0.02, rising))
            best = plain[0]
            assert exits.vwap_touched(tick.low, tick.high, 50.0) == touched(tick.low, tick.high, 50.0)
            assert exits.vwap_reached(tick.low, tick.high, 50.0, rising) == reached(tick.low, tick.high, 50.0, rising)
