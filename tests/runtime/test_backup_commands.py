"""`tbot backup` as a person and a timer use it, and the supervisor's job."""

import json
import shutil
from types import SimpleNamespace

import pytest
import structlog
import time_machine

from tbot_bot.config.error_handler import ALERT_FROM, Severity
from tbot_bot.core.instants import to_datetime
from tbot_bot.reporting.auto_backup import make_backup, newest_good
from tbot_bot.reporting.backup_drill import drills
from tbot_bot.runtime import backup_job
from tbot_bot.runtime.backup_keeper import BackupFailed, BackupKeeper
from tbot_bot.runtime.cli import main
from tests.support.backup_home import KEY, OTHER, Clock, hidden, room_for, visible, write_records


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a home with a day's records, a key and a folder for copies."""
    home = tmp_path / "home"
    write_records(home)
    (home / ".env_bot.enc").unlink()
    (home / ".env_bot").write_text("TEST_MODE=true\nBACKUP_RETENTION_DAYS=30\n")
    (tmp_path / "hunter22").mkdir()
    remote = tmp_path / "hunter22"
    (home / ".env").write_text(f"ENCRYPTION_KEY={KEY.key.text}\nBACKUP_REMOTE={remote}\n")
    monkeypatch.setenv("TBOT_HOME", str(home))
    return home


@pytest.fixture
def tbot(home, capsys):
    def run(*words):
        status = main(["backup", *words])
        told = capsys.readouterr()
        return SimpleNamespace(status=status, out=told.out, err=told.err)

    return run


def test_create_makes_reads_back_copies_and_says_so(home, tbot, tmp_path):
    done = tbot("create", "--json")
    told = json.loads(done.out)

    assert (done.status, told["backup"]["good"], told["failures"]) == (0, True, [])
    name = told["backup"]["name"]
    assert visible(tmp_path / "hunter22") == [name]
    listed = tbot("list", "--remote")
    assert (listed.status, f"{name} " in listed.out, " good  also at BACKUP_REMOTE" in listed.out) == (0, True, True)
    assert tbot("verify").out.startswith(f"{name} is whole: ")


def test_a_remote_that_fails_is_told_and_the_backup_is_there(home, tbot, tmp_path):
    (tmp_path / "hunter22").rmdir()
    done = tbot("create")

    assert (done.status, "read back and whole" in done.out) == (1, True)
    assert "not copied: BACKUP_REMOTE" in done.err
    assert "hunter22" not in done.err + done.out


@pytest.mark.parametrize(
    ("spoil", "damage"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "truncated"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5] + b"\0" * 5), "altered"),
        (lambda path: path.unlink(), "missing_file"),
        (lambda path: path.write_bytes(b"PK" + bytes(500)), "foreign"),
        (lambda path: path.with_name("holiday.jpg").write_text("x"), "foreign"),
    ],
    ids=["truncated", "altered", "gone", "no backup", "stranger"],
)
def test_verify_names_each_damage_and_fails(tbot, home, spoil, damage):
    tbot("create", "--local")
    made = newest_good(backup_job.room_at(backup_settings(home)))
    assert made is not None
    spoil(made.path)
    done = tbot("verify", "--json")

    assert done.status == 1
    assert damage in {fault["damage"] for fault in json.loads(done.out)["faults"]}
    assert tbot("verify").err.startswith("error: ")
    if damage in {"truncated", "altered"}:
        assert newest_good(backup_job.room_at(backup_settings(home))) is None  # the next run makes a new one


def backup_settings(home):
    from tbot_bot.config.settings import load_settings  # noqa: PLC0415 - the name says what it is for

    return load_settings(home)


def test_a_wrong_key_is_named_and_takes_nothing_from_the_backup(tbot, home, tmp_path):
    tbot("create", "--local")
    (tmp_path / "key").write_text(OTHER.key.text)
    done = tbot("verify", "--key-file", str(tmp_path / "key"))

    assert (done.status, done.err.startswith("error: wrong_key: ")) == (1, True)
    assert OTHER.key.text not in done.err
    assert tbot("verify").status == 0


def test_without_backups_or_with_old_ones_only_the_timer_s_check_fails(tbot):
    assert "there is no backup" in tbot("verify").err
    tbot("create", "--local")
    with time_machine.travel("2099-01-01", tick=False):
        done = tbot("verify")
        assert (done.status, "days old. Look why" in done.err) == (1, True)
        assert tbot("verify", "--max-age-days", "0").status == 0


def test_a_new_machine_restores_with_nothing_but_a_copy_and_the_recipients_key(home, tbot, tmp_path, monkeypatch):
    pair = json.loads(tbot("key", "--out", str(tmp_path / "recipient.key"), "--json").out)
    assert (tmp_path / "recipient.key").stat().st_mode & 0o777 == 0o600
    with (home / ".env").open("a") as env:
        env.write(f"BACKUP_RECIPIENT_KEY={pair['public']}\n")
    name = json.loads(tbot("create", "--json").out)["backup"]["name"]
    summary = (home / "output" / "summaries" / "daily_summary_paper.json").read_bytes()
    shutil.rmtree(home)
    new = tmp_path / "new"
    new.mkdir()
    monkeypatch.setenv("TBOT_HOME", str(new))

    copy = str(tmp_path / "hunter22" / name)
    refused = tbot("restore", copy, "--into", str(tmp_path / "back"))
    assert (refused.status, "without ENCRYPTION_KEY" in refused.err) == (1, True)
    done = tbot("restore", copy, "--into", str(tmp_path / "back"), "--key-file", str(tmp_path / "recipient.key"))
    assert (done.status, done.err) == (0, "")
    assert "chain sound: " in done.out
    assert (tmp_path / "back" / "output" / "summaries" / "daily_summary_paper.json").read_bytes() == summary
    again = tbot("restore", copy, "--into", str(tmp_path / "back"), "--key-file", str(tmp_path / "recipient.key"))
    assert (again.status, "not empty" in again.err) == (1, True)


def test_the_drill_takes_the_copy_from_the_remote(tbot, home, tmp_path):
    tbot("create")
    shutil.rmtree(home / "backups")
    done = tbot("drill", "--json")

    assert (done.status, json.loads(done.out)["source"].startswith("BACKUP_REMOTE")) == (0, True)
    (copy,) = (tmp_path / "hunter22").iterdir()
    copy.write_bytes(copy.read_bytes()[:-1])
    failed = tbot("drill")
    assert (failed.status, "cut off" in failed.err) == (1, True)
    assert hidden(home / "backups") == []


def test_an_address_that_cannot_be_is_a_problem_of_the_settings(tbot, home):
    (home / ".env").write_text("BACKUP_REMOTE=ftp://me:hunter22@host/x\n")
    done = tbot("create")

    assert (done.status, "BACKUP_REMOTE" in done.err, "hunter22" in done.err) == (2, True, False)


# --- the supervisor's job


def test_the_morning_s_job_makes_up_copies_and_drills_once_a_week(tmp_path):
    (tmp_path / "disk").mkdir()
    clock = Clock()
    records = write_records(tmp_path / "home")
    room = room_for(records, clock)

    done, failed = backup_job.do(room, backup_job.UPKEEP)
    assert (len(visible(room.shelf.folder)), failed) == (2, [])
    assert "restores: " in done[-1]
    done, failed = backup_job.do(room, backup_job.UPKEEP)
    assert (done, failed) == ([], [])
    assert backup_job.do(room, backup_job.AFTER_DAY)[0][0].startswith("records_paper_")
    clock.days(7)
    done, failed = backup_job.do(room, backup_job.UPKEEP)
    assert (len(done), failed, len(drills(room))) == (2, [], 2)


def test_a_drill_that_fails_is_tried_again_the_next_morning(tmp_path):
    clock = Clock()
    records = write_records(tmp_path / "home")
    room = room_for(records, clock)
    records.daily_summary.write_text("[]\n")

    assert "the restore drill failed: " in backup_job.do(room, backup_job.UPKEEP)[1][-1]
    assert "the restore drill failed: " in backup_job.do(room, backup_job.UPKEEP)[1][-1]


async def test_a_failed_backup_is_an_error_that_alerts(home):
    (home / ".env").write_text(f"ENCRYPTION_KEY={KEY.key.text}\nBACKUP_REMOTE=is-not-there\n")
    failures: list[BaseException] = []
    keeper = BackupKeeper(home, structlog.testing.CapturingLogger(), lambda where, error: failures.append(error))
    await keeper.run(backup_job.AFTER_DAY)

    (failure,) = failures
    assert isinstance(failure, BackupFailed)
    assert "the folder is not there" in failure.what
    assert Severity(failure.severity).at_least(ALERT_FROM)
    assert len(visible(home / "backups")) == 2


async def test_a_stop_ends_the_job_without_a_word(home):
    failures: list[BaseException] = []
    keeper = BackupKeeper(home, structlog.testing.CapturingLogger(), lambda where, error: failures.append(error))
    keeper.hurry()
    await keeper.run(backup_job.AFTER_DAY)

    assert failures == []
    assert not (home / "backups").exists()


def test_a_backup_says_its_time_of_the_clock_it_was_given(tmp_path):
    clock = Clock()
    made = make_backup(room_for(write_records(tmp_path / "home"), clock))

    assert f"{to_datetime(made.name.made_at):%Y%m%dT%H%M%S}" in made.path.name
