"""The row that a change of the settings leaves in the journal, before the file is written."""

from dataclasses import dataclass

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged:
    """Somebody changed settings; in force from the next session on."""

    at: Instant
    """Real time."""
    by: str
    why: str
    file: str
    changes: tuple[tuple[str, str, str], ...] = ()
    """(variable, old, new), secrets masked; none where the file was sealed anew."""
    what: str = ""
    """What else was done: `encrypted`, `key changed`; with the ids of keys, which tell nothing of them."""
