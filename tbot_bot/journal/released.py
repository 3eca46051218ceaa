"""The row that the release of the kill switch leaves in the journal."""

from dataclasses import dataclass

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitchReleased:
    """A person let the bot trade again."""

    at: Instant
    """Real time."""
    by: str
    why: str
    engaged: str
    """By whom it was engaged, when and why, as far as the latch could be read."""
