"""`tbot ledger post`: tried on the books first, then journaled, then booked like anything else."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tbot_bot.accounting.accounting_api import book, pending
from tbot_bot.accounting.accounting_config import BooksConfig
from tbot_bot.accounting.ledger_store import Ledger
from tbot_bot.accounting.units import EntryRefused
from tbot_bot.core.calendar import exchange_time
from tbot_bot.journal.chain import Kind, Row
from tbot_bot.journal.ledger_posting import LedgerPosting, PostingKind
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.runtime.clock import wall_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person wants booked."""

    by: str
    why: str
    kind: PostingKind
    reference: str
    amount: Decimal
    broker: str
    day: date | None
    """None: today in New York."""
    instrument: str
    quantity: Decimal


def post(config: BooksConfig, asked: Asked) -> str:
    """Book what is asked and return it in words; empty where it is booked already.

    Raises:
        EntryRefused: it cannot be booked as it is. Nothing was written, neither to journal nor ledger.
        LedgerError, JournalError: one of them cannot be read or written, or the day is locked.
    """
    now = wall_now()
    row = LedgerPosting(
        at=now,
        by=asked.by,
        why=asked.why,
        kind=asked.kind,
        day=asked.day or exchange_time(now).date(),
        reference=asked.reference,
        broker=asked.broker,
        amount=asked.amount,
        instrument=asked.instrument,
        quantity=asked.quantity,
    )
    entry = Entry.of(row, kind=Kind.CONTROL, at=now, recorded_at=now)
    with Journal.open(config.journal, config.mode) as journal:
        book(config, at=now, journal=journal)
        with Ledger.open(config.ledger, config.mode) as ledger:
            trial = pending(journal, ledger, journal.head().seq)
            before = len(trial.entries)
            trial.feed((_as_row(entry, journal.head().seq + 1),))
            if trial.not_booked:
                raise EntryRefused(trial.not_booked[-1].why, where=f"{asked.kind} {asked.reference}")
            if len(trial.entries) == before:
                return ""
            ledger.require_open(trial.entries)
        journal.append([entry])
        book(config, at=now, journal=journal)
    return f"booked on {row.day.isoformat()}: {trial.entries[-1].text}"


def _as_row(entry: Entry, seq: int) -> Row:
    """Return `entry` as the journal would hold it, for a trial."""
    return Row(
        seq=seq,
        at=entry.at,
        recorded_at=entry.recorded_at,
        session=entry.session,
        input_number=entry.input_number,
        kind=entry.kind,
        version=entry.version,
        payload=entry.payload,
        previous_hash=b"",
        hash=b"",
    )


__all__ = ["Asked", "post"]
