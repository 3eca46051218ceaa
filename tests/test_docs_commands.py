"""Every command that the documents or a help text show is run, in a scratch home with one recorded day."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.main import get_command

from tbot_bot.runtime.cli import app, main
from tests.support.command_lines import Typist, documented_blocks, examples, furnished_home, typed

NOT_RUN = {
    r"make \w": "installs the environment it runs in; the targets are held against the Makefile in test_docs.py",
    r"tbot (confirm|decline) 2": "needs a signal that waits at that very moment; the tests of confirmation make one",
    r"tbot service install": "refuses root and temporary folders, and writes system units; its own tests run it",
    r"tbot backup restore": "needs the name of a backup, which says when it was made; its own tests restore",
    r"tbot sandbox": "serves until it is told to stop; its own tests start it, ask it and stop it",
    r"tbot rehearse": "takes up to six minutes; its own tests rehearse a session, and the slow ones a whole day",
    r"tbot backtest walk-forward": "needs months of bars; its own tests walk over days made for them",
    r"tbot backtest sweep --cluster": "needs a Dask scheduler; its own tests start one",
    r"tbot data (import|fetch)": "needs files of somebody's making, or a vendor; its own tests have both",
    r"tbot config rotate --(key-out|finish)": "needs a key that systemd keeps; the tests of sealed settings give one",
    r"systemd-creds|systemctl|rm /dev/shm/": "needs a machine under systemd, root and the machine's own key",
}
"""Lines that a test cannot run: a pattern for the line's beginning, and why."""
RUN_AS = {
    "backtest run --strategy": ("backtest run --engine event --strategy", "machine code takes half a minute to make"),
    "backtest sweep --grid": ("backtest sweep --engine event --grid", "the same"),
    "--speed 60": ("--speed 1000000", "a day at 60 takes minutes, and does nothing else"),
}
FIRST = {
    r"tbot config (decrypt|rotate)": "test -e .env_bot.enc || tbot config encrypt --new-key",
    r"tbot backup create": "test -e .env_bot.enc || tbot config encrypt --new-key",
    r"tbot backup (list|verify|drill)": "test -e .env_bot.enc || tbot config encrypt --new-key && tbot backup create",
    r"tbot data (check|list)": "test -e data/mine || tbot data import bars --into data/mine",
    r"tbot backtest report": "tbot backtest run --start 2018-03-02 --end 2018-03-02 --data bars --engine event",
    r"tbot resume": "mkdir -p control && echo '{}' > control/killed.json",
    r"tbot defense leave": "tbot defense enter --why preparation",
}
"""What has to be so before a line means anything."""
ENDS_WITH = {r"tbot status --watch": 130, r"tbot float transfer --authorize": 2, r"python tools/gateway_login": 2,
             r"tbot (screen --live|fundamentals refresh|ledger push)": 2, r"tbot alerts test": 1,
             r"tbot alerts (send|show|retry paper)": 2, r"tbot reconcile": 1}  # fmt: skip
"""Where the status is not 0: a view that was interrupted; a bank, a gateway's login or a data vendor without keys;
alerts without a channel, or without the message that is named; a dry run's account, which is not kept."""


def reason_against(line: str) -> str:
    return next((reason for pattern, reason in NOT_RUN.items() if re.match(pattern, line)), "")


LONG = re.compile(r"tbot (run|stop|dry-run|backtest|backup|status) ")
"""Blocks with such a line are typed among the slow tests: seconds of work each, which tests of their own do as well."""


def marks_of(lines: list[str]) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if any(map(LONG.search, lines)) else []


BLOCKS = [
    pytest.param(page, typed_lines, marks=marks_of(typed_lines))
    for page, lines in documented_blocks()
    if (typed_lines := [line for line in lines if not reason_against(line)])
]
DOCUMENTED = {line for _, lines in documented_blocks() for line in lines}
EXAMPLES = {line for lines in examples().values() for line in lines}
FURTHER = sorted(line for line in EXAMPLES - DOCUMENTED if not reason_against(line))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return furnished_home(tmp_path_factory.mktemp("docs"))


@pytest.fixture
def check(furnished, tmp_path):
    """Return what types a line in a home of its own and holds it to its exit status."""
    home = tmp_path / "home"
    shutil.copytree(furnished, home, symlinks=True)
    typist = Typist(home)

    def _check(line: str) -> None:
        for words, (instead, _) in RUN_AS.items():
            line = line.replace(words, instead)
        for pattern, preparation in FIRST.items():
            if re.match(pattern, line):
                assert typed(home, preparation).returncode == 0, preparation
        due = next((status for pattern, status in ENDS_WITH.items() if re.match(pattern, line)), 0)
        status, told = typist.type(line)
        assert status == due, f"{line}\n{told}"
        assert "Traceback" not in told

    yield _check
    typist.close()


@pytest.mark.parametrize(("page", "lines"), BLOCKS, ids=lambda part: part if isinstance(part, str) else part[0])
def test_a_documented_block_can_be_typed_as_it_stands(check, page, lines):
    assert page
    for line in lines:
        check(line)


@pytest.mark.parametrize("line", sorted(line for line in DOCUMENTED | EXAMPLES if "tbot " in line))
def test_each_line_names_a_command_and_options_that_exist(line):
    """What is typed among the slow tests only is at least read as the command line reads it, in no time."""
    words = shlex.split(re.split(r" (?:\||>|&&|2>)", line)[0])
    words = words[next(number for number, word in enumerate(words) if word.endswith("tbot")) + 1 :]
    command, context = get_command(app), None
    while below := getattr(command, "commands", {}):
        context = command.make_context(command.name or "tbot", words, parent=context)
        name, *words = [*context._protected_args, *context.args]
        assert name in below, line
        command = below[name]
    with command.make_context(command.name or "", words, parent=context) as read:
        assert not read.args


@pytest.mark.parametrize("line", [pytest.param(line, marks=marks_of([line])) for line in FURTHER])
def test_each_example_of_a_help_text_works(check, line):
    check(line)


def test_every_command_has_an_example_of_itself():
    for words, lines in examples().items():
        assert lines, f"{words} --help shows no example"
        assert all(line.startswith("tbot ") for line in lines), words
        assert any(line.startswith(words) for line in lines), words


@pytest.mark.parametrize("words", sorted(examples()))
def test_help_fits_80_columns(words, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*words.split()[1:], "--help"]) == 0
    help_text = capsys.readouterr().out
    part = help_text if words.startswith(("tbot backtest", "tbot data")) else help_text.partition("Example:")[2]
    assert [line for line in part.splitlines() if len(line) > 80] == []
    if words in {"tbot backtest", "tbot data"}:
        assert "..." not in help_text.partition("Commands:")[2], "a line of what there is was cut off"


def test_what_is_not_run_is_documented_and_has_a_reason():
    shown = DOCUMENTED | EXAMPLES
    for pattern, reason in NOT_RUN.items():
        assert any(re.match(pattern, line) for line in shown), f"{pattern} matches nothing any more"
        assert len(reason.split()) > 3
    for words in RUN_AS:
        assert any(words in line for line in shown), f"{words} is shown nowhere any more"
    for pattern in (*FIRST, *ENDS_WITH):
        assert any(re.match(pattern, line) for line in shown), f"{pattern} matches nothing any more"
