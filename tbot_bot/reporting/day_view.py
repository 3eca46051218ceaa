"""The end report as tables for a terminal, and as plain text for everything else."""

import io
import os
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tbot_bot.core.instants import Instant, to_datetime
from tbot_bot.core.money import plain
from tbot_bot.reporting.daily_summary import Share
from tbot_bot.reporting.day_report import DayReport, SessionLine, TradeLine
from tbot_bot.reporting.facts import signed

_PLAIN_WIDTH: Final = 100


def render(report: DayReport) -> Group:
    """Return what a rich console shows; times are UTC. Texts wrap, none is cut off."""
    parts: list[RenderableType] = [_title(report)]
    for session in report.sessions:
        parts += [Text(), _session(session)]
    if report.skipped:
        parts += [Text(), Text("Skipped", style="bold"), *(_indented(Text(line)) for line in report.skipped)]
    parts += [Text(), Text("Signals", style="bold"), _signals(report)]
    parts += [Text(), Text("Trades", style="bold"), _trades(report.trades)]
    parts += [Text(), Text("Result", style="bold"), _totals(report)]
    if report.problems:
        heading = Text(f"To look at ({len(report.problems)})", style="bold red")
        parts += [Text(), heading, *(_indented(Text(line)) for line in report.problems)]
    if report.files:
        parts += [Text(), Text("Files", style="bold"), *_files(report.files)]
    return Group(*parts)


def plain_text(report: DayReport, width: int = _PLAIN_WIDTH) -> str:
    """Return the report without colours or control characters, for pipes and files."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False, highlight=False)
    console.print(render(report))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _title(report: DayReport) -> Text:
    marks = [str(report.mode)]
    marks += ["test mode"] if report.test_mode else []
    marks += ["defense mode"] if report.defense_mode else []
    title = Text.assemble((f"Trading day {report.day.isoformat()}", "bold"), f"  ({', '.join(marks)})")
    traded = sum(trade.entered_at is not None for trade in report.trades)
    title.append(f"   {_count(len(report.sessions), 'session')}, {_count(traded, 'trade')}, PnL ")
    title.append(_money(report.pnl))
    if report.took_seconds is not None:
        title.append(f"\ntook {report.took_seconds:.1f} s", style="dim")
    return title


def _session(session: SessionLine) -> RenderableType:
    counts = session.counts
    heading = Text.assemble((session.strategy.value.upper(), "bold"), f"  {session.session_id}")
    if session.description:
        heading.append(f"  {session.description}", style="dim")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_row("phases", Text("  ".join(f"{line.phase} {_clock(line.at)}" for line in session.phases) or "none"))
    chosen = f"{counts.candidates} of {counts.screened} screened"
    grid.add_row("candidates", Text(f"{chosen}: {' '.join(session.candidates)}" if session.candidates else chosen))
    grid.add_row(
        "counts",
        Text(
            f"{counts.signaled} signaled, {counts.rejected} rejected, {counts.entered} entered, {counts.exited} exited"
        ),
    )
    for number, line in enumerate(session.nearest):
        grid.add_row("no signal" if number == 0 else "", Text(line))
    if session.not_shown:
        grid.add_row("", Text(f"and {session.not_shown} more, in the session's log", style="dim"))
    end = f"{_clock(session.ended_at)} " if session.ended_at is not None else ""
    grid.add_row("end", Text(f"{end}{session.end_reason}"))
    return Group(heading, _indented(grid))


def _signals(report: DayReport) -> RenderableType:
    if not report.signals:
        return _indented(Text("none"))
    table = _table()
    table.add_column("UTC", no_wrap=True)
    table.add_column("session", no_wrap=True)
    table.add_column("symbol", no_wrap=True)
    table.add_column("side", no_wrap=True)
    table.add_column("price", justify="right", no_wrap=True)
    table.add_column("why, and what was refused", ratio=1, overflow="fold")
    for line in report.signals:
        why = Text(line.reason)
        for refusal in line.dropped:
            why.append(f"\nrefused by {refusal}" if not refusal.startswith("all: ") else f"\nrefused, {refusal[5:]}")
        table.add_row(_clock(line.at), line.strategy.value, line.symbol, line.side, _price(line.price), why)
    return table


def _trades(trades: Iterable[TradeLine]) -> RenderableType:
    lines = tuple(trades)
    if not lines:
        return _indented(Text("none"))
    table = _table()
    for name in ("UTC", "session", "broker", "ticker", "side"):
        table.add_column(name, no_wrap=True)
    for name in ("size", "entry", "exit", "PnL"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("exit by", ratio=1, overflow="fold")
    for line in lines:
        reason = Text(line.exit_reason)
        if line.error_code:
            reason.append(f" ({line.error_code})", style="red")
        table.add_row(
            f"{_clock(line.entered_at)[:5] if line.entered_at is not None else '     '}-{_clock(line.exited_at)[:5]}",
            line.strategy.value,
            line.broker,
            line.ticker,
            line.side,
            plain(round(line.size, 4)),
            _price(line.entry_price),
            _price(line.exit_price),
            _money(line.pnl),
            reason,
        )
    return table


def _totals(report: DayReport) -> RenderableType:
    table = _table()
    table.add_column("", no_wrap=True)
    for name in ("trades", "won", "lost", "fees", "slippage", "PnL"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, shares in (("strategy", report.by_strategy), ("broker", report.by_broker)):
        for share in shares:
            _add_share(table, f"{kind} {share.name}", share)
    count = report.wins + report.losses + report.flats
    whole = Share(
        name="day", trades=count, wins=report.wins, losses=report.losses, pnl=report.pnl, fees=report.fees,
        slippage=report.slippage,
    )  # fmt: skip
    table.add_section()
    _add_share(table, "day", whole)
    return table


def _add_share(table: Table, name: str, share: Share) -> None:
    table.add_row(
        name,
        str(share.trades),
        str(share.wins),
        str(share.losses),
        f"{share.fees:.2f}",
        signed(share.slippage),
        _money(share.pnl),
    )


def _files(paths: Sequence[str]) -> Iterable[RenderableType]:
    """Name the folder that they share once, then each file below it."""
    shared = os.path.commonpath(paths) if len(paths) > 1 else ""
    if shared not in {"", os.sep}:
        yield _indented(Text(f"below {shared}", overflow="fold"))
        paths = [os.path.relpath(path, shared) for path in paths]
    for path in paths:
        yield _indented(Text(path, overflow="fold"))


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False, header_style="dim", padding=(0, 1, 0, 0))


def _indented(part: RenderableType) -> Padding:
    return Padding(part, (0, 0, 0, 1))


def _money(amount: Decimal) -> Text:
    style = "green" if amount > 0 else "red" if amount < 0 else ""
    return Text(signed(amount), style=style)


def _price(price: Decimal | None) -> str:
    return "-" if price is None else f"{price:.2f}" if price >= 1 else plain(round(price, 4))


def _clock(at: Instant) -> str:
    return f"{to_datetime(at):%H:%M:%S}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


__all__ = ["plain_text", "render"]
