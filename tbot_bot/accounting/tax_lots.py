"""Tax lots: what was sold out of which lot, how long it was held, and which losses are wash sales.

The rules are those of the tax authority's Publication 550 (Holding Period; Wash Sales; Short Sales), as far as the
ledger can know them. A loss is washed as far as the same instrument, or one listed as identical, was acquired within 30
days before or after the sale and is still there after it. Each share replaces one share; the earliest acquired ones
replace first. The washed loss is added to the basis of what replaced it, which also takes over the time the sold one
was held. Closing a short sale at a loss is judged in the same way, against further short sales.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

from tbot_bot.accounting.entries import LedgerLine, Template
from tbot_bot.accounting.ledger_reader import LedgerReader
from tbot_bot.accounting.ledger_schema import Role
from tbot_bot.accounting.lots import share
from tbot_bot.accounting.standing import Standing, standing

WINDOW: Final = timedelta(days=30)
_LEAP_DAY: Final = (2, 29)
Moved = list[tuple[int, LedgerLine]]
"""(number, line) of the lines that move a position."""
Identical = Mapping[str, str]
"""The name of the group of each instrument that is listed with others as identical."""


@dataclass(slots=True, kw_only=True, eq=False)
class TaxLot:
    """What is left of a lot, or of the part of one that replaced washed shares. Quantity and cost without signs."""

    lot: str
    trade: str
    """The trade that opened it: what one order bought in pieces does not replace itself."""
    broker: str
    instrument: str
    short: bool
    opened: date
    since: date
    """From where the holding period counts; before `opened` where it replaced washed shares."""
    quantity: int
    money: int
    """What was paid for it with fees; of a short sale, what came in for it less fees."""
    added: int = 0
    """Washed losses in its basis."""
    replaces: bool = False
    """It has replaced washed shares already, and does so once only."""


@dataclass(slots=True, kw_only=True)
class Disposal:
    """The end of one part of one lot. Money in units; `gain` is before any loss is disallowed."""

    lot: TaxLot
    """As it was; its quantity is what was closed."""
    day: date
    quantity: int
    proceeds: int
    basis: int
    """With fees and with washed losses of before."""
    gain: int
    """Proceeds less basis."""
    raw_gain: int
    """As the ledger booked it: without fees and without washed losses of before."""
    washed_quantity: int = 0
    disallowed: int = 0
    """The part of a loss that does not count now; not negative."""

    @property
    def unwashed(self) -> int:
        """Return how much of a loss's quantity nothing has replaced."""
        return self.quantity - self.washed_quantity if self.gain < 0 else 0

    @property
    def taxable(self) -> int:
        """Return the gain or loss that counts now."""
        return self.gain + self.disallowed

    @property
    def long_term(self) -> bool:
        """Return whether it was held for more than a year; a short sale never was."""
        return not self.lot.short and held_over_a_year(self.lot.since, self.day)


@dataclass(slots=True, kw_only=True)
class TaxBook:
    """All disposals in order, and the lots that are left."""

    disposals: list[Disposal] = field(default_factory=list)
    lots: list[TaxLot] = field(default_factory=list)
    unassigned: int = 0
    """Results that belong to no lot any more, in units: what the dead-man path told of positions already gone."""


def held_over_a_year(since: date, until: date) -> bool:
    """Return whether it is long-term: one counts from the day after, so the same day of the next year is too early."""
    if (since.month, since.day) == _LEAP_DAY:
        return until > date(since.year + 1, 2, 28)
    return until > since.replace(year=since.year + 1)


def tax_book(ledger: LedgerReader, identical: Identical | None = None) -> TaxBook:
    """Compute lots and disposals of the whole ledger."""
    roles = {one.guid: one.role for one in ledger.accounts()}
    keeper = _Keeper(roles, identical or {})
    for one in standing(ledger.entries()):
        keeper.take(one)
    return keeper.book


class _Keeper:
    """Goes through the facts in order."""

    def __init__(self, roles: Mapping[str, Role], identical: Identical) -> None:
        self.book: Final = TaxBook()
        self._roles, self._identical = roles, identical
        self._pending: list[Disposal] = []
        """Losses that something to come may still wash, oldest first."""

    def take(self, fact: Standing) -> None:
        entry = fact.entry
        moved = [(number, line) for number, line in enumerate(entry.lines, start=1) if line.quantity]
        if entry.template is Template.RESET:
            gone = {line.lot for _, line in moved}
            self.book.lots = [lot for lot in self.book.lots if lot.lot not in gone]
            return  # a simulated account that never was: no sale
        gain = -sum(line.amount for line in entry.lines if self._roles[line.account] is Role.GAINS)
        fees = sum(line.amount for line in entry.lines if self._roles[line.account] is Role.FEES)
        if not moved:
            if entry.template is not Template.SLIPPAGE:
                self.book.unassigned += gain
            return
        if entry.template is Template.ASSIGNMENT:
            moved, carried = self._without_the_contracts(moved)
            fees += carried
        opening = [line for number, line in moved if line.lot == entry.line_guid(number)]
        closing = [line for number, line in moved if line.lot != entry.line_guid(number)]
        parts = _split(fees, [abs(line.quantity) for line in (*closing, *opening)])
        came_in = _split(
            gain - sum(line.amount for line in closing), [abs(line.quantity) for line in closing]
        )  # what it was sold for, by quantity; of a short lot, less than nothing
        made: list[Disposal] = []
        for line, money, fee in zip(closing, came_in, parts, strict=False):
            made += self._close(fact, line, money + line.amount, fee)
        self.book.disposals += made
        for one in made:
            self._wash_by_what_is_held(one)
        for line, fee in zip(opening, parts[len(closing) :], strict=True):
            self._open(fact, line, fee)

    def _without_the_contracts(self, moved: Moved) -> tuple[Moved, int]:
        """Take contracts off that became shares: their cost is in the shares' cost already, so they are not sold.

        Return the rest, and what their basis had beside that cost: fees and washed losses.
        """
        contracts, beside = moved[0][1].instrument, 0
        for _, line in moved:
            if line.instrument == contracts:
                used = self._use_up(line)
                money = sum(lot.money for lot in used)
                beside += line.amount - money if line.amount > 0 else money + line.amount
                beside += sum(lot.added for lot in used)
        return [(number, line) for number, line in moved if line.instrument != contracts], beside

    def _close(self, fact: Standing, line: LedgerLine, gain: int, fee: int) -> Iterator[Disposal]:
        used = self._use_up(line)
        sizes = [lot.quantity for lot in used]
        shares = zip(used, _split(gain, sizes), _split(fee, sizes), _split(-line.amount, sizes), strict=True)
        for lot, result, fees, cost in shares:
            # `cost` has the lot's sign: what a long lot cost, or, negative, what came in for a short one
            if lot.short:
                proceeds, basis = lot.money, -cost - result + fees + lot.added
            else:
                proceeds, basis = cost + result - fees, lot.money + lot.added
            yield Disposal(
                lot=lot, day=fact.day, quantity=lot.quantity, proceeds=proceeds, basis=basis, gain=proceeds - basis,
                raw_gain=result,
            )  # fmt: skip

    def _use_up(self, line: LedgerLine) -> list[TaxLot]:
        """Take `line`'s quantity off its lot's parts, oldest first, and return what was taken."""
        left, used = abs(line.quantity), list[TaxLot]()
        for lot in [one for one in self.book.lots if one.lot == line.lot]:
            part = self._part(lot, min(left, lot.quantity))
            self.book.lots.remove(part)
            used.append(part)
            left -= part.quantity
            if not left:
                break
        return used

    def _open(self, fact: Standing, line: LedgerLine, fee: int) -> None:
        short = line.quantity < 0
        lot = TaxLot(
            lot=line.lot, trade=fact.entry.trade_id,
            broker=fact.entry.broker, instrument=line.instrument, short=short, opened=fact.day,
            since=fact.day, quantity=abs(line.quantity), money=abs(line.amount) - fee if short else line.amount + fee,
        )  # fmt: skip
        self.book.lots.append(lot)
        self._pending = [one for one in self._pending if one.day + WINDOW >= fact.day and one.unwashed]
        for loss in self._pending:
            if lot.quantity and not lot.replaces and self._alike(loss.lot, lot):
                lot = self._wash(loss, lot)

    def _wash_by_what_is_held(self, loss: Disposal) -> None:
        if not loss.unwashed:
            return
        for lot in sorted(self.book.lots, key=lambda one: one.opened):
            near = loss.day - WINDOW <= lot.opened <= loss.day
            if loss.unwashed and near and not lot.replaces and self._alike(loss.lot, lot):
                self._wash(loss, lot)
        if loss.unwashed:
            self._pending.append(loss)

    def _alike(self, sold: TaxLot, bought: TaxLot) -> bool:
        if sold.lot == bought.lot or (sold.trade and sold.trade == bought.trade):
            return False  # one purchase, of which a part was sold
        names = [self._identical.get(one.instrument, one.instrument) for one in (sold, bought)]
        return names[0] == names[1] and sold.short is bought.short

    def _wash(self, loss: Disposal, lot: TaxLot) -> TaxLot:
        """Let shares of `lot` replace shares of `loss`; return the part of the lot that is left for others."""
        count = min(loss.unwashed, lot.quantity)
        before = share(-loss.gain, loss.washed_quantity, loss.quantity)
        loss.washed_quantity += count
        washed = share(-loss.gain, loss.washed_quantity, loss.quantity) - before
        loss.disallowed += washed
        part = self._part(lot, count)
        part.replaces, part.added = True, part.added + washed
        part.since = lot.opened - (loss.day - loss.lot.since)
        return lot

    def _part(self, lot: TaxLot, quantity: int) -> TaxLot:
        """Split `quantity` off `lot`, before it in the book; the whole lot itself where it is all of it."""
        if quantity == lot.quantity:
            return lot
        money, added = share(lot.money, quantity, lot.quantity), share(lot.added, quantity, lot.quantity)
        part = replace(lot, quantity=quantity, money=money, added=added)
        lot.quantity, lot.money, lot.added = lot.quantity - quantity, lot.money - money, lot.added - added
        self.book.lots.insert(_place(self.book.lots, lot), part)
        return part


def _place(lots: list[TaxLot], lot: TaxLot) -> int:
    return next(number for number, one in enumerate(lots) if one is lot)


def _split(amount: int, sizes: list[int]) -> list[int]:
    """Split `amount` by `sizes` so that the parts add up to it."""
    reached, whole, parts = 0, sum(sizes), list[int]()
    for size in sizes:
        reached += size
        parts.append(share(amount, reached, whole) - sum(parts))
    return parts


__all__ = ["WINDOW", "Disposal", "Identical", "TaxBook", "TaxLot", "held_over_a_year", "tax_book"]
