"""A seeded tape of any size as arrays: minute bars of a grid without holes, made straight into `BarArrays`."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tbot_bot.backtest.bar_arrays import BarArrays, columns_of
from tbot_bot.core.calendar import is_trading_day, trading_day
from tbot_bot.core.instants import MINUTE
from tbot_bot.marketdata.vix import DailyVix

MINUTES = 390
_GROUP_ROWS = 500_000
_GROUP_SYMBOLS = 5
_FIRST = date(2023, 1, 3)


def days_from(count: int) -> list[date]:
    """Return `count` trading days of full length."""
    found: list[date] = []
    day = _FIRST
    while len(found) < count:
        if is_trading_day(day) and not trading_day(day).early:
            found.append(day)
        day += timedelta(days=1)
    return found


def steady_vix(arrays: BarArrays) -> DailyVix:
    """Return a VIX of 20 on every day of `arrays`."""
    count = len(arrays.days)
    return DailyVix(days=arrays.days, opens=(20.0,) * count, closes=(20.0,) * count, source="made up")


def tape_of_arrays(symbols: int, days: int, seed: int = 1) -> BarArrays:
    """Return `symbols` random walks over `days` days; prices in cents, mostly between 5 and 100 dollars."""
    calendar = days_from(days)
    dice = np.random.default_rng(seed)
    per_symbol = days * MINUTES
    rows = symbols * per_symbol
    opens = np.array([trading_day(day).open_at for day in calendar])
    grid = (opens[:, None] + np.arange(MINUTES) * MINUTE).ravel()
    start = np.tile(grid, symbols)
    columns = [np.empty(rows) for _ in range(5)]
    for symbol in range(symbols):
        moves = dice.normal(0.0, dice.uniform(0.0005, 0.002), per_symbol)
        moves[::MINUTES] += dice.normal(0.0, 0.012, days)
        path = dice.uniform(15, 60) * np.exp(np.cumsum(moves - np.mean(moves)))
        close = np.round(path, 2)
        open_ = np.concatenate([close[:1], close[:-1]])
        reach = np.abs(dice.normal(0.0, 0.0004, (2, per_symbol)))
        here = slice(symbol * per_symbol, (symbol + 1) * per_symbol)
        columns[0][here], columns[3][here] = open_, close
        columns[1][here] = np.round(np.maximum(open_, close) * (1 + reach[0]) + 0.004, 2)
        columns[2][here] = np.round(np.minimum(open_, close) * (1 - reach[1]) - 0.004, 2)
        columns[4][here] = dice.integers(2_000, 60_000, per_symbol)
    first = (np.arange(symbols * days) * MINUTES).reshape(symbols, days)
    return BarArrays(
        names=tuple(f"T{number:04}" for number in range(symbols)),
        days=tuple(calendar),
        span=MINUTE,
        start=start,
        open=columns[0],
        high=columns[1],
        low=columns[2],
        close=columns[3],
        volume=columns[4],
        first=first,
        bell=first.copy(),
        stop=first + MINUTES,
        last_close=columns[3][first + MINUTES - 1],
        day_volume=columns[4].reshape(symbols, days, MINUTES).sum(axis=2),
    )


def write_parquet(arrays: BarArrays, path: Path, *, by_time: bool = False) -> None:
    """Write `arrays`, whole sessions all of them, by symbol and time or by time and symbol."""
    symbols, columns = len(arrays.names), columns_of(arrays)
    per_symbol = arrays.bars // symbols
    kind = pa.schema(
        [
            ("symbol", pa.dictionary(pa.int32(), pa.string())),
            ("ts", pa.timestamp("us", tz="UTC")),
            *((name, pa.float64()) for name in ("open", "high", "low", "close")),
            ("volume", pa.int64()),
        ]
    )
    names = pa.array(arrays.names)
    step = max(_GROUP_ROWS // symbols, 1)
    whole = [column.reshape(symbols, per_symbol) for column in columns]
    with pq.ParquetWriter(path, kind, compression="zstd", use_dictionary=["symbol"]) as writer:
        for begin in range(0, per_symbol, step) if by_time else range(0, symbols, _GROUP_SYMBOLS):
            if by_time:
                rows = [column[:, begin : begin + step].T.ravel() for column in whole]
                codes = np.tile(np.arange(symbols, dtype=np.int32), len(rows[0]) // symbols)
            else:
                rows = [column[begin : begin + _GROUP_SYMBOLS].ravel() for column in whole]
                codes = np.repeat(np.arange(begin, begin + len(rows[0]) // per_symbol, dtype=np.int32), per_symbol)
            cells = [pa.DictionaryArray.from_arrays(pa.array(codes), names)]
            cells.append(pa.array(rows[0] // 1000).cast(pa.timestamp("us", tz="UTC")))
            cells += [pa.array(values) for values in rows[1:5]]
            cells.append(pa.array(rows[5].astype(np.int64)))
            writer.write_table(pa.table(cells, schema=kind))
