"""The commands `tbot backtest sweep` and `tbot backtest walk-forward`: many sets of parameters over recorded days."""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.core.identity import StrategyName
from tbot_bot.runtime import cli_complete
from tbot_bot.runtime.cli_backtest import Borrow, ChainAge, Chains, Engine, SlippageModel, VolumeCap, execution_of
from tbot_bot.runtime.cli_backtest_report import tell_sweep, tell_walk
from tbot_bot.runtime.cli_output import DONE, complain, day_of, pairs_of
from tbot_bot.runtime.cli_run import Json, Sets, Vix
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.backtest.execution_model import ExecutionModel
    from tbot_bot.backtest.model import BacktestRequest
    from tbot_bot.backtest.sweep import CrewFor
    from tbot_bot.backtest.sweep_crew import Crew
    from tbot_bot.backtest.sweep_errand import Errand
    from tbot_bot.backtest.sweep_grid import Grid

_JOBS_MAX: Final = 1024
_ADDRESS: Final = re.compile(r"(tcp|tls|ws|wss)://[\w.\-\[\]:%]+:[0-9]{1,5}/?")

Start = Annotated[date, typer.Option(parser=day_of, metavar="DAY", help="First day, as 2023-01-01.")]
End = Annotated[date, typer.Option(parser=day_of, metavar="DAY", help="Last day, itself included.")]
Data = Annotated[
    Path, typer.Option("--data", "--data_source", metavar="PATH", help="Minute bars: a file, or a folder of files.")
]
GridTexts = Annotated[
    list[str],
    typer.Option(
        "--grid",
        metavar="NAME=VALUES",
        help="Vary a setting: NAME=FROM:TO:STEP or NAME=A,B,C; repeatable, every combination is run.",
        autocompletion=cli_complete.assignments,
    ),
]
Strategies = Annotated[
    list[StrategyName] | None,
    typer.Option("--strategy", help="Trade this one; repeatable. Default: the daily sequence of the settings."),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the results; default: in output/backtests, named by what is asked."),
]
Jobs = Annotated[
    int | None, typer.Option(min=1, max=_JOBS_MAX, metavar="N", help="Processes; default: one for each processor.")
]


def address_of(text: str) -> str:
    """Read the address of a scheduler.

    Raises:
        typer.BadParameter: not of the form tcp://host:port.
    """
    if text and not _ADDRESS.fullmatch(text):
        msg = f"{text!r} is no address of a Dask scheduler; write it as tcp://host:8786"
        raise typer.BadParameter(msg)
    return text


Cluster = Annotated[
    str,
    typer.Option(
        parser=address_of,
        metavar="URL",
        help="Work on the Dask scheduler there (tcp://host:8786) instead of here.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Go on where an earlier attempt ended, or forget it.")
]
Accept = Annotated[bool, typer.Option("--accept-data", help="Use data although their check (`tbot data check`) fails.")]


_OBJECTIVES: Final = (
    "sharpe", "sortino", "calmar", "pnl", "total_return", "profit_factor", "expectancy", "win_rate",
)  # fmt: skip


def objective_of(text: str) -> str:
    """Read what is looked for.

    Raises:
        typer.BadParameter: none of ours.
    """
    if text not in _OBJECTIVES:
        msg = f"{text!r} is none of {', '.join(_OBJECTIVES)}"
        raise typer.BadParameter(msg)
    return text


WhatIsBest = Annotated[
    str,
    typer.Option("--objective", parser=objective_of, metavar="FIGURE", help=f"What is best: {', '.join(_OBJECTIVES)}."),
]


def sweep(
    *,
    grid: GridTexts,
    start: Start,
    end: End,
    data: Data,
    objective: WhatIsBest = "sharpe",
    strategy: Strategies = None,
    vix: Vix = None,
    engine: Engine = "auto",
    slippage: SlippageModel = "none",
    volume_cap: VolumeCap = "0.1",
    borrow: Borrow = None,
    chains: Chains = None,
    chain_age: ChainAge = 2,
    settings: Sets = None,
    out: Out = None,
    jobs: Jobs = None,
    cluster: Cluster = "",
    resume: Resume = True,
    accept_data: Accept = False,
    as_json: Json = False,
) -> int:
    """Run every combination of some settings. May be interrupted or killed: the same command goes on."""
    from tbot_bot.backtest.objective import Objective  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.sweep import sweep as run_sweep  # noqa: PLC0415
    from tbot_bot.runtime.sweep_progress import SweepProgress  # noqa: PLC0415

    given = _grid(grid, settings, strategy)
    execution = execution_of(slippage, volume_cap, borrow, chains, chain_age)
    request = _request(start, end, data, strategy, vix, engine, settings, execution)
    folder = out.absolute() if out is not None else _folder("sweep", request, given)
    _check(request, accept=accept_data, quiet=as_json)
    shown = SweepProgress("sets")
    try:
        swept = run_sweep(
            request,
            given,
            folder,
            _crew_for(jobs, cluster),
            objective=Objective(objective),
            anew=not resume,
            progress=shown.told,
        )
    except KeyboardInterrupt:
        shown.close()
        complain("interrupted; the same command goes on where this ended")
        raise
    finally:
        shown.close()
    tell_sweep(swept.folder, swept.summary, as_json=as_json, resumed=swept.resumed)
    return DONE


def walk_forward(
    *,
    grid: GridTexts,
    in_sample: Annotated[int, typer.Option(min=1, metavar="DAYS", help="Trading days to choose by.")],
    out_of_sample: Annotated[int, typer.Option(min=1, metavar="DAYS", help="Trading days to try the choice on.")],
    start: Start,
    end: End,
    data: Data,
    anchored: Annotated[
        bool, typer.Option("--anchored/--rolling", help="Choose by all days since the first, not the last ones.")
    ] = False,
    objective: WhatIsBest = "sharpe",
    strategy: Strategies = None,
    vix: Vix = None,
    engine: Engine = "auto",
    slippage: SlippageModel = "none",
    volume_cap: VolumeCap = "0.1",
    borrow: Borrow = None,
    chains: Chains = None,
    chain_age: ChainAge = 2,
    settings: Sets = None,
    out: Out = None,
    jobs: Jobs = None,
    cluster: Cluster = "",
    resume: Resume = True,
    accept_data: Accept = False,
    as_json: Json = False,
) -> int:
    """Choose settings on some days, trade the next ones with them. Then the following days; goes on as `sweep`."""
    from tbot_bot.backtest.objective import Objective  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.walk_forward import Split  # noqa: PLC0415
    from tbot_bot.backtest.walk_forward import walk_forward as walk  # noqa: PLC0415
    from tbot_bot.runtime.sweep_progress import SweepProgress  # noqa: PLC0415

    given = _grid(grid, settings, strategy)
    execution = execution_of(slippage, volume_cap, borrow, chains, chain_age)
    request = _request(start, end, data, strategy, vix, engine, settings, execution)
    split = Split(inside=in_sample, outside=out_of_sample, anchored=anchored, objective=Objective(objective))
    folder = out.absolute() if out is not None else _folder("walk", request, given, split)
    _check(request, accept=accept_data, quiet=as_json)
    shown = SweepProgress("runs")
    try:
        walked = walk(request, given, split, folder, _crew_for(jobs, cluster), anew=not resume, progress=shown.told)
    except KeyboardInterrupt:
        shown.close()
        complain("interrupted; the same command goes on where this ended")
        raise
    finally:
        shown.close()
    tell_walk(walked.folder, walked.summary, as_json=as_json, resumed=walked.resumed)
    return DONE


def _grid(texts: Sequence[str], settings: Sequence[str] | None, strategy: Sequence[StrategyName] | None) -> "Grid":
    from tbot_bot.backtest.sweep_grid import read_grid  # noqa: PLC0415 - `--help` stays fast

    taken = {name: "--set" for name, _ in pairs_of(settings)}
    if strategy:
        taken["STRATEGY_OVERRIDE"] = "--strategy"
    return read_grid(texts, taken)


def _request(
    start: date,
    end: date,
    data: Path,
    strategy: Sequence[StrategyName] | None,
    vix: Path | None,
    engine: str,
    settings: Sequence[str] | None,
    execution: "ExecutionModel",
) -> "BacktestRequest":
    from tbot_bot.backtest.model import BacktestRequest, EngineChoice  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.result_files import CACHE  # noqa: PLC0415
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.reporting.report_router import backtests_folder  # noqa: PLC0415

    if end < start:
        msg = f"{end.isoformat()} is before {start.isoformat()}; the earlier day comes first"
        raise typer.BadParameter(msg, param_hint="'--end'")
    home = tbot_home()
    return BacktestRequest(
        home=home,
        data=data.absolute(),
        first=start,
        last=end,
        vix=None if vix is None else vix.absolute(),
        strategies=tuple(dict.fromkeys(strategy or ())),
        overrides=pairs_of(settings),
        engine=EngineChoice(engine),
        execution=execution,
        cache=backtests_folder(home) / CACHE,
    )


def _folder(what: str, request: "BacktestRequest", grid: "Grid", *more: object) -> Path:
    """Return the folder that the same words always name, so that the same command finds what it has left."""
    import hashlib  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.reporting.report_router import backtests_folder  # noqa: PLC0415

    digest = hashlib.sha256(repr((request, tuple(map(str, grid.axes)), more)).encode()).hexdigest()[:8]
    days = f"{request.first:%Y%m%d}-{request.last:%Y%m%d}"
    return backtests_folder(request.home) / f"{what}-{days}-{digest}"


def _check(request: "BacktestRequest", *, accept: bool, quiet: bool) -> None:
    """Check the data, and lay them into the cache that all processes share.

    Raises:
        DataError: they cannot be used.
    """
    from tbot_bot.backtest.backtest_engine import DataSet  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.data_verdict import require_usable  # noqa: PLC0415

    with waiting("checking the data") as tell:
        told = require_usable(request.data, accept=accept, cache=request.cache, progress=lambda *at: tell(at[2]))
        tell("reading the data")
        DataSet(request.data, vix=request.vix, cache=request.cache)
    if not quiet:
        for line in told:
            typer.echo(f"note on the data: {line}", err=True)


def _crew_for(jobs: int | None, cluster: str) -> "CrewFor":
    from tbot_bot.backtest.sweep_crew import cores, local_crew  # noqa: PLC0415 - `--help` stays fast

    if cluster and jobs is not None:
        raise typer.BadParameter("a cluster has its own number of workers", param_hint="'--jobs'")

    def crew_for(errand: "Errand") -> AbstractContextManager["Crew"]:
        if cluster:
            from tbot_bot.backtest.sweep_cluster import cluster_crew  # noqa: PLC0415 - heavy

            return cluster_crew(errand, cluster)
        return local_crew(errand, jobs or cores())

    return crew_for


__all__ = ["sweep", "walk_forward"]
