"""Building entries: one template for each thing that can happen to the money.

All of them end in `build`, which refuses what does not add up to zero. A movement of a position is booked at what was
really paid and got: lots keep their true cost. What the decision had hoped for is booked apart, by `slippage_lines`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from tbot_bot.accounting.entries import LedgerEntry, LedgerLine, Source, Template, balance_of, line_guid
from tbot_bot.accounting.ledger_schema import Role, account
from tbot_bot.accounting.lots import Lot, LotBook, Taken, share
from tbot_bot.accounting.units import EntryRefused, spelled
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """All that an entry tells beside its lines."""

    mode: Mode
    guid: str
    at: Instant
    day: date
    source: Source
    journal_seq: int
    broker: str = ""
    trade_id: str = ""
    confirmation: str = ""
    strategy: str = ""
    session: str = ""
    reverses: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A change of a position: `quantity` in nano-shares, negative where it left; money in units."""

    broker: str
    instrument: str
    quantity: int
    principal: int
    """What came in for it before fees; negative where it was paid."""
    fees: int
    carried: int = 0
    """Part of `principal` that is no cash but cost taken over from another position, with its sign."""


def build(occasion: Occasion, template: Template, lines: Sequence[LedgerLine], text: str) -> LedgerEntry:
    """Return the entry.

    Raises:
        EntryRefused: its lines do not add up to zero, or there are none.
    """
    off = balance_of(lines)
    if off or not lines:
        what = f"entry {occasion.guid} ({template}, {text}) is off by {spelled(off)} dollars over {len(lines)} lines"
        raise EntryRefused(
            what, where=f"journal row {occasion.journal_seq}", mend="Nothing was booked. This is a defect."
        )
    return LedgerEntry(
        guid=occasion.guid,
        at=occasion.at,
        day=occasion.day,
        template=template,
        source=occasion.source,
        broker=occasion.broker,
        trade_id=occasion.trade_id,
        confirmation=occasion.confirmation,
        strategy=occasion.strategy,
        session=occasion.session,
        journal_seq=occasion.journal_seq,
        reverses=occasion.reverses,
        text=text,
        lines=tuple(lines),
    )


def movement_lines(occasion: Occasion, move: Movement, lots: LotBook, *, behind: int = 0) -> list[LedgerLine]:
    """Return the lines of `move` and apply it to `lots`: the oldest lots go first, what is over opens a new one.

    `behind`: how many lines of the same entry stand before these.
    """
    mode, broker = occasion.mode, move.broker
    equities = account(mode, Role.EQUITIES, broker).guid
    closing = lots.closing_part(broker, move.instrument, move.quantity)
    closing_money = share(move.principal, closing, move.quantity)
    lines: list[LedgerLine] = []
    cost = 0
    for part in lots.take(broker, move.instrument, closing):
        lines.append(_out(equities, move.instrument, part))
        cost += part.cost
    opening, opening_cost = move.quantity - closing, closing_money - move.principal
    if opening:
        guid = line_guid(occasion.guid, behind + len(lines) + 1)
        lines.append(
            LedgerLine(account=equities, amount=opening_cost, instrument=move.instrument, quantity=opening, lot=guid)
        )
        lots.add(
            Lot(
                guid=guid, broker=broker, instrument=move.instrument, quantity=opening, cost=opening_cost,
                opened_quantity=opening, opened_cost=opening_cost,
            )
        )  # fmt: skip
    if closing:
        lines.append(LedgerLine(account=account(mode, Role.GAINS, broker).guid, amount=cost - closing_money))
    lines.append(LedgerLine(account=account(mode, Role.FEES, broker).guid, amount=move.fees))
    cash = move.principal - move.carried - move.fees
    lines.append(LedgerLine(account=account(mode, Role.CASH, broker).guid, amount=cash))
    return _without_zeros(lines)


def template_of(side: Side) -> Template:
    """Return the template of a fill."""
    return {
        Side.BUY: Template.BUY,
        Side.SELL: Template.SELL,
        Side.SELL_SHORT: Template.SHORT_SALE,
        Side.BUY_TO_COVER: Template.COVER,
    }[side]


def movement_in(entry: LedgerEntry, mode: Mode) -> Movement:
    """Return the movement that an entry of one instrument has booked, so that it can be booked again."""
    held = [line for line in entry.lines if line.quantity]
    cash = _sum(entry, account(mode, Role.CASH, entry.broker).guid)
    fees = _sum(entry, account(mode, Role.FEES, entry.broker).guid)
    return Movement(
        broker=entry.broker,
        instrument=held[0].instrument,
        quantity=sum(line.quantity for line in held),
        principal=cash + fees,
        fees=fees,
    )


def assignment_lines(
    occasion: Occasion, option: Movement, strike_principal: int, share_quantity: int, underlying: str, lots: LotBook
) -> list[LedgerLine]:
    """Return the lines of contracts that became shares: what they cost goes over into the shares' price.

    `option.quantity` is what leaves (negative for long contracts); `strike_principal` what came in for the shares.
    """
    equities = account(occasion.mode, Role.EQUITIES, option.broker).guid
    taken = lots.take(option.broker, option.instrument, option.quantity)
    out = [_out(equities, option.instrument, part) for part in taken]
    cost = sum(part.cost for part in taken)
    move = Movement(
        broker=option.broker,
        instrument=underlying,
        quantity=share_quantity,
        principal=strike_principal - cost,
        carried=-cost,
        fees=option.fees,
    )
    return [*out, *movement_lines(occasion, move, lots, behind=len(out))]


def between(mode: Mode, debit: tuple[Role, str], credit: tuple[Role, str], amount: int) -> list[LedgerLine]:
    """Return two lines: `amount` to the first account, from the second; each a role and its broker, or none."""
    return [
        LedgerLine(account=account(mode, *debit).guid, amount=amount),
        LedgerLine(account=account(mode, *credit).guid, amount=-amount),
    ]


def slippage_lines(mode: Mode, broker: str, cost: int) -> list[LedgerLine]:
    """Return what execution cost against the decision: an expense, and gains as they were decided.

    Gains less slippage are the true result; a negative cost, a better price than decided, lowers the expense.
    """
    return between(mode, (Role.SLIPPAGE, ""), (Role.GAINS, broker), cost)


def float_in_lines(mode: Mode, broker: str, amount: int) -> list[LedgerLine]:
    """Return a float coming in: from the group into the bank, from the bank to the broker."""
    return [
        *between(mode, (Role.BANK_INJECTION, ""), (Role.CAPITAL, ""), amount),
        *between(mode, (Role.CASH, broker), (Role.BANK_INJECTION, ""), amount),
    ]


def float_out_lines(mode: Mode, broker: str, amount: int) -> list[LedgerLine]:
    """Return a float going back: from the broker into the bank, from the bank to the group."""
    return [
        *between(mode, (Role.BANK_RETURNED, ""), (Role.CASH, broker), amount),
        *between(mode, (Role.CAPITAL, ""), (Role.BANK_RETURNED, ""), amount),
    ]


def reversal_lines(entry: LedgerEntry) -> list[LedgerLine]:
    """Return the lines that take `entry` back, position and all."""
    return [replace(line, amount=-line.amount, quantity=-line.quantity) for line in entry.lines]


def _out(equities: str, instrument: str, part: Taken) -> LedgerLine:
    return LedgerLine(account=equities, amount=-part.cost, instrument=instrument, quantity=-part.quantity, lot=part.lot)


def _sum(entry: LedgerEntry, guid: str) -> int:
    return sum(line.amount for line in entry.lines if line.account == guid)


def _without_zeros(lines: list[LedgerLine]) -> list[LedgerLine]:
    return [line for line in lines if line.amount or line.quantity]


__all__ = [
    "Movement", "Occasion", "assignment_lines", "between", "build", "float_in_lines", "float_out_lines", "movement_in",
    "movement_lines", "reversal_lines", "slippage_lines", "template_of",
]  # fmt: skip
