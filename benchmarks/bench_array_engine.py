"""Bars per second of the array engine, beside a plain numba loop of each rule in the same run.

Usage: python -m benchmarks.bench_array_engine [--large] [--scaling] [--files] [--runs N] [--seed N]
Default: 100 symbols x 60 days; --large: 500 symbols x 252 days (49 million bars, 2.4 GB). --scaling adds a quarter and
a sixteenth of the data; --files writes Parquet to a temporary folder and measures from there, cold and from the cache.
Bars are counted as the data hold them, whether or not a rule looks at them: that is what a strategist waits for.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.plain_loops import PLAIN
from benchmarks.tape_of_arrays import steady_vix, tape_of_arrays
from tbot_bot.backtest.array_engine import ArrayEngine
from tbot_bot.backtest.backtest_engine import DataSet
from tbot_bot.backtest.bar_arrays import BarArrays
from tbot_bot.backtest.campaign import Setting, setting_of
from tbot_bot.backtest.event_engine import run_event_engine
from tbot_bot.backtest.model import BacktestRequest
from tbot_bot.core.identity import StrategyName

FIRST, LAST = date(2023, 1, 1), date(2024, 12, 31)
NOWHERE: Final = Path("no-such-home")
MILLION: Final = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    symbols, days = (500, 252) if given.large else (100, 60)
    arrays = tape_of_arrays(symbols, days, given.seed)
    mebibytes = arrays.nbytes / 2**20
    print(f"{symbols} symbols x {days} days, {arrays.bars:,} bars, arrays of {mebibytes:,.0f} MiB, seed {given.seed}")
    kernels(arrays, given.runs)
    whole(arrays, given.runs)
    event_engine(arrays)
    if given.scaling:
        scaling(symbols, days, given.runs, given.seed)
    if given.files:
        files(arrays)
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


def setting(**overrides: str) -> Setting:
    request = BacktestRequest(home=NOWHERE, data=NOWHERE, first=FIRST, last=LAST, overrides=tuple(overrides.items()))
    return setting_of(request)


def measured(runs: int, work: Callable[[], object]) -> tuple[float, float]:
    """Return median and least seconds of `work`, after one run that compiles and warms."""
    work()
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took), min(took)


def kernels(arrays: BarArrays, runs: int) -> None:
    """Measure the scan of each strategy and the loop that somebody would write by hand."""
    engine, chosen = ArrayEngine(arrays, {}, steady_vix(arrays)), setting()
    for name in StrategyName:
        scan = engine.scan_of(chosen, name, engine.days)
        assert scan is not None
        ours, plain = scan(), PLAIN[name](arrays, scan.windows, scan.numbers)
        assert np.array_equal(ours >= 0, plain >= 0), f"{name}: the loop by hand finds other signals"
        own = measured(runs, scan)
        by_hand = measured(runs, partial(PLAIN[name], arrays, scan.windows, scan.numbers))
        rates = [arrays.bars / seconds / MILLION for seconds in (*own, *by_hand)]
        print(
            f"{name}: median {rates[0]:,.0f} M bars/s (best {rates[1]:,.0f}); by hand {rates[2]:,.0f} "
            f"(best {rates[3]:,.0f}); ratio of medians {rates[0] / rates[2]:.2f}, of bests {rates[1] / rates[3]:.2f}"
        )


def whole(arrays: BarArrays, runs: int) -> None:
    """Measure whole backtests: all three strategies, screen, sizing, checks, fills."""
    engine = ArrayEngine(arrays, {}, steady_vix(arrays))
    began = time.perf_counter()
    found = engine.run(setting(), FIRST, LAST)
    print(f"first parameter set: {time.perf_counter() - began:.2f} s, {_counts(found)}")
    others = [setting(STRAT_OPEN_BUFFER=f"0.0{number}") for number in range(21, 21 + runs)]
    took = []
    for other in others:
        began = time.perf_counter()
        found = engine.run(other, FIRST, LAST)
        took.append(time.perf_counter() - began)
    print(f"each further parameter set: median {statistics.median(took):.2f} s, the last with {_counts(found)}")


def _counts(found: object) -> str:
    trades, skipped = getattr(found, "trades", ()), getattr(found, "skipped", ())
    return f"{len(trades)} trades, {len(skipped)} signals dropped"


def event_engine(arrays: BarArrays) -> None:
    """Measure the event engine over a few days."""
    engine = ArrayEngine(arrays, {}, steady_vix(arrays))
    some = engine.days[20:24]
    began = time.perf_counter()
    found = run_event_engine(setting(), iter(some))
    took = time.perf_counter() - began
    bars = sum(day.bars for day in found.days)
    print(f"event engine: {bars / took:,.0f} bars/s over {len(some)} days, {len(found.trades)} trades")


def scaling(symbols: int, days: int, runs: int, seed: int) -> None:
    """Measure whether cost is linear in bars."""
    for part in (16, 4, 1):
        arrays = tape_of_arrays(max(symbols // part, 1), days, seed)
        engine, chosen = ArrayEngine(arrays, {}, steady_vix(arrays)), setting()
        line = []
        for name in StrategyName:
            scan = engine.scan_of(chosen, name, engine.days)
            assert scan is not None
            line.append(f"{name} {measured(runs, scan)[1] / arrays.bars * 1e9:.2f}")
        print(f"{arrays.bars:,} bars: nanoseconds a bar at best: {', '.join(line)}")


def files(arrays: BarArrays) -> None:
    """Measure from Parquet to the finished result, without and with the cache of arrays."""
    with tempfile.TemporaryDirectory() as folder:
        source, cache = Path(folder) / "bars.parquet", Path(folder) / "cache"
        write(arrays, source)
        request = BacktestRequest(home=NOWHERE, data=source, first=FIRST, last=LAST, cache=cache)
        for what in ("cold, from Parquet", "warm, from the cache"):
            began = time.perf_counter()
            data = DataSet(source, cache=cache)
            read = time.perf_counter()
            result = data.run(request)
            done = time.perf_counter()
            size = f"{len(result.trades)} trades"
            print(f"{what}: {done - began:.2f} s, of which {read - began:.2f} s reading; {size}")


def write(arrays: BarArrays, path: Path) -> None:
    """Write `arrays` as a file of the data sets' layout, symbol by symbol."""
    kind = pa.schema(
        [
            ("symbol", pa.string()),
            ("ts", pa.timestamp("us", tz="UTC")),
            *((name, pa.float64()) for name in ("open", "high", "low", "close")),
            ("volume", pa.int64()),
        ]
    )
    with pq.ParquetWriter(path, kind, compression="zstd") as writer:
        for row, name in enumerate(arrays.names):
            here = slice(int(arrays.first[row, 0]), int(arrays.stop[row, -1]))
            count = here.stop - here.start
            columns = [pa.array([name]).take(pa.array(np.zeros(count, np.int64)))]
            columns.append(pa.array(arrays.start[here] // 1000).cast(pa.timestamp("us", tz="UTC")))
            columns += [pa.array(getattr(arrays, name)[here]) for name in ("open", "high", "low", "close")]
            columns.append(pa.array(arrays.volume[here].astype(np.int64)))
            writer.write_table(pa.table(columns, schema=kind))


if __name__ == "__main__":
    main()
