"""What the journal says of one trading day at each broker: account at the opening, orders, executions, results.

Sessions at a real account all share it; each rehearsal on an embedded market has a simulated account of its own, and
the last rehearsal of a day is the one that counts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import Final

from tbot_bot.accounting.facts import SessionContext, records_in
from tbot_bot.accounting.units import dollars_of
from tbot_bot.core.codec import loads
from tbot_bot.core.commands import ReplaceOrder, SubmitOrder
from tbot_bot.core.events import AccountsRead, FillBusted, OrderAcknowledged, OrderFilled
from tbot_bot.core.identity import Leg, OrderName, SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Account, Fill, OrderRequest
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.closed import DeadManReport
from tbot_bot.journal.store import JournalReader
from tbot_bot.trading.spec import SessionSpec

REAL_ACCOUNT: Final = "account"
_ACKNOWLEDGED: Final = f'{{"_":"{OrderAcknowledged.__name__}"'
_UNCLOSED: Final = "unclosed"


@dataclass(slots=True, kw_only=True)
class DayBooks:
    """One broker's day as our journal has it; money in dollars."""

    broker: str
    account: str
    """`account`, or which simulated one."""
    sessions: list[SessionId] = field(default_factory=list)
    opening: Account | None = None
    held_at_opening: dict[str, Decimal] = field(default_factory=dict)
    """Signed, by symbol, whosever it is."""
    since: Instant | None = None
    """The opening bell."""
    orders: dict[str, OrderRequest] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    fills: dict[str, Fill] = field(default_factory=dict)
    """By execution id; what was undone is left out."""
    moved: dict[str, Decimal] = field(default_factory=dict)
    """By symbol, signed: what our trades came to."""
    cash_moved: Decimal = ZERO
    fees: Decimal = ZERO
    closed_without_engine: set[str] = field(default_factory=set)
    """Trades whose last executions only the dead-man path saw; its record counts for them."""

    @property
    def is_real(self) -> bool:
        """Return whether a real account stands behind."""
        return self.account == REAL_ACCOUNT

    @property
    def cash(self) -> Decimal | None:
        """Return what the account should hold; None where it was never read."""
        return None if self.opening is None else self.opening.cash + self.cash_moved

    def knows(self, client_order_id: str) -> bool:
        """Return whether the order is on record, itself or as the exit of a trade that was closed without an engine."""
        name = OrderName.parse(client_order_id)
        by_dead_man = name is not None and name.leg is Leg.DEAD_MAN and name.trade in self.closed_without_engine
        return client_order_id in self.orders or by_dead_man

    def filled(self, client_order_id: str) -> Decimal:
        """Return how much of an order was executed."""
        return sum((one.quantity for one in self.fills.values() if one.client_order_id == client_order_id), ZERO)


def day_books(journal: JournalReader, day: date) -> Mapping[str, DayBooks]:
    """Return the books of `day` by broker; of a day without sessions there are none.

    Raises:
        JournalError: a row that concerns money cannot be read.
    """
    found: dict[str, DayBooks] = {}
    for name in journal.sessions_of(day):
        context = SessionContext(session=SessionId.parse(name))
        reads = _read(journal, name, context)
        if context.spec is None:
            continue
        for one in context.spec.brokers:
            account = context.account_behind(one.name)
            books = found.get(one.name)
            if books is None or books.account != account:
                books = found[one.name] = DayBooks(broker=one.name, account=account)
            _take(books, context, reads)
    return found


@dataclass(slots=True, kw_only=True)
class _Reads:
    accounts: list[AccountsRead] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    reports: list[DeadManReport] = field(default_factory=list)


def _read(journal: JournalReader, name: str, context: SessionContext) -> _Reads:
    reads = _Reads()
    for found in _records(journal, name):
        match found:
            case SessionSpec():
                context.spec = context.spec or found
            case AccountsRead():
                reads.accounts.append(found)
            case DeadManReport():
                reads.reports.append(found)
            case OrderAcknowledged():
                reads.acknowledged.add(found.client_order_id)
            case _:
                _order_fact(context, found)
    return reads


def _order_fact(context: SessionContext, found: object) -> None:
    match found:
        case SubmitOrder(order=order) | ReplaceOrder(order=order):
            context.orders[order.client_order_id] = order
        case OrderFilled(fill=fill):
            request = context.request_of(fill.client_order_id)
            if request is not None and not context.objection(fill):
                _fill(context, fill, request)
        case FillBusted():
            busted = context.fills.pop(found.execution_id, None)
            if busted is not None:
                context.take_bust(busted)
        case _:
            pass


def _fill(context: SessionContext, fill: Fill, request: OrderRequest) -> None:
    """Count an execution once, as it was told last: a commission may come after it."""
    before = context.fills.pop(fill.execution_id, None)
    if before is not None:
        context.take_bust(before)
    context.take_fill(fill, request)


def _records(journal: JournalReader, name: str) -> Iterator[object]:
    for row in journal.rows(session=name):
        if row.kind is Kind.INPUT and row.payload.startswith(_ACKNOWLEDGED):
            yield loads(row.payload)
        else:
            yield from records_in(row)


def _take(books: DayBooks, context: SessionContext, reads: _Reads) -> None:
    """Add what a session did at the broker of `books`."""
    books.sessions.append(context.session)
    if books.since is None and context.spec is not None:
        books.since = context.spec.windows.bell
    for read in reads.accounts:
        if books.opening is None:
            _open(books, read)
    books.orders |= {one: order for one, order in context.orders.items() if order.broker == books.broker}
    books.acknowledged |= reads.acknowledged
    for execution, fill in context.fills.items():
        request = context.request_of(fill.client_order_id)
        if request is not None and request.broker == books.broker:
            books.fills[execution] = fill
    _count(books, context, reads.reports)


def _open(books: DayBooks, read: AccountsRead) -> None:
    books.opening = next((one for one in read.accounts if one.broker == books.broker), None)
    for held in read.foreign_positions if books.opening is not None else ():
        if held.broker == books.broker:
            symbol = held.instrument.symbol
            books.held_at_opening[symbol] = books.held_at_opening.get(symbol, ZERO) + held.quantity


def _count(books: DayBooks, context: SessionContext, reports: list[DeadManReport]) -> None:
    """Add what the session's trades came to."""
    closed = {one.trade_id: one for one in chain.from_iterable(report.trades for report in reports)}
    for trade_id, tally in context.trades.items():
        if tally.broker != books.broker:
            continue
        symbol, over = tally.instrument.symbol, closed.get(trade_id)
        if over is not None and over.error_code != _UNCLOSED:
            books.closed_without_engine.add(trade_id)
            books.cash_moved += over.pnl
            books.fees += over.fees
            books.moved.setdefault(symbol, ZERO)
            continue
        books.cash_moved += dollars_of(tally.cash)
        books.fees += dollars_of(tally.fees)
        books.moved[symbol] = books.moved.get(symbol, ZERO) + tally.held


__all__ = ["REAL_ACCOUNT", "DayBooks", "day_books"]
