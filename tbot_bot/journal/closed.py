"""The row that the dead-man path leaves in the journal: what was closed without an engine."""

from dataclasses import dataclass

from tbot_bot.core.codec import record
from tbot_bot.core.commands import TradeRecord
from tbot_bot.core.instants import Instant


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class DeadManReport:
    """What the dead-man path did about a session whose runner could not be started any more."""

    at: Instant
    """Market time."""
    why: str
    cancelled: tuple[str, ...]
    """Client ids of the orders that it cancelled."""
    trades: tuple[TradeRecord, ...]
    """What was closed, or is still held (`unclosed`)."""
    left: tuple[str, ...]
    """In words, what a person has to see to; empty where everything is flat."""


__all__ = ["DeadManReport"]
