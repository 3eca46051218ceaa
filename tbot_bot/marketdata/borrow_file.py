"""Which shares could be borrowed on which day, out of a file: `date,symbol,shares,rate`.

A day that stands in the file is known whole: a symbol without a row could not be borrowed, unless the day has a row for
`*`, which speaks for all that are not named. An empty `shares` is as many as wanted, 0 is none. A day without any row
says nothing: then the default rule holds. `rate` (percent a year) is read and checked, no more: positions are closed
before the night in which it would be owed.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.money import ZERO, exact

_COLUMNS: Final = ("date", "symbol", "shares")
_RATE: Final = "rate"
_OTHERS: Final = "*"
_NONE: Final[Mapping[str, Decimal | None]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class BorrowList:
    """Shares to borrow by day and symbol; None is as many as wanted."""

    days: Mapping[date, Mapping[str, Decimal | None]]

    def shares(self, symbol: str, day: date) -> Decimal | None:
        """Return how many shares of `symbol` could be borrowed on `day`; None: as many as wanted."""
        rows = self.days.get(day)
        if rows is None:
            return None
        return rows[symbol] if symbol in rows else rows.get(_OTHERS, ZERO)

    def without(self, days: Sequence[date]) -> tuple[date, ...]:
        """Return those of `days` that the file says nothing of."""
        return tuple(day for day in days if day not in self.days)


def read_borrow_list(path: Path) -> BorrowList:
    """Read the file at `path`.

    Raises:
        DataError: unreadable, other columns, a date or number that is none, a symbol twice on a day; by line.
    """
    found: dict[date, dict[str, Decimal | None]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            names = [name.strip() for name in rows.fieldnames or ()]
            missing = [name for name in _COLUMNS if name not in names]
            if missing:
                what = f"columns {', '.join(names) or 'none'} found, {', '.join(missing)} missing"
                raise DataError(what, where=str(path), mend=f"The first line must read {','.join(_COLUMNS)},{_RATE}.")
            rows.fieldnames = names
            for row in rows:
                where = f"{path}:{rows.line_num}"
                if None in row or None in row.values():
                    raise DataError(f"{len(names)} cells expected", where=where, mend="Separate them by commas.")
                _take(found, row, where)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), mend="Give a CSV file in UTF-8.") from None
    if not found:
        raise DataError("no row", where=str(path), mend="Leave --borrow out to let every share be borrowed.")
    return BorrowList(days=found)


def _take(found: dict[date, dict[str, Decimal | None]], row: Mapping[str, str], where: str) -> None:
    try:
        day = date.fromisoformat(row["date"].strip())
    except ValueError:
        raise DataError(f"{row['date']!r} is no date", where=where, mend="Write it as 2025-12-02.") from None
    symbol = row["symbol"].strip().upper()
    if not symbol:
        raise DataError("a row without a symbol", where=where, mend="Name the share, or * for all others.")
    shares = _number(row["shares"], "shares", where)
    _number(row.get(_RATE, ""), _RATE, where, negative=True)
    rows = found.setdefault(day, {})
    if symbol in rows:
        raise DataError(f"{symbol} stands twice on {day}", where=where, mend="Leave one of the rows.")
    rows[symbol] = shares


def _number(text: str, name: str, where: str, *, negative: bool = False) -> Decimal | None:
    """Return what the cell says, None where it is empty; rebate rates may be below zero."""
    if not text.strip():
        return None
    try:
        number = exact(text.strip())
    except ValueError as error:
        raise DataError(f"{name}: {error}", where=where, mend="Leave the cell empty where unknown.") from None
    if number < ZERO and not negative:
        raise DataError(f"{name} {number} is negative", where=where, mend="Write 0 where none could be borrowed.")
    return number


__all__ = ["BorrowList", "read_borrow_list"]
