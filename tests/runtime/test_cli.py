"""The command line as a person or a script meets it: real processes, their words and their exit statuses."""

import json
import os
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from tbot_bot.core.calendar import trading_day
from tbot_bot.core.instants import iso, later, minutes
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, Lock

ESCAPE = "\x1b"
COMMANDS = [
    "resume", "confirm", "decline", "service install", "service status", "service",
    "run", "dry-run", "start", "stop", "kill", "status", "schedule", "check", "screen", "journal tail", "journal show",
    "journal verify", "journal export", "replay", "report day", "report range", "version", "journal", "report",
    "float show", "float plan", "float transfer", "float", "",
]  # fmt: skip
DAY = "2025-09-03"
READING = [
    "schedule", "check", "screen", "version", "journal tail", "journal verify", "journal show 1-3", "journal export",
    "float show", "float plan",
]  # fmt: skip


def tbot(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tbot_bot.runtime.cli", *words],
        env={**os.environ, "TBOT_HOME": str(home), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def check_refused(home: Path, *words: str, status: int, says: str) -> None:
    ended = tbot(home, *words)
    assert ended.returncode == status, ended
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of one quiet symbol over one whole trading day."""
    path = tmp_path_factory.mktemp("bars") / "bars.csv"
    day = trading_day(date.fromisoformat(DAY))
    lines = ["timestamp,symbol,open,high,low,close,volume"]
    for number in range(390):
        price = 20 + number % 7 * 0.01
        at = iso(later(day.open_at, minutes(number)))
        lines.append(f"{at},AAA,{price:.2f},{price + 0.02:.2f},{price - 0.02:.2f},{price:.2f},10000")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


@pytest.fixture(scope="module")
def after_a_day(tmp_path_factory: pytest.TempPathFactory, bars: Path) -> Path:
    """Return an installation whose journal holds one recorded day."""
    home = tmp_path_factory.mktemp("home")
    ended = tbot(home, "dry-run", "--data", str(bars), "--day", DAY)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "", "progress is for terminals"
    assert f"Trading day {DAY}" in ended.stdout
    return home


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_of_itself(tmp_path, command):
    ended = tbot(tmp_path, *command.split(), "--help")
    assert ended.returncode == 0
    assert re.search(rf"Example:\n +tbot {command}", ended.stdout)
    assert ESCAPE not in ended.stdout


@pytest.mark.parametrize("command", [*READING, f"replay {DAY}", f"report day {DAY}", f"report range {DAY} {DAY}"])
def test_each_document_is_json_and_each_text_plain(after_a_day, command):
    told = tbot(after_a_day, *command.split(), "--json")
    assert told.returncode == 0, told.stderr
    assert isinstance(json.loads(told.stdout), dict)
    shown = tbot(after_a_day, *command.split())
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip()
    assert ESCAPE not in shown.stdout + shown.stderr


def test_a_dry_run_prints_its_report_as_json(tmp_path, bars):
    ended = tbot(
        tmp_path, "dry-run", "--data", str(bars), "--day", DAY, "--json", "--set", "CLOSE_HARD_EXIT_MINUTES=10"
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["day"] == DAY


def test_a_status_that_is_not_there_is_a_failure_and_still_a_document(tmp_path):
    ended = tbot(tmp_path, "status", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["trouble"]) == (1, "missing")
    check_refused(tmp_path, "status", status=1, says="has not run here yet")


def test_bad_words_are_refused_with_status_2(tmp_path, bars):
    dry = ["dry-run", "--data", str(bars), "--day"]
    check_refused(tmp_path, "trade", status=2, says="No such command 'trade'. `tbot --help` shows")
    check_refused(tmp_path, *dry, "2018-3-2", status=2, says="'2018-3-2' is not a day; write it as 2018-03-02")
    check_refused(tmp_path, *dry, DAY, "--speed", "fast", status=2, says="'fast' is not a speed; write max")
    check_refused(tmp_path, *dry, DAY, "--speed", "nan", status=2, says="'nan' is not a speed")
    check_refused(tmp_path, *dry, DAY, "--set", "MAX_TRADES", status=2, says="not of the form NAME=VALUE")
    check_refused(tmp_path, "schedule", "--from", "9999-12-30", status=2, says="does not reach")


def test_unknown_settings_are_named_with_what_was_meant(tmp_path, bars):
    dry = ["dry-run", "--data", str(bars), "--day", DAY]
    check_refused(tmp_path, *dry, "--set", "MAX_TRADE=2", status=2, says="did you mean MAX_TRADES?")
    both = tbot(tmp_path, *dry, "--set", "MAX_TRADE=2", "--set", "MAX_TRADES=many")
    assert both.returncode == 2
    assert len(both.stderr.splitlines()) == 3, "a heading, then one problem a line"


def test_what_cannot_be_traded_fails_with_its_reason(tmp_path, bars):
    check_refused(
        tmp_path, "dry-run", "--data", "nowhere.csv", "--day", DAY, status=1, says="nowhere.csv: no such file"
    )
    saturday = (date.fromisoformat(DAY) + timedelta(days=3)).isoformat()
    check_refused(tmp_path, "dry-run", "--data", str(bars), "--day", saturday, status=1, says="weekend (Saturday)")
    monday = (date.fromisoformat(DAY) - timedelta(days=2)).isoformat()
    check_refused(tmp_path, "dry-run", "--data", str(bars), "--day", monday, status=1, says="holiday (Labor Day)")
    assert not list(tmp_path.rglob("*.sqlite3"))


def test_a_file_that_holds_no_bars_is_one_message(tmp_path):
    bad = tmp_path / "bad\x1b[31m.csv"
    bad.write_text("colour,shape\nred,round\n", encoding="ascii")
    ended = tbot(tmp_path, "dry-run", "--data", str(bad), "--day", DAY)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ESCAPE not in ended.stderr, "a file's name must not paint the terminal"


@pytest.mark.parametrize("words", [["journal", "tail"], ["journal", "verify"], ["replay", DAY], ["report", "day", DAY]])
def test_without_a_journal_there_is_nothing_to_read(tmp_path, words):
    check_refused(tmp_path, *words, status=1, says="no")
    assert list(tmp_path.iterdir()) == [], "looking leaves nothing behind"


def test_a_day_without_sessions_is_told_from_a_day_without_trading(after_a_day):
    check_refused(after_a_day, "report", "day", "2025-09-04", status=1, says="no sessions of 2025-09-04")
    check_refused(after_a_day, "report", "day", "2025-09-06", status=1, says="is no trading day, weekend (Saturday)")


def test_a_damaged_journal_is_named_by_its_row(after_a_day, tmp_path):
    copy = tmp_path / "output" / "journal"
    copy.mkdir(parents=True)
    for path in (after_a_day / "output" / "journal").glob("*.sqlite3*"):
        (copy / path.name).write_bytes(path.read_bytes())
    (journal,) = copy.glob("*.sqlite3")
    whole = journal.read_bytes()
    at = whole.rindex(b'"_":"Decided"')
    journal.write_bytes(whole[:at] + b'"_":"Divided"' + whole[at + 13 :])
    ended = tbot(tmp_path, "journal", "verify")
    assert ended.returncode == 1
    assert re.search(r"error: .*row \d+: ", ended.stderr)
    document = json.loads(tbot(tmp_path, "journal", "verify", "--json").stdout)
    assert document["ok"] is False


def test_the_schedule_says_why_a_day_has_none_and_shows_three_clocks(tmp_path):
    words = ["schedule", "--days", "3", "--from", "2025-11-27"]
    shown = tbot(tmp_path, *words, TZ="Asia/Tokyo").stdout
    assert "Thu 27  holiday (Thanksgiving)" in shown
    assert "early close 13:00 New York" in shown
    assert "Sat 29  weekend" in shown
    assert "00:30+1" in shown
    days = json.loads(tbot(tmp_path, *words, "--json", TZ="Asia/Tokyo").stdout)["days"]
    opening = days[1]["sessions"][0]["phases"]["analysis"]
    assert opening == {
        "utc": "2025-11-28T14:30:00+00:00",
        "exchange": "2025-11-28T09:30:00-05:00",
        "local": "2025-11-28T23:30:00+09:00",
    }


def test_a_second_bot_is_refused_with_status_4(tmp_path):
    with Lock(tmp_path / "control" / SUPERVISOR_LOCK):
        ended = tbot(tmp_path, "run", "--rehearsal", "--once")
    assert ended.returncode == 4
    assert f"already running (pid {os.getpid()})" in ended.stderr


def test_the_kill_switch_works_with_broken_settings_and_keeps_the_bot_from_starting(tmp_path):
    (tmp_path / ".env").write_text("CONTROL_DIR=flags\nNONSENSE=1\n", encoding="ascii")
    ended = tbot(tmp_path, "kill", "--why", "a test")
    assert ended.returncode == 0, ended.stderr
    assert "nothing of ours rests or is held" in ended.stdout
    latch = json.loads((tmp_path / "flags" / "killed.json").read_text("utf-8"))
    assert latch["why"] == "a test"
    assert tbot(tmp_path, "kill").returncode == 0  # again: it stays as it is
    assert json.loads((tmp_path / "flags" / "killed.json").read_text("utf-8")) == latch


def test_an_engaged_kill_switch_ends_a_run_with_status_5_and_no_report(tmp_path):
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "killed.json").write_text('{"by": "me", "why": "a test"}', encoding="ascii")
    ended = tbot(tmp_path, "run", "--rehearsal", "--once")
    assert ended.returncode == 5, ended.stderr
    assert "the kill switch is engaged by me: a test" in ended.stdout + ended.stderr
    assert "Trading day" not in ended.stdout


def test_a_check_that_fails_ends_with_status_3(tmp_path):
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "killed.json").write_text("{}", encoding="ascii")
    ended = tbot(tmp_path, "check", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["passed"]) == (3, False)


def test_a_reader_that_leaves_early_is_no_accident(after_a_day):
    command = f"{sys.executable} -m tbot_bot.runtime.cli journal tail --count 1000 | head -1"
    environment = {**os.environ, "TBOT_HOME": str(after_a_day)}
    ended = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert len(ended.stdout.splitlines()) == 1


@pytest.mark.parametrize(("words", "heavy"), [("--help", "pydantic apsw rich"), ("version", "apsw rich")])
def test_help_and_version_import_next_to_nothing(tmp_path, words, heavy):
    code = (
        "import sys; from tbot_bot.runtime.cli import main; main(sys.argv[1:]);"
        f" sys.exit(' '.join(name for name in '{heavy} pyarrow numpy asyncio'.split() if name in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code, words], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""


def test_a_supervisor_and_its_progress_import_no_records(tmp_path):
    code = (
        "import sys; import tbot_bot.runtime.cli, tbot_bot.runtime.progress, tbot_bot.runtime.tbot_runner_supervisor;"
        " heavy = 'tbot_bot.reporting.projector tbot_bot.reporting.day_view tbot_bot.strategy.strategy_open"
        " tbot_bot.runtime.end_report tbot_bot.trading.engine pyarrow numpy'.split();"
        " print(*(name for name in heavy if name in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_no_color_keeps_a_terminal_free_of_escapes(tmp_path):
    shown = tbot(tmp_path, "schedule", "--days", "3", FORCE_COLOR="1", NO_COLOR="1").stdout
    styled = tbot(tmp_path, "schedule", "--days", "3", FORCE_COLOR="1").stdout
    assert ESCAPE in styled
    assert ESCAPE not in shown
