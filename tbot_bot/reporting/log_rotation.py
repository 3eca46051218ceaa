"""Turns the logs below `logs/bot/` over, packs old days, and throws away what is older than it has to be kept.

Two kinds of files are written there. A process's own log (`runner.log`) is opened anew for each line, so its writer
sets it aside by a rename (`process_log`). What a process prints (`runner.out`, `supervisor.out`) is held open for as
long as it lives, by somebody who does not know of us: such a file is copied, then emptied (`copytruncate`); its
writers append, so they go on at its new beginning.

A file set aside carries the time of its last line: `runner.20251202T143000.log`, packed `.log.gz`. It goes when
that time and its own time stamp are both out of the retention. Names of any other form, folders below the second
level, links of either kind and everything outside are left alone: the journal, histories, summaries and the
session logs in `output/` are records, and no business of this module.
"""

import gzip
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tbot_bot.core.instants import Instant, to_datetime

BYTES_MAX: Final = 10_000_000
"""A printed file above this is turned over whatever its age."""
_STAMP: Final = "%Y%m%dT%H%M%S"
_ASIDE: Final = re.compile(r"[a-z][a-z_]*\.(\d{8}T\d{6})(?:-\d+)?\.(?:log|out)(\.gz)?", re.ASCII)
_PRESENT: Final = re.compile(r"[a-z][a-z_]*\.(log|out)", re.ASCII)
_DRAFT: Final = re.compile(r"\.[a-z][\w.-]*\.gz\.\d+\.draft", re.ASCII)
_CHUNK: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What one rotation did; names are relative to the folder."""

    turned: tuple[str, ...] = ()
    packed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    """One line each: which file, and why."""


def aside_name(path: Path, last: datetime) -> Path:
    """Return a free name under which `path`, last written at `last` (UTC), can be set aside."""
    stem, number = f"{path.stem}.{last:{_STAMP}}", 0
    aside = path.with_name(f"{stem}{path.suffix}")
    while aside.exists() or _packed(aside).exists():
        number += 1
        aside = path.with_name(f"{stem}-{number}{path.suffix}")
    return aside


def is_expired(path: Path, now: datetime, retention: timedelta) -> bool:
    """Return whether the log `path` may go: by its name (where it was set aside) and by its time stamp.

    Raises:
        OSError: it cannot be looked at.
    """
    limit = now - retention
    written = _stamp_of(path.name)
    return (written is None or written < limit) and _last_written(path.lstat()) < limit


def rotate_logs(
    folder: Path, now: Instant, *, retention_days: int, bytes_max: int = BYTES_MAX, new_day: bool = False
) -> Rotation:
    """Bring the logs in `folder` (`logs/bot`) in order at wall clock `now`; a file that fails does not stop the rest.

    A printed file turns when it was last written before today or is above `bytes_max`; with `new_day` in any case.
    `folder` itself may be a link to another disk; nothing below it is followed. Interrupted at any point, each line
    is still in the old file or in the new one, or in both.
    """
    turn = _Turn(folder, to_datetime(now), timedelta(days=retention_days), 0 if new_day else bytes_max)
    for path in _files(folder, turn):
        try:
            turn.look_at(path)
        except FileNotFoundError:  # its writer was faster; it is looked at next time
            continue
        except (OSError, EOFError) as error:
            turn.fail(path, error)
    return turn.result()


class _Turn:
    """One rotation at work."""

    def __init__(self, folder: Path, now: datetime, retention: timedelta, bytes_max: int) -> None:
        self._folder, self._now, self._retention, self._bytes_max = folder, now, retention, bytes_max
        self._turned: list[str] = []
        self._packed: list[str] = []
        self._removed: list[str] = []
        self._failures: list[str] = []

    def look_at(self, path: Path) -> None:
        found = path.lstat()
        # a second name of a file may be somebody's record: neither emptied nor removed
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return
        present, aside = _PRESENT.fullmatch(path.name), _ASIDE.fullmatch(path.name)
        if _DRAFT.fullmatch(path.name):
            path.unlink()  # of a turn that was interrupted; there is never a second one at work
        elif (present or aside) and is_expired(path, self._now, self._retention):
            if present and present[1] == "out":
                _empty(path)  # its writer may still hold it
            else:
                path.unlink()
            self._removed += [self._name(path)] if found.st_size or not present else []
        elif aside and not aside[2] and (_stamp_of(path.name) or self._now).date() < self._now.date():
            _pack(path)
            self._packed.append(self._name(path))
        elif present and present[1] == "out" and found.st_size and self._is_due(found):
            _copy_and_empty(path, _packed(aside_name(path, _last_written(found))))
            self._turned.append(self._name(path))

    def fail(self, path: Path, error: OSError | EOFError) -> None:
        self._failures.append(f"{self._name(path)}: {getattr(error, 'strerror', None) or error}")

    def result(self) -> Rotation:
        return Rotation(
            turned=tuple(self._turned),
            packed=tuple(self._packed),
            removed=tuple(self._removed),
            failures=tuple(self._failures),
        )

    def _is_due(self, found: os.stat_result) -> bool:
        return _last_written(found).date() < self._now.date() or found.st_size > self._bytes_max

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix() if path != self._folder else path.name


def _files(folder: Path, turn: _Turn) -> Iterator[Path]:
    """Yield what lies in `folder` and in its own folders (one for each mode), links left out, in order of name."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:  # nothing was logged here yet
        return
    except OSError as error:
        turn.fail(folder, error)
        return
    for entry in entries:
        path = folder / entry.name
        if not entry.is_dir(follow_symlinks=False):
            yield path
            continue
        try:
            yield from sorted(path.iterdir())
        except OSError as error:
            turn.fail(path, error)


def _pack(path: Path) -> None:
    """Put `NAME.gz` in the place of `path`; a packed file that an interrupted run left is written again."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as source:
        found = os.fstat(source.fileno())
        with _written_whole(_packed(path), found) as target:
            shutil.copyfileobj(source, target, _CHUNK)
    path.unlink()


def _copy_and_empty(path: Path, aside: Path) -> None:
    """Copy what `path` holds to the packed `aside`, then empty it; lines that come in the meantime stay in `path`."""
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb", buffering=0) as source:
        with _written_whole(aside, os.fstat(handle)) as target:
            shutil.copyfileobj(source, target, _CHUNK)
        late = source.read()
        os.ftruncate(handle, 0)
        if late:
            os.write(handle, late)


def _empty(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


@contextmanager
def _written_whole(path: Path, like: os.stat_result) -> Iterator[gzip.GzipFile]:
    """Give a packed file to write that appears as `path` when it is whole and on disk, with the times of `like`."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                yield packed
            file.flush()
            os.fchmod(handle, stat.S_IMODE(like.st_mode))
            os.utime(handle, ns=(like.st_atime_ns, like.st_mtime_ns))
            os.fsync(handle)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _packed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _stamp_of(name: str) -> datetime | None:
    """Return the time in a name; None where there is none, or no possible one."""
    found = _ASIDE.fullmatch(name)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)  # not a time of ours: never old


def _last_written(found: os.stat_result) -> datetime:
    return datetime.fromtimestamp(found.st_mtime, UTC)


__all__ = ["BYTES_MAX", "Rotation", "aside_name", "is_expired", "rotate_logs"]
