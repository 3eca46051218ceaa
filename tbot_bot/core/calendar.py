"""The New York trading calendar: which days trade, and between which instants.

This is the only place that knows exchange time (America/New_York, the tz database through zoneinfo). Days
without trading and early closes are literal dates in `calendar_table`, generated from exchange-calendars.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from tbot_bot.core.calendar_table import EARLY_CLOSES, FIRST, HOLIDAYS, LAST
from tbot_bot.core.instants import Instant, instant, to_datetime

NEW_YORK: Final = ZoneInfo("America/New_York")
OPENING_BELL: Final = time(9, 30)
CLOSING_BELL: Final = time(16, 0)
_ONE_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5
_REASON_BY_DAY: Final = {date.fromisoformat(day): reason for reason, days in HOLIDAYS.items() for day in days.split()}
_EARLY_CLOSE_BY_DAY: Final = {
    date.fromisoformat(day): time.fromisoformat(close) for close, days in EARLY_CLOSES.items() for day in days.split()
}


class NotATradingDay(ValueError):
    """The New York exchanges do not trade on `day`; `reason` says why ("Saturday", "Good Friday")."""

    def __init__(self, day: date, reason: str) -> None:
        """Refuse `day` for `reason`."""
        super().__init__(f"{day.isoformat()} is not a trading day: {reason}")
        self.day = day
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingDay:
    """One regular session; `open_at` is the opening bell, `close_at` the closing bell of that very day."""

    day: date
    open_at: Instant
    close_at: Instant
    early: bool
    """Whether the closing bell rings before 16:00 New York."""


@lru_cache(maxsize=4096)
def trading_day(day: date) -> TradingDay:
    """Return the session of `day`.

    Raises:
        NotATradingDay: weekend, holiday, or outside the calendar's range.
    """
    reason = why_closed(day)
    if reason is not None:
        raise NotATradingDay(day, reason)
    early = _EARLY_CLOSE_BY_DAY.get(day)
    return TradingDay(
        day=day,
        open_at=new_york(day, OPENING_BELL),
        close_at=new_york(day, early or CLOSING_BELL),
        early=early is not None,
    )


def why_closed(day: date) -> str | None:
    """Return why `day` does not trade, None where it does."""
    if not FIRST <= day <= LAST:
        return f"outside the calendar's range {FIRST.isoformat()} to {LAST.isoformat()}"
    if day.weekday() >= _SATURDAY:
        return "weekend (Saturday)" if day.weekday() == _SATURDAY else "weekend (Sunday)"
    reason = _REASON_BY_DAY.get(day)
    return None if reason is None else f"holiday ({reason})"


def is_trading_day(day: date) -> bool:
    """Return whether the exchanges open on `day`; days outside the range do not."""
    return why_closed(day) is None


def next_trading_day(day: date) -> date:
    """Return the first trading day after `day`.

    Raises:
        NotATradingDay: there is none in the calendar's range.
    """
    return _step(day, _ONE_DAY)


def previous_trading_day(day: date) -> date:
    """Return the last trading day before `day`.

    Raises:
        NotATradingDay: there is none in the calendar's range.
    """
    return _step(day, -_ONE_DAY)


def trading_days(first: date, last: date) -> Iterator[date]:
    """Yield the trading days from `first` to `last`, both included.

    Raises:
        NotATradingDay: either end lies outside the calendar's range.
    """
    for end in (first, last):
        _require_in_range(end)
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        if is_trading_day(day):
            yield day


def exchange_time(at: Instant) -> datetime:
    """Return `at` as New York wall time, aware; for people and for the calendar only."""
    return to_datetime(at).astimezone(NEW_YORK)


def new_york(day: date, at: time) -> Instant:
    """Return the instant at which New York clocks show `at` on `day`."""
    return instant(datetime.combine(day, at, tzinfo=NEW_YORK))


def _step(day: date, by: timedelta) -> date:
    step = day + by
    while not is_trading_day(step):
        _require_in_range(step)
        step += by
    return step


def _require_in_range(day: date) -> None:
    if not FIRST <= day <= LAST:
        raise NotATradingDay(day, why_closed(day) or "outside the calendar's range")
