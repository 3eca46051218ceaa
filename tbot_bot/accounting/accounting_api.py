"""The ledger's front door: book what the journal has, look at it, lock days."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from heapq import merge
from typing import Final

from tbot_bot.accounting.accounting_config import BooksConfig
from tbot_bot.accounting.booking import Booker, NotBooked
from tbot_bot.accounting.entries import LedgerEntry
from tbot_bot.accounting.ledger_files import LedgerError
from tbot_bot.accounting.ledger_reader import LedgerReader, Mark
from tbot_bot.accounting.ledger_store import Ledger
from tbot_bot.accounting.lots import LotBook
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind, Row
from tbot_bot.journal.store import JournalReader, open_reader

_CONTROL: Final = ""
"""The session of rows outside of sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What one booking has done."""

    entries: int
    """Written now."""
    days: tuple[date, ...]
    """To which they belong."""
    journal_seq: int
    """Up to which row everything is booked."""
    not_booked: tuple[NotBooked, ...]


def book(config: BooksConfig, *, at: Instant, journal: JournalReader | None = None) -> Booked:
    """Book what the journal has beyond the last booking; whoever calls it twice changes nothing.

    `at` is real time. The backup is made first, where there is something to be written.

    Raises:
        JournalError: the journal cannot be read, or there is none.
        LedgerError: the ledger cannot be read or written. Nothing was written.
        EntryRefused: something in the journal does not add up. Nothing was written.
    """
    if journal is None:
        with open_reader(config.journal) as opened:
            return book(config, at=at, journal=opened)
    with Ledger.open(config.ledger, config.mode) as ledger:
        if journal.mode is not config.mode:
            raise LedgerError(
                f"the journal is of mode {journal.mode}, the ledger of {config.mode}", where=str(config.ledger)
            )
        if journal.head().seq <= ledger.booked_to():
            return Booked(entries=0, days=(), journal_seq=ledger.booked_to(), not_booked=())
        config.backup(config.ledger)
        ledger.begin()  # nobody else writes between the reading of lots and the writing of entries
        try:
            until = journal.head().seq
            made = pending(journal, ledger, until)
            ledger.write(made.entries, journal_seq=until, at=at)
            days = tuple(sorted({entry.day for entry in made.entries}))
            for day in days:
                ledger.mark(day, Mark.SYNCED, at=at, who="booking", why=f"booked to journal row {until}")
            ledger.commit()
        except BaseException:
            ledger.roll_back()
            raise
        return Booked(entries=len(made.entries), days=days, journal_seq=until, not_booked=tuple(made.not_booked))


def pending(journal: JournalReader, ledger: LedgerReader, until: int) -> Booker:
    """Return a booker that has taken in what `ledger` has not booked of the journal up to row `until`."""
    after = ledger.booked_to()
    booker = Booker(ledger.mode, ledger, LotBook(ledger.open_lots()), ledger.venues(), after=after)
    touched = dict.fromkeys(row.session for row in journal.rows(after=after) if row.session and row.seq <= until)
    streams: list[Iterator[Row]] = [_rows(journal, name, None, until) for name in touched]
    streams.append(_rows(journal, _CONTROL, Kind.CONTROL, until))
    booker.feed(merge(*streams, key=lambda row: row.seq))
    return booker


def _rows(journal: JournalReader, session: str, kind: Kind | None, until: int) -> Iterator[Row]:
    return (row for row in journal.rows(session=session, kind=kind) if row.seq <= until)


def mark_day(
    config: BooksConfig, day: date, mark: Mark, *, at: Instant, who: str, why: str, backup: bool = True
) -> None:
    """Lock a day, open it again, or note what was found of it.

    Raises:
        LedgerError: the ledger cannot be read or written, or the day is closed for good.
    """
    with Ledger.open(config.ledger, config.mode) as ledger:
        if backup:
            config.backup(config.ledger)
        ledger.begin()
        try:
            ledger.mark(day, mark, at=at, who=who, why=why)
            ledger.commit()
        except BaseException:
            ledger.roll_back()
            raise


class NothingBefore:
    """A shelf of a ledger that begins now."""

    def has(self, guid: str) -> bool:  # noqa: ARG002 - a shelf
        """Return that it is not there."""
        return False

    def entry(self, guid: str) -> LedgerEntry | None:  # noqa: ARG002 - a shelf
        """Return nothing."""
        return None

    def moves(self, broker: str, instrument: str) -> list[LedgerEntry]:  # noqa: ARG002 - a shelf
        """Return nothing."""
        return []

    def amount_on(self, account: str) -> int:  # noqa: ARG002 - a shelf
        """Return nothing."""
        return 0


def booked_anew(journal: JournalReader, mode: Mode, until: int, reach: Callable[[int], None] | None = None) -> Booker:
    """Return everything that the journal up to row `until` comes to, computed from nothing."""
    booker = Booker(mode, NothingBefore(), LotBook(), {})
    for row in journal.rows():
        if row.seq > until:
            break
        if reach is not None:
            reach(row.seq)
        booker.feed((row,))
    return booker


__all__ = ["Booked", "NothingBefore", "book", "booked_anew", "mark_day", "pending"]
