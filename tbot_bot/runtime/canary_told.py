"""The canary's result for those who look at the status."""

from datetime import date

from tbot_bot.config.error_handler import JournalError
from tbot_bot.journal.canary import last_canary
from tbot_bot.journal.store import JournalReader
from tbot_bot.reporting.status_logger import CanaryResult


def canary_of(journal: JournalReader, day: date) -> CanaryResult | None:
    """Return what the last canary of `day` found; None where none has run, or the journal cannot tell."""
    try:
        found = last_canary(journal, day)
    except JournalError:
        return None  # a status without it is better than none; whoever needs the journal finds out by himself
    if found is None:
        return None
    return CanaryResult(day=found.day, at=found.at, passed=found.passed, failures=found.failures)


__all__ = ["canary_of"]
