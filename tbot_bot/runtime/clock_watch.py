"""Notices when the machine's clock jumps: a suspend, a step by NTP, a hand on the clock.

The wall clock is compared with the monotonic one, which nobody can set. On Linux and macOS the monotonic clock
also stands still while the machine is suspended, so a suspend shows as a jump forward by its length. Slewing (a
clock that is led back slowly) moves both clocks on Linux and is no jump. A process that merely got no processor
sees no jump either: both clocks have gone on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tbot_bot.core.instants import MILLISECOND, SECOND, Duration, Instant, iso, later
from tbot_bot.runtime.clock import monotonic_now, wall_now

NOTICED_FROM: Final = Duration(SECOND)
"""The least difference that counts; smaller ones add up until they reach it."""
SUSPENDS_ABOVE: Final = Duration(5 * SECOND)
"""Market time; a jump over more stops entries until bars have been backfilled (spec 4)."""
_TOGETHER: Final = Duration(20 * MILLISECOND)
_TRIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Both clocks at one moment."""

    wall: Instant
    monotonic: Duration
    """From an arbitrary start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump:
    """The wall clock has moved by `by` more than time has passed; negative where it was set back."""

    by: Duration
    noticed_at: Instant
    """The machine's time, after the jump."""

    def __str__(self) -> str:
        """Return amount, direction and the time before and after, for people."""
        way = "forward" if self.by > 0 else "backward"
        before = iso(later(self.noticed_at, -self.by))[:19]
        return (
            f"the machine's clock jumped {way} by {abs(self.by) / SECOND:.1f} s"
            f" (it shows {iso(self.noticed_at)[:19]}Z where {before}Z was due)"
        )


def jumped(before: Reading, now: Reading, noticed_from: Duration = NOTICED_FROM) -> ClockJump | None:
    """Return by how much the wall clock has left the monotonic one between two readings, None below `noticed_from`."""
    by = Duration((now.wall - before.wall) - (now.monotonic - before.monotonic))
    return ClockJump(by=by, noticed_at=now.wall) if abs(by) >= noticed_from else None


def read_both(wall: Callable[[], Instant] = wall_now, monotonic: Callable[[], Duration] = monotonic_now) -> Reading:
    """Read both clocks at what is one moment: read again where the process was interrupted in between."""
    found: list[tuple[int, Reading]] = []
    for _ in range(_TRIES):
        begun, shown, over = monotonic(), wall(), monotonic()
        found.append((over - begun, Reading(wall=shown, monotonic=Duration((begun + over) // 2))))
        if found[-1][0] <= _TOGETHER:
            break
    return min(found, key=lambda one: one[0])[1]


class ClockWatch:
    """Remembers how the clocks stood and tells each jump once."""

    def __init__(self, read: Callable[[], Reading] = read_both) -> None:
        """Take the present reading as the true one."""
        self._read = read
        self._known = read()

    def look(self) -> ClockJump | None:
        """Return the jump since the last one that was told, None where the clocks agree."""
        now = self._read()
        jump = jumped(self._known, now)
        if jump is not None:
            self._known = now
        return jump
