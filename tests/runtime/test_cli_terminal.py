"""What a terminal shows while a command works, and that nothing else, and nobody who asked for none, sees any of it."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from tests.support.rehearsal import random_walks, write_csv
from tests.support.terminal import CLI, REPOSITORY, Terminal

DAY = "2025-09-03"
BELL = datetime(2025, 9, 3, 13, 30, tzinfo=UTC)
IMPATIENT = (
    "import tbot_bot.runtime.cli_work as work; work._PATIENCE_SECONDS = 0.0; work._DRAW_SECONDS = 0.0;"
    f" {CLI}"
)  # fmt: skip
WORKING = {
    "journal verify": "checking tbot_paper.sqlite3",
    "journal export": "reading the journal",
    "journal export --out rows.jsonl": "writing rows",
    "check": "checking",
    f"report day {DAY}": "reading the journal",
    f"report range {DAY} {DAY}": f"{DAY}",
    f"replay {DAY}": f"{DAY}/open",
    f"dry-run --data bars.csv --day {DAY}": "reading the recorded day",
    "screen": "screening",
}
"""Commands that may take over a second, and what they say meanwhile."""
DUMB = ("journal verify", "screen")
REDRAWN = "\x1b[2K"
"""How a line that stands there is taken back."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_csv(folder / "bars.csv", random_walks(1, symbols=1), BELL)
    words = ["dry-run", "--data", str(folder / "bars.csv"), "--day", DAY]
    ended = subprocess.run(
        [sys.executable, "-c", CLI, *words], env={**os.environ, "TBOT_HOME": str(folder)}, check=False
    )
    assert ended.returncode == 0
    return folder


def words_of(home, command):
    return [str(home / word) if word.endswith((".csv", ".jsonl")) else word for word in command.split()]


@pytest.mark.parametrize("command", WORKING)
def test_a_terminal_shows_what_is_being_done_and_takes_it_back(home, command):
    with Terminal(home, *words_of(home, command), program=IMPATIENT) as terminal:
        status, written = terminal.end()
    assert status == 0, written
    assert WORKING[command] in written
    assert REDRAWN in written


@pytest.mark.parametrize(
    ("command", "refusal"),
    [*((command, {"NO_COLOR": "1"}) for command in WORKING), *((command, {"TERM": "dumb"}) for command in DUMB)],
)
def test_who_wants_no_escape_codes_gets_none(home, command, refusal):
    with Terminal(home, *words_of(home, command), program=IMPATIENT, **refusal) as terminal:
        status, written = terminal.end()
    assert status == 0, written
    assert "\x1b" not in written


@pytest.mark.parametrize("command", WORKING)
def test_a_pipe_gets_the_answer_alone(home, command):
    ended = subprocess.run(
        [sys.executable, "-c", IMPATIENT, *words_of(home, command)], env={**os.environ, "TBOT_HOME": str(home)},
        cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip()
    assert "\x1b" not in ended.stdout


def test_what_is_done_at_once_shows_no_bar(home):
    with Terminal(home, "journal", "verify") as terminal:
        assert "checking" not in terminal.end()[1]
