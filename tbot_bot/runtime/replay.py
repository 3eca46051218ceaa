"""`tbot replay`: a journaled day through today's code, and the first decision that differs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.codec import dumps, loads, record
from tbot_bot.core.commands import Decided
from tbot_bot.core.events import Event
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.core.instants import iso
from tbot_bot.journal.session_log import SessionRecord, read_session
from tbot_bot.journal.store import JournalReader, open_reader
from tbot_bot.reporting.report_router import records_for
from tbot_bot.trading.engine import Engine
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
    """The first difference in words; empty where every answer is identical."""


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
                mend="tbot journal tail shows which days it holds.",
            )
        replays = []
        for done, name in enumerate(names):
            progress(done, name)
            replays.append(_replay(journal, records.journal_folder, SessionId.parse(name)))
    return ReplayReport(day=day, mode=mode, sessions=tuple(replays))


def _replay(journal: JournalReader, folder: Path, session: SessionId) -> SessionReplay:
    record_ = read_session(journal, folder, session)
    spec = loads(record_.spec_payload) if record_.spec_payload else None
    if not isinstance(spec, SessionSpec):
        raise JournalError(f"session {session} has no readable specification", where=str(journal.path))
    inputs, difference = _first_difference(Engine(spec), record_, _answers(record_))
    return SessionReplay(session=str(session), inputs=inputs, answers=len(record_.commands), difference=difference)


def _answers(record_: SessionRecord) -> Mapping[int, Decided]:
    return {
        number: decided
        for number, decideds in record_.decoded_commands().items()
        for decided in decideds
        if isinstance(decided, Decided)
    }


def _first_difference(engine: Engine, record_: SessionRecord, answers: Mapping[int, Decided]) -> tuple[int, str]:
    """Return how many inputs were fed, and the first difference in words ("" if there is none)."""
    count = 0
    for number, event in record_.inputs:
        if not isinstance(event, Event):
            return count, f"input {number} is a {type(event).__name__}, which is no event"
        outputs = tuple(engine.handle(event))
        count = number
        known = answers.get(number)
        if known is None:
            if outputs:
                return (
                    count,
                    f"input {number} at {iso(event.at)}: journal says nothing, replay says {dumps(outputs[0])}",
                )
            continue
        for place in range(max(len(outputs), len(known.outputs))):
            then = dumps(known.outputs[place]) if place < len(known.outputs) else "nothing"
            now = dumps(outputs[place]) if place < len(outputs) else "nothing"
            if then != now:
                return count, f"input {number} at {iso(event.at)}: journal says {then}, replay says {now}"
    return count, ""
