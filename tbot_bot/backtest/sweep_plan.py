"""What a sweep was asked for, over which data and by which code: the same command goes on, another one is refused."""

import hashlib
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Final

import tbot_bot
from tbot_bot.backtest.campaign import setting_of
from tbot_bot.backtest.model import BacktestRequest, EngineChoice, Overrides
from tbot_bot.backtest.run_manifest import (
    Digest,
    Library,
    changed_digests,
    code_digests,
    executions_of,
    library_versions,
    trading_settings,
)
from tbot_bot.backtest.sweep_errand import Errand, errand_of
from tbot_bot.backtest.sweep_grid import GRID, Grid
from tbot_bot.config.assignments import ENV_FILE
from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.core.identity import StrategyName
from tbot_bot.reporting.shapes import text_of, to_plain

LAYOUT: Final = 1
"""Of plans and outcomes; raised when a field comes or changes its meaning."""
_SHOWN: Final = 5
_NAMING_FILES: Final = ("UNIVERSE", "INVERSE_ETF_MAP")
_SAID: Final = frozenset(
    {"home", "data", "first", "last", "vix", "strategies", "overrides", "engine", "execution", "cache"}
)
"""Fields of a request that a plan has by themselves or by the content they name."""
_BUILD: Final = frozenset({"VERSION_TAG", "BUILD_MODE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """A sweep or a walk-forward, exactly; machines, processes and paths are not part of it."""

    layout: int
    what: str
    """`sweep`, or a walk-forward's windows and objective in words."""
    grid: tuple[str, ...]
    sets: int
    first: date
    last: date
    strategies: tuple[StrategyName, ...]
    """Empty: the daily sequence of the settings."""
    engine: EngineChoice
    settings: tuple[str, ...]
    """Every trading setting in force as `NAME=value`, before the grid."""
    further: tuple[str, ...]
    """What else the request says, as `name=value`."""
    inputs: tuple[Digest, ...]
    """Data files, and files that settings name."""
    version: str
    code: tuple[Digest, ...]
    python: str
    libraries: tuple[Library, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and what the workers are sent for it."""

    plan: SweepPlan
    errand: Errand
    grid: Grid


def planned(request: BacktestRequest, grid: Grid, what: str) -> Planned:
    """Return the plan of `grid` around `request`.

    Raises:
        ConfigError: the settings, or some combinations of the grid, cannot be used.
        DataError: a data file is gone.
    """
    setting = setting_of(request)
    _require_usable_sets(request, grid)
    varied = [value for axis in grid.axes if axis.name in _NAMING_FILES for value in axis.values]
    errand = errand_of(request, setting, varied)
    named = [
        Digest(name=file.path, sha256=hashlib.sha256(file.content).hexdigest())
        for file in errand.files
        if file.path != ENV_FILE
    ]
    plan = SweepPlan(
        layout=LAYOUT,
        what=what,
        grid=tuple(map(str, grid.axes)),
        sets=len(grid),
        first=request.first,
        last=request.last,
        strategies=request.strategies,
        engine=request.engine,
        settings=tuple(line for line in trading_settings(setting.lines) if line.partition("=")[0] not in _BUILD),
        further=tuple(_further(request)),
        inputs=(*errand.inputs, *named),
        version=tbot_bot.__version__,
        code=tuple(code_digests()),
        python=platform.python_version(),
        libraries=tuple(library_versions()),
    )
    return Planned(plan=plan, errand=errand, grid=grid)


def differences(before: SweepPlan, now: SweepPlan) -> list[str]:
    """Return in words what is asked for, or stands there, that was not so when the sweep began."""
    found = list(_asked_otherwise(before, now))
    found += changed_digests("data file", before.inputs, now.inputs)
    found += changed_digests("code", before.code, now.code)
    if before.version != now.version:
        found.append(f"version {before.version} is now {now.version}")
    if before.python != now.python:
        found.append(f"Python {before.python} is now {now.python}")
    present = {library.name: library.version for library in now.libraries}
    for library in before.libraries:
        if present.get(library.name) != library.version:
            found.append(f"library {library.name} {library.version} is now {present.get(library.name, 'absent')}")
    return found


def _asked_otherwise(before: SweepPlan, now: SweepPlan) -> Sequence[str]:
    found = []
    pairs = (
        ("the command", before.what, now.what),
        ("--grid", " ".join(before.grid), " ".join(now.grid)),
        ("the days", f"{before.first} to {before.last}", f"{now.first} to {now.last}"),
        ("--strategy", ", ".join(before.strategies) or "the sequence", ", ".join(now.strategies) or "the sequence"),
        ("--engine", before.engine.value, now.engine.value),
    )
    found += [f"{name}: {then}, and now {today}" for name, then, today in pairs if then != today]
    known, today = (dict(_pair(line) for line in (*plan.settings, *plan.further)) for plan in (before, now))
    names = [name for name in sorted(known.keys() | today.keys()) if known.get(name) != today.get(name)]
    return found + [f"setting {name} was {known.get(name)} and is {today.get(name)}" for name in names]


def _further(request: BacktestRequest) -> Iterator[str]:
    """Yield every field of `request` that a plan has no place for, so that none that comes is forgotten."""
    yield f"execution={text_of(to_plain(executions_of(request.execution)))}"
    for one in fields(request):
        if one.name not in _SAID:
            yield f"{one.name}={getattr(request, one.name)!r}"


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name, value


def _require_usable_sets(request: BacktestRequest, grid: Grid) -> None:
    """Make the cross checks of the settings for every set before anything is computed.

    Raises:
        ConfigError: some sets cannot be used; the first few are told.
    """
    refused: list[tuple[Overrides, ConfigError]] = []
    for pairs in grid.sets():
        try:
            setting_of(with_pairs(request, pairs))
        except ConfigError as error:
            refused.append((pairs, error))
    if not refused:
        return
    problems = [
        ConfigProblem(
            file=GRID,
            expected=f"only combinations that can be used; {len(refused):,} of {len(grid):,} cannot",
            mend="change the grid, or the settings that stand against it",
        )
    ]
    for pairs, why in refused[:_SHOWN]:
        words = " ".join(f"{name}={value}" for name, value in pairs)
        problems += [
            ConfigProblem(file=words, variable=one.variable, expected=one.expected, mend=one.mend)
            for one in why.problems
        ]
    raise ConfigError(problems)


def with_pairs(request: BacktestRequest, pairs: Overrides) -> BacktestRequest:
    """Return `request` with the settings `pairs` before its own."""
    return replace(request, overrides=tuple({**dict(request.overrides), **dict(pairs)}.items()))


__all__ = ["LAYOUT", "Planned", "SweepPlan", "differences", "planned", "with_pairs"]
