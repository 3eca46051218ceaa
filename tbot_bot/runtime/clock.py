"""Market time for running processes. The only module that reads the machine's clock; a test greps for it."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final, Self

from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.instants import SECOND, Duration, Instant, later, seconds

_NAP_SECONDS_MAX: Final = 1.0
"""Longest uninterrupted sleep: the wall clock may be set while we sleep, and then market time has moved too."""


def wall_now() -> Instant:
    """Return the machine's own time: for heartbeats, time stamps and what people read, never for decisions."""
    return Instant(time.time_ns())


def monotonic_seconds() -> float:
    """Return seconds from an arbitrary start that no one can set: for measuring how long something took."""
    return time.monotonic()


def monotonic_now() -> Duration:
    """Return the same in nanoseconds. It stands still while the machine is suspended (Linux, macOS)."""
    return Duration(time.monotonic_ns())


class RealClock:
    """Market time is the machine's time."""

    speed: Final = 1.0

    def now(self) -> Instant:
        """Return the present market time."""
        return wall_now()

    async def sleep_until(self, at: Instant) -> None:
        """Return when market time has reached `at`."""
        await _sleep_until(self, at)

    def real_seconds(self, span: Duration) -> float:
        """Return how many seconds of a real clock `span` takes."""
        return span / SECOND

    def real_at(self, at: Instant) -> Instant:
        """Return the machine's time at market time `at`."""
        return at


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedClock:
    """Market time that runs `speed` times as fast as the wall clock, from one pair of equal instants.

    Two processes with the same anchor agree on the time, and so does a process that was started again. A
    wall clock that is set moves market time along with it, as it does on the real clock.
    """

    anchor_market: Instant
    anchor_real: Instant
    speed: float

    def __post_init__(self) -> None:
        """Refuse a clock that stands still or runs backward."""
        if not 0 < self.speed < float("inf"):
            raise LogicError(f"a clock cannot run {self.speed} times as fast as the real one")

    def now(self) -> Instant:
        """Return the present market time."""
        return later(self.anchor_market, int((wall_now() - self.anchor_real) * self.speed))

    async def sleep_until(self, at: Instant) -> None:
        """Return when market time has reached `at`."""
        await _sleep_until(self, at)

    def real_seconds(self, span: Duration) -> float:
        """Return how many seconds of a real clock `span` takes."""
        return span / SECOND / self.speed

    def real_at(self, at: Instant) -> Instant:
        """Return the machine's time at market time `at`."""
        return later(self.anchor_real, int((at - self.anchor_market) / self.speed))

    def anchor(self) -> str:
        """Return the anchor as `--anchor` takes it: `market:real`, nanoseconds."""
        return f"{self.anchor_market}:{self.anchor_real}"

    @classmethod
    def from_anchor(cls, text: str, speed: float) -> Self:
        """Read what `anchor` writes.

        Raises:
            LogicError: not an anchor; only our own supervisor writes them.
        """
        market, colon, real = text.partition(":")
        if not colon or not market.lstrip("-").isdigit() or not real.isdigit():
            raise LogicError(f"{text!r} is not a clock's anchor; expected market:real in nanoseconds")
        return cls(anchor_market=Instant(int(market)), anchor_real=Instant(int(real)), speed=speed)

    @classmethod
    def starting_at(cls, market: Instant, speed: float) -> Self:
        """Return a clock that shows `market` at this moment."""
        return cls(anchor_market=market, anchor_real=wall_now(), speed=speed)


RunClock = RealClock | CompressedClock


def clock_of(anchor: str, speed: float) -> RunClock:
    """Return the clock that a runner's arguments describe; the real one where `anchor` is empty."""
    return CompressedClock.from_anchor(anchor, speed) if anchor else RealClock()


def market_before(clock: RunClock, at: Instant, real_seconds: float) -> Instant:
    """Return the market time that lies `real_seconds` of the machine's time before `at`."""
    return later(at, -seconds(real_seconds * clock.speed))


async def _sleep_until(clock: RunClock, at: Instant) -> None:
    while (left := Duration(at - clock.now())) > 0:  # noqa: ASYNC110 - time is what is waited for
        await asyncio.sleep(min(clock.real_seconds(left), _NAP_SECONDS_MAX))
    await asyncio.sleep(0)
