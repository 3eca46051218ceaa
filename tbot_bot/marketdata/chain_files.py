"""Reads recorded option chains, CSV or Parquet, strictly: what cannot be used is refused by file and line.

Columns, in any order; further ones are passed over:

    underlying, expiry, strike, right, ts, bid, ask        delta is taken where it stands

`ts` is when the quote was made, with a zone; `expiry` a date; `right` put or call (P or C); dollars per share. An empty
bid or ask is nobody's. Calls are checked and left out. Rows may stand in any order; a contract with two quotes at one
instant is refused, since nobody can say which came last.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.instants import Duration
from tbot_bot.core.instruments import put_option
from tbot_bot.marketdata import bar_files
from tbot_bot.marketdata.put_chains import PutChains, Series

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_NEEDED: Final = ("underlying", "expiry", "strike", "right", "ts", "bid", "ask")
_DELTA: Final = "delta"
_RIGHTS: Final = {"put": True, "p": True, "call": False, "c": False}
_THOUSANDTHS: Final = 1000
"""An option's strike is listed in thousandths of a dollar."""
_EPOCH: Final = date(1970, 1, 1)
_BLOCK_BYTES: Final = 8 << 20
_MEND: Final = "Mend the row at its source, or leave it out."
_FIRST_LINE: Final = 2
"""Of a CSV file's rows; its header is line 1."""


@dataclass(slots=True, kw_only=True)
class _Kept:
    """The puts so far, as columns of many blocks; `place` is file and row of each."""

    names: dict[str, int] = field(default_factory=dict)
    blocks: list[tuple["NDArray[np.int64]", "NDArray[np.float64]"]] = field(default_factory=list)
    """(underlying, expiry in days, strike in thousandths, nanoseconds, file, line), (bid, ask, delta) by row."""


def chain_paths(source: Path) -> tuple[Path, ...]:
    """Return the files of `source`: itself, or those of a folder by name.

    Raises:
        DataError: there is none.
    """
    found = sorted(source.iterdir()) if source.is_dir() else [source]
    files = tuple(path for path in found if path.is_file() and path.suffix.lower() in bar_files.SUFFIXES)
    if not files:
        what = "no file of option chains" if source.exists() else "no such file or folder"
        mend = f"Give a file ({' or '.join(bar_files.SUFFIXES)}) or a folder of them."
        raise DataError(what, where=str(source), mend=mend)
    return files


def read_chains(source: Path, age: Duration) -> PutChains:
    """Read the puts of a file or a folder; a quote stands for `age` at the most.

    Raises:
        DataError: unreadable, other columns, a cell or a row that cannot be, two quotes at one instant.
    """
    paths = chain_paths(source)
    kept = _Kept()
    for number, path in enumerate(paths):
        missing = [name for name in _NEEDED if name not in bar_files.column_names(path)]
        if missing:
            what = f"columns {', '.join(missing)} missing"
            raise DataError(what, where=str(path), mend=f"A chain has the columns {', '.join(_NEEDED)}.")
        with bar_files.reading(path):
            for first, table in _blocks(path):
                _Block(path, first, table).into(kept, number)
    return PutChains(_series(kept, paths), age)


def _blocks(path: Path) -> Iterator[tuple[int, "pa.Table"]]:
    """Yield (number of its first row, from 0; the rows) of one block after another."""
    import pyarrow as pa

    first = 0
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            names = [name for name in (*_NEEDED, _DELTA) if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=names):
                yield first, pa.table(batch)
                first += batch.num_rows
        return
    import pyarrow.csv as pa_csv

    texts = dict.fromkeys((*_NEEDED, _DELTA), pa.string())
    reader = pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
        parse_options=pa_csv.ParseOptions(ignore_empty_lines=False),
        convert_options=pa_csv.ConvertOptions(column_types=texts, strings_can_be_null=True, null_values=[""]),
    )
    with reader:
        for batch in reader:
            names = [name for name in (*_NEEDED, _DELTA) if name in batch.schema.names]
            yield first, pa.table(batch).select(names)
            first += batch.num_rows


class _Block:
    """Some rows of one file on their way into columns."""

    def __init__(self, path: Path, first: int, table: "pa.Table") -> None:
        self._path, self._table = path, table
        text = path.suffix.lower() != ".parquet"
        self._line, self._word = (first + _FIRST_LINE, "line") if text else (first + 1, "row")

    def into(self, kept: _Kept, file: int) -> None:
        """Add the puts to `kept`, or refuse the first row that cannot be one."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        right = pc.utf8_lower(pc.utf8_trim_whitespace(self._cast("right", pa.string(), needed=True)))
        self._refuse(pc.invert(pc.is_in(right, pa.array(list(_RIGHTS)))), "right", "is neither put nor call")
        strike = self._numbers("strike", needed=True)
        thousandths = np.rint(strike * _THOUSANDTHS)
        listed = np.isfinite(strike) & (strike > 0.0) & (np.abs(thousandths - strike * _THOUSANDTHS) < 1e-6)  # noqa: PLR2004
        self._refuse(~listed, "strike", "is no listed strike (dollars, above 0, at most three decimals)")
        bid, ask = self._numbers("bid"), self._numbers("ask")
        for name, side in (("bid", bid), ("ask", ask)):
            self._refuse(~(np.isfinite(side) & (side >= 0.0)), name, "is no price in dollars")
        self._refuse((ask > 0.0) & (bid > ask), "bid", "is above the ask")
        delta = (
            self._numbers(_DELTA, absent=np.nan) if _DELTA in self._table.schema.names else np.full(len(bid), np.nan)
        )
        self._refuse(np.isinf(delta) | (np.abs(delta) > 1.0), _DELTA, "is no delta: -1 to 0 for a put")
        at = self._times()
        expiry = self._cast("expiry", pa.date32(), needed=True).cast(pa.int32()).to_numpy().astype(np.int64)
        self._refuse(expiry < at // (86_400 * 10**9) - 1, "expiry", "is before the quote")
        names = self._names(kept)
        puts = pc.is_in(right, pa.array([word for word, put in _RIGHTS.items() if put])).to_numpy(zero_copy_only=False)
        rows = np.arange(len(bid), dtype=np.int64) + self._line
        whole = np.stack([names, expiry, thousandths.astype(np.int64), at, np.full_like(at, file), rows])
        kept.blocks.append((whole[:, puts], np.stack([bid, ask, -np.abs(delta)])[:, puts]))

    def _names(self, kept: _Kept) -> "NDArray[np.int64]":
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        column = pc.utf8_upper(pc.utf8_trim_whitespace(self._cast("underlying", pa.string(), needed=True)))
        self._refuse(pc.equal(pc.utf8_length(column), 0), "underlying", "is empty")
        coded = column.combine_chunks().dictionary_encode()
        codes = [kept.names.setdefault(name, len(kept.names)) for name in coded.dictionary.to_pylist()]
        found: NDArray[np.int64] = np.array(codes, dtype=np.int64)[coded.indices.to_numpy(zero_copy_only=False)]
        return found

    def _numbers(self, name: str, *, needed: bool = False, absent: float = 0.0) -> "NDArray[np.float64]":
        """Return a column of numbers; an empty cell is `absent`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found: NDArray[np.float64] = pc.fill_null(self._cast(name, pa.float64(), needed=needed), absent).to_numpy()
        return found

    def _times(self) -> "NDArray[np.int64]":
        import numpy as np
        import pyarrow as pa

        kind = self._table.schema.field("ts").type
        if pa.types.is_timestamp(kind) and kind.tz is None:
            raise DataError("ts has no time zone", where=str(self._path), mend="Write the times in UTC, with a zone.")
        if not (pa.types.is_timestamp(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            mend = "Write it as a time with a zone, as 2025-12-02T14:31:00Z."
            raise DataError(f"ts is {kind}, not a time", where=str(self._path), mend=mend)
        moments = self._cast("ts", pa.timestamp("ns", tz="UTC"), needed=True)
        found: NDArray[np.int64] = moments.cast(pa.int64()).to_numpy().astype(np.int64)
        return found

    def _cast(self, name: str, kind: "pa.DataType", *, needed: bool = False) -> "pa.ChunkedArray":
        """Return the column `name` as `kind`, or refuse the first cell that is none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._table.column(name)
        if needed:
            self._refuse(pc.is_null(column), name, "is empty")
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.utf8_trim_whitespace(column)
        try:
            return column.cast(kind)
        except pa.ArrowException:
            row = _first_that_fails(column, kind)
            self._refuse_row(row, name, f"is no {_IN_WORDS.get(str(kind), str(kind))}")

    def _refuse(self, wrong: "pa.ChunkedArray | NDArray[np.bool_]", name: str, what: str) -> None:
        """Refuse the first row for which `wrong` is true."""
        import numpy as np

        rows = np.flatnonzero(np.asarray(wrong))
        if len(rows):
            self._refuse_row(int(rows[0]), name, what)

    def _refuse_row(self, row: int, name: str, what: str) -> NoReturn:
        cell = self._table.column(name)[row].as_py()
        text = "" if cell is None else f" {str(cell)[:40]!r}"
        raise DataError(f"{self._word} {self._line + row}: {name}{text} {what}", where=str(self._path), mend=_MEND)


_IN_WORDS: Final = {
    "double": "number",
    "date32[day]": "date, as 2025-12-19",
    "timestamp[ns, tz=UTC]": "time with a zone, as 2025-12-02T14:31:00Z",
}


def _first_that_fails(column: "pa.ChunkedArray", kind: "pa.DataType") -> int:
    """Return the first row of `column` that cannot be cast to `kind`; one of them cannot."""
    import pyarrow as pa

    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            column.slice(low, middle - low).cast(kind)
            low = middle
        except pa.ArrowException:
            high = middle
    return low


def _series(kept: _Kept, paths: Sequence[Path]) -> list[Series]:
    """Return the quotes by contract, each in order of time."""
    import numpy as np

    if not kept.blocks:
        return []
    whole = np.concatenate([block for block, _ in kept.blocks], axis=1)
    prices = np.concatenate([block for _, block in kept.blocks], axis=1)
    kept.blocks.clear()
    order = np.lexsort((whole[3], whole[2], whole[1], whole[0]))
    whole, prices = whole[:, order], prices[:, order]
    same = (whole[:3, 1:] == whole[:3, :-1]).all(axis=0)
    twice = np.flatnonzero(same & (whole[3, 1:] == whole[3, :-1]))
    if len(twice):
        _refuse_twice(whole[4:, twice[0] : twice[0] + 2].T.tolist(), paths)
    names = list(kept.names)
    edges = [0, *(np.flatnonzero(~same) + 1).tolist(), whole.shape[1]] if whole.shape[1] else []
    known = not np.isnan(prices[2]).all()
    return [
        Series(
            instrument=put_option(
                names[int(whole[0, begin])],
                _EPOCH + timedelta(days=int(whole[1, begin])),
                Decimal(int(whole[2, begin])) / _THOUSANDTHS,
            ),
            at=whole[3, begin:end],
            bid=prices[0, begin:end],
            ask=prices[1, begin:end],
            delta=prices[2, begin:end] if known else None,
        )
        for begin, end in pairwise(edges)
    ]


def _refuse_twice(places: Sequence[Sequence[int]], paths: Sequence[Path]) -> NoReturn:
    """Refuse two quotes of one contract at one instant, by their (file, line)."""
    (file, line), (other, second) = sorted(map(tuple, places))
    raise DataError(
        f"line {second}: the same contract has a quote at the same instant in line {line} of {paths[file].name}",
        where=str(paths[other]),
        mend=_MEND,
    )


__all__ = ["chain_paths", "read_chains"]
