"""What was seen of a day's sessions in the statuses that came by: a row for each, and each change in words."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import to_datetime
from tbot_bot.reporting.status_logger import BotState, BotStatus

OVER: Final = "over"
"""The state of a session that has ended; all others are the bot's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """The latest that was seen of one session."""

    session: str
    state: str
    phase: str
    candidates: int
    signaled: int
    entered: int
    exited: int
    pnl: Decimal
    """Realised and open together."""

    def counts(self) -> tuple[int, int, int]:
        """Return what a change of is worth a line."""
        return self.signaled, self.entered, self.exited


class SessionsSeen:
    """Follows statuses; a session that has ended stays with its last figures until another day begins."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._rows: dict[str, SessionRow] = {}
        self._day = ""
        self._state = ""
        self._errors: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[SessionRow, ...]:
        """The day's sessions, in order of appearance."""
        return tuple(self._rows.values())

    @property
    def day(self) -> date | None:
        """The trading day of the session seen last; None before the first."""
        return date.fromisoformat(self._day) if self._day else None

    def take_in(self, status: BotStatus) -> list[str]:
        """Remember what `status` says and return the changes in words."""
        clock = f"{to_datetime(status.market_time):%H:%M:%S} UTC " if status.market_time is not None else ""
        lines = []
        session = status.session
        if not session and status.market_time is not None and self._rows:
            session = next(reversed(self._rows))  # a session's last word, after its end
        if session:
            before = self._rows.get(session)
            row = _row_of(status, session)
            self._turn_over(session)
            self._rows[session] = row
            name = session_name(row.session)
            if row.state != OVER and (before is None or before.phase != row.phase):
                lines.append(f"{clock}{name} {row.phase}")
            if row.counts() != (before.counts() if before is not None else (0, 0, 0)):
                counts = f"{row.signaled} signaled, {row.entered} entered, {row.exited} exited"
                lines.append(f"{clock}{name} {counts}, PnL {money(row.pnl)}")
        else:
            self._turn_over("")
        if status.state in {BotState.HALTED, BotState.ERROR, BotState.SHUTDOWN} and status.state != self._state:
            lines.append(f"{clock}{status.state}: {status.state_reason}".rstrip(": "))
        lines += [f"{clock}error: {error}" for error in status.last_errors if error not in self._errors]
        self._state, self._errors = status.state, status.last_errors
        return lines

    def _turn_over(self, present: str) -> None:
        """Mark the sessions before `present` as over; another day's are forgotten."""
        day = present.partition("/")[0]
        if day and day != self._day:
            self._rows = {}
            self._day = day
        for session, row in self._rows.items():
            if session != present and row.state != OVER:
                self._rows[session] = replace(row, state=OVER)


def _row_of(status: BotStatus, session: str) -> SessionRow:
    return SessionRow(
        session=session,
        state=status.state if status.session else OVER,
        phase=status.phase or "begins",
        candidates=status.candidates,
        signaled=status.signaled,
        entered=status.entered,
        exited=status.exited,
        pnl=status.realized_total + status.unrealized_total,
    )


def session_name(session: str) -> str:
    """Return the name of a session's strategy for people; an id that cannot be read is its own name."""
    try:
        return SessionId.parse(session).strategy.upper()
    except ValueError:
        return session


def money(amount: Decimal) -> str:
    """Return dollars with their sign and cents."""
    return f"{amount:+.2f}"
