"""Who is to be told at all, and who keeps the one alive that tells."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from tbot_bot.config.settings import load_settings
from tbot_bot.core.identity import Mode
from tbot_bot.journal.store import Journal
from tbot_bot.runtime.alert_keeper import ALERTS_LOCK, AlertKeeper, wanted
from tbot_bot.runtime.alert_process import Company
from tbot_bot.runtime.locks import RUNNER_LOCK, SUPERVISOR_LOCK, Lock, holder
from tests.support.alert_room import AlertRoom, Box
from tests.support.post_office import free_port, mail_settings, write_home


@pytest.mark.parametrize(
    ("env", "bot", "expected"),
    [
        (mail_settings(25), "TEST_MODE=true\n", False),
        (mail_settings(25), "TEST_MODE=true\nALERTS_IN_TEST_MODE=true\n", True),
        ("", "ALERTS_IN_TEST_MODE=true\n", False),
        ("SMTP_HOST=mail.example.test\n", "ALERTS_IN_TEST_MODE=true\n", False),
        ("ALERT_URLS=ping+https://hc.example.test/x\n", "ALERTS_IN_TEST_MODE=true\n", True),
    ],
)
def test_nobody_is_told_in_test_mode_unless_allowed_nor_where_nobody_is_named(
    tmp_path: Path, env: str, bot: str, *, expected: bool
) -> None:
    assert wanted(load_settings(write_home(tmp_path, env, bot))) is expected


def until(condition: Callable[[], bool], keeper: AlertKeeper) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        keeper.look()
        time.sleep(0.05)


def test_a_messenger_that_is_killed_is_started_again_and_one_that_is_not_wanted_any_more_ends(tmp_path: Path) -> None:
    home = write_home(tmp_path, mail_settings(free_port()))
    lock = home / "control" / ALERTS_LOCK
    Journal.open(home / "output" / "journal" / "tbot_paper.sqlite3", Mode.PAPER).close()
    told: list[str] = []
    keeper = AlertKeeper(
        home=home, control=home / "control", output=home / "alerts.out", tell=told.append,
        log=structlog.testing.CapturingLogger(),
    )  # fmt: skip
    with Lock(home / "control" / SUPERVISOR_LOCK):
        keeper.renew(load_settings(home))
        until(lambda: bool(holder(lock)), keeper)
        first = holder(lock)
        assert first
        os.kill(first, signal.SIGKILL)
        until(lambda: holder(lock) not in {None, 0, first}, keeper)
        assert told == ["the process that sends alerts ended with status -9; see alerts.out"]
        (home / ".env_bot").write_text("ALERTS_IN_TEST_MODE=false\n")
        keeper.renew(load_settings(home))
        until(lambda: holder(lock) is None, keeper)
        until(lambda: not keeper.leaving, keeper)


async def test_a_supervisor_that_dies_without_a_word_is_told_of_after_a_while_also_while_a_runner_lives(
    tmp_path: Path,
) -> None:
    room, box, now = AlertRoom(tmp_path), Box(), [0.0]
    messenger = room.messenger(box)
    control = tmp_path / "control"
    company = Company(home=tmp_path, control=control, messenger=messenger, monotonic=lambda: now[0])
    with Lock(control / RUNNER_LOCK):
        with Lock(control / SUPERVISOR_LOCK):
            assert not company.is_over()
        assert not company.is_over()
        now[0] = 21.0
        assert not company.is_over()
        assert not company.is_over()
    messenger.look()
    assert company.is_over()
    titles = [one.message.title for one in messenger.outbox.waiting()]
    assert [title for title in titles if "supervisor" in title] == ["[TradeBot paper] CRITICAL: the supervisor is gone"]
