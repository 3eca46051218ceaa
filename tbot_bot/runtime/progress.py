"""What a running bot looks like in a terminal: one calm panel, or one plain line for each change."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import Instant, to_datetime
from tbot_bot.core.money import plain, to_cents
from tbot_bot.reporting.status_logger import BotStatus

_REFRESH: Final = 4.0
"""Times a second."""


class RunProgress:
    """Follows a supervisor; in a terminal a panel that stays in place, elsewhere lines."""

    def __init__(self, console: Console) -> None:
        """Show on `console`."""
        self._console = console
        self._live: Live | None = None
        self._rows: dict[str, BotStatus] = {}
        self._last: tuple[object, ...] = ()

    def update(self, status: BotStatus | None, note: str = "") -> None:
        """Show the present status."""
        if status is None:
            return
        if status.session:
            self._rows[status.session] = status
        elif self._rows and status.market_time is not None:
            self._rows[next(reversed(self._rows))] = status  # a session's last word, after its end
        if self._console.is_terminal:
            self._draw(status, note)
        else:
            self._line(status)

    def say(self, text: str) -> None:
        """Show a line that stays."""
        self._console.print(text, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal in order."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, status: BotStatus, note: str) -> None:
        panel = panel_of(status, tuple(self._rows.items()), note)
        if self._live is None:
            self._live = Live(panel, console=self._console, refresh_per_second=_REFRESH, transient=True)
            self._live.start()
        self._live.update(panel)

    def _line(self, status: BotStatus) -> None:
        key = (status.session, status.phase, status.signaled, status.entered, status.exited, status.state)
        if key == self._last:
            return
        self._last = key
        if status.session or status.market_time is not None:
            counts = f"{status.candidates} candidates, {status.signaled} signals, {status.entered} entered"
            phase = status.phase or status.state
            text = f"{_time(status.market_time)}  {status.session or 'session over'}  {phase}: {counts}, "
            self._console.print(f"{text}{status.exited} exited, PnL {_money(status)}", soft_wrap=True)
        else:
            self._console.print(f"{status.state}: {status.state_reason}", soft_wrap=True)


def panel_of(status: BotStatus, sessions: Sequence[tuple[str, BotStatus]], note: str = "") -> RenderableType:
    """Return the present status as a panel: the clock, a row for each session, and what is held."""
    mark = ", test mode" if status.test_mode else ""
    title = Text(f"TradeBot {status.version}  ({status.mode}{mark})   {_time(status.market_time)}", style="bold")
    parts: list[RenderableType] = [title]
    state = Text(f"{status.state}: {status.state_reason}" if status.state_reason else str(status.state))
    parts.append(state)
    if sessions:
        parts.append(Padding(_sessions(sessions), (1, 0, 0, 0)))
    if status.positions:
        parts.append(Padding(_positions(status), (1, 0, 0, 0)))
    parts += [Text(f"last error: {error}", style="red") for error in status.last_errors[-1:]]
    if note:
        parts.append(Text(note))
    return Group(*parts)


def _sessions(sessions: Sequence[tuple[str, BotStatus]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("session", "phase"):
        table.add_column(name)
    for name in ("candidates", "signals", "entered", "exited", "PnL"):
        table.add_column(name, justify="right")
    for name, status in sessions:
        phase = str(status.phase or "over")
        counts = (status.candidates, status.signaled, status.entered, status.exited)
        table.add_row(name, phase, *map(str, counts), _money(status))
    return table


def _positions(status: BotStatus) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("position", "broker"):
        table.add_column(name)
    for name in ("quantity", "entry", "now", "stop", "unrealised"):
        table.add_column(name, justify="right")
    for held in status.positions:
        now = "-" if held.current_price is None else plain(held.current_price)
        stop = "-" if held.stop_price is None else plain(held.stop_price)
        gain = "-" if held.unrealized_pnl is None else f"{to_cents(held.unrealized_pnl):+}"
        entry = plain(round(held.entry_price, 4))
        table.add_row(held.symbol, held.broker, plain(round(held.quantity, 4)), entry, now, stop, gain)
    return table


def _money(status: BotStatus) -> str:
    return f"{to_cents(status.realized_total):+}"


def _time(at: Instant | None) -> str:
    if at is None:
        return "between sessions"
    return f"{to_datetime(at):%Y-%m-%d %H:%M:%S}Z ({exchange_time(at):%H:%M} New York)"
