"""The ledger's entries as the four kinds of documents that Manager.io keeps.

There a journal entry does not move the balance of a bank account; receipts, payments and transfers do. Brokers' cash
and the bank are such accounts. So what moves cash becomes one of those three, and what moves none a journal entry.
All documents together add up to what the ledger adds up, account by account, to the last nano-dollar.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from tbot_bot.accounting.entries import LedgerEntry, LedgerLine, balance_of
from tbot_bot.accounting.ledger_reader import LedgerReader
from tbot_bot.accounting.ledger_schema import Account, Role
from tbot_bot.accounting.units import spelled

_BANKS: Final = frozenset({Role.CASH, Role.BANK_INJECTION, Role.BANK_RETURNED})
"""Accounts that are bank and cash accounts there."""
_REFERENCE_DIGITS: Final = 16
"""Of an entry's GUID: 64 bits, so that two entries of one business do not share a reference."""


class Tab(StrEnum):
    """Manager's tabs, as its interface names their lists."""

    JOURNAL = "journal-entries"
    RECEIPT = "receipts"
    PAYMENT = "payments"
    TRANSFER = "inter-account-transfers"

    @property
    def form(self) -> str:
        """Return the name of the form that makes one."""
        return f"{_SINGULAR[self]}-form"


_SINGULAR: Final = {
    Tab.JOURNAL: "journal-entry",
    Tab.RECEIPT: "receipt",
    Tab.PAYMENT: "payment",
    Tab.TRANSFER: "inter-account-transfer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLine:
    """One line: `amount` in units, positive for a debit, as in the ledger."""

    account: str
    """GUID of the ledger's account."""
    amount: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document. Its bank account, and the other one of a transfer, are not among its lines."""

    tab: Tab
    guid: str
    reference: str
    day: date
    text: str
    lines: tuple[DocumentLine, ...] = ()
    bank: str = ""
    """GUID of the account that money comes into, or goes out of; of a transfer, out of."""
    into: str = ""
    """Of a transfer only."""
    amount: int = 0
    """What moves on `bank`, without sign; 0 in a journal entry."""

    def effects(self) -> Iterator[tuple[str, int]]:
        """Yield what it does to each account, debits positive."""
        for line in self.lines:
            yield line.account, line.amount
        if self.tab is Tab.TRANSFER:
            yield self.into, self.amount
            yield self.bank, -self.amount
        elif self.bank:
            yield self.bank, self.amount if self.tab is Tab.RECEIPT else -self.amount


def is_bank(account: Account) -> bool:
    """Return whether Manager keeps this account as a bank or cash account."""
    return account.role in _BANKS


def documents(ledger: LedgerReader) -> Iterator[Document]:
    """Yield every document, in the ledger's order."""
    banks = frozenset(one.guid for one in ledger.accounts() if is_bank(one))
    for stored in ledger.entries():
        yield from documents_of(stored.entry, banks)


def documents_of(entry: LedgerEntry, banks: frozenset[str]) -> Iterator[Document]:
    """Yield the documents of one entry, most often one; each is balanced in itself."""
    number = 0
    for part in _balanced_parts(entry.lines):
        for tab, bank, into, amount, lines in _moves(part, banks):
            number += 1
            yield Document(
                tab=tab,
                guid=entry.guid if number == 1 else str(uuid.uuid5(uuid.UUID(entry.guid), f"document {number}")),
                reference=reference_of(entry.guid, number),
                day=entry.day,
                text=_one_line(entry.text),
                lines=tuple(
                    DocumentLine(account=line.account, amount=line.amount, text=_line_text(line)) for line in lines
                ),
                bank=bank,
                into=into,
                amount=amount,
            )


def reference_of(guid: str, number: int = 1) -> str:
    """Return the reference of the document `number` of an entry: the same fact has the same one for ever."""
    short = guid.replace("-", "")[:_REFERENCE_DIGITS].upper()
    return f"TB-{short}" if number == 1 else f"TB-{short}-{number}"


Move = tuple[Tab, str, str, int, Sequence[LedgerLine]]
"""Tab, bank account, the transfer's other one, amount, lines beside them."""


def _moves(lines: Sequence[LedgerLine], banks: frozenset[str]) -> Iterator[Move]:
    """Yield what becomes of lines that add up to zero."""
    moved: dict[str, int] = {}
    for line in lines:
        if line.account in banks:
            moved[line.account] = moved.get(line.account, 0) + line.amount
    others = [line for line in lines if line.account not in banks]
    moving = {guid: amount for guid, amount in moved.items() if amount}
    if not moving:
        if others:
            yield Tab.JOURNAL, "", "", 0, others
        return
    hub, *further = moving  # what moves on several accounts passes through the first of them
    for guid in further:
        amount = moving[guid]
        source, into = (hub, guid) if amount > 0 else (guid, hub)
        yield Tab.TRANSFER, source, into, abs(amount), ()
    net = sum(moving.values())
    if others:
        yield (Tab.RECEIPT if net > 0 else Tab.PAYMENT), hub, "", abs(net), others


def _balanced_parts(lines: Iterable[LedgerLine]) -> Iterator[list[LedgerLine]]:
    """Split lines wherever they add up to zero so far: a float's way through the bank is two movements."""
    part: list[LedgerLine] = []
    for line in lines:
        part.append(line)
        if balance_of(part) == 0:
            yield part
            part = []
    if part:
        yield part


def _line_text(line: LedgerLine) -> str:
    return f"{spelled(line.quantity, 0)} {line.instrument}" if line.instrument else ""


def _one_line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


__all__ = ["Document", "DocumentLine", "Tab", "documents", "documents_of", "is_bank", "reference_of"]
