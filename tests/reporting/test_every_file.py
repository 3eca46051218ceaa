"""Every file that sessions write is as its published schema says, and no reader ever sees half a row of one."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tbot_bot.core.identity import Mode
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.reporting.trade_logger import COLUMNS
from tests.support.crafted_day import DAY, breakout_up, flat, write_day
from tests.support.judged_files import judged
from tests.support.terminal import CLI, REPOSITORY
from tests.support.trading_floor import Floor, agrees

WRITER = """
import sys
from pathlib import Path
from tbot_bot.core.identity import Mode
from tbot_bot.reporting.projector import Projector
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tests.reporting.days import open_story, whole_day
records = records_for(Path(sys.argv[1]), Mode.PAPER, test_mode=True)
while True:
    projector = Projector(records)
    for own, item in [*whole_day(), *open_story(run=2)]:
        projector.feed(own, item)
        projector.flush()
"""


def tbot(home: Path, *words: str) -> None:
    env = {**os.environ, "TBOT_HOME": str(home)}
    ended = subprocess.run([sys.executable, "-c", CLI, *words], env=env, cwd=REPOSITORY, capture_output=True,
                           text=True, timeout=120, check=False)  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_file_of_a_dry_run_and_of_a_kill_has_a_schema_and_keeps_it(tmp_path: Path) -> None:
    write_day(tmp_path / "bars.csv", {"AAA": breakout_up(), "BBB": flat(20.0, 390)})
    tbot(tmp_path, "dry-run", "--data", str(tmp_path / "bars.csv"), "--day", DAY.isoformat())
    tbot(tmp_path, "kill", "--why", "a test")
    found = judged(tmp_path / "output")
    assert {"trade_history", "daily_summary", "session_log", "shutdown_flag"} <= set(found.values()), found


@pytest.mark.slow
def test_every_file_of_a_rehearsed_day_has_a_schema_and_keeps_it(tmp_path: Path) -> None:
    tbot(tmp_path, "run", "--rehearsal", "--once", "--speed", "4000")
    found = judged(tmp_path / "output")
    assert {"status", "trade_history", "daily_summary", "session_log"} <= set(found.values()), found


@pytest.mark.slow  # its short form: the files of a dry run, above
def test_every_file_of_a_live_session_has_a_schema_and_its_summary_tells_speed_and_slippage(tmp_path: Path) -> None:
    floor = Floor(tmp_path, speed=60)
    try:
        floor.start()
        assert floor.end() == 0
        agrees(floor)
    finally:
        floor.close()
    found = judged(tmp_path / "output")
    assert {"status", "trade_history", "daily_summary", "session_log"} <= set(found.values()), found
    day = json.loads((tmp_path / "output/summaries/daily_summary_paper.json").read_text())[DAY.isoformat()]
    told = {name: day[name] for name in ("signal_to_order", "order_to_fill", "slippage")}
    for speed in ("signal_to_order", "order_to_fill"):  # an engine answers a signal in the step that brought it
        assert 0 <= day[speed]["mean_ms"] <= day[speed]["max_ms"], told
    assert day["order_to_fill"]["max_ms"] > 0, told
    assert float(day["slippage"]) != 0, told


def test_a_file_without_a_schema_is_found(tmp_path: Path) -> None:
    (tmp_path / "summaries").mkdir()
    (tmp_path / "summaries" / "new_paper.json").write_text("{}")
    with pytest.raises(AssertionError, match="no schema for output/summaries/new_paper"):
        judged(tmp_path)


def test_no_reader_sees_half_a_row_while_writers_are_killed(tmp_path: Path) -> None:
    """A writer that renews all files without a pause is killed again and again; every single reading is whole."""
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    readings = 0
    for kill in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], cwd=REPOSITORY)
        try:
            deadline = time.monotonic() + 20
            while not records.daily_summary.exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            until = time.monotonic() + (1.0 if kill == 0 else 0.4 + 0.07 * kill)
            while time.monotonic() < until:
                readings += read_all(records)
        finally:
            writer.kill()
            writer.wait()
        readings += read_all(records)
    assert readings > 50


def read_all(records: OutputPaths) -> int:
    """Read every file as a person's program would; return how many there were."""
    read = 0
    for path in records.for_people():
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        read += 1
        match path.suffix:
            case ".json":
                json.loads(text)
            case ".csv":
                assert {len(row) for row in csv.reader(text.splitlines())} == {len(COLUMNS)}
            case _:
                assert text == "" or text.endswith("\n")
                assert all(json.loads(line) for line in text.splitlines())
    return read
