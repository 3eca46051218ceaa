"""The command `tbot backtest compare`: a recorded day beside its backtest, trade by trade."""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.runtime import cli_complete
from tbot_bot.runtime.cli_output import DONE, day_of, emit_json, printable
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import work

if TYPE_CHECKING:
    from tbot_bot.backtest.day_comparison import ComparedTrade, ComparisonSums, DayComparison

_HEAD: Final = ("day $", "backtest", "slip $", "in bp", "out bp", "late s")
_WIDTHS: Final = (9, 9, 8, 7, 7, 8)
"""Of the figures at least, a space before each included."""
_COLUMNS: Final = 79
JSON_FILE: Final = "comparison.json"
TABLE_FILE: Final = "comparison.csv"


def compare(
    day: Annotated[
        date,
        typer.Argument(
            parser=day_of, metavar="DAY", help="Trading day, as 2025-09-02.", autocompletion=cli_complete.days
        ),
    ],
    *,
    mode: Annotated[Mode, typer.Option("--mode", help="Which books: live or paper.")] = Mode.PAPER,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="Bars for the backtest; default: those that the day recorded."),
    ] = None,
    strategy: Annotated[
        list[StrategyName] | None, typer.Option(help="Compare this one; repeatable. Default: all.")
    ] = None,
    run: Annotated[
        int | None,
        typer.Option(
            "--run", min=1, metavar="N", help="Which run of the day, where test mode made several. Default: the latest."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also leave comparison.json and comparison.csv in this folder.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare what a day really traded with its own backtest. Every session, at every broker that it traded at.

    Each session begins with the accounts, the candidates and the settings that it really had; it is then
    traded again at the simulated venue. The journal is only read.
    """
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415
    from tbot_bot.runtime.comparison_desk import ComparisonRequest, compare_day  # noqa: PLC0415

    if mode is Mode.BACKTEST:
        msg = "a backtest keeps no journal; compare a day of paper or live"
        raise typer.BadParameter(msg, param_hint="'--mode'")
    request = ComparisonRequest(
        home=tbot_home(),
        day=day,
        mode=mode,
        data=None if data is None else data.absolute(),
        strategies=tuple(dict.fromkeys(strategy or ())),
        run=run,
    )
    with work("trading the day again") as under_way:
        found = compare_day(request, under_way.reach)
    if out is not None:
        _keep(out.absolute(), found)
    if as_json:
        emit_json(to_plain(found))
        return DONE
    for line in lines_of(found):
        typer.echo(line)
    if out is not None:
        typer.echo(f"kept in {out.absolute()}: {JSON_FILE}, {TABLE_FILE}")
    return DONE


def lines_of(found: "DayComparison") -> Iterator[str]:
    """Yield the comparison as text for 80 columns."""
    bars = "the bars of its tapes" if found.bars == "tape" else found.bars
    yield from _folded(f"{found.day.isoformat()} {found.mode}{_runs(found)} beside its backtest on {printable(bars)}")
    yield ""
    strategies = found.strategies if len(found.strategies) > 1 else ()
    brokers = found.brokers if len(found.brokers) > 1 else ()
    sums = [_sums(one) for one in (*strategies, *brokers, found.total)]
    trades = [_trade(one) for one in found.trades]
    widths = [max(map(len, cells)) + 1 for cells in zip(*(row.figures for row in (*trades, *sums)), strict=True)]
    widths = [max(known, needed) for known, needed in zip(_WIDTHS, widths, strict=True)]
    yield from _row(_Row("", _HEAD), widths)
    for trade, row in zip(found.trades, trades, strict=True):
        yield from _row(row, widths)
        if trade.why:
            yield from _folded(f"  {_words(trade)}")
    yield ""
    for row in sums:
        yield from _row(row, widths)
    yield "slip: dollars, + is worse for us; bp and s of sums: medians"
    if any(trade.beyond_bars for trade in found.trades):
        yield "* ended in a bar that is on no tape: the day's own executions were taken for it"
    for session in found.sessions:
        if session.note:
            yield from _folded(f"{session.session}: {session.note}")
    yield from _folded(found.verdict)


class _Row(NamedTuple):
    """One line of the table."""

    name: str
    figures: tuple[str, ...]


def _runs(found: "DayComparison") -> str:
    """Return which runs of the day are compared; nothing where there was only one."""
    from tbot_bot.core.identity import SessionId  # noqa: PLC0415 - `--help` stays fast

    runs = {one.strategy: SessionId.parse(one.session).run for one in found.sessions if one.compared}
    if set(runs.values()) <= {1}:
        return ""
    if len(set(runs.values())) == 1:
        return f", run {next(iter(runs.values()))},"
    return f", {', '.join(f'run {run} of {strategy}' for strategy, run in runs.items())},"


def _trade(trade: "ComparedTrade") -> _Row:
    mark = "*" if trade.beyond_bars else ""
    delay = trade.exit_delay if trade.entry_delay is None else trade.entry_delay
    figures = (
        _dollars(None if trade.day is None else trade.day.pnl),
        _dollars(None if trade.backtest is None else trade.backtest.pnl),
        _dollars(_added(trade.entry_slippage, trade.exit_slippage)),
        _number(trade.entry_slippage_bps),
        _number(trade.exit_slippage_bps),
        _number(delay),
    )
    name = f"{trade.strategy:<5} {printable(trade.symbol)}{mark} {trade.side} {printable(trade.broker)}"
    return _Row(name, figures)


def _words(trade: "ComparedTrade") -> str:
    told = printable(trade.why)
    return told if trade.fate == "matched" else f"{trade.fate}: {told}"


def _sums(one: "ComparisonSums") -> _Row:
    figures = (
        _dollars(one.day_result),
        _dollars(one.backtest_result),
        _dollars(one.slippage),
        _number(one.entry_slippage_bps),
        _number(one.exit_slippage_bps),
        _number(one.entry_delay),
    )
    counts = f"{one.matched} both, {one.missed} missed, {one.extra} own"
    return _Row(f"{one.strategy or printable(one.broker) or 'all'}: {counts}", figures)


def _row(row: _Row, widths: Sequence[int]) -> Iterator[str]:
    """Yield the line of `row`; a name that has no room beside the figures stands above them."""
    cells = "".join(f"{text:>{width}}" for text, width in zip(row.figures, widths, strict=True))
    room = _COLUMNS - len(cells)
    if len(row.name) > room:
        yield from _folded(row.name)
        yield f"{'':{max(0, room)}}{cells}"
    else:
        yield f"{row.name:<{room}}{cells}"


def _folded(text: str) -> Iterator[str]:
    import textwrap  # noqa: PLC0415 - `--help` stays fast

    indent = text[: len(text) - len(text.lstrip())]
    yield from textwrap.wrap(text, _COLUMNS, subsequent_indent=f"{indent}  ", drop_whitespace=True) or [""]


def _dollars(amount: Decimal | None) -> str:
    return "-" if amount is None else f"{amount:.2f}"


def _number(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _added(*amounts: Decimal | None) -> Decimal | None:
    known = [one for one in amounts if one is not None]
    return sum(known, Decimal(0)) if known else None


# --- files ------------------------------------------------------------------------------------------------------------


def _keep(folder: Path, found: "DayComparison") -> None:
    from tbot_bot.reporting.shapes import text_of, to_plain  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.files import write_atomically  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / JSON_FILE, f"{text_of(to_plain(found), indent=1)}\n")
    write_atomically(folder / TABLE_FILE, _table(found.trades))


def _table(trades: "Sequence[ComparedTrade]") -> str:
    """Return one line a trade, both sides beside each other."""
    import csv  # noqa: PLC0415 - `--help` stays fast
    import io  # noqa: PLC0415

    from tbot_bot.backtest.day_comparison import ComparedTrade  # noqa: PLC0415
    from tbot_bot.backtest.day_side import TradeSide  # noqa: PLC0415
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415

    sides = ("day", "backtest")
    own = [name for name in ComparedTrade.__dataclass_fields__ if name not in sides]
    both = list(TradeSide.__dataclass_fields__)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*own, *(f"{side}_{name}" for side in sides for name in both)])
    for trade in trades:
        plain = to_plain(trade)
        cells = [plain[name] for name in own]
        for side in sides:
            told = plain[side]
            cells += [told[name] if isinstance(told, dict) else None for name in both]
        writer.writerow("" if cell is None else cell for cell in cells)
    return text.getvalue()


__all__ = ["JSON_FILE", "TABLE_FILE", "compare", "lines_of"]
