"""How fast the journal and the tape are: `python benchmarks/bench_journal.py [FOLDER]`; medians of several rounds."""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tbot_bot.core.bars import Bar
from tbot_bot.core.identity import Mode
from tbot_bot.journal.store import Entry, Journal, Kind
from tbot_bot.journal.tape import TapeReader, TapeWriter
from tbot_bot.journal.verify import verify

ROUNDS = 5
SINGLES = 2_000
BATCHES, BATCH = 100, 100
MINUTE = 60_000_000_000


def entry(number: int) -> Entry:
    payload = '{"_":"Note","text":"' + "x" * 120 + '"}'
    return Entry(at=number, recorded_at=number, kind=Kind.INPUT, payload=payload, session="2025-09-02/open")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def append_all(journal: Journal, batches: Sequence[Sequence[Entry]]) -> None:
    for batch in batches:
        journal.append(batch)


def market(symbols: int, steps: int) -> list[tuple[Bar, ...]]:
    """Return `steps` grids of bars with prices in cents that walk at random."""
    draw = random.Random(1)  # noqa: S311 - a benchmark
    closes = [draw.uniform(5, 300) for _ in range(symbols)]
    grids = []
    for step in range(steps):
        grid = []
        for number, before in enumerate(closes):
            closes[number] = close = round(before * (1 + draw.gauss(0, 0.001)), 2)
            first, high, low = round(before, 2), round(max(before, close), 2), round(min(before, close), 2)
            volume = float(draw.randrange(100, 100_000))
            grid.append(Bar(f"S{number:04d}", step * MINUTE, (step + 1) * MINUTE, first, high, low, close, volume))
        grids.append(tuple(grid))
    return grids


def bench_journal(folder: Path) -> None:
    singles: list[float] = []
    batched: list[float] = []
    for round_ in range(ROUNDS):
        with Journal.open(folder / f"{round_}.sqlite3", Mode.PAPER) as journal:
            singles += [seconds(partial(journal.append, [entry(n)])) for n in range(SINGLES)]
            batch = [entry(number) for number in range(BATCH)]
            batched.append(seconds(partial(append_all, journal, [batch] * BATCHES)))
    singles.sort()
    p50, p99 = singles[len(singles) // 2], singles[len(singles) * 99 // 100]
    print(
        f"durable single appends   {len(singles) / sum(singles):>12,.0f} /s"
        f"   p50 {p50 * 1e3:.3f} ms   p99 {p99 * 1e3:.3f} ms"
    )
    print(f"rows in batches of {BATCH}   {BATCHES * BATCH / statistics.median(batched):>12,.0f} rows/s")
    verified = [seconds(lambda: verify(folder / "0.sqlite3")) for _ in range(ROUNDS)]
    print(f"verification             {(SINGLES + BATCHES * BATCH) / statistics.median(verified):>12,.0f} rows/s")


def bench_tape(folder: Path, symbols: int) -> None:
    grids = market(symbols, 100_000 // symbols)
    count = symbols * len(grids)
    path = folder / f"{symbols}.tape"

    def write() -> None:
        path.unlink(missing_ok=True)
        with TapeWriter(path, "2025-09-02/open") as tape:
            for number, grid in enumerate(grids, 1):
                tape.append(number, grid[0].end, grid)

    def read() -> None:
        for _ in TapeReader(path):
            pass

    written = statistics.median(seconds(write) for _ in range(ROUNDS))
    reading = statistics.median(seconds(read) for _ in range(ROUNDS))
    size = path.stat().st_size / count
    print(
        f"tape, {symbols:>4} bars a frame  {count / written:>12,.0f} bars/s written"
        f"   {count / reading:>12,.0f} bars/s read   {size:.1f} bytes a bar"
    )


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        bench_journal(folder)
        for symbols in (10, 100, 1000):
            bench_tape(folder, symbols)


if __name__ == "__main__":
    main()
