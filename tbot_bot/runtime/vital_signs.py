"""How a runner is, judged from what it says of itself. Pure: beats and clocks come in, a judgement goes out.

Spans are counted only while somebody looks, and no look counts for more than a second: a suspended machine, a
frozen container or a clock that is set makes nobody silent or blind.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from tbot_bot.core.instants import SECOND, Duration, Instant, iso, seconds
from tbot_bot.runtime.heartbeat import SILENCE_MAX, Beat

STARTUP_MAX: Final = seconds(30)
BLIND_MAX: Final = seconds(15)
STALE_MAX: Final = seconds(120)
_LOOK_SECONDS_MAX: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLimits:
    """How patient we are, in real time."""

    silence_max: Duration = SILENCE_MAX
    startup_max: Duration = STARTUP_MAX
    """From the start, or from when the runner before it let go of the lock, to the first beat."""
    blind_max: Duration = BLIND_MAX
    """How long data may be due without moving, and how long it may stay behind by more than `stale_max`."""
    stale_max: Duration = STALE_MAX
    """How late data may be that does move; a compressed clock's lateness counts in real time as well."""
    terminate_seconds: float = 5.0
    """From SIGTERM to SIGKILL for a silent runner."""


class Pulse(Enum):
    """What we make of a runner that has not ended."""

    FINE = "fine"
    SILENT = "silent"
    BLIND = "blind"
    """Its loop turns, but the market data that it needs does not come, or comes much too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What an onlooker has gathered of one runner; spans in seconds of looking on."""

    looked_at: float
    """Monotonic seconds of the last look."""
    last: Beat | None = None
    silent: float = 0.0
    """Since its last new beat; since the start, where there was none."""
    unmoved: float = 0.0
    """In which data was due and none came."""
    behind: float = 0.0
    """In which data came, but too late to be of use."""


def look(signs: Signs, beat: Beat | None, *, now: Instant, monotonic: float, limits: WatchLimits) -> Signs:
    """Return `signs` after one more look: `beat` is the runner's own, None where there is none to read.

    `now` is the machine's time, which the runner's words refer to; `monotonic` are the onlooker's seconds.
    """
    passed = min(max(monotonic - signs.looked_at, 0.0), _LOOK_SECONDS_MAX)
    if beat is None:
        return replace(signs, looked_at=monotonic, silent=signs.silent + passed)
    last = signs.last
    lag = now - beat.data_due if beat.data_due else 0
    moved = last is None or beat.data_until != last.data_until
    return Signs(
        looked_at=monotonic,
        last=beat,
        silent=signs.silent + passed if beat == last else 0.0,
        unmoved=signs.unmoved + passed if lag > 0 and not moved else 0.0,
        behind=signs.behind + passed if lag > limits.stale_max else 0.0,
    )


def judge(signs: Signs, limits: WatchLimits) -> Pulse:
    """Return how the runner is whose signs these are."""
    if signs.silent * SECOND > (limits.startup_max if signs.last is None else limits.silence_max):
        return Pulse.SILENT
    if max(signs.unmoved, signs.behind) * SECOND > limits.blind_max:
        return Pulse.BLIND
    return Pulse.FINE


def complaint(signs: Signs, pulse: Pulse) -> str:
    """Return in words what is wrong with a runner that is SILENT or BLIND."""
    if pulse is Pulse.BLIND and signs.last is not None:
        until = iso(signs.last.data_until) if signs.last.data_until else "none at all"
        return f"was blind for {max(signs.unmoved, signs.behind):.0f} s (market data until: {until})"
    return "was silent since its start" if signs.last is None else f"was silent for {signs.silent:.0f} s"
