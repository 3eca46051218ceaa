"""Splits and dividends: a file of them, and what they do to the prices of before.

    symbol,date,split,dividend
    AAPL,2014-06-09,7,
    KO,2014-06-12,,0.305

`date` is the ex-date, the first trading day at the new price, in New York. `split` is how many shares one became (0.1
where ten became one), `dividend` is dollars a share; an empty cell is none.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import numpy as np

from tbot_bot.backtest.data_set import Adjustment, Rows
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.calendar import CLOSING_BELL, NEW_YORK, new_york
from tbot_bot.core.instants import Instant, to_datetime

HEADER: Final = ("symbol", "date", "split", "dividend")
_DIGITS: Final = 6
"""Of an adjusted price, behind the point: finer than any quote, and free of the dust of divisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What happened to one share before the bell of `day`."""

    day: date
    split: Decimal = Decimal(1)
    dividend: Decimal = Decimal(0)


def read_actions(path: Path) -> Mapping[str, Sequence[Action]]:
    """Read a file of splits and dividends, by symbol, oldest first.

    Raises:
        DataError: says the line.
    """
    found: dict[str, list[Action]] = {}
    mend = f"Write lines of {','.join(HEADER)}, such as AAPL,2014-06-09,7,"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), mend=mend) from None
    if not lines or tuple(name.strip().lower() for name in lines[0].split(",")) != HEADER:
        raise DataError("the first line is not what is expected", where=f"{path}:1", mend=mend)
    for number, cells in enumerate(csv.reader(lines[1:]), start=2):
        if not cells:
            continue
        try:
            symbol, action = _action(cells)
        except (ValueError, InvalidOperation) as error:
            text = str(error) if isinstance(error, ValueError) else "a cell is no number"
            raise DataError(text, where=f"{path}:{number}", mend=mend) from None
        earlier = found.setdefault(symbol, [])
        if any(one.day == action.day for one in earlier):
            raise DataError(f"{symbol} {action.day} stands there twice", where=f"{path}:{number}", mend=mend)
        earlier.append(action)
    return {symbol: sorted(actions, key=lambda one: one.day) for symbol, actions in found.items()}


def _action(cells: Sequence[str]) -> tuple[str, Action]:
    if len(cells) != len(HEADER):
        msg = f"{len(cells)} cells, {len(HEADER)} are expected"
        raise ValueError(msg)
    symbol, day, split, dividend = (cell.strip() for cell in cells)
    action = Action(day=date.fromisoformat(day), split=Decimal(split or 1), dividend=Decimal(dividend or 0))
    if not symbol or not Decimal("0.0001") <= action.split <= Decimal(10_000):
        msg = "no symbol" if not symbol else f"a split of {split} to 1 is none"
        raise ValueError(msg)
    if not 0 <= action.dividend < Decimal(100_000):
        msg = f"a dividend of {dividend} is none"
        raise ValueError(msg)
    return symbol, action


def adjusted(rows: Rows, actions: Sequence[Action], how: Adjustment, where: str) -> Rows:
    """Return the bars of one symbol with the prices and volumes of before each action as if it had happened already.

    Raises:
        DataError: a dividend is not below the last close before it.
    """
    if how is Adjustment.NONE or not actions or not len(rows):
        return rows
    found = rows.copy()
    for action in actions:
        cut = int(np.searchsorted(rows["ts"], new_york(action.day, time(0))))
        if not cut:
            continue
        factor = 1.0
        if action.split != 1:
            factor = float(1 / action.split)
            found["volume"][:cut] = np.round(found["volume"][:cut] * float(action.split))
        if how is Adjustment.ALL and action.dividend:
            close = _last_close(rows, cut)
            if float(action.dividend) >= close:
                what = f"a dividend of {action.dividend} on {action.day} is not below the close before it, {close:g}"
                raise DataError(what, where=where, mend="Look at the file of splits and dividends.")
            factor *= 1 - float(action.dividend) / close
        for name in ("open", "high", "low", "close"):
            found[name][:cut] *= factor
    for name in ("open", "high", "low", "close"):
        found[name] = np.round(found[name], _DIGITS)
    return found


def _last_close(rows: Rows, cut: int) -> float:
    """Return the last close of a regular session before row `cut`, as traded."""
    for row in range(cut - 1, -1, -1):
        if to_datetime(Instant(int(rows["ts"][row]))).astimezone(NEW_YORK).time() < CLOSING_BELL:
            return float(rows["close"][row])
    return float(rows["close"][cut - 1])


__all__ = ["HEADER", "Action", "adjusted", "read_actions"]
