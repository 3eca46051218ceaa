"""The outbox of alerts, as rows of the journal: what is to be sent where, what was tried, what came of it.

A message is queued once, under an id made of the row that caused it; each attempt leaves a row, and only after a
channel has taken a message does it count as done. So whoever is killed in between sends that one again, under the same
id, and loses none.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from tbot_bot.core.codec import CodecError, loads, record
from tbot_bot.core.instants import Instant

NEVER: Final = Instant(0)


class Outcome(StrEnum):
    """What became of a message at one channel."""

    DONE = "done"
    FAILED = "failed"
    """It is tried again at `due_at`."""
    DEAD = "dead"
    """It is not tried again, unless a person says so."""
    AGAIN = "again"
    """A person wants it tried again."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAsked:
    """Somebody wants a person told: jobs beside the sessions leave it as a `note`, and go on."""

    at: Instant
    """Real time."""
    topic: str
    """Of `notifier_bot.Topic`: `backup`, `canary`, `reconciliation`, ..."""
    severity: str
    """`info`, `warning` or `critical`."""
    title: str
    text: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class AlertQueued:
    """A message that is due at `channels`."""

    at: Instant
    """Real time."""
    id: str
    """The same in each attempt: receivers can tell a second copy by it."""
    topic: str
    severity: str
    title: str
    text: str
    keys: tuple[str, ...]
    """What it tells of, so that the same is not told again."""
    until: int
    """Rows up to this one have been looked at; the next sender begins behind it."""
    channels: tuple[str, ...]
    day: str = ""
    """`2025-09-02` where it is that day's summary, made when it is sent."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTried:
    """One attempt, or a person's word, on one message at one channel."""

    at: Instant
    """Real time."""
    id: str
    channel: str
    attempt: int
    """From 1."""
    outcome: Outcome
    detail: str
    due_at: Instant = NEVER
    """When it is tried again, where it failed."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class DayOver:
    """The last session of a day has ended: its summary can be told."""

    at: Instant
    """Real time."""
    day: str
    """`2025-09-02`."""

    @classmethod
    def of(cls, payload: str) -> Self | None:
        """Return the record in a row's payload, None where it is another one."""
        if not payload.startswith(f'{{"_":"{cls.__name__}"'):
            return None
        try:
            found = loads(payload)
        except CodecError:  # of a newer version
            return None
        return found if isinstance(found, cls) else None


__all__ = ["NEVER", "AlertAsked", "AlertQueued", "AlertTried", "DayOver", "Outcome"]
