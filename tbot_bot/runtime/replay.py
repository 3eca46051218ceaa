"""`tbot replay`: a journaled day through today's code, and the first decision that differs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.codec import loads, record
from tbot_bot.core.commands import Decided
from tbot_bot.core.events import Event
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.journal.session_log import SessionRecord, read_session
from tbot_bot.journal.store import JournalReader, open_reader
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.decision_words import DifferenceWords, difference_words
from tbot_bot.runtime.fingerprint import code_fingerprint
from tbot_bot.runtime.recovery import first_difference, other_code, repeat
from tbot_bot.trading.spec import SessionSpec


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReplay:
    """How one session's replay ended."""

    session: str
    inputs: int
    answers: int
    """Inputs that the journal holds an answer to."""
    difference: str
    """The first difference as the journal writes it; empty where every answer is identical."""
    followed: int = 0
    """Inputs from before other code took the session over: followed, not compared."""
    words: DifferenceWords | None = None
    """The same for people."""
    same_code: bool = True
    """All of the session was decided by the deciding code of today."""
    note: str = ""
    """Why there is nothing to replay; empty where there is."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """How a day's replay ended."""

    day: date
    mode: Mode
    sessions: tuple[SessionReplay, ...]

    @property
    def identical(self) -> bool:
        """Return whether every session gave the very decisions that the journal holds."""
        return all(not session.difference for session in self.sessions)

    @property
    def verdict(self) -> str:
        """Return in one sentence what the replay came to."""
        differing = [session for session in self.sessions if session.difference]
        if not any(session.answers for session in self.sessions):
            return "Nothing was decided on that day."
        if not differing:
            return "Today's code decides everything as it was decided then."
        if all(session.same_code for session in differing):
            return (
                "The code is that of the day, so the record was changed, or this is a defect: "
                "run `tbot journal verify`."
            )
        return "Code that decides otherwise has been put in place since that day."


Progress = Callable[[int, str], None]
"""Hears how many sessions are done, and which one is next."""


def replay_day(home: Path, day: date, mode: Mode, progress: Progress = lambda _, __: None) -> ReplayReport:
    """Feed every session of `day` in the journal of `mode` to a fresh engine and compare its answers.

    Raises:
        JournalError: there is no journal, it holds no session of that day, or it cannot be read.
    """
    records = records_for(home, mode, test_mode=False)
    with open_reader(records.journal) as journal:
        names = journal.sessions_of(day)
        if not names:
            raise JournalError(
                f"no session of {day.isoformat()} in it",
                where=str(records.journal),
                mend="`tbot report range` and `tbot journal show` tell which days have.",
            )
        replays = []
        for done, name in enumerate(names):
            progress(done, name)
            replays.append(_replay(journal, records.journal_folder, SessionId.parse(name)))
    return ReplayReport(day=day, mode=mode, sessions=tuple(replays))


def _replay(journal: JournalReader, folder: Path, session: SessionId) -> SessionReplay:
    record_ = read_session(journal, folder, session)
    if not record_.spec_payload and not record_.commands:
        note = "it never began: there is no specification of it"
        return SessionReplay(session=str(session), inputs=0, answers=0, difference="", note=note)
    spec = loads(record_.spec_payload) if record_.spec_payload else None
    if not isinstance(spec, SessionSpec):
        raise JournalError(f"session {session} has no readable specification", where=str(journal.path))
    told: list[tuple[int, Event]] = []
    for number, event in record_.inputs:
        if not isinstance(event, Event):
            words = f"input {number} is a {type(event).__name__}, which is no event"
            return SessionReplay(
                session=str(session), inputs=len(told), answers=len(record_.commands), difference=words
            )
        told.append((number, event))
    found = repeat(spec, told, _answers(record_))
    first = found.first or (first_difference(*told[-1], None, found.owed) if found.owed else None)
    return SessionReplay(
        session=str(session),
        inputs=found.inputs,
        answers=len(record_.commands),
        difference="" if first is None else first.words,
        followed=found.followed,
        words=None if first is None else difference_words(first),
        same_code=not other_code(journal, spec, code_fingerprint()),
    )


def _answers(record_: SessionRecord) -> Mapping[int, Decided]:
    return {
        number: decided
        for number, decideds in record_.decoded_commands().items()
        for decided in decideds
        if isinstance(decided, Decided)
    }
