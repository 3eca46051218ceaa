"""What the journal knows of floats and transfers: the last readings, what was moved since, what is under way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Final

from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.codec import loads
from tbot_bot.core.events import AccountsRead
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.journal.store import JournalReader, Kind
from tbot_bot.trading.float_bot import FloatReading
from tbot_bot.treasury.records import (
    ROW_NAMES,
    AuthorizedTransfer,
    Outcome,
    TransferAsked,
    TransferRow,
    TransfersAuthorized,
    TransferSettled,
)

_SESSIONS_BACK: Final = 120
"""Sessions that are looked through for a reading, newest first: two months; an older one is none."""
_INPUTS_MAX: Final = 64
"""Inputs of a session among which its reading must be: it is the first, unless somebody had a request before."""
_READING: Final = '{"_":"AccountsRead"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """An authorized transfer that is not settled."""

    transfer: AuthorizedTransfer
    authorized_at: Instant
    asked_at: Instant | None
    """When the bank was first about to be asked; None: it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatBook:
    """All of it, at one moment."""

    readings: Mapping[str, FloatReading]
    """The last of each broker that was ever read, corrected by the transfers settled after it."""
    authorizations: tuple[TransfersAuthorized, ...] = ()
    """Oldest first."""
    asked: Mapping[str, Instant]
    settled: Mapping[str, TransferSettled]

    def pending(self) -> tuple[Pending, ...]:
        """Return what is authorized and not settled, oldest first."""
        return tuple(
            Pending(transfer=one, authorized_at=authorization.at, asked_at=self.asked.get(one.transfer_id))
            for authorization in self.authorizations
            for one in authorization.transfers
            if one.transfer_id not in self.settled
        )

    def sent_on(self, day: date) -> dict[str, Decimal]:
        """Return the dollars that left each account on New York's `day`, by broker's name."""
        sent: dict[str, Decimal] = {}
        for authorization in self.authorizations:
            for one in authorization.transfers:
                end = self.settled.get(one.transfer_id)
                if end and end.outcome is Outcome.DONE and exchange_time(end.at).date() == day:
                    sent[one.source] = sent.get(one.source, ZERO) + one.amount
        return sent


def read_book(journal: JournalReader | None, brokers: Sequence[str]) -> FloatBook:
    """Return what `journal` knows of `brokers`; nothing where there is none.

    Raises:
        JournalError: the journal is damaged.
        CodecError: a row of transfers was written by a newer version.
    """
    if journal is None:
        return FloatBook(readings={}, asked={}, settled={})
    rows = tuple(_transfer_rows(journal))
    authorizations = tuple(row for _, row in rows if isinstance(row, TransfersAuthorized))
    asked: dict[str, Instant] = {}
    settled: dict[str, TransferSettled] = {}
    settled_in: dict[str, int] = {}
    for seq, row in rows:
        if isinstance(row, TransferAsked):
            asked.setdefault(row.transfer_id, row.at)
        elif isinstance(row, TransferSettled):
            settled.setdefault(row.transfer_id, row)
            settled_in.setdefault(row.transfer_id, seq)
    moves = [
        (settled_in[one.transfer_id], one)
        for authorization in authorizations
        for one in authorization.transfers
        if one.transfer_id in settled and settled[one.transfer_id].outcome is Outcome.DONE
    ]
    readings = {
        broker: _corrected(reading, [one for moved_in, one in moves if moved_in > seq])
        for broker, (seq, reading) in _readings(journal, brokers).items()
    }
    return FloatBook(readings=readings, authorizations=authorizations, asked=asked, settled=settled)


def _transfer_rows(journal: JournalReader) -> Iterator[tuple[int, TransferRow]]:
    for row in journal.rows(session="", kind=Kind.CONTROL):
        if row.payload.startswith(ROW_NAMES):
            found = loads(row.payload)
            if isinstance(found, TransferRow):
                yield row.seq, found


def _readings(journal: JournalReader, brokers: Sequence[str]) -> dict[str, tuple[int, FloatReading]]:
    """Return the last reading of each broker with its row's number."""
    found: dict[str, tuple[int, FloatReading]] = {}
    for session in islice(reversed(journal.sessions()), _SESSIONS_BACK):
        for row in islice(journal.rows(session=session, kind=Kind.INPUT), _INPUTS_MAX):
            read = loads(row.payload) if row.payload.startswith(_READING) else None
            if not isinstance(read, AccountsRead):
                continue
            for account in read.accounts:
                if account.broker in brokers and row.seq > found.get(account.broker, (0, None))[0]:
                    found[account.broker] = (
                        row.seq,
                        FloatReading(
                            broker=account.broker,
                            equity=account.equity,
                            settled_cash=min(account.cash, account.settled_cash),
                            read_at=read.at,
                        ),
                    )
        if len(found) == len(brokers):
            break
    return found


def _corrected(reading: FloatReading, moved: Sequence[AuthorizedTransfer]) -> FloatReading:
    """Return `reading` with what came and went after it: the broker itself is read again at the next open."""
    change = sum((one.amount for one in moved if one.destination == reading.broker), ZERO)
    change -= sum((one.amount for one in moved if one.source == reading.broker), ZERO)
    return replace(reading, equity=reading.equity + change, settled_cash=reading.settled_cash + change)


__all__ = ["FloatBook", "Pending", "read_book"]
