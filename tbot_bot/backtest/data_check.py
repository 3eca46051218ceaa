"""What is wrong with bars: holes, repeats, bad prices, bars at odd times, splits that nobody adjusted for.

Large files are looked at as they are read (`parquet_rows`); what that passes over as unusual, and all other files, are
looked at here symbol by symbol, so that every fault is named. Both find the same; a test holds them together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.bar_arrays import bar_files_of
from tbot_bot.backtest.bar_rows import why_unsound
from tbot_bot.backtest.data_findings import (
    EXAMPLES,
    KINDS,
    Counted,
    DataReport,
    Example,
    Finding,
    Kind,
    Rule,
    Verdict,
    changed_example,
    days_example,
    hole_example,
    judged,
    longest_hole,
    none_yet,
    print_examples,
    split_examples,
)
from tbot_bot.backtest.data_set import BARS_FILE, MANIFEST_FILE, digest_of, manifest_of
from tbot_bot.backtest.market_hours import Hours, hours_of
from tbot_bot.backtest.parquet_rows import swept
from tbot_bot.backtest.price_jumps import bad_prints, unadjusted_splits
from tbot_bot.backtest.swept_check import report_of_swept
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.instants import MINUTE, Instant, iso
from tbot_bot.marketdata import bar_files
from tbot_bot.marketdata.bar_checks import infer_span, sorting
from tbot_bot.marketdata.bar_files import Columns

Mask = NDArray[np.bool_]
Progress = Callable[[int, int, str], None]
_FOREVER: Final = 2**62


class _Check:
    """The findings so far."""

    def __init__(self) -> None:
        self.found: Final = none_yet()
        self.bars = 0
        self.symbols: Final[set[str]] = set()
        self.days: Final[set[int]] = set()
        self.first, self.last = _FOREVER, 0

    def file(self, path: Path) -> None:
        """Look at one file."""
        try:
            columns = bar_files.read_minutes(path, 0, _FOREVER)
        except DataError as error:
            self.found[Kind.UNREADABLE].add(1, [Example(where=path.name, what=str(error))])
            return
        if not len(columns.ts):
            return
        self.bars += len(columns.ts)
        self.symbols.update(columns.names[code] for code in np.unique(columns.codes).tolist())
        self.first, self.last = min(self.first, int(columns.ts.min())), max(self.last, int(columns.ts.max()))
        span = _span(path, columns)
        order = _grouping(columns)
        if order is None:
            self.found[Kind.UNSORTED].add(1, [Example(where=path.name, what="neither by symbol, ts nor by ts, symbol")])
        where = sorting(columns)
        rows = columns if where is None else columns.pick(where)
        hours = hours_of(rows.ts)
        self.days.update(np.unique(hours.day[hours.regular | hours.extended]).tolist())
        edges = np.append(np.flatnonzero(np.diff(rows.codes)) + 1, len(rows.codes)).tolist()
        begin = 0
        for end in edges:
            part = slice(begin, end)
            _Symbol(self.found, rows.names[int(rows.codes[begin])], rows, part, hours.part(part), span).look()
            begin = end


@dataclass(frozen=True, slots=True)
class _Symbol:
    """One symbol of one file."""

    found: dict[Kind, Counted]
    name: str
    rows: Columns
    part: slice
    hours: Hours
    span: int

    def look(self) -> None:
        """Look for everything."""
        ts = self.rows.ts[self.part]
        opened, high, low, close = (
            values[self.part] for values in (self.rows.open, self.rows.high, self.rows.low, self.rows.close)
        )
        volume = self.rows.volume[self.part]
        good = np.isfinite(opened) & np.isfinite(high) & np.isfinite(low) & np.isfinite(close) & np.isfinite(volume)
        good &= (low > 0) & (high >= np.maximum(opened, close)) & (low <= np.minimum(opened, close))
        good &= (volume >= 0) & (volume == np.floor(volume))
        self._tell(
            Kind.BAD_PRICES, ~good, lambda row: _why(*(float(a[row]) for a in (opened, high, low, close, volume)))
        )
        self._tell(Kind.OFF_MINUTE, ts % MINUTE != 0, lambda _: "")
        self._tell(Kind.DUPLICATES, np.append(False, ts[1:] == ts[:-1]), lambda _: "")
        self._tell(Kind.NIGHT, self.hours.night, self.hours.why_closed)
        self._tell(Kind.CLOSED, self.hours.closed, self.hours.why_closed)
        self._tell(Kind.EXTENDED, self.hours.extended, lambda _: "", examples=False)
        regular = np.flatnonzero(self.hours.regular & good)
        if not regular.size:
            return
        self.found[Kind.OUTLIERS].of += int(regular.size)
        prints = bad_prints(ts[regular], opened[regular], high[regular], low[regular], close[regular])
        self.found[Kind.OUTLIERS].add(len(prints), print_examples(self.name, prints))
        jumps = unadjusted_splits(self.hours.day[regular], opened[regular], close[regular])
        self.found[Kind.SPLITS].add(len(jumps), split_examples(self.name, jumps))
        self._days(ts[regular], self.hours.day[regular], volume[regular])

    def _tell(self, kind: Kind, bad: Mask, what: Callable[[int], str], *, examples: bool = True) -> None:
        count = int(np.count_nonzero(bad))
        if count:
            rows = np.flatnonzero(bad)[: EXAMPLES if examples else 0].tolist()
            ts = self.rows.ts[self.part]
            made = [Example(where=f"{self.name} {iso(Instant(int(ts[row])))}", what=what(row)) for row in rows]
            self.found[kind].add(count, made)

    def _days(self, ts: NDArray[np.int64], day: NDArray[np.int64], volume: NDArray[np.float64]) -> None:
        """Count the bars of each session, and the sessions."""
        begin = np.append(0, np.flatnonzero(np.diff(day)) + 1)
        number = np.diff(np.append(begin, len(day)))
        days = day[begin]
        expected = self.hours.lengths_of(days) // self.span
        missing = np.maximum(expected - number, 0)
        self.found[Kind.HOLES].of += int(expected.sum())
        stop = np.append(begin[1:], len(ts))
        worst = np.argsort(-missing, kind="stable")[:EXAMPLES].tolist()
        examples = [
            hole_example(
                self.name,
                int(days[one]),
                int(missing[one]),
                int(expected[one]),
                longest_hole(ts[begin[one] : stop[one]], self.span),
            )
            for one in worst
            if missing[one]
        ]
        self.found[Kind.HOLES].add(int(missing.sum()), examples)
        between = self.hours.sessions_between(int(days[0]), int(days[-1]))
        absent = sorted(set(between) - set(days.tolist()))
        self.found[Kind.ABSENT_DAYS].of += len(between)
        if absent:
            made = days_example(self.name, len(absent), len(between), absent[0])
            self.found[Kind.ABSENT_DAYS].add(len(absent), [made])
        silent = days[np.add.reduceat(volume, begin) == 0].tolist()
        if silent:
            made = days_example(self.name, len(silent), len(days), silent[0])
            self.found[Kind.SILENT].add(len(silent), [made])


def _why(opened: float, high: float, low: float, close: float, volume: float) -> str:
    if not all(np.isfinite((opened, high, low, close, volume))):
        return f"not finite: open {opened:g}, high {high:g}, low {low:g}, close {close:g}, volume {volume:g}"
    return why_unsound(opened, high, low, close, volume)


def _span(path: Path, columns: Columns) -> int:
    try:
        return infer_span(path, columns)
    except DataError:  # told as a finding of its own
        return MINUTE


def _grouping(columns: Columns) -> bool | None:
    """Return None where the rows stand in neither of the two orders that count as sorted."""
    back = columns.ts[1:] < columns.ts[:-1]
    if not back.any():
        return True
    changes = columns.codes[1:] != columns.codes[:-1]
    grouped = int(np.count_nonzero(changes)) + 1 == len(np.unique(columns.codes)) and not (back & ~changes).any()
    return True if grouped else None


def check_data(source: Path, progress: Progress = lambda _done, _of, _words: None) -> DataReport:
    """Look at all bars of `source`, a file or a folder; `progress` hears of each file.

    Raises:
        DataError: no such path, or no bar file in it.
    """
    paths, notices = bar_files_of(source)
    differs = differs_from_manifest(source, digest_of)
    progress(0, len(paths), f"checking {paths[0].name}")
    found = swept(paths)
    report = None if found is None else report_of_swept(source, found, notices, changed=differs)
    return report or look_at(source, paths, notices, progress, changed=differs)


def differs_from_manifest(source: Path, digest: Callable[[Path], str]) -> bool:
    """Return whether `source` is a data set whose bars are not those of its manifest; `digest` is SHA-256 of a file."""
    manifest = manifest_of(source)
    return manifest is not None and digest(source / BARS_FILE) != manifest.digest


def look_at(
    source: Path, paths: Sequence[Path], notices: Sequence[str], progress: Progress, *, changed: bool
) -> DataReport:
    """Look at the bars of `paths` symbol by symbol."""
    check = _Check()
    if changed:
        check.found[Kind.CHANGED].add(1, [changed_example(BARS_FILE, MANIFEST_FILE)])
    for done, path in enumerate(paths):
        progress(done, len(paths), f"checking {path.name}")
        check.file(path)
    return DataReport(
        source=str(source),
        bars=check.bars,
        symbols=len(check.symbols),
        sessions=len(check.days),
        first=Instant(check.first) if check.bars else None,
        last=Instant(check.last) if check.bars else None,
        findings=judged(check.found),
        notices=tuple(notices),
    )


__all__ = [
    "EXAMPLES", "KINDS", "DataReport", "Example", "Finding", "Kind", "Rule", "Verdict", "check_data",
    "differs_from_manifest", "look_at",
]  # fmt: skip
