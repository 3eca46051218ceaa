"""Taking back what was booked: by reversing entries, and by booking again what came after it.

An execution that is undone may have been the first to be sold. So everything of the same instrument at the same broker
that came later is taken back too, the newest first, and then booked again against the lots that are right now. All of
it stays in the ledger, and what it comes to is what it would be had the execution never been. What an execution cost
may be told after it was booked: then it is booked anew with the right fees, in the same way.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from tbot_bot.accounting.account_transaction import (
    Movement,
    Occasion,
    build,
    movement_in,
    movement_lines,
    reversal_lines,
)
from tbot_bot.accounting.entries import LedgerEntry, LedgerLine, Template, entry_guid
from tbot_bot.accounting.ledger_schema import Role, account
from tbot_bot.accounting.lots import Lot, LotBook
from tbot_bot.core.identity import Mode

_BARRIERS: Final = frozenset({Template.RESET, Template.OPENING, Template.ASSIGNMENT})
"""Entries over more than one instrument: nothing before them is taken back by itself."""


class Desk(Protocol):
    """What corrections need of the one who books."""

    @property
    def mode(self) -> Mode:
        """Which books."""

    @property
    def lots(self) -> LotBook:
        """What is held."""

    def moves(self, broker: str, instrument: str) -> list[LedgerEntry]:
        """Return the entries that moved `instrument` at `broker`, oldest first."""

    def put(self, entry: LedgerEntry) -> None:
        """Add an entry that is to be written."""


def take_back(desk: Desk, occasion: Occasion, instrument: str, reason: str) -> str:
    """Reverse the entry that `occasion.reverses` was booked as; return why that is not possible, or nothing."""
    return _redo(desk, occasion, instrument, f"undone ({reason})", None)


def charge_again(desk: Desk, occasion: Occasion, instrument: str, fees: int) -> str:
    """Book what `occasion.reverses` was booked as once more, with `fees` units; return why not, or nothing."""
    return _redo(desk, occasion, instrument, "taken back, its fees are told anew", fees)


def _redo(desk: Desk, occasion: Occasion, instrument: str, why: str, fees: int | None) -> str:
    broker = occasion.broker
    standing = _standing(desk.moves(broker, instrument))
    place = next((number for number, (origin, _) in enumerate(standing) if origin == occasion.reverses), None)
    if place is None:
        return f"execution {occasion.confirmation} is to be changed and does not stand in the books"
    wrong = standing[place][1]
    later = [entry for _, entry in standing[place + 1 :]]
    barrier = next((entry for entry in later if entry.template in _BARRIERS), None)
    if barrier is not None:
        return f"execution {occasion.confirmation} is to be changed, but the {barrier.template} after it rests on it"
    for entry in reversed(later):
        beside = _beside(occasion, "reversal", entry)
        desk.put(build(beside, Template.REVERSAL, reversal_lines(entry), f"taken back to be booked anew: {entry.text}"))
    undone = replace(occasion, reverses=wrong.guid)
    desk.put(build(undone, Template.REVERSAL, reversal_lines(wrong), f"{why}: {wrong.text}"))
    desk.lots.put(broker, instrument, _lots_after([entry for _, entry in standing[:place]], broker, instrument))
    for entry in later if fees is None else (wrong, *later):
        again, move = _beside(occasion, "rebooking", entry), movement_in(entry, desk.mode)
        if entry is wrong and fees is not None:
            move = replace(move, fees=fees)
        lines = movement_lines(again, move, desk.lots)
        desk.put(build(again, Template.REBOOKING, lines, f"booked anew: {entry.text}"))
    return ""


def written_off(occasion: Occasion, move: Movement, lots: LotBook) -> list[LedgerLine]:
    """Return the lines that take a position out of the books at its cost, without a gain."""
    equities = account(occasion.mode, Role.EQUITIES, move.broker).guid
    return [
        LedgerLine(
            account=equities, amount=-part.cost, instrument=move.instrument, quantity=-part.quantity, lot=part.lot
        )
        for part in lots.take(move.broker, move.instrument, move.quantity)
    ]


def settled(occasion: Occasion, move: Movement, lots: LotBook) -> list[LedgerLine]:
    """Return the lines of a trade's end, also where no position is left in the books and only money moved."""
    if move.quantity:
        return movement_lines(occasion, move, lots)
    amounts = (
        (Role.GAINS, -move.principal),
        (Role.FEES, move.fees),
        (Role.CASH, move.principal - move.fees),
    )
    return [
        LedgerLine(account=account(occasion.mode, role, move.broker).guid, amount=amount) for role, amount in amounts
    ]


def _beside(occasion: Occasion, what: str, entry: LedgerEntry) -> Occasion:
    return replace(
        occasion,
        guid=entry_guid(occasion.mode, what, entry.guid, occasion.guid),
        trade_id=entry.trade_id,
        confirmation=entry.confirmation,
        strategy=entry.strategy,
        reverses=entry.guid,
    )


def _standing(moves: Sequence[LedgerEntry]) -> list[tuple[str, LedgerEntry]]:
    """Return what counts: (GUID of the first booking of the fact, the entry that stands for it now)."""
    origins: dict[str, str] = {}
    standing: dict[str, LedgerEntry] = {}
    for entry in moves:
        if entry.template is Template.REVERSAL:
            standing.pop(entry.reverses, None)
            continue
        again = entry.template is Template.REBOOKING
        origins[entry.guid] = origins.get(entry.reverses, entry.reverses) if again else entry.guid
        standing[entry.guid] = entry
    return [(origins[guid], entry) for guid, entry in standing.items()]


def _lots_after(entries: Sequence[LedgerEntry], broker: str, instrument: str) -> list[Lot]:
    lots: dict[str, Lot] = {}
    for entry in entries:
        if entry.template is Template.RESET:
            lots.clear()  # it has taken all of them
            continue
        for number, line in enumerate(entry.lines, start=1):
            if line.instrument != instrument:
                continue
            if line.lot == entry.line_guid(number):
                lots[line.lot] = Lot(
                    guid=line.lot, broker=broker, instrument=instrument, quantity=line.quantity, cost=line.amount,
                    opened_quantity=line.quantity, opened_cost=line.amount,
                )  # fmt: skip
            else:
                lots[line.lot].quantity += line.quantity
                lots[line.lot].cost += line.amount
    return [lot for lot in lots.values() if lot.quantity]


__all__ = ["Desk", "charge_again", "settled", "take_back", "written_off"]
