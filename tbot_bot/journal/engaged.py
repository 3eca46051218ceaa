"""The row that engaging the kill switch leaves in the journal, and what the last word there is."""

from dataclasses import dataclass
from typing import Final

from tbot_bot.core.codec import CodecError, loads, record
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.released import KillSwitchReleased
from tbot_bot.journal.store import JournalReader


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitchEngaged:
    """Nothing trades any more until a `KillSwitchReleased`; one row per engagement, the first reason stands."""

    at: Instant
    """Real time."""
    by: str
    why: str
    source: str
    """What pulled it: `flag`, `cli`, `engine`, `supervisor`; `latch` where a release found only the file."""
    keep_positions: bool = False
    """Positions were to stay, under their protective stops."""


_ENGAGED: Final = f'{{"_":"{KillSwitchEngaged.__name__}"'
_RELEASED: Final = f'{{"_":"{KillSwitchReleased.__name__}"'


def engaged_in(journal: JournalReader) -> KillSwitchEngaged | None:
    """Return the engagement that nobody has released; None where there is none.

    Raises:
        JournalError: the journal is damaged.
    """
    last = ""
    for row in journal.rows(session="", kind=Kind.CONTROL):
        if row.payload.startswith((_ENGAGED, _RELEASED)):
            last = row.payload
    if not last.startswith(_ENGAGED):
        return None
    try:
        found = loads(last)
    except CodecError as error:  # of a newer version: what matters is that it is engaged
        return KillSwitchEngaged(at=Instant(0), by="unknown", why=f"unreadable row: {error}", source="unknown")
    return found if isinstance(found, KillSwitchEngaged) else None


__all__ = ["KillSwitchEngaged", "engaged_in"]
