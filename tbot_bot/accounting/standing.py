"""Entries that count: what was taken back is left out, and what was booked anew stands where it first stood."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from tbot_bot.accounting.entries import LedgerEntry, StoredEntry, Template
from tbot_bot.core.instants import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An entry that counts."""

    entry: LedgerEntry
    number: int
    """Of its first booking."""
    day: date
    """Trading day of the fact: that of its first booking."""
    at: Instant
    """Market time of the fact."""


def standing(entries: Iterable[StoredEntry]) -> list[Standing]:
    """Return what counts, in the order in which the facts were first booked: lots were made and used up in it."""
    kept: dict[str, Standing] = {}
    first: dict[str, Standing] = {}
    for stored in entries:
        entry = stored.entry
        if entry.template is Template.REVERSAL:
            kept.pop(entry.reverses, None)
            continue
        origin = first.get(entry.reverses) if entry.template is Template.REBOOKING else None
        made = Standing(
            entry=entry,
            number=origin.number if origin else stored.number,
            day=origin.day if origin else entry.day,
            at=origin.at if origin else entry.at,
        )
        kept[entry.guid] = first[entry.guid] = made
    return sorted(kept.values(), key=lambda one: one.number)


__all__ = ["Standing", "standing"]
