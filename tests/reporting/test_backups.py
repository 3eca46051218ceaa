"""Backups of one installation: what is in them, what counts as good, what goes when, what a restore proves."""

import threading
from dataclasses import replace
from itertools import count

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import SECOND, Duration, Instant
from tbot_bot.journal.store import Journal
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.auto_backup import back_up_ledger, look_through, make_backup, newest_good, replicate
from tbot_bot.reporting.backup_archive import ArchiveWriter, read_archive
from tbot_bot.reporting.backup_contents import copy_of
from tbot_bot.reporting.backup_drill import HERE, drill, drill_is_due, drills, restore
from tbot_bot.reporting.backup_errors import BackupDamaged, BackupError, Damage
from tbot_bot.reporting.backup_manifest import Kept, Manifest
from tbot_bot.reporting.backup_names import BackupName, What, expired
from tbot_bot.reporting.projector import Projector
from tests.support.backup_home import (
    BEGIN,
    KEY,
    OTHER,
    Clock,
    hidden,
    killed_at,
    note,
    room_for,
    visible,
    write_records,
)

DAY = 86_400 * SECOND
WEEK = Duration(7 * DAY)


@pytest.fixture
def records(tmp_path):
    return write_records(tmp_path / "home")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def room(records, clock):
    return room_for(records, clock)


def restored(made, tmp_path, key=KEY):
    seconds = count(step=1)
    return restore(made.path, key, tmp_path / "restored", tmp_path / "scratch", lambda: float(next(seconds)))


def test_a_backup_holds_the_records_of_its_mode_and_no_key(room, records, tmp_path):
    (records.home / "output" / "logs" / "open_live.log").write_text("not ours\n")
    (records.home / "output" / "cache").mkdir()
    (records.home / "output" / "cache" / "quotes.json").write_text("{}")
    made = make_backup(room)

    assert made.is_good
    assert {kept.path for kept in read_archive(made.path, KEY).files} == {
        ".env_bot.enc",
        "logs/bot/paper/runner.log",
        "output/journal/tbot_paper.sqlite3",
        "output/ledgers/tbot_paper_ledger.sqlite3",
        *(f"output/logs/{name}_paper.log" for name in ("close", "mid", "open", "unresolved_orders")),
        "output/summaries/daily_summary_paper.json",
        "output/trades/trade_history_paper.csv",
        "output/trades/trade_history_paper.json",
    }
    data = made.path.read_bytes()
    assert not any(word in data for word in (b"journal", b"MAX_TRADES", b"AAA", b"changeme", KEY.key.material))
    assert made.path.stat().st_mode & 0o777 == 0o600


def test_a_restore_gives_the_same_files_and_proves_them(room, records, tmp_path):
    made = make_backup(room)
    done = restored(made, tmp_path)

    assert (done.judgement.rows, done.judgement.databases) == (verify(records.journal).rows, 1)
    assert done.judgement.behind == ()
    assert set(done.judgement.same) == {
        path.relative_to(records.home).as_posix() for path in records.for_people() if path.exists()
    }
    for kept in done.manifest.files:
        if not kept.path.endswith(".sqlite3"):
            assert (tmp_path / "restored" / kept.path).read_bytes() == (records.home / kept.path).read_bytes()
    assert done.unpack_seconds > 0
    assert not (tmp_path / "scratch").exists()


def test_files_that_lie_behind_the_journal_are_known_by_the_row_that_they_end_with(room, records, tmp_path):
    with Journal.open(records.journal, Mode.PAPER) as journal:
        rows = list(journal.rows())
    projector = Projector(records)
    projector.feed_rows(rows[:-4])
    written = {path.name: path.read_bytes() for path in records.for_people() if path.exists()}
    made = make_backup(room)
    done = restored(made, tmp_path)

    assert set(done.judgement.behind)
    for name in done.judgement.behind:
        path = tmp_path / "restored" / name
        assert path.read_bytes() == written[path.name]


def test_an_edited_file_is_damage_and_nothing_of_it_stays(room, records, tmp_path):
    text = records.daily_summary.read_text()
    records.daily_summary.write_text(text.replace("12.50", "99.50").replace("1", "2", 1))
    with pytest.raises(BackupDamaged, match="other bytes than it holds: output/summaries") as refused:
        restore(make_backup(room).path, KEY, tmp_path / "again", tmp_path / "scratch", lambda: 0.0)
    assert refused.value.damage is Damage.RECORDS
    assert list((tmp_path / "again").iterdir()) == []


def test_a_restore_writes_over_nothing(room, tmp_path):
    (tmp_path / "restored").mkdir()
    (tmp_path / "restored" / "mine").write_text("kept")

    with pytest.raises(BackupError, match="not empty"):
        restored(make_backup(room), tmp_path)
    assert (tmp_path / "restored" / "mine").read_text() == "kept"


def test_a_chain_that_was_broken_before_the_backup_is_found_by_the_restore(room, records, tmp_path):
    spoiler = apsw.Connection(str(records.journal))
    spoiler.execute('DROP TRIGGER journal_keeps_columns; UPDATE journal SET payload = \'{"_":"Noted"}\' WHERE seq = 3')
    spoiler.close()
    with pytest.raises(BackupError, match="row 3"):
        restored(make_backup(room), tmp_path)


def test_a_backup_during_writing_is_of_one_moment(room, records, tmp_path):
    going = threading.Event()
    written = [0]

    def write():
        while not going.is_set():
            note(records, f"row {written[0]}")
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [make_backup(room) for _ in range(4)]
    finally:
        going.set()
        writer.join()

    assert written[0] > 4
    for number, each in enumerate(made):
        done = restore(each.path, KEY, tmp_path / f"r{number}", tmp_path / "scratch", lambda: 0.0)
        assert done.judgement.rows == done.manifest.journal_rows
    assert verify(records.journal).ok


def test_a_ledger_that_is_being_written_to_is_neither_stopped_nor_torn(room, records):
    ledger = apsw.Connection(str(records.home / "output" / "ledgers" / "tbot_paper_ledger.sqlite3"))
    ledger.set_busy_timeout(0)  # a writer that waits for nobody
    ledger.execute("BEGIN IMMEDIATE; INSERT INTO lines VALUES (1)")
    made = back_up_ledger(room)
    ledger.execute("COMMIT")

    assert made is not None
    (kept,) = read_archive(made.path, KEY).files
    assert (made.name.what, kept.path) == (What.LEDGER, "output/ledgers/tbot_paper_ledger.sqlite3")


def test_no_ledger_needs_no_backup_and_no_key_makes_none(records, clock):
    (records.home / "output" / "ledgers" / "tbot_paper_ledger.sqlite3").unlink()
    assert back_up_ledger(room_for(records, clock)) is None
    with pytest.raises(BackupError, match="without ENCRYPTION_KEY"):
        make_backup(room_for(records, clock, key=None, seal_for=()))


def test_a_damaged_database_is_kept_as_it_lies_and_told(room, records):
    path = records.home / "output" / "ledgers" / "tbot_paper_ledger.sqlite3"
    path.write_bytes(b"SQLite format 3\0" + b"rubbish" * 200)

    with pytest.raises(BackupError, match=r"not of everything: .*ledger.*damaged database"):
        make_backup(room)
    assert newest_good(room) is not None


def crafted(path, listed, given):
    """Write a backup whose manifest and files do not agree, as only who has the key can."""
    with path.open("wb") as file:
        writer = ArchiveWriter(file, (KEY,), {"what": "records", "mode": "paper", "made_at": ""})
        for name, text in given.items():
            source = path.with_name("source")
            source.write_text(text)
            copied = copy_of(path.parent, "source", path.with_name("staged"))
            assert copied is not None
            writer.add(replace(copied, kept=replace(copied.kept, path=name)))
        files = tuple(Kept(path=name, bytes=1, sha256=text) for name, text in listed.items()) or tuple(writer.files)
        writer.finish(
            Manifest(what="records", mode="paper", made_at="", program="", journal_rows=0, journal_head="",
                     log_format="json", level="info", files=files, notes=())
        )  # fmt: skip


@pytest.mark.parametrize(
    ("listed", "given", "damage"),
    [
        ({"a": "", "gone": ""}, {"a": "x"}, Damage.MISSING_FILE),
        ({"a": ""}, {"a": "x", "stranger": "y"}, Damage.FOREIGN),
        ({"a": "0" * 64}, {"a": "x"}, Damage.CHANGED_FILE),
        ({}, {"../outside": "x"}, Damage.FOREIGN),
        ({}, {"/absolute": "x"}, Damage.FOREIGN),
    ],
)
def test_files_that_are_not_those_of_the_manifest_are_named(tmp_path, listed, given, damage):
    crafted(tmp_path / "it", listed, given)
    with pytest.raises(BackupDamaged) as refused:
        read_archive(tmp_path / "it", KEY, tmp_path / "into" / "deep")
    assert refused.value.damage is damage
    assert not (tmp_path / "into" / "outside").exists()


def test_a_backup_that_has_gone_is_missing(tmp_path):
    with pytest.raises(BackupDamaged) as refused:
        read_archive(tmp_path / "gone", KEY)
    assert refused.value.damage is Damage.MISSING_FILE


# --- what counts as good, and what goes


@pytest.mark.slow
def test_a_kill_at_any_step_leaves_no_half_backup_and_the_next_run_clears_away(tmp_path):
    kills(tmp_path, range(1, 400))


def test_a_kill_at_some_steps_leaves_no_half_backup_and_the_next_run_clears_away(tmp_path):
    assert kills(tmp_path, range(1, 400, 7)) >= 5


def kills(tmp_path, steps):
    records = write_records(tmp_path / "home")
    clock = Clock()
    first = make_backup(room_for(records, clock))
    room = room_for(records, clock)
    for done, step in enumerate(steps):
        clock.days(1)
        killed = killed_at(step, lambda: make_backup(room))
        for each in room.shelf.entries():
            if each.is_good:
                read_archive(each.path, KEY)
        assert first.name in {each.name for each in room.shelf.entries() if each.is_good}
        look_through(room)
        assert hidden(room.shelf.folder) == []
        assert all(each.is_good for each in room.shelf.entries())
        if not killed:
            return done
        for each in room.shelf.entries():
            if each.name != first.name:
                room.shelf.remove(each.name)
    pytest.fail("it never ends")


@pytest.mark.parametrize("step", range(1, 12))
def test_a_kill_while_old_ones_go_leaves_the_newest_good(tmp_path, step):
    records = write_records(tmp_path / "home")
    clock = Clock()
    room = room_for(records, clock)
    make_backup(room)
    clock.days(40)
    newest = make_backup(room)
    killed_at(step, lambda: replicate(room))

    good = [each.name for each in room.shelf.entries() if each.is_good]
    assert newest.name in good
    replicate(room)
    assert visible(room.shelf.folder) == [str(newest.name), f"{newest.name}.json"]


NAMES = st.builds(
    BackupName,
    what=st.sampled_from(What),
    mode=st.sampled_from([Mode.LIVE, Mode.PAPER]),
    made_at=st.integers(0, 60).map(lambda days: Instant(BEGIN + days * DAY)),
)


@given(names=st.sets(NAMES), good=st.sets(st.integers(0, 60)), now=st.integers(0, 90), kept=st.integers(1, 40))
def test_the_newest_good_one_never_goes_and_nothing_young_does(names, good, now, kept):
    def is_good(name):
        return (name.made_at - BEGIN) // DAY in good

    at = Instant(BEGIN + now * DAY)
    gone = expired(names, is_good, at, retention_days=kept)

    assert set(gone) <= names
    for name in gone:
        assert at - name.made_at > kept * DAY
    for what in What:
        for mode in Mode:
            kind = [name for name in names if (name.what, name.mode) == (what, mode)]
            best = max(filter(is_good, kind), key=lambda name: name.made_at, default=None)
            assert best not in gone
            if best is None:
                assert not set(kind) & set(gone)
            else:
                old = {name for name in kind if name.made_at < best.made_at and at - name.made_at > kept * DAY}
                assert old <= set(gone)


@given(name=NAMES, microseconds=st.integers(0, 999_999))
def test_a_name_says_what_when_and_is_read_again(name, microseconds):
    name = replace(name, made_at=Instant(name.made_at + microseconds * 1_000))
    assert BackupName.parse(str(name)) == name
    assert BackupName.parse(f"{name}.json") is None


def test_a_backup_whose_card_was_lost_is_read_before_it_counts(room):
    made = make_backup(room)
    card = room.shelf.folder / f"{made.name}.json"
    card.unlink()
    assert newest_good(room) is None
    look_through(room)
    assert newest_good(room) is not None

    card.unlink()
    data = bytearray(made.path.read_bytes())
    data[-40] ^= 1
    made.path.write_bytes(bytes(data))
    look_through(room)
    assert newest_good(room) is None


def test_a_second_backup_waits_for_the_first_and_gives_up_with_a_reason(room):
    with room.shelf.locked(1), pytest.raises(BackupError, match="another backup is under way"):
        make_backup(room, patience_seconds=0.2)
    with room.copies.locked(1):
        make_backup(room, patience_seconds=0.2)  # a slow remote holds up nobody


# --- the drill


def test_a_drill_is_written_down_and_due_again_in_a_week(room, clock):
    assert drill_is_due(room, WEEK)
    missing = drill(room, lambda: 0.0)
    assert (missing.ok, "there is no backup" in missing.problem) == (False, True)
    make_backup(room)
    held = drill(room, lambda: 0.0)

    assert (held.ok, held.source, held.problem) == (True, HERE, "")
    assert held.rows > 0
    assert [each.ok for each in drills(room)] == [False, True]
    assert not drill_is_due(room, WEEK)
    clock.days(7)
    assert drill_is_due(room, WEEK)
    assert hidden(room.shelf.folder) == []


def test_a_drill_with_another_key_fails_by_name(records, clock):
    make_backup(room_for(records, clock, seal_for=(OTHER,), key=OTHER))
    held = drill(room_for(records, clock), lambda: 0.0)

    assert not held.ok
    assert "wrong key" in held.problem
