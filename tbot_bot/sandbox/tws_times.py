"""How the TWS protocol spells times, durations and bar sizes. Pure; texts are New York time unless they say so."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tbot_bot.core.calendar import NEW_YORK, exchange_time
from tbot_bot.core.instants import DAY, HOUR, MINUTE, SECOND, Duration, Instant, instant

ZONE: Final = "US/Eastern"
"""What the vendor calls New York."""
_TIME: Final = re.compile(r"(\d{8})(-| +)(\d\d:\d\d:\d\d)(?: +(\S+))?", re.ASCII)
_DURATION: Final = re.compile(r"(\d{1,6}) ([SDWMY])", re.ASCII)
_UNITS: Final[Mapping[str, Duration]] = {
    "S": SECOND, "D": DAY, "W": Duration(7 * DAY), "M": Duration(31 * DAY), "Y": Duration(366 * DAY),
}  # fmt: skip
BAR_SIZES: Final[Mapping[str, Duration]] = {
    "1 secs": SECOND, "5 secs": Duration(5 * SECOND), "10 secs": Duration(10 * SECOND),
    "15 secs": Duration(15 * SECOND), "30 secs": Duration(30 * SECOND), "1 min": MINUTE,
    "2 mins": Duration(2 * MINUTE), "3 mins": Duration(3 * MINUTE), "5 mins": Duration(5 * MINUTE),
    "10 mins": Duration(10 * MINUTE), "15 mins": Duration(15 * MINUTE), "20 mins": Duration(20 * MINUTE),
    "30 mins": Duration(30 * MINUTE), "1 hour": HOUR, "2 hours": Duration(2 * HOUR),
    "3 hours": Duration(3 * HOUR), "4 hours": Duration(4 * HOUR), "8 hours": Duration(8 * HOUR), "1 day": DAY,
}  # fmt: skip
"""The sizes that the vendor lists and the sandbox makes."""


def stamp(at: Instant) -> str:
    """Return `at` as `20240610 09:30:00 US/Eastern`, which every client version reads alike."""
    return f"{exchange_time(at):%Y%m%d %H:%M:%S} {ZONE}"


def read_time(text: str) -> Instant:
    """Return the instant that `text` names: `20240610 09:30:00 US/Eastern`, or `20240610-13:30:00` in UTC.

    Raises:
        ValueError: it is of neither form, or names a zone that nobody knows.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a time such as 20240610 09:30:00 {ZONE}")
    day, dash, clock, zone = found.groups()
    moment = datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007 - the zone follows
    if dash == "-":
        return instant(moment.replace(tzinfo=UTC))
    try:
        return instant(moment.replace(tzinfo=ZoneInfo(zone) if zone else NEW_YORK))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{zone!r} is not a time zone") from None


def duration(text: str) -> timedelta:
    """Return the span that `text` spells: `1800 S`, `5 D`, `2 W`, `1 M`, `1 Y`.

    Raises:
        ValueError: it is not of this form.
    """
    found = _DURATION.fullmatch(text)
    if found is None or not int(found[1]):
        raise ValueError(f"{text!r} is not a duration such as 1800 S, 5 D, 2 W, 1 M or 1 Y")
    return timedelta(microseconds=int(found[1]) * _UNITS[found[2]] // 1000)
