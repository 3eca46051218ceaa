"""How long to wait before asking again, and how often; many that failed together do not come back together.

Pure but for what it is given: the caller brings sleep and dice (`Waiting`), so that a test needs no time. Only reading
is ever asked again: it changes nothing. A submission is none and is never retried; what became of it is looked up
under its client order id (the exactly-once rule).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from tbot_bot.core.instants import SECOND, Duration

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


class Waiting(Protocol):
    """What waiting needs of the world."""

    def dice(self) -> float:
        """Return a random number from 0 up to 1."""
        ...

    async def sleep(self, span: Duration) -> None:
        """Return after `span`."""
        ...


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


__all__ = ["Patience", "Waiting", "pause_after"]
