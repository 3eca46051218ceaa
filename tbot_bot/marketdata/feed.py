"""The fundamentals beside a day's data."""

import csv
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.money import exact
from tbot_bot.core.screening import Fundamentals

FUNDAMENTALS_FILE: Final = "fundamentals.csv"
_COLUMNS: Final = ("symbol", "market_cap", "avg_volume", "sector")


def read_fundamentals(path: Path) -> Mapping[str, Fundamentals]:
    """Read `symbol,market_cap,avg_volume,sector`; dollars and shares a day, an empty cell is not known.

    Raises:
        DataError: unreadable, other columns, a symbol twice or missing, a number that is none or negative.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            names = [name.strip() for name in rows.fieldnames or ()]
            missing = [name for name in _COLUMNS if name not in names]
            if missing:
                raise DataError(
                    f"columns {', '.join(names) or 'none'} found, {', '.join(missing)} missing",
                    where=str(path),
                    mend=f"The first line must read {','.join(_COLUMNS)}.",
                )
            rows.fieldnames = names
            found: dict[str, Fundamentals] = {}
            for row in rows:
                facts = _facts(row, f"{path}:{rows.line_num}")
                if facts.symbol in found:
                    raise DataError(f"{facts.symbol} stands here twice", where=f"{path}:{rows.line_num}")
                found[facts.symbol] = facts
            return found
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from None


def _facts(row: Mapping[str, str | None], where: str) -> Fundamentals:
    symbol = (row["symbol"] or "").strip()
    if not symbol:
        raise DataError("a row without a symbol", where=where)
    return Fundamentals(
        symbol=symbol,
        market_cap=_number(row["market_cap"], "market_cap", where),
        average_volume=_number(row["avg_volume"], "avg_volume", where),
        sector=(row["sector"] or "").strip(),
    )


def _number(text: str | None, name: str, where: str) -> Decimal | None:
    if text is None or not text.strip():
        return None
    try:
        number = exact(text.strip())
    except ValueError as error:
        raise DataError(f"{name}: {error}", where=where, mend="Leave the cell empty where unknown.") from None
    if number < 0:
        raise DataError(f"{name} {number} is negative", where=where)
    return number
