"""Time inside the program: integer nanoseconds since 1970-01-01T00:00:00Z, always UTC.

An integer is exact, cheap to compare and the same on every machine. Aware datetimes appear at the edges
(calendar, files for people); naive ones are refused, never guessed.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NewType

Instant = NewType("Instant", int)
"""Nanoseconds since the Unix epoch, UTC."""

Duration = NewType("Duration", int)
"""Nanoseconds, may be negative."""

MICROSECOND: Final = Duration(1_000)
MILLISECOND: Final = Duration(1_000_000)
SECOND: Final = Duration(1_000_000_000)
MINUTE: Final = Duration(60 * SECOND)
HOUR: Final = Duration(60 * MINUTE)
DAY: Final = Duration(24 * HOUR)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(moment: datetime) -> Instant:
    """Return `moment` as an instant.

    Raises:
        ValueError: `moment` carries no time zone.
    """
    if moment.tzinfo is None:
        msg = f"naive datetime {moment.isoformat()}: give it a time zone"
        raise ValueError(msg)
    delta = moment - _EPOCH
    return Instant((delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * MICROSECOND)


def to_datetime(at: Instant) -> datetime:
    """Return `at` as an aware UTC datetime, truncated to microseconds."""
    return _EPOCH + timedelta(microseconds=at // MICROSECOND)


def iso(at: Instant) -> str:
    """Return `at` as ISO 8601 with `Z`, with as many sub-second digits as it needs (0, 3, 6 or 9)."""
    seconds, nanoseconds = divmod(at, SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if nanoseconds == 0:
        return f"{text}Z"
    digits = f"{nanoseconds:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


def parse_iso(text: str) -> Instant:
    """Read what `iso` writes, or any ISO 8601 time with a zone.

    Raises:
        ValueError: not a time, or one without a zone.
    """
    head, dot, tail = text.partition(".")
    digits = tail.rstrip("Z")
    if dot and text.endswith("Z") and digits.isdigit():
        whole = instant(datetime.fromisoformat(f"{head}+00:00"))
        return Instant(whole + int(digits[:9].ljust(9, "0")))
    return instant(datetime.fromisoformat(text))


def later(at: Instant, by: int) -> Instant:
    """Return the instant `by` nanoseconds after `at` (before it, where negative)."""
    return Instant(at + by)


def minutes(count: float) -> Duration:
    """Return `count` minutes as a duration."""
    return Duration(round(count * MINUTE))


def seconds(count: float) -> Duration:
    """Return `count` seconds as a duration."""
    return Duration(round(count * SECOND))
