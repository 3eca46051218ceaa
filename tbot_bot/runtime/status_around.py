"""What stands around a status: the market's clock, how long the phase lasts, which session is next."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.settings import load_settings
from tbot_bot.core.calendar import NotATradingDay, exchange_time, next_trading_day
from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.commands import Phase
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant, later
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import open_reader
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.reporting.status_logger import BotState, BotStatus, StatusReading, read_status
from tbot_bot.runtime.background import control_path, is_at_work
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.schedule import ScheduleRules, plan_day, schedule_rules
from tbot_bot.runtime.supervisor_state import saved
from tbot_bot.trading.spec import SessionSpec, Windows

_DAYS_AHEAD: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSession:
    """The next session by the settings of now."""

    strategy: str
    day: date
    start: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Everything that a look at the bot shows."""

    reading: StatusReading
    at_work: bool
    """Whether a supervisor or a runner is alive."""
    market_now: Instant
    """Compressed in test mode, else the machine's."""
    phase_ends_at: Instant | None
    upcoming: NextSession | None


class Lookout:
    """Reads the files of one home, again and again; reads the journal once for each session."""

    def __init__(self, home: Path) -> None:
        """Nothing is read yet."""
        self._home: Final = home
        self._control: Final = control_path(home)
        self._status: Final = OutputPaths(home=home, mode=Mode.PAPER).status
        self._windows: dict[str, Windows | None] = {}
        self._rules = _rules(home)

    def look(self) -> Sight:
        """Return what is to be seen now; what cannot be read is left out."""
        reading = read_status(self._status, wall_now())
        at_work = is_at_work(self._control)
        hand = saved(self._control) if at_work else None
        market_now = hand.clock.now() if hand is not None else wall_now()
        status = reading.status
        return Sight(
            reading=reading,
            at_work=at_work,
            market_now=market_now,
            phase_ends_at=self._phase_end(status) if status is not None and at_work else None,
            upcoming=_upcoming(self._rules, market_now, status),
        )

    def _phase_end(self, status: BotStatus) -> Instant | None:
        if not status.session or status.phase is None:
            return None
        if status.session not in self._windows:
            self._windows[status.session] = _journaled_windows(self._home, status)
        windows = self._windows[status.session]
        return None if windows is None else _end_of(status.phase, windows)


def _end_of(phase: Phase, windows: Windows) -> Instant | None:
    """Return when `phase` ends at the latest."""
    match phase:
        case Phase.SCREEN:
            return windows.start
        case Phase.ANALYSIS:
            return windows.analysis_end
        case Phase.BREAKOUT:
            return windows.entry_end
        case Phase.MONITORING:
            return min(later(windows.entry_end, windows.monitoring), windows.hard_exit_at)
        case Phase.CLOSE_OUT:
            return windows.hard_exit_at
        case Phase.REPORT:
            return None


def _journaled_windows(home: Path, status: BotStatus) -> Windows | None:
    """Return the windows that the running session was begun with, whatever the settings say now."""
    try:
        with open_reader(records_for(home, status.mode, test_mode=status.test_mode).journal) as journal:
            for row in journal.rows(session=status.session, kind=Kind.SESSION):
                spec = loads(row.payload)
                return spec.windows if isinstance(spec, SessionSpec) else None
    except (TbotError, CodecError, OSError, json.JSONDecodeError):
        return None  # a view without the time left is better than none
    return None


def _rules(home: Path) -> ScheduleRules | None:
    try:
        return schedule_rules(load_settings(home, defaults_if_absent=True).bot)
    except TbotError:
        return None


def _upcoming(rules: ScheduleRules | None, now: Instant, status: BotStatus | None) -> NextSession | None:
    """Return the first session that is still to begin; the running one is not."""
    if rules is None:
        return None
    running = status.session if status is not None and status.state is not BotState.SHUTDOWN else ""
    day = exchange_time(now).date()
    for _ in range(_DAYS_AHEAD):
        for planned in plan_day(rules, day).due:
            is_running = running.startswith(f"{day.isoformat()}/{planned.strategy.value}")
            if planned.windows.start > now and not is_running:
                return NextSession(strategy=planned.strategy.value, day=day, start=planned.windows.start)
        try:
            day = next_trading_day(day)
        except NotATradingDay:  # the calendar ends here
            return None
    return None
