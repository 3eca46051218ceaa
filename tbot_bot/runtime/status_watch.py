"""`tbot status --watch`: the bot's state in place on a terminal, a line per change everywhere else."""

import io
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import SECOND, Instant, iso, to_datetime
from tbot_bot.reporting.status_logger import BotState, BotStatus, Trouble
from tbot_bot.runtime.cli_output import DONE, console, is_live, printable
from tbot_bot.runtime.live_screen import LiveScreen
from tbot_bot.runtime.progress import RunProgress, money_text, positions_table, sessions_table
from tbot_bot.runtime.sessions_seen import SessionsSeen, session_name
from tbot_bot.runtime.status_around import Lookout, Sight

_LOOK_SECONDS: Final = 0.5
_QUIT: Final = frozenset("qQ")
_ERRORS_SHOWN: Final = 3
_SIGNALS_SHOWN: Final = 3
_SECONDS_A_MINUTE: Final = 60


def watch(home: Path) -> int:
    """Show the state of `home` until `q` is pressed (exit status 0) or Ctrl-C (130)."""
    out = console()
    lookout = Lookout(home)
    if not is_live(out):
        return _tell_changes(lookout, RunProgress(out))
    seen = SessionsSeen()
    keys = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    with LiveScreen(sys.stdout.fileno(), keys) as screen:
        while True:
            sight = lookout.look()
            if sight.reading.status is not None:
                seen.take_in(sight.reading.status)
            size = screen.size()
            screen.paint(picture(sight, seen, size, out), size)
            if _QUIT & set(screen.key(_LOOK_SECONDS)):
                return DONE


def _tell_changes(lookout: Lookout, progress: RunProgress) -> int:
    never = threading.Event()
    try:
        while not progress.broken:
            reading = lookout.look().reading
            progress.update(reading.status, printable(reading.words) if reading.trouble is not Trouble.STALE else "")
            never.wait(_LOOK_SECONDS)
    finally:
        progress.close()
    return DONE


def picture(sight: Sight, seen: SessionsSeen, size: tuple[int, int], out: Console) -> list[str]:
    """Return the view as lines for a terminal of `size` (columns, lines), in the colours that `out` has."""
    columns, lines = size
    positions = len(sight.reading.status.positions) if sight.reading.status is not None else 0
    shown = positions
    drawn = _drawn(view(sight, seen, shown), columns, out)
    while len(drawn) >= lines and shown > 1:  # the last line is the legend's
        shown = max(1, shown - (len(drawn) - lines + 2))
        drawn = _drawn(view(sight, seen, shown), columns, out)
    drawn = drawn[: lines - 1]
    empty = " " * columns
    return [*drawn, *[empty] * (lines - 1 - len(drawn)), *_drawn(_legend(sight), columns, out)]


def view(sight: Sight, seen: SessionsSeen, positions_max: int) -> RenderableType:
    """Return what is shown of `sight`, with at most `positions_max` positions."""
    status = sight.reading.status
    if status is None:
        return Group(_title(sight), Rule(style="dim"), _facts(sight))
    parts: list[RenderableType] = [_title(sight), Rule(style="dim")]
    parts += [Text(printable(line), style=style) for line, style in _marks(sight, status)]
    parts.append(_facts(sight))
    if status.positions:
        parts += [Text(), positions_table(status.positions, positions_max)]
    if seen.rows:
        parts += [Text(), sessions_table(seen.rows)]
    if status.last_errors:
        errors = [Text(printable(error), style="red", no_wrap=True, overflow="ellipsis") for error in _last(status)]
        parts += [Text(), *errors]
    return Group(*parts)


def _legend(sight: Sight) -> Text:
    status = sight.reading.status
    words = f"q quits   TradeBot {status.version}, pid {status.pid}" if status is not None else "q quits"
    return Text(words, style="dim", no_wrap=True, overflow="ellipsis")


def _last(status: BotStatus) -> tuple[str, ...]:
    return status.last_errors[-_ERRORS_SHOWN:]


def _title(sight: Sight) -> RenderableType:
    status = sight.reading.status
    left = Text(no_wrap=True)
    if status is None:
        left.append("TradeBot", style="bold")
    else:
        over = status.state is BotState.SHUTDOWN and not sight.at_work
        words = [*([] if over else [str(status.state)]), *([] if sight.at_work else ["not running"])]
        left.append(" ".join(words), style="bold")
        left.append(f"   {status.mode}", style="bold" if status.mode == "live" else "")
        left.append(", test mode" if status.test_mode else "", style="yellow")
    there, utc = exchange_time(sight.market_now), to_datetime(sight.market_now)
    right = Text(f"{there:%a %Y-%m-%d}  {utc:%H:%M:%S} UTC  {there:%H:%M} New York", no_wrap=True, style="dim")
    line = Table.grid(expand=True, padding=0)
    line.add_column(no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    return line


def _marks(sight: Sight, status: BotStatus) -> Iterator[tuple[str, str]]:
    """Yield what nobody should overlook, with its style."""
    if status.kill_switch or (status.state is BotState.HALTED and not status.state_reason):
        yield "KILL SWITCH ENGAGED: nothing trades until `tbot resume`", "bold red"
    if status.defense_mode:
        yield "DEFENSE MODE", "bold yellow"
    if status.entries_suspended:
        yield f"NO NEW ENTRIES: {status.entries_suspended}", "yellow"
    if not sight.at_work and status.state not in {BotState.SHUTDOWN, BotState.HALTED}:
        yield f"NO PROCESS IS ALIVE: the last that is known, of {iso(status.written_at)[:19]}Z", "bold red"
    elif sight.reading.trouble is Trouble.STALE and sight.at_work:
        yield f"NO NEWS: {sight.reading.words}", "bold red"


def _facts(sight: Sight) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    status = sight.reading.status
    if status is None:
        grid.add_row("state", Text(printable(sight.reading.words)))
    else:
        for name, told in _told(sight, status):
            grid.add_row(name, told)
    grid.add_row("next", Text(_next(sight)))
    return grid


def _told(sight: Sight, status: BotStatus) -> Iterator[tuple[str, Text]]:
    if status.state_reason:
        yield "because", Text(printable(status.state_reason))
    if status.session:
        yield "session", Text(_session(sight, status))
        yield (
            "counts",
            Text(
                f"{status.candidates} candidates, {status.signaled} signaled, {status.entered} entered, "
                f"{status.exited} exited, {status.rejected} rejected"
            ),
        )
        yield "result", _result(status)
    for signal in status.waiting[:_SIGNALS_SHOWN]:
        left = _span((signal.lapses_at - sight.market_now) / SECOND)
        yield (
            "waits",
            Text(f"{signal.symbol} {signal.side} {signal.price}, {left} left: tbot confirm {signal.trade_id}"),
        )
    if status.brokers:
        yield "brokers", _brokers(status)
    yield "data", Text(_data(status))


def _session(sight: Sight, status: BotStatus) -> str:
    words = f"{session_name(status.session)}  {status.phase or ''}"
    if sight.phase_ends_at is not None:
        words += f", {_span((sight.phase_ends_at - sight.market_now) / SECOND)} left"
    if status.scheduled_start is not None:
        words += f"   scheduled {to_datetime(status.scheduled_start):%H:%M} UTC"
    if status.actual_start is not None:
        words += f", screened from {to_datetime(status.actual_start):%H:%M}"
    return words


def _result(status: BotStatus) -> Text:
    both = status.realized_total + status.unrealized_total
    return Text.assemble(
        money_text(status.realized_total), " realised, ", money_text(status.unrealized_total), " open, ",
        money_text(both), " together",
    )  # fmt: skip


def _brokers(status: BotStatus) -> Text:
    realized = {share.broker: share.pnl for share in status.realized}
    text = Text()
    for number, broker in enumerate(status.brokers):
        text.append("; " if number else "").append(broker.name)
        if broker.name in realized:
            text.append(" ").append(money_text(realized[broker.name]))
        text.append(
            " connected" if broker.connected else " NOT CONNECTED", style="" if broker.connected else "bold red"
        )
        text.append(f" {broker.latency_ms:.0f} ms" if broker.latency_ms is not None else "")
        text.append(" halted" if broker.halted else "", style="yellow")
    return text


def _data(status: BotStatus) -> str:
    age = "no bars yet" if status.data_age_seconds is None else f"{_span(status.data_age_seconds)} old"
    retries = f", {status.api_retries} API retries" if status.api_retries else ""
    return f"{age}{retries}, journal at row {status.journal_sequence}"


def _next(sight: Sight) -> str:
    found = sight.upcoming
    if found is None:
        return "no session in the coming days"
    utc, there = to_datetime(found.start), exchange_time(found.start)
    away = _span((found.start - sight.market_now) / SECOND)
    day = (
        ""
        if exchange_time(Instant(sight.market_now)).date() == found.day
        else f"{found.day:%a} {found.day.isoformat()} "
    )
    return f"{found.strategy.upper()}  {day}{utc:%H:%M} UTC, {there:%H:%M} New York, in {away}"


def _span(seconds: float) -> str:
    """Return a time span as people read it: `45 s`, `8:58`, `1 h 38 min`, `2 d 3 h`."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, _SECONDS_A_MINUTE)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:  # noqa: PLR2004 - hours of a day
        return f"{hours // 24} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def _drawn(what: RenderableType, columns: int, out: Console) -> list[str]:
    """Return `what` as lines of full width, in the colours of the terminal behind `out`; none where it has none."""
    paper = Console(
        file=io.StringIO(),
        width=columns,
        force_terminal=True,
        color_system=None if out.color_system is None else "standard",
        no_color=out.no_color,
        highlight=False,
        markup=False,
        legacy_windows=False,
    )
    with paper.capture() as held:
        paper.print(Padding(what, 0))
    return held.get().removesuffix("\n").split("\n")
