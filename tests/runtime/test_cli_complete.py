"""Completion as the shells ask for it: their own protocol, in a process of its own."""

import os
import subprocess
import sys

import pytest

from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import parse_iso
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.noted import Noted
from tbot_bot.reporting.report_router import records_for
from tests.support.terminal import CLI

AT = parse_iso("2025-09-02T13:30:00Z")
SESSIONS = ("2025-09-02/open", "2025-09-02/mid", "2025-09-03/open")


@pytest.fixture
def home(tmp_path):
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    with Journal.open(records.journal, Mode.PAPER) as journal:
        note = Noted(at=AT, text="seen")
        journal.append([Entry.of(note, kind=Kind.NOTE, at=AT, recorded_at=AT, session=name) for name in SESSIONS])
    return tmp_path


def asked(home, **environment):
    ended = subprocess.run(
        [sys.executable, "-c", CLI], env={**os.environ, "TBOT_HOME": str(home), **environment}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ended.stderr == ""
    return ended.stdout


def bash(home, line):
    words = line.split(" ")
    said = asked(home, COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), _TBOT_COMPLETE="complete_bash")
    return said.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tbot jour", ["journal"]),
        ("tbot journal ex", ["export"]),
        ("tbot report day ", ["2025-09-03", "2025-09-02"]),
        ("tbot report range 2025-09-02 2025-09-03", ["2025-09-03"]),
        ("tbot replay 2025-09-02", ["2025-09-02"]),
        ("tbot journal show --session 2025-09-02", ["2025-09-02/open", "2025-09-02/mid"]),
        ("tbot journal export --day 2025-09-03", ["2025-09-03"]),
        ("tbot journal show --kind set", ["settings"]),
        ("tbot screen --session ", ["open", "mid", "close"]),
        ("tbot dry-run --set MAX_TRAD", ["MAX_TRADES="]),
        ("tbot run --set MAX_TRADES=", ["MAX_TRADES=4"]),
        ("tbot journal verify --mode li", ["live"]),
        ("tbot status --wa", ["--watch"]),
    ],
)
def test_bash_is_offered_what_fits(home, line, offered):
    assert sorted(bash(home, line)) == sorted(offered)


def test_zsh_and_fish_are_offered_the_same(home):
    line = "tbot journal show --session 2025-09-03"
    assert "2025-09-03/open" in asked(home, _TYPER_COMPLETE_ARGS=line, _TBOT_COMPLETE="complete_zsh")
    fish = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TBOT_COMPLETE": "complete_fish"}
    assert asked(home, _TYPER_COMPLETE_ARGS=line, **fish).split() == ["2025-09-03/open"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(tmp_path, shell):
    script = asked(tmp_path, _TBOT_COMPLETE=f"source_{shell}")
    assert f"complete_{shell}" in script
    assert "_TBOT_COMPLETE" in script


def test_without_a_journal_or_with_a_broken_one_nothing_is_offered_and_nothing_said(tmp_path):
    assert bash(tmp_path, "tbot report day ") == []
    path = records_for(tmp_path, Mode.PAPER, test_mode=True).journal
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no journal at all" * 100)
    assert bash(tmp_path, "tbot report day ") == []


def test_bash_itself_completes_with_the_script(home):
    """The whole way: bash reads the script, and the function that it defines fills COMPREPLY."""
    script = asked(home, _TBOT_COMPLETE="source_bash")
    (home / "tbot").write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{CLI}' \"$@\"\n", encoding="utf-8")
    (home / "tbot").chmod(0o755)
    asks = (
        "COMP_WORDS=(tbot report day 2025-09-03)",
        "COMP_CWORD=3",
        "_tbot_completion tbot",
        'echo "${COMPREPLY[@]}"',
    )
    ended = subprocess.run(
        ["bash", "--norc", "-c", "\n".join((script, *asks))], capture_output=True, text=True, check=False,
        env={**os.environ, "TBOT_HOME": str(home), "PATH": f"{home}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert (ended.stdout.split(), ended.stderr) == (["2025-09-03"], "")
