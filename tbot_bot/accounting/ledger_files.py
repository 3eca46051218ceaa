"""Making and opening the ledger's SQLite file, and its errors in our own words.

As with the journal, a new ledger is made under another name and linked into place when it is complete: a half-made
file is never a young ledger.
"""

import os
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Final

import apsw

from tbot_bot.accounting.units import PER_DOLLAR
from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.identity import Mode
from tbot_bot.journal.files import require_sqlite

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x54424C47
"""`TBLG` in ASCII."""
UNIT: Final = f"1/{PER_DOLLAR} USD"
SCHEMA_FILE: Final = "tradebot_ledger_schema.sql"
RESTORE: Final = (
    "Nothing was changed. `tbot ledger verify` names what is wrong; put the last good copy in its place, or move the "
    "file away and let `tbot ledger book` make it anew from the journal."
)


class LedgerError(TbotError):
    """The ledger cannot be read, written or trusted."""

    code = "LEDGER"


class DayLocked(LedgerError):
    """The day is closed: nothing is written into it."""

    code = "LEDGER_LOCKED"


def create(path: Path, mode: Mode) -> None:
    """Make an empty ledger at `path`; where another process was faster, leave its file alone.

    Raises:
        LedgerError: it could not be made, or `mode` keeps no books.
    """
    if mode is Mode.BACKTEST:
        raise LedgerError("a backtest keeps no ledger", where=str(path))
    require_sqlite(apsw.sqlite_lib_version())
    draft = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(draft)
        connection = apsw.Connection(str(draft))
        try:
            connection.pragma("journal_mode", "WAL")  # it answers with a row, and a script stops at a row
            connection.pragma("synchronous", "FULL")
            fill(connection, mode)
        finally:
            connection.close()
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


def fill(connection: apsw.Connection, mode: Mode) -> None:
    """Write schema and chart into an empty database."""
    schema = resources.files("tbot_bot.accounting").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    connection.execute(f"BEGIN; {schema}")
    connection.execute("INSERT INTO about VALUES (?, ?)", (mode.value, UNIT))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")


def connect(path: Path, *, writable: bool, busy_seconds: float) -> tuple[apsw.Connection, Mode]:
    """Open the ledger at `path`; return the connection and the mode of its books.

    Raises:
        LedgerError: there is no ledger of this version. Nothing was changed.
    """
    require_sqlite(apsw.sqlite_lib_version())
    if not path.exists():
        raise LedgerError(
            "there is no ledger yet", where=str(path), mend="`tbot ledger book` makes it from the journal."
        )
    flags = apsw.SQLITE_OPEN_READWRITE if writable else apsw.SQLITE_OPEN_READONLY
    try:
        connection = apsw.Connection(str(path), flags=flags)
    except apsw.Error as error:
        raise failure(path, error) from error
    try:
        connection.set_busy_timeout(round(busy_seconds * 1_000))
        mode = _look_inside(path, connection)
        if writable:
            connection.execute("PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON")
    except apsw.Error as error:
        connection.close()
        raise failure(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection, mode


def failure(path: Path, error: Exception) -> LedgerError:
    """Return what `error`, met while reading, means to the owner."""
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        what, mend = "another process keeps the ledger locked", "Wait for its end, then try again."
        return LedgerError(what, where=str(path), mend=mend)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | apsw.SQLError):
        return LedgerError(f"the ledger is damaged ({error})", where=str(path), mend=RESTORE)
    mend = "Look at the disk and at the rights of file and folder."
    return LedgerError(f"the ledger cannot be read ({error})", where=str(path), mend=mend)


def write_failure(path: Path, error: Exception) -> LedgerError:
    """Return what `error`, met while writing, means to the owner."""
    match error:
        case apsw.CorruptError() | apsw.NotADBError():
            mend = RESTORE
        case apsw.BusyError() | apsw.LockedError():
            mend = "Another process writes it: wait for its end, then try again."
        case apsw.ConstraintError() if "locked" in str(error):
            mend = "Its day is locked; `tbot ledger lock DAY --reopen` opens it."
        case _:
            mend = "Look at the disk and at the rights of file and folder; nothing was written."
    return LedgerError(f"the ledger could not be written ({error})", where=str(path), mend=mend)


def _look_inside(path: Path, connection: apsw.Connection) -> Mode:
    if connection.pragma("application_id") != APPLICATION_ID:
        raise LedgerError("this is not a ledger", where=str(path), mend=RESTORE)
    version = int(str(connection.pragma("user_version")))
    if version > SCHEMA_VERSION:
        mend = "A newer version wrote it: start that version again. Nothing was changed."
        raise LedgerError(f"the ledger has schema {version}, known is {SCHEMA_VERSION}", where=str(path), mend=mend)
    found = list(connection.execute("SELECT mode, unit FROM about"))
    if len(found) != 1 or found[0][0] not in {Mode.LIVE, Mode.PAPER} or found[0][1] != UNIT:
        raise LedgerError(f"the ledger's head is not readable ({found})", where=str(path), mend=RESTORE)
    return Mode(found[0][0])


def _remove(draft: Path) -> None:
    for name in (draft.name, f"{draft.name}-wal", f"{draft.name}-shm"):
        draft.with_name(name).unlink(missing_ok=True)


__all__ = [
    "RESTORE",
    "SCHEMA_VERSION",
    "DayLocked",
    "LedgerError",
    "connect",
    "create",
    "failure",
    "fill",
    "write_failure",
]
