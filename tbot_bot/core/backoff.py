"""Asking again, later: how long to wait, how often, until when, and what happens when it was all in vain.

Pure but for what it is given: the caller brings clock, sleep and dice (`Waiting`), so that a test needs no time.
Only what is wrapped in `Idempotent` can be asked again: reading twice changes nothing. A submission is none and
is never retried here; what became of it is looked up under its client order id (the exactly-once rule).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from tbot_bot.core.instants import SECOND, Duration

T = TypeVar("T")

_DOUBLINGS_MAX: Final = 62
_PAUSE_FIRST: Final = Duration(SECOND // 2)
_PAUSE_LONGEST: Final = Duration(30 * SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long."""

    retries: int
    """`API_RETRY_LIMIT`: how often a failed request is repeated; 0 asks once."""
    deadline: Duration
    """`API_TIMEOUT`: for one attempt."""
    pause_first: Duration = _PAUSE_FIRST
    pause_longest: Duration = _PAUSE_LONGEST

    def __post_init__(self) -> None:
        """Refuse what would never end or never begin."""
        if self.retries < 0 or self.deadline <= 0 or not 0 < self.pause_first <= self.pause_longest:
            msg = f"no patience: {self.retries} retries, {self.deadline} ns, pauses from {self.pause_first} ns"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Idempotent(Generic[T]):
    """A request that may be made again whatever became of it before: whoever wraps one vouches for that."""

    what: str
    """In words, for logs: `positions of alpaca`."""
    ask: Callable[[], Awaitable[T]]


class Waiting(Protocol):
    """What waiting needs of the world."""

    def dice(self) -> float:
        """Return a random number from 0 up to 1."""
        ...

    async def sleep(self, span: Duration) -> None:
        """Return after `span`."""
        ...

    async def within(self, span: Duration, answer: Awaitable[T]) -> T:
        """Return the answer, or cancel the asking and raise TimeoutError after `span`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One attempt that failed."""

    what: str
    attempt: int
    """From 1."""
    error: Exception
    pause: Duration
    """Until the next attempt; 0 where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchers:
    """Who hears of it. `exhausted` is told once, after the last attempt: of a broker, the watchdog."""

    retryable: Callable[[Exception], bool]
    failed: Callable[[Trouble], None]
    exhausted: Callable[[Trouble], None]


def pause_after(patience: Patience, attempt: int, dice: Callable[[], float]) -> Duration:
    """Return the pause after failed `attempt` (from 1): half of a doubling span, and up to as much again by lot.

    Never none at all, never more than `pause_longest`; many that failed together do not come back together.
    """
    if attempt < 1:
        msg = f"attempts count from 1, not {attempt}"
        raise ValueError(msg)
    span = min(patience.pause_first << min(attempt - 1, _DOUBLINGS_MAX), patience.pause_longest)
    half = span // 2
    return Duration(max(1, half + min(int(dice() * (span - half + 1)), span - half)))


async def retrying(request: Idempotent[T], patience: Patience, waiting: Waiting, watchers: Watchers) -> T:
    """Return the answer to `request`, asked up to `1 + patience.retries` times.

    A server's `Retry-After` (the error's `retry_after`) is waited for where it is longer than our own pause. Where it
    is longer than the longest pause and than the deadline, nobody waits for it: the request has failed.

    Raises:
        Exception: what the last attempt raised, after `watchers.exhausted` was told; at once what is not worth
            a retry, of which only `watchers.failed` is told.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return await waiting.within(patience.deadline, request.ask())
        except Exception as error:
            worth_it = watchers.retryable(error)
            pause = pause_after(patience, attempt, waiting.dice)
            asked = getattr(error, "retry_after", None)
            pause = Duration(max(pause, asked)) if isinstance(asked, int) else pause
            last = attempt > patience.retries or pause > max(patience.deadline, patience.pause_longest)
            again = worth_it and not last
            trouble = Trouble(what=request.what, attempt=attempt, error=error, pause=pause if again else Duration(0))
            watchers.failed(trouble)
            if not again:
                if worth_it:
                    watchers.exhausted(trouble)
                raise
        await waiting.sleep(pause)


__all__ = ["Idempotent", "Patience", "Trouble", "Waiting", "Watchers", "pause_after", "retrying"]
