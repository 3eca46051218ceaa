"""An archived journal is the same journal: nothing is lost, whatever is killed, and an older one can still be read."""

import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.codec import loads
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import parse_iso
from tbot_bot.journal.archive import archive, archive_path, last_row_before
from tbot_bot.journal.files import SCHEMA_VERSION
from tbot_bot.journal.store import Entry, Journal, Kind, journal_path, open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.projector import rebuild
from tbot_bot.reporting.report_router import records_for

ROOT = Path(__file__).parents[2]
OLD = Path(__file__).parent / "schema_1"
"""A dry run's journal with its tapes, as the last version with schema 1 wrote it."""
ROWS = 30


def entry(number):
    payload = f'{{"_":"Note","text":"note {number}"}}'
    session = "" if number % 3 == 0 else f"2025-09-0{1 + number * 4 // ROWS}/open"
    at = parse_iso(f"2025-09-0{1 + number * 4 // ROWS}T14:00:00Z")
    return Entry(at=at, recorded_at=2, kind=Kind.NOTE, payload=payload, session=session)


@pytest.fixture
def path(tmp_path):
    made = journal_path(tmp_path / "journal", Mode.PAPER)
    with Journal.open(made, Mode.PAPER) as journal:
        journal.append([entry(number) for number in range(ROWS)])
    return made


def seen(path):
    """Return everything that a reader can tell."""
    with open_reader(path) as journal:
        named = journal.sessions()
        return (
            list(journal.rows()), list(journal.rows(after=7, kind=Kind.NOTE)), journal.tail(9), journal.head(), named,
            journal.sessions_of(date(2025, 9, 1)), [list(journal.rows(session=name)) for name in named],
        )  # fmt: skip


@settings(max_examples=30)  # each makes a journal of its own, synced to the disk
@given(st.lists(st.integers(1, ROWS), min_size=1, max_size=4))
def test_readers_see_the_same_before_and_after(tmp_path_factory, cuts):
    path = journal_path(tmp_path_factory.mktemp("archived"), Mode.PAPER)
    with Journal.open(path, Mode.PAPER) as journal:
        journal.append([entry(number) for number in range(ROWS)])
    before, report = seen(path), verify(path)
    for cut in cuts:
        archive(path, Mode.PAPER, cut)
        assert seen(path) == before
    assert verify(path) == report
    with apsw.Connection(str(path)) as alone:
        assert alone.execute("SELECT count(*) FROM journal").get == ROWS - max(cuts)
    with Journal.open(path, Mode.PAPER) as journal:
        assert journal.append([entry(0)]) == range(ROWS + 1, ROWS + 2)
    assert verify(path).rows == ROWS + 1


def test_a_day_begins_with_its_first_row(path):
    first = next(number for number in range(ROWS) if "09-03" in entry(number).session)
    assert last_row_before(path, date(2025, 9, 3)) == first - (1 if entry(first - 1).at == entry(first).at else 0)
    assert last_row_before(path, date(2025, 9, 1)) == 0
    assert last_row_before(path, date(2026, 1, 1)) == ROWS


def test_what_is_written_still_cannot_be_changed(path):
    archive(path, Mode.PAPER, 20)
    for file in (path, archive_path(path)):
        for statement in ("DELETE FROM journal", "UPDATE journal SET at = 0", "UPDATE about SET base_seq = 0"):
            with pytest.raises(apsw.ConstraintError, match="append-only"):
                apsw.Connection(str(file)).execute(statement)


def test_a_journal_without_its_archive_is_refused(path):
    archive(path, Mode.PAPER, 20)
    archive_path(path).rename(path.with_name("elsewhere"))
    for opening in (open_reader, lambda file: Journal.open(file, Mode.PAPER)):
        with pytest.raises(JournalError, match="rows 1 to 20") as refused:
            opening(path)
        assert "backup" in refused.value.mend
    report = verify(path)
    assert not report.ok
    assert "rows 1 to 20" in report.problem


def test_the_archive_of_another_journal_is_refused(path, tmp_path):
    archive(path, Mode.PAPER, 20)
    other = journal_path(tmp_path / "other", Mode.PAPER)
    with Journal.open(other, Mode.PAPER) as journal:
        journal.append([replace(entry(number), recorded_at=3) for number in range(ROWS)])
    archive(other, Mode.PAPER, 20)
    shutil.copy(archive_path(other), archive_path(path))
    with pytest.raises(JournalError, match="not the archive"):
        open_reader(path)


def test_a_changed_archive_is_named_by_its_row(path):
    archive(path, Mode.PAPER, 20)
    with apsw.Connection(str(archive_path(path))) as connection:
        connection.execute("DROP TRIGGER journal_keeps_columns; UPDATE journal SET at = 5 WHERE seq = 3")
    report = verify(path)
    assert (report.ok, report.damaged_row) == (False, 3)


ARCHIVER = """
import os, sys
from pathlib import Path
import tbot_bot.journal.archive as archiving
from tbot_bot.core.identity import Mode
step, file = int(sys.argv[1]), Path(sys.argv[2])
archiving._PAGE_ROWS = 8
crossed = 0
def point(*_):
    global crossed
    crossed += 1
    if crossed == step:
        os.kill(os.getpid(), 9)
real = archiving.let_go_of
archiving.let_go_of = lambda *words: (point(), real(*words), point())
archiving.archive(file, Mode.PAPER, 25, point)
print(crossed)
"""


@pytest.mark.parametrize("step", range(1, 7))
def test_killed_at_any_step_nothing_is_lost_and_it_can_be_done_again(path, step):
    before = seen(path)
    archiver = subprocess.run([sys.executable, "-c", ARCHIVER, str(step), str(path)], cwd=ROOT, check=False)
    assert archiver.returncode == -9
    assert seen(path) == before
    assert verify(path).ok
    assert archive(path, Mode.PAPER, 25).until == 25
    assert seen(path) == before


@pytest.fixture
def old(tmp_path):
    shutil.copytree(OLD, tmp_path / "old")
    return tmp_path / "old" / "tbot_paper.sqlite3"


def schema_of(path):
    with apsw.Connection(str(path)) as connection:
        return connection.pragma("user_version")


def test_a_journal_of_schema_1_is_read_and_written_as_it_is_and_migrated_by_its_archiving(old, tmp_path):
    assert verify(old, decode=loads).ok
    before = seen(old)
    with Journal.open(old, Mode.PAPER) as journal:
        journal.append([entry(0)])
    assert schema_of(old) == 1, "a rollback to the version before must stay possible"
    archive(old, Mode.PAPER, 10)
    assert (schema_of(old), SCHEMA_VERSION) == (2, 2)
    assert seen(old)[0][:-1] == before[0]
    assert verify(old).ok
    with open_reader(old) as journal:
        records = records_for(tmp_path / "home", Mode.PAPER, test_mode=True)
        rebuild(journal, records)
    assert "AAA" in (tmp_path / "home" / "output" / "trades" / "trade_history_paper.csv").read_text()
