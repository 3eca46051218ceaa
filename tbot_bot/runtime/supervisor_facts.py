"""What a supervisor knows of its own work, for whoever looks at it from another thread.

The supervisor's loop writes, by putting a new value in the place of the old one; a reader takes the value that
stands there and needs no lock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.runtime.clock import RunClock, wall_now
from tbot_bot.runtime.schedule import DayPlan, PlannedSession


class Outcome(StrEnum):
    """What became of a session of the day in hand."""

    DONE = "done"
    SKIPPED = "skipped"
    """As planned, or because its strategy objects to itself."""
    MISSED = "missed"
    """It was due, and it was too late to begin."""
    FAILED = "failed"
    """Its runner ended without ending it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorFacts:
    """One moment of a supervisor. Times are the machine's, except where said."""

    started_at: Instant
    loop_at: Instant
    """When the loop came round last."""
    watchdog_at: Instant | None = None
    """When systemd's watchdog was fed last; None where nobody wants it fed."""
    plan: DayPlan | None = None
    clock: RunClock | None = None
    """The market's, of the day in hand."""
    in_session: StrategyName | None = None
    outcomes: Mapping[StrategyName, Outcome] = field(default_factory=lambda: MappingProxyType({}))
    runner_restarts: int = 0
    rotated_at: Instant | None = None
    """When the logs were last rotated without a failure."""

    def count(self, outcome: Outcome) -> int:
        """Return how many sessions of the day had this outcome."""
        return sum(1 for found in self.outcomes.values() if found is outcome)

    @property
    def next_session(self) -> PlannedSession | None:
        """Return the session that is waited for; None where the day has no further one."""
        due = () if self.plan is None else self.plan.due
        waiting = (one for one in due if one.strategy not in self.outcomes and one.strategy is not self.in_session)
        return next(waiting, None)

    @property
    def market_open(self) -> bool:
        """Return whether the market of the day in hand is open, by its own clock."""
        if self.plan is None or self.clock is None or not self.plan.sessions:
            return False
        windows = self.plan.sessions[0].windows
        return windows.bell <= self.clock.now() < windows.market_close


class FactBook:
    """The writing side; all methods belong to the supervisor's loop."""

    def __init__(self) -> None:
        """Begin with a supervisor that has just started."""
        now: Final = wall_now()
        self.facts = SupervisorFacts(started_at=now, loop_at=now)

    def loop_turned(self) -> None:
        """Take note that the loop came round once more."""
        self.facts = replace(self.facts, loop_at=wall_now())

    def watchdog_fed(self) -> None:
        """Take note that systemd's watchdog was fed."""
        self.facts = replace(self.facts, watchdog_at=wall_now())

    def day_begins(self, plan: DayPlan, clock: RunClock) -> None:
        """Take note of the day in hand."""
        self.facts = replace(self.facts, plan=plan, clock=clock, in_session=None, outcomes=MappingProxyType({}))

    def clock_set(self, clock: RunClock) -> None:
        """Take note of the market's clock, which a rehearsal sets anew for each session."""
        self.facts = replace(self.facts, clock=clock)

    def session_begins(self, strategy: StrategyName) -> None:
        """Take note that a session's runner is about to be started."""
        self.facts = replace(self.facts, in_session=strategy)

    def session_over(self, strategy: StrategyName, outcome: Outcome) -> None:
        """Take note of what became of a session."""
        outcomes = MappingProxyType({**self.facts.outcomes, strategy: outcome})
        self.facts = replace(self.facts, in_session=None, outcomes=outcomes)

    def runner_restarted(self) -> None:
        """Take note that a runner had to be started again."""
        self.facts = replace(self.facts, runner_restarts=self.facts.runner_restarts + 1)

    def logs_rotated(self) -> None:
        """Take note that the logs are in order."""
        self.facts = replace(self.facts, rotated_at=wall_now())
