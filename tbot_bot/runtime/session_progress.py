"""How far a session has come, as its journal rows tell; for the supervisor, which keeps no state of its own."""

from dataclasses import dataclass
from typing import Final

from tbot_bot.core.codec import loads
from tbot_bot.core.commands import SessionEnded
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.session_log import decided_in
from tbot_bot.journal.store import JournalReader
from tbot_bot.reporting.noted import DeadManReport

_DEAD_MAN: Final = f'"{DeadManReport.__name__}"'
"""In the row's text: other errors need not be read, and may hold what is no record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionProgress:
    """Where one session stands."""

    begun: bool
    ended_at: Instant | None
    """Market time at which it was flat and reported, by its engine or by the dead-man path."""


def progress_of(journal: JournalReader, session: SessionId) -> SessionProgress:
    """Return how far `session` has come.

    Raises:
        JournalError: a row cannot be read, as where a newer version wrote it.
    """
    begun = str(session) in journal.sessions_of(session.day)
    ended: Instant | None = None
    for row in journal.rows(session=str(session), kind=Kind.COMMAND) if begun else ():
        decided = decided_in(row)
        if decided is not None:
            ended = next((output.at for output in decided.outputs if isinstance(output, SessionEnded)), ended)
    if begun and ended is None:
        ended = next((report.at for report in dead_man_reports(journal, session) if not report.left), None)
    return SessionProgress(begun=begun, ended_at=ended)


def dead_man_reports(journal: JournalReader, session: SessionId) -> list[DeadManReport]:
    """Return what the dead-man path has journaled of `session`, oldest first.

    Raises:
        CodecError: such a row cannot be read.
    """
    rows = journal.rows(session=str(session), kind=Kind.ERROR)
    found = (loads(row.payload) for row in rows if _DEAD_MAN in row.payload)
    return [report for report in found if isinstance(report, DeadManReport)]
