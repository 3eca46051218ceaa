"""When New York trades, for arrays of instants: regular session, the hours around it, or closed."""

from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tbot_bot.core.calendar import NEW_YORK, is_trading_day, new_york, trading_day, why_closed
from tbot_bot.core.instants import DAY, Instant, to_datetime

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]

_EPOCH: Final = date(1970, 1, 1)
_NIGHT_ENDS: Final = time(4, 0)
_EVENING_ENDS: Final = time(20, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Where each instant lies. Days are New York dates, counted since 1970."""

    ts: Integers
    day: Integers
    regular: Mask
    extended: Mask
    closed: Mask
    """Weekends and holidays, in the hours of other days."""
    night: Mask
    """From 20:00 to 04:00 New York, on any day."""
    lengths: dict[int, int]
    """Nanoseconds of the session of each trading day that was seen."""

    @property
    def days(self) -> Integers:
        """Return the trading days that were seen, ascending."""
        return np.array(sorted(self.lengths), dtype=np.int64)

    def part(self, rows: slice) -> "Hours":
        """Return those of some rows."""
        return Hours(
            ts=self.ts[rows],
            day=self.day[rows],
            regular=self.regular[rows],
            extended=self.extended[rows],
            closed=self.closed[rows],
            night=self.night[rows],
            lengths=self.lengths,
        )

    def lengths_of(self, days: Integers) -> Integers:
        """Return how long the sessions of `days` last."""
        return np.array([self.lengths[day] for day in days.tolist()], dtype=np.int64)

    def sessions_between(self, first: int, last: int) -> list[int]:
        """Return the trading days from `first` to `last`, both included."""
        return [day for day in range(first, last + 1) if is_trading_day(_EPOCH + timedelta(days=day))]

    def why_closed(self, row: int) -> str:
        """Return why New York does not trade at a row's time, in words."""
        at = to_datetime(Instant(int(self.ts[row]))).astimezone(NEW_YORK)
        return why_closed(at.date()) or f"{at:%H:%M} in New York; it trades from 04:00 to 20:00"


def hours_of(ts: Integers) -> Hours:
    """Return where each of `ts` (nanoseconds, UTC) lies."""
    first, last = (to_datetime(Instant(int(at))).astimezone(NEW_YORK).date() for at in (ts.min(), ts.max()))
    numbers = [number for number in _numbers(ts) if first <= _EPOCH + timedelta(days=number) <= last]
    days = [_EPOCH + timedelta(days=number) for number in numbers]
    midnights = np.array([new_york(day, time(0)) for day in days], dtype=np.int64)
    which = np.searchsorted(midnights, ts, side="right") - 1
    bounds = np.zeros((4, len(days)), dtype=np.int64)
    lengths: dict[int, int] = {}
    for place, day in enumerate(days):
        bounds[:, place] = new_york(day, _NIGHT_ENDS), 0, 0, new_york(day, _EVENING_ENDS)
        if is_trading_day(day):
            session = trading_day(day)
            bounds[1:3, place] = session.open_at, session.close_at
            lengths[numbers[place]] = session.close_at - session.open_at
    night, opened, closed, evening = (row[which] for row in bounds)
    regular = (ts >= opened) & (ts < closed)
    by_day = (ts >= night) & (ts < evening)
    return Hours(
        ts=ts,
        day=np.array(numbers, dtype=np.int64)[which],
        regular=regular,
        extended=by_day & ~regular & (opened > 0),
        closed=by_day & (opened == 0),
        night=~by_day,
        lengths=lengths,
    )


def hours_between(first: int, last: int) -> tuple[Integers, Integers]:
    """Return the New York dates from that of `first` to that of `last` (days since 1970), and their hours.

    The hours are 4 x days, nanoseconds UTC: end of the night, opening and closing bell (0: closed), end of the evening.
    """
    begin, end = ((to_datetime(Instant(at)).astimezone(NEW_YORK).date() - _EPOCH).days for at in (first, last))
    numbers = np.arange(begin, end + 1, dtype=np.int64)
    bounds = np.zeros((4, len(numbers)), dtype=np.int64)
    for place, number in enumerate(numbers.tolist()):
        day = _EPOCH + timedelta(days=number)
        bounds[0, place], bounds[3, place] = new_york(day, _NIGHT_ENDS), new_york(day, _EVENING_ENDS)
        if is_trading_day(day):
            session = trading_day(day)
            bounds[1:3, place] = session.open_at, session.close_at
    return numbers, bounds


def _numbers(ts: Integers) -> list[int]:
    """Return the UTC dates that occur and the days before them: all New York dates are among them."""
    found = np.unique(ts // DAY)
    return sorted({*found.tolist(), *(found - 1).tolist()})


__all__ = ["Hours", "hours_between", "hours_of"]
