"""Bars out of CSV, JSON and zip files: strict, a block at a time, and every row that cannot be used by file and line.

A block is decoded at once by pyarrow. Where that fails, or something in it is not as it must be, the block is read
again row by row, which is slow and knows the line.
"""

import csv
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from tbot_bot.backtest.bar_parquet import parquet_bars
from tbot_bot.backtest.bar_rows import (
    NUMBERS,
    SYMBOL,
    TIMES,
    Form,
    SymbolIn,
    bar_of,
    moments,
    number_of,
    sound,
    why_unsound,
)
from tbot_bot.backtest.data_set import ROW, Faults, Rows
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.calendar import new_york
from tbot_bot.core.instants import MILLISECOND, MINUTE

SUFFIXES: Final = (".csv", ".json", ".jsonl", ".zip", ".gz", ".parquet")
_LEAN_MEMBER: Final = re.compile(r"(\d{8})_([a-z0-9.\-]+)_minute_trade\.csv")
_NOT_A_SYMBOL: Final = re.compile(r"(?i)(intraday|extended|adjusted|[0-9]+ ?min(ute)?s?|1m|5m|bars|data)")
_BLOCK_BYTES: Final = 4 << 20
_LINE_BYTES_MAX: Final = 1 << 20
_BATCH: Final = 50_000
LEAN_SCALE: Final = 10_000
"""LEAN writes prices as ten-thousandths of a dollar."""


Batch = tuple[str, Rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """One text, wherever it lies."""

    where: str
    number: int
    """Of the file, among all of an import."""
    form: Form
    symbol: str | None
    """Whose bars they are, where no column says so."""


def bars_in(path: Path, number: int, form: Form, faults: Faults, notices: list[str]) -> Iterator[Batch]:
    """Yield the bars of the file at `path`, the `number`-th of an import, by symbol, in blocks.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    with _renamed(str(path)):
        suffix = path.suffix.lower()
        if suffix == ".parquet":
            yield from parquet_bars(path, number, faults)
        elif suffix == ".zip":
            yield from _zip(path, number, form, faults, notices)
        else:
            inner = Path(path.stem) if suffix == ".gz" else path
            text = _Text(where=str(path), number=number, form=form, symbol=_given_symbol(path, inner, form))
            opened = gzip.open(path, "rb") if suffix == ".gz" else path.open("rb")  # noqa: SIM115 - closed below
            with opened as stream:
                yield from _text(cast("BinaryIO", stream), inner.suffix.lower(), text, faults, notices)


def _given_symbol(path: Path, inner: Path, form: Form) -> str | None:
    match form.symbol_in:
        case SymbolIn.COLUMN:
            return None
        case SymbolIn.FOLDER:
            text = path.parent.name
        case SymbolIn.NAME:
            parts = [part for part in re.split(r"[_ ]+", inner.stem) if not _NOT_A_SYMBOL.fullmatch(part)]
            text = parts[0] if len(parts) == 1 else ""
    if not SYMBOL.fullmatch(text.upper()):
        mend = "Name the file as AAPL.csv or AAPL_1min.csv, or give another --symbol-in."
        raise DataError(f"no symbol in the {form.symbol_in.value}", where=str(path), mend=mend)
    return text.upper()


def _zip(path: Path, number: int, form: Form, faults: Faults, notices: list[str]) -> Iterator[Batch]:
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.namelist()):
            if member.endswith("/"):
                continue
            where, name = f"{path}!{member}", PurePosixPath(member).name
            inner = Path(member)
            lean = _LEAN_MEMBER.fullmatch(name)
            if inner.suffix.lower() not in {".csv", ".json", ".jsonl"} or (name.endswith("_quote.csv") and not lean):
                notices.append(f"{where} passed over: no bars of trades")
                continue
            with archive.open(member) as stream:
                if lean is not None:
                    text = _Text(where=where, number=number, form=form, symbol=lean[2].upper())
                    yield from _lean(cast("BinaryIO", stream), lean[1], text, faults)
                else:
                    symbol = _given_symbol(path.parent / inner, inner, form)
                    text = _Text(where=where, number=number, form=form, symbol=symbol)
                    yield from _text(cast("BinaryIO", stream), inner.suffix.lower(), text, faults, notices)


@contextmanager
def _renamed(where: str) -> Iterator[None]:
    broken = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, pa.ArrowException)
    try:
        yield
    except broken as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(
            f"cannot be read: {text}", where=where, mend="It may be cut off, sealed or of another kind."
        ) from None


def _text(stream: BinaryIO, suffix: str, text: _Text, faults: Faults, notices: list[str]) -> Iterator[Batch]:
    if suffix in {".json", ".jsonl"}:
        yield from _rows_one_by_one(_json_cells(stream, text), text, faults)
        return
    header: list[str] | None = None
    ended = True
    for first_line, raw in _blocks(stream, text.where):
        line, block = first_line, raw
        ended = raw.endswith((b"\n", b"\r"))
        if header is None:
            head, _, block = raw.partition(b"\n")
            header, line = _header(head, text), first_line + 1
        if block.strip():
            yield from _block(block, line, header, text, faults)
    if header is None:
        raise DataError("the file is empty", where=text.where, mend="Fetch or export it again.")
    if not ended:
        notices.append(f"{text.where}: the last line has no end, so its last number may be cut short")


def _header(head: bytes, text: _Text) -> list[str]:
    decoded = head.decode("utf-8-sig", "replace")
    names = [name.strip().lower() for name in next(csv.reader([decoded]), [])]
    names = ["symbol" if name == "ticker" else name for name in names]
    when = [name for name in names if name in TIMES]
    lacking = [name for name in NUMBERS if name not in names]
    if text.symbol is None and "symbol" not in names:
        lacking.insert(0, "symbol")
    if not when:
        lacking.insert(0, "timestamp")
    if lacking or len(set(names)) < len(names):
        shown = ", ".join(names[:12]) or "nothing"
        what = f"column {', '.join(lacking)} is missing" if lacking else "a column stands there twice"
        mend = "Name the columns timestamp, symbol, open, high, low, close, volume."
        if lacking == ["symbol"]:
            mend = "Say with --symbol-in whether the file's name or its folder is the symbol."
        raise DataError(f"{what}; the first line is: {shown}", where=f"{text.where}:1", mend=mend)
    return names


def _blocks(stream: BinaryIO, where: str) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines, some megabytes at a time, with the number of the first."""
    line, rest = 1, b""
    while chunk := stream.read(_BLOCK_BYTES):
        rest += chunk
        cut = rest.rfind(b"\n") + 1
        if not cut:
            if len(rest) > _LINE_BYTES_MAX:
                raise DataError("a line of more than a megabyte: no text of bars", where=f"{where}:{line}")
            continue
        yield line, rest[:cut]
        line += rest.count(b"\n", 0, cut)
        rest = rest[cut:]
    if rest:
        yield line, rest


def _block(block: bytes, line: int, names: Sequence[str], text: _Text, faults: Faults) -> Iterator[Batch]:
    found = _fast(block, line, names, text)
    if found is not None:
        yield from found
        return
    yield from _rows_one_by_one(_csv_cells(block, line, names, text, faults), text, faults)


# --- a block at once ------------------------------------------------------------------------------------------------


def _fast(block: bytes, line: int, names: Sequence[str], text: _Text) -> list[Batch] | None:
    """Return the block's bars by symbol; None where anything about it needs a closer look."""
    when = next(name for name in names if name in TIMES)
    types = {when: pa.string(), **dict.fromkeys(NUMBERS, pa.float64())}
    if text.symbol is None:
        types["symbol"] = pa.dictionary(pa.int32(), pa.string())
    try:
        table = pa_csv.read_csv(
            io.BytesIO(block),
            read_options=pa_csv.ReadOptions(column_names=list(names), use_threads=False),
            parse_options=pa_csv.ParseOptions(quote_char=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=types, include_columns=list(types), null_values=[], quoted_strings_can_be_null=False
            ),
        )
        starts = moments(table.column(when), text.form)
    except (ValueError, OverflowError):  # pyarrow's own errors are these
        return None
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if starts is None or table.num_rows != lines or b'"' in block:
        return None
    rows = np.zeros(table.num_rows, ROW)
    rows["ts"] = starts - (text.form.span if text.form.end_stamped else 0)
    for name in NUMBERS:
        rows[name] = table.column(name).to_numpy()
    rows["file"], rows["line"] = text.number, np.arange(line, line + len(rows))
    return split(rows, table, text.symbol) if sound(rows).all() else None


def split(rows: Rows, table: pa.Table, symbol: str | None) -> list[Batch] | None:
    """Return `rows` by symbol; None where a symbol is none."""
    if symbol is not None:
        return [(symbol, rows)]
    column = table.column("symbol").unify_dictionaries()
    names = [str(name) for name in column.chunk(0).dictionary.to_pylist()] if column.num_chunks else []
    codes = np.concatenate([np.asarray(chunk.indices) for chunk in column.chunks]) if names else np.empty(0, int)
    if not all(SYMBOL.fullmatch(name) for name in names):
        return None
    return [(name, rows[codes == code]) for code, name in enumerate(names)]


# --- row by row -----------------------------------------------------------------------------------------------------

Cells = tuple[int, Mapping[str, object]]


def _csv_cells(block: bytes, line: int, names: Sequence[str], text: _Text, faults: Faults) -> Iterator[Cells]:
    for number, raw in enumerate(block.split(b"\n"), start=line):
        if not raw.strip():
            continue
        try:
            [cells] = csv.reader([raw.decode().rstrip("\r")], strict=True)
        except (UnicodeDecodeError, csv.Error, ValueError) as error:
            faults.add(text.where, number, f"is no line of cells: {error}")
            continue
        if len(cells) != len(names):
            faults.add(text.where, number, f"{len(cells)} cells, but the first line has {len(names)}")
            continue
        yield number, dict(zip(names, cells, strict=True))


def _json_cells(stream: BinaryIO, text: _Text) -> Iterator[Cells]:
    """Yield the objects of a JSON array, or of JSON lines."""
    decoder = json.JSONDecoder()
    reader = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="strict")
    line, rest, over, array = 1, "", False, None
    try:
        while True:
            skipped = rest.lstrip(" \t\r\n,")
            if array is None and skipped:
                array = skipped.startswith("[")
                skipped = skipped[array:].lstrip()
            line += rest.count("\n", 0, len(rest) - len(skipped))
            rest = skipped
            if over and rest.rstrip() == ("]" if array else ""):
                return
            try:
                value, end = decoder.raw_decode(rest)
            except ValueError as error:  # no JSON, not all of it yet, or a number of thousands of digits
                cut_short = isinstance(error, json.JSONDecodeError)
                if over or not cut_short or len(rest) > _LINE_BYTES_MAX + _BLOCK_BYTES:
                    mend = "Give an array of objects, or one object a line."
                    raise DataError(f"is no JSON: {error}", where=f"{text.where}:{line}", mend=mend) from None
                chunk = reader.read(_BLOCK_BYTES)
                rest, over = rest + chunk, not chunk
                continue
            yield from _objects(value, line, text)
            line += rest.count("\n", 0, end)
            rest = rest[end:]
    except (UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"is no JSON: {error}", where=f"{text.where}:{line}", mend="Write it as UTF-8.") from None
    finally:
        reader.detach()


def _objects(value: object, line: int, text: _Text) -> Iterator[Cells]:
    if not isinstance(value, dict):
        mend = "Give objects with timestamp, symbol, open, high, low, close, volume."
        raise DataError(f"{type(value).__name__} where a bar should be", where=f"{text.where}:{line}", mend=mend)
    named = {str(name).lower(): cell for name, cell in value.items()}
    yield line, {"symbol" if name == "ticker" else name: cell for name, cell in named.items()}


def _rows_one_by_one(cells: Iterator[Cells], text: _Text, faults: Faults) -> Iterator[Batch]:
    waiting: dict[str, list[tuple[object, ...]]] = {}
    count = 0
    for line, row in cells:
        try:
            symbol, *values = bar_of(row, text.symbol, text.form)
        except ValueError as error:
            faults.add(text.where, line, str(error))
            continue
        waiting.setdefault(symbol, []).append((*values, text.number, line))
        count += 1
        if count == _BATCH:
            yield from ((name, np.array(found, ROW)) for name, found in waiting.items())
            waiting, count = {}, 0
    yield from ((name, np.array(found, ROW)) for name, found in waiting.items())


def _lean(stream: BinaryIO, day: str, text: _Text, faults: Faults) -> Iterator[Batch]:
    """Yield the bars of a LEAN file: milliseconds since New York's midnight, prices in ten-thousandths, volume."""
    try:
        midnight = new_york(date.fromisoformat(day), time(0))
    except ValueError:
        raise DataError(
            f"{day} is no day", where=text.where, mend="Name it as 20140609_aapl_minute_trade.csv."
        ) from None
    found: list[tuple[object, ...]] = []
    for first_line, block in _blocks(stream, text.where):
        names = ("ms", *NUMBERS)
        for line, row in _csv_cells(block, first_line, names, text, faults):
            try:
                ms, *prices, volume = (number_of(row, name) for name in names)
                opened, high, low, close = (price / LEAN_SCALE for price in prices)
                why = why_unsound(opened, high, low, close, volume)
                start = midnight + round(ms) * MILLISECOND
                if why or start % MINUTE or not 0 <= ms < 86_400_000:  # noqa: PLR2004 - a day
                    raise ValueError(why or f"{ms:g} ms are no minute of a day")  # noqa: TRY301 - one place tells
            except ValueError as error:
                faults.add(text.where, line, str(error))
                continue
            found.append((start, opened, high, low, close, volume, text.number, line))
    if text.symbol is not None and found:
        yield text.symbol, np.array(found, ROW)
