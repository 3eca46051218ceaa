"""The gateway behind all TWS connections: one account of the exchange, its order book, its line to the vendor.

Sessions come and go; orders, executions and ids stay. News of an order goes to the client that placed it, if it is
connected; what a client missed it finds by asking for open orders, completed orders and executions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Final, Protocol

from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO, to_cents
from tbot_bot.sandbox import tws_codes as codes
from tbot_bot.sandbox import tws_telling as telling
from tbot_bot.sandbox.desk import Desk
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.faults import FaultPlan
from tbot_bot.sandbox.tickets import NewsKind, Order, OrderNews, Phase, Refused
from tbot_bot.sandbox.tws_book import Entry, OrderBook, same_day
from tbot_bot.sandbox.tws_catalog import Catalog, Listed
from tbot_bot.sandbox.tws_contracts import ContractAsked
from tbot_bot.sandbox.tws_fields import Message
from tbot_bot.sandbox.tws_place_order import PlaceOrder
from tbot_bot.sandbox.tws_replies import Problem
from tbot_bot.sandbox.tws_tickets import Objection, object_to, refusal, ticket_of
from tbot_bot.sandbox.tws_times import stamp

VENDOR: Final = "ibkr"
ACCOUNT: Final = "DU0000000"
"""Made up; paper accounts begin with DU."""
LIVE_ACCOUNT: Final = "U0000000"
"""Made up as well; live accounts do not begin with D."""
_WHAT_IF_MARGIN: Final = Decimal("0.5")
_PARENT_MISSING: Final = 135


class Client(Protocol):
    """A connection, as far as the gateway needs it."""

    client_id: int

    def send(self, *messages: Message) -> None:
        """Send answers and notices."""

    def tell(self, *messages: Message) -> None:
        """Send news of orders, which faults may repeat and reorder."""

    def account_changed(self, symbol: str) -> None:
        """Tell the account's subscriptions that something was traded."""

    def forget_data(self) -> None:
        """End the subscriptions to market data: they were lost on the way."""


class Gateway:
    """What every session of the sandbox's TWS side shares."""

    def __init__(self, exchange: Exchange, faults: FaultPlan, *, account: str = ACCOUNT) -> None:
        """Serve the exchange's `ibkr` account under the name `account`."""
        self.exchange = exchange
        self.faults = faults
        self.account = account
        self.catalog = Catalog(exchange.market)
        self.book = OrderBook(self.desk.order)
        self.clients: dict[int, Client] = {}
        self.linked = True
        """Whether the line to the vendor is up; without it nothing is placed and no news comes."""
        self.competing_session = False
        """Whether the account's data goes to another session (10197)."""
        self.not_subscribed: frozenset[str] = frozenset()
        """Symbols without a live data subscription (354)."""
        self.imbalances: dict[str, tuple[Decimal, Decimal, Decimal]] = {}
        """Auction volume, price and signed imbalance by symbol, where somebody set them."""
        self._kept_back: list[tuple[int, tuple[Message, ...]]] = []
        self._placing: Entry | None = None
        self._end_news = self.desk.subscribe(self._on_news)

    @property
    def desk(self) -> Desk:
        """Return the account, which stamps what is done to it now by the clock."""
        return self.exchange.desk(VENDOR)

    def close(self) -> None:
        """Listen to the exchange no longer."""
        self._end_news()

    def at(self) -> Instant:
        """Return market time, at least the day's opening bell: contracts are listed all day."""
        return max(self.exchange.now(), self.exchange.market.day.open_at)

    # --- the line to the vendor --------------------------------------------------------------------------------------

    def announce(self, code: int) -> None:
        """Send a system message to all, with what it stands for: 1100 cuts the line, 1101 and 1102 mend it."""
        if code == codes.LINK_LOST:
            self.linked = False
        for client in tuple(self.clients.values()):
            client.send(codes.system(code))
            if code == codes.LINK_BACK_DATA_LOST:
                client.forget_data()
        if code in {codes.LINK_BACK, codes.LINK_BACK_DATA_LOST}:
            self.linked = True
            kept, self._kept_back = self._kept_back, []
            for client_id, messages in kept:
                self._tell(client_id, *messages)

    def notices(self) -> tuple[int, ...]:
        """Return the codes of what a new client is told about the line and the data farms."""
        down = () if self.linked else (codes.LINK_LOST,)
        return (*down, codes.DATA_FARM_OK, codes.HISTORY_FARM_OK, codes.SECURITY_FARM_OK)

    # --- what clients do with orders ---------------------------------------------------------------------------------

    def place(self, client: Client, asked: PlaceOrder) -> None:
        """Take a new order in, or new terms of an open one."""
        if not self.linked:
            client.send(codes.not_connected(asked.order_id))
            return
        known = self.book.get((client.client_id, asked.order_id))
        if known is None and self.book.used((client.client_id, asked.order_id)):
            client.send(Problem(req_id=asked.order_id, code=codes.DUPLICATE_ORDER_ID, text="Duplicate order id"))
            return
        found = self.catalog.find(asked.contract, self.at())
        if len(found) != 1:
            client.send((codes.ambiguous if found else codes.no_such_contract)(asked.order_id))
            return
        try:
            object_to(asked, found[0], self.account)
            self._watched(asked)
            if asked.what_if:
                self._answer_what_if(client, asked, found[0])
            elif known is not None:
                self._modify(known, asked, found[0])
            else:
                self._take_in(client, asked, found[0])
        except Objection as objection:
            client.send(objection.problem)

    def reject(self, client: Client, asked: PlaceOrder, reason: str) -> None:
        """Refuse a new order as the vendor's risk checks would."""
        found = self.catalog.find(asked.contract, self.at())
        if len(found) == 1 and not self.book.used((client.client_id, asked.order_id)):
            self._refused(self.book.keep(self._entry(client.client_id, asked, found[0])), reason)
        client.send(codes.rejected(asked.order_id, reason))

    def cancel(self, client: Client, order_id: int) -> None:
        """Take an order of this client off the market."""
        if not self.linked:
            client.send(codes.not_connected(order_id))
            return
        entry = self.book.get((client.client_id, order_id))
        if entry is None:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            client.send(Problem(req_id=order_id, code=codes.CANCEL_UNKNOWN, text=text))
            return
        standing = self.book.standing(entry)
        if not entry.sent:
            self._refused(replace(entry, sent=True), "cancelled before it was transmitted")
            client.send(codes.cancelled(order_id, ""))
        elif standing.open:
            self.desk.cancel(entry.numbers[-1])
        else:
            state = telling.status_of(entry, standing, market_open=True)
            text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {state}."
            client.send(Problem(req_id=order_id, code=codes.CANCEL_TOO_LATE, text=text))

    def cancel_all(self) -> None:
        """Take every open order of the account off the market; without the line to the vendor, none."""
        for order in self.desk.open_orders() if self.linked else ():
            found = self.desk.order(order.number)
            if found is not None and found.phase.open:
                self.desk.cancel(order.number)

    # --- what clients ask about orders -------------------------------------------------------------------------------

    def open_entries(self) -> list[Entry]:
        """Return the entries that can still fill, those entered by hand included."""
        self._adopt_strangers()
        return [entry for entry in self.book if self.book.standing(entry).open]

    def completed_entries(self) -> list[Entry]:
        """Return the entries that ended on the present day."""
        self._adopt_strangers()
        return [entry for entry in self.book if self._ended_today(entry)]

    def order_messages(self, entry: Entry) -> tuple[Message, Message]:
        """Return the order and its status as they are now."""
        standing = self.book.standing(entry)
        is_open = self.exchange.is_open
        return (
            telling.open_order(entry, standing, account=self.account, market_open=is_open),
            telling.order_status(entry, standing, last_price=self.book.last_price(entry), market_open=is_open),
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _entry(self, client_id: int, asked: PlaceOrder, listed: Listed) -> Entry:
        parent = self.book.get((client_id, asked.parent_id)) if asked.parent_id else None
        group = asked.oca_group or ("" if parent is None else str(parent.perm_id))
        return Entry(
            client_id=client_id,
            perm_id=self.book.next_perm_id(),
            asked=asked,
            listed=listed,
            group=group,
            placed_at=self.exchange.now(),
            sent=asked.transmit,
        )

    def _ended_today(self, entry: Entry) -> bool:
        standing = self.book.standing(entry)
        ended = bool(entry.refusal) or (standing.phase is not None and not standing.open)
        return ended and same_day(standing.ended_at or entry.placed_at, self.at())

    def _take_in(self, client: Client, asked: PlaceOrder, listed: Listed) -> None:
        if asked.parent_id and self.book.get((client.client_id, asked.parent_id)) is None:
            text = f"Can't find order with ID = {asked.parent_id}"
            raise Objection(Problem(req_id=asked.order_id, code=_PARENT_MISSING, text=text))
        entry = self.book.keep(self._entry(client.client_id, asked, listed))
        if entry.sent:
            self._transmit(entry)

    def _transmit(self, last: Entry) -> None:
        """Send `last` to the exchange, behind those of its family that waited for it."""
        root = last.asked.parent_id or last.asked.order_id
        waiting = [
            entry
            for entry in self.book
            if entry.client_id == last.client_id
            and not entry.sent
            and root in {entry.asked.order_id, entry.asked.parent_id}
        ]
        for entry in (*waiting, last):
            self._submit(self.book.keep(replace(entry, sent=True)))

    def _submit(self, entry: Entry) -> None:
        order_id = entry.asked.order_id
        try:
            parent = self._parent_number(entry)
            watched = self._watched(entry.asked)
            ticket = ticket_of(entry.asked, entry.listed, parent=parent, group=entry.group, watched=watched)
            with self._placed_as(entry):
                order = self.desk.place(ticket)
        except (Refused, Objection) as refused:
            problem = refused.problem if isinstance(refused, Objection) else refusal(order_id, refused)
            self._refused(entry, problem.text)
            self._tell(entry.client_id, problem)
            return
        entry = self.book.numbered(entry, order.number)
        if order.phase is Phase.HELD:
            self._tell(entry.client_id, *self.order_messages(entry))
        elif not self.exchange.is_open and not entry.asked.outside_rth:
            self._tell(entry.client_id, self._closed_warning(entry))

    def _watched(self, asked: PlaceOrder) -> Listed | None:
        """Return the share whose price the order waits for, None where it waits for none."""
        if asked.waits.condition is None:
            return None
        found = self.catalog.find(ContractAsked(con_id=asked.waits.condition.con_id), self.at())
        if not found or found[0].sec_type != "STK":
            raise Objection(codes.no_such_contract(asked.order_id))
        return found[0]

    def _parent_number(self, entry: Entry) -> int | None:
        """Return the parent's number while it is open, None where there is none or it is filled."""
        parent = self.book.get((entry.client_id, entry.asked.parent_id)) if entry.asked.parent_id else None
        if parent is None:
            return None
        standing = self.book.standing(parent)
        if standing.open:
            return parent.numbers[-1]
        if standing.phase is Phase.FILLED:
            return None
        raise Objection(codes.rejected(entry.asked.order_id, f"Parent order {entry.asked.parent_id} is not working."))

    def _modify(self, known: Entry, asked: PlaceOrder, listed: Listed) -> None:
        order_id = asked.order_id
        standing = self.book.standing(known)
        if standing.phase is Phase.FILLED:
            raise Objection(
                Problem(req_id=order_id, code=codes.CANNOT_MODIFY_FILLED, text="Cannot modify a filled order")
            )
        if known.sent and not standing.open:
            raise Objection(Problem(req_id=order_id, code=codes.DUPLICATE_ORDER_ID, text="Duplicate order id"))
        differs = listed is not known.listed or asked.action != known.asked.action
        if differs or (known.sent and asked.order_type != known.asked.order_type):
            text = "Order being modified does not match the original order."
            raise Objection(Problem(req_id=order_id, code=codes.MODIFIED_ORDER_DIFFERS, text=text))
        changed = replace(known, asked=asked, sent=known.sent or asked.transmit)
        if not known.sent:
            self.book.keep(changed)
            if changed.sent:
                self._transmit(changed)
            return
        if asked.total_quantity <= standing.filled:
            raise Objection(codes.rejected(order_id, f"{standing.filled} of it are filled already."))
        ticket = ticket_of(asked, listed, parent=None, group=known.group, done=standing.filled)
        changes = {
            "limit": ticket.limit,
            "stop": ticket.stop,
            "trail": ticket.trail,
            "trail_percent": ticket.trail_percent,
            "quantity": ticket.quantity,
            "label": ticket.label,
            "lifetime": ticket.lifetime,
        }
        try:
            with self._placed_as(changed):
                order = self.desk.replace(known.numbers[-1], **changes)
        except Refused as refused:
            self.book.keep(known)
            raise Objection(refusal(order_id, refused)) from None
        entry = self.book.numbered(self.book.get(known.key) or changed, order.number)
        if order.phase is Phase.HELD:
            self._tell(entry.client_id, *self.order_messages(entry))

    @contextmanager
    def _placed_as(self, entry: Entry) -> Iterator[None]:
        """Take news of numbers that nobody knows for news of `entry` while the exchange takes it in."""
        self._placing = entry
        try:
            yield
        finally:
            self._placing = None

    def _refused(self, entry: Entry, reason: str) -> None:
        self.book.keep(replace(entry, refusal=reason))

    def _answer_what_if(self, client: Client, asked: PlaceOrder, listed: Listed) -> None:
        price = asked.limit_price or self.exchange.market.price(listed.symbol, self.at()) or ZERO
        margin = to_cents(price * asked.total_quantity * listed.units * _WHAT_IF_MARGIN)
        entry = self._entry(client.client_id, asked, listed)
        equity = to_cents(self.desk.account().equity)
        client.send(telling.what_if(entry, account=self.account, equity=equity, margin=margin, commission=Decimal(1)))

    def _closed_warning(self, entry: Entry) -> Problem:
        """Say that the order waits for the bell; it is no refusal."""
        asked, listed = entry.asked, entry.listed
        text = (
            f"Order Message:\n{asked.action} {asked.total_quantity} {listed.local_symbol} {listed.exchange}\n"
            "Warning: Your order will not be placed at the exchange until "
            f"{stamp(self.exchange.market.day.open_at)}"
        )
        return Problem(req_id=asked.order_id, code=codes.ORDER_MESSAGE, text=text)

    def _adopt_strangers(self) -> None:
        for order in self.desk.orders():
            if self.book.of_number(order.number) is None:
                self._entry_of(order)

    def _entry_of(self, order: Order) -> Entry:
        found = self.book.of_number(order.number)
        if found is not None:
            return found
        if self._placing is not None:
            return self.book.numbered(self._placing, order.number)
        return self.book.adopt(order, self.catalog.of(order.ticket.instrument))

    def _on_news(self, news: OrderNews) -> None:
        if news.kind is NewsKind.REPLACED:
            return
        entry = self._entry_of(news.order)
        messages: tuple[Message, ...]
        match news.kind:
            case NewsKind.FILLED if news.fill is not None:
                execution = self.book.executed(entry, news.fill)
                details = telling.execution_details(entry, execution, req_id=codes.SYSTEM, account=self.account)
                messages = (details, *self.order_messages(entry), telling.commission_report(execution))
            case NewsKind.CANCELED | NewsKind.EXPIRED:
                order_id = entry.asked.order_id
                messages = (self.order_messages(entry)[1], codes.cancelled(order_id, news.order.reason))
            case NewsKind.REJECTED:
                order_id = entry.asked.order_id
                messages = (self.order_messages(entry)[1], codes.rejected(order_id, news.order.reason))
            case _:
                messages = self.order_messages(entry)
        self._tell(entry.client_id, *messages)
        if news.kind is NewsKind.FILLED:
            for client in tuple(self.clients.values()):
                client.account_changed(entry.listed.key)

    def _tell(self, client_id: int, *messages: Message) -> None:
        if not self.linked:
            self._kept_back.append((client_id, messages))
        elif client_id in self.clients:
            self.clients[client_id].tell(*messages)
