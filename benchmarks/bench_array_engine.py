"""Bars per second of the array engine, beside a plain numba loop of each rule in the same run.

Usage: python -m benchmarks.bench_array_engine [--large] [--scaling] [--runs N] [--seed N]
Default: 100 symbols x 60 days; --large: 500 symbols x 252 days (49 million bars, 2.4 GB). --scaling adds a quarter and
a sixteenth of the data. `bench_backtest_year` measures from Parquet to a finished report. Both loops take turns, so
that whatever else the machine does meets both.
Bars are counted as the data hold them, whether or not a rule looks at them: that is what a strategist waits for.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.plain_loops import PLAIN
from benchmarks.tape_of_arrays import steady_vix, tape_of_arrays, write_parquet
from tbot_bot.backtest.array_engine import ArrayEngine
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
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


def setting(**overrides: str) -> Setting:
    request = BacktestRequest(home=NOWHERE, data=NOWHERE, first=FIRST, last=LAST, overrides=tuple(overrides.items()))
    return setting_of(request)


def measured(runs: int, *works: Callable[[], object]) -> list[tuple[float, float]]:
    """Return median and least seconds of each of `works`, which take turns; the first turn compiles and warms."""
    took: list[list[float]] = [[] for _ in works]
    for turn in range(runs + 1):
        for work, times in zip(works, took, strict=True):
            began = time.perf_counter()
            work()
            if turn:
                times.append(time.perf_counter() - began)
    return [(statistics.median(times), min(times)) for times in took]


def kernels(arrays: BarArrays, runs: int) -> None:
    """Measure the scan of each strategy and the loop that somebody would write by hand."""
    engine, chosen = ArrayEngine(arrays, {}, steady_vix(arrays)), setting()
    for name in StrategyName:
        scan = engine.scan_of(chosen, name, engine.days)
        assert scan is not None
        ours, plain = scan(), PLAIN[name](arrays, scan.windows, scan.numbers)
        assert np.array_equal(ours >= 0, plain >= 0), f"{name}: the loop by hand finds other signals"
        own, by_hand = measured(runs, scan, partial(PLAIN[name], arrays, scan.windows, scan.numbers))
        rates = [arrays.bars / seconds / MILLION for seconds in (*own, *by_hand)]
        print(
            f"{name}: median {rates[0]:,.0f} M bars/s (best {rates[1]:,.0f}); by hand {rates[2]:,.0f} "
            f"(best {rates[3]:,.0f}); ratio of medians {rates[0] / rates[2]:.2f}, of bests {rates[1] / rates[3]:.2f}"
        )


def whole(arrays: BarArrays, runs: int) -> None:
    """Measure whole backtests: all three strategies, screen, sizing, checks, fills."""
    engine = ArrayEngine(arrays, {}, steady_vix(arrays))
    began, used = time.perf_counter(), time.process_time()
    found = engine.run(setting(), FIRST, LAST)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    print(f"first parameter set: {wall:.2f} s wall, {cpu:.2f} s CPU, {_counts(found)}")
    others = [setting(STRAT_OPEN_BUFFER=f"0.0{number}") for number in range(21, 21 + runs)]
    took = []
    for other in others:
        began, used = time.perf_counter(), time.process_time()
        found = engine.run(other, FIRST, LAST)
        took.append((time.perf_counter() - began, time.process_time() - used))
    wall, cpu = (statistics.median(one[part] for one in took) for part in (0, 1))
    print(f"each further parameter set: {wall:.2f} s wall, {cpu:.2f} s CPU (medians), the last with {_counts(found)}")


def _counts(found: object) -> str:
    trades, skipped = getattr(found, "trades", ()), getattr(found, "skipped", ())
    return f"{len(trades)} trades, {len(skipped)} signals dropped"


def event_engine(arrays: BarArrays) -> None:
    """Measure the event engine over a few days."""
    engine = ArrayEngine(arrays, {}, steady_vix(arrays))
    some = engine.days[20:24]
    began, used = time.perf_counter(), time.process_time()
    found = run_event_engine(setting(), iter(some))
    took, cpu = time.perf_counter() - began, time.process_time() - used
    bars = sum(day.bars for day in found.days)
    rates = f"{bars / took:,.0f} bars/s, {bars / cpu:,.0f} bars a CPU second"
    print(f"event engine: {rates}, over {len(some)} days, {len(found.trades)} trades")


def scaling(symbols: int, days: int, runs: int, seed: int) -> None:
    """Measure whether cost is linear in bars."""
    for part in (16, 4, 1):
        arrays = tape_of_arrays(max(symbols // part, 1), days, seed)
        engine, chosen = ArrayEngine(arrays, {}, steady_vix(arrays)), setting()
        line = []
        for name in StrategyName:
            scan = engine.scan_of(chosen, name, engine.days)
            assert scan is not None
            line.append(f"{name} {measured(runs, scan)[0][1] / arrays.bars * 1e9:.2f}")
        print(f"{arrays.bars:,} bars: nanoseconds a bar at best: {', '.join(line)}")


def write(arrays: BarArrays, path: Path) -> None:
    """Write `arrays` as a file of the data sets' layout, symbol by symbol."""
    write_parquet(arrays, path)


if __name__ == "__main__":
    main()
