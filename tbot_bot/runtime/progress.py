"""What a person sees of a running day: a live panel in a terminal, one line per change everywhere else."""

from collections import deque
from collections.abc import Callable
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
from tbot_bot.core.instants import to_datetime
from tbot_bot.core.money import plain
from tbot_bot.reporting.status_logger import BotStatus, OpenPosition
from tbot_bot.runtime.cli_output import is_live
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.sessions_seen import OVER, SessionRow, SessionsSeen, money, session_name

_NOTES: Final = 4
_POSITIONS_MAX: Final = 10
_DRAW_SECONDS: Final = 0.2


class RunProgress:
    """Shows statuses as they come. Whatever goes wrong with the terminal stops the showing and nothing else."""

    def __init__(self, console: Console) -> None:
        """Nothing is shown before the first update."""
        self._console: Final = console
        self._live: Live | None = None
        self._seen: Final = SessionsSeen()
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._note = ""
        self._status: BotStatus | None = None
        self._drawn_at = float("-inf")
        self.broken = False
        self.used = False
        """Whether there ever was a status: a supervisor that was refused its start has none."""

    @property
    def day(self) -> date | None:
        """The trading day of the session seen last; None before the first."""
        return self._seen.day

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
        lines = self._seen.take_in(status)
        self._status = status
        if not is_live(self._console):
            for line in lines:
                self._line(line)
        elif monotonic_seconds() - self._drawn_at >= _DRAW_SECONDS:
            self._draw()

    def _say(self, text: str) -> None:
        if not is_live(self._console):
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
        self._live.update(panel(self._status, self._seen.rows, tuple(self._notes)), refresh=True)
        self._drawn_at = monotonic_seconds()


def panel(status: BotStatus | None, rows: tuple[SessionRow, ...], notes: tuple[str, ...]) -> RenderableType:
    """Return the panel for a terminal."""
    parts: list[RenderableType] = []
    title = "TradeBot"
    if status is not None:
        title = f"TradeBot {status.version}  {status.mode}{', test mode' if status.test_mode else ''}"
        parts.append(_head(status))
        if rows:
            parts += [Text(), sessions_table(rows)]
        if status.positions:
            parts += [Text(), positions_table(status.positions)]
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


def sessions_table(rows: tuple[SessionRow, ...]) -> Table:
    """Return the day's sessions, those that are over dimmed."""
    table = _table()
    for heading in ("session", "phase"):
        table.add_column(heading, no_wrap=True)
    for heading in ("candidates", "signaled", "entered", "exited", "PnL"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            session_name(row.session),
            OVER if row.state == OVER else row.phase,
            *(str(count) for count in (row.candidates, row.signaled, row.entered, row.exited)),
            money_text(row.pnl),
            style="dim" if row.state == OVER else "",
        )
    return table


def positions_table(positions: tuple[OpenPosition, ...], shown_max: int = _POSITIONS_MAX) -> Table:
    """Return the open positions with what they stand at; those beyond `shown_max` are counted."""
    table = _table()
    for heading in ("position", "side"):
        table.add_column(heading, no_wrap=True)
    for heading in ("quantity", "in at", "now", "stop", "open PnL"):
        table.add_column(heading, justify="right", no_wrap=True)
    for held in positions[:shown_max]:
        open_pnl = held.unrealized_pnl
        table.add_row(
            held.symbol,
            held.side,
            plain(held.quantity),
            _price(held.entry_price),
            _price(held.current_price),
            _price(held.stop_price),
            money_text(open_pnl) if open_pnl is not None else Text("-"),
        )
    if len(positions) > shown_max:
        table.add_row(f"and {len(positions) - shown_max} more")
    return table


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _price(price: Decimal | None) -> str:
    return "-" if price is None else f"{price:.2f}"


def money_text(amount: Decimal) -> Text:
    """Return dollars, a gain in green and a loss in red."""
    return Text(money(amount), style="green" if amount > 0 else "red" if amount < 0 else "")
