"""A seeded tape of any size as arrays: minute bars of a grid without holes, made straight into `BarArrays`."""

from datetime import date, timedelta

import numpy as np

from tbot_bot.backtest.bar_arrays import BarArrays
from tbot_bot.core.calendar import is_trading_day, trading_day
from tbot_bot.core.instants import MINUTE
from tbot_bot.marketdata.vix import DailyVix

MINUTES = 390
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
