"""The journal's file: durable appends by several processes, readers that never see half a row.

One SQLite file per mode, in WAL mode with `synchronous=FULL`: when `append` returns, the rows survive a
power cut. Supervisor and runner write the same file; each append reads the last hash inside its own
transaction, so there is one chain. Triggers refuse every change of what was written. A file that is not a
sound journal of the expected mode is refused before anything is written to it or its WAL.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from struct import error as struct_error
from types import TracebackType
from typing import Final, Self

import apsw

from tbot_bot.config.error_handler import JournalError
from tbot_bot.config.scrub import scrubber
from tbot_bot.core.codec import dumps
from tbot_bot.core.identity import Mode
from tbot_bot.journal.archive import span
from tbot_bot.journal.chain import Kind, Row, hash_of
from tbot_bot.journal.files import JournalWriteFailed, base_of, connect, create, failure, write_failure

_BUSY_SECONDS: Final = 10.0
_PAGE_ROWS: Final = 512
"""Rows read at once: a long read in one transaction would keep the WAL from being checkpointed."""

_COLUMNS: Final = "seq, at, recorded_at, session, input_number, kind, version, payload, previous_hash, hash"
_INSERT: Final = f"INSERT INTO journal ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constant
_FOR_PEOPLE: Final = frozenset({Kind.ERROR, Kind.NOTE, Kind.CONTROL, Kind.START})
"""Kinds of rows with texts that anybody may have written, libraries included."""
_LAST: Final = "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1"

Value = int | str | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row to be written; number and hashes are given by the journal."""

    at: int
    """Market time in nanoseconds UTC."""
    recorded_at: int
    """The caller's wall clock in nanoseconds UTC, for people."""
    kind: Kind
    payload: str
    """Canonical JSON of a record (`core.codec.dumps`)."""
    session: str = ""
    input_number: int = 0
    version: int = 1

    @classmethod
    def of(
        cls,
        value: object,
        *,
        kind: Kind,
        at: int,
        recorded_at: int,
        session: str = "",
        input_number: int = 0,
        version: int = 1,
    ) -> Self:
        """Return an entry that holds the record `value`.

        Raises:
            CodecError: `value` is not a record.
        """
        return cls(
            at=at,
            recorded_at=recorded_at,
            kind=kind,
            payload=dumps(value),
            session=session,
            input_number=input_number,
            version=version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the chain: to be kept elsewhere, because a chain cannot tell that its end is missing."""

    seq: int
    """0 where the journal is empty."""
    hash: bytes


def journal_path(folder: Path, mode: Mode) -> Path:
    """Return where the journal of `mode` is, below the `output/journal` folder."""
    return folder / f"tbot_{mode}.sqlite3"


class JournalReader:
    """Reads a journal and its archive while others write. Safe to use from several threads, one at a time.

    All methods raise `JournalError` where the file turns out to be damaged.
    """

    def __init__(self, path: Path, connection: apsw.Connection, mode: Mode) -> None:
        """Take over `connection`; use `open_reader` or `Journal.open`.

        Raises:
            JournalError: the archive is not there, or not this journal's; the connection is closed.
        """
        self.path: Final = path
        self.mode: Final = mode
        self._connection = connection
        try:
            self._rows: Final = span(path, connection, mode)
        except JournalError:
            connection.close()
            raise
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Return itself; the end of the block closes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Let go of the file; closing twice does no harm."""
        with self._lock:
            self._connection.close()

    def rows(self, after: int = 0, session: str | None = None, kind: Kind | None = None) -> Iterator[Row]:
        """Yield the rows with a number above `after`, in order, up to the head at the time of the first one."""
        until = self.head().seq
        where, values = ["seq > ?", "seq <= ?"], [*_narrow(session, kind)]
        where += [f"{name} = ?" for name, _ in values]
        query = f"SELECT {_COLUMNS} FROM {self._rows} WHERE {' AND '.join(where)} ORDER BY seq LIMIT {_PAGE_ROWS}"  # noqa: S608 - names are constants
        while after < until:
            page = self._ask(query, (after, until, *(value for _, value in values)))
            for row in page:
                yield self._row(row)
            if len(page) < _PAGE_ROWS:
                return
            after = int(page[-1][0])

    def tail(self, count: int) -> tuple[Row, ...]:
        """Return the last `count` rows (or as many as there are), oldest first."""
        query = f"SELECT {_COLUMNS} FROM {self._rows} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - names are constants
        return tuple(self._row(row) for row in reversed(self._ask(query, (max(count, 0),))))

    def head(self) -> Head:
        """Return number and hash of the last row; of the genesis where there is none."""
        for seq, digest in self._ask(_LAST, ()):
            return Head(seq=int(seq), hash=_bytes(digest))
        base = base_of(self._connection, self.mode)
        return Head(seq=base.seq, hash=base.hash)

    def sessions(self) -> tuple[str, ...]:
        """Return the ids of all sessions, in the order in which they first appear."""
        query = (
            f"SELECT session, min(seq) AS first FROM {self._rows} WHERE session <> ''"  # noqa: S608 - names are constants
            " GROUP BY session ORDER BY first"
        )
        return tuple(str(session) for session, _ in self._ask(query, ()))

    def sessions_of(self, day: date) -> tuple[str, ...]:
        """Return the ids of the sessions (and their rehearsals) of the trading day `day`, in order of appearance."""
        # The character after "/" is "0": the range holds exactly the ids that begin with "2025-09-02/".
        query = (
            f"SELECT session, min(seq) AS first FROM {self._rows} WHERE session >= ? AND session < ?"  # noqa: S608 - constants
            " GROUP BY session ORDER BY first"
        )
        found = self._ask(query, (f"{day.isoformat()}/", f"{day.isoformat()}0"))
        return tuple(str(session) for session, _ in found)

    def _ask(self, query: str, values: tuple[Value, ...]) -> list[tuple[Value, ...]]:
        with self._lock:
            try:
                return list(self._connection.execute(query, values))
            except apsw.Error as error:
                raise failure(self.path, error) from error

    def _row(self, columns: tuple[Value, ...]) -> Row:
        seq, at, recorded_at, session, input_number, kind, version, payload, previous_hash, digest = columns
        try:
            return Row(
                seq=int(seq),
                at=int(at),
                recorded_at=int(recorded_at),
                session=str(session),
                input_number=int(input_number),
                kind=Kind(str(kind)),
                version=int(version),
                payload=str(payload),
                previous_hash=_bytes(previous_hash),
                hash=_bytes(digest),
            )
        except (TypeError, ValueError) as error:
            raise JournalError(
                f"row {seq!r} cannot be read: {error}",
                where=str(self.path),
                mend="Run `tbot journal verify`, then restore the last good backup.",
            ) from error


class Journal(JournalReader):
    """Appends to a journal. Safe to use from several threads; other processes may append to the same file."""

    @classmethod
    def open(cls, path: Path, mode: Mode, *, busy_seconds: float = _BUSY_SECONDS) -> Self:
        """Open the journal of `mode` at `path`, or make a new one where there is no file.

        `busy_seconds` is how long to wait for another process's transaction.

        Raises:
            JournalError: the file is no journal, is damaged or cut, belongs to another mode or was written by
                a newer version. Nothing was changed.
        """
        if not path.exists():
            create(path, mode)
        connection, found = connect(path, writable=True, busy_seconds=busy_seconds)
        if found is not mode:
            connection.close()
            raise JournalError(
                f"this is the journal of mode {found}, not {mode}",
                where=str(path),
                mend="Put it back under its own name; live and paper never share a file.",
            )
        return cls(path, connection, mode)

    def append(self, entries: Sequence[Entry]) -> range:
        """Write `entries` in one transaction and return their row numbers once they are durable.

        Raises:
            JournalWriteFailed: nothing was written (full disk, failing device, a lock held too long, an entry
                that cannot be stored). The journal stays open, and a later append may succeed.
        """
        if not entries:
            return range(0)
        with self._lock:
            try:
                return self._append(entries)
            except apsw.Error as error:
                self._roll_back()
                raise write_failure(self.path, error) from error
            except BaseException:
                self._roll_back()
                raise

    def _append(self, entries: Sequence[Entry]) -> range:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        last = execute(_LAST).fetchone()
        if last is None:
            base = base_of(self._connection, self.mode)
            last = base.seq, base.hash
        seq, digest = last
        first = seq + 1
        rows: list[tuple[Value, ...]] = []
        for entry in map(_without_secrets, entries):
            seq += 1
            previous = digest
            digest = _hash(entry, seq, previous, self.path)
            rows.append((
                seq, entry.at, entry.recorded_at, entry.session, entry.input_number,
                entry.kind.value, entry.version, entry.payload, previous, digest,
            ))  # fmt: skip
        self._connection.executemany(_INSERT, rows)
        execute("COMMIT")
        return range(first, seq + 1)

    def _roll_back(self) -> None:
        # SQLite has often rolled back by itself already (full disk, I/O error); a second failure adds nothing.
        with suppress(apsw.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _without_secrets(entry: Entry) -> Entry:
    """Return `entry` as it may be kept. What the engine is given and answers was scrubbed before it got there."""
    if entry.kind not in _FOR_PEOPLE:
        return entry
    payload = scrubber().payload(entry.payload)
    return entry if payload == entry.payload else replace(entry, payload=payload)


def open_reader(path: Path, *, busy_seconds: float = _BUSY_SECONDS) -> JournalReader:
    """Open the journal at `path` for reading only, whatever its mode.

    Raises:
        JournalError: there is none, or see `Journal.open`.
    """
    connection, mode = connect(path, writable=False, busy_seconds=busy_seconds)
    return JournalReader(path, connection, mode)


def _hash(entry: Entry, seq: int, previous: bytes, path: Path) -> bytes:
    try:
        return hash_of(
            seq=seq,
            at=entry.at,
            recorded_at=entry.recorded_at,
            session=entry.session,
            input_number=entry.input_number,
            kind=entry.kind,
            version=entry.version,
            payload=entry.payload,
            previous_hash=previous,
        )
    except (ValueError, TypeError, AttributeError, struct_error) as error:
        raise JournalWriteFailed(
            f"an entry of kind {entry.kind} cannot be stored: {error}",
            where=str(path),
            mend="This is a defect of the program; nothing was written.",
        ) from error


def _narrow(session: str | None, kind: Kind | None) -> Iterator[tuple[str, str]]:
    if session is not None:
        yield "session", session
    if kind is not None:
        yield "kind", kind.value


def _bytes(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    msg = f"bytes expected, not {value!r}"
    raise TypeError(msg)


__all__ = [
    "Entry",
    "Head",
    "Journal",
    "JournalReader",
    "JournalWriteFailed",
    "Kind",
    "Row",
    "journal_path",
    "open_reader",
]
