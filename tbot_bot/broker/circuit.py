"""A breaker per endpoint: who does not answer is left alone for a while, and everybody may see so. Pure."""

from dataclasses import dataclass
from typing import Final

FAILURES_MAX: Final = 5
"""Requests in a row without an answer after which nobody asks any more."""
PAUSE_FIRST_SECONDS: Final = 2.0
PAUSE_LONGEST_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitReading:
    """How a circuit is, for people and for the watchdog."""

    endpoint: str
    failures: int
    """In a row."""
    open_seconds: float
    """Until somebody may ask again; 0 while all may."""
    problem: str
    """What the last failure said."""


class Circuit:
    """Opens after failures in a row, then lets one request through after each growing pause."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` names it."""
        self.endpoint = endpoint
        self._failures = 0
        self._until = float("-inf")
        self._problem = ""

    def wait(self, now: float) -> float:
        """Return the seconds for which nobody should ask; 0 lets this one ask, and holds back others meanwhile."""
        if self._failures < FAILURES_MAX:
            return 0.0
        left = self._until - now
        if left > 0:
            return left
        self._until = now + self._pause()  # others wait for what this one finds
        return 0.0

    def succeeded(self) -> None:
        """Close: an answer came, whatever it said."""
        self._failures, self._problem, self._until = 0, "", float("-inf")

    def failed(self, now: float, problem: str) -> None:
        """Note that no answer came."""
        self._failures += 1
        self._problem = problem
        if self._failures >= FAILURES_MAX:
            self._until = now + self._pause()

    def reading(self, now: float) -> CircuitReading:
        """Return how it is at `now`."""
        is_open = self._failures >= FAILURES_MAX
        return CircuitReading(
            endpoint=self.endpoint,
            failures=self._failures,
            open_seconds=max(self._until - now, 0.0) if is_open else 0.0,
            problem=self._problem,
        )

    def _pause(self) -> float:
        doublings = min(self._failures - FAILURES_MAX, 10)
        return min(PAUSE_FIRST_SECONDS * 2.0**doublings, PAUSE_LONGEST_SECONDS)


__all__ = ["FAILURES_MAX", "PAUSE_FIRST_SECONDS", "PAUSE_LONGEST_SECONDS", "Circuit", "CircuitReading"]
