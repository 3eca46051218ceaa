"""One supervisor and one runner per installation, by locks that the kernel lets go when their holder dies."""

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tbot_bot.config.error_handler import LogicError, TbotError

SUPERVISOR_LOCK: Final = "supervisor.lock"
RUNNER_LOCK: Final = "runner.lock"
_POLL_SECONDS: Final = 0.02
"""How soon a waiting runner notices that the one before it has gone: at high compression this is market time."""
_TRIES: Final = 5
"""`holder` holds a lock for an instant while it looks; one refusal is not yet another holder."""


class AlreadyRunning(TbotError):
    """Another process holds the lock; exit status 4."""

    code = "ALREADY_RUNNING"

    def __init__(self, path: Path, pid: int | None) -> None:
        """`pid` is None where the holder has not written its own yet."""
        super().__init__(
            f"already running (pid {pid or 'unknown'})", where=path.name, mend="Stop it first: `tbot stop`."
        )
        self.pid = pid


class Lock:
    """An exclusive flock with its holder's process id inside. Not inherited by child processes."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        self.path: Final = path
        self._handle: int | None = None

    def __enter__(self) -> Self:
        """Take the lock."""
        return self.take()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go."""
        self.release()

    def take(self) -> Self:
        """Take the lock and write our process id.

        Raises:
            AlreadyRunning: somebody else holds it.
        """
        for _ in range(_TRIES):
            if self._try():
                return self
            threading.Event().wait(_POLL_SECONDS)
        raise AlreadyRunning(self.path, _read_pid(self.path))

    async def take_when_free(self, give_up: Callable[[], bool]) -> Self:
        """Take the lock as soon as its holder lets go; a runner started early waits here for the one before it.

        Raises:
            AlreadyRunning: `give_up` said so first.
        """
        while not self._try():
            if give_up():
                raise AlreadyRunning(self.path, _read_pid(self.path))
            await asyncio.sleep(_POLL_SECONDS)
        return self

    def release(self) -> None:
        """Let the lock go; the file stays, since removing it would let two processes lock two files."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None

    def _try(self) -> bool:
        if self._handle is not None:
            raise LogicError(f"{self.path.name} is held already by this very object")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle
        return True


def touch(path: Path) -> None:
    """Give the lock file of ours a new time stamp: whoever watches us sees that we live (the guard)."""
    with suppress(OSError):
        os.utime(path)


def holder(path: Path) -> int | None:
    """Return the process id of whoever holds the lock now, 0 where it is not known yet; None: nobody does."""
    with suppress(FileNotFoundError):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_pid(path) or 0
        finally:
            os.close(handle)
    return None


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
