"""Proving a ledger: the chain of its entries, their sums, and all of it computed again from the journal.

Nothing in the ledger is trusted: every entry is made anew from the journal's rows and compared, lots and their order
included. Where the day's reconciliation with the brokers is on file, cash and positions are held against it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Final

from tbot_bot.accounting.accounting_api import booked_anew
from tbot_bot.accounting.booking import NotBooked
from tbot_bot.accounting.entries import LedgerEntry, StoredEntry, balance_of, genesis, hash_of
from tbot_bot.accounting.ledger_reader import LedgerReader, Mark
from tbot_bot.accounting.ledger_schema import Role
from tbot_bot.accounting.ledger_store import hash_of_mark
from tbot_bot.accounting.lots import Lot
from tbot_bot.accounting.units import dollars_of, spelled
from tbot_bot.core.identity import Mode
from tbot_bot.journal.store import JournalReader

_FAULTS_MAX: Final = 20
"""After so many the rest is only counted."""
Reach = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What a broker said at the end of a day, in units and nano-shares."""

    day: date
    broker: str
    cash: int
    positions: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verification found."""

    entries: int
    lines: int
    journal_seq: int
    """Up to which row the journal was compared."""
    reconciliations: int
    """How many statements of brokers were compared."""
    faults: tuple[str, ...]
    not_booked: tuple[NotBooked, ...]

    @property
    def sound(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.faults


def verify(
    ledger: LedgerReader, journal: JournalReader, reconciled: Sequence[Reconciled] = (), reach: Reach | None = None
) -> Verdict:
    """Compare `ledger` with itself, with `journal` and with what the brokers said.

    Raises:
        JournalError, LedgerError: one of them cannot be read at all.
    """
    stored = list(ledger.entries())
    until = ledger.booked_to()
    faults = [*chain_faults(stored, ledger.mode)]
    if ledger.mode is not journal.mode:
        faults.append(f"the ledger is of mode {ledger.mode}, the journal of {journal.mode}")
    if journal.head().seq < until:
        faults.append(f"the ledger is booked to journal row {until}, the journal ends at {journal.head().seq}")
    anew = booked_anew(journal, ledger.mode, until, reach)
    faults += _differences(stored, anew.entries)
    faults += _marks(ledger, stored)
    faults += _sums(ledger, anew.entries)
    faults += _lots(ledger.open_lots(), list(anew.lots.open_lots()))
    for one in reconciled:
        faults += _against_broker(stored, ledger, one)
    if len(faults) > _FAULTS_MAX:
        faults = [*faults[:_FAULTS_MAX], f"and {len(faults) - _FAULTS_MAX} more"]
    return Verdict(
        entries=len(stored),
        lines=sum(len(one.entry.lines) for one in stored),
        journal_seq=until,
        reconciliations=len(reconciled),
        faults=tuple(faults),
        not_booked=tuple(anew.not_booked),
    )


def chain_faults(stored: Sequence[StoredEntry], mode: Mode) -> Iterator[str]:
    """Yield what is wrong with the entries as such: a gap, a broken link, a changed column, a sum that is not zero."""
    previous = genesis(mode)
    for number, one in enumerate(stored, start=1):
        if one.number != number:
            yield f"entry {number} is missing: {_name(one)} comes after entry {number - 1}"
            return
        off = balance_of(one.entry.lines)
        if off:
            yield f"{_name(one)} is off by {spelled(off)} dollars"
        if one.previous_hash != previous:
            yield f"{_name(one)} does not follow the entry before it"
        elif hash_of(number, one.entry, previous) != one.hash:
            yield f"{_name(one)} was changed after it was written"
        previous = one.hash


def _differences(stored: Sequence[StoredEntry], made: Sequence[LedgerEntry]) -> Iterator[str]:
    for one, again in zip(stored, made, strict=False):
        if one.entry != again:
            names = [
                field.name for field in fields(again) if getattr(one.entry, field.name) != getattr(again, field.name)
            ]
            yield f"{_name(one)} is not what the journal gives ({again.text}): {', '.join(names)} differ"
    for again in made[len(stored) :]:
        yield f"{again.text} (entry {again.guid}, journal row {again.journal_seq}) is missing"
    for one in stored[len(made) :]:
        yield f"{_name(one)} is in the ledger and not in the journal"


def _marks(ledger: LedgerReader, stored: Sequence[StoredEntry]) -> Iterator[str]:
    previous = genesis(ledger.mode)
    hashes = {one.number: one.hash for one in stored} | {0: genesis(ledger.mode)}
    final: dict[date, tuple[Mark, int]] = {}
    for number, mark in enumerate(ledger.marks(), start=1):
        body = "\0".join(
            map(str, (number, mark.day, mark.mark.value, mark.last_entry, mark.final_at, mark.at, mark.who, mark.why))
        )
        claims = hash_of_mark(previous, hashes.get(mark.last_entry, b""), body)
        if mark.number != number or mark.previous_hash != previous or claims != mark.hash:
            yield f"mark {mark.number} ({mark.mark} {mark.day}) was changed after it was written"
        previous = mark.hash
        if mark.mark in {Mark.LOCKED, Mark.REOPENED, Mark.DECOMMISSIONED}:
            final[mark.day] = (mark.mark, mark.last_entry)
    for one in stored:
        mark_of, last = final.get(one.entry.day, (Mark.REOPENED, 0))
        if mark_of is not Mark.REOPENED and one.number > last:
            yield f"{_name(one)} was written into {one.entry.day.isoformat()} after it was locked"


def _sums(ledger: LedgerReader, made: Sequence[LedgerEntry]) -> Iterator[str]:
    balances = ledger.balances()
    off = sum(one.amount for one in balances)
    if off:
        yield f"the trial balance is off by {spelled(off)} dollars"
    sums: dict[str, int] = {}
    for entry in made:
        for line in entry.lines:
            sums[line.account] = sums.get(line.account, 0) + line.amount
    for one in balances:
        expected = sums.get(one.account.guid, 0)
        if one.amount != expected:
            yield f"{one.account.name} holds {spelled(one.amount)}, the journal gives {spelled(expected)}"


def _lots(held: Sequence[Lot], expected: Sequence[Lot]) -> Iterator[str]:
    have = {lot.guid: lot for lot in held}
    want = {lot.guid: lot for lot in expected}
    for guid in sorted({*have, *want}):
        mine, right = have.get(guid), want.get(guid)
        if mine != right:
            told = right or mine
            where = f"{told.instrument} at {told.broker}" if told is not None else ""
            yield f"lot {guid} ({where}) is {_lot(mine)}, the journal gives {_lot(right)}"


def _lot(lot: Lot | None) -> str:
    return "not held" if lot is None else f"{spelled(lot.quantity, 0)} for {spelled(lot.cost)}"


def _against_broker(stored: Sequence[StoredEntry], ledger: LedgerReader, said: Reconciled) -> Iterator[str]:
    """Yield where the books at the end of a day are not what the broker said, cash to the cent."""
    cash, positions = books_at(stored, ledger, said.day, said.broker)
    day = said.day.isoformat()
    if _cents(cash) != _cents(said.cash):
        yield f"{day} {said.broker}: the books hold {spelled(cash)} in cash, the broker said {spelled(said.cash)}"
    for instrument in sorted({*positions, *said.positions}):
        mine, theirs = positions.get(instrument, 0), said.positions.get(instrument, 0)
        if mine != theirs:
            yield (
                f"{day} {said.broker}: the books hold {spelled(mine, 0)} of {instrument}, "
                f"the broker said {spelled(theirs, 0)}"
            )


def books_at(stored: Sequence[StoredEntry], ledger: LedgerReader, day: date, broker: str) -> tuple[int, dict[str, int]]:
    """Return cash and positions at `broker` after the last entry of `day`, in units and nano-shares."""
    cash_guid = next((one.guid for one in ledger.accounts() if one.role is Role.CASH and one.broker == broker), "")
    last = max((one.number for one in stored if one.entry.day <= day), default=0)
    cash = 0
    positions: dict[str, int] = {}
    for one in stored[:last]:
        for line in one.entry.lines:
            if line.account == cash_guid:
                cash += line.amount
            if line.quantity and one.entry.broker == broker:
                positions[line.instrument] = positions.get(line.instrument, 0) + line.quantity
    return cash, {name: quantity for name, quantity in positions.items() if quantity}


def _cents(units: int) -> str:
    return f"{round(dollars_of(units), 2):.2f}"


def _name(one: StoredEntry) -> str:
    return f"entry {one.number} ({one.entry.guid}: {one.entry.text})"


__all__ = ["Reconciled", "Verdict", "books_at", "chain_faults", "verify"]
