"""Rotation of the logs: what it turns, packs and throws away, and what it never touches."""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.instants import instant
from tbot_bot.reporting.log_rotation import rotate_logs

NOW = datetime(2025, 12, 10, 0, 5, tzinfo=UTC)
RETENTION_DAYS = 7
STRANGERS = (
    "notes.txt", "runner.log.bak", "Runner.log", "runner.20251301T000000.log", "tbot_paper.sqlite3", ".hidden.log",
    "runner.20240101T000000.csv",
)  # fmt: skip


def put(path, text, age, links=()):
    """Write a file whose last line is `age` old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    at = (NOW - age).timestamp()
    os.utime(path, (at, at))
    return path


def aside(process, age, suffix="log"):
    return f"{process}.{NOW - age:%Y%m%dT%H%M%S}.{suffix}"


def rotate(folder, now=NOW, **given):
    return rotate_logs(folder, instant(now), retention_days=RETENTION_DAYS, **given)


def texts(folder, *, drafts=True):
    """Return every file's text below `folder` by name, unpacked; a draft may be cut short."""
    return {
        path.relative_to(folder).as_posix(): (
            gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        ).decode()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (drafts or path.suffix != ".draft")
    }


def test_an_old_day_is_packed_with_its_text_and_its_time_and_today_stays_plain(tmp_path):
    old = put(tmp_path / "paper" / aside("runner", timedelta(days=2)), "yesterday's line\n", timedelta(days=2))
    today = put(tmp_path / "paper" / aside("runner", timedelta(minutes=3)), "just now\n", timedelta(minutes=3))
    written = old.stat().st_mtime_ns
    done = rotate(tmp_path)

    packed = old.with_name(f"{old.name}.gz")
    assert gzip.decompress(packed.read_bytes()) == b"yesterday's line\n"
    assert (packed.stat().st_mtime_ns, old.exists(), today.exists()) == (written, False, True)
    assert (done.packed, done.removed, done.failures) == ((f"paper/{old.name}",), (), ())


@pytest.mark.parametrize("form", ["log", "log.gz", "out.gz", "out"])
def test_what_is_older_than_the_retention_goes_and_what_is_just_within_it_stays(tmp_path, form):
    over, within = timedelta(days=RETENTION_DAYS, seconds=1), timedelta(days=RETENTION_DAYS, seconds=-1)
    gone = put(tmp_path / "paper" / aside("runner", over, form), "x", over)
    kept = put(tmp_path / "paper" / aside("runner", within, form), "y", within)
    rotate(tmp_path)

    assert not gone.exists()
    assert list(texts(tmp_path).values()) == ["y"]
    assert kept.name.removesuffix(".gz") in next(iter(texts(tmp_path)))


def test_a_log_that_nobody_has_written_for_longer_goes_too(tmp_path):
    gone = put(tmp_path / "live" / "runner.log", "from before the switch to paper\n", timedelta(days=30))
    kept = put(tmp_path / "paper" / "runner.log", "of yesterday\n", timedelta(days=1))
    rotate(tmp_path)

    assert (gone.exists(), kept.read_text()) == (False, "of yesterday\n")


def test_a_name_that_says_old_does_not_remove_a_file_that_was_written_lately(tmp_path):
    put(tmp_path / aside("runner", timedelta(days=400)), "restored from a backup today", timedelta(hours=3))
    rotate(tmp_path)

    assert list(texts(tmp_path).values()) == ["restored from a backup today"]


def test_a_printed_file_is_emptied_under_its_writer_who_goes_on_at_its_new_beginning(tmp_path):
    path = tmp_path / "supervisor.out"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"first day\n")
        done = rotate(tmp_path, datetime.now(UTC) + timedelta(days=1))
        writer.write(b"second day\n")

    assert path.read_bytes() == b"second day\n"
    assert sorted(texts(tmp_path).values()) == ["first day\n", "second day\n"]
    assert done.turned == ("supervisor.out",)


def test_a_printed_file_of_today_turns_only_when_it_is_large(tmp_path):
    small = put(tmp_path / "supervisor.out", "x" * 10, timedelta(minutes=1))
    large = put(tmp_path / "paper" / "runner.out", "y" * 11, timedelta(minutes=1))
    done = rotate(tmp_path, bytes_max=10)

    assert (small.stat().st_size, large.stat().st_size) == (10, 0)
    assert done.turned == ("paper/runner.out",)
    assert rotate(tmp_path, bytes_max=10, new_day=True).turned == ("supervisor.out",)
    assert rotate(tmp_path, new_day=True).turned == ()
    assert "y" * 11 in texts(tmp_path).values()


def test_two_turns_in_one_second_keep_both(tmp_path):
    for text in ("one\n", "two\n"):
        put(tmp_path / "runner.out", text, timedelta(days=1))
        rotate(tmp_path)

    assert sorted(texts(tmp_path).values()) == ["", "one\n", "two\n"]


def test_links_are_neither_followed_nor_removed(tmp_path):
    logs, elsewhere, age = tmp_path / "logs", tmp_path / "elsewhere", timedelta(days=100)
    books = put(elsewhere / "journal.sqlite3", "the books", age)
    other = put(elsewhere / "other" / aside("runner", age), "another program's", age)
    logs.mkdir()
    (logs / "supervisor.out").symlink_to(books)
    (logs / aside("runner", age)).symlink_to(books)
    (logs / "paper").symlink_to(other.parent, target_is_directory=True)
    os.link(books, logs / "runner.out")
    before = sorted(logs.iterdir())
    done = rotate(logs)

    assert (books.read_text(), other.read_text()) == ("the books", "another program's")
    assert sorted(logs.iterdir()) == before
    assert done.failures == done.removed == done.turned == ()


def test_the_log_folder_itself_may_lie_on_another_disk(tmp_path):
    put(tmp_path / "big_disk" / "runner.out", "line\n", timedelta(days=1))
    (tmp_path / "bot").symlink_to(tmp_path / "big_disk", target_is_directory=True)

    assert rotate(tmp_path / "bot").turned == ("runner.out",)


def test_a_file_that_fails_is_named_and_the_rest_is_done(tmp_path):
    blocked = put(tmp_path / "a" / "runner.out", "line\n", timedelta(days=1))
    put(tmp_path / "b" / "runner.out", "line\n", timedelta(days=1))
    (tmp_path / "a" / f".{aside('runner', timedelta(days=1), 'out.gz')}.{os.getpid()}.draft").mkdir()
    done = rotate(tmp_path)

    assert (len(done.failures), done.failures[0].partition(":")[0]) == (1, "a/runner.out")
    assert (blocked.read_text(), done.turned) == ("line\n", ("b/runner.out",))


def test_where_nothing_was_ever_logged_there_is_nothing_to_do(tmp_path):
    assert rotate(tmp_path / "never").failures == ()
    assert not (tmp_path / "never").exists()


ages = st.integers(0, 20 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
processes = st.sampled_from(("runner", "supervisor"))
names = st.one_of(
    st.builds(lambda process, suffix: f"{process}.{suffix}", processes, st.sampled_from(("log", "out"))),
    st.builds(aside, processes, ages, st.sampled_from(("log", "out", "log.gz", "out.gz"))),
    st.sampled_from(STRANGERS),
)
places = st.sampled_from(("logs/bot/", "logs/bot/paper/", "logs/bot/paper/deeper/", "output/logs/", "output/journal/"))


@given(files=st.dictionaries(st.tuples(places, names), ages, max_size=8), turns=st.integers(1, 3))
def test_no_line_within_the_retention_and_nothing_that_is_not_ours_is_ever_lost(files, turns):
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        lines = {}
        for number, ((place, name), age) in enumerate(files.items()):
            put(home / place / name, f"line {number}", age)
            lines[f"line {number}"] = (place, name, age)
        for _ in range(turns):
            assert rotate(home / "logs" / "bot").failures == ()
        found = list(texts(home).values())
        untouched = texts(home)

        for line, (place, name, age) in lines.items():
            ours = place in {"logs/bot/", "logs/bot/paper/"} and name not in STRANGERS
            if not ours:
                assert untouched[f"{place}{name}"] == line
            elif age < timedelta(days=RETENTION_DAYS):
                assert found.count(line) == 1, (place, name, age)


KILLED = """
import json, os, signal, sys
from pathlib import Path
from tbot_bot.core.instants import Instant
from tbot_bot.reporting.log_rotation import rotate_logs

root, now = Path(sys.argv[1]), Instant(int(sys.argv[2]))
WATCHED = {"open", "os.rename", "os.remove", "os.truncate", "os.utime", "os.chmod"}

def child(folder, number):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        if event in WATCHED:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    rotate_logs(folder, now, retention_days=7)
    os._exit(0)

number = 0
while True:
    number += 1
    folder = root / str(number)
    folder.mkdir()
    for name in ("runner.out", "runner.20251208T120000.log"):
        path = folder / name
        path.write_text(f"all of {name}" * 1000)
        os.utime(path, ns=(now - 36 * 3600 * 10**9,) * 2)
    pid = os.fork()
    if pid == 0:
        child(folder, number)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status):
        break
print(json.dumps({"killed": number - 1, "status": os.waitstatus_to_exitcode(status)}))
"""


def test_killed_at_any_step_each_file_is_there_whole_and_the_next_turn_ends_the_work(tmp_path):
    now = str(instant(NOW))
    told = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), now], capture_output=True, text=True, check=True
    )
    done = json.loads(told.stdout)
    assert done["status"] == 0
    assert done["killed"] > 10

    wanted = {f"all of {name}" * 1000 for name in ("runner.out", "runner.20251208T120000.log")}
    for folder in sorted(tmp_path.iterdir()):
        assert wanted <= set(texts(folder, drafts=False).values()), folder.name
        rotate(folder)
        after = texts(folder)
        assert after["runner.out"] == ""
        assert wanted <= set(after.values())
        assert "runner.20251208T120000.log" not in after
        rotate(folder, NOW + timedelta(days=8))
        assert texts(folder) == {"runner.out": ""}
