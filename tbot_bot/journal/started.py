"""The row that a process leaves in the journal when it starts."""

from dataclasses import dataclass

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStarted:
    """A supervisor or a runner came up: with which code, and with which settings."""

    at: Instant
    """Real time."""
    process: str
    version: str
    code_fingerprint: str
    settings_fingerprint: str
