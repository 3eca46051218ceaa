"""The command `tbot backtest run`: recorded days traded again. Its options for executions are those of sweeps too."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.core.identity import StrategyName
from tbot_bot.runtime.cli_backtest_report import Cache, show_run
from tbot_bot.runtime.cli_output import DONE, day_of, pairs_of
from tbot_bot.runtime.cli_run import Json, Sets, Vix
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.backtest.execution_model import ExecutionModel
    from tbot_bot.backtest.model import BacktestRequest

_ENGINES = ("auto", "event", "array")


def engine_of(text: str) -> str:
    """Read an engine's name.

    Raises:
        typer.BadParameter: none of ours.
    """
    if text not in _ENGINES:
        msg = f"{text!r} is no engine; write one of {', '.join(_ENGINES)}"
        raise typer.BadParameter(msg)
    return text


Engine = Annotated[
    str, typer.Option(parser=engine_of, metavar="auto|event|array", help="Which engine runs; all find the same trades.")
]


def slippage_in(text: str) -> str:
    """Read a slippage model.

    Raises:
        typer.BadParameter: none of ours.
    """
    from tbot_bot.backtest.execution_model import slippage_of  # noqa: PLC0415 - `--help` stays fast

    try:
        return str(slippage_of(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def volume_cap_in(text: str) -> str:
    """Read a fraction of a bar's volume.

    Raises:
        typer.BadParameter: not above 0 and up to 1.
    """
    from tbot_bot.backtest.execution_model import volume_cap_of  # noqa: PLC0415 - `--help` stays fast

    try:
        return str(volume_cap_of(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


SlippageModel = Annotated[
    str,
    typer.Option(
        "--slippage",
        parser=slippage_in,
        metavar="MODEL",
        help="What taking liquidity costs: bps:2, or spread:0.5,volume:0.1.",
    ),
]
VolumeCap = Annotated[
    str,
    typer.Option("--volume-cap", parser=volume_cap_in, metavar="FRACTION", help="Most of a bar's volume that we take."),
]
Borrow = Annotated[
    Path | None,
    typer.Option("--borrow", metavar="FILE", help="CSV date,symbol,shares,rate: what can be sold short when."),
]
Chains = Annotated[
    Path | None,
    typer.Option("--chains", metavar="PATH", help="Recorded option chains (CSV, Parquet or a folder) to price puts."),
]
ChainAge = Annotated[
    float, typer.Option("--chain-age", min=0, max=1440, metavar="MINUTES", help="How long a recorded quote stands.")
]


def run(
    *,
    start: Annotated[date, typer.Option(parser=day_of, metavar="DAY", help="First day, as 2023-01-01.")],
    end: Annotated[date, typer.Option(parser=day_of, metavar="DAY", help="Last day, itself included.")],
    data: Annotated[
        Path,
        typer.Option("--data", "--data_source", metavar="PATH", help="Minute bars: a file, or a folder of files."),
    ],
    strategy: Annotated[
        list[StrategyName] | None,
        typer.Option(help="Trade this one; repeatable. Default: the daily sequence of the settings."),
    ] = None,
    vix: Vix = None,
    engine: Engine = "auto",
    slippage: SlippageModel = "none",
    volume_cap: VolumeCap = "0.1",
    borrow: Borrow = None,
    chains: Chains = None,
    chain_age: ChainAge = 2,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the results; default: a new one in output/backtests."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="NUMBER", help="Of the confidence intervals.")] = None,
    cache: Cache = True,
    settings: Sets = None,
    accept_data: Annotated[
        bool, typer.Option("--accept-data", help="Use data although their check (`tbot data check`) fails.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Trade recorded days with the code that trades live. Trades, figures and a page are kept in one folder."""
    from tbot_bot.backtest import kept_run  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.data_verdict import require_usable  # noqa: PLC0415
    from tbot_bot.backtest.model import BacktestRequest, EngineChoice  # noqa: PLC0415
    from tbot_bot.backtest.result_files import CACHE  # noqa: PLC0415
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.reporting.report_router import backtests_folder  # noqa: PLC0415

    if end < start:
        msg = f"{end.isoformat()} is before {start.isoformat()}; the earlier day comes first"
        raise typer.BadParameter(msg, param_hint="'--end'")
    home = tbot_home()
    request = BacktestRequest(
        home=home,
        data=data.absolute(),
        first=start,
        last=end,
        vix=None if vix is None else vix.absolute(),
        strategies=tuple(dict.fromkeys(strategy or ())),
        overrides=pairs_of(settings),
        engine=EngineChoice(engine),
        execution=execution_of(slippage, volume_cap, borrow, chains, chain_age),
        cache=backtests_folder(home) / CACHE if cache else None,
    )
    folder = out.absolute() if out is not None else _new_folder(request)
    with waiting("checking the data") as tell:
        told = require_usable(request.data, accept=accept_data, cache=request.cache, progress=lambda *at: tell(at[2]))
        made = kept_run.run_into(request, folder, kept_run.SEED if seed is None else seed, tell)
    if not as_json:
        for line in told:
            typer.echo(f"note on the data: {line}", err=True)
    show_run(folder, made.manifest, as_json=as_json)
    return DONE


def execution_of(
    slippage: str, volume_cap: str, borrow: Path | None, chains: Path | None, chain_age: float
) -> "ExecutionModel":
    """Return the execution model of the options, `chain_age` in minutes."""
    from tbot_bot.backtest.execution_model import (  # noqa: PLC0415 - `--help` stays fast
        ExecutionModel,
        slippage_of,
        volume_cap_of,
    )
    from tbot_bot.core.instants import seconds  # noqa: PLC0415

    return ExecutionModel(
        slippage=slippage_of(slippage),
        volume_cap=volume_cap_of(volume_cap),
        borrow=None if borrow is None else borrow.absolute(),
        chains=None if chains is None else chains.absolute(),
        chain_age=seconds(round(chain_age * 60)),
    )


def _new_folder(request: "BacktestRequest") -> Path:
    """Return a folder that is not there yet, named by now and by what is asked for."""
    import hashlib  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.core.instants import to_datetime  # noqa: PLC0415
    from tbot_bot.reporting.report_router import backtests_folder  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415

    asked = (
        request.data,
        request.vix,
        request.first,
        request.last,
        request.strategies,
        request.overrides,
        request.execution,
    )
    digest = hashlib.sha256(repr(asked).encode()).hexdigest()[:8]
    name = f"{to_datetime(wall_now()):%Y%m%dT%H%M%SZ}-{digest}"
    parent, number = backtests_folder(request.home), 2
    folder = parent / name
    while folder.exists():
        folder, number = parent / f"{name}-{number}", number + 1
    return folder


__all__ = ["run"]
