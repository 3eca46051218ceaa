"""What is kept in a folder of backtests: runs, sweeps and walk-forwards, found by name, and listed with their best."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from tbot_bot.backtest import sweep, walk_forward
from tbot_bot.backtest.objective import Objective
from tbot_bot.backtest.run_manifest import read_manifest
from tbot_bot.backtest.sweep_log import Begun, begun_in
from tbot_bot.backtest.sweep_plan import SweepPlan
from tbot_bot.backtest.sweep_result import RESULTS, Pair, SweepSummary
from tbot_bot.backtest.walk_forward_result import WalkForwardSummary
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.reporting.report_router import BacktestPaths
from tbot_bot.reporting.shapes import from_plain

S = TypeVar("S")


class Kind(StrEnum):
    """What a folder holds."""

    RUN = "run"
    SWEEP = "sweep"
    WALK_FORWARD = "walk-forward"

    @property
    def file(self) -> str:
        """Return the name of the file that says so."""
        return _FILES[self]


_FILES: Final = {
    Kind.RUN: BacktestPaths(folder=Path()).manifest.name,
    Kind.SWEEP: sweep.SUMMARY,
    Kind.WALK_FORWARD: walk_forward.SUMMARY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One backtest, sweep or walk-forward."""

    kind: Kind
    name: str
    at: Instant
    """When it was finished, or last went on, by its file's own time."""
    first: date
    last: date
    strategies: tuple[StrategyName, ...]
    """Empty: the daily sequence of the settings."""
    data: str
    """Path of a run's data; of the others the first file's name."""
    sets: int = 0
    """Of parameters; 0 for a run."""
    windows: int = 0
    done: int | None = None
    """Tasks that are done, where it is not finished."""
    objective: Objective | None = None
    value: float | None = None
    """The objective of the best set, or of a walk-forward's days out of sample."""
    pnl: float | None = None
    """Dollars after fees: of the best set, or out of sample."""
    settings: tuple[Pair, ...] = ()
    """Of the best set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A folder that another version has left, or that was damaged."""

    kind: Kind
    name: str
    why: str


def results_in(parent: Path) -> Iterator[Listed | Unreadable]:
    """Yield runs by name, which begins with their start; sweeps and walk-forwards by time; then unfinished ones."""
    for folder in _folders(parent, Kind.RUN):
        yield _listed(folder, Kind.RUN)
    found = [(_at(folder, kind), folder, kind) for kind in _LISTS for folder in _folders(parent, kind)]
    for _, folder, kind in sorted(found):
        yield _listed(folder, kind)
    for one in begun_in(parent):
        yield _begun(one)


def result_named(parent: Path, name: str) -> tuple[Kind, Path]:
    """Return what `name` is: a name in `parent` or the beginning of only one, a path, or the latest run if empty.

    Raises:
        DataError: there is no such result, or more than one.
    """
    if not name:
        runs = _folders(parent, Kind.RUN)
        if not runs:
            raise DataError("there is no backtest yet", where=str(parent), mend="`tbot backtest run` makes one.")
        return Kind.RUN, runs[-1]
    given = Path(name)
    for kind in Kind:
        if (given / kind.file).is_file():
            return kind, given
    known = [(kind, folder) for kind in Kind for folder in _folders(parent, kind)]
    fitting = [one for one in known if one[1].name == name] or [one for one in known if one[1].name.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    what = f"{len(fitting)} runs begin with {name!r}" if fitting else f"no run is called {name!r}"
    mend = "`tbot backtest report --list` shows which there are."
    raise DataError(what, where=str(parent), mend=mend)


def sweep_at(folder: Path) -> SweepSummary:
    """Return what the sweep at `folder` says of itself.

    Raises:
        DataError: it cannot be read.
    """
    return _summary(folder, Kind.SWEEP, SweepSummary)


def walk_forward_at(folder: Path) -> WalkForwardSummary:
    """Return what the walk-forward at `folder` says of itself.

    Raises:
        DataError: it cannot be read.
    """
    return _summary(folder, Kind.WALK_FORWARD, WalkForwardSummary)


def _folders(parent: Path, kind: Kind) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.name[0] != "." and (path / kind.file).is_file())


def _at(folder: Path, kind: Kind) -> Instant:
    table = folder / RESULTS  # a sweep's summary is written again when it is ordered by another figure
    dated = table if table.is_file() else folder / kind.file
    return Instant(dated.stat().st_mtime_ns)


def _listed(folder: Path, kind: Kind) -> Listed | Unreadable:
    try:
        return _READERS[kind](folder)
    except DataError as error:
        return Unreadable(kind=kind, name=folder.name, why=error.what)


def _run(folder: Path) -> Listed:
    found = read_manifest(folder / Kind.RUN.file)
    return Listed(
        kind=Kind.RUN,
        name=folder.name,
        at=_at(folder, Kind.RUN),
        first=found.first,
        last=found.last,
        strategies=found.strategies,
        data=found.data,
    )


def _sweep(folder: Path) -> Listed:
    found = sweep_at(folder)
    best = found.best[0]
    return Listed(
        kind=Kind.SWEEP,
        name=folder.name,
        at=_at(folder, Kind.SWEEP),
        first=found.plan.first,
        last=found.plan.last,
        strategies=found.plan.strategies,
        data=_data(found.plan),
        sets=found.plan.sets,
        objective=found.objective,
        value=found.objective.of(best.performance),
        pnl=best.performance.trades.pnl,
        settings=best.settings,
    )


def _walk_forward(folder: Path) -> Listed:
    found = walk_forward_at(folder)
    whole = found.figures.performance
    return Listed(
        kind=Kind.WALK_FORWARD,
        name=folder.name,
        at=_at(folder, Kind.WALK_FORWARD),
        first=found.plan.first,
        last=found.plan.last,
        strategies=found.plan.strategies,
        data=_data(found.plan),
        sets=found.plan.sets,
        windows=len(found.windows),
        objective=found.objective,
        value=found.objective.of(whole),
        pnl=whole.trades.pnl,
    )


def _begun(one: Begun) -> Listed:
    return Listed(
        kind=Kind.SWEEP if one.plan.what == sweep.WHAT else Kind.WALK_FORWARD,
        name=one.folder.name,
        at=one.at,
        first=one.plan.first,
        last=one.plan.last,
        strategies=one.plan.strategies,
        data=_data(one.plan),
        sets=one.plan.sets,
        done=one.done,
    )


def _data(plan: SweepPlan) -> str:
    return next((one.name for one in plan.inputs), "")


def _summary(folder: Path, kind: Kind, record: type[S]) -> S:
    place = folder / kind.file
    try:
        return from_plain(record, json.loads(place.read_bytes()))
    except (OSError, ValueError) as error:
        mend = f"Its page can still be read; the command of the {kind} with --no-resume makes it anew."
        raise DataError(f"not a {kind} of this version: {error}", where=str(place), mend=mend) from error


_LISTS: Final[Sequence[Kind]] = (Kind.SWEEP, Kind.WALK_FORWARD)
_READERS: Final[dict[Kind, Callable[[Path], Listed]]] = {
    Kind.RUN: _run,
    Kind.SWEEP: _sweep,
    Kind.WALK_FORWARD: _walk_forward,
}

__all__ = ["Kind", "Listed", "Unreadable", "result_named", "results_in", "sweep_at", "walk_forward_at"]
