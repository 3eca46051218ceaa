"""What a restored backup is worth: the chain is checked, every file for people made anew and compared byte for byte.

A file that people read may lie behind the journal: rows that nobody waits for are journaled without a new file. Such a
file is what the journal had told at an earlier row, and that row is looked for; what no row explains is damage.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import apsw

from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.journal.store import JournalReader, open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.backup_errors import BackupDamaged, Damage
from tbot_bot.reporting.backup_manifest import Manifest
from tbot_bot.reporting.backup_shelf import sum_of
from tbot_bot.reporting.facts import Level, LogFormat
from tbot_bot.reporting.projector import Projector, item_of, rebuild
from tbot_bot.reporting.report_router import OutputPaths, records_for

_ROWS_BEHIND_MAX: Final = 5_000
"""How far a file may lie behind: more than a session answers between two of its writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found in a restored backup; that there is one means that it holds."""

    rows: int
    """Rows of the journal, all of them sound; 0: there is no journal in it."""
    tapes: int
    same: tuple[str, ...]
    """Files for people that came out of the journal again with the same bytes."""
    behind: tuple[str, ...]
    """Those that are what the journal had told some rows earlier."""
    databases: int
    """Others, whose inner order SQLite has found right."""
    verify_seconds: float
    rebuild_seconds: float


def judge(folder: Path, manifest: Manifest, scratch: Path, seconds: Callable[[], float]) -> Judgement:
    """Look at what was restored below `folder`; `scratch` is an empty folder to make files in.

    Raises:
        BackupDamaged: row, tape or file that does not hold.
        TbotError: the journal cannot be read.
    """
    records = records_for(folder, Mode(manifest.mode), test_mode=False)
    databases = _databases(folder, manifest, records)
    begun = seconds()
    if not records.journal.exists():
        if manifest.journal_rows:
            raise BackupDamaged(Damage.MISSING_FILE, "its journal is missing", where=folder.name)
        return Judgement(rows=0, tapes=0, same=(), behind=(), databases=databases, verify_seconds=seconds() - begun,
                         rebuild_seconds=0.0)  # fmt: skip
    report = verify(records.journal)
    faults = [report.problem, *(f"{tape.path.name}: {tape.problem}" for tape in report.tapes if tape.problem)]
    if not report.ok:
        at = f"row {report.damaged_row}: " if report.damaged_row else ""
        raise BackupDamaged(Damage.RECORDS, f"{at}{'; '.join(filter(None, faults))}", where=records.journal.name)
    if (report.rows, report.head.hex()) != (manifest.journal_rows, manifest.journal_head):
        what = f"the chain ends with row {report.rows}, the manifest says {manifest.journal_rows} or another hash"
        raise BackupDamaged(Damage.RECORDS, what, where=records.journal.name)
    verified = seconds()
    same, behind = _compare_projections(records, manifest, scratch)
    return Judgement(
        rows=report.rows,
        tapes=len(report.tapes),
        same=same,
        behind=behind,
        databases=databases,
        verify_seconds=verified - begun,
        rebuild_seconds=seconds() - verified,
    )


def _databases(folder: Path, manifest: Manifest, records: OutputPaths) -> int:
    count = 0
    noted = " ".join(manifest.notes)
    for kept in manifest.files:
        path = folder / kept.path
        if not kept.path.endswith(".sqlite3") or path == records.journal or kept.path in noted:
            continue
        try:
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                found = [str(text) for (text,) in connection.execute("PRAGMA integrity_check(1)")]
            finally:
                connection.close()
        except apsw.Error as error:
            found = [str(error)]
        if found != ["ok"]:
            raise BackupDamaged(Damage.RECORDS, f"SQLite's integrity check: {'; '.join(found)}", where=kept.path)
        count += 1
    return count


def _compare_projections(
    records: OutputPaths, manifest: Manifest, scratch: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    every = {path.relative_to(records.home).as_posix(): path for path in (*records.for_people(), records.disaster_log)}
    wanted = {name: sum_of(path) for name, path in every.items() if path.exists()}
    with open_reader(records.journal) as journal:
        same: set[str] = set()
        behind: set[str] = set()
        for form, level in _forms(manifest):
            home = scratch / f"{form}-{level}"
            again = records_for(home, records.mode, test_mode=False)
            rebuild(journal, again, form, level)
            left = {name: digest for name, digest in wanted.items() if name not in same | behind}
            same |= _equal(home, left)
            left = {name: digest for name, digest in left.items() if name not in same}
            behind |= _beginnings(records.home, home, left, (records.disaster_log,))
            left = {name: digest for name, digest in left.items() if name not in behind}
            behind |= _earlier(journal, again, form, level, left)
            if same | behind == wanted.keys():
                return tuple(sorted(same)), tuple(sorted(behind))
    differing = sorted(wanted.keys() - same - behind)
    what = f"the journal tells other bytes than it holds: {', '.join(differing)}"
    raise BackupDamaged(Damage.RECORDS, what, where=manifest.made_at)


def _forms(manifest: Manifest) -> Iterator[tuple[LogFormat, Level]]:
    """Yield the form that was asked for, then the others: settings may have changed after the last session."""
    first = (LogFormat(manifest.log_format), Level(manifest.level))
    yield first
    yield from (each for each in product(LogFormat, Level) if each != first)


def _equal(home: Path, wanted: Mapping[str, str]) -> set[str]:
    return {name for name, digest in wanted.items() if (home / name).exists() and sum_of(home / name) == digest}


def _beginnings(kept: Path, made: Path, names: Iterable[str], logs: Iterable[Path]) -> set[str]:
    """Return the logs whose kept form is a beginning of what was made: defense mode is told apart from the rest."""
    grown = {log.relative_to(kept).as_posix() for log in logs}
    return {
        name
        for name in grown.intersection(names)
        if (made / name).exists() and (made / name).read_bytes().startswith((kept / name).read_bytes())
    }


def _earlier(
    journal: JournalReader, records: OutputPaths, form: LogFormat, level: Level, wanted: Mapping[str, str]
) -> set[str]:
    """Return the files that are what the journal told at one of its last rows."""
    if not wanted:
        return set()
    shutil.rmtree(records.home)
    projector, found = Projector(records, form, level), set[str]()
    after = max(0, journal.head().seq - _ROWS_BEHIND_MAX)
    projector.feed_rows(row for row in journal.rows() if row.seq <= after)
    found |= _equal(records.home, wanted)
    for row in journal.rows(after=after):
        item = item_of(row)
        if item is None:
            continue
        projector.feed(SessionId.parse(row.session) if row.session else None, item)
        found |= _equal(records.home, {name: digest for name, digest in wanted.items() if name not in found})
        if found == wanted.keys():
            break
    return found


def refusal(error: TbotError, where: str) -> BackupDamaged:
    """Return what an error met while judging means: the records in the backup do not hold."""
    return error if isinstance(error, BackupDamaged) else BackupDamaged(Damage.RECORDS, str(error), where=where)


__all__ = ["Judgement", "judge", "refusal"]
