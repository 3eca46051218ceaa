"""The row that a canary leaves in the journal: what was proved before the open, and what was not."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from tbot_bot.core.codec import CodecError, loads, record
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import JournalReader


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStep:
    """One thing that was tried."""

    name: str
    passed: bool
    text: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryRun:
    """A canary; trading of its day begins only after one that passed."""

    at: Instant
    """Real time."""
    day: date
    run: int
    passed: bool
    steps: tuple[CanaryStep, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """Return what failed, in words."""
        return tuple(f"{one.name}: {one.text}" for one in self.steps if not one.passed)


_PREFIX: Final = f'{{"_":"{CanaryRun.__name__}"'


def last_canary(journal: JournalReader, day: date) -> CanaryRun | None:
    """Return the last canary of `day`; None where none has run.

    Raises:
        JournalError: the journal cannot be read.
    """
    found: CanaryRun | None = None
    for row in journal.rows(session="", kind=Kind.NOTE):
        if not row.payload.startswith(_PREFIX):
            continue
        try:
            read = loads(row.payload)
        except CodecError:  # of a newer version
            continue
        if isinstance(read, CanaryRun) and read.day == day:
            found = read
    return found


__all__ = ["CanaryRun", "CanaryStep", "last_canary"]
