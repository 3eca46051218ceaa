"""Opening, making and migrating the journal's SQLite file, and its errors in our own words.

Everything is looked at through a read-only connection first: even closing a writable one would copy the
WAL into a damaged file. A new journal is made under another name and linked into place when complete, so
that an empty or half-made file is never a young journal but always a damaged one.

Schema 1 begins at row 1. Schema 2 may begin later: what came before is in the archive beside it (`archive.py`), and the
table `about` says where the rows here begin. A journal of schema 1 is read and written as it is, so that an upgrade can
be rolled back; only its first archiving migrates it.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.identity import Mode
from tbot_bot.journal.chain import Kind, Row, fault_of, genesis

SCHEMA_VERSION: Final = 2
APPLICATION_ID: Final = 0x54424F54
"""`TBOT` in ASCII, at byte 68 of the file."""
SQLITE_MIN: Final = (3, 51, 3)
"""Older ones can corrupt a WAL file that two connections write and checkpoint (sqlite.org, notes of 2026-03)."""
_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_TAIL_ROWS: Final = 64
"""Rows whose hashes are checked at every opening; `verify` checks them all."""

RESTORE: Final = (
    "Nothing was changed. Run `tbot journal verify` to see what is whole, then put the last good copy in its place."
)

_KINDS: Final = ", ".join(f"'{kind}'" for kind in Kind)
_SCHEMA: Final = f"""
CREATE TABLE about (
    mode      TEXT NOT NULL,
    base_seq  INTEGER NOT NULL DEFAULT 0 CHECK (base_seq >= 0),
    base_hash BLOB CHECK (length(base_hash) = 32)
) STRICT;
CREATE TABLE journal (
    seq           INTEGER PRIMARY KEY CHECK (seq > 0),
    at            INTEGER NOT NULL,
    recorded_at   INTEGER NOT NULL,
    session       TEXT NOT NULL,
    input_number  INTEGER NOT NULL CHECK (input_number >= 0),
    kind          TEXT NOT NULL CHECK (kind IN ({_KINDS})),
    version       INTEGER NOT NULL CHECK (version > 0),
    payload       TEXT NOT NULL,
    previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
    hash          BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX journal_by_session ON journal (session, kind, seq);
CREATE TRIGGER journal_keeps_columns BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER about_keeps_rows BEFORE DELETE ON about
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER about_is_one_row BEFORE INSERT ON about WHEN (SELECT count(*) FROM about) > 0
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""  # noqa: S608 - constants only
_ROWS_STAY: Final = """
CREATE TRIGGER journal_keeps_rows BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""
_BASE_STAYS: Final = """
CREATE TRIGGER about_keeps_columns BEFORE UPDATE ON about
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""
_GROWS_AT_ITS_END: Final = """
CREATE TRIGGER journal_grows_at_its_end BEFORE INSERT ON journal
    WHEN NEW.seq <> coalesce((SELECT max(seq) FROM journal), (SELECT base_seq FROM about)) + 1
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""
_TO_SCHEMA_2: Final = f"""
ALTER TABLE about ADD COLUMN base_seq INTEGER NOT NULL DEFAULT 0 CHECK (base_seq >= 0);
ALTER TABLE about ADD COLUMN base_hash BLOB CHECK (length(base_hash) = 32);
DROP TRIGGER journal_grows_at_its_end;
{_GROWS_AT_ITS_END}
PRAGMA user_version = 2;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The row before the first one in a file: the last one of its archive, or the genesis."""

    seq: int
    """0 where nothing was archived."""
    hash: bytes


class JournalWriteFailed(JournalError):
    """An append was not made: nothing of it is in the file, and a later one may succeed."""

    code = "JOURNAL_WRITE"


def require_sqlite(version: str) -> None:
    """Refuse an SQLite that is too old to be trusted with two writers.

    Raises:
        JournalError: `version` is below `SQLITE_MIN`.
    """
    if tuple(int(part) for part in version.split(".")[:3]) < SQLITE_MIN:
        wanted = ".".join(map(str, SQLITE_MIN))
        raise JournalError(
            f"SQLite {version} can corrupt a journal that two processes write",
            mend=f"Install the pinned apsw, which brings SQLite {wanted} or newer (`make setup`).",
        )


def connect(
    path: Path, *, writable: bool, busy_seconds: float, check_tail: bool = True
) -> tuple[apsw.Connection, Mode]:
    """Open the journal at `path` after having looked at it read-only; return the connection and its mode.

    `check_tail` is for verification, which wants to name the damage itself.

    Raises:
        JournalError: there is no sound journal of this version. Nothing was changed.
    """
    require_sqlite(apsw.sqlite_lib_version())
    _look_at_header(path)
    connection = _open(path, apsw.SQLITE_OPEN_READONLY, busy_seconds)
    try:
        mode = _look_inside(path, connection, _TAIL_ROWS if check_tail else 0)
    except BaseException:
        connection.close()
        raise
    if not writable:
        return connection, mode
    connection.close()
    connection = _open(path, apsw.SQLITE_OPEN_READWRITE, busy_seconds)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
    except apsw.Error as error:
        connection.close()
        raise failure(path, error) from error
    return connection, mode


def base_of(connection: apsw.Connection, mode: Mode) -> Base:
    """Return where the rows of an open journal begin.

    Raises:
        apsw.Error: SQLite cannot read it.
    """
    if int(connection.pragma("user_version")) > 1:
        for seq, digest in connection.execute("SELECT base_seq, base_hash FROM about WHERE base_seq > 0"):
            return Base(seq=seq, hash=digest)
    return Base(seq=0, hash=genesis(mode))


def let_go_of(connection: apsw.Connection, base: Base) -> None:
    """Take the rows up to `base` out of a journal, which have to be in its archive; migrate it if it is of schema 1.

    Raises:
        apsw.Error: nothing was changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if int(connection.pragma("user_version")) == 1:
            connection.execute(_TO_SCHEMA_2)
        connection.execute("DROP TRIGGER journal_keeps_rows; DROP TRIGGER about_keeps_columns")
        connection.execute("DELETE FROM journal WHERE seq <= ?", (base.seq,))
        connection.execute("UPDATE about SET base_seq = ?, base_hash = ?", (base.seq, base.hash))
        connection.execute(f"{_ROWS_STAY} {_BASE_STAYS} COMMIT")
    except BaseException:
        with suppress(apsw.Error):  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise


def create(path: Path, mode: Mode) -> None:
    """Make an empty journal at `path`; where another process was faster, leave its file alone.

    Raises:
        JournalWriteFailed: it could not be made; there is no file at `path`.
    """
    require_sqlite(apsw.sqlite_lib_version())
    draft = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(draft)
        connection = apsw.Connection(str(draft))
        try:
            connection.pragma("journal_mode", "WAL")  # it answers with a row, and a script stops at a row
            connection.pragma("synchronous", "FULL")
            connection.execute(f"BEGIN; {_SCHEMA} {_ROWS_STAY} {_BASE_STAYS} {_GROWS_AT_ITS_END}")
            connection.execute("INSERT INTO about (mode) VALUES (?)", (mode.value,))
            connection.execute(
                f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
            )
        finally:
            connection.close()  # the last connection copies the WAL into the file and removes it
        with suppress(FileExistsError):
            os.link(draft, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (apsw.Error, OSError) as error:
        raise write_failure(path, error) from error
    finally:
        with suppress(OSError):
            _remove(draft)


def failure(path: Path, error: apsw.Error) -> JournalError:
    """Return what `error`, met while reading, means to the owner."""
    match error:
        case apsw.CorruptError() | apsw.NotADBError():
            what = f"the journal is damaged or cut short ({_size(path)} bytes; {error})"
            return JournalError(what, where=str(path), mend=RESTORE)
        case apsw.BusyError() | apsw.LockedError():
            what, mend = "another process keeps the journal locked", "Look for a second bot, then try again."
            return JournalError(what, where=str(path), mend=mend)
        case _:
            pass
    what, mend = f"the journal cannot be read ({error})", "Look at the disk and at the rights of file and folder."
    return JournalError(what, where=str(path), mend=mend)


def write_failure(path: Path, error: Exception) -> JournalWriteFailed:
    """Return what `error`, met while writing, means to the owner."""
    mend = "Look at the disk and at the rights of file and folder; nothing was written."
    match error:
        case apsw.FullError():
            mend = "Make room on the disk; nothing was written, and the next append will try again."
        case apsw.CorruptError() | apsw.NotADBError():
            mend = RESTORE
        case apsw.BusyError() | apsw.LockedError():
            mend = "Another process keeps it locked: look for a second bot."
        case apsw.ConstraintError():
            mend = "This is a defect of the program; nothing was written."
        case _:
            pass
    return JournalWriteFailed(f"the journal could not be written ({error})", where=str(path), mend=mend)


def tail_fault(connection: apsw.Connection, mode: Mode, count: int) -> str:
    """Return what is wrong with the last `count` rows, empty if nothing.

    Raises:
        apsw.Error: SQLite cannot read them.
    """
    query = (
        "SELECT seq, at, recorded_at, session, input_number, kind, version, payload, previous_hash, hash"
        " FROM journal ORDER BY seq DESC LIMIT ?"
    )
    found = list(connection.execute(query, (count + 1,)))[::-1]
    base = base_of(connection, mode)
    seq, previous = base.seq + 1, base.hash
    if len(found) > count:
        seq, previous = found[0][0] + 1, found[0][-1]
        found = found[1:]
    for columns in found:
        row = Row(**dict(zip(Row.__slots__, columns, strict=True)))
        fault = fault_of(row, seq=seq, previous_hash=previous)
        if fault:
            return f"row {row.seq}: {fault}"
        seq, previous = row.seq + 1, row.hash
    return ""


def _look_at_header(path: Path) -> None:
    """Refuse what is not a whole SQLite file of ours, by its first 100 bytes and its size."""
    try:
        with path.open("rb") as file:
            wal_empty = _size(_wal(path)) == 0
            header = file.read(_HEADER_BYTES)
            size = path.stat().st_size
    except FileNotFoundError:
        raise JournalError("there is no journal", where=str(path), mend="It is made by the first start.") from None
    except OSError as error:
        raise JournalError(
            f"the journal cannot be opened ({error.strerror})", where=str(path), mend="Look at the file's rights."
        ) from error
    if not _MAGIC.startswith(header[: len(_MAGIC)]):
        raise JournalError(
            "this is not a journal", where=str(path), mend="Nothing was changed. Move the file elsewhere."
        )
    pages = int.from_bytes(header[28:32])
    page_bytes = int.from_bytes(header[16:18])
    whole = pages * (65_536 if page_bytes == 1 else page_bytes)
    # While there is a WAL the file may rightly be behind its header: a checkpoint writes page 1 first.
    if len(header) < _HEADER_BYTES or (wal_empty and size < whole and _size(_wal(path)) == 0):
        expected = f" of {whole}" if len(header) == _HEADER_BYTES else ""
        raise JournalError(f"the journal is cut short: {size}{expected} bytes", where=str(path), mend=RESTORE)
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise JournalError(
            "this is a database of another program",
            where=str(path),
            mend="Nothing was changed. Move the file elsewhere.",
        )
    _refuse_future(path, int.from_bytes(header[60:64]))


def _refuse_future(path: Path, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"the journal has schema {version}; this program knows up to {SCHEMA_VERSION}",
            where=str(path),
            mend="A newer version wrote it: start that version again. Nothing was changed.",
        )


def _look_inside(path: Path, connection: apsw.Connection, tail_rows: int) -> Mode:
    try:
        _refuse_future(path, int(connection.pragma("user_version")))
        modes = [mode for (mode,) in connection.execute("SELECT mode FROM about")]
        if len(modes) != 1 or modes[0] not in set(Mode):
            raise JournalError(f"the journal's mode is not readable ({modes})", where=str(path), mend=RESTORE)
        mode = Mode(modes[0])
        fault = tail_fault(connection, mode, tail_rows) if tail_rows else ""
    except apsw.SQLError as error:  # a table is missing
        raise JournalError(f"the journal's tables are damaged ({error})", where=str(path), mend=RESTORE) from error
    except apsw.Error as error:
        raise failure(path, error) from error
    if fault:
        raise JournalError(f"the journal is damaged: {fault}", where=str(path), mend=RESTORE)
    return mode


def _open(path: Path, flags: int, busy_seconds: float) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path), flags=flags)
    except apsw.Error as error:
        raise failure(path, error) from error
    connection.set_busy_timeout(round(busy_seconds * 1_000))
    return connection


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove(draft: Path) -> None:
    for path in (draft, _wal(draft), draft.with_name(f"{draft.name}-shm")):
        path.unlink(missing_ok=True)


__all__ = [
    "APPLICATION_ID",
    "RESTORE",
    "SCHEMA_VERSION",
    "Base",
    "JournalWriteFailed",
    "base_of",
    "connect",
    "create",
    "failure",
    "let_go_of",
    "require_sqlite",
    "tail_fault",
    "write_failure",
]
