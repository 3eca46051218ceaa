"""How well a broker, or the market's data, can be reached. Pure: answers and times come in, a finding goes out.

Times are seconds on whichever clock the caller watches by; only differences count.

A link is `ok` while it answers in time. It is `degraded` from the first question that got no answer, or while
answers take too long, come from a clock that is not ours, or do not come at all. It is `down` once a question and
all its repetitions (`API_RETRY_LIMIT`) have failed, and lost when it has then been so for `API_TIMEOUT`.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, replace
from typing import Final, Self

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.core.events import LinkState
from tbot_bot.core.instants import SECOND, Duration

WINDOW: Final = 240
"""Latencies that are remembered: twenty minutes of questions, five seconds apart."""
LATENCY_MAX_SECONDS: Final = 2.0
"""95th percentile above which a broker is too slow to open positions with."""
SAMPLES_MIN: Final = 20
"""With fewer latencies a percentile says nothing."""
DRIFT_MAX: Final = Duration(2 * SECOND)
"""Between the broker's clock and ours; the build check asks for the same."""
SILENCE_MAX_SECONDS: Final = 15.0
"""Age of the last answer above which a link is degraded, as of the heartbeat of a runner."""
DATA_LATE_SECONDS: Final = 15.0
"""How late bars may be, in real time, before entries stop."""
DATA_DOWN_SECONDS: Final = 120.0
"""How late they may be before they count as down."""


class Latencies:
    """The last latencies, in seconds; percentiles are values that were really measured (nearest rank)."""

    def __init__(self, window: int = WINDOW) -> None:
        """Remember `window` of them."""
        self._window: Final = window
        self._queue: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        """Take one in; the oldest goes where there are too many."""
        self._queue.append(seconds)
        insort(self._sorted, seconds)
        if len(self._queue) > self._window:
            del self._sorted[bisect_left(self._sorted, self._queue.popleft())]

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._sorted)

    def percentile(self, percent: int) -> float | None:
        """Return the smallest latency that `percent` (1 to 100) of all do not exceed; None where there is none."""
        if not self._sorted:
            return None
        return self._sorted[math.ceil(percent * len(self._sorted) / 100) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """How patient we are."""

    retries: int = 3
    """`API_RETRY_LIMIT`."""
    timeout_seconds: float = 30.0
    """`API_TIMEOUT`."""
    latency_max_seconds: float = LATENCY_MAX_SECONDS
    drift_max: Duration = DRIFT_MAX
    silence_max_seconds: float = SILENCE_MAX_SECONDS

    @classmethod
    def of(cls, bot: BotSettings, speed: float = 1.0) -> Self:
        """Return the owner's patience; `speed` is the clock's, since an answer's way takes so much market time."""
        drift_max = Duration(round(DRIFT_MAX * max(speed, 1.0)))
        return cls(retries=bot.api_retry_limit, timeout_seconds=bot.api_timeout / SECOND, drift_max=drift_max)

    @property
    def pause_seconds(self) -> float:
        """Return the time between two questions: five seconds, less where the patience is shorter."""
        return min(5.0, max(self.timeout_seconds / 6, 0.2))


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSigns:
    """What is known of one link."""

    since: float
    """Time of the last answer; before the first one, when watching began."""
    failures: int = 0
    """Questions without an answer since the last one that had one."""
    failing_since: float = 0.0
    """Time of the first of them."""
    problem: str = ""
    """What the last of them said."""
    latency_p95: float | None = None
    samples: int = 0
    drift: Duration | None = None
    """The broker's clock less ours; None where it has none."""
    circuit: str = ""
    """What of it is left alone for a while, since it failed again and again; empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What we make of a link."""

    state: LinkState
    reason: str = ""
    lost: bool = False
    """It has been down for longer than we wait."""


def answered(signs: LinkSigns, at: float, latencies: Latencies, drift: Duration | None) -> LinkSigns:
    """Return `signs` after an answer; its latency is among `latencies` already."""
    return replace(
        signs,
        since=at,
        failures=0,
        failing_since=0.0,
        problem="",
        latency_p95=latencies.percentile(95),
        samples=len(latencies),
        drift=drift,
    )


def failed(signs: LinkSigns, at: float, problem: str) -> LinkSigns:
    """Return `signs` after a question that got no answer."""
    first = at if signs.failures == 0 else signs.failing_since
    return replace(signs, failures=signs.failures + 1, failing_since=first, problem=problem)


def judge(signs: LinkSigns, limits: LinkLimits, now: float) -> Finding:
    """Return how the link is whose signs these are."""
    if signs.failures > limits.retries:
        failing = now - signs.failing_since
        tries = f"{signs.failures} tries without an answer in {failing:.0f} s, the last: {signs.problem}"
        return Finding(state=LinkState.DOWN, reason=tries, lost=failing > limits.timeout_seconds)
    silent, p95, drift = now - signs.since, signs.latency_p95, signs.drift
    if signs.failures:
        reason = f"no answer: {signs.problem}"
    elif signs.circuit:
        reason = signs.circuit
    elif silent > limits.silence_max_seconds:
        reason = f"its last answer is {silent:.0f} s old"
    elif p95 is not None and signs.samples >= SAMPLES_MIN and p95 > limits.latency_max_seconds:
        reason = f"slow: one answer in twenty takes more than {p95:.1f} s, limit {limits.latency_max_seconds:g} s"
    elif drift is not None and abs(drift) > limits.drift_max:
        reason = f"its clock is {drift / SECOND:+.1f} s off ours, limit {limits.drift_max / SECOND:g} s"
    else:
        return Finding(state=LinkState.OK)
    return Finding(state=LinkState.DEGRADED, reason=reason)


def judge_data(late_seconds: float) -> Finding:
    """Return how the market's data is whose next bars are overdue by `late_seconds` of real time."""
    if late_seconds <= DATA_LATE_SECONDS:
        return Finding(state=LinkState.OK)
    state = LinkState.DOWN if late_seconds > DATA_DOWN_SECONDS else LinkState.DEGRADED
    return Finding(state=state, reason=f"bars are {late_seconds:.0f} s late")
