"""What backups are called: `<what>_<mode>_<UTC time>.tar.zst.enc`. Their order by name is their order in time."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import SECOND, Instant, to_datetime

SUFFIX: Final = ".tar.zst.enc"
_DAY: Final = 86_400 * SECOND
_FORM: Final = re.compile(rf"(records|ledger)_(live|paper|backtest)_(\d{{8}}T\d{{6}}\.\d{{6}})Z{re.escape(SUFFIX)}")
_TIME: Final = "%Y%m%dT%H%M%S.%f"


class What(StrEnum):
    """What a backup holds."""

    RECORDS = "records"
    """Everything of one mode."""
    LEDGER = "ledger"
    """The ledger alone, before something is written to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupName:
    """One backup's name, taken apart."""

    what: What
    mode: Mode
    made_at: Instant
    """To the microsecond."""

    def __str__(self) -> str:
        """Return the file's name."""
        return f"{self.what}_{self.mode}_{to_datetime(self.made_at):{_TIME}}Z{SUFFIX}"

    @classmethod
    def parse(cls, text: str) -> "BackupName | None":
        """Read a file's name; None where it is no backup's."""
        found = _FORM.fullmatch(text)
        if found is None:
            return None
        try:
            at = datetime.strptime(found[3], _TIME).replace(tzinfo=UTC)
        except ValueError:
            return None
        whole = round(at.replace(microsecond=0).timestamp()) * SECOND + at.microsecond * 1_000
        return cls(what=What(found[1]), mode=Mode(found[2]), made_at=Instant(whole))


def expired(
    names: Iterable[BackupName], is_good: Callable[[BackupName], bool], now: Instant, *, retention_days: int
) -> tuple[BackupName, ...]:
    """Return which backups may go: those out of the retention that have a newer good one of their kind.

    So the newest good one stays whatever its age, and where nothing is good, nothing goes.
    """
    every = sorted(names, key=lambda name: name.made_at)
    gone = []
    for name in every:
        newer_good = any(
            other.made_at > name.made_at and (other.what, other.mode) == (name.what, name.mode) and is_good(other)
            for other in every
        )
        if newer_good and now - name.made_at > retention_days * _DAY:
            gone.append(name)
    return tuple(gone)


__all__ = ["SUFFIX", "BackupName", "What", "expired"]
