"""Walk-forward: choose on some days, trade the next ones with the choice, move on; the accounts live through it all.

A choice is made from runs whose last day is the in-sample window's last, so nothing later can be in it. Every in-sample
run begins with the floats of the settings; out of sample each window begins with what the one before it left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tbot_bot.backtest.backtest_engine import DataSet
from tbot_bot.backtest.data_verdict import notes_on
from tbot_bot.backtest.model import BacktestRequest
from tbot_bot.backtest.objective import Objective
from tbot_bot.backtest.resampling import figures_of
from tbot_bot.backtest.sweep import REPORT, CrewFor, Progress
from tbot_bot.backtest.sweep_crew import Crew
from tbot_bot.backtest.sweep_errand import Outcome, Task
from tbot_bot.backtest.sweep_folder import digests, finished_at, put
from tbot_bot.backtest.sweep_grid import Grid
from tbot_bot.backtest.sweep_log import SweepLog, opened
from tbot_bot.backtest.sweep_plan import Planned, planned
from tbot_bot.backtest.sweep_result import Pair
from tbot_bot.backtest.walk_forward_page import WalkPage, page_of
from tbot_bot.backtest.walk_forward_result import (
    EQUITY,
    IN_SAMPLE,
    WINDOWS,
    WalkForwardSummary,
    WalkWindow,
    Window,
    equity_parquet,
    in_sample_parquet,
    windows_parquet,
)
from tbot_bot.config.error_handler import DataError
from tbot_bot.marketdata.recorded_loader import HISTORY_DAYS
from tbot_bot.reporting.shapes import text_of, to_plain

SUMMARY: Final = "walk_forward.json"
SEED: Final = 20140814
"""Of the stitched figures' ranges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How the days are cut into windows, and what is looked for in them."""

    inside: int
    """Trading days of an in-sample window; of the first one where anchored."""
    outside: int
    anchored: bool
    """Whether every in-sample window begins with the first day."""
    objective: Objective

    def __str__(self) -> str:
        """Return the split in words."""
        how = "anchored" if self.anchored else "rolling"
        return f"walk-forward of {self.inside} days in, {self.outside} days out, {how}, by {self.objective}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """A walk-forward that is over."""

    folder: Path
    summary: WalkForwardSummary
    resumed: int
    """Runs that an earlier attempt had made; all of them where there was nothing left to do."""


def windows_of(days: Sequence[date], split: Split) -> list[Window]:
    """Return the windows over `days`; the last one's out-of-sample part may be shorter.

    Raises:
        DataError: there are too few days for one.
    """
    if len(days) <= split.inside:
        mend = "Choose more days, or a shorter --in-sample."
        what = f"{len(days)} trading days with data, and {split.inside} are to choose by: none is left to try it on"
        raise DataError(what, where="--in-sample", mend=mend)
    found = []
    for number, begin in enumerate(range(split.inside, len(days), split.outside), 1):
        first = 0 if split.anchored else begin - split.inside
        outside = tuple(days[begin : begin + split.outside])
        found.append(Window(number=number, inside=tuple(days[first:begin]), outside=outside))
    return found


def chosen(found: Sequence[Outcome], objective: Objective) -> int:
    """Return the number of the best set: the first of equals."""
    merits = [objective.merit(outcome.performance) for outcome in found]
    return merits.index(max(merits))


def walk_forward(
    request: BacktestRequest,
    grid: Grid,
    split: Split,
    folder: Path,
    crew_for: CrewFor,
    *,
    anew: bool = False,
    progress: Progress = lambda _done, _of, _known: None,
) -> Walked:
    """Walk forward over the days of `request` and keep the results at `folder`; resumable as a sweep is.

    Raises:
        ConfigError: settings or combinations that cannot be used.
        AnotherSweep, DataError, MachineError, SweepUnderWay: see the message; `folder` is as it was.
    """
    plan = planned(request, grid, str(split))
    before = finished_at(folder, SUMMARY, WalkForwardSummary, plan.plan, anew=anew)
    if before is not None:
        return Walked(folder=folder, summary=before, resumed=len(before.windows) * (len(grid) + 1))
    days, earlier = _days(request)
    windows = windows_of(days, split)
    with opened(folder, plan.plan, anew=anew) as log:
        resumed = len(log.known)
        with crew_for(plan.errand) as crew:
            walk = _Walk(crew, log, progress, len(windows) * (len(grid) + 1))
            inside = _inside(walk, grid, windows)
            choices = [chosen(found, split.objective) for found in inside]
            outside = _outside(walk, grid, windows, choices)
        made = _results(grid, split, windows, choices, inside, outside)
        summary, files = _furnished(plan, request, split, made, inside, outside, earlier)
        put(files, folder)
    return Walked(folder=folder, summary=summary, resumed=resumed)


class _Walk:
    """The runs of one walk-forward, with their progress."""

    def __init__(self, crew: Crew, log: SweepLog, progress: Progress, total: int) -> None:
        """`total` runs are to be made; those that `log` knows are made already."""
        self._crew, self._log, self._progress, self._total = crew, log, progress, total
        self._known: Final = len(log.known)
        self._done = self._known
        progress(self._done, total, self._known)

    def run(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Return the outcome of each task, in order."""
        due = [task for task in tasks if task.key not in self._log.known]
        for outcome in self._crew(due) if due else ():
            self._log.add(outcome)
            self._done += 1
            self._progress(self._done, self._total, self._known)
        return [self._log.known[task.key] for task in tasks]


def _days(request: BacktestRequest) -> tuple[list[date], int]:
    """Return the days of the range with data, and how many of the days before it can be looked back at."""
    data = DataSet(request.data, vix=request.vix, cache=request.cache)
    if data.arrays is None:
        return [day.day.day for day in data.days(request.first, request.last)], 0
    days = [day for day in data.arrays.days if request.first <= day <= request.last]
    return days, min(HISTORY_DAYS, sum(1 for day in data.arrays.days if day < request.first))


def _inside(walk: _Walk, grid: Grid, windows: Sequence[Window]) -> list[list[Outcome]]:
    sets = list(grid.sets())
    tasks = [
        Task(key=f"{window.number}/{number}", pairs=pairs, first=window.inside[0], last=window.inside[-1])
        for window in windows
        for number, pairs in enumerate(sets)
    ]
    found = walk.run(tasks)
    return [found[place : place + len(sets)] for place in range(0, len(found), len(sets))]


def _outside(walk: _Walk, grid: Grid, windows: Sequence[Window], choices: Sequence[int]) -> list[Outcome]:
    found: list[Outcome] = []
    for window, number in zip(windows, choices, strict=True):
        task = Task(
            key=f"{window.number}/outside",
            pairs=grid.pairs(number),
            first=window.outside[0],
            last=window.outside[-1],
            cash=tuple((account.broker, account.equity) for account in found[-1].accounts) if found else (),
            with_trades=True,
        )
        found += walk.run([task])
    return found


def _results(
    grid: Grid,
    split: Split,
    windows: Sequence[Window],
    choices: Sequence[int],
    inside: Sequence[Sequence[Outcome]],
    outside: Sequence[Outcome],
) -> tuple[WalkWindow, ...]:
    return tuple(
        WalkWindow(
            number=window.number,
            inside_first=window.inside[0],
            inside_last=window.inside[-1],
            inside_days=len(window.inside),
            outside_first=window.outside[0],
            outside_last=window.outside[-1],
            outside_days=len(window.outside),
            set=number + 1,
            settings=tuple(Pair(name=name, value=value) for name, value in grid.pairs(number)),
            inside=split.objective.of(own[number].performance),
            outside=split.objective.of(out.performance),
            pnl=out.performance.trades.pnl,
            trades=out.performance.trades.trades,
        )
        for window, number, own, out in zip(windows, choices, inside, outside, strict=True)
    )


def _furnished(
    plan: Planned,
    request: BacktestRequest,
    split: Split,
    windows: tuple[WalkWindow, ...],
    inside: Sequence[Sequence[Outcome]],
    outside: Sequence[Outcome],
    earlier: int,
) -> tuple[WalkForwardSummary, dict[str, bytes]]:
    days = [day for outcome in outside for day in outcome.days()]
    figures = figures_of(days, [trade for outcome in outside for trade in outcome.trades], SEED)
    page = WalkPage(
        request=request,
        plan=plan.plan,
        grid=plan.grid,
        objective=split.objective,
        anchored=split.anchored,
        windows=windows,
        outside=outside,
        figures=figures,
        warm_up=_warm_up(earlier),
        notes=notes_on(request.data),
    )
    files = {
        WINDOWS: windows_parquet(plan.grid, windows, outside),
        IN_SAMPLE: in_sample_parquet(plan.grid, inside),
        EQUITY: equity_parquet(outside),
        REPORT: page_of(page),
    }
    summary = WalkForwardSummary(
        plan=plan.plan,
        objective=split.objective,
        anchored=split.anchored,
        windows=windows,
        figures=figures,
        warm_up=_warm_up(earlier),
        files=digests(files),
    )
    files[SUMMARY] = f"{text_of(to_plain(summary), indent=1)}\n".encode()
    return summary, files


def _warm_up(earlier: int) -> str:
    return (
        f"Warm-up: each day looks back at up to {HISTORY_DAYS} earlier trading days of the same data (previous close, "
        "average volume, the volatility of modelled puts), also across the border of its window, never ahead; "
        f"before the first day there are {earlier} to look back at. Indicators begin with each day."
    )


__all__ = ["SEED", "SUMMARY", "Split", "Walked", "chosen", "walk_forward", "windows_of"]
