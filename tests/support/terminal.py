"""A real terminal for a real process: what it wrote, what it is typed, how large it is."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Self

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CLI = "from tbot_bot.runtime.cli import main; raise SystemExit(main())"
_TAKE_TERMINAL = (
    "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)
_WAIT_SECONDS = 30.0


class Terminal:
    """The command line in a terminal of its own, of which it is the foreground process."""

    def __init__(self, home: Path, *words: str, size=(80, 24), program=CLI, **environment: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(size)
        self.before = termios.tcgetattr(slave)
        hidden = {"NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR"}
        inherited = {name: value for name, value in os.environ.items() if name not in hidden}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, str(slave), "-c", program, *words],
            env={**inherited, "TERM": "xterm-256color", "TBOT_HOME": str(home), **environment},
            cwd=REPOSITORY,
            pass_fds=(slave,),
        )
        self._slave = slave  # kept open: its modes are read when the process has gone
        self.written = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self._slave)

    def resize(self, size) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read_until(self, text: str, times: int = 1) -> str:
        """Return all that was written once it has `text` in it so often."""
        self._read(lambda: self.written.count(text) >= times)
        assert self.written.count(text) >= times, f"{text!r} never came: {self.written!r}"
        return self.written

    def end(self) -> tuple[int, str]:
        """Return exit status and all that was written."""
        self._read(lambda: self.process.poll() is not None)
        self._read(lambda: not select.select([self.master], [], [], 0.05)[0])
        return self.process.wait(_WAIT_SECONDS), self.written

    def modes(self):
        """Return the terminal's modes as they are now."""
        return termios.tcgetattr(self._slave)

    def _read(self, over) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not over():
            assert time.monotonic() < deadline, f"nothing more came: {self.written[-2000:]!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                self.written += os.read(self.master, 65536).decode()
