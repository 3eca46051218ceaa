"""What a check finds in rows that were looked at as they were read: the kinds that sound bars can have.

What no engine can read is not among them: such rows are never swept. Counts come out of the tables of symbols x days;
only where a price may be out of line, or a night may hide a split, are a symbol's own bars asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.data_findings import (
    EXAMPLES,
    Counted,
    DataReport,
    Kind,
    changed_example,
    days_example,
    hole_example,
    judged,
    longest_hole,
    none_yet,
    print_examples,
    split_examples,
)
from tbot_bot.backtest.data_set import BARS_FILE, MANIFEST_FILE
from tbot_bot.backtest.parquet_rows import Swept, SweptFile
from tbot_bot.backtest.price_jumps import bad_prints, may_be_splits, unadjusted_splits
from tbot_bot.core.instants import Instant

Integers = NDArray[np.int64]


def report_of_swept(source: Path, swept: Swept, notices: Sequence[str], *, changed: bool) -> DataReport | None:
    """Return the report; None where days without a session have bars, which want to be named one by one."""
    if any(file.closed.any() for file in swept.files):
        return None
    found = none_yet()
    if changed:
        found[Kind.CHANGED].add(1, [changed_example(BARS_FILE, MANIFEST_FILE)])
    days: set[int] = set()
    for file in swept.files:
        _File(found, swept, file).look()
        days.update(file.days[file.present > 0].tolist())
    start = swept.rows[0]
    return DataReport(
        source=str(source),
        bars=len(start),
        symbols=len(swept.names),
        sessions=len(days),
        first=Instant(int(start[swept.begin].min())),
        last=Instant(int(start[swept.stop - 1].max())),
        findings=judged(found),
        notices=tuple(notices),
    )


@dataclass(frozen=True, slots=True)
class _File:
    found: dict[Kind, Counted]
    swept: Swept
    file: SweptFile

    def look(self) -> None:
        """Count everything in one file."""
        file = self.file
        self.found[Kind.EXTENDED].add(int(file.extended.sum()))
        self.found[Kind.OUTLIERS].of += int(file.counts.sum())
        for symbol in np.flatnonzero(file.doubtful).tolist():
            rows = self._regular(symbol)
            start, opened, high, low, close, _ = self.swept.rows
            prints = bad_prints(start[rows], opened[rows], high[rows], low[rows], close[rows])
            self.found[Kind.OUTLIERS].add(len(prints), print_examples(self._name(symbol), prints))
        # one cell for each day on which a symbol has a session
        symbols, days = np.nonzero(file.counts)
        if len(symbols):
            self._splits(symbols, days)
            self._holes(symbols, days)
            self._absences(symbols, days)

    def _splits(self, symbols: Integers, days: Integers) -> None:
        file = self.file
        opens, closes = file.opens[symbols, days], file.closes[symbols, days]
        same = symbols[1:] == symbols[:-1]
        may = same & may_be_splits(np.diff(file.days[days]), closes[:-1], opens[1:])
        for symbol in np.unique(symbols[1:][may]).tolist():
            rows = self._regular(symbol)
            which = np.searchsorted(file.hours[0], self.swept.rows[0][rows], side="right") - 1
            jumps = unadjusted_splits(file.days[which], self.swept.rows[1][rows], self.swept.rows[4][rows])
            self.found[Kind.SPLITS].add(len(jumps), split_examples(self._name(symbol), jumps))

    def _holes(self, symbols: Integers, days: Integers) -> None:
        file = self.file
        expected = ((file.hours[2] - file.hours[1]) // file.span)[days]
        missing = np.maximum(expected - file.counts[symbols, days], 0)
        self.found[Kind.HOLES].of += int(expected.sum())
        examples = []
        for cell in np.argsort(-missing, kind="stable")[:EXAMPLES].tolist():
            if missing[cell]:
                symbol, day = int(symbols[cell]), int(days[cell])
                ts = self.swept.rows[0][self._regular(symbol)]
                ts = ts[(ts >= file.hours[1, day]) & (ts < file.hours[2, day])]
                longest = longest_hole(ts, file.span)
                number = int(file.days[day])
                made = hole_example(self._name(symbol), number, int(missing[cell]), int(expected[cell]), longest)
                examples.append(made)
        self.found[Kind.HOLES].add(int(missing.sum()), examples)

    def _absences(self, symbols: Integers, days: Integers) -> None:
        """Count the sessions without any bar, and those without any share."""
        file = self.file
        sessions = np.append(0, np.cumsum(file.hours[1] > 0))
        edges = np.append(np.flatnonzero(np.diff(symbols)) + 1, len(symbols)).tolist()
        silent = file.shares[symbols, days] == 0.0
        begin = 0
        for end in edges:
            here, symbol = days[begin:end], int(symbols[begin])
            first, last = int(here[0]), int(here[-1])
            between = int(sessions[last + 1] - sessions[first])
            self.found[Kind.ABSENT_DAYS].of += between
            if between > end - begin:
                whole = np.flatnonzero(file.hours[1, first : last + 1] > 0) + first
                gone = file.days[whole[~np.isin(whole, here)]]
                made = days_example(self._name(symbol), len(gone), between, int(gone[0]))
                self.found[Kind.ABSENT_DAYS].add(len(gone), [made])
            if silent[begin:end].any():
                quiet = file.days[here[silent[begin:end]]]
                made = days_example(self._name(symbol), len(quiet), end - begin, int(quiet[0]))
                self.found[Kind.SILENT].add(len(quiet), [made])
            begin = end

    def _regular(self, symbol: int) -> Integers:
        """Return the rows of a symbol (its place in the file) that are of a session."""
        file = self.file
        begin, stop = int(file.begin[symbol]), int(file.stop[symbol])
        ts = self.swept.rows[0][begin:stop]
        which = np.searchsorted(file.hours[0], ts, side="right") - 1
        return begin + np.flatnonzero((ts >= file.hours[1, which]) & (ts < file.hours[2, which]))

    def _name(self, symbol: int) -> str:
        return self.swept.names[int(self.file.symbols[symbol])]


__all__ = ["report_of_swept"]
