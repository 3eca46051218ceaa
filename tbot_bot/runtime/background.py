"""What the entry points beside the CLI have in common: where the flags are, who runs, how a supervisor is started."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.config.env import EnvSettings
from tbot_bot.config.envfile import read_file
from tbot_bot.config.error_handler import ConfigError
from tbot_bot.config.settings import ENV_FILE, load_settings
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.locks import RUNNER_LOCK, SUPERVISOR_LOCK, holder
from tbot_bot.runtime.supervisor_state import STATE_FILE

SUPERVISOR_MODULE: Final = "tbot_bot.runtime.tbot_runner_supervisor"
POLL_SECONDS: Final = 0.05
_ERROR_CHARACTERS_MAX: Final = 4000


def control_path(home: Path) -> Path:
    """Return the folder of flags and locks; broken settings must not keep anybody from stopping."""
    try:
        return home / load_settings(home, defaults_if_absent=True).env.control_dir
    except ConfigError:
        entries = read_file(home / ENV_FILE, ENV_FILE).entries
    named = [entry.value for entry in entries if entry.name == "CONTROL_DIR"]
    return home / (named[-1] if named else EnvSettings().control_dir)


def supervisor_command(
    home: Path, *, once: bool = False, rehearsal: bool = False, module: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the command line of a supervisor; `module` stands in for `python -m ...` in tests."""
    begin = tuple(module) or (sys.executable, "-m", SUPERVISOR_MODULE)
    flags = [flag for flag, wanted in (("--once", once), ("--rehearsal", rehearsal)) if wanted]
    return (*begin, "--home", str(home), *flags)


def supervisor_pid(control: Path) -> int | None:
    """Return the running supervisor's process id, 0 where it is not known yet, None where none runs."""
    return holder(control / SUPERVISOR_LOCK)


def is_at_work(control: Path) -> bool:
    """Return whether a supervisor runs, or a runner that outlived its own."""
    return supervisor_pid(control) is not None or holder(control / RUNNER_LOCK) is not None


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether `condition` came true within `seconds`."""
    deadline = monotonic_seconds() + seconds
    while not condition():
        if monotonic_seconds() >= deadline:
            return False
        threading.Event().wait(POLL_SECONDS)
    return True


def say(text: str) -> None:
    """Print one line for whoever called us, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """A supervisor started in a session of its own, which outlives us."""

    process: "subprocess.Popen[bytes]"
    control: Path
    output: Path
    """Where it prints to."""
    output_began: int
    """Length of that file before."""
    left_before: tuple[int, int]

    @classmethod
    def start(cls, command: Sequence[str], home: Path, control: Path) -> "Background":
        """Start it; its lock tells when it is at work.

        Raises:
            OSError: no such program, or its output cannot be written.
        """
        output = home / "logs" / "bot" / "supervisor.out"
        output.parent.mkdir(parents=True, exist_ok=True)
        left_before = _signature(control / STATE_FILE)
        with output.open("ab") as file:
            process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            return cls(
                process=process, control=control, output=output, output_began=file.tell(), left_before=left_before
            )

    @property
    def ended(self) -> int | None:
        """Return its exit status, None while it runs."""
        return self.process.poll()

    @property
    def ready(self) -> bool:
        """Return whether it holds the lock and has taken up its day, which it does after its build check."""
        holds = supervisor_pid(self.control) == self.process.pid
        return holds and _signature(self.control / STATE_FILE) not in {self.left_before, _ABSENT}

    def complaint(self) -> str:
        """Return what it has printed since its start."""
        with self.output.open("rb") as file:
            file.seek(self.output_began)
            return file.read(_ERROR_CHARACTERS_MAX).decode(errors="replace").strip()


_ABSENT: Final = (0, 0)


def _signature(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - of a file that is replaced: its inode tells the new one
    except OSError:
        return _ABSENT
    return found.st_ino, found.st_mtime_ns
