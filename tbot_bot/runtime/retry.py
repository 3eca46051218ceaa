"""Real waiting for `core.backoff`, and who hears of it: the log, the journal, the watchdog."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from structlog.typing import FilteringBoundLogger

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_table import classify
from tbot_bot.core.backoff import Patience, Trouble, Watchers
from tbot_bot.core.instants import SECOND, Duration
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.files import JournalWriteFailed
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.noted import ErrorRaised
from tbot_bot.runtime.clock import wall_now

T = TypeVar("T")

_DICE: Final = random.SystemRandom()
"""Only spreads retries in time: nothing that is decided or journaled depends on it."""


class RealWaiting:
    """Waits on the machine's clock."""

    def dice(self) -> float:
        """Return a random number from 0 up to 1."""
        return _DICE.random()

    async def sleep(self, span: Duration) -> None:
        """Return after `span`, or later."""
        await asyncio.sleep(span / SECOND)

    async def within(self, span: Duration, answer: Awaitable[T]) -> T:
        """Return the answer, or cancel the asking and raise TimeoutError after `span`."""
        async with asyncio.timeout(span / SECOND):
            return await answer


def patience_of(bot: BotSettings) -> Patience:
    """Return the owner's patience: `API_RETRY_LIMIT` and `API_TIMEOUT`."""
    return Patience(retries=bot.api_retry_limit, deadline=bot.api_timeout)


def watchers(
    journal: Journal, log: FilteringBoundLogger, *, broker: str = "", session: str = "", lost: Callable[[str], None]
) -> Watchers:
    """Return who hears of failed requests to `broker` (or a data source): `lost` is the watchdog's ear.

    Each failure is logged; one that is not worth a retry, or was retried in vain, is journaled with its traceback.
    """

    def record(trouble: Trouble, *, exhausted: bool) -> None:
        raised = ErrorRaised.of(trouble.error, at=wall_now(), broker=broker, exhausted=exhausted)
        try:
            journal.append([Entry.of(raised, kind=Kind.ERROR, at=raised.at, recorded_at=raised.at, session=session)])
        except JournalWriteFailed as second:
            log.error("error_not_journaled", error=str(second))  # noqa: TRY400 - the first one is the one to show

    def failed(trouble: Trouble) -> None:
        again = trouble.pause / SECOND if trouble.pause else None
        words = str(trouble.error) or type(trouble.error).__name__
        log.warning("request_failed", what=trouble.what, attempt=trouble.attempt, error=words, again_in_seconds=again)
        if not classify(trouble.error).retryable:
            record(trouble, exhausted=False)

    def exhausted(trouble: Trouble) -> None:
        record(trouble, exhausted=True)
        lost(f"{trouble.what}: no answer after {trouble.attempt} tries: {trouble.error}")

    return Watchers(retryable=lambda error: classify(error).retryable, failed=failed, exhausted=exhausted)


__all__ = ["RealWaiting", "patience_of", "watchers"]
