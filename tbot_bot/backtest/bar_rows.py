"""One row of a text, or one block of rows: what makes it a bar, and what keeps it from being one."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tbot_bot.backtest.data_set import Rows
from tbot_bot.core.instants import MICROSECOND, MINUTE, Duration, instant

PRICES: Final = ("open", "high", "low", "close")
NUMBERS: Final = (*PRICES, "volume")
TIMES: Final = ("ts", "timestamp", "datetime", "time")
SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9.^/_-]{0,23}")
_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_MOST: Final = 1e12
_LAST_INSTANT: Final = 2**63 - 1
_SHOWN_MAX: Final = 40


class SymbolIn(StrEnum):
    """Where a file says whose bars it holds."""

    COLUMN = "column"
    NAME = "name"
    """The file's own name, without `intraday`, `1min` and the like."""
    FOLDER = "folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How times and symbols are written."""

    zone: ZoneInfo | None = None
    """Of times that carry none; None: they are refused."""
    end_stamped: bool = False
    """Whether a time is the end of its bar."""
    span: Duration = MINUTE
    """Length of a bar; needed for end stamps only."""
    symbol_in: SymbolIn = SymbolIn.COLUMN


def moments(column: pa.ChunkedArray, form: Form) -> NDArray[np.int64] | None:
    """Return nanoseconds UTC. A time on the clock of `form.zone` that came twice or never is refused."""
    if form.zone is None:
        times = column.cast(pa.timestamp("us", tz="UTC"))
    else:
        naive = column.cast(pa.timestamp("us"))
        times = pc.assume_timezone(naive, form.zone.key, ambiguous="raise", nonexistent="raise")
    micros = np.asarray(times.cast(pa.int64()).to_numpy(), dtype=np.int64)
    inside = (micros >= 0) & (micros < _LAST_INSTANT // MICROSECOND)
    return micros * MICROSECOND if inside.all() else None


def sound(rows: Rows) -> NDArray[np.bool_]:
    """Return which rows are bars: on the minute, prices positive and consistent, volume whole and not negative."""
    top, bottom = np.maximum(rows["open"], rows["close"]), np.minimum(rows["open"], rows["close"])
    good = (rows["ts"] % MINUTE == 0) & (rows["low"] > 0) & (rows["high"] < _MOST)
    good &= (rows["high"] >= top) & (rows["low"] <= bottom)
    volume = rows["volume"]
    found: NDArray[np.bool_] = good & (volume >= 0) & (volume < _MOST) & (volume == np.floor(volume))
    return found


def bar_of(
    row: Mapping[str, object], given: str | None, form: Form
) -> tuple[str, int, float, float, float, float, float]:
    """Return symbol, start and numbers of a row.

    Raises:
        ValueError: says what is wrong with it.
    """
    symbol = given or row.get("symbol")
    if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol):
        msg = f"symbol is {_shown(symbol)}: capitals, digits and .^/_- are expected"
        raise ValueError(msg)
    start = _start(next((row[name] for name in TIMES if name in row), None), form)
    opened, high, low, close, volume = (number_of(row, name) for name in NUMBERS)
    why = why_unsound(opened, high, low, close, volume)
    if start % MINUTE:
        why = "the start is not on a whole minute"
    if why:
        raise ValueError(why)
    return symbol, start, opened, high, low, close, volume


def why_unsound(opened: float, high: float, low: float, close: float, volume: float) -> str:
    """Return what keeps these from being a bar; empty: nothing."""
    if low <= 0 or min(opened, high, close) <= 0:
        return f"a price is not positive (open {opened:g}, high {high:g}, low {low:g}, close {close:g})"
    if high < low:
        return f"high {high:g} is below low {low:g}"
    if high < max(opened, close) or low > min(opened, close):
        return f"open {opened:g} or close {close:g} lies outside low {low:g} to high {high:g}"
    if not 0 <= volume < _MOST or high >= _MOST:
        return f"volume {volume:g} is negative or beyond belief" if high < _MOST else "a price beyond belief"
    return f"volume {volume:g} is no whole number of shares" if volume != int(volume) else ""


def number_of(row: Mapping[str, object], name: str) -> float:
    value = row.get(name)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known and not (isinstance(value, str) and _NUMBER.fullmatch(value.strip(" \t"))):
        msg = f"{name} is {_shown(value)}: no number"
        raise ValueError(msg)
    found = float(str(value))  # of an integer of JSON, too, which may be of any length
    if not math.isfinite(found):
        msg = f"{name} is {_shown(value)}: not finite"
        raise ValueError(msg)
    return found


def _start(value: object, form: Form) -> int:
    if not isinstance(value, str):
        msg = f"the time is {_shown(value)}: write 2018-03-02T14:30:00Z"
        raise ValueError(msg)  # noqa: TRY004 - one kind of error for a row
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        msg = f"the time is {_shown(value)}: write 2018-03-02T14:30:00Z"
        raise ValueError(msg) from None
    if form.zone is None and moment.tzinfo is None:
        msg = f"the time {_shown(value)} has no zone, and none is guessed: give --zone where all times are of one"
        raise ValueError(msg)
    if form.zone is not None:
        moment = _placed(moment, form.zone, value)
    found = instant(moment) - (form.span if form.end_stamped else 0)
    if not 0 <= found < _LAST_INSTANT:
        msg = f"the time {_shown(value)} is centuries away"
        raise ValueError(msg)
    return found


def _placed(moment: datetime, zone: ZoneInfo, text: str) -> datetime:
    if moment.tzinfo is not None:
        msg = f"the time {_shown(text)} has a zone of its own, though --zone says there is none"
        raise ValueError(msg)
    early, late = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() != late.utcoffset():
        msg = f"the time {_shown(text)} is in the hour of a clock change in {zone.key}: nobody can tell which is meant"
        raise ValueError(msg)
    return early


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
