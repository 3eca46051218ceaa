"""Bars out of a Parquet file of somebody else's, a batch at a time; a fault is told by its row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tbot_bot.backtest.bar_rows import NUMBERS, SYMBOL, sound, why_unsound
from tbot_bot.backtest.data_set import ROW, Faults, Rows
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.instants import MICROSECOND
from tbot_bot.marketdata.bar_files import require_minutes, time_name

_BATCH: Final = 250_000


def parquet_bars(path: Path, number: int, faults: Faults) -> Iterator[tuple[str, Rows]]:
    """Yield the bars of the file at `path`, the `number`-th of an import, by symbol.

    Raises:
        DataError: other columns, or times without a zone.
        ArrowException: it cannot be read.
    """
    require_minutes(path)
    when = time_name(path)
    line = 1
    with pq.ParquetFile(path) as file:
        kind = file.schema_arrow.field(when).type
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            mend = "Write UTC with a zone; a zone is never guessed."
            raise DataError(f"times without a zone: column {when} is {kind}", where=str(path), mend=mend)
        for batch in file.iter_batches(_BATCH, columns=["symbol", when, *NUMBERS]):
            table = pa.Table.from_batches([batch])
            rows = np.zeros(table.num_rows, ROW)
            there = np.ones(table.num_rows, dtype=bool)
            for name in ("symbol", when, *NUMBERS):
                there &= ~np.asarray(pc.is_null(table.column(name)))
            starts = table.column(when).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
            rows["ts"] = np.asarray(pc.fill_null(starts, 0)) * MICROSECOND
            for name in NUMBERS:
                rows[name] = np.asarray(pc.fill_null(table.column(name).cast(pa.float64()), float("nan")))
            rows["file"], rows["line"] = number, np.arange(line, line + len(rows))
            line += len(rows)
            symbols = np.asarray(table.column("symbol").cast(pa.string()).fill_null("").to_pylist(), dtype=object)
            names = {name for name in set(symbols.tolist()) if SYMBOL.fullmatch(name)}
            good = there & sound(rows) & np.isin(symbols, list(names))
            for bad in np.flatnonzero(~good).tolist():
                faults.add(str(path), int(rows["line"][bad]), _why(str(symbols[bad]), rows[bad]))
            for name in sorted(names):
                yield name, rows[good & (symbols == name)]


def _why(symbol: str, row: np.void) -> str:
    if not SYMBOL.fullmatch(symbol):
        return f"symbol is {symbol!r}: capitals, digits and .^/_- are expected"
    if any(row[name] != row[name] for name in NUMBERS):
        return "a cell is empty or no number"
    opened, high, low, close, volume = (float(row[name]) for name in NUMBERS)
    return why_unsound(opened, high, low, close, volume) or "the start is not on a whole minute"


__all__ = ["parquet_bars"]
