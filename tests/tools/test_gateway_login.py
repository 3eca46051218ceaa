"""tools/gateway_login.py as its user runs it: IBC's file from the settings, for nobody else's eyes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.gateway_login import escaped

REPOSITORY = Path(__file__).resolve().parents[2]
LOGIN = {"IBKR_PAPER_USERNAME": "someone", "IBKR_PAPER_PASSWORD": "changeme"}


def run(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    (home / ".env").write_text("".join(f"{name}={value}\n" for name, value in env.items()), encoding="utf-8")
    (home / ".env_bot").write_bytes((REPOSITORY / ".env_bot.template-test").read_bytes())
    for file in (home / ".env", home / ".env_bot"):
        file.chmod(0o600)
    around = {"PATH": os.environ["PATH"], "TBOT_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(REPOSITORY / "tools" / "gateway_login.py"), *words]
    return subprocess.run(command, env=around, cwd=home, capture_output=True, text=True, check=False, timeout=60)


def properties(text: str) -> dict[str, str]:
    """Read a properties file as Java does, as far as such a file goes."""
    rows = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: unescaped(value) for name, _, value in rows}


def unescaped(value: str) -> str:
    units, place = "", 0
    text = value.lstrip(" ")
    while place < len(text):
        if text[place] != "\\":
            units, place = units + text[place], place + 1
        elif text[place + 1] == "u":
            units, place = units + chr(int(text[place + 2 : place + 6], 16)), place + 6
        else:
            units, place = units + text[place + 1], place + 2
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be")


def test_the_file_is_for_its_owner_alone_and_says_what_ibc_needs(tmp_path):
    done = run(tmp_path / "home", "config.ini", **LOGIN)
    assert done.returncode == 0, done.stderr
    written = tmp_path / "home" / "config.ini"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert "changeme" not in done.stdout + done.stderr
    told = properties(written.read_text(encoding="ascii"))
    assert told["IbLoginId"] == "someone"
    assert told["IbPassword"] == "changeme"
    assert (told["TradingMode"], told["OverrideTwsApiPort"], told["ReadOnlyApi"]) == ("paper", "4002", "no")


def test_a_login_that_is_not_set_is_named_and_nothing_is_written(tmp_path):
    done = run(tmp_path / "home", "config.ini", "--live", **LOGIN)
    assert done.returncode == 2
    assert "IBKR_LIVE_USERNAME" in done.stderr
    assert "IBKR_LIVE_PASSWORD" in done.stderr
    assert not (tmp_path / "home" / "config.ini").exists()


@pytest.mark.parametrize("words", [(), ("a", "b"), ("--paper",)])
def test_other_words_are_refused(tmp_path, words):
    assert run(tmp_path / "home", *words, **LOGIN).returncode == 2


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
def test_any_password_survives_java(password):
    told = escaped(password)
    assert told.isascii()
    assert unescaped(told) == password
