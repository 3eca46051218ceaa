"""How far a sweep is: a bar with the time left on a terminal, a line now and then anywhere else; always on stderr."""

from typing import TYPE_CHECKING, Final

import typer

from tbot_bot.config.process_env import color_refused
from tbot_bot.runtime.cli_output import console, is_live

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_SECONDS: Final = 10.0
_MINUTE: Final = 60


class SweepProgress:
    """Shows what is told of a sweep, from its first task on."""

    def __init__(self, thing: str) -> None:
        """`thing` is what is counted, in the plural."""
        self._thing: Final = thing
        self._bar: Progress | None = None
        self._line_at = 0.0
        self._first: tuple[int, float] | None = None
        self._started = False

    def told(self, done: int, total: int, known: int) -> None:
        """Show that `done` of `total` are done, `known` of them by an earlier attempt."""
        if not self._started:
            self._start(total, known)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, refresh=True)
        elif done > known:
            self._say(done, total)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()

    def _say(self, done: int, total: int) -> None:
        """Write a line, if it is time: the pace is that since the first one done, which waits for machine code."""
        now = _now()
        if self._first is None:
            self._first = (done, now)
        if now < self._line_at:
            return
        self._line_at = now + _LINE_SECONDS
        count, since = done - self._first[0], now - self._first[1]
        pace = ""
        if count and done < total:
            left = duration(since / count * (total - done))
            pace = f", {count / since:,.2g} a second, about {left} left"
        typer.echo(f"{done:,} of {total:,} {self._thing}{pace}", err=True)

    def _start(self, total: int, known: int) -> None:
        self._started = True
        self._line_at = _now()
        if known:
            typer.echo(f"going on: {known:,} of {total:,} {self._thing} are done already", err=True)
        out = console(stderr=True)
        if is_live(out) and not color_refused():
            self._bar = _bar()
            self._bar.add_task(self._thing, total=total, completed=known)
            self._bar.start()


def duration(seconds: float) -> str:
    """Return a span of time in two units at the most: `45 s`, `12 min`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    minutes = round(seconds / _MINUTE)
    if minutes < 2 * _MINUTE:
        return f"{minutes} min"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE} min"


def _now() -> float:
    from tbot_bot.runtime.clock import monotonic_seconds  # noqa: PLC0415 - `--help` does without asyncio

    return monotonic_seconds()


def _bar() -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("left"), console=console(stderr=True), transient=True)


__all__ = ["SweepProgress", "duration"]
