"""`tbot journal verify`: is every row and every frame what was written, and if not, which is the first that is not?"""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.journal.archive import attach
from tbot_bot.journal.chain import Kind, Row, fault_of, genesis
from tbot_bot.journal.files import base_of, connect
from tbot_bot.journal.tape import TapeReader, tape_path

_BUSY_SECONDS: Final = 10.0
Decode = Callable[[str], object]
Progress = Callable[[int], None]
"""Hears how many rows were found sound so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeReport:
    """What was found on one tape."""

    path: Path
    frames: int
    dropped_bytes: int
    """Bytes of a torn tail, harmless after a crash."""
    problem: str
    """Empty where the tape is what the journal says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """The result of a verification."""

    path: Path
    rows: int
    """Rows found sound, from the first on."""
    damaged_row: int | None
    """Number of the first row that is not what was written; None where all are, or where no row is to blame."""
    problem: str
    """What is wrong with it, or with the file as a whole; empty where nothing is."""
    head: bytes
    """Hash of the last sound row: compare it with the copy in the backups' manifest."""
    tapes: tuple[TapeReport, ...]

    @property
    def ok(self) -> bool:
        """Return whether journal and tapes are sound."""
        return not self.problem and not any(tape.problem for tape in self.tapes)


def verify(
    path: Path, tapes: Path | None = None, decode: Decode | None = None, progress: Progress | None = None
) -> VerifyReport:
    """Check each row of the journal at `path` and of its archive, and the tapes under `tapes`.

    Where that is None the tapes are in the journal's own folder.
    `decode` reads a payload and raises ValueError where it cannot (`core.codec.loads`, when all records
    are imported); without it a payload must be a JSON object that names its record.

    Never raises for damage: that is what the report is for.
    """
    try:
        connection, mode = connect(path, writable=False, busy_seconds=_BUSY_SECONDS, check_tail=False)
    except JournalError as error:
        return VerifyReport(path=path, rows=0, damaged_row=None, problem=error.what, head=b"", tapes=())
    walk = _Walk(mode, decode or _looks_like_a_record, progress or (lambda _: None))
    try:
        base = base_of(connection, mode)
        if base.seq:
            attach(path, connection, mode, base, check_tail=False)
            walk.over(connection, "archive", base.seq)
        if not walk.problem:
            walk.over(connection, "main")
        if not walk.problem:
            findings = [str(text) for (text,) in connection.execute("PRAGMA integrity_check(1)")]
            walk.problem = "" if findings == ["ok"] else f"SQLite's integrity check: {'; '.join(findings)}"
    except JournalError as error:
        walk.problem = f"{error.where}: {error.what}"
    except apsw.Error as error:
        walk.problem, walk.damaged_row = f"SQLite cannot read on: {error}", walk.rows + 1
    finally:
        connection.close()
    reports = tuple(_tapes(walk, tapes or path.parent, mode))
    return VerifyReport(
        path=path,
        rows=walk.rows,
        damaged_row=walk.damaged_row,
        problem=walk.problem,
        head=walk.previous,
        tapes=reports,
    )


class _Walk:
    """One pass over the rows, remembering what each session's decisions say about its tape."""

    def __init__(self, mode: Mode, decode: Decode, progress: Progress) -> None:
        self.rows = 0
        self.previous = genesis(mode)
        self.damaged_row: int | None = None
        self.problem = ""
        self.digests: dict[str, list[tuple[int, str]]] = {}
        self._decode = decode
        self._progress = progress

    def over(self, connection: apsw.Connection, file: str, until: int = 2**63 - 1) -> None:
        # By the primary key and without the index, so that a damaged index cannot hide a row.
        columns_read = ", ".join(Row.__slots__)
        query = f"SELECT {columns_read} FROM {file}.journal NOT INDEXED WHERE seq <= ? ORDER BY seq"  # noqa: S608 - constants
        for columns in connection.execute(query, (until,)):
            self.problem = self._fault(columns)
            if self.problem:
                self.damaged_row = columns[0]
                return
            self._progress(self.rows)

    def _fault(self, columns: tuple[object, ...]) -> str:
        row = Row(**dict(zip(Row.__slots__, columns, strict=True)))  # type: ignore[arg-type]  # fault_of looks
        try:
            fault = fault_of(row, seq=self.rows + 1, previous_hash=self.previous)
        except (AttributeError, TypeError, ValueError, struct.error) as error:
            return f"hash mismatch: a column was changed after it was written ({error})"
        if fault:
            return fault
        try:
            self._decode(row.payload)
        except ValueError as error:
            return f"undecodable payload: {error}"
        if row.kind == Kind.COMMAND and row.session:
            digest = json.loads(row.payload).get("tape_digest")
            if digest:
                self.digests.setdefault(row.session, []).append((row.input_number, str(digest)))
        self.rows, self.previous = row.seq, row.hash
        return ""


def _tapes(walk: _Walk, folder: Path, mode: Mode) -> Iterator[TapeReport]:
    for session, digests in walk.digests.items():
        try:
            path = tape_path(folder, mode, SessionId.parse(session))
        except ValueError as error:
            yield TapeReport(path=folder, frames=0, dropped_bytes=0, problem=str(error))
            continue
        reader = TapeReader(path)
        try:
            problem = _tape_fault(reader, session, sorted(digests))
        except JournalError as error:
            problem = error.what
        yield TapeReport(path=path, frames=reader.frames, dropped_bytes=reader.dropped_bytes, problem=problem)


def _tape_fault(reader: TapeReader, session: str, digests: list[tuple[int, str]]) -> str:
    """Return where the tape differs from what the decisions say; each names the digest up to its own input."""
    due = iter(digests)
    number, wanted = next(due)
    before = ""
    fault = ""
    for event in reader:
        while not fault and number and event.number > number:
            # The frames up to `number` ended before this one began.
            if before and wanted != before:
                fault = f"the tape up to input {number} is not what the engine saw"
            number, wanted = next(due, (0, ""))
        before = reader.digest()
    while not fault and number:
        if wanted != (before or reader.digest()):
            fault = f"the tape up to input {number} is not what the engine saw, or its end is missing"
        number, wanted = next(due, (0, ""))
    if reader.session != session:
        return f"this is the tape of {reader.session or 'nobody'}, not of {session}"
    return fault


def _looks_like_a_record(payload: str) -> object:
    value: object = json.loads(payload)
    if not isinstance(value, dict) or "_" not in value:
        msg = "not a record"
        raise ValueError(msg)
    return value


__all__ = ["TapeReport", "VerifyReport", "verify"]
