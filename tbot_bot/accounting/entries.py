"""What the ledger is made of: entries and their lines, their GUIDs, and the hash that links them.

An amount is in units (`units`), positive for a debit. A line on a broker's Equities account also tells how much of
what it moves, and of which lot; a lot bears the GUID of the line that opened it.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from tbot_bot.accounting.ledger_schema import NAMESPACE
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant

_MARK: Final = b"tbot-ledger-entry-1\0"


class Template(StrEnum):
    """How an entry came about."""

    BUY = "buy"
    SELL = "sell"
    SHORT_SALE = "short_sale"
    COVER = "cover"
    CLOSED_WITHOUT_ENGINE = "closed_without_engine"
    """What the dead-man path or the kill switch closed; its result is what that path reported, in whole cents."""
    EXPIRY = "expiry"
    ASSIGNMENT = "assignment"
    SLIPPAGE = "slippage"
    FEE = "fee"
    DIVIDEND = "dividend"
    INTEREST = "interest"
    BORROW_FEE = "borrow_fee"
    TIMEOUT_PENALTY = "timeout_penalty"
    INFRASTRUCTURE = "infrastructure"
    FLOAT_IN = "float_in"
    FLOAT_OUT = "float_out"
    FLOAT_MOVED = "float_moved"
    """From one broker to another."""
    ALLOCATION = "allocation"
    ALLOCATION_RELEASED = "allocation_released"
    OPENING = "opening"
    RESET = "reset"
    REVERSAL = "reversal"
    REBOOKING = "rebooking"
    """The same movement again after a reversal before it, against the lots that are right now."""


class Source(StrEnum):
    """Where the fact comes from."""

    FILL = "fill"
    ENGINE = "engine"
    DEAD_MAN = "dead_man"
    ACCOUNT = "account"
    TREASURY = "treasury"
    OPERATOR = "operator"
    BROKER = "broker"
    """A broker's own statement of a cash movement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One line of an entry."""

    account: str
    """GUID."""
    amount: int
    instrument: str = ""
    quantity: int = 0
    """Nano-shares, signed; zero on lines that move no position."""
    lot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One entry; its lines add up to zero."""

    guid: str
    at: Instant
    """When it happened: market time of what is booked."""
    day: date
    """The trading day it belongs to, which may be locked."""
    template: Template
    source: Source
    broker: str
    trade_id: str
    confirmation: str
    """The broker's execution id, the bank's id, or the reference that a person gave."""
    strategy: str
    session: str
    journal_seq: int
    """The row that it was booked from."""
    reverses: str
    """GUID of the entry that it takes back; of a rebooking, the entry whose place it takes. Else empty."""
    text: str
    lines: tuple[LedgerLine, ...]

    def line_guid(self, number: int) -> str:
        """Return the GUID of line `number`, counted from 1."""
        return line_guid(self.guid, number)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """An entry in its place in the ledger."""

    number: int
    entry: LedgerEntry
    previous_hash: bytes
    hash: bytes


def entry_guid(mode: Mode, what: str, *names: str) -> str:
    """Return the GUID of the entry that books one thing: the same thing has the same GUID for ever."""
    return str(uuid.uuid5(NAMESPACE, "\0".join(("entry", mode.value, what, *names))))


def line_guid(entry: str, number: int) -> str:
    """Return the GUID of a line, which is also that of the lot it opens."""
    return str(uuid.uuid5(NAMESPACE, f"line\0{entry}\0{number}"))


def genesis(mode: Mode) -> bytes:
    """Return what stands before the first entry: paper books cannot be passed off as live ones."""
    return hashlib.sha256(b"tbot-ledger-genesis-1\0" + mode.value.encode()).digest()


def hash_of(number: int, entry: LedgerEntry, previous: bytes) -> bytes:
    """Return the SHA-256 that links `entry`, with all its lines, to what comes before it."""
    lines = [[line.account, line.amount, line.instrument, line.quantity, line.lot] for line in entry.lines]
    body = [
        number, entry.guid, int(entry.at), entry.day.isoformat(), entry.template.value, entry.source.value,
        entry.broker, entry.trade_id, entry.confirmation, entry.strategy, entry.session, entry.journal_seq,
        entry.reverses, entry.text, lines,
    ]  # fmt: skip
    return hashlib.sha256(_MARK + previous + json.dumps(body, separators=(",", ":")).encode()).digest()


def balance_of(lines: Iterable[LedgerLine]) -> int:
    """Return what the lines add up to: zero, in an entry that may be written."""
    return sum(line.amount for line in lines)


__all__ = [
    "LedgerEntry", "LedgerLine", "Source", "StoredEntry", "Template", "balance_of", "entry_guid", "genesis", "hash_of",
    "line_guid",
]  # fmt: skip
