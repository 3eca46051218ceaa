"""What a person sees of a running day: a live panel in a terminal, one line per change everywhere else."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import to_datetime
from tbot_bot.core.money import plain
from tbot_bot.reporting.status_logger import BotState, BotStatus, OpenPosition
from tbot_bot.runtime.clock import monotonic_seconds

_NOTES: Final = 4
_POSITIONS_MAX: Final = 10
_DRAW_SECONDS: Final = 0.2
_OVER: Final = "over"


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


class RunProgress:
    """Shows statuses as they come. Whatever goes wrong with the terminal stops the showing and nothing else."""

    def __init__(self, console: Console) -> None:
        """Nothing is shown before the first update."""
        self._console: Final = console
        self._live: Live | None = None
        self._rows: dict[str, SessionRow] = {}
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._note = ""
        self._status: BotStatus | None = None
        self._state = ""
        self._errors: tuple[str, ...] = ()
        self._drawn_at = float("-inf")
        self._day = ""
        self.broken = False
        self.used = False
        """Whether there ever was a status: a supervisor that was refused its start has none."""

    @property
    def day(self) -> date | None:
        """The trading day of the session seen last; None before the first."""
        return date.fromisoformat(self._day) if self._day else None

    def update(self, status: BotStatus | None, note: str = "") -> None:
        """Show `status`, and `note` where it is a new one; None: there is no status yet."""
        self._try(lambda: self._update(status, note))

    def say(self, text: str) -> None:
        """Show a line that stays."""
        self._try(lambda: self._say(text))

    def close(self) -> None:
        """Show the last state and leave the terminal in order; a second time does nothing."""
        self._try(self._close)

    def _try(self, show: Callable[[], None]) -> None:
        if self.broken:
            return
        try:
            show()
        except Exception:  # noqa: BLE001 - a closed terminal must not cost a trading day
            self.broken = True

    def _update(self, status: BotStatus | None, note: str) -> None:
        if note and note != self._note:
            self._say(note)
        self._note = note
        self.used = True
        if status is None:
            return
        lines = self._take_in(status)
        self._status = status
        if not self._console.is_terminal:
            for line in lines:
                self._line(line)
        elif monotonic_seconds() - self._drawn_at >= _DRAW_SECONDS:
            self._draw()

    def _say(self, text: str) -> None:
        if not self._console.is_terminal:
            self._line(text)
            return
        self._notes.append(text)
        self._draw()

    def _close(self) -> None:
        if self._live is not None:
            self._draw()
            self._live.stop()
            self._live = None

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
        self._console.file.flush()

    def _draw(self) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._live.start()
        self._live.update(panel(self._status, tuple(self._rows.values()), tuple(self._notes)), refresh=True)
        self._drawn_at = monotonic_seconds()

    def _take_in(self, status: BotStatus) -> list[str]:
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
            name = _name(row.session)
            if row.state != _OVER and (before is None or before.phase != row.phase):
                lines.append(f"{clock}{name} {row.phase}")
            if row.counts() != (before.counts() if before is not None else (0, 0, 0)):
                counts = f"{row.signaled} signaled, {row.entered} entered, {row.exited} exited"
                lines.append(f"{clock}{name} {counts}, PnL {_money(row.pnl)}")
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
            if session != present and row.state != _OVER:
                self._rows[session] = SessionRow(
                    session=session,
                    state=_OVER,
                    phase=row.phase,
                    candidates=row.candidates,
                    signaled=row.signaled,
                    entered=row.entered,
                    exited=row.exited,
                    pnl=row.pnl,
                )


def panel(status: BotStatus | None, rows: tuple[SessionRow, ...], notes: tuple[str, ...]) -> RenderableType:
    """Return the panel for a terminal."""
    parts: list[RenderableType] = []
    title = "TradeBot"
    if status is not None:
        title = f"TradeBot {status.version}  {status.mode}{', test mode' if status.test_mode else ''}"
        parts.append(_head(status))
        if rows:
            parts += [Text(), _sessions(rows)]
        if status.positions:
            parts += [Text(), _positions(status.positions)]
        if status.kill_switch:
            parts.append(Text("the kill switch is engaged", style="bold red"))
        if status.entries_suspended:
            parts.append(Text(f"no new entries: {status.entries_suspended}", style="yellow"))
        parts += [Text(error, style="red") for error in status.last_errors[-2:]]
    if notes:
        parts += [Text(), *(Text(note, style="dim") for note in notes)] if parts else [Text(note) for note in notes]
    return Panel(Group(*parts), title=Text(title), title_align="left", box=box.ROUNDED, padding=(0, 1))


def _head(status: BotStatus) -> Text:
    head = Text()
    if status.market_time is not None:
        there = exchange_time(status.market_time)
        utc = to_datetime(status.market_time)
        head.append(f"{there:%a %Y-%m-%d}", style="bold")
        head.append(f"   {utc:%H:%M:%S} UTC   {there:%H:%M:%S} New York   ")
    head.append(status.state, style="bold")
    if status.state_reason:
        head.append(f": {_shortened(status.state_reason)}", style="dim")
    return head


def _sessions(rows: tuple[SessionRow, ...]) -> Table:
    table = _table()
    for heading in ("session", "phase"):
        table.add_column(heading, no_wrap=True)
    for heading in ("candidates", "signaled", "entered", "exited", "PnL"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            _name(row.session),
            _OVER if row.state == _OVER else row.phase,
            *(str(count) for count in (row.candidates, row.signaled, row.entered, row.exited)),
            _money_text(row.pnl),
            style="dim" if row.state == _OVER else "",
        )
    return table


def _positions(positions: tuple[OpenPosition, ...]) -> Table:
    table = _table()
    for heading in ("position", "side"):
        table.add_column(heading, no_wrap=True)
    for heading in ("quantity", "in at", "now", "stop", "open PnL"):
        table.add_column(heading, justify="right", no_wrap=True)
    for held in positions[:_POSITIONS_MAX]:
        open_pnl = held.unrealized_pnl
        table.add_row(
            held.symbol,
            held.side,
            plain(held.quantity),
            _price(held.entry_price),
            _price(held.current_price),
            _price(held.stop_price),
            _money_text(open_pnl) if open_pnl is not None else Text("-"),
        )
    if len(positions) > _POSITIONS_MAX:
        table.add_row(f"and {len(positions) - _POSITIONS_MAX} more")
    return table


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)


def _row_of(status: BotStatus, session: str) -> SessionRow:
    return SessionRow(
        session=session,
        state=status.state if status.session else _OVER,
        phase=status.phase or "begins",
        candidates=status.candidates,
        signaled=status.signaled,
        entered=status.entered,
        exited=status.exited,
        pnl=status.realized_total + status.unrealized_total,
    )


def _name(session: str) -> str:
    try:
        return SessionId.parse(session).strategy.upper()
    except ValueError:
        return session


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _price(price: Decimal | None) -> str:
    return "-" if price is None else f"{price:.2f}"


def _money(amount: Decimal) -> str:
    return f"{amount:+.2f}"


def _money_text(amount: Decimal) -> Text:
    return Text(_money(amount), style="green" if amount > 0 else "red" if amount < 0 else "")
