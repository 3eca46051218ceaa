"""The last resort of a process: what nobody caught is reported, and what is printed shows no secret.

Tasks that die unseen, threads, destructors: Python prints such errors at best, and whoever waits for the task waits
for ever. Here each is handed to the process's own reporter, besides being printed.
"""

import io
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from tbot_bot.config.scrub import scrub

if TYPE_CHECKING:
    import asyncio  # not for every command of the CLI, which begins here, too

Report = Callable[[str, BaseException], None]
"""Takes where it happened and what; must not raise."""


class ScrubbedStream(io.TextIOBase):
    """A text stream that shows no secret: whole lines are scrubbed, the rest when it is flushed or closed."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        super().__init__()
        self._stream: Final = stream
        self._waiting = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property of the one below
        """Return how the stream below writes characters."""
        return self._stream.encoding

    def writable(self) -> bool:
        """Return that it takes text."""
        return True

    def isatty(self) -> bool:
        """Return whether a person may look on."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the file below, past the scrubbing: for children, who scrub for themselves."""
        return self._stream.fileno()

    def write(self, text: str, /) -> int:
        """Take `text`; its last line waits for its end."""
        whole, line_end, rest = (self._waiting + text).rpartition("\n")
        self._waiting = rest
        if line_end:
            self._stream.write(scrub(whole) + line_end)
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Show what waits."""
        waiting, self._waiting = self._waiting, ""
        if waiting:
            self._stream.write(scrub(waiting))
        self._stream.flush()


@contextmanager
def scrubbed_output(*, stdout: bool = False) -> Iterator[None]:
    """Scrub stderr for the length of the block, tracebacks of Python's own included; and stdout where asked."""
    errors, output = sys.stderr, sys.stdout
    sys.stderr = ScrubbedStream(errors)
    if stdout:
        sys.stdout = ScrubbedStream(output)
    try:
        yield
    except Exception:  # noqa: BLE001 - Python would print it after the block, past the scrubbing
        sys.stderr.write(traceback.format_exc())
        raise SystemExit(1) from None
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        sys.stderr, sys.stdout = errors, output


@contextmanager
def nothing_vanishes(report: Report) -> Iterator[None]:
    """Report what threads and destructors raise for the length of the block; it is printed, too."""
    before = sys.unraisablehook, threading.excepthook

    def unraisable(met: "sys.UnraisableHookArgs") -> None:
        before[0](met)
        report(f"{met.err_msg or 'ignored'}: {met.object!r}", met.exc_value or met.exc_type())

    def in_thread(met: threading.ExceptHookArgs) -> None:
        before[1](met)
        if met.exc_value is not None:
            report(f"thread {met.thread.name if met.thread else '?'}", met.exc_value)

    sys.unraisablehook, threading.excepthook = unraisable, in_thread
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook = before


def watch_loop(loop: "asyncio.AbstractEventLoop", report: Report) -> None:
    """Report what callbacks of `loop` raise, and errors of tasks that nobody awaited."""

    def met(loop: "asyncio.AbstractEventLoop", context: dict[str, object]) -> None:
        error = context.get("exception")
        words = str(context.get("message") or "event loop")
        loop.default_exception_handler(context)
        report(words, error if isinstance(error, BaseException) else RuntimeError(words))

    loop.set_exception_handler(met)


def watched(task: "asyncio.Task[None]", where: str, report: Report) -> "asyncio.Task[None]":
    """Return `task`, whose error is reported when it ends, whoever awaits it or not; a cancelled one is none."""

    def ended(task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            report(where, error)

    task.add_done_callback(ended)
    return task


__all__ = ["Report", "ScrubbedStream", "nothing_vanishes", "scrubbed_output", "watch_loop", "watched"]
