"""One table of exit codes, the same in the code, in the help and in the operator's guide; each one that can happen.

Code 6 needs a broker to refuse the keys: tests/runtime/test_live_session.py lets the sandbox do it.
"""

import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from tbot_bot.runtime import cli_output, supervisor
from tbot_bot.runtime.cli_output import EXIT_CODES
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, AlreadyRunning, Lock
from tbot_bot.runtime.runner_arguments import RunnerExit
from tests.support.rehearsal import random_walks, write_csv
from tests.support.terminal import CLI, REPOSITORY


def ended(home, *words):
    return subprocess.run(
        [sys.executable, "-c", CLI, *words], env={**os.environ, "TBOT_HOME": str(home)}, cwd=REPOSITORY,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_table_is_the_same_in_the_help_and_in_the_guide(tmp_path):
    shown = re.findall(r"^ +(\d+)  (.+)$", ended(tmp_path, "--help").stdout.partition("Exit codes:")[2], re.MULTILINE)
    assert [(int(code), meaning) for code, meaning in shown] == list(EXIT_CODES)
    guide = (REPOSITORY / "docs" / "operators-guide.md").read_text(encoding="utf-8").partition("## Exit codes")[2]
    told = re.findall(r"^\| (\d+) \| (.+) \|$", guide.partition("\n## ")[0], re.MULTILINE)
    assert [(int(code), meaning) for code, meaning in told] == list(EXIT_CODES)


def test_every_part_of_the_program_means_the_same_by_a_number():
    assert {supervisor.KILLED, int(RunnerExit.KILLED)} == {cli_output.HALTED}
    assert int(RunnerExit.LOCKED) == cli_output.ALREADY_RUNNING
    assert int(RunnerExit.CREDENTIALS) == cli_output.CREDENTIALS
    assert cli_output.status_of(AlreadyRunning(REPOSITORY, 1)) == cli_output.ALREADY_RUNNING
    assert [code for code, _ in EXIT_CODES] == [0, 1, 2, 3, 4, 5, 6, 130]


@pytest.mark.parametrize(
    ("words", "settings", "status"),
    [
        ("version", "", 0),
        ("status", "", 1),
        ("no-such-command", "", 2),
        ("schedule", "MAX_TRADES=many\n", 2),
        ("check", "", 3),
        ("run --rehearsal", "", 4),
    ],
)
def test_each_code_by_its_shortest_way(tmp_path, words, settings, status):
    if settings:
        (tmp_path / ".env_bot").write_text(settings, encoding="ascii")
    (tmp_path / "control").mkdir()
    if status == 3:
        (tmp_path / "control" / "killed.json").write_text("{}", encoding="ascii")
    with Lock(tmp_path / "control" / (SUPERVISOR_LOCK if status == 4 else "nobody.lock")):
        assert ended(tmp_path, *words.split()).returncode == status


def test_a_killed_bot_does_not_start(tmp_path):
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "killed.json").write_text('{"by": "me", "why": "a test"}', encoding="ascii")
    assert ended(tmp_path, "run", "--rehearsal", "--once").returncode == 5


def test_an_export_does_not_write_beside_a_running_session(tmp_path):
    data = write_csv(tmp_path / "bars.csv", random_walks(1, symbols=1), datetime(2025, 9, 3, 13, 30, tzinfo=UTC))
    assert ended(tmp_path, "dry-run", "--data", str(data), "--day", "2025-09-03").returncode == 0
    with Lock(tmp_path / "control" / "runner.lock"):
        refused = ended(tmp_path, "journal", "export")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert f"already running (pid {os.getpid()})" in refused.stderr


def test_an_interrupted_command_ends_with_130_and_no_story(tmp_path):
    data = write_csv(tmp_path / "bars.csv", random_walks(1, symbols=1), datetime(2025, 9, 3, 13, 30, tzinfo=UTC))
    words = ["dry-run", "--data", str(data), "--day", "2025-09-03", "--speed", "1"]
    environment = {**os.environ, "TBOT_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", CLI, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(3)
        running.send_signal(signal.SIGINT)
        told = running.communicate(timeout=30)
    assert (running.returncode, told) == (130, ("", ""))
