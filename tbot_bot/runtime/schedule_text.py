"""The schedule for people: a heading for each month, a line for each day of trading, a line for each pause."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Final

from tbot_bot.core.calendar import exchange_time, trading_day
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import MINUTE, SECOND, Duration, Instant, instant, to_datetime
from tbot_bot.runtime.schedule import DayPlan, PlannedSession, ScheduleRules

_DAY_WIDTH: Final = 6
_CELL_WIDTH: Final = 19
_GAP: Final = "  "
_WEEKEND: Final = "weekend"
_NARROWED: Final = "is not in TRADING_DAYS"
_ISO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d):00Z")
_BOLD: Final = "bold"
_DIM: Final = "dim"
_NO_CHANGE: Final = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of text, and how it looks where there is a terminal (a style of rich)."""

    text: str
    style: str = ""


def three_clocks(at: Instant) -> tuple[datetime, datetime, datetime]:
    """Return `at` in UTC, in New York, and on this machine."""
    moment = to_datetime(at)
    return moment, exchange_time(at), moment.astimezone()


def clock_changes(day: date) -> tuple[timedelta, timedelta]:
    """Return by how much the clocks change on `day` (forward: positive), in New York and on this machine."""
    noon = instant(datetime.combine(day, time(12), tzinfo=UTC))
    before, after = three_clocks(Instant(noon - 86_400 * SECOND)), three_clocks(noon)
    _, exchange, local = (
        (now.utcoffset() or _NO_CHANGE) - (then.utcoffset() or _NO_CHANGE)
        for then, now in zip(before, after, strict=True)
    )
    return exchange, local


def hour(moment: datetime, day: date) -> str:
    """Return the hour, with the days by which `moment` lies off `day` on that clock."""
    off = (moment.date() - day).days
    return f"{moment:%H:%M}{f' {off:+d} d' if off else ''}"


def schedule_lines(rules: ScheduleRules, plans: Sequence[DayPlan], width: int) -> Iterator[Line]:
    """Yield the schedule; where a remark does not fit into `width` columns it has a line of its own."""
    columns = tuple(name for name in StrategyName if name in (rules.override or rules.sequence))
    yield from _legend(rules, plans, columns)
    for (year, month), days in groupby(plans, key=lambda plan: (plan.day.year, plan.day.month)):
        yield Line(text="")
        yield from _heading(date(year, month, 1), columns)
        told: dict[StrategyName, str] = {}
        for closed, group in groupby(days, key=_pause):
            members = list(group)
            if closed:
                yield from _lines_of_pause(closed, members)
            else:
                for plan in members:
                    yield from _lines_of_day(plan, columns, told, width)


def _legend(rules: ScheduleRules, plans: Sequence[DayPlan], columns: Sequence[StrategyName]) -> Iterator[Line]:
    local = three_clocks(instant(datetime.combine(plans[0].day, time(12), tzinfo=UTC)))[2]
    yield Line(text=f"Starts in UTC, New York and local time ({_zone(local)}); +1 is the day after.", style=_DIM)
    for name in columns:
        rule = rules.sessions[name]
        if not rule.enabled:
            yield Line(text=f"{name.upper()} is off: STRAT_{name.upper()}_ENABLED is false.", style=_DIM)
            continue
        spans = [_span(span) for span in (rule.analysis, rule.breakout, rule.monitoring)]
        yield Line(
            text=f"{name.upper():<5} analyzes for {spans[0]}, enters for {spans[1]}, holds for {spans[2]} at most.",
            style=_DIM,
        )
    yield Line(text=f"Everything is out {_span(rules.hard_exit_before_close)} before the closing bell.", style=_DIM)


def _heading(month: date, columns: Sequence[StrategyName]) -> Iterator[Line]:
    clocks = "UTC   NY    local".ljust(_CELL_WIDTH)
    names = _GAP.join(name.upper().ljust(_CELL_WIDTH) for name in columns)
    yield Line(text=f"{f'{month:%Y-%m}':{_DAY_WIDTH + len(_GAP)}}{names}".rstrip(), style=_BOLD)
    yield Line(text=f"{'':{_DAY_WIDTH + len(_GAP)}}{_GAP.join(clocks for _ in columns)}".rstrip(), style=_DIM)


def _pause(plan: DayPlan) -> str:
    """Return why there is nothing on this day, in words that days in a row share; empty where there is something."""
    if plan.closed.startswith(_WEEKEND):
        return _WEEKEND
    return f"not in TRADING_DAYS{' (early close)' if plan.early else ''}" if _NARROWED in plan.closed else plan.closed


def _lines_of_pause(reason: str, plans: Sequence[DayPlan]) -> Iterator[Line]:
    first, last = plans[0].day, plans[-1].day
    days = f"{first:%a} {first.day:>2}" + (f" - {last:%a} {last.day:>2}" if last > first else "")
    style = "" if reason.startswith("holiday") else _DIM
    remarks = "".join(f"; {remark}" for plan in plans for remark in _changes(plan.day))
    yield Line(text=f"{days}{_GAP}{reason}{remarks}", style=style if not remarks else "")


def _lines_of_day(
    plan: DayPlan, columns: Sequence[StrategyName], told: dict[StrategyName, str], width: int
) -> Iterator[Line]:
    planned = {session.strategy: session for session in plan.sessions}
    cells = _GAP.join(_cell(planned[name], plan.day) for name in columns)
    line = f"{plan.day:%a} {plan.day.day:>2}{_GAP}{cells}".rstrip()
    remarks = []
    if plan.early:
        closes = three_clocks(trading_day(plan.day).close_at)
        remarks.append(f"early close {hour(closes[1], plan.day)} New York, {hour(closes[0], plan.day)} UTC")
    remarks += _changes(plan.day)
    remarks += [remark for name in columns if (remark := _why_skipped(planned[name], told))]
    fits = len(remarks) == 1 and len(line) + len(_GAP) + len(remarks[0]) <= width
    yield Line(text=f"{line}{_GAP}{remarks[0]}" if fits else line)
    if not fits:
        yield from (Line(text=f"{'':{_DAY_WIDTH}}{_GAP}{remark}") for remark in remarks)


def _cell(session: PlannedSession, day: date) -> str:
    if session.skipped:
        return ("off" if _is_off(session) else "skipped").ljust(_CELL_WIDTH)
    times = []
    for moment in three_clocks(session.windows.start):
        off = (moment.date() - day).days
        times.append(f"{moment:%H:%M}{f'{off:+d}' if off else ''}")
    return " ".join(times).ljust(_CELL_WIDTH)


def _is_off(session: PlannedSession) -> bool:
    return "_ENABLED is false" in session.skipped


def _why_skipped(session: PlannedSession, told: dict[StrategyName, str]) -> str:
    """Return why a session is skipped where it is news: once a month for a row of days with the same reason."""
    reason = "" if _is_off(session) else _ISO_TIME.sub(r"\1 UTC", session.skipped)
    known = told.get(session.strategy)
    told[session.strategy] = reason
    return f"{session.strategy.upper()} is skipped: {reason}" if reason not in {"", known} else ""


def _changes(day: date) -> list[str]:
    exchange, local = clock_changes(day)
    if exchange == local and exchange:
        return [f"clocks go {_way(exchange)} on {day:%a} {day.day}, in New York and here"]
    return [
        f"{whose} clocks go {_way(change)} on {day:%a} {day.day}"
        for whose, change in (("New York's", exchange), ("local", local))
        if change
    ]


def _way(change: timedelta) -> str:
    length = _span(Duration(abs(change) // timedelta(seconds=1) * SECOND))
    return f"{'forward' if change > _NO_CHANGE else 'back'} {length}"


def _zone(moment: datetime) -> str:
    """Return the name of a zone and its distance from UTC; many zones have no name but that distance."""
    name, offset = moment.tzname() or "", f"{moment:%z}"
    distance = f"UTC{offset[:3]}:{offset[3:5]}"
    return name if name == "UTC" else distance if name.lstrip("+-").isdigit() else f"{name}, {distance}"


def _span(span: Duration) -> str:
    """Return a length of time in minutes, or in hours where it is whole ones."""
    minutes, rest = divmod(span, MINUTE)
    if rest:
        return f"{span / SECOND:g} s"
    return f"{minutes // 60} h" if minutes % 60 == 0 and minutes else f"{minutes} min"


__all__ = ["Line", "clock_changes", "hour", "schedule_lines", "three_clocks"]
