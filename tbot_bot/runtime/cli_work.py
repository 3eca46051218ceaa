"""What a person sees while a command works for more than a moment: a bar on their terminal, nothing elsewhere."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from tbot_bot.config.process_env import color_refused
from tbot_bot.runtime.cli_output import console, is_live

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
_PATIENCE_SECONDS: Final = 0.5
"""What is done sooner shows no bar at all."""
_DRAW_SECONDS: Final = 0.1


class Work:
    """One piece of work under way. The bar is on stderr, and gone when the work is done."""

    def __init__(self, words: str, total: int | None, *, shown: bool) -> None:
        """`total` is in whatever `reach` counts; None: nobody knows how much there is."""
        self._words: Final = words
        self._total = total
        self._shown: Final = shown
        self._bar: Progress | None = None
        self._draw_at = _now() + _PATIENCE_SECONDS

    def reach(self, done: int, words: str = "") -> None:
        """Show that `done` of the total is done, and what is being done now."""
        if not self._shown or _now() < self._draw_at:
            return
        if self._bar is None:
            self._bar = _bar(self._words, self._total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, description=words or self._words, refresh=True)
        self._draw_at = _now() + _DRAW_SECONDS

    def reach_of(self, done: int, total: int, words: str) -> None:
        """Show that `done` of `total` is done, where how much there is became known on the way."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=total)
        self.reach(done, words)

    def over(self, things: Iterable[T]) -> Iterator[T]:
        """Yield `things`, showing how many there were."""
        for done, thing in enumerate(things, start=1):
            yield thing
            self.reach(done)

    def end(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def work(words: str, total: int | None = None) -> Iterator[Work]:
    """Give the progress display of one piece of work; nothing is shown without a terminal or with NO_COLOR."""
    made = Work(words, total, shown=_someone_looks())
    try:
        yield made
    finally:
        made.end()


@contextmanager
def waiting(words: str) -> Iterator[Callable[[str], None]]:
    """Give the function that tells what is being waited for, shown beside a turning sign; silent as `work` is."""
    if not _someone_looks():
        yield lambda _: None
        return
    with console(stderr=True).status(words) as sign:
        yield sign.update


def _now() -> float:
    from tbot_bot.runtime.clock import monotonic_seconds  # noqa: PLC0415 - `--help` does without asyncio

    return monotonic_seconds()


def _someone_looks() -> bool:
    return sys.stderr.isatty() and not color_refused() and is_live(console(stderr=True))


def _bar(words: str, total: int | None) -> "Progress":
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    made = Progress(*columns, console=console(stderr=True), auto_refresh=False, transient=True)
    made.add_task(words, total=total)
    return made
