"""All bars of a data set as contiguous arrays: symbol by symbol, day by day, ready for compiled kernels.

Rows are pre-market and regular bars that end by the closing bell, sorted by symbol and time. Three tables of
symbols x days say where each day's rows lie. What days tell of later ones (closes, volumes) is kept beside them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tbot_bot.config.error_handler import DataError, TbotError
from tbot_bot.core.calendar import TradingDay, is_trading_day, new_york, trading_day
from tbot_bot.core.instants import MINUTE
from tbot_bot.marketdata import bar_files
from tbot_bot.marketdata.bar_checks import check_order, check_values, days_of, infer_span, sorting
from tbot_bot.marketdata.bar_files import Columns
from tbot_bot.marketdata.feed import FUNDAMENTALS_FILE

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_EPOCH: Final = date(1970, 1, 1)
_NIGHT_ENDS: Final = time(4, 0)
_EVENING_ENDS: Final = time(20, 0)
_FOREVER: Final = 2**62


class NotForArrays(TbotError):
    """The data cannot be held as one set of arrays; the message says why."""

    code = "NOT_FOR_ARRAYS"


@dataclass(frozen=True, slots=True, kw_only=True)
class BarArrays:
    """One data set. All arrays are read-only by convention: many parameter sets share them."""

    names: tuple[str, ...]
    """Symbols, sorted; rows of the tables."""
    days: tuple[date, ...]
    """Trading days with data, ascending; columns of the tables."""
    span: int
    """Nanoseconds of one bar."""
    start: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    first: Integers
    """symbols x days: the day's first row, pre-market included."""
    bell: Integers
    """symbols x days: the first regular row."""
    stop: Integers
    """symbols x days: one past the last row."""
    last_close: Floats
    """symbols x days: the regular session's last price; NaN where the symbol has none."""
    day_volume: Floats
    """symbols x days: the regular session's shares; NaN as above."""
    notices: tuple[str, ...] = ()
    fingerprint: str = ""
    """Over the bytes of the sources; empty where they are not files."""

    @property
    def bars(self) -> int:
        """Return how many rows there are."""
        return len(self.start)

    @property
    def nbytes(self) -> int:
        """Return what all arrays take, in bytes."""
        rows = (self.start, self.open, self.high, self.low, self.close, self.volume)
        tables = (self.first, self.bell, self.stop, self.last_close, self.day_volume)
        return sum(array.nbytes for array in (*rows, *tables))


def bar_files_of(source: Path) -> tuple[list[Path], list[str]]:
    """Return the minute bar files of `source`, a file or a folder, and what was passed over.

    Raises:
        DataError: no such path, or no bar file.
    """
    if not source.is_dir():
        bar_files.require_minutes(source)
        return [source], []
    found: list[Path] = []
    notices: list[str] = []
    for path in sorted(path for path in source.iterdir() if path.suffix.lower() in bar_files.SUFFIXES):
        if path.name == FUNDAMENTALS_FILE:
            continue
        layout = bar_files.layout_of(bar_files.column_names(path))
        if layout is bar_files.Layout.MINUTES:
            found.append(path)
        else:
            notices.append(f"{path.name} skipped: {layout.value}")
    if not found:
        raise DataError("no file of minute bars in this folder", where=str(source), mend="Give a folder of bars.")
    return found, notices


def read_bar_arrays(source: Path, fingerprint: str = "") -> BarArrays:
    """Decode `source` whole.

    Raises:
        DataError: unreadable, or rows that cannot be trusted.
        NotForArrays: several files that overlap or have bars of different lengths.
    """
    paths, notices = bar_files_of(source)
    parts = [(path, _trusted(path)) for path in paths]
    parts = [(path, columns) for path, columns in parts if len(columns.ts)]
    if not parts:
        raise DataError("no bar at all", where=str(source), mend="Give another file.")
    span = require_one_span(infer_span(path, columns) for path, columns in parts)
    merged = _merged([columns for _, columns in parts])
    if len(parts) > 1 and _repeats(merged):
        what = "files that have the same symbol's bars twice"
        raise NotForArrays(what)
    return arrays_of(merged, span, notices=tuple(notices), fingerprint=fingerprint)


def require_one_span(spans: Iterable[int]) -> int:
    """Return the length of a bar, nanoseconds.

    Raises:
        NotForArrays: the files have bars of different lengths.
    """
    found = set(spans)
    if len(found) > 1:
        what = f"files with bars of different lengths: {', '.join(f'{span // MINUTE} min' for span in found)}"
        raise NotForArrays(what)
    return found.pop()


def arrays_of(columns: Columns, span: int, *, notices: tuple[str, ...] = (), fingerprint: str = "") -> BarArrays:
    """Return the arrays of `columns`, which are checked and sorted by symbol and time.

    Raises:
        DataError: no trading day in them.
    """
    numbers = days_of(columns.ts).tolist()
    days = tuple(day for day in (_EPOCH + timedelta(days=number) for number in numbers) if is_trading_day(day))
    if not days:
        raise DataError("no bar of a trading day", where="the data", mend="Give bars of New York sessions.")
    sessions = [trading_day(day) for day in days]
    midnights = np.array([new_york(day, time(0)) for day in days])
    opens = np.array([session.open_at for session in sessions])
    closes = np.array([session.close_at for session in sessions])
    which = np.searchsorted(midnights, columns.ts, side="right") - 1
    safe = np.maximum(which, 0)
    regular = (which >= 0) & (columns.ts >= opens[safe]) & (columns.ts < closes[safe])
    shape = (len(columns.names), len(days))
    cells = columns.codes * len(days) + safe
    last_close, day_volume = _daily(columns, cells, regular, shape)
    keep = (which >= 0) & (columns.ts + span <= closes[safe])
    silent = day_volume == 0.0
    keep &= ~silent.ravel()[cells]
    whole = bool(keep.all())
    rows = columns if whole else columns.pick(keep)
    cells = cells if whole else cells[keep]
    before_bell = rows.ts < opens[safe if whole else safe[keep]]
    stop = np.cumsum(np.bincount(cells, minlength=shape[0] * shape[1]))
    first = np.concatenate([[0], stop[:-1]])
    bell = first + np.bincount(cells[before_bell], minlength=shape[0] * shape[1])
    return BarArrays(
        names=columns.names,
        days=days,
        span=span,
        start=np.ascontiguousarray(rows.ts),
        open=np.ascontiguousarray(rows.open),
        high=np.ascontiguousarray(rows.high),
        low=np.ascontiguousarray(rows.low),
        close=np.ascontiguousarray(rows.close),
        volume=np.ascontiguousarray(rows.volume),
        first=first.reshape(shape).astype(np.int64),
        bell=bell.reshape(shape).astype(np.int64),
        stop=stop.reshape(shape).astype(np.int64),
        last_close=last_close,
        day_volume=day_volume,
        notices=(*notices, *silence(columns.names, days, silent)),
        fingerprint=fingerprint,
    )


def _daily(
    columns: Columns, cells: Integers, regular: NDArray[np.bool_], shape: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Return the last regular close and the regular volume of each symbol and day."""
    last_close = np.full(shape, np.nan)
    day_volume = np.full(shape, np.nan)
    rows = np.flatnonzero(regular)
    if rows.size:
        there = cells[rows]
        last = np.append(np.flatnonzero(np.diff(there)), rows.size - 1)
        begin = np.append(0, last[:-1] + 1)
        last_close.ravel()[there[last]] = columns.close[rows[last]]
        day_volume.ravel()[there[last]] = np.add.reduceat(columns.volume[rows], begin)
    return last_close, day_volume


def _trusted(path: Path) -> Columns:
    """Return the rows of `path`, checked, sorted by symbol name and time."""
    columns = bar_files.read_minutes(path, 0, _FOREVER)
    if not len(columns.ts):
        return columns
    check_order(path, columns)
    check_values(path, columns)
    _require_new_york(path, columns)
    return _by_name(columns)


def _by_name(columns: Columns) -> Columns:
    names = sorted(columns.names)
    place = {name: number for number, name in enumerate(names)}
    codes = np.array([place[name] for name in columns.names], dtype=np.int64)[columns.codes]
    renamed = Columns(
        names=tuple(names),
        codes=codes,
        ts=columns.ts,
        open=columns.open,
        high=columns.high,
        low=columns.low,
        close=columns.close,
        volume=columns.volume,
    )
    ordered = bool((np.diff(codes) >= 0).all()) and sorting(renamed) is None
    return renamed if ordered else renamed.pick(np.lexsort((renamed.ts, renamed.codes)))


def _require_new_york(path: Path, columns: Columns) -> None:
    """Refuse bars at night: those are of another market, and days would be cut in the wrong place."""
    numbers = days_of(columns.ts)
    days = [_EPOCH + timedelta(days=int(number)) for number in numbers]
    begins = np.array([new_york(day, _NIGHT_ENDS) for day in days])
    ends = np.array([new_york(day, _EVENING_ENDS) for day in days])
    which = np.maximum(np.searchsorted(begins, columns.ts, side="right") - 1, 0)
    if bool(((columns.ts < begins[which]) | (columns.ts >= ends[which])).any()):
        mend = "Give minute bars of US equities."
        raise DataError("bars outside 04:00-20:00 New York: not US equities", where=str(path), mend=mend)


def _merged(parts: Sequence[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    names = sorted({name for part in parts for name in part.names})
    place = {name: number for number, name in enumerate(names)}
    codes = [np.array([place[name] for name in part.names], dtype=np.int64)[part.codes] for part in parts]
    merged = Columns(
        names=tuple(names),
        codes=np.concatenate(codes),
        ts=np.concatenate([part.ts for part in parts]),
        open=np.concatenate([part.open for part in parts]),
        high=np.concatenate([part.high for part in parts]),
        low=np.concatenate([part.low for part in parts]),
        close=np.concatenate([part.close for part in parts]),
        volume=np.concatenate([part.volume for part in parts]),
    )
    return merged.pick(np.lexsort((merged.ts, merged.codes)))


def _repeats(columns: Columns) -> bool:
    same = (columns.codes[1:] == columns.codes[:-1]) & (columns.ts[1:] == columns.ts[:-1])
    return bool(same.any())


def silence(names: Sequence[str], days: Sequence[date], silent: NDArray[np.bool_]) -> list[str]:
    """Say which symbols have a day without any volume: an index, or a day that was not recorded."""
    found = []
    for symbol in np.flatnonzero(silent.any(axis=1)).tolist():
        when = np.flatnonzero(silent[symbol]).tolist()
        found.append(f"{names[symbol]} left out on {len(when)} days (first {days[when[0]]}): volume is zero all day")
    return found


def columns_of(arrays: BarArrays) -> tuple[Integers, Floats, Floats, Floats, Floats, Floats]:
    """Return start, open, high, low, close and volume of all rows."""
    return arrays.start, arrays.open, arrays.high, arrays.low, arrays.close, arrays.volume


def session_of(arrays: BarArrays, column: int) -> TradingDay:
    """Return the session of the `column`-th day."""
    return trading_day(arrays.days[column])


__all__ = [
    "BarArrays", "NotForArrays", "arrays_of", "bar_files_of", "columns_of", "read_bar_arrays", "require_one_span",
    "session_of", "silence",
]  # fmt: skip
