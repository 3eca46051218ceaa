"""Whatever is changed in a stored row, `verify` names that row."""

import shutil
import tempfile
from datetime import date
from pathlib import Path

import apsw
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.core.bars import Bar
from tbot_bot.core.codec import dumps
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.journal.store import Entry, Journal, Kind, open_reader
from tbot_bot.journal.tape import TapeWriter, tape_path
from tbot_bot.journal.verify import verify

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=20)


def dumps_note(text):
    return '{"_":"Note","text":' + dumps(text) + "}"


ENTRIES = st.builds(
    Entry,
    at=INT64,
    recorded_at=INT64,
    kind=st.sampled_from([kind for kind in Kind if kind != Kind.COMMAND]),
    payload=TEXT.map(dumps_note),
    session=TEXT,
    input_number=st.integers(0, 2**63 - 1),
    version=st.integers(1, 2**63 - 1),
)
COLUMNS = ["at", "recorded_at", "session", "input_number", "kind", "version", "payload", "previous_hash", "hash"]


def changed(value, where):
    """Return `value` with one bit or character different."""
    match value:
        case int():
            return value ^ 1
        case bytes():
            at = where % len(value)
            return value[:at] + bytes([value[at] ^ 1 << where % 8]) + value[at + 1 :]
        case str():
            at = where % max(len(value), 1)
            return value[:at] + ("a" if value[at : at + 1] != "a" else "b") + value[at + 1 :]
        case _:
            raise AssertionError(value)


@settings(max_examples=60, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=6), st.data())
def test_random_entries_come_back_and_any_change_is_named(entries, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tbot_paper.sqlite3"
        with Journal.open(path, Mode.PAPER) as journal:
            journal.append(entries)
            rows = list(journal.rows())
        assert [Entry(**{name: getattr(row, name) for name in Entry.__slots__}) for row in rows] == entries
        assert verify(path).ok
        row = data.draw(st.sampled_from(rows))
        column = data.draw(st.sampled_from(COLUMNS))
        value = changed(getattr(row, column), data.draw(st.integers(0, 200)))
        connection = apsw.Connection(str(path))
        connection.execute("PRAGMA ignore_check_constraints = ON; DROP TRIGGER journal_keeps_columns")
        value = str(value) if column == "kind" else value
        connection.execute(f"UPDATE journal SET {column} = ? WHERE seq = ?", (value, row.seq))  # noqa: S608 - a name from COLUMNS
        connection.close()
        report = verify(path)
        assert (report.damaged_row, report.rows) == (row.seq, row.seq - 1)
        assert "hash mismatch" in report.problem


def damaged(tmp_path, statement, count=5):
    path = tmp_path / "tbot_paper.sqlite3"
    with Journal.open(path, Mode.PAPER) as journal:
        journal.append([Entry(at=k, recorded_at=k, kind=Kind.NOTE, payload=dumps_note("x")) for k in range(count)])
    connection = apsw.Connection(str(path))
    connection.execute("DROP TRIGGER journal_keeps_rows; DROP TRIGGER journal_keeps_columns")
    connection.execute(statement)
    connection.close()
    return verify(path)


def test_a_removed_row_is_a_gap(tmp_path):
    report = damaged(tmp_path, "DELETE FROM journal WHERE seq = 3")
    assert report.rows == 2
    assert "row 3 is missing" in report.problem


def test_a_forged_row_breaks_the_link_of_the_next(tmp_path):
    path = tmp_path / "other" / "tbot_paper.sqlite3"
    with Journal.open(path, Mode.PAPER) as journal:
        journal.append([Entry(at=9, recorded_at=9, kind=Kind.NOTE, payload=dumps_note("forged"))])
    forged = f"ATTACH '{path}' AS other; DELETE FROM journal WHERE seq = 1; DROP TRIGGER journal_grows_at_its_end;"  # noqa: S608 - a test's own path
    report = damaged(tmp_path, f"{forged} INSERT INTO journal SELECT * FROM other.journal")  # noqa: S608 - constants
    assert (report.damaged_row, report.rows) == (2, 1)
    assert "broken link" in report.problem


def test_a_payload_that_is_no_record_is_named(tmp_path):
    path = tmp_path / "tbot_paper.sqlite3"
    with Journal.open(path, Mode.PAPER) as journal:
        journal.append([Entry(at=1, recorded_at=1, kind=Kind.NOTE, payload=text) for text in ('{"_":"N"}', "[1")])
    report = verify(path)
    assert report.damaged_row == 2
    assert "undecodable" in report.problem


def test_flipped_bytes_of_the_file_never_pass_as_other_rows(tmp_path):
    path = tmp_path / "tbot_paper.sqlite3"
    with Journal.open(path, Mode.PAPER) as journal:
        journal.append([Entry(at=k, recorded_at=k, kind=Kind.NOTE, payload=dumps_note("x" * 50)) for k in range(99)])
        sound = list(journal.rows())
    copy = tmp_path / "copy.sqlite3"
    content = path.read_bytes()
    for at in range(0, len(content), 211):
        copy.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        report = verify(copy)
        if report.ok:  # a byte that means nothing to SQLite
            with open_reader(copy) as reader:
                assert list(reader.rows()) == sound


def test_a_tape_that_is_not_what_the_engine_saw_is_named(tmp_path):
    session = SessionId(day=date(2025, 9, 2), strategy=StrategyName.OPEN)
    path = tmp_path / "tbot_paper.sqlite3"
    tape = tape_path(tmp_path, Mode.PAPER, session)
    with Journal.open(path, Mode.PAPER) as journal, TapeWriter(tape, str(session)) as writer:
        empty = tape.with_name("empty")
        for number in range(1, 6):
            if number != 3:  # input 3 was not a bar
                writer.append(number, number, (Bar("SPY", 0, number, 1.0, 2.0, 0.5, 1.5, 10.0),))
            writer.sync()
            payload = f'{{"_":"Decided","tape_digest":"{writer.digest()}"}}'
            journal.append(
                [
                    Entry(
                        at=1,
                        recorded_at=1,
                        kind=Kind.COMMAND,
                        payload=payload,
                        session=str(session),
                        input_number=number,
                    )
                ]
            )
            if number == 1:
                shutil.copy(tape, empty)
    assert verify(path).ok
    assert verify(path).tapes[0].frames == 6
    whole = tape.read_bytes()
    tape.write_bytes(whole[:-1])
    assert "its end is missing" in verify(path).tapes[0].problem
    tape.write_bytes(empty.read_bytes())
    assert "up to input 2" in verify(path).tapes[0].problem
    tape.unlink()
    assert verify(path).tapes[0].problem == "the tape is missing"
