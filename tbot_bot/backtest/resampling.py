"""How far the figures could lie from what they are by chance: intervals from resampled days.

The stationary bootstrap (Politis and Romano 1994): days are drawn in runs of random length, about the cube root of
their number, so that what hangs together from day to day stays together, and a day's trades stay with their day.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.performance_metrics import (
    TRADING_DAYS_A_YEAR,
    DayOutcome,
    Performance,
    TradeOutcome,
    performance_of,
)

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2_000
DAYS_MIN: Final = 20
"""With fewer days the resamples are too alike to say anything."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where a figure lies with `CONFIDENCE`, by percentiles of the resamples in which it is defined."""

    name: str
    """As the field of `Performance` or `TradeFigures`; `max_drawdown` is the depth."""
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one backtest and how sure they are."""

    performance: Performance
    confidence: float
    resamples: int
    """0: too few days for intervals."""
    seed: int
    intervals: tuple[Interval, ...]

    def interval(self, name: str) -> Interval | None:
        """Return the interval of the figure `name`, if there is one."""
        return next((one for one in self.intervals if one.name == name), None)


def figures_of(days: Sequence[DayOutcome], trades: Sequence[TradeOutcome], seed: int) -> Figures:
    """Return figures and intervals; equal arguments give equal ones."""
    enough = len(days) >= DAYS_MIN
    return Figures(
        performance=performance_of(days, trades),
        confidence=CONFIDENCE,
        resamples=RESAMPLES if enough else 0,
        seed=seed,
        intervals=tuple(_intervals(days, trades, seed)) if enough else (),
    )


def resampled_days(count: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Return which days each resample is made of, resamples x count, by the stationary bootstrap."""
    dice = np.random.default_rng(seed)
    jump = 1.0 / max(1, round(math.cbrt(count)))
    drawn = dice.integers(0, count, (resamples, count))
    jumps = dice.random((resamples, count)) < jump
    jumps[:, 0] = True
    places = np.arange(count)
    since = np.maximum.accumulate(np.where(jumps, places, 0), axis=1)
    return (np.take_along_axis(drawn, since, axis=1) + places - since) % count


def _intervals(days: Sequence[DayOutcome], trades: Sequence[TradeOutcome], seed: int) -> list[Interval]:
    place = {day.day: number for number, day in enumerate(days)}
    sums = np.zeros((4, len(days)))  # trades, wins, dollars won, dollars lost
    for trade in trades:
        change = (1.0, float(trade.pnl > 0), max(trade.pnl, 0.0), max(-trade.pnl, 0.0))
        sums[:, place[trade.day]] += change
    drawn = resampled_days(len(days), RESAMPLES, seed)
    returns = np.array([day.ret for day in days])[drawn]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _of_trades(sums, drawn) | _of_returns(returns)
    return [made for name, values in found.items() if (made := _interval(name, values)) is not None]


def _of_trades(sums: Floats, drawn: NDArray[np.int64]) -> dict[str, Floats]:
    count, wins, won, lost = (one[drawn].sum(axis=1) for one in sums)
    average = (won - lost) / count
    losses = sums[0] - sums[1]  # flats count as losses of nothing
    return {
        "pnl": won - lost,
        "win_rate": wins / count,
        "average_pnl": average,
        "profit_factor": won / lost,
        "expectancy": average / (lost / losses[drawn].sum(axis=1)),
    }


def _of_returns(returns: Floats) -> dict[str, Floats]:
    year = math.sqrt(TRADING_DAYS_A_YEAR)
    middle = returns.mean(axis=1)
    growth = np.cumprod(1.0 + returns, axis=1)
    peaks = np.maximum(np.maximum.accumulate(growth, axis=1), 1.0)
    depth = (1.0 - growth / peaks).max(axis=1)
    yearly = np.maximum(growth[:, -1], 0.0) ** (TRADING_DAYS_A_YEAR / returns.shape[1]) - 1.0
    volatility = returns.std(axis=1, ddof=1) * year
    return {
        "total_return": growth[:, -1] - 1.0,
        "cagr": yearly,
        "volatility": volatility,
        "sharpe": middle * TRADING_DAYS_A_YEAR / volatility,
        "sortino": middle / np.sqrt((np.minimum(returns, 0.0) ** 2).mean(axis=1)) * year,
        "calmar": yearly / depth,
        "max_drawdown": depth,
    }


def _interval(name: str, values: Floats) -> Interval | None:
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2:
        return None
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(known, (tail, 1.0 - tail))
    return Interval(name=name, low=float(f"{low:.9g}"), high=float(f"{high:.9g}"))


__all__ = ["CONFIDENCE", "DAYS_MIN", "RESAMPLES", "Figures", "Interval", "figures_of", "resampled_days"]
