"""Reports of checks as they are kept: beside the bars of a data set, or in the cache under a digest of the bytes.

A report of other bytes is never taken for one of these.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.backtest.data_findings import DataReport
from tbot_bot.config.files import write_atomically
from tbot_bot.reporting.shapes import from_plain, text_of, to_plain

_CHECKS: Final = "checks"
_RULES: Final = "2"
"""Changes with what is looked for, so that older reports are made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A report as it is kept."""

    rules: str
    fingerprint: str
    report: DataReport


def place_in(cache: Path, fingerprint: str) -> Path:
    """Return where `cache` keeps the report on the bytes of `fingerprint`."""
    return cache / _CHECKS / f"{fingerprint}.json"


def keep(place: Path, fingerprint: str, report: DataReport) -> None:
    """Keep `report` at `place`."""
    kept = Kept(rules=_RULES, fingerprint=fingerprint, report=report)
    write_atomically(place, f"{text_of(to_plain(kept), indent=1)}\n", durable=False)


def kept_at(place: Path | None, fingerprint: str) -> DataReport | None:
    """Return the report kept at `place`; None where there is none of these bytes and rules."""
    kept = None if place is None else kept_in(place)
    return None if kept is None or (kept.rules, kept.fingerprint) != (_RULES, fingerprint) else kept.report


def kept_in(place: Path) -> Kept | None:
    """Return what is kept at `place`; None where there is nothing that this version can read."""
    try:
        return from_plain(Kept, json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError):  # absent, of another version, or cut off: it is made again
        return None


__all__ = ["Kept", "keep", "kept_at", "kept_in", "place_in"]
