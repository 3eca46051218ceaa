"""A finished sweep as tables and as judgement: one row a set, daily returns, the best set and the worth of choosing it.

Equal outcomes give equal bytes: rows are in the grid's order, whoever computed them and in whichever order.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tbot_bot.backtest.model import EngineChoice
from tbot_bot.backtest.objective import Objective
from tbot_bot.backtest.overfitting import BLOCKS, deflated_sharpe_of, overfitting
from tbot_bot.backtest.performance_metrics import Drawdown, Performance, TradeFigures, sharpe_a_day
from tbot_bot.backtest.run_manifest import Digest
from tbot_bot.backtest.sweep_errand import Outcome
from tbot_bot.backtest.sweep_grid import Axis, Grid
from tbot_bot.backtest.sweep_plan import SweepPlan
from tbot_bot.reporting.shapes import from_plain

RESULTS: Final = "results.parquet"
DAILY: Final = "daily_returns.parquet"
BLOCKS_MIN: Final = 6
"""With fewer blocks of days there are fewer than 20 ways to halve them."""

Cell = float | int | str | date | None

_FIGURES: Final[tuple[tuple[str, pa.DataType, Callable[[Performance], Cell]], ...]] = (
    ("pnl", pa.float64(), lambda found: found.trades.pnl),
    ("total_return", pa.float64(), lambda found: found.total_return),
    ("cagr", pa.float64(), lambda found: found.cagr),
    ("sharpe", pa.float64(), lambda found: found.sharpe),
    ("sortino", pa.float64(), lambda found: found.sortino),
    ("calmar", pa.float64(), lambda found: found.calmar),
    ("volatility", pa.float64(), lambda found: found.volatility),
    ("max_drawdown", pa.float64(), lambda found: _of(found.drawdown, lambda fall: fall.depth)),
    ("max_drawdown_dollars", pa.float64(), lambda found: _of(found.drawdown, lambda fall: fall.dollars)),
    ("max_drawdown_days", pa.int32(), lambda found: _of(found.drawdown, lambda fall: fall.days)),
    ("max_drawdown_peak", pa.date32(), lambda found: _of(found.drawdown, lambda fall: fall.peak)),
    ("max_drawdown_trough", pa.date32(), lambda found: _of(found.drawdown, lambda fall: fall.trough)),
    ("max_drawdown_recovered", pa.date32(), lambda found: _of(found.drawdown, lambda fall: fall.recovered)),
    ("days", pa.int32(), lambda found: found.days),
    ("trades", pa.int32(), lambda found: found.trades.trades),
    ("wins", pa.int32(), lambda found: found.trades.wins),
    ("losses", pa.int32(), lambda found: found.trades.losses),
    ("win_rate", pa.float64(), lambda found: found.trades.win_rate),
    ("average_pnl", pa.float64(), lambda found: found.trades.average_pnl),
    ("average_minutes", pa.float64(), lambda found: found.trades.average_minutes),
    ("profit_factor", pa.float64(), lambda found: found.trades.profit_factor),
    ("expectancy", pa.float64(), lambda found: found.trades.expectancy),
    ("exposure", pa.float64(), lambda found: found.exposure),
    ("turnover", pa.float64(), lambda found: found.turnover),
)
"""Column, type and figure; as in a backtest's `metrics.json`, to the last bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Which set is best, and how much of that the searching alone explains."""

    order: tuple[int, ...]
    """Numbers of the sets, the best first: by the objective, then by result, then as the grid has them."""
    deflated_sharpe: float | None
    """How probable it is that the best one's Sharpe ratio is more than the luck of choosing; None: not defined."""
    overfitting: float | None
    """Probability of backtest overfitting; None where there are too few days or sets."""
    blocks: int
    halvings: int
    traded: int
    """Sets with at least one trade."""

    @property
    def best(self) -> int:
        """Return the number of the best set."""
        return self.order[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A setting and its value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedSet:
    """One set of parameters and what it came to."""

    number: int
    """From 1, in the grid's order."""
    settings: tuple[Pair, ...]
    performance: Performance


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSummary:
    """What a finished sweep says of itself (`sweep.json`)."""

    plan: SweepPlan
    objective: Objective
    """By which figure the best are the best; it changes nothing of what was computed."""
    traded: int
    deflated_sharpe: float | None
    overfitting: float | None
    blocks: int
    halvings: int
    best: tuple[RankedSet, ...]
    """The best ten."""
    files: tuple[Digest, ...]


def judged(found: Sequence[Outcome], objective: Objective = Objective.SHARPE) -> Judged:
    """Return the judgement over all sets, given in the grid's order.

    What searching explains is told of daily Sharpe ratios, as it is published, whatever the `objective`.
    """
    returns = [outcome.returns() for outcome in found]
    sharpes = [sharpe_a_day(one) or 0.0 for one in returns]
    merits = [objective.merit(outcome.performance) for outcome in found]
    order = sorted(range(len(found)), key=merits.__getitem__, reverse=True)
    blocks = min(BLOCKS, len(returns[0]) // 2 // 2 * 2)
    table = np.array(returns).T
    enough = len(found) > 1 and blocks >= BLOCKS_MIN
    over = overfitting(table, blocks) if enough else None
    return Judged(
        order=tuple(order),
        deflated_sharpe=deflated_sharpe_of(returns[order[0]], sharpes),
        overfitting=None if over is None else over.probability,
        blocks=blocks if over is not None else 0,
        halvings=0 if over is None else over.halvings,
        traded=sum(1 for outcome in found if outcome.performance.trades.trades),
    )


def ranked(grid: Grid, found: Sequence[Outcome], numbers: Sequence[int]) -> tuple[RankedSet, ...]:
    """Return the sets `numbers` with what they came to."""
    return tuple(
        RankedSet(
            number=number + 1,
            settings=tuple(Pair(name=name, value=value) for name, value in grid.pairs(number)),
            performance=found[number].performance,
        )
        for number in numbers
    )


def results_parquet(grid: Grid, found: Sequence[Outcome]) -> bytes:
    """Return one row a set: its number from 1, parameters, figures, engine."""
    columns: dict[str, pa.Array] = {"set": pa.array(range(1, len(found) + 1), pa.int32())}
    for place, axis in enumerate(grid.axes):
        columns[axis.name] = column_of(axis, [grid.places(number)[place] for number in range(len(found))])
    columns |= figure_columns([outcome.performance for outcome in found])
    columns["signals_dropped"] = pa.array([outcome.signals_dropped for outcome in found], pa.int32())
    columns["entries_unfilled"] = pa.array([outcome.entries_unfilled for outcome in found], pa.int32())
    columns["equity_before"] = pa.array([outcome.worth[0] for outcome in found], pa.float64())
    columns["engine"] = pa.array([outcome.engine.value for outcome in found], pa.string())
    columns["fallback"] = pa.array([outcome.fallback for outcome in found], pa.string())
    return parquet(columns)


def daily_parquet(found: Sequence[Outcome]) -> bytes:
    """Return one row a set and day: return as a fraction, dollars in all accounts at the day's end."""
    dates = [day for outcome in found for day in outcome.dates]
    numbers = [number for number, outcome in enumerate(found, 1) for _ in outcome.dates]
    return parquet(
        {
            "set": pa.array(numbers, pa.int32()),
            "day": pa.array(dates, pa.date32()),
            "return": pa.array([ret for outcome in found for ret in outcome.returns()], pa.float64()),
            "equity": pa.array([worth for outcome in found for worth in outcome.worth[1:]], pa.float64()),
        }
    )


def outcomes_in(folder: Path) -> list[Outcome]:
    """Return the outcomes that the tables of a finished sweep hold: all but the accounts and the trades."""
    sets = cast("list[dict[str, Cell]]", pq.read_table(folder / RESULTS).to_pylist())
    rows = cast("list[dict[str, Cell]]", pq.read_table(folder / DAILY).to_pylist())
    days = [list(own) for _, own in groupby(rows, key=lambda row: row["set"])]
    return [_outcome(row, own) for row, own in zip(sets, days, strict=True)]


def _outcome(row: Mapping[str, Cell], days: Sequence[Mapping[str, Cell]]) -> Outcome:
    return Outcome(
        key=str(cast("int", row["set"]) - 1),
        performance=_performance(row),
        dates=tuple(cast("date", day["day"]) for day in days),
        worth=(cast("float", row["equity_before"]), *(cast("float", day["equity"]) for day in days)),
        accounts=(),
        signals_dropped=cast("int", row["signals_dropped"]),
        entries_unfilled=cast("int", row["entries_unfilled"]),
        engine=EngineChoice(str(row["engine"])),
        fallback=str(row["fallback"]),
    )


def _performance(row: Mapping[str, Cell]) -> Performance:
    def told(name: str) -> float | int | str | None:
        cell = row[name]
        return cell.isoformat() if isinstance(cell, date) else cell

    fall = {name: told(f"max_drawdown_{name}") for name in Drawdown.__dataclass_fields__ if name != "depth"}
    own = {name: told(name) for name in Performance.__dataclass_fields__ if name not in {"trades", "drawdown"}}
    depth = told("max_drawdown")
    return from_plain(
        Performance,
        own
        | {
            "trades": {name: told(name) for name in TradeFigures.__dataclass_fields__},
            "drawdown": None if depth is None else {"depth": depth, **fall},
        },
    )


def column_of(axis: Axis, places: Sequence[int]) -> pa.Array:
    """Return a column of the axis's values: numbers where all are, else as the settings file says them."""
    if axis.numeric:
        numbers = [float(value) for value in axis.values]
        return pa.array([numbers[place] for place in places], pa.float64())
    return pa.array([axis.values[place] for place in places], pa.string())


def figure_columns(found: Sequence[Performance]) -> dict[str, pa.Array]:
    """Return the figures as columns."""
    return {name: pa.array([figure(one) for one in found], kind) for name, kind, figure in _FIGURES}


def parquet(columns: dict[str, pa.Array]) -> bytes:
    """Return the columns as a Parquet file."""
    text = io.BytesIO()
    pq.write_table(pa.table(columns), text, compression="zstd")
    return text.getvalue()


def _of(fall: Drawdown | None, figure: Callable[[Drawdown], Cell]) -> Cell:
    return None if fall is None else figure(fall)


__all__ = [
    "DAILY", "RESULTS", "Judged", "Pair", "RankedSet", "SweepSummary", "column_of", "daily_parquet",
    "figure_columns", "judged", "outcomes_in", "parquet", "ranked", "results_parquet",
]  # fmt: skip
