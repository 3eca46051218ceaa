"""Retries in real time: what is logged, what is journaled, and that the watchdog hears of a lost broker."""

import asyncio
import time

import pytest
import structlog
from structlog.testing import CapturingLogger

from tbot_bot.config.settings import load_settings
from tbot_bot.core.backoff import Idempotent, Patience, retrying
from tbot_bot.core.codec import loads
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import MILLISECOND, SECOND, Duration
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Journal, journal_path
from tbot_bot.runtime.retry import RealWaiting, patience_of, watchers

QUICK = Patience(retries=2, deadline=Duration(50 * MILLISECOND), pause_first=Duration(MILLISECOND))


class Desk:
    def __init__(self, folder):
        self.captured = CapturingLogger()
        self.lost: list[str] = []
        self.journal = Journal.open(journal_path(folder, Mode.PAPER), Mode.PAPER)
        log = structlog.wrap_logger(self.captured, processors=[lambda _logger, _name, event: ((), event)])
        self.watchers = watchers(self.journal, log, broker="sim", lost=self.lost.append)

    async def ask(self, request):
        return await retrying(Idempotent("account of sim", request), QUICK, RealWaiting(), self.watchers)

    def errors(self):
        return [loads(row.payload) for row in self.journal.rows(kind=Kind.ERROR)]


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.journal.close()


async def test_a_silent_server_is_given_up_in_time_and_the_watchdog_is_told(desk):
    async def silence():
        await asyncio.Event().wait()

    before = time.monotonic()
    with pytest.raises(TimeoutError):
        await desk.ask(silence)

    assert 0.15 <= time.monotonic() - before < 5
    (raised,) = desk.errors()
    assert (raised.broker, raised.error_class, raised.code, raised.severity) == (
        "sim", "TimeoutError", "NETWORK_EXHAUSTED", "error",
    )  # fmt: skip
    assert "Traceback" in raised.trace
    assert len(desk.lost) == 1
    assert desk.lost[0].startswith("account of sim: no answer after 3 tries")
    assert [call.kwargs["attempt"] for call in desk.captured.calls] == [1, 2, 3]


async def test_a_refusal_is_journaled_as_it_is_and_nobody_is_lost(desk):
    async def refuse():
        raise BrokerRefused("no such account")

    with pytest.raises(BrokerRefused):
        await desk.ask(refuse)
    (raised,) = desk.errors()
    assert (raised.error_class, raised.code, raised.severity) == ("BrokerRefused", "BROKER", "error")
    assert desk.lost == []


async def test_what_comes_back_in_time_leaves_nothing_but_a_line_in_the_log(desk):
    answers = [BrokerUnavailable("busy"), 7]

    async def once_busy():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await desk.ask(once_busy) == 7
    assert (desk.errors(), desk.lost, len(desk.captured.calls)) == ([], [], 1)


def test_the_owners_patience(tmp_path):
    bot = load_settings(tmp_path, {"API_RETRY_LIMIT": "5", "API_TIMEOUT": "7s"}, defaults_if_absent=True).bot
    assert patience_of(bot) == Patience(retries=5, deadline=Duration(7 * SECOND))
