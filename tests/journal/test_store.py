"""The journal's file: what is acknowledged stays, what is damaged is refused and left alone."""

import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path

import apsw
import pytest

from tbot_bot.accounting.ledger_files import create as create_ledger
from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.identity import Mode
from tbot_bot.journal.files import create as create_journal
from tbot_bot.journal.files import require_sqlite
from tbot_bot.journal.store import Entry, Journal, JournalWriteFailed, Kind, journal_path, open_reader
from tbot_bot.journal.verify import verify

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from pathlib import Path
from tbot_bot.core.identity import Mode
from tbot_bot.journal.store import Entry, Journal, Kind
who, count = sys.argv[2], int(sys.argv[3])
journal = Journal.open(Path(sys.argv[1]), Mode.PAPER)
for number in range(count):
    payload = '{"_":"Note","text":"%s %d %s"}' % (who, number, "x" * (number % 3000))
    written = journal.append([Entry(at=number, recorded_at=1, kind=Kind.NOTE, payload=payload)])
    print(written[-1], flush=True)
"""


def entry(text="a note", **columns):
    plain = Entry(at=1, recorded_at=2, kind=Kind.NOTE, payload=f'{{"_":"Note","text":"{text}"}}')
    return replace(plain, **columns)


@pytest.fixture
def path(tmp_path):
    return journal_path(tmp_path / "journal", Mode.PAPER)


@pytest.fixture
def journal(path):
    with Journal.open(path, Mode.PAPER) as opened:
        yield opened


def writer(path, who, count):
    command = [sys.executable, "-c", WRITER, str(path), who, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def files_of(path):
    return {p.name: p.read_bytes() for p in path.parent.iterdir() if not p.name.endswith("-shm")}


def test_what_is_appended_is_read_back_in_order(journal):
    assert journal.append([entry("one"), entry("two", session="2025-09-02/open", input_number=3)]) == range(1, 3)
    assert journal.append([entry("three", kind=Kind.START)]) == range(3, 4)
    assert journal.append([]) == range(0)
    assert [row.seq for row in journal.rows()] == [1, 2, 3]
    assert [row.seq for row in journal.rows(after=1)] == [2, 3]
    assert [row.seq for row in journal.rows(kind=Kind.START)] == [3]
    assert [row.input_number for row in journal.rows(session="2025-09-02/open")] == [3]
    assert [row.seq for row in journal.tail(2)] == [2, 3]
    assert journal.head().hash == journal.tail(1)[0].hash
    assert verify(journal.path).ok


def test_sessions_are_listed_by_day_in_order_of_appearance(journal):
    names = ["2025-09-02/open", "2025-09-02/mid", "2025-09-02/open#2", "2025-09-03/open", ""]
    journal.append([entry(session=name) for name in names])
    assert journal.sessions() == tuple(names[:4])
    assert journal.sessions_of(date(2025, 9, 2)) == tuple(names[:3])


def test_long_reads_go_page_by_page_and_end_at_the_head_of_their_beginning(journal):
    journal.append([entry()] * 1500)
    rows = journal.rows()
    first = next(rows)
    journal.append([entry()] * 10)
    assert [first.seq, *(row.seq for row in rows)] == list(range(1, 1501))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET payload = 'x'",
        "DELETE FROM journal",
        "INSERT OR REPLACE INTO journal SELECT * FROM journal WHERE seq = 1",
        "INSERT INTO journal SELECT seq + 6, at, 0, '', 0, kind, version, payload, previous_hash, hash FROM journal",
        "UPDATE about SET mode = 'live'",
        "UPDATE about SET base_seq = 1",
        "DELETE FROM about",
        "INSERT INTO about (mode) VALUES ('live')",
    ],
)
def test_nothing_written_can_be_changed(journal, statement):
    journal.append([entry()])
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        apsw.Connection(str(journal.path)).execute(statement)


def test_an_older_sqlite_is_refused():
    require_sqlite("3.51.3")
    for version in ("3.51.2", "3.40.1"):
        with pytest.raises(JournalError, match="can corrupt"):
            require_sqlite(version)


def test_a_newer_schema_is_refused_and_left_alone(path):
    Journal.open(path, Mode.PAPER).close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    before = files_of(path)
    with pytest.raises(JournalError, match="schema 3"):
        Journal.open(path, Mode.PAPER)
    assert files_of(path) == before


@pytest.mark.parametrize("content", [b"", b"SQLite", b"timestamp,symbol\n" * 50])
def test_a_foreign_or_empty_file_is_refused_and_left_alone(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(JournalError):
        Journal.open(path, Mode.PAPER)
    assert files_of(path) == {path.name: content}


def test_another_programs_database_is_refused(path):
    path.parent.mkdir()
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    with pytest.raises(JournalError, match="another program"):
        Journal.open(path, Mode.PAPER)


def test_a_paper_journal_is_not_taken_for_a_live_one(journal):
    with pytest.raises(JournalError, match="mode paper, not live"):
        Journal.open(journal.path, Mode.LIVE)


def test_a_reader_needs_a_journal(path):
    with pytest.raises(JournalError, match="there is no journal"):
        open_reader(path)
    assert not path.parent.exists()


@pytest.mark.parametrize("with_wal", [False, True])
def test_a_journal_cut_in_half_is_refused_and_left_alone(path, tmp_path, with_wal):
    with Journal.open(path, Mode.PAPER) as journal:
        for _ in range(30):
            journal.append([entry("x" * 3000)] * 20)
        source = files_of(path) if with_wal else None
    source = source or files_of(path)
    size = len(source[path.name])
    offsets = [0, 1, 15, 16, 99, 100, 4095, 4096, 4097, size // 3, size // 2, size - 4096, size - 1]
    for number, offset in enumerate(offsets):
        folder = tmp_path / f"cut{number}"
        folder.mkdir()
        for name, content in source.items():
            (folder / name).write_bytes(content[:offset] if name == path.name else content)
        before = files_of(folder / path.name)
        with_problem = verify(folder / path.name)
        assert not with_problem.ok or with_wal, offset
        try:
            Journal.open(folder / path.name, Mode.PAPER).close()
        except JournalError as error:
            assert str(folder) in str(error), offset  # noqa: PT017 - whether it is refused depends on the WAL
            assert "verify" in str(error) or "Move" in str(error), offset  # noqa: PT017
            assert files_of(folder / path.name) == before, offset
        else:
            assert with_wal, offset  # the WAL held every page, or the hole is for `verify` to find


def test_every_acknowledged_row_survives_a_kill(path):
    acknowledged = 0
    for round_ in range(5):
        process = writer(path, f"round{round_}", 100_000)
        lines = [process.stdout.readline() for _ in range(20 + 37 * round_)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        acknowledged = max(int(line) for line in lines if line.endswith("\n"))
        report = verify(path)
        assert report.ok, report
        assert acknowledged <= report.rows <= acknowledged + 1


def test_two_processes_append_to_one_chain(path):
    both = [writer(path, who, 150) for who in ("supervisor", "runner")]
    numbers = [int(line) for process in both for line in process.stdout.readlines()]
    for process in both:
        assert process.wait() == 0
        process.stdout.close()
    assert sorted(numbers) == list(range(1, 301))
    assert verify(path).rows == 300
    with open_reader(path) as reader:
        assert {row.payload.split('"text":"')[1].split()[0] for row in reader.rows()} == {"supervisor", "runner"}


def test_a_reader_never_sees_half_an_append(journal):
    stop = threading.Event()
    heads = []

    def read():
        with open_reader(journal.path) as reader:
            while not stop.is_set():
                heads.append(len(list(reader.rows())))

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(100):
        journal.append([entry()] * 7)
    stop.set()
    thread.join()
    assert heads
    assert all(count % 7 == 0 for count in heads)


def test_a_full_disk_writes_nothing_and_the_journal_goes_on_afterwards(journal):
    journal.append([entry()])
    pages = journal._connection.pragma("page_count")
    journal._connection.pragma("max_page_count", pages + 2)
    with pytest.raises(JournalWriteFailed, match="Make room"):
        journal.append([entry("y" * 2000)] * 100)
    assert [row.seq for row in journal.rows()] == [1]
    journal._connection.pragma("max_page_count", 1_000_000)
    assert journal.append([entry()]) == range(2, 3)
    assert verify(journal.path).ok


def test_a_real_write_error_leaves_nothing_half_written(path):
    script = """
import resource, signal, sys
from pathlib import Path
from tbot_bot.core.identity import Mode
from tbot_bot.journal.store import Entry, Journal, JournalWriteFailed, Kind
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal.open(Path(sys.argv[1]), Mode.PAPER)
big = Entry(at=1, recorded_at=1, kind=Kind.NOTE, payload='{"_":"N","t":"' + "x" * 9000 + '"}')
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
good = failures = 0
for _ in range(60):
    try:
        good = journal.append([big, big])[-1]
    except JournalWriteFailed:
        failures += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert failures > 0
assert journal.append([big]) == range(good + 1, good + 2)
print(good + 1)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = verify(path)
    assert report.ok, report
    assert report.rows == int(done.stdout)


@pytest.mark.parametrize("bad", [{"at": 1 << 63}, {"payload": "\ud800"}, {"input_number": -1}])
def test_an_entry_that_cannot_be_stored_takes_its_whole_transaction_back(journal, bad):
    with pytest.raises(JournalWriteFailed, match="defect"):
        journal.append([entry(), entry(**bad)])
    assert journal.head().seq == 0
    assert journal.append([entry()]) == range(1, 2)


@pytest.mark.parametrize("make", [create_journal, create_ledger])
def test_a_new_file_is_written_as_durably_as_every_later_row(tmp_path, monkeypatch, make):
    """Also with an SQLite whose own default is less: a script of PRAGMAs would stop at the first that answers."""
    written_with = set()

    def careless(connection):
        connection.pragma("synchronous", "OFF")
        connection.set_update_hook(lambda *_: written_with.add(connection.pragma("synchronous")))

    monkeypatch.setattr(apsw, "connection_hooks", [*apsw.connection_hooks, careless])
    make(tmp_path / "made.sqlite3", Mode.PAPER)
    assert written_with == {2}, "2 is FULL"
