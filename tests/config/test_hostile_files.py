"""Whatever stands in a settings file's place: one clear line at once, nothing started."""

import os
import re
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tbot_bot.config.assignments import Source
from tbot_bot.config.env import EnvSettings
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.envfile import parse
from tbot_bot.config.error_handler import ConfigError
from tbot_bot.config.model import variables
from tbot_bot.config.settings import load_settings
from tests.support.mutations import MARKER, TEMPLATES

FILES = tuple(TEMPLATES)
NAMES = [variable.name for model in (EnvSettings, BotSettings) for variable in variables(model)]
SECRET_NAMES = [variable.name for variable in variables(EnvSettings) if variable.kind.secret]


@pytest.fixture
def home(tmp_path):
    for name, text in TEMPLATES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def said(home) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(home)
    return str(caught.value)


def the_only_line(home) -> str:
    (line,) = said(home).splitlines()
    return line


# --- in the place of a file


@pytest.mark.parametrize("name", FILES)
def test_a_folder_is_no_settings_file(home, name):
    (home / name).unlink()
    (home / name).mkdir()

    assert the_only_line(home) == f"{name}: expected a file, not a directory; move the directory away"


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_is_refused_without_waiting_for_a_writer(home, name):
    (home / name).unlink()
    os.mkfifo(home / name)

    assert the_only_line(home).startswith(f"{name}: expected an ordinary file, not a device, pipe or socket; move")


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_that_takes_a_files_place_while_it_is_looked_at_does_not_hang(home, name, monkeypatch):
    ordinary = (home / name).stat()
    (home / name).unlink()
    os.mkfifo(home / name)
    path = type(home)
    true_stat = path.stat
    monkeypatch.setattr(path, "stat", lambda self, **how: ordinary if self.name == name else true_stat(self, **how))

    assert "not a device, pipe or socket" in said(home)


@pytest.mark.parametrize("name", FILES)
def test_links_in_a_circle_are_refused(home, name):
    (home / name).unlink()
    (home / name).symlink_to(home / "other")
    (home / "other").symlink_to(home / name)

    assert "not symbolic links in a circle" in the_only_line(home)


@pytest.mark.parametrize("name", FILES)
def test_a_link_to_a_file_elsewhere_is_a_file(home, name):
    (home / name).rename(home / "elsewhere")
    (home / name).symlink_to("elsewhere")

    load_settings(home)


@pytest.mark.parametrize("size", [10_000_000, 1 << 40])
@pytest.mark.parametrize("name", FILES)
def test_a_large_file_is_refused_without_being_read(home, name, size):
    os.truncate(home / name, size)  # sparse: a terabyte could not be read here

    assert the_only_line(home) == f"{name}: expected at most 1000000 bytes; is this the right file?"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_may_not_be_read_is_refused(home, name):
    (home / name).chmod(0)

    assert f"chmod u+r {name}" in the_only_line(home)


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from tbot_bot.config.envfile import read_file
os.fchdir(int(sys.argv[1]))
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(read_file(Path(".env_bot"), ".env_bot").problems[0])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody; the test above is made instead")
def test_a_file_that_may_not_be_read_by_another_user_is_refused(home):
    (home / ".env_bot").chmod(0o600)
    home.chmod(0o755)
    folder = os.open(home, os.O_RDONLY)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(folder)],
            pass_fds=(folder,),
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.close(folder)

    assert ended.stdout.startswith(".env_bot: expected a file this user may read; chmod u+r .env_bot")


def test_an_empty_file_of_how_to_trade_is_what_a_full_disk_leaves(home):
    for blank in (b"", b"\n", b"  \n\n"):
        (home / ".env_bot").write_bytes(blank)
        assert the_only_line(home).startswith(".env_bot: expected settings; there is nothing in it; restore it from")
    (home / ".env_bot").write_text("# all defaults\n")
    (home / ".env").write_bytes(b"")

    assert load_settings(home).bot.test_mode


# --- another file's content

FOREIGN = {
    "program": "import os\n\n" + "def f(x):\n    return x\n" * 30,
    "json": '{\n  "a": {\n' + '    "b": 1,\n' * 40 + "}}\n",
    "ini": "[mysqld]\n" + "".join(f"option-{number} = {number}\n" for number in range(30)),
    "another .env": "".join(f"SERVICE_{number}_URL=x\n" for number in range(30)),
    "key": "-----BEGIN PRIVATE KEY-----\n" + f"MIIEvQIBADANBg{MARKER}kqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ\n" * 25,
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", FOREIGN)
def test_another_programs_file_is_one_line_not_one_for_each_of_its_own(home, name, content):
    (home / name).write_text(FOREIGN[content])
    line = the_only_line(home)

    assert re.match(rf"{re.escape(name)}:[12]: expected settings; none of [0-9]+ lines sets a variable of this", line)
    assert MARKER not in line


def test_a_few_strange_lines_are_told_one_by_one(home):
    (home / ".env").write_text("PATH=/bin\nEDITOR=vi\n")

    assert [line.partition(": expected")[0] for line in said(home).splitlines()] == [".env:1: PATH", ".env:2: EDITOR"]


def test_files_that_were_swapped_are_two_lines(home):
    for name, other in (FILES, FILES[::-1]):
        (home / name).write_text(TEMPLATES[other])
    first, second = said(home).splitlines()

    assert re.match(r"\.env:[0-9]+: expected the variables of \.env; all [0-9]+ here belong in \.env_bot; were", first)
    assert re.match(r"\.env_bot:[0-9]+: expected the variables of \.env_bot; all [0-9]+ here belong in \.env;", second)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)])
def test_a_version_file_that_cannot_be_read_stops_the_start_without_hanging(home, make):
    make(home / "VERSION.md")

    assert the_only_line(home).partition("expected ")[2].startswith("VERSION.md to be a")


def test_where_the_files_name_was_chosen_is_told_when_it_cannot_be_read(home):
    lines = TEMPLATES[".env"].replace("ENV_BOT_PATH=.env_bot ", "ENV_BOT_PATH=how_to_trade ")
    (home / ".env").write_text(lines)
    number = lines[: lines.index("ENV_BOT_PATH")].count("\n") + 1

    assert the_only_line(home).endswith(f"; see .env:{number} (ENV_BOT_PATH)")
    assert the_only_line(home).startswith("how_to_trade: expected this file to exist")


# --- lines that have lost their ends


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "USERNAME=meSMTP_PASS=k\n",
            ".env:1: USERNAME: expected one variable a line; SMTP_PASS stands in this one too",
        ),
        ("SMTP_PASS=k USERNAME=me\n", ".env:1: SMTP_PASS: expected one variable a line; USERNAME stands in this one"),
        ("SMTP_PASS=kLOCAL=true\n", ".env:1: SMTP_PASS: expected one variable a line; LOCAL stands in this one too"),
        ("# who.USERNAME=me\n", ".env:1: USERNAME: expected a line of its own, not the end of a comment"),
        ("SMTP_PORT=25  # usualSMTP_USER=me\n", ".env:1: SMTP_USER: expected a line of its own, not the end of a"),
        ("# keyENV_BOT_KEY=\n", ".env:1: ENV_BOT_KEY: expected a line of its own, not the end of a comment"),
    ],
)
def test_a_variable_that_ran_into_the_line_before_is_not_silently_at_its_default(home, text, line):
    (home / ".env").write_text(text)

    assert the_only_line(home).startswith(line)


@pytest.mark.parametrize(
    "text",
    [
        "# USERNAME=me\n#USERNAME=me\n# (USERNAME=me)\n# old: USERNAME=me, or 'USERNAME=you'\n",
        "# who.USERNAME=me\nUSERNAME=me\n",
        "# MY_USERNAME=me\n",
        "SMTP_PASS=abcLOCAL=\n",
        "USERNAME=me  # not USERNAME=you\n",
    ],
)
def test_a_comment_may_mention_an_assignment(home, text):
    (home / ".env").write_text(text)

    load_settings(home)


# --- secrets


@pytest.mark.parametrize(
    "text",
    [
        f"ENCRYPTION_KEY=\n{MARKER}{'Ab' * 18}=\n",
        f"SMTP_PORT=25SMTP_PASS={MARKER}\n",
        f"FINNHUB_URL=https://finnhub.example/api?token={MARKER}\n",
        f"FINNHUB_API_KEY={MARKER} {MARKER}\n",
        f"FINNHUB_API_KEY=\u041a{MARKER}\n",
        f"SMTP_PASSWORD={MARKER}\n",
    ],
)
def test_a_secret_that_went_astray_is_not_shown(home, text):
    (home / ".env").write_text(text)

    assert MARKER not in said(home)


def test_the_key_under_both_names_in_the_environment_is_a_problem(home, monkeypatch):
    key = MARKER + "A" * 36 + "="
    monkeypatch.setenv("ENV_BOT_KEY", key)
    assert load_settings(home).env.encryption_key.get_secret_value() == key

    monkeypatch.setenv("ENCRYPTION_KEY", key)
    assert the_only_line(home).startswith("environment: ENV_BOT_KEY='********': expected only one of ENCRYPTION_KEY")


# --- anything at all

WORDS = [
    "=",
    " ",
    "'",
    '"',
    "#",
    "\\",
    "\n",
    "\n",
    "\t",
    "\r",
    "\x00",
    ".",
    ",",
    "1",
    "true",
    "\u00a0",
    "\u0410",
    "x" * 130,
]
TEXTS = st.lists(
    st.sampled_from([*WORDS, *NAMES, *(f"\n{name}=" for name in NAMES)]) | st.text(max_size=3), max_size=40
)


def problems_of(home):
    try:
        load_settings(home)
    except ConfigError as error:
        return error.problems
    return ()


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(name=st.sampled_from(FILES), data=st.binary(max_size=200) | TEXTS.map(lambda words: "".join(words).encode()))
def test_any_file_is_settings_or_problems_with_their_file_and_line(home, name, data):
    (home / name).write_bytes(data)
    for other in set(FILES) - {name}:
        (home / other).write_text(TEMPLATES[other])
    lines, given_names = data.count(b"\n") + 1, {entry.name for entry in parse(data, name).entries}
    for problem in problems_of(home):
        assert len(str(problem).splitlines()) == 1
        assert problem.expected
        assert problem.mend
        assert problem.file == name or (name == ".env" and not problem.line) or "see " in problem.mend, problem
        assert problem.line <= lines or problem.file != name
        if problem.variable in given_names:
            assert problem.line, "a variable that stands in the file is found at its line"


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    before=st.lists(st.sampled_from(WORDS)),
    name=st.sampled_from(SECRET_NAMES),
    after=st.lists(st.sampled_from([*WORDS, *SECRET_NAMES, MARKER])),
)
def test_no_secret_is_told_whatever_stands_around_it(home, before, name, after):
    line = "".join(word for word in before if word != "\n") + f"{name}={MARKER}" + "".join(after)
    (home / ".env").write_bytes(line.encode())

    assert MARKER not in "".join(map(str, problems_of(home)))


@given(st.binary(max_size=200) | TEXTS.map(lambda words: "".join(words).encode()))
def test_a_source_has_no_variable_that_its_file_does_not_assign(data):
    source = Source(".env_bot", ".env_bot", parse(data, ".env_bot"), [])

    assert all(f"{entry.name}".encode() in data for entry in source.entries.values())
