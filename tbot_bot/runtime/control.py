"""The control folder: flag files by which a person starts, stops and kills, and what became of them.

One rule for who does what: the runner only looks (`peek`) and obeys; the supervisor takes the flag away
(`take`) once no runner needs it any more. So neither can hide a request from the other, and a flag survives
the death of both.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from tbot_bot.config.scrub import scrub
from tbot_bot.core.instants import Instant, iso
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.files import sync_folder, write_atomically

POLL_SECONDS: Final = 0.25
"""How often flags are looked for; the spec asks for two seconds at most."""
DONE: Final = "done"
KILLED_FILE: Final = "killed.json"
BYTES_MAX: Final = 4096
"""Nobody's reason is longer; a huge file is not read."""


class Flag(StrEnum):
    """What a flag file asks for."""

    START = "start"
    STOP = "stop"
    KILL = "kill"

    @property
    def file_name(self) -> str:
        """Name within the control folder."""
        return f"control_{self.value}.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRequest:
    """One flag as it was found."""

    flag: Flag
    by: str
    why: str
    written_at: Instant
    """The file's time stamp, real time."""


class ControlFolder:
    """Reads and writes the flags of one installation."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when the first flag is written."""
        self.folder: Final = folder

    def write(self, flag: Flag, *, by: str, why: str = "") -> Path:
        """Leave a flag, whole or not at all; a second one of the kind replaces the first."""
        path = self._path(flag)
        write_atomically(path, json.dumps({"by": by, "why": why}))
        return path

    def peek(self, flag: Flag) -> ControlRequest | None:
        """Return the request if its flag is there. What cannot be read is obeyed all the same, and says so."""
        path = self._path(flag)
        try:
            written_at = Instant(path.stat().st_mtime_ns)
        except OSError:
            return None
        by, why = _read(path)
        return ControlRequest(flag=flag, by=by, why=why, written_at=written_at)

    def take(self, flag: Flag) -> ControlRequest | None:
        """Return the request and move its flag to `done/` with a time stamp; a kill leaves its latch behind."""
        request = self.peek(flag)
        if request is None:
            return None
        if flag is Flag.KILL:
            self.latch(by=request.by, why=request.why)
        self._set_aside(flag, "")
        return request

    def take_stale(self, start: Instant) -> tuple[ControlRequest, ...]:
        """Set aside the start and stop flags older than `start` and return them, to be reported.

        A kill flag is never stale: whoever left it wanted no trading, and nothing has said otherwise since.
        """
        stale = []
        for flag in (Flag.START, Flag.STOP):
            request = self.peek(flag)
            if request is not None and request.written_at < start:
                self._set_aside(flag, "stale_")
                stale.append(request)
        return tuple(stale)

    def latch(self, *, by: str, why: str) -> None:
        """Engage the kill switch's file, once: the first reason stands until `tbot resume` (see `kill_switch`).

        On a full disk the latch is an empty file: engaged, though it cannot say why.

        Raises:
            OSError: not even that could be made.
        """
        if self.killed():
            return
        text = json.dumps({"by": by, "why": scrub(why), "at": iso(wall_now())})
        try:
            write_atomically(self.folder / KILLED_FILE, text)
        except OSError:
            (self.folder / KILLED_FILE).touch()

    def killed(self) -> str:
        """Return why the kill switch is engaged, empty where it is not."""
        path = self.folder / KILLED_FILE
        if not path.exists():
            return ""
        by, why = _read(path)
        return f"by {by or 'unknown'}: {why or 'no reason given'}"

    def _path(self, flag: Flag) -> Path:
        return self.folder / flag.file_name

    def _set_aside(self, flag: Flag, prefix: str) -> None:
        set_aside(self.folder, self._path(flag), prefix)


def file_stamp(at: Instant) -> str:
    """Return `at` as file names carry it: sorted by name is sorted by time."""
    return iso(at).replace(":", "").replace("-", "")


def set_aside(control: Path, path: Path, prefix: str = "") -> None:
    """Move `path` to the folder of what has been obeyed, with a time stamp; nothing where a person took it back.

    Raises:
        OSError: it could not be moved.
    """
    done = control / DONE
    done.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(done / f"{file_stamp(wall_now())}_{prefix}{path.name}")
    except FileNotFoundError:
        return
    sync_folder(done)


def _read(path: Path) -> tuple[str, str]:
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except OSError as error:
        return "unknown", f"unreadable flag: {error.strerror}"
    if not raw.strip():
        return "unknown", ""
    if len(raw) > BYTES_MAX:
        return "unknown", f"unreadable flag: more than {BYTES_MAX} bytes"
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return "unknown", f"unreadable flag: {error}"
    if not isinstance(data, dict):
        return "unknown", "unreadable flag: not a JSON object"
    return str(data.get("by", "unknown")), str(data.get("why", ""))
