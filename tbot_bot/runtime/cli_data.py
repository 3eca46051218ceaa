"""The commands on backtest data: data import, fetch, check, list."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, complain, console, day_of, emit_json, printable
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import work

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from tbot_bot.backtest.bar_rows import Form
    from tbot_bot.backtest.data_check import DataReport
    from tbot_bot.backtest.data_set import Manifest
    from tbot_bot.backtest.load_historical_data import BadRows, ImportRequest

_LAYOUTS: Final = ("auto", "alphavantage")
_SOURCES: Final = ("alpaca", "yahoo", "ibkr")
_ADJUSTMENTS: Final = ("none", "split", "all")
_MINUTES_MAX: Final = 60
_SHOWN: Final = 3


def _one_of(words: tuple[str, ...], text: str) -> str:
    if text not in words:
        msg = f"{text!r} is none of {', '.join(words)}"
        raise typer.BadParameter(msg)
    return text


def _adjustment(text: str) -> str:
    return _one_of(_ADJUSTMENTS, text)


Into = Annotated[Path, typer.Option("--into", metavar="DIR", help="Folder of the data set; made by this command.")]
Replace = Annotated[bool, typer.Option("--replace", help="Put the set in the place of the one that is there.")]
Note = Annotated[
    str,
    typer.Option(
        "--survivorship", metavar="TEXT", help="Which symbols are missing since they trade no more; goes into reports."
    ),
]

Layout = Annotated[
    str,
    typer.Option(
        parser=lambda text: _one_of(_LAYOUTS, text),
        metavar="auto|alphavantage",
        help="alphavantage: New York times at the END of each minute, the symbol in the file's name.",
    ),
]
Stamps = Annotated[
    str,
    typer.Option(
        parser=lambda text: _one_of(("start", "end"), text), metavar="start|end", help="Which end of its bar a time is."
    ),
]
SymbolPlace = Annotated[
    str,
    typer.Option(
        parser=lambda text: _one_of(("column", "name", "folder"), text),
        metavar="column|name|folder",
        help="Where the symbol stands.",
    ),
]


def import_(
    sources: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, or folders of them.")],
    *,
    into: Into,
    layout: Layout = "auto",
    stamps: Stamps = "start",
    zone: Annotated[
        str, typer.Option(metavar="ZONE", help="Zone of times that carry none, as America/New_York or UTC.")
    ] = "",
    minutes: Annotated[
        int, typer.Option(min=1, max=_MINUTES_MAX, metavar="N", help="Length of a bar, for --stamps end.")
    ] = 1,
    symbol_in: SymbolPlace = "column",
    adjust: Annotated[
        str,
        typer.Option(parser=_adjustment, metavar="none|split|all", help="What the bars of the set are adjusted for."),
    ] = "none",
    actions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Splits and dividends to adjust by; without it the files are adjusted so."),
    ] = None,
    source: Annotated[str, typer.Option(metavar="TEXT", help="Where the bars are from, for the manifest.")] = "",
    survivorship: Note = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used.")] = False,
    replace: Replace = False,
    as_json: Json = False,
) -> int:
    """Make a data set out of bar files. CSV, JSON, zip (also LEAN's) and Parquet; faults are told by file and line."""
    from tbot_bot.backtest.data_set import Adjustment  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.backtest.load_historical_data import BadRows, ImportRequest  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415

    if actions is not None and adjust == "none":
        msg = "a file of splits and dividends needs --adjust split or --adjust all"
        raise typer.BadParameter(msg, param_hint="'--actions'")
    request = ImportRequest(
        sources=tuple(path.absolute() for path in sources),
        target=into.absolute(),
        made_at=wall_now(),
        form=_form(layout, stamps, zone, minutes, symbol_in),
        adjustment=Adjustment(adjust),
        actions=actions,
        survivorship=survivorship,
        source=source,
        skip_bad=skip_bad,
        replace=replace,
    )
    try:
        manifest = _import(request)
    except BadRows as error:
        _tell_bad(error, as_json=as_json)
        return FAILED
    _finish(request.target, manifest, as_json=as_json)
    return DONE


def _import(request: "ImportRequest") -> "Manifest":
    from tbot_bot.backtest.load_historical_data import files_of, import_bars  # noqa: PLC0415 - `--help` stays fast

    total = sum(path.stat().st_size for path in files_of(request.sources))
    with work("reading", total) as shown:
        return import_bars(request, shown.reach)


def _tell_bad(error: "BadRows", *, as_json: bool) -> None:
    if not as_json:
        complain(error)
        return
    rows: list[JsonValue] = [{"file": one.file, "line": one.line, "what": one.what} for one in error.faults.listed]
    emit_json({"made": False, "faults": error.faults.total, "rows": rows})


def _form(layout: str, stamps: str, zone: str, minutes: int, symbol_in: str) -> "Form":
    from tbot_bot.backtest.bar_rows import Form, SymbolIn  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.calendar import NEW_YORK  # noqa: PLC0415
    from tbot_bot.core.instants import minutes as span_of  # noqa: PLC0415

    if layout == "alphavantage":
        place = SymbolIn.NAME if symbol_in == "column" else SymbolIn(symbol_in)
        return Form(zone=NEW_YORK, end_stamped=True, span=span_of(minutes), symbol_in=place)
    return Form(
        zone=_zone(zone) if zone else None,
        end_stamped=stamps == "end",
        span=span_of(minutes),
        symbol_in=SymbolIn(symbol_in),
    )


def _zone(name: str) -> "ZoneInfo":
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - `--help` stays fast

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"{name!r} is no time zone; write one such as America/New_York"
        raise typer.BadParameter(msg, param_hint="'--zone'") from None


def fetch(
    *,
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            parser=lambda text: _one_of(_SOURCES, text),
            metavar="alpaca|yahoo|ibkr",
            help="Who is asked; yahoo has minute bars of the last 30 days only.",
        ),
    ],
    start: Annotated[date, typer.Option(parser=day_of, metavar="DAY", help="First day, as 2023-01-03.")],
    end: Annotated[date, typer.Option(parser=day_of, metavar="DAY", help="Last day, itself included.")],
    into: Into,
    symbols: Annotated[str, typer.Option(metavar="A,B,...", help="Default: those of UNIVERSE.")] = "",
    adjust: Annotated[
        str | None,
        typer.Option(
            parser=_adjustment, metavar="none|split|all", help="Adjusted for; default split, at Yahoo and IB always."
        ),
    ] = None,
    feed: Annotated[
        str,
        typer.Option(
            parser=lambda text: _one_of(("sip", "iex"), text),
            metavar="sip|iex",
            help="Alpaca's feed: all exchanges, or one.",
        ),
    ] = "sip",
    survivorship: Note = "",
    replace: Replace = False,
    restart: Annotated[bool, typer.Option("--restart", help="Forget an unfinished fetch of something else.")] = False,
    as_json: Json = False,
) -> int:
    """Download minute bars into a data set. May be interrupted: the same command goes on where it ended."""
    from tbot_bot.backtest.data_set import Adjustment  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415
    from tbot_bot.runtime.bar_sources import Asked, Source  # noqa: PLC0415
    from tbot_bot.runtime.data_desk import fetch_set  # noqa: PLC0415

    if end < start:
        msg = f"{end.isoformat()} is before {start.isoformat()}; the earlier day comes first"
        raise typer.BadParameter(msg, param_hint="'--end'")
    settings = load_settings(tbot_home(), {}, defaults_if_absent=True)
    asked = Asked(source=Source(from_), adjustment=None if adjust is None else Adjustment(adjust), feed=feed)
    with work(f"asking {from_}", 1) as shown:
        fetched = fetch_set(
            settings,
            asked,
            symbols=tuple(dict.fromkeys(one.strip() for one in symbols.split(",") if one.strip())),
            first=start,
            last=end,
            target=into.absolute(),
            survivorship=survivorship,
            replace=replace,
            restart=restart,
            said=lambda words: typer.echo(words, err=True),
            progress=shown.reach_of,
        )
    refused: dict[str, JsonValue] = dict(fetched.refused)
    if not as_json:
        for symbol, why in sorted(fetched.refused.items()):
            typer.echo(f"{from_} does not have {symbol}: {printable(why)}", err=True)
        for symbol in fetched.empty:
            typer.echo(f"{from_} has no bars of {symbol} on these days", err=True)
    more: dict[str, JsonValue] = {"refused": refused, "empty": list(fetched.empty), "pieces": fetched.pieces,
                                  "kept": fetched.kept}  # fmt: skip
    _finish(into.absolute(), fetched.manifest, as_json=as_json, more=more)
    return DONE


def check(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A data set, a bar file, or a folder of them.")],
    *,
    as_json: Json = False,
) -> int:
    """Look for what would spoil a backtest. Holes, repeats, bad prices, odd times, splits not adjusted for.

    Exit status 1: a backtest refuses the data.
    """
    from tbot_bot.backtest.data_check import Verdict, check_data  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415

    with work("checking", 1) as shown:
        report = check_data(path, shown.reach_of)
    if as_json:
        emit_json({**to_plain(report), "verdict": report.verdict.value})
    else:
        _print_report(report)
    return FAILED if report.of(Verdict.REFUSED, Verdict.NEVER) else DONE


def list_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the sets are; default: here.")] = Path(),
    *,
    as_json: Json = False,
) -> int:
    """Name the data sets in a folder. Says what they hold and where they are from."""
    from tbot_bot.backtest.data_set import data_sets_in  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415

    found = data_sets_in(folder)
    if as_json:
        rows: list[JsonValue] = [{"path": str(place), **to_plain(manifest)} for place, manifest in found]
        emit_json(rows)
        return DONE
    if not found:
        typer.echo("There is no data set here; `tbot data import` and `tbot data fetch` make one.")
    for place, manifest in found:
        typer.echo(f"{place}: {_words(manifest)}")
    return DONE


def _words(manifest: "Manifest") -> str:
    from tbot_bot.core.calendar import exchange_time  # noqa: PLC0415 - `--help` stays fast

    first, last = exchange_time(manifest.first).date(), exchange_time(manifest.last).date()
    return (
        f"{manifest.bars:,} bars of {manifest.symbols} symbols, {first} to {last}, {manifest.source}, "
        f"adjusted for: {manifest.adjustment.value}"
    )


def _finish(target: Path, manifest: "Manifest", *, as_json: bool, more: "dict[str, JsonValue] | None" = None) -> None:
    """Check the set that was made, and tell both."""
    from tbot_bot.backtest.data_verdict import keep_report  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415

    with work("checking", 1) as shown:
        report = keep_report(target, progress=shown.reach_of)
    if as_json:
        emit_json({"made": True, "folder": str(target), **(more or {}), "manifest": to_plain(manifest),
                   "check": {**to_plain(report), "verdict": report.verdict.value}})  # fmt: skip
        return
    typer.echo(f"{target}: {_words(manifest)}")
    if manifest.left_out:
        typer.echo(f"{manifest.left_out:,} rows were left out")
    for notice in manifest.notices:
        typer.echo(printable(notice))
    _print_report(report)


def _print_report(report: "DataReport") -> None:
    from rich.table import Table  # noqa: PLC0415 - not needed for JSON

    from tbot_bot.backtest.data_check import KINDS  # noqa: PLC0415

    out = console()
    out.print(f"{report.bars:,} bars, {report.symbols} symbols, {report.sessions} sessions")
    for notice in report.notices:
        out.print(printable(notice))
    told = [finding for finding in report.findings if finding.count]
    if told:
        table = Table("verdict", "count", "what", "the worst", box=None, pad_edge=False, expand=False)
        for finding in told:
            share = f" ({finding.count / finding.of:.2%})" if finding.of else ""
            worst = [f"{one.where}: {one.what}" if one.what else one.where for one in finding.examples[:_SHOWN]]
            table.add_row(
                finding.verdict.value,
                f"{finding.count:,}{share}",
                KINDS[finding.kind].says,
                printable("\n".join(worst)),
            )
        out.print(table)
    out.print(_VERDICTS[report.verdict.value])


_VERDICTS: Final = {
    "fine": "Nothing wrong was found.",
    "noted": "A backtest runs on these data; the report of it says what is noted above.",
    "refused": "A backtest refuses these data, unless --accept-data says that they are to be used all the same.",
    "never": "No backtest runs on these data. `tbot data import --skip-bad` makes a set without the bad rows.",
}


__all__ = ["check", "fetch", "import_", "list_"]
