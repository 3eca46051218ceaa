"""A walk-forward as records and tables: windows with what was chosen in them, in-sample figures, stitched equity."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import pyarrow as pa

from tbot_bot.backtest.objective import Objective
from tbot_bot.backtest.resampling import Figures
from tbot_bot.backtest.run_manifest import Digest
from tbot_bot.backtest.sweep_errand import Outcome
from tbot_bot.backtest.sweep_grid import Grid
from tbot_bot.backtest.sweep_plan import SweepPlan
from tbot_bot.backtest.sweep_result import Pair, column_of, figure_columns, parquet

WINDOWS: Final = "windows.parquet"
IN_SAMPLE: Final = "in_sample.parquet"
EQUITY: Final = "equity.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Days to choose by, and the days after them to try the choice on."""

    number: int
    """From 1."""
    inside: tuple[date, ...]
    outside: tuple[date, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkWindow:
    """One window and what came of it."""

    number: int
    inside_first: date
    inside_last: date
    inside_days: int
    outside_first: date
    outside_last: date
    outside_days: int
    set: int
    """Which was chosen, from 1 in the grid's order."""
    settings: tuple[Pair, ...]
    inside: float | None
    """The objective in sample; None: not defined, for want of losses or of trades."""
    outside: float | None
    """The same figure out of sample."""
    pnl: float
    """Dollars out of sample, after fees."""
    trades: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardSummary:
    """What a finished walk-forward says of itself (`walk_forward.json`)."""

    plan: SweepPlan
    objective: Objective
    anchored: bool
    windows: tuple[WalkWindow, ...]
    figures: Figures
    """Over all out-of-sample days and trades, stitched."""
    warm_up: str
    files: tuple[Digest, ...]


def windows_parquet(grid: Grid, windows: Sequence[WalkWindow], outside: Sequence[Outcome]) -> bytes:
    """Return one row a window: days, chosen set and settings, objective in and out of sample, figures out of sample."""
    columns: dict[str, pa.Array] = {
        "window": pa.array([one.number for one in windows], pa.int32()),
        "in_sample_first": pa.array([one.inside_first for one in windows], pa.date32()),
        "in_sample_last": pa.array([one.inside_last for one in windows], pa.date32()),
        "out_of_sample_first": pa.array([one.outside_first for one in windows], pa.date32()),
        "out_of_sample_last": pa.array([one.outside_last for one in windows], pa.date32()),
        "set": pa.array([one.set for one in windows], pa.int32()),
    }
    for place, axis in enumerate(grid.axes):
        columns[axis.name] = column_of(axis, [grid.places(one.set - 1)[place] for one in windows])
    columns["objective_in_sample"] = pa.array([one.inside for one in windows], pa.float64())
    columns["objective_out_of_sample"] = pa.array([one.outside for one in windows], pa.float64())
    return parquet(columns | figure_columns([outcome.performance for outcome in outside]))


def in_sample_parquet(grid: Grid, inside: Sequence[Sequence[Outcome]]) -> bytes:
    """Return one row for each window and set: settings and figures in sample."""
    rows = [(window, number) for window, found in enumerate(inside, 1) for number in range(len(found))]
    columns: dict[str, pa.Array] = {
        "window": pa.array([window for window, _ in rows], pa.int32()),
        "set": pa.array([number + 1 for _, number in rows], pa.int32()),
    }
    for place, axis in enumerate(grid.axes):
        columns[axis.name] = column_of(axis, [grid.places(number)[place] for _, number in rows])
    return parquet(columns | figure_columns([outcome.performance for found in inside for outcome in found]))


def equity_parquet(outside: Sequence[Outcome]) -> bytes:
    """Return one row for each out-of-sample day: its window, dollars in all accounts at its end, its return."""
    days = [(window, day) for window, outcome in enumerate(outside, 1) for day in outcome.days()]
    return parquet(
        {
            "day": pa.array([day.day for _, day in days], pa.date32()),
            "window": pa.array([window for window, _ in days], pa.int32()),
            "equity": pa.array([day.after for _, day in days], pa.float64()),
            "return": pa.array([day.ret for _, day in days], pa.float64()),
        }
    )


__all__ = [
    "EQUITY", "IN_SAMPLE", "WINDOWS", "WalkForwardSummary", "WalkWindow", "Window", "equity_parquet",
    "in_sample_parquet", "windows_parquet",
]  # fmt: skip
