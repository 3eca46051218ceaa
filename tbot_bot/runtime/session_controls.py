"""Requests that reach a session from outside: signals, flags, answers of people."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tbot_bot.core.events import Event
from tbot_bot.core.instants import Instant
from tbot_bot.runtime.shell import stop_event


@dataclass(slots=True)
class Controls:
    """Requests that reached the process from outside; taken between two steps of the market, and while it waits."""

    waiting: list[Callable[[Instant], Event]]
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while something waits."""

    def ask(self, make: Callable[[Instant], Event]) -> None:
        """Hand over a request; `make` gives the event at the market time at which it is taken."""
        self.waiting.append(make)
        self.asked.set()

    def stop(self, *, by: str, why: str, kill: bool = False) -> None:
        """Ask the session to stop safely, or to kill."""
        self.ask(lambda at: stop_event(at, by=by, why=why, kill=kill))

    def take(self) -> list[Callable[[Instant], Event]]:
        """Return what waits, oldest first, and wait for more."""
        waiting, self.waiting = self.waiting, []
        self.asked.clear()
        return waiting
