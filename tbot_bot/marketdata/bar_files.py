"""Reads bar files, Parquet or CSV, into columns; knows their layouts, judges nothing about prices.

Layouts (`ts` or `timestamp` is the START of a bar, with a zone):

    symbol, ts, open, high, low, close, volume               minute bars
    timestamp, symbol, open, high, low, close, volume        the same, as a feed would deliver them
    symbol, date, open, high, low, close, volume             daily bars: told apart, not accepted

pyarrow and numpy are imported when a file is read, not before.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.instants import MICROSECOND, instant

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

PRICES: Final = ("open", "high", "low", "close")
TIME_NAMES: Final = ("ts", "timestamp")
SUFFIXES: Final = (".parquet", ".csv")
_LAST_MICROSECOND: Final = 2**63 // MICROSECOND - 1
_EMPTY_CELL: Final = "Fill it in at the source, or leave the row out."
_EXPECTED: Final = "symbol, ts (or timestamp), open, high, low, close, volume"


class Layout(Enum):
    """What the columns of a file say it is."""

    MINUTES = "minute bars"
    DAILY = "daily bars"
    VENUE = "bars of a venue, not of US equities"
    OTHER = "something else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Rows of a bar file as parallel arrays, in the file's order."""

    names: tuple[str, ...]
    """Symbols; `codes` points into them."""
    codes: "Integers"
    ts: "Integers"
    """Starts of the bars, nanoseconds since the epoch, UTC."""
    open: "Floats"
    high: "Floats"
    low: "Floats"
    close: "Floats"
    volume: "Floats"

    def pick(self, rows: "NDArray[np.bool_] | Integers") -> "Columns":
        """Return the rows of a mask or an index."""
        return Columns(
            names=self.names,
            codes=self.codes[rows],
            ts=self.ts[rows],
            open=self.open[rows],
            high=self.high[rows],
            low=self.low[rows],
            close=self.close[rows],
            volume=self.volume[rows],
        )


def column_names(path: Path) -> tuple[str, ...]:
    """Return the file's column names.

    Raises:
        DataError: absent, empty, truncated or of another kind.
    """
    if not path.exists():
        raise DataError("no such file or folder", where=str(path), mend="Check the path given with --data.")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"is neither of {', '.join(SUFFIXES)}", where=str(path), mend="Give a bar file or a folder.")
    with reading(path):
        if path.stat().st_size == 0:
            raise DataError("the file is empty", where=str(path), mend="Fetch or export it again.")
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            return tuple(pq.read_schema(path).names)
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return tuple(name.strip() for name in next(csv.reader(lines), []))


def layout_of(names: Sequence[str]) -> Layout:
    """Return what a file with these columns is."""
    here = set(names)
    if not {"symbol", *PRICES}.issubset(here):
        return Layout.OTHER
    if here.isdisjoint(TIME_NAMES):
        return Layout.DAILY if "date" in here else Layout.OTHER
    if "venue" in here:
        return Layout.VENUE
    return Layout.MINUTES if "volume" in here else Layout.OTHER


def require_minutes(path: Path) -> None:
    """Refuse a file whose columns are not those of minute bars.

    Raises:
        DataError: says which columns were found and which are expected.
    """
    names = column_names(path)
    layout = layout_of(names)
    if layout is Layout.MINUTES:
        return
    if layout is Layout.DAILY:
        raise DataError(
            f"holds daily bars (columns {', '.join(names)})",
            where=str(path),
            mend="A session needs minute bars: 1 or 5 minutes, with a time column ts or timestamp.",
        )
    raise DataError(
        f"columns found: {', '.join(names)}; expected: {_EXPECTED}",
        where=str(path),
        mend="Give a file of equity minute bars, or rename the columns.",
    )


def read_minutes(path: Path, first: int, end: int) -> Columns:
    """Return the bars that start in [`first`, `end`) (nanoseconds, UTC), in the file's order.

    Raises:
        DataError: unreadable, other columns, naive times, empty cells, values of a wrong type.
    """
    require_minutes(path)
    with reading(path):
        table = _parquet(path, first, end) if path.suffix.lower() == ".parquet" else _csv(path)
        return _to_columns(path, table, first, end)


def may_be_torn(path: Path) -> bool:
    """Return whether the file is a CSV whose last line has no end: its last number may be cut short."""
    with reading(path):
        if path.suffix.lower() != ".csv" or path.stat().st_size == 0:
            return False
        with path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) not in b"\r\n"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Rename whatever a file that cannot be read raises.

    Raises:
        DataError: names the file.
    """
    import pyarrow as pa

    try:
        yield
    except (OSError, ValueError, OverflowError, csv.Error, pa.ArrowException) as error:
        text = " ".join(str(error).split())[:300]
        raise DataError(
            f"cannot be read: {text}", where=str(path), mend="The file may be cut off or of another kind."
        ) from None


def all_starts(path: Path) -> "Integers":
    """Return the start of every bar in the file, nanoseconds UTC; for messages, not for speed.

    Raises:
        DataError: see `read_minutes`.
    """
    name = time_name(path)
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        with reading(path):
            return _starts(path, pq.read_table(path, columns=[name]).column(name))
    with reading(path):
        return _starts(path, _csv(path).column(name))


def time_name(path: Path) -> str:
    """Return which of the accepted time columns the file has."""
    return next(name for name in TIME_NAMES if name in column_names(path))


def _parquet(path: Path, first: int, end: int) -> "pa.Table":
    """Read the row groups whose statistics do not exclude the range, then the rows in it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    when = time_name(path)
    with pq.ParquetFile(path, read_dictionary=["symbol"]) as file:
        kind = file.schema_arrow.field(when).type
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            raise _naive(path, f"column {when} is {kind}")
        groups = [number for number in range(file.num_row_groups) if _may_hold(file, number, when, first, end)]
        table = file.read_row_groups(groups, columns=["symbol", when, *PRICES, "volume"])
    starts = table.column(when).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    low, high = first // MICROSECOND, end // MICROSECOND
    inside = pc.and_(pc.greater_equal(starts, low), pc.less(starts, high))
    return table.filter(pc.fill_null(inside, fill_value=True)) if table.num_rows else table


def _may_hold(file: "pa.parquet.ParquetFile", number: int, when: str, first: int, end: int) -> bool:
    group = file.metadata.row_group(number)
    index = file.schema_arrow.get_field_index(when)
    statistics = group.column(index).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return instant(statistics.max) >= first and instant(statistics.min) < end


def _csv(path: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    when = time_name(path)
    types = {"symbol": pa.string(), when: pa.string(), **dict.fromkeys((*PRICES, "volume"), pa.float64())}
    table = pa_csv.read_csv(
        path, convert_options=pa_csv.ConvertOptions(column_types=types, include_columns=list(types))
    )
    index = table.column_names.index(when)
    try:
        return table.set_column(index, when, table.column(when).cast(pa.timestamp("us", tz="UTC")))
    except ValueError as error:
        if "zone offset" in str(error):
            raise _naive(path, str(error)) from None
        raise DataError(f"column {when}: {error}", where=str(path), mend="Write 2018-03-02T14:30:00Z.") from None


def _to_columns(path: Path, table: "pa.Table", first: int, end: int) -> Columns:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    when = next(name for name in TIME_NAMES if name in table.column_names)
    if table.num_rows == 0:
        empty = np.empty(0)
        none = np.empty(0, np.int64)
        return Columns(names=(), codes=none, ts=none, open=empty, high=empty, low=empty, close=empty, volume=empty)
    for name in ("symbol", when, *PRICES, "volume"):
        column = table.column(name)
        if column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()
            raise DataError(
                f"column {name} has no value in row {row + 1} of those read", where=str(path), mend=_EMPTY_CELL
            )
    ts = _starts(path, table.column(when))
    symbols = table.column("symbol").combine_chunks()
    if isinstance(symbols, pa.ChunkedArray):
        symbols = symbols.chunk(0)
    if not pa.types.is_dictionary(symbols.type):
        symbols = symbols.dictionary_encode()
    values = {name: table.column(name).cast(pa.float64()).to_numpy() for name in (*PRICES, "volume")}
    if "" in symbols.dictionary.to_pylist():
        raise DataError("a row has no symbol", where=str(path), mend=_EMPTY_CELL)
    columns = Columns(
        names=tuple(str(name) for name in symbols.dictionary.to_pylist()),
        codes=symbols.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        ts=ts,
        **values,
    )
    inside = (ts >= first) & (ts < end)
    return columns if bool(inside.all()) else columns.pick(inside)


def _starts(path: Path, column: "pa.ChunkedArray") -> "Integers":
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        raise _naive(path, f"the time column is {column.type}")
    micros = np.asarray(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(), dtype=np.int64)
    if len(micros) and int(np.abs(micros).max()) > _LAST_MICROSECOND:
        raise DataError("a time is centuries away", where=str(path), mend="Check the unit of the time column.")
    return micros * MICROSECOND


def _naive(path: Path, what: str) -> DataError:
    return DataError(
        f"times without a zone: {what}",
        where=str(path),
        mend="Write UTC with a zone, as 2018-03-02T14:30:00Z; a zone is never guessed.",
    )
