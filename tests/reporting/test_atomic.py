"""No reader sees half of anything, whatever dies and however full the disk is."""

import errno
import json
import os
import subprocess
import sys
import time

import pytest

from tbot_bot.reporting.atomic import RecordsError, append_lines, replace_file, settle_log

WRITER = """
import json, sys
from pathlib import Path
from tbot_bot.reporting.atomic import append_lines, replace_file
folder = Path(sys.argv[1])
number = 0
while True:
    number += 1
    rows = [{"row": row, "of": number, "text": "x" * 200} for row in range(1000)]
    replace_file(folder / "rows.json", json.dumps(rows).encode())
    append_lines(folder / "rows.log", b"".join(json.dumps(row).encode() + b"\\n" for row in rows[:50]))
"""


def test_a_reader_never_sees_half_a_row_while_writers_are_killed(tmp_path):
    seen: set[int] = set()
    sizes: set[int] = set()
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) as writer:
            try:
                _read_for(0.7, tmp_path, seen, sizes)
            finally:
                writer.kill()
        append_lines(tmp_path / "rows.log", b'{"row": -1}\n')
        assert all(json.loads(line) for line in (tmp_path / "rows.log").read_bytes().splitlines())
    assert len(seen) > 4
    assert len(sizes) > 4


def _read_for(seconds, folder, seen, sizes):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (folder / "rows.json").exists():
            rows = json.loads((folder / "rows.json").read_bytes())
            assert len(rows) == 1000
            seen.add(rows[0]["of"])
            log = (folder / "rows.log").read_bytes() if (folder / "rows.log").exists() else b"\n"
            assert log.endswith(b"\n")
            sizes.add(len(log))


def test_a_log_that_begins_is_never_seen_empty(tmp_path, monkeypatch):
    seen = []
    sync = os.fsync

    def look(handle):
        seen.append([path.name for path in tmp_path.iterdir() if not path.name.startswith(".")])
        sync(handle)

    monkeypatch.setattr("tbot_bot.reporting.atomic.os.fsync", look)
    append_lines(tmp_path / "rows.log", b"first\n")
    assert seen == [[], ["rows.log"]]  # its content, then the folder


@pytest.mark.parametrize("write", [replace_file, append_lines, settle_log])
def test_a_full_disk_is_told_plainly_and_leaves_the_old_content_and_no_draft(tmp_path, monkeypatch, write):
    path = tmp_path / "file"
    path.write_bytes(b"old\n")
    real = os.write
    monkeypatch.setattr("tbot_bot.reporting.atomic.os.write", lambda handle, data: _half_then_full(real, handle, data))

    with pytest.raises(RecordsError, match=r"disk is full.*Make room"):
        write(path, b"new, and longer\n")
    monkeypatch.undo()
    assert path.read_bytes() == b"old\n"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def _half_then_full(real, handle, data):
    if len(data) < 10:
        raise OSError(errno.ENOSPC, "No space left on device")
    return real(handle, bytes(data[: len(data) // 2]))


def test_a_torn_last_line_is_taken_off_before_the_next_one(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthr")
    append_lines(path, b"three\n")
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_torn_line_longer_than_a_chunk_is_taken_off_too(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\n" + b"x" * 200_000)
    append_lines(path, b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_half_a_line_is_refused(tmp_path):
    with pytest.raises(ValueError, match="whole lines"):
        append_lines(tmp_path / "log", b"half")


@pytest.mark.parametrize(
    "present", [b"", b"one\n", b"one\ntw", b"one\ntwo\n", b"one\ntwo\nx", b"other\n", b"one\ntwo\n3\n"]
)
def test_a_log_is_settled_to_exactly_what_the_journal_tells(tmp_path, present):
    path = tmp_path / "log"
    path.write_bytes(present)
    settle_log(path, b"one\ntwo\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_lines_that_cross_a_page_come_in_a_new_file_and_others_in_the_old_one(tmp_path):
    """A long write shows itself page by page, so that a reader would see it end within a line."""
    path = tmp_path / "log"
    path.write_bytes(b"x" * 4090 + b"\n")
    before = path.stat().st_ino
    append_lines(path, b"abcd\n")
    assert (path.stat().st_ino, path.stat().st_size) == (before, 4096)
    append_lines(path, b"y" * 4095 + b"\n")
    assert (path.stat().st_ino, path.stat().st_size) == (before, 8192)
    append_lines(path, b"z" * 4096 + b"\n")
    assert path.stat().st_ino != before
    assert path.read_bytes() == b"x" * 4090 + b"\nabcd\n" + b"y" * 4095 + b"\n" + b"z" * 4096 + b"\n"


def test_settling_appends_to_the_file_that_a_reader_follows(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    before = path.stat().st_ino
    settle_log(path, b"one\ntwo\n")
    assert path.stat().st_ino == before
