"""A terminal that a command has to itself: lines painted in place, keys read one by one, everything given back.

Only lines that differ from what stands there are written, each in one go: nothing flickers and nothing scrolls.
The picture is on the terminal's second screen, so the first one is as it was when the command ends.
"""

import os
import select
import signal
import termios
import threading
import tty
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Final, Self

from tbot_bot.runtime.cli_output import TERMINATED

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
"""Second screen, no cursor, lines are cut at the edge instead of wrapped, all empty."""
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_CLEAR: Final = "\x1b[2J"
_PLAIN: Final = "\x1b[0m"
_SMALLEST: Final = (20, 5)


class LiveScreen:
    """The whole terminal behind `output`; keys come from `keys`, where that is a terminal."""

    def __init__(self, output: int, keys: int | None) -> None:
        """Nothing is touched before the block is entered; `keys` None: nobody can press one."""
        self._output: Final = output
        self._keys = keys
        self._modes: list[int | list[bytes | int]] = []
        self._painted: list[str] = []
        self._size = (0, 0)
        self._handlers: dict[int, signal.Handlers | int | None] = {}

    def __enter__(self) -> Self:
        """Take the terminal."""
        for number, handler in ((signal.SIGTERM, self._terminated), (signal.SIGTSTP, self._suspended)):
            self._handlers[number] = signal.getsignal(number)  # type: ignore[assignment]  # put back as it was
            signal.signal(number, handler)
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back as it was."""
        with suppress(OSError, termios.error):  # a terminal that has gone needs nothing
            self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def size(self) -> tuple[int, int]:
        """Return columns and lines as they are now."""
        try:
            found = os.get_terminal_size(self._output)
        except OSError:
            return 80, 24
        return max(found.columns, _SMALLEST[0]), max(found.lines, _SMALLEST[1])

    def paint(self, lines: Sequence[str], size: tuple[int, int]) -> None:
        """Show `lines`, one for each line of `size` and of its width; what is there already is not written again."""
        out = []
        if size != self._size:
            out.append(_CLEAR)
            self._painted, self._size = [], size
        shown = list(lines[: size[1]])
        for number, line in enumerate(shown):
            if number >= len(self._painted) or self._painted[number] != line:
                out.append(f"\x1b[{number + 1};1H{line}{_PLAIN}")
        self._painted = shown
        self._write("".join(out))

    def key(self, seconds: float) -> str:
        """Return what is pressed within `seconds`; empty where nothing is."""
        if self._keys is None:
            threading.Event().wait(seconds)
            return ""
        ready, _, _ = select.select([self._keys], [], [], seconds)
        if not ready:
            return ""
        pressed = os.read(self._keys, 64)
        if not pressed:  # nobody is at the keyboard any more
            self._keys = None
        return pressed.decode("utf-8", "replace")

    def _take(self) -> None:
        if self._keys is not None:
            self._modes = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)
        self._painted, self._size = [], (0, 0)
        self._write(_ENTER)

    def _give_back(self) -> None:
        self._write(_LEAVE)
        if self._keys is not None:
            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._modes)

    def _write(self, text: str) -> None:
        rest = memoryview(text.encode("utf-8", "replace"))
        while rest:
            rest = rest[os.write(self._output, rest) :]

    def _suspended(self, _number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: give the terminal back, stop, and take it again when told to go on."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()

    def _terminated(self, _number: int, _frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)
