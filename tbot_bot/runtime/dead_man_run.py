"""The supervisor's side of the dead-man path: start it, wait for it, start it again if it dies.

What is to be done stands in `control/dead_man.json` until it is done, so that a supervisor that was killed on
the way (or the machine under it) finishes it at its next start, before the kill switch ends that start.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.control import set_aside
from tbot_bot.runtime.files import write_atomically

DEAD_MAN_FILE: Final = "dead_man.json"
DEAD_MAN_MODULE: Final = "tbot_bot.runtime.dead_man"
STARTS_MAX: Final = 3
SECONDS_MAX: Final = 600.0
"""Real time that one run has for everything; simulated venues fill with the next bar, five minutes away at worst."""
_GRACE_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.05
_WORDS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What the path has to do: a session, told in its runner's arguments."""

    session: str
    why: str
    argv: tuple[str, ...]

    def save(self, control: Path) -> None:
        """Leave it in the control folder, whole or not at all."""
        content = {"session": self.session, "why": self.why, "argv": self.argv}
        write_atomically(control / DEAD_MAN_FILE, json.dumps(content))


def pending(control: Path) -> Pending | None:
    """Return what is still to be done, None where nothing is, or nothing that can be read."""
    try:
        data = json.loads((control / DEAD_MAN_FILE).read_text(encoding="utf-8"))
        return Pending(
            session=str(data["session"]), why=str(data["why"]), argv=tuple(str(word) for word in data["argv"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it went."""

    flat: bool
    words: str


async def close_everything(
    what: Pending, control: Path, output: Path, *, command: Sequence[str] = (), seconds: float = SECONDS_MAX
) -> Outcome:
    """Run the path until nothing of ours is left or no start helps; `output` takes what it prints.

    `command` stands in for `python -m ...` in tests. A run outlives us, as a runner does.
    """
    unsaved = ""
    try:
        what.save(control)
    except OSError as error:  # no room: what has to be closed is closed all the same
        unsaved = f"; {DEAD_MAN_FILE} could not be written, so no later start would finish it: {error}"
    begin = tuple(command) or (sys.executable, "-m", DEAD_MAN_MODULE)
    words, status = "", -1
    for _ in range(STARTS_MAX):
        status, words = await one_run(
            (*begin, "--why", what.why, "--seconds", str(seconds), *what.argv), output, seconds
        )
        words = words[-_WORDS_MAX:]
        if status in {0, 1}:
            break
    if status == 0:
        return Outcome(flat=True, words=words + unsaved + _put_away(control))
    words = words or f"the dead-man path ended with status {status}, see {output.name}"
    return Outcome(flat=False, words=words + unsaved)


def _put_away(control: Path) -> str:
    """Set the finished work aside; return why that failed, empty where it did not. Done again, it sells nothing."""
    try:
        set_aside(control, control / DEAD_MAN_FILE)
    except OSError as error:
        return f"; {DEAD_MAN_FILE} could not be set aside: {error}"
    return ""


async def one_run(command: Sequence[str], output: Path, seconds: float) -> tuple[int, str]:
    """Run `command` to its end, `seconds` at most, and return its status and last line; `output` takes all of it.

    Raises:
        OSError: it could not be started, or `output` not be written.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("ab") as file:
        began = file.tell()
        child = subprocess.Popen(  # noqa: ASYNC220, S603 - our own module; asyncio's would kill it with us
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    deadline = monotonic_seconds() + seconds + _GRACE_SECONDS
    while (status := child.poll()) is None:
        if monotonic_seconds() > deadline:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        await asyncio.sleep(_POLL_SECONDS)
    with output.open("rb") as file:
        file.seek(began)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return status, lines[-1] if lines else ""
