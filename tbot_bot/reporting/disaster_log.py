"""`disaster_<mode>.log`: each entering and leaving of defense mode, with its numbers. JSON lines.

Few rows make this file, and several processes may write one: whoever does makes the file anew from the journal,
and once more where a row has come meanwhile. So the last writer leaves all of them, and always the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.instants import Instant
from tbot_bot.journal.store import JournalReader, Kind
from tbot_bot.reporting.atomic import settle_log
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.shapes import text_of, to_plain
from tbot_bot.trading.defense import TriggerFound
from tbot_bot.trading.defense_state import ROW_NAMES, AdjustedLimit, DefenseChange, DefenseEntered, DefenseLeft

_TRIES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DisasterTrigger:
    """One trigger, with the number that passed the limit."""

    name: str
    value: Decimal
    limit: Decimal
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisasterLimit:
    """One limit as it was before the line, and as it is from the next session on."""

    name: str
    before: Decimal
    now: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DisasterLine:
    """One line of the log."""

    timestamp: Instant
    """Market time of the judgement; real time where a person did it."""
    day: str
    event: str
    """`entered` or `left`."""
    by: str
    why: str
    triggers: tuple[DisasterTrigger, ...]
    """Of an entry; of a leaving, what a person has overridden."""
    limits: tuple[DisasterLimit, ...]


def defense_rows(journal: JournalReader, after: int = 0) -> Iterator[tuple[int, DefenseChange]]:
    """Yield the rows of defense mode beyond row `after`, by number, in order.

    Raises:
        JournalError: such a row cannot be read, as where a newer version wrote it.
    """
    for row in journal.rows(after, session="", kind=Kind.CONTROL):
        if not row.payload.startswith(ROW_NAMES):
            continue
        try:
            found = loads(row.payload)
        except CodecError as error:
            mend = "If a newer version wrote it, start that version again; else run `tbot journal verify`."
            raise JournalError(f"row {row.seq} cannot be read: {error}", where=str(journal.path), mend=mend) from error
        if isinstance(found, DefenseChange):
            yield row.seq, found


def write_disaster_log(journal: JournalReader, records: OutputPaths) -> None:
    """Bring the log up to date with `journal`; nothing is made where defense mode was never entered.

    Raises:
        JournalError: the journal cannot be read.
        RecordsError: the file cannot be written.
    """
    told: tuple[tuple[int, DefenseChange], ...] | None = None
    for _ in range(_TRIES):
        rows = tuple(defense_rows(journal))
        if rows == told:
            return
        settle_log(records.disaster_log, b"".join(_lines(rows)))
        told = rows


def _lines(rows: tuple[tuple[int, DefenseChange], ...]) -> Iterator[bytes]:
    limits: tuple[AdjustedLimit, ...] = ()
    for _, change in rows:
        if isinstance(change, DefenseEntered):
            limits = change.limits
        yield (text_of(to_plain(line_of(change, limits))) + "\n").encode()


def line_of(change: DefenseChange, limits: tuple[AdjustedLimit, ...]) -> DisasterLine:
    """Return the line that `change` is; `limits` are those of the entry that it is, or that it ends."""
    left = isinstance(change, DefenseLeft)
    return DisasterLine(
        timestamp=change.at,
        day=change.day.isoformat(),
        event="left" if left else "entered",
        by=change.by,
        why=change.why,
        triggers=_triggers(change.overridden if isinstance(change, DefenseLeft) else change.triggers),
        limits=tuple(
            DisasterLimit(
                name=one.name,
                before=one.adjusted if left else one.normal,
                now=one.normal if left else one.adjusted,
            )
            for one in limits
        ),
    )


def _triggers(found: tuple[TriggerFound, ...]) -> tuple[DisasterTrigger, ...]:
    return tuple(DisasterTrigger(name=one.trigger, value=one.value, limit=one.limit, text=one.text) for one in found)


__all__ = ["DisasterLine", "defense_rows", "line_of", "write_disaster_log"]
