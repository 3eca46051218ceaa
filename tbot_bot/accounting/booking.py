"""From the journal's rows to entries, in the order of the rows; the same rows always give the same entries.

`Booker` writes nothing: it returns what is to be written. Whether it is fed a day or all years at once, the entries and
their order are the same, since each comes from one row and from what stands before that row in its session.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol

from tbot_bot.accounting import corrections, posting
from tbot_bot.accounting.account_transaction import (
    Movement,
    Occasion,
    between,
    build,
    movement_lines,
    slippage_lines,
    template_of,
)
from tbot_bot.accounting.entries import LedgerEntry, LedgerLine, Source, Template, entry_guid
from tbot_bot.accounting.facts import SessionContext, records_in
from tbot_bot.accounting.ledger_schema import Role, account
from tbot_bot.accounting.lots import LotBook
from tbot_bot.accounting.units import product_units, quantity_units, to_units
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.commands import ReplaceOrder, SessionEnded, SharesFixed, SubmitOrder, TradeRecord
from tbot_bot.core.events import AccountsRead, FillBusted, OrderFilled
from tbot_bot.core.identity import Mode, SessionId, TradeName
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO, plain
from tbot_bot.core.orders import Account, Fill, OrderRequest
from tbot_bot.journal.chain import Row
from tbot_bot.journal.closed import DeadManReport
from tbot_bot.journal.ledger_posting import LedgerPosting
from tbot_bot.trading.spec import SessionSpec
from tbot_bot.treasury.records import AuthorizedTransfer, Outcome, TransfersAuthorized, TransferSettled

UNCLOSED: Final = "unclosed"


class Shelf(Protocol):
    """The entries that are there already."""

    def has(self, guid: str) -> bool:
        """Return whether the entry is there."""

    def entry(self, guid: str) -> LedgerEntry | None:
        """Return the entry; None where it is not there."""

    def moves(self, broker: str, instrument: str) -> list[LedgerEntry]:
        """Return the entries that moved `instrument` at `broker`, oldest first."""

    def amount_on(self, account: str) -> int:
        """Return what the account with this GUID holds, in units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBooked:
    """Something in the journal that looks like money and is not booked, and why."""

    journal_seq: int
    session: str
    why: str


class Booker:
    """Turns rows into entries. Feed it rows in order, a session's from its first on."""

    def __init__(self, mode: Mode, shelf: Shelf, lots: LotBook, venues: dict[str, str], *, after: int = 0) -> None:
        """`lots` and `venues` as the shelf's entries leave them; rows up to `after` are context, booked already."""
        self.mode: Final = mode
        self.shelf: Final = shelf
        self.lots: Final = lots
        self.entries: Final[list[LedgerEntry]] = []
        self.not_booked: Final[list[NotBooked]] = []
        self._venues, self._after = venues, after
        self._contexts: dict[str, SessionContext] = {}
        self._transfers: dict[str, AuthorizedTransfer] = {}
        self._moved: dict[tuple[str, str], list[LedgerEntry]] = {}
        self._by_guid: dict[str, LedgerEntry] = {}
        self._amounts: dict[str, int] = {}
        """What the new entries add to each account."""
        self._row: Row | None = None

    def feed(self, rows: Iterable[Row]) -> None:
        """Take in rows.

        Raises:
            JournalError: a row that concerns money cannot be read.
            EntryRefused: an entry would not add up, or cannot be held.
        """
        for row in rows:
            for found in records_in(row):
                self._row = row
                self._take(row, found)

    def _take(self, row: Row, found: object) -> None:
        if not row.session:
            self._take_control(found)
            return
        context = self._contexts.get(row.session)
        if context is None:
            context = self._contexts[row.session] = SessionContext(session=SessionId.parse(row.session))
        match found:
            case SessionSpec():
                context.spec = context.spec or found
            case SubmitOrder(order=order) | ReplaceOrder(order=order):
                context.orders[order.client_order_id] = order
            case OrderFilled(fill=fill) if fill.execution_id in context.fills:
                self._charge(context, found)
            case OrderFilled():
                self._fill(context, found.fill)
            case FillBusted():
                self._bust(context, found)
            case DeadManReport():
                self._reported(context, found)
            case _:
                self._take_money(context, found)

    def _take_money(self, context: SessionContext, found: object) -> None:
        match found:
            case AccountsRead():
                for one in found.accounts:
                    self._opened(context, found, one)
            case SharesFixed():
                self._allocated(context, found)
            case TradeRecord():
                self._slippage(context, found)
            case SessionEnded():
                self._released(context, found.at)
            case _:
                pass

    # --- entries ------------------------------------------------------------------------------------------------------

    def known(self, guid: str) -> bool:
        """Return whether an entry is there, or will be."""
        return guid in self._by_guid or self.shelf.has(guid)

    def entry(self, guid: str) -> LedgerEntry | None:
        """Return an entry that is there, or will be."""
        return self._by_guid.get(guid) or self.shelf.entry(guid)

    def moves(self, broker: str, instrument: str) -> list[LedgerEntry]:
        """Return the entries that moved `instrument` at `broker`, those to be written too, oldest first."""
        new = self._moved.get((broker, instrument), [])
        if new and new[0].template is Template.RESET:
            return new  # nothing before it counts any more
        return [*self.shelf.moves(broker, instrument), *new]

    def put(self, entry: LedgerEntry) -> None:
        """Add an entry that is to be written."""
        self.entries.append(entry)
        self._by_guid[entry.guid] = entry
        for line in entry.lines:
            self._amounts[line.account] = self._amounts.get(line.account, 0) + line.amount
        for instrument in {line.instrument for line in entry.lines if line.instrument}:
            if entry.template is Template.RESET:
                self._moved[entry.broker, instrument] = [entry]
            else:
                self._moved.setdefault((entry.broker, instrument), []).append(entry)

    def refuse(self, why: str) -> None:
        """Note why the present row is not booked; empty: it is."""
        if why and self._row is not None and self._row.seq > self._after:
            self.not_booked.append(NotBooked(journal_seq=self._row.seq, session=self._row.session, why=why))

    def book(self, occasion: Occasion, template: Template, lines: Callable[[], list[LedgerLine]], text: str) -> None:
        """Add the entry of `occasion`, unless it is there or the present row was booked before."""
        if occasion.journal_seq <= self._after or self.known(occasion.guid):
            return
        self.put(build(occasion, template, lines(), text))

    def occasion(
        self, what: str, *names: str, at: Instant, source: Source, context: SessionContext | None = None,
        day: date | None = None, broker: str = "", trade_id: str = "", confirmation: str = "", reverses: str = "",
    ) -> Occasion:  # fmt: skip
        """Return an occasion of the present row; `what` and `names` make its GUID."""
        session = context.session if context is not None else None
        trade = TradeName.parse(trade_id)
        strategy = session.strategy.value if session is not None else trade.session.strategy.value if trade else ""
        return Occasion(
            mode=self.mode,
            guid=entry_guid(self.mode, what, *names),
            at=at,
            day=day or (session.day if session is not None else exchange_time(at).date()),
            source=source,
            journal_seq=self._row.seq if self._row is not None else 0,
            broker=broker,
            trade_id=trade_id,
            confirmation=confirmation,
            strategy=strategy,
            session=str(session) if session is not None else "",
            reverses=reverses,
        )

    # --- a session's facts --------------------------------------------------------------------------------------------

    def _keeps(self, context: SessionContext, broker: str) -> bool:
        """Return whether these books are about `broker`: live ones know no simulated account."""
        return self.mode is not Mode.LIVE or context.account_behind(broker) == "account"

    def _fill(self, context: SessionContext, fill: Fill) -> None:
        if fill.execution_id in context.busted:
            return
        objection, request = context.objection(fill), context.request_of(fill.client_order_id)
        if objection or request is None:
            self.refuse(objection)
            return
        context.take_fill(fill, request)
        if self._keeps(context, request.broker):
            self._book_fill(context, fill, request)

    def _book_fill(self, context: SessionContext, fill: Fill, request: OrderRequest) -> None:
        instrument = request.instrument
        sign = 1 if request.side.buys else -1
        move = Movement(
            broker=request.broker,
            instrument=instrument.symbol,
            quantity=sign * quantity_units(fill.quantity),
            principal=-sign * product_units(fill.price, fill.quantity, instrument.multiplier),
            fees=to_units(fill.fees),
        )
        occasion = self.occasion(
            "fill", str(context.session), request.broker, fill.execution_id, at=fill.transacted_at, source=Source.FILL,
            context=context, broker=request.broker, trade_id=request.trade_id, confirmation=fill.execution_id,
        )  # fmt: skip
        words = f"{request.side.replace('_', ' ')} {plain(fill.quantity)} {instrument.symbol} at {plain(fill.price)}"
        if fill.modelled:
            words += ", a modelled price"
        template = template_of(request.side)
        self.book(occasion, template, lambda: movement_lines(occasion, move, self.lots), words)

    def _bust(self, context: SessionContext, bust: FillBusted) -> None:
        if bust.execution_id in context.busted:
            return
        context.busted.add(bust.execution_id)
        fill = context.fills.get(bust.execution_id)
        request = None if fill is None else context.request_of(fill.client_order_id)
        if fill is None or request is None:
            self.refuse(f"bust of execution {bust.execution_id}, which is not booked")
            return
        context.take_bust(fill)
        occasion = self._correction("bust", context, bust.execution_id, request, bust.at)
        if occasion is not None:
            self.refuse(corrections.take_back(self, occasion, request.instrument.symbol, bust.reason or "busted"))

    def _charge(self, context: SessionContext, told: OrderFilled) -> None:
        """Take in an execution that is told again: a commission may come after it, and change its fees."""
        fill = told.fill
        request = context.request_of(fill.client_order_id)
        known = fill.execution_id in context.busted or context.fills[fill.execution_id].fees == fill.fees
        if known or request is None:
            return
        context.charge_again(fill)
        occasion = self._correction("charged", context, fill.execution_id, request, told.at)
        if occasion is not None:
            symbol, fees = request.instrument.symbol, to_units(fill.fees)
            self.refuse(corrections.charge_again(self, occasion, symbol, fees))

    def _correction(
        self, what: str, context: SessionContext, execution_id: str, request: OrderRequest, at: Instant
    ) -> Occasion | None:
        """Return the occasion to correct an execution; None where it is not ours to book, or was done before."""
        if not self._keeps(context, request.broker) or self._row is None or self._row.seq <= self._after:
            return None
        names = (str(context.session), request.broker, execution_id)
        row = () if what == "bust" else (str(self._row.seq),)  # undone for ever; charged perhaps more than once
        return self.occasion(
            what, *names, *row, at=at, source=Source.FILL, context=context, broker=request.broker,
            day=max(context.session.day, exchange_time(at).date()), trade_id=request.trade_id,
            confirmation=execution_id, reverses=entry_guid(self.mode, "fill", *names),
        )  # fmt: skip

    def _opened(self, context: SessionContext, read: AccountsRead, one: Account) -> None:
        key = context.account_behind(one.broker)
        before = self._venues.get(one.broker)
        if before == key or not self._keeps(context, one.broker):
            return
        if self._row is not None and self._row.seq <= self._after:
            return
        self._venues[one.broker] = key
        occasion = self.occasion(
            "opening", key, one.broker, at=read.at, source=Source.ACCOUNT, context=context, broker=one.broker,
            confirmation=key,
        )  # fmt: skip
        if self.known(occasion.guid):
            return
        counter = Role.OPENING if before is None else Role.RESET
        lines: list[LedgerLine] = []
        cash = to_units(one.cash)
        if before is not None:
            cash -= self._cash(one.broker)
            for instrument in self.lots.instruments(one.broker):
                move = Movement(
                    broker=one.broker, instrument=instrument, quantity=-self.lots.held(one.broker, instrument),
                    principal=0, fees=0,
                )  # fmt: skip
                lines += corrections.written_off(occasion, move, self.lots)
        for held in read.foreign_positions if before is None else ():
            if held.broker == one.broker:
                cost = product_units(held.average_price, held.quantity, held.instrument.multiplier)
                move = Movement(
                    broker=one.broker, instrument=held.instrument.symbol, quantity=quantity_units(held.quantity),
                    principal=-cost, carried=-cost, fees=0,
                )  # fmt: skip
                lines += movement_lines(occasion, move, self.lots, behind=len(lines))
        lines.append(LedgerLine(account=account(self.mode, Role.CASH, one.broker).guid, amount=cash))
        total = sum(line.amount for line in lines)
        lines.append(LedgerLine(account=account(self.mode, counter).guid, amount=-total))
        text = f"{one.broker} {'opens' if before is None else 'is reset'}: {plain(one.cash)} dollars, {key}"
        self.put(build(occasion, Template.OPENING if before is None else Template.RESET, lines, text))

    def _cash(self, broker: str) -> int:
        guid = account(self.mode, Role.CASH, broker).guid
        return self.shelf.amount_on(guid) + self._amounts.get(guid, 0)

    def _allocated(self, context: SessionContext, shares: SharesFixed) -> None:
        amount = to_units(shares.budget)
        if amount <= 0 or shares.broker in context.allocated or not self._keeps(context, shares.broker):
            return
        context.allocated[shares.broker] = amount
        occasion = self.occasion(
            "allocation", str(context.session), shares.broker, at=shares.at, source=Source.ENGINE, context=context,
            broker=shares.broker,
        )  # fmt: skip
        text = f"{shares.broker}: {plain(shares.budget)} dollars of the float for {context.session}"
        pair = ((Role.CAPITAL, ""), (Role.ALLOCATION, ""))
        self.book(occasion, Template.ALLOCATION, lambda: between(self.mode, *pair, amount), text)

    def _released(self, context: SessionContext, at: Instant) -> None:
        for broker, amount in context.allocated.items():
            occasion = self.occasion(
                "release", str(context.session), broker, at=at, source=Source.ENGINE, context=context, broker=broker,
            )  # fmt: skip
            lines = between(self.mode, (Role.ALLOCATION, ""), (Role.CAPITAL, ""), amount)
            text = f"{broker}: the float of {context.session} is free again"
            self.book(occasion, Template.ALLOCATION_RELEASED, lambda lines=lines: lines, text)  # type: ignore[misc]

    def _slippage(self, context: SessionContext, trade: TradeRecord) -> None:
        tally = context.trades.get(trade.trade_id)
        cost = to_units(trade.slippage)
        if tally is None or cost == tally.slippage or not self._keeps(context, trade.broker):
            return
        change, tally.slippage = cost - tally.slippage, cost
        row = str(self._row.seq if self._row is not None else 0)
        occasion = self.occasion(
            "slippage", str(context.session), trade.trade_id, row, at=trade.at, source=Source.ENGINE, context=context,
            broker=trade.broker, trade_id=trade.trade_id, confirmation=f"slippage {trade.trade_id}",
        )  # fmt: skip
        text = f"{trade.ticker}: executed {'worse' if change > 0 else 'better'} than decided"
        self.book(occasion, Template.SLIPPAGE, lambda: slippage_lines(self.mode, trade.broker, change), text)

    def _reported(self, context: SessionContext, report: DeadManReport) -> None:
        for trade in report.trades:
            self._closed(context, trade)
        if not report.left:
            self._released(context, report.at)

    def _closed(self, context: SessionContext, trade: TradeRecord) -> None:
        """Book what was closed without an engine: what its result says beyond the executions on record."""
        if trade.error_code == UNCLOSED or not self._keeps(context, trade.broker):
            return
        tally = context.trades.get(trade.trade_id)
        cash, fees, held = (0, 0, ZERO) if tally is None else (tally.cash, tally.fees, tally.held)
        principal = to_units(trade.pnl) + to_units(trade.fees) - cash - fees
        move = Movement(
            broker=trade.broker, instrument=trade.instrument, quantity=-quantity_units(held), principal=principal,
            fees=to_units(trade.fees) - fees,
        )  # fmt: skip
        if tally is not None:
            tally.cash, tally.fees, tally.held = to_units(trade.pnl), to_units(trade.fees), ZERO
        occasion = self.occasion(
            "closed", str(context.session), trade.trade_id, at=trade.at, source=Source.DEAD_MAN, context=context,
            broker=trade.broker, trade_id=trade.trade_id, confirmation=f"{trade.exit_reason} {trade.trade_id}",
        )  # fmt: skip
        text = f"{trade.instrument} closed without an engine: {trade.exit_reason}"
        self.book(
            occasion, Template.CLOSED_WITHOUT_ENGINE, lambda: corrections.settled(occasion, move, self.lots), text
        )

    # --- outside of sessions ------------------------------------------------------------------------------------------

    def _take_control(self, found: object) -> None:
        match found:
            case TransfersAuthorized():
                self._transfers |= {one.transfer_id: one for one in found.transfers}
            case TransferSettled() if found.outcome is Outcome.DONE:
                posting.book_transfer(self, found, self._transfers.get(found.transfer_id))
            case LedgerPosting():
                posting.book_posting(self, found)
            case _:
                pass


__all__ = ["Booker", "NotBooked", "Shelf"]
