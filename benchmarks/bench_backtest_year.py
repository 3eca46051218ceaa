# ruff: noqa: PLC0415 - imports are a part of what is measured
"""From Parquet to a finished report, as an operator waits for it: cold, from the cache, and each further parameter set.

Usage: python -m benchmarks.bench_backtest_year [--large] [--runs N] [--seed N] [--by-time] [--folder DIR]
Default: 100 symbols x 60 days; --large: 500 symbols x 252 days (49 million bars). --by-time writes the rows by time,
then symbol, where else they stand by symbol. Every run is a process of its own: check of the data, arrays, all three
strategies, figures, page, folder. Cold means without arrays in the cache; machine code is kept, since a program is
compiled once. Printed are wall and processor seconds: on a busy machine the latter say more.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tbot_bot.reporting.shapes import from_plain, to_plain

T = TypeVar("T")
FIRST, LAST = date(2023, 1, 1), date(2024, 12, 31)
SETS: Final = 5
TARGETS: Final = {"cold": 8.0, "warm": 1.5, "each further set": 1.0}
"""Seconds for 500 symbols x 252 days on 2 cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of one run."""

    name: str
    wall: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: seconds, MiB, and what it found."""

    wall: float
    cpu: float
    peak: float
    stages: tuple[Stage, ...]
    sets: tuple[Stage, ...]
    trades: int
    dropped: int


def main() -> None:
    """Make the data, run the stages in processes of their own, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--by-time", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to work, instead of a temporary folder")
    parser.add_argument("--work", nargs=3, metavar=("DATA", "VIX", "CACHE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(json.dumps(to_plain(work(*map(Path, given.work)))))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        measure(Path(folder), given)


def measure(folder: Path, given: argparse.Namespace) -> None:
    """Make the data, run, and print medians."""
    from benchmarks.tape_of_arrays import steady_vix, tape_of_arrays, write_parquet

    symbols, days = (500, 252) if given.large else (100, 60)
    data, vix, cache = folder / "bars.parquet", folder / "vix.csv", folder / "cache"
    arrays = tape_of_arrays(symbols, days, given.seed)
    write_parquet(arrays, data, by_time=given.by_time)
    index = steady_vix(arrays)
    rows = [f"{day},{value},{value},{value},{value}" for day, value in zip(index.days, index.closes, strict=True)]
    vix.write_text("\n".join(["date,open,high,low,close", *rows, ""]), encoding="utf-8")
    size, bars, held = data.stat().st_size / 2**20, arrays.bars, arrays.nbytes / 2**20
    order = "by time" if given.by_time else "by symbol"
    print(f"{symbols} symbols x {days} days, {bars:,} bars, {size:,.0f} MiB of Parquet {order}, arrays {held:,.0f} MiB")
    del arrays
    once(data, vix, cache)  # compiles
    cold, warm = [], []
    for _ in range(given.runs):
        for place in cache.iterdir():
            if not place.name.startswith("kernels"):
                shutil.rmtree(place)
        cold.append(once(data, vix, cache))
        warm.append(once(data, vix, cache))
    for name, runs in (("cold", cold), ("warm", warm)):
        tell(name, runs, bars, held, large=given.large)
    sets = [one for run in (*cold, *warm) for one in run.sets]
    wall, cpu = statistics.median(one.wall for one in sets), statistics.median(one.cpu for one in sets)
    print(f"each further set: {wall:.2f} s wall, {cpu:.2f} s CPU{target('each further set', wall, large=given.large)}")
    trades, dropped = warm[0].trades, warm[0].dropped
    each = cpu / max(trades + dropped, 1) * 1e3
    print(f"  {trades} trades, {dropped} signals dropped: {each:.2f} ms of CPU for each")


def tell(name: str, runs: Sequence[Run], bars: int, held: float, *, large: bool) -> None:
    """Print the medians of one kind of run."""
    wall, cpu, peak = (statistics.median(getattr(run, part) for run in runs) for part in ("wall", "cpu", "peak"))
    met = target(name, wall, large=large)
    print(f"{name}: {wall:.2f} s wall, {cpu:.2f} s CPU{met}; {bars / wall / 1e6:.1f} M bars/s")
    print(f"  peak memory {peak:,.0f} MiB = {peak / held:.2f} x the arrays")
    for place, one in enumerate(runs[0].stages):
        walls, cpus = ([getattr(run.stages[place], part) for run in runs] for part in ("wall", "cpu"))
        print(f"  {one.name:<20} {statistics.median(walls):6.2f} s wall {statistics.median(cpus):6.2f} s CPU")


def target(name: str, wall: float, *, large: bool) -> str:
    """Say whether a target is met; empty for the small data, which have none."""
    if not large:
        return ""
    limit = TARGETS[name]
    return f" (target {limit} s: {'met' if wall < limit else 'missed'})"


def once(data: Path, vix: Path, cache: Path) -> Run:
    """Return what one process says of its run."""
    command = [sys.executable, "-m", "benchmarks.bench_backtest_year", "--work", str(data), str(vix), str(cache)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800)
    return from_plain(Run, json.loads(done.stdout))


def work(data: Path, vix: Path, cache: Path) -> Run:
    """Run one backtest to its folder, then further sets of parameters; return how long each stage took."""
    began, stages = time.perf_counter(), list[Stage]()
    stage(stages, "imports", _import)
    from tbot_bot.backtest.backtest_engine import DataSet
    from tbot_bot.backtest.data_verdict import require_usable
    from tbot_bot.backtest.kept_run import furnished
    from tbot_bot.backtest.model import BacktestRequest
    from tbot_bot.backtest.result_files import keep

    request = BacktestRequest(home=Path("no-such-home"), data=data, vix=vix, first=FIRST, last=LAST, cache=cache)
    stage(stages, "check and read", lambda: require_usable(data, cache=cache))
    opened = stage(stages, "arrays", lambda: DataSet(data, vix=vix, cache=cache))
    stage(stages, "machine code", opened.array_engine)
    result = stage(stages, "days", lambda: opened.run(request))
    made = stage(stages, "figures and page", lambda: furnished(request, opened, result))
    with tempfile.TemporaryDirectory() as folder:
        stage(stages, "folder", lambda: keep(made.files, Path(folder) / "run"))
    wall, cpu = time.perf_counter() - began, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    sets = list[Stage]()
    for number in range(SETS):
        other = replace(request, overrides=(("STRAT_OPEN_BUFFER", f"0.02{number + 1}"),))
        stage(sets, "set", partial(opened.run, other))
    return Run(
        wall=wall,
        cpu=cpu,
        peak=peak,
        stages=tuple(stages),
        sets=tuple(sets),
        trades=len(result.trades),
        dropped=len(result.skipped_signals),
    )


def _import() -> None:
    from tbot_bot.backtest import data_verdict, kept_run  # noqa: F401


def stage(stages: list[Stage], name: str, do: Callable[[], T]) -> T:
    """Do it, and note how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = do()
    stages.append(Stage(name=name, wall=time.perf_counter() - wall, cpu=time.process_time() - cpu))
    return found


if __name__ == "__main__":
    main()
