"""The coming sessions as a person reads them: UTC, New York, and the clock on the wall."""

from dataclasses import dataclass
from datetime import date, timedelta

from rich.table import Table

from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import Instant, iso, to_datetime
from tbot_bot.runtime.schedule import PlannedSession, ScheduleRules, plan_day


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """One session of one day, or the reason why there is none."""

    day: date
    early: bool
    planned: PlannedSession | None
    reason: str

    def plain(self) -> dict[str, str | bool | None]:
        """Return the row for JSON; instants in UTC."""
        windows = None if self.planned is None else self.planned.windows
        instants = {
            "screen_at": None if windows is None else iso(windows.screen_at),
            "start": None if windows is None else iso(windows.start),
            "analysis_end": None if windows is None else iso(windows.analysis_end),
            "entry_end": None if windows is None else iso(windows.entry_end),
            "ends_at": None if self.planned is None else iso(self.planned.ends_at),
        }
        strategy = None if self.planned is None else self.planned.strategy.value
        return {"day": self.day.isoformat(), "early_close": self.early, "strategy": strategy, **instants} | {
            "skipped": self.reason
        }


def schedule_rows(rules: ScheduleRules, first: date, days: int) -> list[ScheduleRow]:
    """Return the rows of `days` calendar days from `first` on, in order."""
    rows = []
    for number in range(days):
        day = first + timedelta(days=number)
        plan = plan_day(rules, day)
        if plan.closed or not plan.sessions:
            reason = plan.closed or "no session is enabled"
            rows.append(ScheduleRow(day=day, early=plan.early, planned=None, reason=reason))
        rows += [
            ScheduleRow(day=day, early=plan.early, planned=planned, reason=planned.skipped) for planned in plan.sessions
        ]
    return rows


def schedule_table(rows: list[ScheduleRow]) -> Table:
    """Return `rows` as a table; times of a session are its start and the end of its entry window."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("day", "session", "UTC", "New York", "local", ""):
        table.add_column(name)
    before: date | None = None
    for row in rows:
        shown = "" if row.day == before else f"{row.day:%a} {row.day.isoformat()}{' early close' if row.early else ''}"
        before = row.day
        if row.planned is None:
            table.add_row(shown, "-", "", "", "", row.reason)
            continue
        windows = row.planned.windows
        times = (_span(windows.start, windows.entry_end, zone) for zone in ("utc", "new york", "local"))
        table.add_row(shown, row.planned.strategy.value, *times, f"skipped: {row.reason}" if row.reason else "")
    return table


def _span(start: Instant, end: Instant, zone: str) -> str:
    if zone == "new york":
        first, last = exchange_time(start), exchange_time(end)
    else:
        first, last = to_datetime(start), to_datetime(end)
        if zone == "local":
            first, last = first.astimezone(), last.astimezone()
    return f"{first:%H:%M}-{last:%H:%M}"
