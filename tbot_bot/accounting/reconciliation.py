"""Our books of a day against what a broker says of it, to the cent and to the share. Pure: both sides are given.

What cannot be compared is said with its reason, never taken for agreement. What belongs to somebody else in a shared
account is listed apart and is no difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tbot_bot.accounting.day_books import DayBooks
from tbot_bot.core.foreign_orders import ForeignOrder
from tbot_bot.core.identity import Leg, OrderName, SessionId, TradeName
from tbot_bot.core.money import ZERO, plain
from tbot_bot.core.orders import Account, BrokerOrder, Fill, Position

_CENT: Final = Decimal("0.01")


class Figure(StrEnum):
    """What is compared."""

    ORDER = "order"
    FILL = "fill"
    POSITION = "position"
    CASH = "cash"
    FEES = "fees"
    LEDGER_CASH = "ledger_cash"
    LEDGER_POSITION = "ledger_position"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure that is not the same on both sides."""

    figure: Figure
    name: str
    """Which order, execution or symbol; empty for an account's own figures."""
    ours: Decimal
    theirs: Decimal
    by: Decimal
    """Theirs less ours: dollars for money, shares or contracts else."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCompared:
    """A figure that nothing can be said of, and why."""

    figure: Figure
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A position: signed quantity of a symbol."""

    symbol: str
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerReconciliation:
    """What came of one broker. Money in dollars."""

    broker: str
    account: str
    """`account`, or which simulated one."""
    passed: bool
    """No difference was found."""
    complete: bool
    """Nothing but fees was left uncompared."""
    cash: Decimal
    """What our books should hold: `cash_told` less `cash_foreign` and less fees that will be charged later."""
    cash_told: Decimal
    cash_foreign: Decimal
    """What moved beside our orders while somebody else's positions changed."""
    equity: Decimal
    fees: Decimal
    """Of the day, by our books."""
    orders: int
    """Of our making, in our books or at the broker."""
    fills: int
    positions: tuple[Held, ...]
    """At the broker, without those that are somebody else's."""
    differences: tuple[Difference, ...]
    not_compared: tuple[NotCompared, ...]
    foreign_orders: tuple[str, ...]
    """Resting, by the names that others gave them, or by the broker's own."""
    foreign_positions: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldByBroker:
    """What a broker says after the close."""

    account: Account
    positions: Sequence[Position]
    orders: Sequence[BrokerOrder]
    """Those of our making."""
    fills: Sequence[Fill]
    foreign_orders: Sequence[ForeignOrder]
    """Resting, and not of our making."""
    charges_fees_later: bool
    """The fees of its executions are ours from a table; its own come in a later statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSays:
    """What the ledger holds at the broker at the day's end."""

    cash: Decimal
    positions: Mapping[str, Decimal]


def reconcile(books: DayBooks, told: ToldByBroker, ledger: LedgerSays | None) -> BrokerReconciliation:
    """Compare one broker's day; `ledger` is None where none is kept, or where it does not know the day."""
    orders = {one.client_order_id: one for one in told.orders if is_of_these(books, one.client_order_id)}
    positions = _summed(told.positions)
    foreign = _foreign(books, positions, ledger)
    foreign_orders = tuple(one.name or one.broker_order_id for one in told.foreign_orders)
    missing: list[NotCompared] = []
    differences = [*_orders(books, orders), *_fills(books, told.fills, orders)]
    if told.charges_fees_later:
        why = f"{books.broker} charges regulatory fees after the day; both sides have them from the table of fees"
        missing.append(NotCompared(figure=Figure.FEES, why=why))
    else:
        differences += _fees(books, told.fills)
    differences += _positions(books, positions, foreign)
    moved = _others_moved(books, positions)
    uncharged, cash_foreign = _cash(books, told, differences, missing, moved=moved)
    cash = told.account.cash - uncharged - cash_foreign
    ours = {symbol: quantity for symbol, quantity in positions.items() if symbol not in foreign}
    differences += () if ledger is None else _ledger(ledger, cash, ours)
    names = {*(name for name in books.orders), *orders}
    return BrokerReconciliation(
        broker=books.broker,
        account=books.account,
        passed=not differences,
        complete=all(one.figure is Figure.FEES for one in missing),
        cash=cash,
        cash_told=told.account.cash,
        cash_foreign=cash_foreign,
        equity=told.account.equity,
        fees=books.fees,
        orders=len(names),
        fills=len({*books.fills, *(one.execution_id for one in told.fills if one.client_order_id in orders)}),
        positions=_held(ours),
        differences=tuple(differences),
        not_compared=tuple(missing),
        foreign_orders=foreign_orders,
        foreign_positions=_held(foreign),
    )


def is_of_these(books: DayBooks, client_order_id: str) -> bool:
    """Return whether the name is one that the sessions of these books give; a canary's order is nobody's trade."""
    name = OrderName.parse(client_order_id)
    trade = None if name is None else TradeName.parse(name.trade)
    if name is None or trade is None or trade.broker != books.broker:
        return False
    return _same_day(trade.session, books.sessions) and name.leg is not Leg.CANARY


def _same_day(session: SessionId, sessions: Sequence[SessionId]) -> bool:
    return any((one.day, one.run) == (session.day, session.run) for one in sessions)


def _orders(books: DayBooks, theirs: Mapping[str, BrokerOrder]) -> Iterator[Difference]:
    for name in books.orders:
        filled, there = books.filled(name), theirs.get(name)
        if there is None:
            if filled or name in books.acknowledged:
                text = f"order {name}: in our books, {plain(filled)} of it executed, and {books.broker} has none"
                yield _difference(Figure.ORDER, name, filled, ZERO, text)
        elif there.filled_quantity != filled and not _closed_otherwise(books, name):
            text = f"order {name}: {plain(filled)} executed by our books, {plain(there.filled_quantity)} by the broker"
            yield _difference(Figure.ORDER, name, filled, there.filled_quantity, text)
    for name, there in theirs.items():
        if not books.knows(name):
            text = f"order {name}: at {books.broker}, {plain(there.filled_quantity)} executed, and not in our books"
            yield _difference(Figure.ORDER, name, ZERO, there.filled_quantity, text)
        if there.status.open:
            rests = there.request.quantity - there.filled_quantity
            yield _difference(Figure.ORDER, name, ZERO, rests, f"order {name}: still rests for {plain(rests)}")


def _closed_otherwise(books: DayBooks, order_id: str) -> bool:
    """Return whether the dead-man path's record stands for the executions of this order."""
    name = OrderName.parse(order_id)
    return name is not None and name.trade in books.closed_without_engine


def _fills(books: DayBooks, told: Sequence[Fill], orders: Mapping[str, BrokerOrder]) -> Iterator[Difference]:
    theirs = {one.execution_id: one for one in told if one.client_order_id in orders}
    for execution, mine in books.fills.items():
        there = theirs.get(execution)
        what = f"execution {execution} of {mine.client_order_id}"
        if there is None:
            text = f"{what}: {plain(mine.quantity)} at {plain(mine.price)} in our books, and {books.broker} has none"
            yield _difference(Figure.FILL, execution, mine.quantity, ZERO, text)
        elif (there.quantity, there.price) != (mine.quantity, mine.price):
            text = (
                f"{what}: {plain(mine.quantity)} at {plain(mine.price)} in our books, "
                f"{plain(there.quantity)} at {plain(there.price)} by the broker"
            )
            if there.quantity == mine.quantity:
                yield _difference(Figure.FILL, execution, mine.price, there.price, text)
            else:
                yield _difference(Figure.FILL, execution, mine.quantity, there.quantity, text)
    for execution, there in theirs.items():
        if execution not in books.fills and not _closed_otherwise(books, there.client_order_id):
            text = (
                f"execution {execution} of {there.client_order_id}: {plain(there.quantity)} at {plain(there.price)} "
                f"at {books.broker}, and not in our books"
            )
            yield _difference(Figure.FILL, execution, ZERO, there.quantity, text)


def _fees(books: DayBooks, told: Sequence[Fill]) -> Iterator[Difference]:
    """Yield, order by order, where the fees of executions that both sides know differ by a cent or more."""
    ours: dict[str, Decimal] = {}
    theirs: dict[str, Decimal] = {}
    for fill in told:
        mine = books.fills.get(fill.execution_id)
        if mine is not None:
            name = mine.client_order_id
            ours[name] = ours.get(name, ZERO) + mine.fees
            theirs[name] = theirs.get(name, ZERO) + fill.fees
    for name, mine_paid in ours.items():
        charged = theirs[name]
        if _cents(charged - mine_paid):
            text = f"fees of order {name}: {plain(mine_paid)} in our books, {plain(charged)} by the broker"
            yield _difference(Figure.FEES, name, mine_paid, charged, text)


def _others_moved(books: DayBooks, positions: Mapping[str, Decimal]) -> bool:
    """Return whether a position changed in which none of our orders was executed."""
    symbols = {*books.held_at_opening, *positions} - {*books.moved}
    return any(positions.get(one, ZERO) != books.held_at_opening.get(one, ZERO) for one in symbols)


def _foreign(books: DayBooks, positions: Mapping[str, Decimal], ledger: LedgerSays | None) -> dict[str, Decimal]:
    """Return the positions in what neither our trades of the day nor the ledger know."""
    known = {*books.moved, *(() if ledger is None else ledger.positions)}
    return {symbol: quantity for symbol, quantity in positions.items() if quantity and symbol not in known}


def _positions(
    books: DayBooks, positions: Mapping[str, Decimal], foreign: Mapping[str, Decimal]
) -> Iterator[Difference]:
    for symbol, moved in books.moved.items():
        expected = books.held_at_opening.get(symbol, ZERO) + moved
        there = positions.get(symbol, ZERO)
        if symbol not in foreign and there != expected:
            text = f"position in {symbol}: {plain(expected)} by our books, {plain(there)} at {books.broker}"
            yield _difference(Figure.POSITION, symbol, expected, there, text)


def _cash(
    books: DayBooks, told: ToldByBroker, differences: list[Difference], missing: list[NotCompared], *, moved: bool
) -> tuple[Decimal, Decimal]:
    """Compare cash; return fees that it does not show yet, and what moved it beside our orders."""
    expected = books.cash
    if expected is None:
        why = "the account was never read on that day, so nobody knows what it began with"
        missing.append(NotCompared(figure=Figure.CASH, why=why))
        return ZERO, ZERO
    off = told.account.cash - expected
    if not _cents(off):
        return ZERO, ZERO
    if told.charges_fees_later and not _cents(off - books.fees):
        return books.fees, ZERO
    if moved:
        why = (
            f"somebody else's positions changed; cash is off by {plain(off)}, and the broker does not tell whose it is"
        )
        missing.append(NotCompared(figure=Figure.CASH, why=why))
        return ZERO, off
    text = f"cash: {plain(expected)} by our books, {plain(told.account.cash)} at {books.broker}"
    differences.append(_difference(Figure.CASH, "", expected, told.account.cash, text))
    return ZERO, ZERO


def _ledger(ledger: LedgerSays, cash: Decimal, positions: Mapping[str, Decimal]) -> Iterator[Difference]:
    if round(ledger.cash, 2) != round(cash, 2):
        text = f"cash: {plain(ledger.cash)} in the ledger, {plain(cash)} at the broker"
        yield _difference(Figure.LEDGER_CASH, "", ledger.cash, cash, text)
    for symbol in sorted({*ledger.positions, *positions}):
        mine, there = ledger.positions.get(symbol, ZERO), positions.get(symbol, ZERO)
        if mine != there:
            text = f"position in {symbol}: {plain(mine)} in the ledger, {plain(there)} at the broker"
            yield _difference(Figure.LEDGER_POSITION, symbol, mine, there, text)


def _difference(figure: Figure, name: str, ours: Decimal, theirs: Decimal, text: str) -> Difference:
    by = theirs - ours
    if figure in {Figure.CASH, Figure.FEES, Figure.LEDGER_CASH}:
        text = f"{text}; off by {plain(by)} dollars"
    return Difference(figure=figure, name=name, ours=ours, theirs=theirs, by=by, text=text)


def _cents(amount: Decimal) -> bool:
    """Return whether an amount is a cent or more, half a cent rounded up."""
    return abs(amount) * 2 >= _CENT


def _summed(positions: Sequence[Position]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for one in positions:
        found[one.instrument.symbol] = found.get(one.instrument.symbol, ZERO) + one.quantity
    return {symbol: quantity for symbol, quantity in found.items() if quantity}


def _held(positions: Mapping[str, Decimal]) -> tuple[Held, ...]:
    return tuple(Held(symbol=symbol, quantity=positions[symbol]) for symbol in sorted(positions))


__all__ = [
    "BrokerReconciliation",
    "Difference",
    "Figure",
    "Held",
    "LedgerSays",
    "NotCompared",
    "ToldByBroker",
    "is_of_these",
    "reconcile",
]
