"""The command `tbot backtest report`: what backtests, sweeps and walk-forwards came to, one or a list of them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, console, emit_json, printable
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.backtest.kept_results import Kind, Listed, Unreadable
    from tbot_bot.backtest.kept_run import Repeated
    from tbot_bot.backtest.objective import Objective, Show
    from tbot_bot.backtest.run_manifest import Executions, Manifest
    from tbot_bot.backtest.sweep_result import RankedSet, SweepSummary
    from tbot_bot.backtest.walk_forward_result import WalkForwardSummary, WalkWindow

_COLUMNS: Final = 79
_LETTERS: Final = "ABCDEFGH"

Cache = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Keep decoded bars and compiled code for the next run.")
]


def report(
    run_name: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Name of a run, sweep or walk-forward, how it begins, or its folder; default: the latest run.",
        ),
    ] = "",
    *,
    repeat: Annotated[
        str, typer.Option(metavar="RUN", help="Run it again as its manifest says, and compare every byte.")
    ] = "",
    show_list: Annotated[
        bool,
        typer.Option(
            "--list", help="Name all runs, sweeps and walk-forwards in output/backtests, or in the folder RUN."
        ),
    ] = False,
    cache: Cache = True,
    as_json: Json = False,
) -> int:
    """Show what backtests came to, or repeat one. Exit status 1: the repetition differs."""
    from tbot_bot.backtest.kept_results import result_named, results_in  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.kept_run import repeat as run_again  # noqa: PLC0415
    from tbot_bot.backtest.result_files import CACHE  # noqa: PLC0415
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.reporting.report_router import backtests_folder  # noqa: PLC0415

    home = tbot_home()
    parent = backtests_folder(home)
    if show_list:
        _list(results_in(_folder(run_name) if run_name else parent), as_json=as_json)
        return DONE
    kind, folder = result_named(parent, repeat or run_name)
    if not repeat:
        _show_result(kind, folder, as_json=as_json)
        return DONE
    _require_run(kind, folder)
    with waiting("running it again") as tell:
        found = run_again(folder, home, parent / CACHE if cache else None, tell)
    _tell_repeated(found, as_json=as_json)
    return DONE if found.same else FAILED


def _folder(name: str) -> Path:
    folder = Path(name)
    if not folder.is_dir():
        msg = f"{name!r} is no folder; with --list name one that holds results, or none for output/backtests"
        raise typer.BadParameter(msg, param_hint="'RUN'")
    return folder


def _require_run(kind: "Kind", folder: Path) -> None:
    """Do nothing where `folder` holds a single backtest.

    Raises:
        DataError: it holds something else.
    """
    from tbot_bot.backtest.kept_results import Kind  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.error_handler import DataError  # noqa: PLC0415

    if kind is not Kind.RUN:
        mend = "Give its own command again with --out and another folder: equal results are equal bytes."
        raise DataError(f"a {kind} cannot be repeated by its name", where=str(folder), mend=mend)


def _show_result(kind: "Kind", folder: Path, *, as_json: bool) -> None:
    from tbot_bot.backtest.kept_results import Kind, sweep_at, walk_forward_at  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.run_manifest import read_manifest  # noqa: PLC0415

    match kind:
        case Kind.SWEEP:
            tell_sweep(folder, sweep_at(folder), as_json=as_json)
        case Kind.WALK_FORWARD:
            tell_walk(folder, walk_forward_at(folder), as_json=as_json)
        case Kind.RUN:
            show_run(folder, read_manifest(folder / kind.file), as_json=as_json)


# --- the list ---------------------------------------------------------------------------------------------------------


def _list(found: "Iterable[Listed | Unreadable]", *, as_json: bool) -> None:
    rows = list(found)
    if as_json:
        emit_json([_plain(one) for one in rows])
        return
    if not rows:
        typer.echo("There is no backtest yet; `tbot backtest run` makes one.")
    for one in rows:
        for line in _lines(one):
            typer.echo(line)


def _plain(one: "Listed | Unreadable") -> dict[str, JsonValue]:
    from tbot_bot.backtest.kept_results import Unreadable  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415

    found = dict(to_plain(one))
    return {"run": found.pop("name"), "readable": not isinstance(one, Unreadable), **found}


def _lines(one: "Listed | Unreadable") -> Iterator[str]:
    """Yield what tells of one result, for 80 columns."""
    import textwrap  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.backtest.kept_results import Kind, Unreadable  # noqa: PLC0415

    def folded(text: str) -> list[str]:
        return textwrap.wrap(printable(text), _COLUMNS, initial_indent="  ", subsequent_indent="  ")

    if isinstance(one, Unreadable):
        yield printable(one.name)
        yield from folded(f"cannot be read: {one.why}")
        return
    span = f"{one.first.isoformat()} to {one.last.isoformat()}"
    traded, data = ", ".join(one.strategies) or "daily sequence", Path(one.data).name
    head = printable(f"{one.name}  {span}  {traded}  {data}")
    if len(head) <= _COLUMNS:
        yield head
    else:
        yield printable(one.name)
        yield from folded(f"{span}  {traded}  {data}")
    if one.kind is not Kind.RUN:
        for text in _about(one):
            yield from folded(text)


def _about(one: "Listed") -> Iterator[str]:
    """Yield what a sweep or a walk-forward is, when it was finished, and its best."""
    from tbot_bot.backtest.objective import WORDS, Objective, shown_as  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.summary_lines import dollars  # noqa: PLC0415
    from tbot_bot.core.instants import to_datetime  # noqa: PLC0415

    at = f"{to_datetime(one.at):%Y-%m-%d %H:%M} UTC"
    sets = f"{one.windows:,} windows of {one.sets:,} sets" if one.windows else f"{one.sets:,} sets"
    if one.done is not None:
        yield f"{one.kind}, {sets}, NOT finished: {one.done:,} runs done by {at}; its command goes on"
        return
    yield f"{one.kind}, {sets}, finished {at}"
    if one.objective is None:
        return
    figures = f"{WORDS[one.objective]} {shown_as(one.objective)(one.value)}"
    if one.objective is not Objective.PNL:
        figures = f"{figures}, {dollars(one.pnl)}"
    if one.windows:
        yield f"out of sample: {figures}"
    else:
        yield f"best: {figures}"
        yield ", ".join(f"{pair.name}={pair.value}" for pair in one.settings)


# --- one result -------------------------------------------------------------------------------------------------------


def show_run(folder: Path, manifest: "Manifest", *, as_json: bool) -> None:
    import json  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.backtest.resampling import Figures  # noqa: PLC0415
    from tbot_bot.backtest.summary_lines import figure_rows  # noqa: PLC0415
    from tbot_bot.config.error_handler import DataError  # noqa: PLC0415
    from tbot_bot.reporting.report_router import BacktestPaths  # noqa: PLC0415
    from tbot_bot.reporting.shapes import from_plain, to_plain  # noqa: PLC0415

    paths = BacktestPaths(folder=folder)
    try:
        kept: JsonValue = json.loads(paths.metrics.read_bytes())
        found = from_plain(Figures, kept)
    except ValueError as error:
        mend = "Run it again with --repeat."
        raise DataError(f"not figures of this version: {error}", where=str(paths.metrics), mend=mend) from error
    if as_json:
        emit_json({"run": folder.name, "folder": str(folder), "metrics": kept, "manifest": to_plain(manifest)})
        return
    rows = figure_rows(found.performance)
    width = max(len(row.name) for row in rows)
    values = max(len(row.value) for row in rows if row.range_of(found)) if found.intervals else 0
    span = f"{manifest.first.isoformat()} to {manifest.last.isoformat()}"
    traded = ", ".join(manifest.strategies) or "the daily sequence"
    typer.echo(f"{traded}, {span}, by the {manifest.engine_ran} engine")
    if (told := _executed(manifest.execution)) is not None:
        typer.echo(told)
    if manifest.fallback:
        typer.echo(f"The array engine cannot run this: {manifest.fallback}")
    for row in rows:
        likely = row.range_of(found)
        typer.echo(f"  {row.name:<{width}}  {row.value:<{values}}  {likely and f'({likely})'}".rstrip())
    if found.intervals:
        typer.echo(f"In parentheses: {found.confidence:.0%} of {found.resamples:,} resamples of the days.")
    typer.echo(f"Results: {folder}")
    typer.echo(f"Page: {paths.report}")


def _executed(model: "Executions") -> str | None:
    """Return how orders were executed, None where by the defaults."""
    from tbot_bot.backtest.execution_model import ExecutionModel  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.run_manifest import executions_of  # noqa: PLC0415
    from tbot_bot.core.money import plain  # noqa: PLC0415

    if model == executions_of(ExecutionModel()):
        return None
    files = ", ".join(Path(name).name for name in (model.borrow, model.chains) if name)
    text = f"Executed with slippage {model.slippage}, at most {plain(model.volume_cap * 100)} % of a bar's volume"
    return f"{text}; {files}" if files else text


def _tell_repeated(found: "Repeated", *, as_json: bool) -> None:
    if as_json:
        emit_json({"run": found.folder.name, "same": found.same, "differing": list(found.differing),
                   "changed": list(found.changed)})  # fmt: skip
        return
    out = console()
    out.print(f"{found.folder.name}: " + ("the same bytes in every file" if found.same else "NOT the same"))
    for name in found.differing:
        out.print(f"  differs: {name}")
    for text in found.changed:
        out.print(f"  since then: {text}")
    if not found.same and not found.changed:
        out.print("  Data, code, settings and libraries are what they were: the files were edited, or this is a bug.")


def tell_sweep(folder: Path, found: "SweepSummary", *, as_json: bool, resumed: int | None = None) -> None:
    """Tell what the sweep at `folder` came to; `resumed` sets of it were computed by an earlier attempt."""
    from tbot_bot.backtest.objective import WORDS  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.sweep import REPORT  # noqa: PLC0415
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415

    if as_json:
        emit_json({"folder": str(folder), **_resumed(resumed), **to_plain(found)})
        return
    if resumed == found.plan.sets:
        typer.echo("This sweep is finished already; nothing was computed.", err=True)
    out = console()
    best = f"The best by {WORDS[found.objective]}:"
    out.print(f"{found.plan.sets:,} sets of parameters, {found.traded:,} of them traded. {best}")
    _print_best(found.best, found.objective)
    out.print(_deflated(found.deflated_sharpe))
    out.print(_overfitted(found.overfitting))
    typer.echo(f"Results: {folder}")
    typer.echo(f"Page: {folder / REPORT}")


def _resumed(count: int | None) -> dict[str, JsonValue]:
    return {} if count is None else {"resumed": count}


def _deflated(value: float | None) -> str:
    return f"Deflated Sharpe ratio of the best: {'not defined' if value is None else f'{value:.1%}'}"


def _overfitted(value: float | None) -> str:
    told = "not defined, it needs 12 days and 2 sets" if value is None else f"{value:.1%}"
    return f"Probability of backtest overfitting: {told}"


def _print_best(best: Sequence["RankedSet"], objective: "Objective") -> None:
    from rich.table import Table  # noqa: PLC0415 - not needed for JSON

    from tbot_bot.backtest.objective import HEADS, Objective, shown_as  # noqa: PLC0415
    from tbot_bot.backtest.summary_lines import percent  # noqa: PLC0415

    letters = _print_letters([pair.name for pair in best[0].settings])
    table = Table(box=None, pad_edge=False, expand=False)
    figures = dict.fromkeys((objective, Objective.SHARPE, Objective.PNL, Objective.TOTAL_RETURN))
    for head in ("", *letters, *(HEADS[one] for one in figures), "Drawdown", "Trades"):
        table.add_column(head, justify="right", overflow="fold")
    for place, one in enumerate(best, 1):
        found = one.performance
        table.add_row(
            str(place),
            *(pair.value for pair in one.settings),
            *(_figure(one.of(found), shown_as(one)) for one in figures),
            "none" if found.drawdown is None else percent(found.drawdown.depth),
            f"{found.trades.trades:,}",
        )
    console().print(table)


def _figure(value: float | None, show: "Show") -> str:
    return "none" if value is None else show(value)


def tell_walk(folder: Path, found: "WalkForwardSummary", *, as_json: bool, resumed: int | None = None) -> None:
    """Tell what the walk-forward at `folder` came to; `resumed` runs of it were made by an earlier attempt."""
    from tbot_bot.backtest.objective import WORDS  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.summary_lines import dollars, ratio  # noqa: PLC0415
    from tbot_bot.backtest.sweep import REPORT  # noqa: PLC0415
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415

    if as_json:
        emit_json({"folder": str(folder), **_resumed(resumed), **to_plain(found)})
        return
    if resumed == len(found.windows) * (found.plan.sets + 1):
        typer.echo("This walk-forward is finished already; nothing was computed.", err=True)
    out = console()
    out.print(f"{len(found.windows)} windows, {found.plan.sets:,} sets in each; chosen by {WORDS[found.objective]}:")
    _print_windows(found.windows, found.objective)
    whole = found.figures.performance
    out.print(
        f"Out of sample: {dollars(whole.trades.pnl)} after fees in {whole.trades.trades:,} trades, "
        f"Sharpe ratio {ratio(whole.sharpe)}"
    )
    out.print(found.warm_up)
    typer.echo(f"Results: {folder}")
    typer.echo(f"Page: {folder / REPORT}")


def _print_windows(windows: Sequence["WalkWindow"], objective: "Objective") -> None:
    from rich.table import Table  # noqa: PLC0415 - not needed for JSON

    from tbot_bot.backtest.objective import shown_as  # noqa: PLC0415
    from tbot_bot.backtest.summary_lines import dollars  # noqa: PLC0415

    show = shown_as(objective)
    letters = _print_letters([pair.name for pair in windows[0].settings])
    table = Table(box=None, pad_edge=False, expand=False)
    for head in ("", "traded from", *letters, "in", "out", "Result", "Trades"):
        table.add_column(head, justify="right", overflow="fold")
    for one in windows:
        table.add_row(
            str(one.number),
            one.outside_first.isoformat(),
            *(pair.value for pair in one.settings),
            _figure(one.inside, show),
            _figure(one.outside, show),
            dollars(one.pnl),
            f"{one.trades:,}",
        )
    console().print(table)


def _print_letters(names: Sequence[str]) -> list[str]:
    """Print what stands for each setting's name, which would be too long for the head of a column."""
    letters = list(_LETTERS[: len(names)])
    for letter, name in zip(letters, names, strict=True):
        console().print(f"  {letter} = {name}")
    return letters


__all__ = ["Cache", "report", "show_run", "tell_sweep", "tell_walk"]
