"""A sweep from its plan to its folder: every set of parameters once, then tables and a page, put there at once."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.backtest.data_verdict import notes_on
from tbot_bot.backtest.model import BacktestRequest
from tbot_bot.backtest.objective import Objective
from tbot_bot.backtest.result_files import renew
from tbot_bot.backtest.sweep_crew import Crew
from tbot_bot.backtest.sweep_errand import Errand, Outcome, Task
from tbot_bot.backtest.sweep_folder import digests, finished_at, is_intact, put
from tbot_bot.backtest.sweep_grid import Grid
from tbot_bot.backtest.sweep_log import SweepLog, opened
from tbot_bot.backtest.sweep_page import SweepPage, page_of
from tbot_bot.backtest.sweep_plan import Planned, planned
from tbot_bot.backtest.sweep_result import (
    DAILY,
    RESULTS,
    SweepSummary,
    daily_parquet,
    judged,
    outcomes_in,
    ranked,
    results_parquet,
)
from tbot_bot.reporting.shapes import text_of, to_plain

REPORT: Final = "report.html"
SUMMARY: Final = "sweep.json"
WHAT: Final = "sweep"
"""What a plan calls it."""
_BEST: Final = 10
Progress = Callable[[int, int, int], None]
"""Told (done, of how many, of these done by an earlier attempt) at the beginning and after each task."""
CrewFor = Callable[[Errand], AbstractContextManager[Crew]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A sweep that is over."""

    folder: Path
    summary: SweepSummary
    resumed: int
    """Sets that an earlier attempt had computed; all of them where there was nothing left to do."""


def sweep(
    request: BacktestRequest,
    grid: Grid,
    folder: Path,
    crew_for: CrewFor,
    *,
    objective: Objective = Objective.SHARPE,
    anew: bool = False,
    progress: Progress = lambda _done, _of, _known: None,
) -> Swept:
    """Run every set of `grid` around `request` and keep the results at `folder`.

    May be ended at any moment: what is finished is kept beside `folder`, and the same call goes on. `anew` forgets it.
    The `objective` says which sets are the best; by another one a finished sweep is ordered again, not computed.

    Raises:
        ConfigError: settings or combinations that cannot be used.
        AnotherSweep, DataError, MachineError, SweepUnderWay: see the message; `folder` is as it was.
    """
    plan = planned(request, grid, WHAT)
    before = finished_at(folder, SUMMARY, SweepSummary, plan.plan, anew=anew, remade=(REPORT,))
    if before is not None:
        summary = _ordered(plan, request, folder, before, objective)
        return Swept(folder=folder, summary=summary, resumed=len(grid))
    tasks = [
        Task(key=str(number), pairs=pairs, first=request.first, last=request.last)
        for number, pairs in enumerate(grid.sets())
    ]
    with opened(folder, plan.plan, anew=anew) as log:
        resumed = len(log.known)
        with crew_for(plan.errand) as crew:
            found = done_by(crew, tasks, log, progress)
        summary, files = _furnished(plan, request, found, objective)
        put(files, folder)
    return Swept(folder=folder, summary=summary, resumed=resumed)


def done_by(crew: Crew, tasks: list[Task], log: SweepLog, progress: Progress) -> list[Outcome]:
    """Return the outcome of each task, in order: what `log` knows, the others by `crew`."""
    due = [task for task in tasks if task.key not in log.known]
    known = len(tasks) - len(due)
    progress(known, len(tasks), known)
    for count, outcome in enumerate(crew(due) if due else (), known + 1):
        log.add(outcome)
        progress(count, len(tasks), known)
    return [log.known[task.key] for task in tasks]


def _ordered(
    plan: Planned, request: BacktestRequest, folder: Path, before: SweepSummary, objective: Objective
) -> SweepSummary:
    """Return the summary by `objective`; summary and page are made again of the tables where they are not by it."""
    if before.objective is objective and all(is_intact(folder, one) for one in before.files):
        return before
    summary, files = _furnished(plan, request, outcomes_in(folder), objective)
    renew({name: files[name] for name in (REPORT, SUMMARY)}, folder)
    return summary


def _furnished(
    plan: Planned, request: BacktestRequest, found: list[Outcome], objective: Objective
) -> tuple[SweepSummary, dict[str, bytes]]:
    grid, verdict = plan.grid, judged(found, objective)
    page = SweepPage(
        request=request,
        plan=plan.plan,
        grid=grid,
        objective=objective,
        found=found,
        judged=verdict,
        notes=notes_on(request.data),
    )
    files = {
        RESULTS: results_parquet(grid, found),
        DAILY: daily_parquet(found),
        REPORT: page_of(page),
    }
    summary = SweepSummary(
        plan=plan.plan,
        objective=objective,
        traded=verdict.traded,
        deflated_sharpe=verdict.deflated_sharpe,
        overfitting=verdict.overfitting,
        blocks=verdict.blocks,
        halvings=verdict.halvings,
        best=ranked(grid, found, verdict.order[:_BEST]),
        files=digests(files),
    )
    files[SUMMARY] = f"{text_of(to_plain(summary), indent=1)}\n".encode()
    return summary, files


__all__ = ["REPORT", "SUMMARY", "WHAT", "CrewFor", "Progress", "Swept", "done_by", "sweep"]
