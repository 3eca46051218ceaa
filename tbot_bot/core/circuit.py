"""A breaker per endpoint: who does not answer is left alone for a while, and everybody may see so. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.instants import seconds

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


@runtime_checkable
class HasCircuits(Protocol):
    """Whoever leaves an endpoint alone which does not answer."""

    def circuits(self) -> tuple[CircuitReading, ...]:
        """Return how each endpoint is that was ever asked."""
        ...


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


class Circuits:
    """The circuits of one line, by family of requests, each made when its family is first asked."""

    def __init__(self, seconds_now: Callable[[], float]) -> None:
        """`seconds_now` is a clock that nobody can set."""
        self._now = seconds_now
        self._known: dict[str, Circuit] = {}

    def of(self, family: str) -> Circuit:
        """Return the circuit of `family`."""
        return self._known.setdefault(family, Circuit(family))

    def admit(self, family: str, *, insist: bool = False) -> None:
        """Return where `family` may be asked; `insist`: also while its circuit is open.

        Raises:
            BrokerUnavailable: it is left alone for a while; nothing was asked.
        """
        wait = self.of(family).wait(self._now())
        if wait and not insist:
            found = self.of(family).reading(self._now())
            told = f"{family}: not asked for {wait:.0f} s after {found.failures} failures: {found.problem}"
            raise BrokerUnavailable(told, retry_after=seconds(wait))

    def answered(self, family: str) -> None:
        """Note an answer, whatever it said."""
        self.of(family).succeeded()

    def failed(self, family: str, problem: str) -> None:
        """Note that no answer came."""
        self.of(family).failed(self._now(), problem)

    def readings(self) -> tuple[CircuitReading, ...]:
        """Return how each is."""
        return tuple(one.reading(self._now()) for one in self._known.values())


__all__ = [
    "FAILURES_MAX", "PAUSE_FIRST_SECONDS", "PAUSE_LONGEST_SECONDS", "Circuit", "CircuitReading", "Circuits",
    "HasCircuits",
]  # fmt: skip
