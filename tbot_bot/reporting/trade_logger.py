"""The trade history: one row for each trade that is over, was refused or failed; CSV and a JSON array.

Both files hold the same rows and are replaced whole, so that a reader never meets half a row. Rows are in
the order of the days and, within a day, of the decisions. A rehearsal (`2025-09-02/open#2`) takes the place
of the earlier runs of its day and strategy: only the latest run of each is shown.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from tbot_bot.core.codec import Json
from tbot_bot.core.commands import SignalDropped, TradeRecord
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.core.instants import Instant, iso
from tbot_bot.core.money import ZERO, plain
from tbot_bot.core.orders import Direction
from tbot_bot.reporting.shapes import text_of

COLUMNS: Final = (
    "timestamp", "entry_timestamp", "trade_id", "strategy_name", "ticker", "underlying", "side", "instrument",
    "size", "entry_price", "exit_price", "PnL", "fees", "slippage", "exit_reason", "broker", "mode", "session_id",
    "tags", "error_code",
)  # fmt: skip
ALL_BROKERS: Final = "all"
"""Shown as broker of a signal that was dropped before any broker was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRow:
    """One row; money in dollars, `pnl` after fees. `error_code` is empty for trades that went as they should."""

    timestamp: Instant
    entry_timestamp: Instant | None
    trade_id: str
    strategy_name: str
    ticker: str
    underlying: str
    side: Direction
    instrument: str
    size: Decimal
    entry_price: Decimal | None
    exit_price: Decimal | None
    pnl: Decimal
    fees: Decimal
    slippage: Decimal
    exit_reason: str
    broker: str
    mode: Mode
    session_id: str
    tags: tuple[str, ...]
    error_code: str


def row_of(trade: TradeRecord) -> TradeRow:
    """Return the row of a trade that is over."""
    return TradeRow(
        timestamp=trade.at,
        entry_timestamp=trade.entered_at,
        trade_id=trade.trade_id,
        strategy_name=trade.strategy.value,
        ticker=trade.ticker,
        underlying=trade.underlying,
        side=trade.side,
        instrument=trade.instrument,
        size=trade.size,
        entry_price=trade.entry_price,
        exit_price=trade.exit_price,
        pnl=trade.pnl,
        fees=trade.fees,
        slippage=trade.slippage,
        exit_reason=trade.exit_reason,
        broker=trade.broker,
        mode=trade.mode,
        session_id=trade.session_id,
        tags=trade.tags,
        error_code=trade.error_code,
    )


def row_of_refusal(drop: SignalDropped, session: SessionId, mode: Mode, tags: tuple[str, ...]) -> TradeRow:
    """Return the row of a signal that became no order: nothing traded, the reason where a trade has its exit's."""
    return TradeRow(
        timestamp=drop.at,
        entry_timestamp=None,
        trade_id=drop.trade_id,
        strategy_name=session.strategy.value,
        ticker=drop.symbol,
        underlying=drop.symbol,
        side=drop.direction,
        instrument="",
        size=ZERO,
        entry_price=None,
        exit_price=None,
        pnl=ZERO,
        fees=ZERO,
        slippage=ZERO,
        exit_reason=drop.reason,
        broker=drop.broker or ALL_BROKERS,
        mode=mode,
        session_id=str(session),
        tags=tags,
        error_code=drop.code,
    )


def csv_of(rows: Iterable[TradeRow]) -> bytes:
    """Return the CSV file; tags are separated by semicolons, line breaks inside texts become spaces."""
    return files_of(rows)[0]


def json_of(rows: Iterable[TradeRow]) -> bytes:
    """Return the JSON file: an array with one row on each line; numbers are strings, exact to the last digit."""
    return files_of(rows)[1]


def files_of(rows: Iterable[TradeRow]) -> tuple[bytes, bytes]:
    """Return both files of the same rows: CSV and JSON."""
    text, lines = io.StringIO(), list[str]()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = _values(row)
        lines.append(text_of(values))
        values["tags"] = ";".join(row.tags)
        writer.writerow(["" if value is None else _in_one_line(str(value)) for value in values.values()])
    table = ",\n".join(lines)
    return text.getvalue().encode(), f"[\n{table}\n]\n".encode() if lines else b"[]\n"


def _in_one_line(text: str) -> str:
    return text if text.isprintable() else " ".join(text.splitlines())


def _values(row: TradeRow) -> dict[str, Json]:
    return {
        "timestamp": _time(row.timestamp),
        "entry_timestamp": None if row.entry_timestamp is None else _time(row.entry_timestamp),
        "trade_id": row.trade_id,
        "strategy_name": row.strategy_name,
        "ticker": row.ticker,
        "underlying": row.underlying,
        "side": row.side.value,
        "instrument": row.instrument,
        "size": plain(row.size),
        "entry_price": None if row.entry_price is None else plain(row.entry_price),
        "exit_price": None if row.exit_price is None else plain(row.exit_price),
        "PnL": _money(row.pnl),
        "fees": _money(row.fees),
        "slippage": _money(row.slippage),
        "exit_reason": row.exit_reason,
        "broker": row.broker,
        "mode": row.mode.value,
        "session_id": row.session_id,
        "tags": list(row.tags),
        "error_code": row.error_code,
    }


@lru_cache(maxsize=4096)
def _time(at: Instant) -> str:
    return iso(at)


def _money(amount: Decimal) -> str:
    """Return dollars with at least two decimals, never rounded."""
    if not amount:
        return "0.00"
    exponent = amount.normalize().as_tuple().exponent
    decimals = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{amount:.{decimals}f}"


__all__ = ["ALL_BROKERS", "COLUMNS", "TradeRow", "csv_of", "files_of", "json_of", "row_of", "row_of_refusal"]
