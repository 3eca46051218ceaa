"""What goes into a backup, and how it is copied while others write it.

The order is what makes the copy hold together: first the files for people, then the databases, then the journal by
SQLite's own backup, then the tapes. So no file is ahead of the journal in the copy, and no tape is behind it.
Nothing is locked and nothing written to: a database in WAL mode is read in one transaction, which stops no writer, any
other one in steps with pauses between, a file up to the size that it had when it was opened.
"""

import hashlib
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import apsw

from tbot_bot.core.identity import Mode
from tbot_bot.reporting.backup_errors import BackupError
from tbot_bot.reporting.backup_manifest import Kept
from tbot_bot.reporting.backup_names import What

_TREES: Final = ("output", "logs/bot")
_LEFT_OUT: Final = frozenset({"cache", "backtests", "backtest"})
"""Folders whose content can be made again."""
_BESIDE: Final = ("-wal", "-shm", "-journal", ".lock", ".draft")
_TOKENS: Final = re.compile(r"[A-Za-z0-9]+")
_SQLITE: Final = b"SQLite format 3\0"
_PIECE: Final = 1 << 20
_STEP_PAGES: Final = 256
_PAUSE_SECONDS: Final = 0.005
_STEPS_MAX: Final = 20_000
_BUSY_MS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A file as it will stand in the backup."""

    kept: Kept
    staged: Path
    note: str = ""
    """What was not as it should be; empty: nothing."""


def chosen(home: Path, mode: Mode, what: What, sealed_settings: Iterable[str]) -> tuple[str, ...]:
    """Return what belongs in the backup, as paths below `home`, in the order in which to copy it."""
    if what is What.LEDGER:
        ledger = f"output/ledgers/tbot_{mode}_ledger.sqlite3"
        return (ledger,) if (home / ledger).exists() else ()
    found = [name for tree in _TREES for name in _below(home, tree) if _is_of(mode, name)]
    found += [name for name in sealed_settings if _is_file(home / name)]
    return tuple(sorted(found, key=lambda name: (_turn(name), name)))


def copy_of(home: Path, name: str, staged: Path) -> Copied | None:
    """Copy one file to `staged`; None where it has gone since it was found.

    Raises:
        BackupError: it cannot be read, or there is no room for the copy.
    """
    source, note = home / name, ""
    try:
        with source.open("rb") as file:
            is_database = file.read(len(_SQLITE)) == _SQLITE
            file.seek(0)
            if is_database:
                note = _copy_database(source, staged)
            if not is_database or note:
                _copy_bytes(file, staged)
        size, digest = _sum_of(staged)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BackupError(
            f"cannot be copied ({error.strerror})", where=name, mend="Look at rights and room."
        ) from error
    return Copied(
        kept=Kept(path=name, bytes=size, sha256=digest), staged=staged, note=f"{name}: {note}" if note else ""
    )


def _copy_database(source: Path, staged: Path) -> str:
    """Copy by SQLite's backup; return what is wrong with a database that is none."""
    try:
        origin = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            origin.set_busy_timeout(_BUSY_MS)
            target = apsw.Connection(str(staged))
            try:
                _run_backup(origin, target)
            finally:
                target.close()
        finally:
            origin.close()
    except (apsw.CorruptError, apsw.NotADBError) as error:
        staged.unlink(missing_ok=True)
        return f"a damaged database, copied as it lies there ({error})"
    except apsw.FullError as error:
        raise BackupError(
            f"no room for the copy ({error})", where=str(source), mend="Make room on the disk."
        ) from error
    except apsw.CantOpenError as error:
        if not source.exists():
            raise FileNotFoundError(str(source)) from error
        raise BackupError(f"cannot be opened ({error})", where=str(source), mend="Look at its rights.") from error
    except apsw.Error as error:
        raise BackupError(f"cannot be copied ({error})", where=str(source)) from error
    return ""


def _run_backup(origin: apsw.Connection, target: apsw.Connection) -> None:
    target.execute("PRAGMA synchronous = OFF")  # a draft: what counts is synced when it is complete
    in_wal = origin.pragma("journal_mode") == "wal"
    pages = -1 if in_wal else _STEP_PAGES
    with target.backup("main", origin, "main") as backup:
        for _ in range(_STEPS_MAX):
            try:
                if backup.step(pages):
                    return
            except (apsw.BusyError, apsw.LockedError):
                pages = _STEP_PAGES  # its writer is at it; the next step tries again
            threading.Event().wait(_PAUSE_SECONDS)
        if not backup.step(-1):
            raise apsw.BusyError("it is written to without a pause")


def _copy_bytes(file: BinaryIO, staged: Path) -> None:
    """Copy what the file holds now; what is appended meanwhile is for the next backup."""
    left = os.fstat(file.fileno()).st_size
    with staged.open("wb") as copy:
        while left > 0 and (piece := file.read(min(left, _PIECE))):
            copy.write(piece)
            left -= len(piece)


def _sum_of(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _below(home: Path, tree: str) -> Iterator[str]:
    for folder, folders, files in os.walk(home / tree):
        folders[:] = [name for name in folders if name not in _LEFT_OUT and not name.startswith(".")]
        for name in files:
            path = Path(folder, name)
            if not name.startswith(".") and not name.endswith(_BESIDE) and _is_file(path):
                yield path.relative_to(home).as_posix()


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _is_of(mode: Mode, name: str) -> bool:
    """Return whether a file belongs to `mode`: it says so, or it names no mode at all."""
    others = {other.value for other in Mode if other is not mode}
    return others.isdisjoint(_TOKENS.findall(name))


def _turn(name: str) -> int:
    if name.endswith(".tape"):
        return 3
    if name.endswith(".sqlite3"):
        return 2 if name.startswith("output/journal/") else 1
    return 0


def emptied(folder: Path) -> Path:
    """Return `folder`, made anew for its owner's eyes only."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder


__all__ = ["Copied", "chosen", "copy_of", "emptied"]
