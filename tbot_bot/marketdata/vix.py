"""The VIX out of a recorded file, as far as it was known at the time.

A daily file (`date, open, high, low, close`) tells the previous day's close, and from a minute after the bell
the day's own open, never the day's close. A minute file tells the last completed minute. What is older than
the previous trading day is missing. Source of the recorded values: CBOE.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.bars import VixReading
from tbot_bot.core.calendar import NotATradingDay, exchange_time, is_trading_day, previous_trading_day, trading_day
from tbot_bot.core.instants import MINUTE, Instant
from tbot_bot.marketdata import bar_files
from tbot_bot.marketdata.bar_checks import infer_span

if TYPE_CHECKING:
    import pyarrow as pa

_CLOSE_KNOWN_AFTER: Final = 15 * MINUTE
"""The index is computed until a quarter past the closing bell."""
_ALONE: Final = "Give a file of the VIX alone."
_MEND: Final = "Fetch the file again from its source."


class RecordedVix(Protocol):
    """A source of VIX readings that cannot look ahead."""

    def vix_at(self, at: Instant) -> VixReading | None:
        """Return the newest value known at `at`, None where missing or older than a trading day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyVix:
    """One open and close a day, index points."""

    days: tuple[date, ...]
    opens: tuple[float | None, ...]
    closes: tuple[float, ...]
    source: str

    def vix_at(self, at: Instant) -> VixReading | None:
        """Return the day's open after the bell, else the previous trading day's close."""
        today = exchange_time(at).date()
        if is_trading_day(today):
            first_print = trading_day(today).open_at + MINUTE
            opening = self._row(today)
            if at >= first_print and opening is not None:
                value = self.opens[opening]
                if value is not None:
                    return VixReading(Decimal(repr(value)), Instant(first_print), self.source)
        try:
            before = previous_trading_day(today)
        except NotATradingDay:
            return None
        row = self._row(before)
        if row is None:
            return None
        known_at = Instant(trading_day(before).close_at + _CLOSE_KNOWN_AFTER)
        return VixReading(Decimal(repr(self.closes[row])), known_at, self.source)

    def _row(self, day: date) -> int | None:
        index = bisect_right(self.days, day) - 1
        return index if index >= 0 and self.days[index] == day else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteVix:
    """Closes of minutes, index points, with the instants at which they were complete."""

    ends: tuple[int, ...]
    closes: tuple[float, ...]
    source: str

    def vix_at(self, at: Instant) -> VixReading | None:
        """Return the last completed minute of this or the previous trading day."""
        index = bisect_right(self.ends, at) - 1
        if index < 0:
            return None
        known_at = Instant(self.ends[index])
        try:
            oldest = previous_trading_day(exchange_time(at).date())
        except NotATradingDay:
            return None
        if exchange_time(known_at).date() < oldest:
            return None
        return VixReading(Decimal(repr(self.closes[index])), known_at, self.source)


def read_vix(path: Path) -> RecordedVix:
    """Read a daily or a minute file of the index, Parquet or CSV.

    Raises:
        DataError: unreadable, other columns, more than one symbol, unsorted or repeated times, bad values.
    """
    names = bar_files.column_names(path)
    if "date" in names and {"open", "close"}.issubset(names):
        return _daily(path, names)
    if bar_files.layout_of(names) is not bar_files.Layout.MINUTES:
        raise DataError(
            f"columns found: {', '.join(names)}; expected: date, open, high, low, close",
            where=str(path),
            mend="Give the VIX as daily or as minute bars.",
        )
    columns = bar_files.read_minutes(path, -(2**62), 2**62)
    if len(set(columns.codes.tolist())) > 1:
        raise DataError(f"more than one symbol: {', '.join(columns.names[:3])}", where=str(path), mend=_ALONE)
    if not len(columns.ts):
        raise _no_row(path)
    span = infer_span(path, columns)
    ends = [start + span for start in columns.ts.tolist()]
    closes = [float(close) for close in columns.close.tolist()]
    _check(path, ends, closes)
    return MinuteVix(ends=tuple(ends), closes=tuple(closes), source=path.name)


def _daily(path: Path, names: Sequence[str]) -> DailyVix:
    import pyarrow as pa

    table = _table(path)
    if "symbol" in names and len(table.column("symbol").unique()) > 1:
        raise DataError("more than one symbol", where=str(path), mend=_ALONE)
    with bar_files.reading(path):
        days = table.column("date").cast(pa.date32()).to_pylist()
        opens = table.column("open").cast(pa.float64()).to_pylist()
        closes = table.column("close").cast(pa.float64()).to_pylist()
    if None in days:
        raise DataError(f"row {days.index(None) + 1} has no date", where=str(path), mend=_MEND)
    _check(path, days, closes)
    return DailyVix(
        days=tuple(days),
        opens=tuple(value if value is not None and _sound(value) else None for value in opens),
        closes=tuple(closes),
        source=path.name,
    )


def _table(path: Path) -> "pa.Table":
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    with bar_files.reading(path):
        return pq.read_table(path) if path.suffix.lower() == ".parquet" else pa_csv.read_csv(path)


def _no_row(path: Path) -> DataError:
    return DataError("no row", where=str(path), mend=_MEND)


def _check(path: Path, times: Sequence[int] | Sequence[date], closes: Sequence[float | None]) -> None:
    if not times:
        raise _no_row(path)
    for row, value in enumerate(closes, start=1):
        if value is None or not _sound(value):
            raise DataError(f"row {row}: close {value} is no index value", where=str(path), mend=_MEND)
    for row in range(1, len(times)):
        if not times[row - 1] < times[row]:  # type: ignore[operator]
            raise DataError(f"row {row + 1} is not after the row before it", where=str(path), mend="Sort it by time.")


def _sound(value: float) -> bool:
    return 0.0 < value < float("inf")
