"""How far a session has come, as its journal rows tell; for the supervisor, which keeps no state of its own."""

from dataclasses import dataclass

from tbot_bot.core.commands import SessionEnded
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.session_log import decided_in
from tbot_bot.journal.store import JournalReader


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionProgress:
    """Where one session stands."""

    begun: bool
    ended_at: Instant | None
    """Market time at which it was flat and reported."""


def progress_of(journal: JournalReader, session: SessionId) -> SessionProgress:
    """Return how far `session` has come.

    Raises:
        JournalError: a row cannot be read, as where a newer version wrote it.
    """
    begun = str(session) in journal.sessions_of(session.day)
    ended: SessionEnded | None = None
    for row in journal.rows(session=str(session), kind=Kind.COMMAND) if begun else ():
        decided = decided_in(row)
        if decided is not None:
            ended = next((output for output in decided.outputs if isinstance(output, SessionEnded)), ended)
    return SessionProgress(begun=begun, ended_at=None if ended is None else ended.at)
