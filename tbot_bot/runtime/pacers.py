"""How fast a session is told its market: as its clock goes, or as fast as it can be told."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from tbot_bot.core.instants import SECOND, Duration, Instant
from tbot_bot.core.protocols import Clock
from tbot_bot.runtime.clock_watch import SUSPENDS_ABOVE, ClockJump, ClockWatch

_COMPARE_SECONDS: Final = 0.5
"""Longest uninterrupted sleep: the wall clock may be set while we sleep, and then market time has moved too."""


class Pacer(Protocol):
    """Decides when the market's next step may be told."""

    def now(self) -> Instant | None:
        """Return the market time, None where it is as late as one likes (a dry run at full speed)."""
        ...

    async def wait_until(self, at: Instant) -> None:
        """Return when the market may be told up to `at`, or as soon as the clock has jumped."""
        ...

    def interruption(self) -> str:
        """Return the jump of the clock that may have left a hole in what was told, once; empty where there was none."""
        ...

    def real_seconds(self, span: Duration) -> float | None:
        """Return how many seconds of a real clock `span` takes; None where nothing takes any time."""
        ...


class FullSpeed:
    """No waiting: a dry run as fast as it goes."""

    def now(self) -> Instant | None:
        """Return None: the market's time is the data's."""
        return None

    async def wait_until(self, _: Instant) -> None:
        """Let other tasks have a turn."""
        await asyncio.sleep(0)

    def interruption(self) -> str:
        """Return nothing: there is no clock."""
        return ""

    def real_seconds(self, _: Duration) -> None:
        """Return None: nothing takes any time."""
        return


class ClockPacer:
    """Market time as a clock tells it: real, or compressed in test mode."""

    def __init__(
        self, clock: Clock, watch: ClockWatch | None = None, noticed: Callable[[ClockJump], None] = lambda _: None
    ) -> None:
        """Follow `clock`; `noticed` hears of each jump of the machine's clock that `watch` sees."""
        self._clock, self._watch, self._noticed = clock, watch or ClockWatch(), noticed
        self._interruption = ""

    def now(self) -> Instant | None:
        """Return the clock's market time."""
        return self._clock.now()

    async def wait_until(self, at: Instant) -> None:
        """Return when the clock has reached `at`, or has jumped; both clocks are compared at least every second."""
        while (left := Duration(at - self._clock.now())) > 0 and not self._has_jumped():  # noqa: ASYNC110 - time
            await asyncio.sleep(min(self._clock.real_seconds(left), _COMPARE_SECONDS))
        await asyncio.sleep(0)

    def interruption(self) -> str:
        """Return the last jump that was more than a few seconds of market time, once."""
        self._has_jumped()
        found, self._interruption = self._interruption, ""
        return found

    def real_seconds(self, span: Duration) -> float:
        """Return how many seconds of a real clock `span` takes."""
        return self._clock.real_seconds(span)

    def _has_jumped(self) -> bool:
        jump = self._watch.look()
        if jump is None:
            return False
        self._noticed(jump)
        if abs(jump.by) > self._clock.real_seconds(SUSPENDS_ABOVE) * SECOND:
            self._interruption = str(jump)
        return True


__all__ = ["ClockPacer", "FullSpeed", "Pacer"]
