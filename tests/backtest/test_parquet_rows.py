"""Large Parquet files are read another way than small ones: same arrays, same report, and the same words of refusal."""

import dataclasses
import random
from collections.abc import Callable
from datetime import date, time
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.backtest import array_cache, data_check, data_verdict, parquet_rows
from tbot_bot.backtest.array_cache import load_bar_arrays
from tbot_bot.backtest.bar_arrays import BarArrays, NotForArrays, bar_files_of, read_bar_arrays
from tbot_bot.backtest.data_check import check_data, look_at
from tbot_bot.backtest.data_verdict import DataRefused, require_usable
from tbot_bot.backtest.parquet_rows import swept
from tbot_bot.backtest.swept_arrays import arrays_of_swept
from tbot_bot.backtest.swept_check import report_of_swept
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.bars import Bar
from tbot_bot.core.calendar import new_york, trading_day
from tbot_bot.core.instants import HOUR, MICROSECOND, MINUTE

DAYS = (date(2024, 11, 27), date(2024, 11, 29), date(2024, 12, 2), date(2024, 12, 4))
"""Before a holiday, a short day, after a weekend, and one with a day missing before it."""


def tape(seed: int, symbols: int, span: int) -> list[Bar]:
    """Make bars with holes, hours around the session, days without volume, splits and prices out of line."""
    dice = random.Random(seed)
    bars = []
    for number in range(symbols):
        price = dice.uniform(20, 90)
        for day in DAYS:
            if dice.random() < 0.15:
                continue
            price *= dice.choice((1.0, 1.0, 1.0, 1.01, 0.5, 3.0))
            silent, thin = dice.random() < 0.1, dice.choice((0.0, 0.1, 0.6))
            session = trading_day(day)
            first = new_york(day, time(4)) if dice.random() < 0.4 else session.open_at
            last = new_york(day, time(20)) if dice.random() < 0.4 else session.close_at
            for start in range(first, last, span * MINUTE):
                if dice.random() < thin:
                    continue
                opened = round(price, 2)
                price *= 1 + dice.gauss(0, 0.0008)
                close = round(price, 2)
                high, low = max(opened, close) + 0.02, min(opened, close) - 0.02
                odd = dice.random()
                high, low = (high * 1.06 if odd < 0.002 else high), (low * 0.94 if odd > 0.998 else low)
                volume = 0.0 if silent else float(dice.randrange(0, 9_000))
                bars.append(Bar(f"S{number}", start, start + span * MINUTE, opened, high, low, close, volume))
    return bars


def table(bars: list[Bar], unit: str = "us") -> pa.Table:
    stamps = pa.array([bar.start // MICROSECOND for bar in bars]).cast(pa.timestamp("us", tz="UTC"))
    return pa.table({
        "symbol": pa.array([bar.symbol for bar in bars]),
        "ts": stamps.cast(pa.timestamp(unit, tz="UTC")),
        **{name: pa.array([getattr(bar, name) for bar in bars]) for name in ("open", "high", "low", "close")},
        "volume": pa.array([int(bar.volume) for bar in bars]),
    })  # fmt: skip


def write(path: Path, bars: list[Bar], *, rows: int = 700, unit: str = "us") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(bars, unit), path, row_group_size=rows)
    return path


def same_arrays(one: BarArrays, two: BarArrays) -> None:
    for field in dataclasses.fields(BarArrays):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, field.name
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        else:
            assert left == right, field.name


def by_time(bar: Bar) -> tuple[int, str]:
    return bar.start, bar.symbol


ORDERS = {"by symbol": None, "by time": by_time}


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    symbols=st.integers(1, 5),
    span=st.sampled_from((1, 1, 5)),
    order=st.sampled_from(sorted(ORDERS)),
    rows=st.sampled_from((97, 700, 10**6)),
    files=st.sampled_from((1, 1, 3)),
    unit=st.sampled_from(("ms", "us", "ns")),
)
def test_both_ways_find_the_same(tmp_path_factory, seed, symbols, span, order, rows, files, unit):
    bars = tape(seed, symbols, span)
    if not bars:
        return
    key = ORDERS[order]
    folder = tmp_path_factory.mktemp("set")
    cuts = (0, 2**62) if files == 1 else (0, *(new_york(day, time(0)) for day in DAYS[1:3]), 2**62)
    for number, (begin, end) in enumerate(pairwise(cuts)):
        part = [bar for bar in bars if begin <= bar.start < end]
        if part:
            write(folder / f"{number}.parquet", sorted(part, key=key) if key else part, rows=rows, unit=unit)
    paths, notices = bar_files_of(folder)
    found = swept(paths, rows_min=1)
    assert found is not None
    assert found.ordered
    report = report_of_swept(folder, found, notices, changed=False)
    assert report == look_at(folder, paths, notices, lambda *_: None, changed=False)
    try:
        plain = read_bar_arrays(folder)
    except NotForArrays as error:
        with pytest.raises(NotForArrays, match=str(error)[:20]):
            arrays_of_swept(found, notices=(), fingerprint="")
        return
    same_arrays(arrays_of_swept(found, notices=(), fingerprint=""), plain)


@pytest.fixture
def large(monkeypatch):
    """Take every file for a large one."""
    real = parquet_rows.swept
    for module in (array_cache, data_check):
        monkeypatch.setattr(module, "swept", lambda paths, room=None: real(paths, rows_min=1, room=room))


SOUND = tape(5, 3, 1)
FAULTS = [
    lambda bars: [*bars[:50], bars[50]._replace(high=1.0), *bars[51:]],
    lambda bars: [*bars[:50], bars[50]._replace(close=float("nan")), *bars[51:]],
    lambda bars: [*bars[:50], bars[49], *bars[50:]],
    lambda bars: [*bars[:50], bars[51], bars[50], *bars[52:]],
    lambda bars: [*bars[:50], bars[50]._replace(start=bars[50].start + MINUTE // 2), *bars[51:]],
    lambda bars: [*bars, bars[-1]._replace(start=new_york(DAYS[-1], time(21)))],
    lambda bars: [*bars, bars[0]._replace(start=bars[-1].start + HOUR)],
    lambda bars: [bar._replace(start=bar.start // (24 * HOUR) * 24 * HOUR + 15 * HOUR) for bar in bars[:1]],
]


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("break_", FAULTS)
def test_what_is_out_of_the_ordinary_is_told_by_the_plain_reader(tmp_path, break_):
    path = write(tmp_path / "bars.parquet", break_(SOUND))
    assert check_data(path) == look_at(path, [path], [], lambda *_: None, changed=False)
    expected = outcome(path, read_bar_arrays)
    for cache in (None, tmp_path / "cache"):
        found = outcome(path, partial(load_bar_arrays, cache=cache))
        if isinstance(expected, BarArrays) and isinstance(found, BarArrays):
            same_arrays(found, expected)
        else:
            assert found == expected


def outcome(path: Path, work: Callable[[Path], BarArrays]) -> BarArrays | str:
    try:
        return dataclasses.replace(work(path), fingerprint="")
    except DataError as error:
        return str(error)


@pytest.mark.usefixtures("large")
def test_the_check_leaves_the_arrays_in_the_cache(tmp_path, monkeypatch):
    path = write(tmp_path / "bars.parquet", SOUND)
    cache = tmp_path / "cache"
    told = require_usable(path, accept=True, cache=cache)
    monkeypatch.setattr(array_cache, "swept", None)
    monkeypatch.setattr(array_cache, "read_bar_arrays", None)
    monkeypatch.setattr(data_verdict, "check_data", None)
    monkeypatch.setattr(data_verdict, "check_and_load", None)
    found = load_bar_arrays(path, cache)
    same_arrays(dataclasses.replace(found, fingerprint=""), read_bar_arrays(path))
    assert require_usable(path, accept=True, cache=cache) == told
    assert not [one for one in cache.iterdir() if one.name.startswith(".")]


@pytest.mark.usefixtures("large")
def test_data_that_fail_are_refused_with_every_fault(tmp_path):
    path = write(tmp_path / "bars.parquet", FAULTS[0](FAULTS[4](SOUND)))
    with pytest.raises(DataRefused, match="prices or volumes that cannot be"):
        require_usable(path, cache=tmp_path / "cache")


def test_small_files_are_read_the_plain_way(tmp_path):
    assert swept([write(tmp_path / "bars.parquet", SOUND)]) is None
