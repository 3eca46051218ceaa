"""What a supervisor tells: to its log, to the journal, to the status file, and to a terminal where there is one."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Final, Protocol

from structlog.typing import FilteringBoundLogger

from tbot_bot import __version__
from tbot_bot.config.error_handler import JournalError, TbotError
from tbot_bot.config.scrub import scrub
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.noted import ErrorRaised, Noted, SessionSkipped
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.status_builder import ProcessFacts, idle_status
from tbot_bot.reporting.status_logger import BotState, BotStatus, CanaryResult, read_status, write_status
from tbot_bot.runtime.canary_told import canary_of
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.defense_mode import DefenseBook
from tbot_bot.runtime.schedule import PlannedSession

STATUS_EVERY: Final = 2 * SECOND
"""Real time; the spec asks for five seconds at most."""


class Console(Protocol):
    """Shows what happens to whoever started us in a terminal."""

    def update(self, status: BotStatus | None, note: str = "") -> None:
        """Show the present status."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def close(self) -> None:
        """Leave the terminal in order."""


class Voice:
    """The supervisor's words, each wherever it belongs."""

    def __init__(
        self,
        records: OutputPaths,
        journal: Journal,
        log: FilteringBoundLogger,
        console: Console | None,
        *,
        test_mode: bool,
    ) -> None:
        """Speak for one supervisor."""
        self._records, self._journal, self._log, self._console = records, journal, log, console
        self._test_mode = test_mode
        self._defense = DefenseBook(journal)
        self.defense_forced = False
        """Whether the setting forces defense mode."""
        self._idle_reason = "starting"
        self._canary: CanaryResult | None = None
        self._status_at = Instant(0)
        self._last_trouble = ("", "")

    def tell(self, text: str) -> None:
        """Say something worth keeping."""
        text = scrub(text)
        self._log.info("supervisor", text=text)
        self._note(Noted(at=wall_now(), text=text), wall_now(), "")
        if self._console is not None:
            self._console.say(text)

    def alert(self, title: str, text: str) -> None:
        """Call a person for something that is in the journal already."""
        self._log.warning("alert", severity="critical", title=title, text=text)
        if self._console is not None:
            self._console.say(f"{title}: {text}")

    def error(self, session: SessionId, text: str) -> None:
        """Say that a session's runner went wrong."""
        text = scrub(text)
        error = TbotError(text, where=str(session))
        self._log.error("runner", session=str(session), error=text)
        raised = ErrorRaised.of(error, at=wall_now())
        self._append(Entry.of(raised, kind=Kind.ERROR, at=raised.at, recorded_at=wall_now(), session=str(session)))
        if self._console is not None:
            self._console.say(f"error: {error}")

    def trouble(self, where: str, error: BaseException) -> None:
        """Say that something of the supervisor's own went wrong, which it survives; the same again only once."""
        words = f"{type(error).__name__}: {error}"
        if (where, words) == self._last_trouble:
            return
        self._last_trouble = (where, words)
        self._log.error("trouble", where=where, error=words, exc_info=error)
        raised = ErrorRaised.of(error, at=wall_now())
        raised = replace(raised, where=raised.where or where)
        self._append(Entry.of(raised, kind=Kind.ERROR, at=raised.at, recorded_at=wall_now()))
        if self._console is not None:
            self._console.say(scrub(f"error: {where}: {words}"))

    def attempt(self, where: str, act: Callable[[], object]) -> bool:
        """Do what a full disk may refuse; say so where it does, and return whether it was done."""
        try:
            act()
        except OSError as error:
            self.trouble(where, error)
            return False
        return True

    def skip(self, session: SessionId, planned: PlannedSession, reason: str) -> None:
        """Say that a planned session does not take place."""
        at = planned.windows.screen_at
        self._note(SessionSkipped(at=at, day=session.day, strategy=planned.strategy, reason=reason), at, str(session))
        self.tell(f"{session} is skipped: {reason}")

    def canary_ran(self, day: date) -> None:
        """Show from now on what the last canary of `day` found, if one has run."""
        self._canary = canary_of(self._journal, day)

    def idle(self, reason: str) -> None:
        """Say what is waited for."""
        self._idle_reason = reason
        self.status(BotState.IDLE, reason)

    def show(self, *, in_session: bool) -> str:
        """Bring terminal and status file up to date and return the state in words; a runner writes its own status."""
        if self._console is not None:
            self._console.update(read_status(self._records.status, wall_now()).status)
        if in_session:
            return "in session"
        if not 0 <= wall_now() - self._status_at < STATUS_EVERY:
            self.status(BotState.IDLE, self._idle_reason)
        return self._idle_reason

    def status(self, state: BotState, reason: str) -> None:
        """Write the status file of a bot without a session."""
        self._status_at = wall_now()
        facts = ProcessFacts(
            version=__version__,
            pid=os.getpid(),
            written_at=self._status_at,
            journal_sequence=self._journal.head().seq,
            canary=self._canary,
        )
        status = idle_status(
            facts,
            mode=self._records.mode,
            test_mode=self._test_mode,
            state=state,
            reason=reason,
            defense_mode=self._in_defense(),
        )
        try:
            write_status(self._records, status)
        except TbotError as error:
            self._log.error("status_not_written", error=str(error))

    def _in_defense(self) -> bool:
        try:
            return self.defense_forced or self._defense.standing().active
        except JournalError as error:
            self._log.error("defense_rows_unreadable", error=str(error))
            return self.defense_forced

    def _note(self, what: Noted | SessionSkipped, at: Instant, session: str) -> None:
        self._append(Entry.of(what, kind=Kind.NOTE, at=at, recorded_at=wall_now(), session=session))

    def _append(self, entry: Entry) -> None:
        """Journal a word of ours; where that fails, what it was about must be done all the same."""
        try:
            self._journal.append([entry])
        except JournalError as error:
            self._log.error("word_not_journaled", payload=entry.payload, error=str(error))
