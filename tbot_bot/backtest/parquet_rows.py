"""Large Parquet files read straight into arrays, row groups on all cores, each row looked at once on the way.

What is read is what engines and checks expect: sorted, whole, no bar twice. Where anything is out of the ordinary
nothing is returned; the plain reader then tells what is wrong, or copes with it.
"""

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tbot_bot.backtest.market_hours import hours_between
from tbot_bot.core.instants import HOUR, MINUTE
from tbot_bot.marketdata.bar_files import PRICES, TIME_NAMES

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = tuple[Integers, Floats, Floats, Floats, Floats, Floats]
Room = Callable[[int], Rows]
"""Makes place for so many rows."""

ROWS_MIN: Final = 1_000_000
"""With fewer rows the plain reader is as fast as what would have to be compiled first."""
_BATCH: Final = 1 << 17
_NAMES_MAX: Final = 1 << 16
_UNITS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_LAST: Final = 2**62
_TASKS: Final = 16


class _UnusualRows(Exception):
    """The rows are not as the loops expect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptFile:
    """What one file holds, by symbol and day; symbols are places in `Swept.names`."""

    name: str
    symbols: Integers
    """Those that occur, ascending."""
    begin: Integers
    """First row of each."""
    stop: Integers
    days: Integers
    """New York dates from the first to the last, days since 1970."""
    hours: Integers
    """4 x days: end of the night, opening and closing bell (0: closed), end of the evening."""
    counts: Integers
    """symbols x days: regular bars; the same for all below."""
    shares: Floats
    opens: Floats
    """First open of the session."""
    closes: Floats
    """Its last close."""
    present: Integers
    """By day: 1 where there is any bar."""
    extended: Integers
    """By symbol: bars outside the session."""
    closed: Integers
    """By symbol: bars of days without a session."""
    doubtful: Integers
    """By symbol: 1 where a price may be out of line."""
    span: int
    """Nanoseconds of a bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """All rows of some files by symbol, a file after another."""

    names: tuple[str, ...]
    """Sorted."""
    rows: Rows
    begin: Integers
    """First row of each symbol."""
    stop: Integers
    files: tuple[SweptFile, ...]
    ordered: bool
    """Whether each symbol's bars ascend from file to file."""


@dataclass(slots=True, kw_only=True)
class _Group:
    """One row group on its way."""

    file: int
    path: Path
    number: int
    metadata: pq.FileMetaData
    codes: NDArray[np.uint16] = field(default_factory=lambda: np.empty(0, np.uint16))
    counts: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    runs: int = 0
    cursor: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    seen: list[int] = field(default_factory=list)
    """First, last, least and greatest time, and how often it went back."""

    @property
    def rows(self) -> int:
        return int(self.metadata.row_group(self.number).num_rows)

    def open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path, metadata=self.metadata, read_dictionary=["symbol"])


class _Names:
    """Numbers for symbols, as they come."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._lock = Lock()

    def of(self, dictionary: pa.Array) -> Integers:
        names = dictionary.to_pylist()
        if any(not name for name in names):
            raise _UnusualRows
        with self._lock:
            found = [self._codes.setdefault(str(name), len(self._codes)) for name in names]
        if len(self._codes) > _NAMES_MAX:
            raise _UnusualRows
        return np.array(found, dtype=np.int64)

    def __iter__(self) -> Iterator[str]:
        return iter(self._codes)

    def __len__(self) -> int:
        return len(self._codes)


def workers() -> int:
    """Return how many threads have a core to run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def swept(paths: Sequence[Path], rows_min: int = ROWS_MIN, room: Room | None = None) -> Swept | None:
    """Return the bars of `paths` in `room`, else in memory; None where they are few, or not as the loops expect."""
    try:
        groups = _groups(paths)
        if sum(group.rows for group in groups) < max(rows_min, 1):
            return None
        pool = ThreadPoolExecutor(workers())
        try:
            return _swept(paths, groups, pool, room or _memory)
        finally:
            pool.shutdown(cancel_futures=True)
    except (_UnusualRows, OSError, ValueError, OverflowError, pa.ArrowException):
        return None  # the plain reader finds it again, and has the words for it


def _memory(rows: int) -> Rows:
    """Return columns in memory of small pages: large ones cost virtual machines more to clear than they ever save."""
    columns = []
    for kind in (np.int64, *(np.float64,) * 5):
        held = mmap.mmap(-1, max(rows * 8, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        columns.append(np.frombuffer(held, dtype=kind, count=rows))
    return cast("Rows", tuple(columns))


def _groups(paths: Sequence[Path]) -> list[_Group]:
    found = []
    for number, path in enumerate(paths):
        if path.suffix.lower() != ".parquet":
            raise _UnusualRows
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
        found += [
            _Group(file=number, path=path, number=group, metadata=metadata) for group in range(metadata.num_row_groups)
        ]
    return found


def _swept(paths: Sequence[Path], groups: list[_Group], pool: ThreadPoolExecutor, room: Room) -> Swept:
    known = _Names()
    _together(pool, lambda group: _take_codes(group, known), groups)
    # places[code] is where the symbol stands among the sorted names
    order = sorted(range(len(known)), key=list(known).__getitem__)
    names = tuple(np.array(list(known), dtype=object)[order])
    counts = np.zeros((len(groups), len(known)), np.int64)
    for row, group in zip(counts, groups, strict=True):
        row[: len(group.counts)] = group.counts
    by_symbol = counts.sum(axis=0)[order]
    stop = np.cumsum(by_symbol)
    begin = stop - by_symbol
    first = np.empty(len(known), np.int64)
    first[order] = begin
    cursors = first + np.cumsum(counts, axis=0) - counts
    for group, cursor in zip(groups, cursors, strict=True):
        group.cursor = cursor.copy()
    rows = room(int(stop[-1]))
    _together(pool, lambda group: _take_rows(group, rows), groups)
    files = []
    for number, path in enumerate(paths):
        own = [place for place, group in enumerate(groups) if group.file == number]
        if not own:
            continue
        _require_an_order([groups[place] for place in own])
        begins, ends = cursors[own[0]][order], (cursors[own[-1]] + counts[own[-1]])[order]
        here = np.flatnonzero(ends > begins)
        least, most = min(groups[place].seen[2] for place in own), max(groups[place].seen[3] for place in own)
        files.append(_sweep(path.name, here, begins[here], ends[here], rows, (least, most), pool))
    return Swept(
        names=names,
        rows=rows,
        begin=begin,
        stop=stop,
        files=tuple(files),
        ordered=_ascend(rows[0], files, len(names)),
    )


def _together(pool: ThreadPoolExecutor, work: Callable[[_Group], None], groups: Sequence[_Group]) -> None:
    waiting: list[Future[None]] = [pool.submit(work, group) for group in groups]
    for one in waiting:
        one.result()


def _take_codes(group: _Group, known: _Names) -> None:
    """Read which row is whose."""
    from tbot_bot.backtest.row_kernels import tally_codes  # noqa: PLC0415 - compiles

    group.codes = np.empty(group.rows, np.uint16)
    counts = np.zeros(_NAMES_MAX, np.int64)
    done, before = 0, -1
    with group.open() as file:
        for batch in file.iter_batches(_BATCH, row_groups=[group.number], columns=["symbol"], use_threads=False):
            column = batch.column(0)
            if column.null_count or not pa.types.is_dictionary(column.type):
                raise _UnusualRows
            indices = np.asarray(column.indices.cast(pa.int32()))
            part = group.codes[done : done + len(indices)]
            group.runs += tally_codes(indices, known.of(column.dictionary), part, counts, before)
            done, before = done + len(indices), int(part[-1]) if len(part) else before
    group.counts = counts[: len(known)].copy()


def _take_rows(group: _Group, rows: Rows) -> None:
    """Read times and numbers, and put them in their places."""
    from tbot_bot.backtest.row_kernels import spread  # noqa: PLC0415 - compiles

    seen = np.array([0, -_LAST, _LAST, -_LAST, 0], np.int64)
    done = 0
    with group.open() as file:
        when = next(name for name in TIME_NAMES if name in file.schema_arrow.names)
        kind = file.schema_arrow.field(when).type
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            raise _UnusualRows
        columns = [when, *PRICES, "volume"]
        for batch in file.iter_batches(_BATCH, row_groups=[group.number], columns=columns, use_threads=False):
            times = np.asarray(batch.column(when).view(pa.int64()))
            numbers = tuple(_numbers(batch.column(name)) for name in (*PRICES, "volume"))
            if not len(times) or batch.column(when).null_count:
                raise _UnusualRows
            if not done:
                seen[0] = times[0]
            codes = group.codes[done : done + len(times)]
            spread(codes, group.cursor, _UNITS[kind.unit], times, numbers, rows, seen)
            done += len(times)
    unit = _UNITS[kind.unit]
    group.seen = [value * unit for value in seen[:4].tolist()] + [int(seen[4])]
    if done != len(group.codes) or not 0 <= group.seen[2] <= group.seen[3] < _LAST:
        raise _UnusualRows
    group.codes = group.codes[[0, -1]]  # all that is still asked for


def _numbers(column: pa.Array) -> Floats:
    if column.null_count:
        raise _UnusualRows
    return np.asarray(column.cast(pa.float64()))


def _require_an_order(groups: Sequence[_Group]) -> None:
    """Refuse rows that are neither sorted by symbol and time nor by time and symbol."""
    pairs = list(pairwise(groups))
    runs = sum(group.runs for group in groups) - sum(int(one.codes[1] == two.codes[0]) for one, two in pairs)
    longest = max(len(group.counts) for group in groups)
    counts = np.zeros(longest, np.int64)
    for group in groups:
        counts[: len(group.counts)] += group.counts
    if runs > np.count_nonzero(counts):
        back = sum(group.seen[4] for group in groups) + sum(two.seen[0] < one.seen[1] for one, two in pairs)
        if back:
            raise _UnusualRows


def _sweep(
    name: str,
    symbols: Integers,
    begin: Integers,
    stop: Integers,
    rows: Rows,
    times: tuple[int, int],
    pool: ThreadPoolExecutor,
) -> SweptFile:
    """Look at one file's rows, which stand in their places."""
    from tbot_bot.backtest.row_kernels import DISTANCES, sweep  # noqa: PLC0415 - compiles

    days, hours = hours_between(*times)
    shape = (len(symbols), len(days))
    counts, (shares, opens, closes) = np.zeros(shape, np.int64), np.zeros((3, *shape))
    found = np.zeros((len(symbols), 4), np.int64)
    parts = list(_parts(stop - begin))
    present = np.zeros((len(parts), len(days)), np.int64)
    distances = np.zeros((len(parts), DISTANCES + 1), np.int64)
    waiting = [
        pool.submit(
            sweep, begin[one], stop[one], rows, hours, counts[one], shares[one], opens[one], closes[one],
            present[place], distances[place], found[one],
        )
        for place, one in enumerate(parts)
    ]  # fmt: skip
    for task in waiting:
        task.result()
    if found[:, 0].any():
        raise _UnusualRows
    return SweptFile(
        name=name,
        symbols=symbols,
        begin=begin,
        stop=stop,
        days=days,
        hours=hours,
        counts=counts,
        shares=shares,
        opens=opens,
        closes=closes,
        present=present.max(axis=0),
        extended=found[:, 1],
        closed=found[:, 2],
        doubtful=found[:, 3],
        span=_span_of(distances.sum(axis=0), rows[0], begin, stop),
    )


def _parts(counts: Integers) -> Iterator[slice]:
    """Divide symbols into parts of about as many rows."""
    ends = np.cumsum(counts)
    cuts = np.searchsorted(ends, np.arange(1, _TASKS) * ends[-1] / _TASKS).tolist()
    edges = sorted({0, *cuts, len(counts)})
    for begin, stop in pairwise(edges):
        yield slice(begin, stop)


def _span_of(distances: Integers, start: Integers, begin: Integers, stop: Integers) -> int:
    """Return the length of a bar, as `bar_checks.infer_span` finds it."""
    from tbot_bot.backtest.row_kernels import on_grid  # noqa: PLC0415 - compiles

    within, longer = distances[:-1], int(distances[-1])
    total = int(within.sum())
    if not total:
        if longer:
            raise _UnusualRows
        return MINUTE
    if 2 * int(within[1]) >= total:
        return MINUTE
    span = int(np.argmax(within)) * MINUTE
    if span >= HOUR:
        raise _UnusualRows
    pieces = zip(begin.tolist(), stop.tolist(), strict=True)
    fits = HOUR % span == 0 and all(on_grid(start[one:two], span) for one, two in pieces)
    return span if fits else MINUTE


def _ascend(start: Integers, files: Sequence[SweptFile], symbols: int) -> bool:
    """Return whether the bars of each symbol in one file begin after those in the files before it."""
    last = np.full(symbols, -1, np.int64)
    for file in files:
        if bool((start[file.begin] <= last[file.symbols]).any()):
            return False
        last[file.symbols] = start[file.stop - 1]
    return True


__all__ = ["ROWS_MIN", "Swept", "SweptFile", "swept", "workers"]
