"""What is wrong with bars: holes, repeats, bad prices, bars at odd times, splits that nobody adjusted for.

Each kind has a count, its worst examples and a verdict. "never": no backtest runs on it. "refused": none does unless
`--accept-data` says so. "noted": told, and no more. The limits stand in `KINDS`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.bar_arrays import bar_files_of
from tbot_bot.backtest.bar_rows import why_unsound
from tbot_bot.backtest.data_set import BARS_FILE, MANIFEST_FILE, digest_of, manifest_of
from tbot_bot.backtest.market_hours import Hours, hours_of
from tbot_bot.backtest.price_jumps import BadPrint, Jump, bad_prints, unadjusted_splits
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.instants import MINUTE, Instant, iso
from tbot_bot.marketdata import bar_files
from tbot_bot.marketdata.bar_checks import infer_span, sorting
from tbot_bot.marketdata.bar_files import Columns

Mask = NDArray[np.bool_]
_EPOCH: Final = date(1970, 1, 1)
_FOREVER: Final = 2**62
EXAMPLES: Final = 5


class Kind(StrEnum):
    """What can be wrong."""

    UNREADABLE = "unreadable"
    CHANGED = "changed"
    DUPLICATES = "duplicates"
    UNSORTED = "unsorted"
    BAD_PRICES = "bad_prices"
    OFF_MINUTE = "off_minute"
    NIGHT = "night"
    CLOSED = "closed_market"
    SPLITS = "unadjusted_splits"
    OUTLIERS = "outliers"
    HOLES = "holes"
    ABSENT_DAYS = "absent_days"
    SILENT = "no_volume"
    EXTENDED = "extended_hours"


class Verdict(StrEnum):
    """What a finding comes to."""

    FINE = "fine"
    NOTED = "noted"
    REFUSED = "refused"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a kind is judged."""

    says: str
    never: bool = False
    """Whether no backtest can run on it."""
    share: float = 1.0
    """Of what there is, the part from which it is refused."""
    of: str = ""
    """Of what the share is, in words."""


KINDS: Final[dict[Kind, Rule]] = {
    Kind.UNREADABLE: Rule(says="a file that cannot be read", never=True),
    Kind.CHANGED: Rule(says="bars that are not those the manifest tells of", share=0.0),
    Kind.DUPLICATES: Rule(says="bars that stand there twice", never=True),
    Kind.UNSORTED: Rule(says="rows in no order", never=True),
    Kind.BAD_PRICES: Rule(says="prices or volumes that cannot be", never=True),
    Kind.OFF_MINUTE: Rule(says="bars that begin between two minutes", never=True),
    Kind.NIGHT: Rule(says="bars outside 04:00 to 20:00 New York: not of US equities", never=True),
    Kind.CLOSED: Rule(says="bars of weekends and holidays", share=0.0),
    Kind.SPLITS: Rule(says="jumps overnight as of a split that was not adjusted for", share=0.0),
    Kind.OUTLIERS: Rule(says="prices far from the minutes before and after", share=0.0005, of="bars"),
    Kind.HOLES: Rule(says="minutes of a session without a bar", share=0.2, of="minutes"),
    Kind.ABSENT_DAYS: Rule(says="days of a symbol without any bar, between its first and last", share=0.2, of="days"),
    Kind.SILENT: Rule(says="days of a symbol without any volume; such a day is left out"),
    Kind.EXTENDED: Rule(says="bars before the opening or after the closing bell"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One finding, the worse the larger `size`."""

    where: str
    """Symbol and time, or a file."""
    what: str
    size: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one kind."""

    kind: Kind
    count: int
    of: int
    """Among how many; 0 where no share is asked for."""
    verdict: Verdict
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What a check came to."""

    source: str
    bars: int
    symbols: int
    sessions: int
    first: Instant | None
    last: Instant | None
    findings: tuple[Finding, ...]
    """One of each kind, in the order of `KINDS`."""
    notices: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Return the gravest verdict."""
        order = list(Verdict)
        return max((finding.verdict for finding in self.findings), key=order.index, default=Verdict.FINE)

    def of(self, *verdicts: Verdict) -> tuple[Finding, ...]:
        """Return what was found with one of these verdicts."""
        return tuple(finding for finding in self.findings if finding.verdict in verdicts)


@dataclass(slots=True)
class _Counted:
    count: int = 0
    of: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, count: int, examples: Iterator[Example] | Sequence[Example] = ()) -> None:
        self.count += count
        self.examples = sorted([*self.examples, *examples], key=lambda one: -one.size)[:EXAMPLES]


class _Check:
    """The findings so far."""

    def __init__(self) -> None:
        self.found: Final = {kind: _Counted() for kind in KINDS}
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
        self.days.update(hours.days.tolist())
        edges = np.append(np.flatnonzero(np.diff(rows.codes)) + 1, len(rows.codes)).tolist()
        begin = 0
        for end in edges:
            part = slice(begin, end)
            _Symbol(self.found, rows.names[int(rows.codes[begin])], rows, part, hours.part(part), span).look()
            begin = end


@dataclass(frozen=True, slots=True)
class _Symbol:
    """One symbol of one file."""

    found: dict[Kind, _Counted]
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
        self._bad_prints(bad_prints(ts[regular], opened[regular], high[regular], low[regular], close[regular]))
        self._splits(unadjusted_splits(self.hours.day[regular], opened[regular], close[regular]))
        self._days(ts[regular], self.hours.day[regular], volume[regular])

    def _tell(self, kind: Kind, bad: Mask, what: Callable[[int], str], *, examples: bool = True) -> None:
        count = int(np.count_nonzero(bad))
        if count:
            rows = np.flatnonzero(bad)[: EXAMPLES if examples else 0].tolist()
            ts = self.rows.ts[self.part]
            made = [Example(where=f"{self.name} {iso(Instant(int(ts[row])))}", what=what(row)) for row in rows]
            self.found[kind].add(count, made)

    def _bad_prints(self, found: Sequence[BadPrint]) -> None:
        self.found[Kind.OUTLIERS].add(
            len(found),
            [Example(where=f"{self.name} {iso(Instant(one.ts))}", what=str(one), size=one.size) for one in found],
        )

    def _splits(self, found: Sequence[Jump]) -> None:
        examples = [
            Example(where=f"{self.name} {_day(one.day)}", what=str(one), size=max(one.ratio, 1 / one.ratio))
            for one in found
        ]
        self.found[Kind.SPLITS].add(len(found), examples)

    def _days(self, ts: NDArray[np.int64], day: NDArray[np.int64], volume: NDArray[np.float64]) -> None:
        """Count the bars of each session, and the sessions."""
        begin = np.append(0, np.flatnonzero(np.diff(day)) + 1)
        number = np.diff(np.append(begin, len(day)))
        days = day[begin]
        expected = self.hours.lengths_of(days) // self.span
        missing = np.maximum(expected - number, 0)
        self.found[Kind.HOLES].of += int(expected.sum())
        worst = np.argsort(-missing, kind="stable")[:EXAMPLES].tolist()
        examples = [
            Example(
                where=f"{self.name} {_day(int(days[one]))}",
                what=f"{int(missing[one])} of {int(expected[one])} missing{_longest(ts, begin, one, self.span)}",
                size=float(missing[one]),
            )
            for one in worst
            if missing[one]
        ]
        self.found[Kind.HOLES].add(int(missing.sum()), examples)
        between = self.hours.sessions_between(int(days[0]), int(days[-1]))
        absent = sorted(set(between) - set(days.tolist()))
        self.found[Kind.ABSENT_DAYS].of += len(between)
        if absent:
            what = f"{len(absent)} of {len(between)} days, first {_day(absent[0])}"
            self.found[Kind.ABSENT_DAYS].add(
                len(absent), [Example(where=self.name, what=what, size=float(len(absent)))]
            )
        silent = days[np.add.reduceat(volume, begin) == 0].tolist()
        if silent:
            what = f"{len(silent)} of {len(days)} days, first {_day(silent[0])}"
            self.found[Kind.SILENT].add(len(silent), [Example(where=self.name, what=what, size=float(len(silent)))])


def _longest(ts: NDArray[np.int64], begin: NDArray[np.int64], one: int, span: int) -> str:
    """Say which hole between two bars of a session is the longest."""
    end = int(begin[one + 1]) if one + 1 < len(begin) else len(ts)
    here = ts[int(begin[one]) : end]
    gaps = np.diff(here)
    if not gaps.size or int(gaps.max()) <= span:
        return ""
    at = int(np.argmax(gaps))
    return f", the longest from {iso(Instant(int(here[at] + span)))[11:16]} on: {int(gaps[at] // span) - 1} in a row"


def _why(opened: float, high: float, low: float, close: float, volume: float) -> str:
    if not all(np.isfinite((opened, high, low, close, volume))):
        return f"not finite: open {opened:g}, high {high:g}, low {low:g}, close {close:g}, volume {volume:g}"
    return why_unsound(opened, high, low, close, volume)


def _day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).isoformat()


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


def check_data(source: Path, progress: Callable[[int, int, str], None] = lambda _done, _of, _words: None) -> DataReport:
    """Look at all bars of `source`, a file or a folder; `progress` hears of each file.

    Raises:
        DataError: no such path, or no bar file in it.
    """
    paths, notices = bar_files_of(source)
    check = _Check()
    manifest = manifest_of(source)
    if manifest is not None and digest_of(source / BARS_FILE) != manifest.digest:
        what = f"SHA-256 is not the one in {MANIFEST_FILE}: the file was edited, or another stands in its place"
        check.found[Kind.CHANGED].add(1, [Example(where=BARS_FILE, what=what)])
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
        findings=tuple(_judged(kind, counted) for kind, counted in check.found.items()),
        notices=tuple(notices),
    )


def _judged(kind: Kind, counted: _Counted) -> Finding:
    rule = KINDS[kind]
    if not counted.count:
        verdict = Verdict.FINE
    elif rule.never:
        verdict = Verdict.NEVER
    elif rule.share < 1 and counted.count > rule.share * counted.of:
        verdict = Verdict.REFUSED
    else:
        verdict = Verdict.NOTED
    return Finding(kind=kind, count=counted.count, of=counted.of, verdict=verdict, examples=tuple(counted.examples))


__all__ = ["EXAMPLES", "KINDS", "DataReport", "Example", "Finding", "Kind", "Rule", "Verdict", "check_data"]
