"""Alpaca's side of the account: its ids, which order is whose leg, and what it refuses."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final
from uuid import UUID

from tbot_bot.core.money import ZERO, plain
from tbot_bot.sandbox.alpaca_requests import (
    NOT_FOUND,
    AlpacaError,
    Asked,
    Body,
    check_prices,
    forbidden,
    malformed,
    number,
    read_order,
    symbol_of,
    unprocessable,
)
from tbot_bot.sandbox.alpaca_shapes import Placed, order_json, order_uuid
from tbot_bot.sandbox.desk import Desk
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.faults import FaultKind
from tbot_bot.sandbox.serving import Json
from tbot_bot.sandbox.tickets import Kind, Lifetime, Order, Phase, RefusalKind, Refused, Ticket

VENDOR: Final = "alpaca"
_PRICED: Final = frozenset({Kind.LIMIT, Kind.STOP_LIMIT})


class AlpacaBook:
    """Orders as the vendor knows them, over the exchange's account."""

    def __init__(self, exchange: Exchange) -> None:
        """Keep the books of the account `alpaca`."""
        self._exchange = exchange
        self._placed: dict[str, Placed] = {}
        self._numbers: dict[str, int] = {}
        """Orders by the vendor's id and by the client's."""
        self._leg_of: dict[int, int] = {}

    @property
    def desk(self) -> Desk:
        """Return the account."""
        return self._exchange.desk(VENDOR)

    def place(self, body: Body) -> Order:
        """Place what `body` asks for, with its legs.

        Raises:
            AlpacaError: refused.
        """
        symbol = symbol_of(body)
        market = self._exchange.market
        instrument = market.instrument(symbol)
        if instrument is None:
            raise unprocessable(f'asset "{symbol}" not found')
        quote = market.quote(symbol, self._exchange.now())
        asked = read_order(body, instrument, None if quote is None else quote.ask)
        self._check(asked)
        label = asked.client_order_id or order_uuid(-1 - len(self._placed))
        self._placed[label] = Placed(client_order_id=label, order_class=asked.order_class, notional=asked.notional)
        group = f"{label} legs" if asked.order_class in {"bracket", "oco"} else ""
        ticket = replace(asked.ticket, label=label, group=group if asked.order_class == "oco" else "")
        order = self._offered(ticket)
        self._register(order)
        for place, leg in enumerate(asked.legs):
            self._place_leg(order, leg, place, asked.order_class, group)
        for rule in self._exchange.faults.of_call(VENDOR, "order", FaultKind.REJECTED):
            if self.desk.order(order.number) is not None and order.phase.open:
                self.desk.cancel(order.number, phase=Phase.REJECTED, reason=rule.kind.value)
        return self.current(order.number)

    def change(self, order: Order, body: Body) -> Order:
        """Replace `order` by what `body` asks for (a PATCH).

        Raises:
            AlpacaError: refused; the old order stays.
        """
        if not order.phase.open or (order.phase is Phase.HELD and "qty" in body):
            raise unprocessable(f"order is not open to be replaced: {order.phase}")
        label = str(body.get("client_order_id") or "") or order_uuid(-1 - len(self._placed))
        self._refuse_known(label)
        ticket = order.ticket
        trail = number(body, "trail")
        if trail is not None and ticket.kind is not Kind.TRAILING_STOP:
            raise unprocessable("trail can only be changed on trailing stop orders")
        by_percent = ticket.trail_percent is not None
        changed = replace(
            ticket,
            quantity=number(body, "qty") or order.remaining,
            limit=number(body, "limit_price") or ticket.limit,
            stop=number(body, "stop_price") or ticket.stop,
            trail=ticket.trail if trail is None or by_percent else trail,
            trail_percent=ticket.trail_percent if trail is None or not by_percent else trail,
            lifetime=_lifetime(body, ticket.lifetime),
        )
        check_prices(changed)
        if order.filled and number(body, "qty") is not None:
            changed = replace(changed, quantity=changed.quantity - order.filled)
            if changed.quantity <= ZERO:
                raise unprocessable("qty must be > filled_qty")
        old = self.placed(order)
        self._placed[label] = replace(old, client_order_id=label)
        names = ("quantity", "limit", "stop", "trail", "trail_percent", "lifetime")
        try:
            new = self.desk.replace(order.number, **{name: getattr(changed, name) for name in names}, label=label)
        except Refused as refused:
            del self._placed[label]
            raise self._translated(refused, changed) from None
        self._register(new)
        if order.number in self._leg_of:
            self._leg_of[new.number] = self._leg_of[order.number]
        for leg, parent in list(self._leg_of.items()):
            if parent == order.number:
                self._leg_of[leg] = new.number
        return new

    def cancel(self, order: Order) -> None:
        """Cancel `order`.

        Raises:
            AlpacaError: it has ended.
        """
        try:
            self.desk.cancel(order.number)
        except Refused:
            status = order_json(order, self.placed(order), None, is_open=True)["status"]
            raise unprocessable(f'order is already in "{status}" state') from None

    def find(self, order_id: str) -> Order:
        """Return the order by the vendor's id.

        Raises:
            AlpacaError: no such order, or no such id at all.
        """
        try:
            key = str(UUID(order_id))
        except ValueError:
            raise malformed(f"order_id is not a valid UUID: {order_id}") from None
        return self._by(key, order_id)

    def find_by_client(self, client_order_id: str) -> Order:
        """Return the order by the client's id.

        Raises:
            AlpacaError: no such order.
        """
        return self._by(f"client {client_order_id}", client_order_id)

    def current(self, order_number: int) -> Order:
        """Return the order as it is now."""
        order = self.desk.order(order_number)
        assert order is not None, "numbers come from the desk"  # noqa: S101
        return order

    def placed(self, order: Order) -> Placed:
        """Return what the vendor remembers of the order; one that came to the desk another way was a simple one."""
        label = order.ticket.label or order_uuid(order.number)
        return self._placed.get(order.ticket.label) or Placed(client_order_id=label, order_class="simple")

    def legs(self, order: Order) -> tuple[Order, ...]:
        """Return the order's legs as they are now."""
        legs = (self.current(leg) for leg, parent in self._leg_of.items() if parent == order.number)
        return tuple(leg for leg in legs if leg.phase is not Phase.REPLACED)

    def is_leg(self, order: Order) -> bool:
        """Return whether the order is another one's leg."""
        return order.number in self._leg_of

    def shape(self, order: Order, *, nested: bool) -> dict[str, Json]:
        """Return the order as JSON."""
        is_open = self._exchange.is_open
        legs = self.legs(order) if nested else ()
        inner = [order_json(leg, self.placed(leg), None, is_open=is_open) for leg in legs] or None
        return order_json(order, self.placed(order), inner, is_open=is_open)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _check(self, asked: Asked) -> None:
        ticket = asked.ticket
        self._refuse_known(asked.client_order_id)
        held = self.desk.held(ticket.instrument.symbol)
        reduces = bool(held) and ticket.buys == (held < ZERO)
        if asked.order_class == "oco" and not reduces:
            raise unprocessable("oco orders must be exit orders")
        if reduces:
            self._refuse_oversold(ticket, abs(held))
        elif not ticket.buys and asked.order_class == "simple" and ticket.quantity % 1:
            raise unprocessable("fractional orders cannot be sold short")
        if asked.order_class == "simple":
            self._refuse_wash(ticket)

    def _refuse_known(self, client_order_id: str) -> None:
        if client_order_id and client_order_id in self._placed:
            raise malformed("client_order_id must be unique")

    def _refuse_oversold(self, ticket: Ticket, held: Decimal) -> None:
        symbol = ticket.instrument.symbol
        committed = self.desk.committed(symbol)
        available = max(held - committed, ZERO)
        if ticket.quantity > available:
            raise forbidden(
                f"insufficient qty available for order (requested: {plain(ticket.quantity)}, "
                f"available: {plain(available)})",
                symbol=symbol,
                available=plain(available),
                existing_qty=plain(held),
                held_for_orders=plain(committed),
            )

    def _refuse_wash(self, ticket: Ticket) -> None:
        for order in self.desk.open_orders():
            other = order.ticket
            same = other.instrument.symbol == ticket.instrument.symbol and other.buys is not ticket.buys
            if not same or order.phase is not Phase.WORKING or other.group or other.parent is not None:
                continue
            if _could_meet(ticket, other):
                raise AlpacaError(
                    403,
                    40310000,
                    "potential wash trade detected. use complex orders",
                    existing_order_id=order_uuid(order.number),
                    reject_reason="opposite side market/stop order exists",
                )

    def _offered(self, ticket: Ticket) -> Order:
        try:
            return self.desk.place(ticket)
        except Refused as refused:
            del self._placed[ticket.label]
            raise self._translated(refused, ticket) from None

    def _place_leg(self, order: Order, leg: Ticket, place: int, order_class: str, group: str) -> None:
        label = order_uuid(-1_000_000_000 - order.number * 10 - place)
        self._placed[label] = Placed(client_order_id=label, order_class=order_class)
        parent = None if order_class == "oco" else order.number
        number = len(self.desk.orders()) + 1
        self._leg_of[number] = order.number  # known before its first news
        try:
            made = self._offered(replace(leg, label=label, parent=parent, group=group))
        except AlpacaError:  # all or nothing
            del self._leg_of[number]
            self.desk.cancel(order.number, phase=Phase.REJECTED, reason="a leg was refused")
            raise
        self._register(made)

    def _register(self, order: Order) -> None:
        self._numbers[order_uuid(order.number)] = order.number
        self._numbers[f"client {order.ticket.label}"] = order.number

    def _by(self, key: str, shown: str) -> Order:
        found = self._numbers.get(key)
        if found is None:  # perhaps it came to the desk another way
            for order in self.desk.orders():
                self._numbers.setdefault(order_uuid(order.number), order.number)
                self._numbers.setdefault(f"client {self.placed(order).client_order_id}", order.number)
            found = self._numbers.get(key)
        if found is None:
            raise AlpacaError(404, NOT_FOUND, f"order not found for {shown}")
        return self.current(found)

    def _translated(self, refused: Refused, ticket: Ticket) -> AlpacaError:
        symbol = ticket.instrument.symbol
        match refused.kind:
            case RefusalKind.BUYING_POWER:
                price = ticket.limit or ticket.stop or self._exchange.market.price(symbol, self._exchange.now())
                cost = ticket.instrument.notional(price or ZERO, ticket.quantity)
                power = plain(self.desk.account().buying_power)
                return forbidden("insufficient buying power", buying_power=power, cost_basis=plain(cost))
            case RefusalKind.QUANTITY:
                held = plain(abs(self.desk.held(symbol)))
                words = f"insufficient qty available for order (requested: {plain(ticket.quantity)}, available: {held})"
                return forbidden(words, symbol=symbol, available=held, existing_qty=held, held_for_orders="0")
            case RefusalKind.SHORT:
                return forbidden(f'asset "{symbol}" cannot be sold short')
            case _:
                return unprocessable(refused.reason)


def _could_meet(ticket: Ticket, other: Ticket) -> bool:
    """Return whether two orders of opposite sides could trade with each other."""
    if ticket.kind not in _PRICED or other.kind not in _PRICED or ticket.limit is None or other.limit is None:
        return True
    return ticket.limit >= other.limit if ticket.buys else ticket.limit <= other.limit


def _lifetime(body: Body, present: Lifetime) -> Lifetime:
    given = body.get("time_in_force")
    if given is None or given == "":
        return present
    try:
        return Lifetime(str(given))
    except ValueError:
        raise malformed(f"invalid time_in_force: {given}") from None


def in_period(orders: Iterable[Order], after: int | None, until: int | None) -> list[Order]:
    """Return the orders submitted after `after` and before `until`, instants."""
    return [
        order
        for order in orders
        if (after is None or order.submitted_at > after) and (until is None or order.submitted_at < until)
    ]
