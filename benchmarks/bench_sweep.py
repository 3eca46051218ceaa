"""Sets of parameters per second of a sweep, by one process and by two, and the memory of each worker.

Usage: python -m benchmarks.bench_sweep [--symbols 100] [--days 60] [--sets 100] [--seed N]
The tape is seeded and written as Parquet; data cache and machine code are made before anything is timed, and each
sweep begins anew. Shared memory is the page cache's part of the mapped arrays: all workers have it together.
"""

import argparse
import multiprocessing
import os
import resource
import subprocess
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

from tbot_bot.backtest.backtest_engine import DataSet
from tbot_bot.backtest.model import BacktestRequest
from tbot_bot.backtest.sweep import sweep
from tbot_bot.backtest.sweep_crew import cores, local_crew
from tbot_bot.backtest.sweep_grid import Grid, read_grid

FIRST, LAST = date(2023, 1, 1), date(2024, 12, 31)
_LOOK_SECONDS = 0.2
_KIBIBYTES = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # not with the module: workers import it, and their kernels are to come from the cache as a user's do
        from benchmarks.bench_array_engine import write  # noqa: PLC0415
        from benchmarks.tape_of_arrays import tape_of_arrays  # noqa: PLC0415

        home = Path(folder)
        arrays = tape_of_arrays(given.symbols, given.days, given.seed)
        write(arrays, home / "bars.parquet")
        print(
            f"{given.symbols} symbols x {given.days} days, {arrays.bars:,} bars, arrays of "
            f"{arrays.nbytes / 2**20:,.0f} MiB, {given.sets} sets, {cores()} processors, seed {given.seed}"
        )
        del arrays
        request = BacktestRequest(home=home, data=home / "bars.parquet", first=FIRST, last=LAST, cache=home / "cache")
        warm_up(request)
        grid = read_grid([f"STRAT_OPEN_BUFFER=0.0101:{0.01 + given.sets / 10_000:.4f}:0.0001"], {})
        assert len(grid) == given.sets
        for jobs in (2, 1):
            measured(request, grid, home / f"by-{jobs}", jobs)


def warm_up(request: BacktestRequest) -> None:
    """Decode the data and compile, in a process that keeps both in the cache."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=run_once, args=(request,))
    process.start()
    process.join()
    assert process.exitcode == 0


def run_once(request: BacktestRequest) -> None:
    """Run one set."""
    DataSet(request.data, cache=request.cache).run(request)


def measured(request: BacktestRequest, grid: Grid, folder: Path, jobs: int) -> None:
    """Run the sweep by `jobs` processes and print what it took; the first set is begun cold and counted apart."""
    reached: list[float] = []
    peaks: dict[int, tuple[int, int]] = {}
    over = threading.Event()
    watcher = threading.Thread(target=watch, args=(over, peaks))
    watcher.start()
    began = time.perf_counter()
    made = sweep(
        request, grid, folder, lambda errand: local_crew(errand, jobs),
        progress=lambda _done, _of, _known: reached.append(time.perf_counter()),
    )  # fmt: skip
    took = time.perf_counter() - began
    over.set()
    watcher.join()
    pace = (len(reached) - 2) / (reached[-1] - reached[1])
    best = made.summary.best[0].performance
    print(
        f"{jobs} process{'es' if jobs > 1 else ''}: {took:.1f} s in all, {len(grid) / took:.2f} sets/s; "
        f"{pace:.2f} sets/s once begun, {reached[1] - began:.1f} s to the first set, "
        f"{took - (reached[-1] - began):.1f} s for tables and page; {best.trades.trades} trades of the best"
    )
    if jobs == 1:
        print(
            f"  peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIBIBYTES:,.0f} MiB"
        )
    for number, (whole, own) in enumerate(sorted(peaks.values(), reverse=True)[:jobs] if jobs > 1 else [], 1):
        print(f"  worker {number}: {whole / _KIBIBYTES:,.0f} MiB at most, of which its own {own / _KIBIBYTES:,.0f} MiB")


def watch(over: threading.Event, peaks: dict[int, tuple[int, int]]) -> None:
    """Note the most memory of each worker, in KiB: resident, and what is not shared with files (Linux only)."""
    while not over.wait(_LOOK_SECONDS):
        told = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,rss=,args="], capture_output=True, text=True, check=False)  # noqa: S607
        for line in told.stdout.splitlines():
            pid, rss, args = line.split(None, 2)
            if "multiprocessing.spawn" in args and is_ours(int(pid)):
                known = peaks.get(int(pid), (0, 0))
                peaks[int(pid)] = max(known[0], int(rss)), max(known[1], own_kibibytes(int(pid), int(rss)))


def is_ours(pid: int) -> bool:
    """Return whether `pid` is a child of this process."""
    told = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return told.stdout.strip() == str(os.getpid())


def own_kibibytes(pid: int, rss: int) -> int:
    """Return what of the memory of `pid` is its own; all of it where nobody tells."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return rss
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), rss)


if __name__ == "__main__":
    main()
