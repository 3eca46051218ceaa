"""A journal that has grown long is pruned by moving its older rows into the archive beside it, never by losing them.

The archive of `tbot_paper.sqlite3` is `tbot_paper_archive.sqlite3`, itself a journal from row 1 on. Readers span both,
so that a rebuilt file for people, a replay and a verification are the same before and after. The rows are in the
archive, checked and durable, before the journal lets go of them; a machine that dies in between has them twice, and
what counts is then the journal's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import apsw

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.core.instants import Instant, to_datetime
from tbot_bot.journal.chain import Row, fault_of, genesis
from tbot_bot.journal.files import RESTORE, Base, base_of, connect, create, failure, let_go_of, write_failure

_BUSY_SECONDS: Final = 10.0
_PAGE_ROWS: Final = 5_000
_COLUMNS: Final = "seq, at, recorded_at, session, input_number, kind, version, payload, previous_hash, hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What an archiving did."""

    rows: int
    """Rows that left the journal."""
    until: int
    """Number of the last row in the archive; 0 where there is none."""
    path: Path
    bytes_before: int
    bytes_after: int
    """Of the journal's file."""


def archive_path(path: Path) -> Path:
    """Return where the archive of the journal at `path` is."""
    return path.with_name(f"{path.stem}_archive{path.suffix}")


def span(path: Path, connection: apsw.Connection, mode: Mode) -> str:
    """Return the table or view in which an open journal's rows are, from the first one on.

    Raises:
        JournalError: rows are in an archive that is not there, or is another one.
    """
    try:
        base = base_of(connection, mode)
        if base.seq == 0:
            return "journal"
        attach(path, connection, mode, base)
        connection.execute(
            f"CREATE TEMP VIEW everything AS SELECT {_COLUMNS} FROM archive.journal WHERE seq <= {base.seq}"  # noqa: S608 - a number
            f" UNION ALL SELECT {_COLUMNS} FROM main.journal"
        )
    except apsw.Error as error:
        raise failure(path, error) from error
    return "everything"


def attach(path: Path, connection: apsw.Connection, mode: Mode, base: Base, *, check_tail: bool = True) -> None:
    """Attach the archive of the journal at `path` as `archive`, where it is the one that ends with `base` or later.

    `check_tail` as in `connect`.

    Raises:
        JournalError: it is not.
        apsw.Error: SQLite cannot read it.
    """
    beside = archive_path(path)
    rows = f"rows 1 to {base.seq} of {path.name}"
    if not beside.exists():
        raise JournalError(
            f"the archive with {rows} is not there", where=str(beside), mend="Put it back, or restore it from a backup."
        )
    store, found_mode = connect(beside, writable=False, busy_seconds=_BUSY_SECONDS, check_tail=check_tail)
    store.close()
    if found_mode is not mode:
        raise JournalError(f"this is the archive of mode {found_mode}, not {mode}", where=str(beside), mend=RESTORE)
    connection.execute("ATTACH ? AS archive", (str(beside),))
    found = connection.execute("SELECT hash FROM archive.journal WHERE seq = ?", (base.seq,)).fetchone()
    if found is None or found[0] != base.hash:
        raise JournalError(f"this is not the archive with {rows}", where=str(beside), mend=RESTORE)


def last_row_before(path: Path, day: date) -> int:
    """Return the number of the last row before anything of `day` or later; 0 where there is none.

    A row belongs to its session's trading day, one without a session to its own day in UTC.

    Raises:
        JournalError: see `connect`.
    """
    connection, _ = connect(path, writable=False, busy_seconds=_BUSY_SECONDS)
    last = 0
    try:
        for seq, at, session in connection.execute("SELECT seq, at, session FROM journal ORDER BY seq"):
            of = SessionId.parse(session).day if session else to_datetime(Instant(at)).date()
            if of >= day:
                return last
            last = seq
    except apsw.Error as error:
        raise failure(path, error) from error
    finally:
        connection.close()
    return last


def archive(path: Path, mode: Mode, until: int, progress: Callable[[int], None] = lambda _: None) -> Archived:
    """Move the rows up to number `until` into the archive; nobody else may have the journal open for writing.

    `progress` hears the numbers of the rows that are safe in the archive. Repeating it changes nothing.

    Raises:
        JournalError: journal or archive is not sound; nothing was lost.
    """
    before = _bytes(path)
    connection, found = connect(path, writable=True, busy_seconds=_BUSY_SECONDS)
    try:
        if found is not mode:
            raise JournalError(f"this is the journal of mode {found}, not {mode}", where=str(path))
        base = base_of(connection, mode)
        if until <= base.seq:
            return Archived(rows=0, until=base.seq, path=archive_path(path), bytes_before=before, bytes_after=before)
        end = _copy(path, connection, mode, until, progress)
        let_go_of(connection, end)
        connection.execute("VACUUM")
        connection.pragma("wal_checkpoint(TRUNCATE)")
    except apsw.Error as error:
        raise write_failure(path, error) from error
    finally:
        connection.close()
    moved = end.seq - base.seq
    return Archived(rows=moved, until=end.seq, path=archive_path(path), bytes_before=before, bytes_after=_bytes(path))


def _copy(path: Path, journal: apsw.Connection, mode: Mode, until: int, progress: Callable[[int], None]) -> Base:
    """Bring the rows up to `until` into the archive, each checked, and return the last one."""
    beside = archive_path(path)
    if not beside.exists():
        create(beside, mode)
    store, found = connect(beside, writable=True, busy_seconds=_BUSY_SECONDS)
    try:
        if found is not mode:
            raise JournalError(f"this is the archive of mode {found}, not {mode}", where=str(beside), mend=RESTORE)
        store.pragma("journal_mode", "delete")  # a file that is read in place needs nothing beside it
        last = store.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        seq, digest = last or (0, genesis(mode))
        while seq < until:
            query = f"SELECT {_COLUMNS} FROM journal WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT {_PAGE_ROWS}"  # noqa: S608 - constants
            page = list(journal.execute(query, (seq, until)))
            for columns in page:
                row = Row(**dict(zip(Row.__slots__, columns, strict=True)))
                fault = fault_of(row, seq=seq + 1, previous_hash=digest)
                if fault:
                    raise JournalError(f"row {row.seq}: {fault}", where=str(path), mend=RESTORE)
                seq, digest = row.seq, row.hash
            if not page:
                raise JournalError(f"row {seq + 1} is missing", where=str(path), mend=RESTORE)
            store.execute("BEGIN IMMEDIATE")
            store.executemany(f"INSERT INTO journal ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", page)  # noqa: S608
            store.execute("COMMIT")
            progress(seq)
        found_hash = store.execute("SELECT hash FROM journal WHERE seq = ?", (until,)).fetchone()
        ours = journal.execute("SELECT hash FROM journal WHERE seq = ?", (until,)).fetchone()
        if ours is None or found_hash != ours:
            raise JournalError(
                f"the archive does not hold row {until} as the journal does", where=str(beside), mend=RESTORE
            )
    finally:
        store.close()
    return Base(seq=until, hash=ours[0])


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise JournalError("there is no journal", where=str(path), mend="It is made by the first start.") from error


__all__ = ["Archived", "archive", "archive_path", "attach", "last_row_before", "span"]
