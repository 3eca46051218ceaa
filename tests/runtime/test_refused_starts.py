"""Starts against brokers that refuse us or are not there: the exit status, and words that say where, what and how."""

import re
import socket
import subprocess
import sys

import pytest

from tbot_bot.runtime.cli_output import CREDENTIALS, DONE
from tests.support.sandbox import SandboxThread, until
from tests.support.terminal import CLI, REPOSITORY

WRONG = "PKWRONG0WRONG0WRONG0"


@pytest.fixture(scope="module")
def sandbox():
    made = SandboxThread("alpaca", "tws")
    until(lambda: made.sandbox.ports["tws"], "the gateway's port")
    yield made
    made.close()


def nobody_listens():
    """Return a port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def home_of(path, **values):
    """Write settings that trade at brokers' paper accounts; `values` stand in for single lines."""
    for name in (".env.example", ".env_bot.template-test"):
        lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
        names = [line.partition("=")[0] for line in lines]
        found = [f"{one}={values[one]}" if one in values else line for one, line in zip(names, lines, strict=True)]
        target = path / name.removesuffix(".example").removesuffix(".template-test")
        target.write_text("\n".join(found) + "\n", encoding="utf-8")
        target.chmod(0o600)
    (path / "VERSION.md").write_text((REPOSITORY / "VERSION.md").read_text())
    return path


def tbot(home, *words, seconds=60):
    return subprocess.run(
        [sys.executable, "-c", CLI, *words], cwd=home, env={"PATH": "/usr/bin:/bin", "TBOT_HOME": str(home),
        "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip


def knock(home):
    """Return exit status and words of what stands before every start at brokers."""
    code = (
        "import sys; from pathlib import Path; from tbot_bot.config.settings import load_settings;"
        "from tbot_bot.runtime.authentication import authenticate;"
        "status, words = authenticate(Path(sys.argv[1]), load_settings(Path(sys.argv[1]))); print(words);"
        "sys.exit(status)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(home)], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


def alpaca(sandbox, key=WRONG):
    return {
        "TEST_MODE_VENUE": "broker_paper",
        "ALPACA_PAPER_URL": sandbox.url("alpaca"),
        "ALPACA_DATA_URL": sandbox.url("alpaca"),
        "ALPACA_STREAM_URL": sandbox.url("alpaca", "ws") + "/stream",
        "ALPACA_PAPER_API_KEY": key,
        "ALPACA_PAPER_SECRET_KEY": key,
    }


def ibkr(port, account):
    return {
        "TEST_MODE_VENUE": "broker_paper", "ALPACA_ENABLED": "false", "IBKR_ENABLED": "true",
        "IBKR_PAPER_PORT": str(port), "IBKR_PAPER_ACCOUNT_NUMBER": account, "API_TIMEOUT": "5",
    }  # fmt: skip


def test_a_run_with_keys_that_alpaca_refuses_ends_with_6_and_says_which_lines_to_look_at(tmp_path, sandbox):
    done = tbot(home_of(tmp_path, **alpaca(sandbox)), "run", "--once")
    words = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == CREDENTIALS, words
    assert re.search(r"Alpaca refuses the keys: GET /v2/account: HTTP 401.*ALPACA_\*_SECRET_KEY.* in \.env", words), (
        words
    )
    assert WRONG not in words
    assert not (tmp_path / "output" / "journal").exists(), "nothing was begun"


def test_a_gateway_that_is_not_there_stops_no_start_and_says_where_what_and_how(tmp_path):
    port = nobody_listens()
    done = knock(home_of(tmp_path, **ibkr(port, "DU1234567")))
    assert done.returncode == DONE, done.stdout + done.stderr
    assert f"IB Gateway at 127.0.0.1:{port}" in done.stdout
    assert f"Is it running and logged in, is its API port {port}, is client id" in done.stdout
    assert "opens nothing there meanwhile" in done.stdout


def test_a_gateway_that_is_logged_in_to_another_account_ends_with_6(tmp_path, sandbox):
    done = knock(home_of(tmp_path, **ibkr(sandbox.sandbox.ports["tws"], "DU7654321")))
    assert done.returncode == CREDENTIALS, done.stdout + done.stderr
    assert "not to the account of the settings" in done.stdout
    assert "IBKR_PAPER_ACCOUNT_NUMBER" in done.stdout
    assert "DU7654321" not in done.stdout


def test_an_address_of_alpaca_at_which_nobody_listens_stops_no_start(tmp_path, sandbox):
    settings = alpaca(sandbox) | {"ALPACA_PAPER_URL": f"http://127.0.0.1:{nobody_listens()}"}
    done = knock(home_of(tmp_path, **settings))
    assert done.returncode == DONE, done.stdout + done.stderr
    assert "alpaca cannot be reached" in done.stdout
    assert "opens nothing there meanwhile" in done.stdout
