"""Small bar files for tests of the readers: rows in, CSV or Parquet out."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tbot_bot.core.calendar import trading_day

HEADER = ("symbol", "ts", "open", "high", "low", "close", "volume")
PREVIOUS = date(2018, 3, 1)
DAY = date(2018, 3, 2)

Row = tuple[Any, ...]


def moment(minute: int, day: date = DAY) -> datetime:
    """Return `minute` minutes after the bell of `day`."""
    return datetime.fromtimestamp(trading_day(day).open_at / 1e9, UTC) + timedelta(minutes=minute)


def bar(symbol: str, minute: int, close: float = 10.0, volume: float = 100, day: date = DAY) -> Row:
    """Return a row whose high and low are a tenth away from its close."""
    return (symbol, moment(minute, day), close, close + 0.1, close - 0.1, close, volume)


def with_value(row: Row, name: str, value: object) -> Row:
    """Return `row` with one column replaced."""
    return tuple(value if column == name else cell for column, cell in zip(HEADER, row, strict=True))


def csv_file(path: Path, rows: Iterable[Row], header: Sequence[str] = HEADER) -> Path:
    """Write `rows` as CSV; moments in ISO form, with their zone if they have one."""
    lines = [",".join(header)]
    lines += [",".join(cell.isoformat() if isinstance(cell, datetime) else str(cell) for cell in row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def parquet_file(path: Path, rows: Sequence[Row], header: Sequence[str] = HEADER, group: int = 1000) -> Path:
    """Write `rows` as Parquet, in row groups of `group` rows."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    columns: dict[str, Any] = {name: [row[index] for row in rows] for index, name in enumerate(header)}
    if not rows:
        columns = {name: pa.array([], _TYPES.get(name, "float64")) for name in header}
        columns["ts"] = pa.array([], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


_TYPES = {"symbol": "string"}
