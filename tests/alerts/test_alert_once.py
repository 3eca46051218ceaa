"""What is told where no bot is there to tell: refused starts, a kill switch without a bot; and a sender that is killed.

Real commands, a real mail server that takes, stalls and forgets.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.alert_room import AlertRoom
from tests.support.canaries import Telltale
from tests.support.post_office import MailServer, body, free_port, mail_settings, write_home
from tests.support.terminal import CLI, REPOSITORY

PATIENCE_SECONDS = 60.0
ALLOWED = "TEST_MODE=true\nALERTS_IN_TEST_MODE=true\n"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as made:
        yield made


def begin(home: Path, *words: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "TBOT_HOME": str(home)}
    return subprocess.Popen([sys.executable, "-c", CLI, *words], env=env, cwd=REPOSITORY,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def tbot(home: Path, *words: str) -> int:
    return begin(home, *words).wait(timeout=PATIENCE_SECONDS)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def furnish(home: Path, env: str, bot: str = ALLOWED) -> Path:
    write_home(home, env, bot)
    (home / "VERSION.md").write_text((REPOSITORY / "VERSION.md").read_text(encoding="utf-8"))
    return home


def test_keys_that_a_broker_does_not_know_are_told_at_once_and_once(tmp_path: Path, server: MailServer) -> None:
    with Telltale(401) as vendor:
        keys = f"ALPACA_PAPER_URL={vendor.url}\nALPACA_PAPER_API_KEY=changeme\nALPACA_PAPER_SECRET_KEY=changeme\n"
        venue = "TEST_MODE_VENUE=broker_paper\nALPACA_ENABLED=true\nIBKR_ENABLED=false\n"
        home = furnish(tmp_path / "home", mail_settings(server.port) + keys, ALLOWED + venue)
        assert [tbot(home, "run", "--once"), tbot(home, "run", "--once")] == [6, 6]
    mail = server.wait_for("the bot did not start: brokers")
    assert "CRITICAL" in str(mail["Subject"])
    assert "ALPACA" in body(mail)
    assert len(server.mails) == 1, server.subjects


def test_a_kill_switch_that_is_pulled_where_no_bot_runs_is_told_at_once(tmp_path: Path, server: MailServer) -> None:
    home = furnish(tmp_path / "home", mail_settings(server.port))
    AlertRoom(home).journal.close()
    assert tbot(home, "kill", "--why", "prices look wrong") == 0
    assert "prices look wrong" in body(server.wait_for("the kill switch is engaged"))
    assert tbot(home, "kill", "--why", "prices still look wrong") == 0
    assert sum("kill switch" in subject for subject in server.subjects) == 1


@pytest.mark.parametrize("bot", ["MAX_TRADES=many\n", ""])
def test_settings_that_cannot_be_used_are_told_of_as_far_as_they_say_to_whom(
    tmp_path: Path, server: MailServer, bot: str
) -> None:
    """A typo in how to trade; and a machine whose owner never allowed alerts in test mode hears nothing."""
    home = furnish(tmp_path / "home", mail_settings(server.port), (ALLOWED if bot else "TEST_MODE=true\n") + bot)
    if not bot:
        (home / "output").write_text("in the way")
    assert tbot(home, "run", "--once") == (2 if bot else 3)
    assert ["did not start: settings" in one for one in server.subjects] == ([True] if bot else [])


@pytest.mark.slow
def test_a_build_check_that_fails_over_the_records_is_told_without_them(tmp_path: Path, server: MailServer) -> None:
    home = furnish(tmp_path / "home", mail_settings(server.port))
    (home / "output").write_text("in the way")
    assert tbot(home, "run", "--once") == 3
    assert "output" in body(server.wait_for("the bot did not start: build check"))


@pytest.mark.parametrize(("taken", "copies"), [(True, 2), (False, 1)])
def test_a_sender_killed_with_a_message_on_the_wire_loses_none_and_repeats_it_once_at_most(
    tmp_path: Path, server: MailServer, *, taken: bool, copies: int
) -> None:
    """The server has the whole message and stalls with its answer; whether it keeps it, no sender can know."""
    home = furnish(tmp_path / "home", mail_settings(server.port))
    room = AlertRoom(home)
    room.ask("one")
    room.journal.close()
    server.takes_first = taken
    server.hang.set()
    sender = begin(home, "alerts", "send")
    until(lambda: server.held == 1)
    sender.send_signal(signal.SIGKILL)
    sender.wait()
    server.hang.clear()
    assert [tbot(home, "alerts", "send"), tbot(home, "alerts", "send")] == [0, 0]
    found = Counter(str(mail["Message-ID"]) for mail in server.mails)
    assert sorted(found.values()) == [1, copies], "the start's message, and the one that was on the wire"
    assert found[str(server.mails[0]["Message-ID"])] == copies


def test_nobody_to_tell_starts_no_process(tmp_path: Path) -> None:
    home = furnish(tmp_path / "home", f"SMTP_HOST=127.0.0.1\nSMTP_PORT={free_port()}\n", f"{ALLOWED}MAX_TRADES=many\n")
    assert tbot(home, "run", "--once") == 2
    assert not (home / "logs" / "bot" / "alerts.out").exists()
