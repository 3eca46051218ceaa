"""One account at the exchange: the simulator's venue, and the order kinds that the venue itself does not know.

Market, limit and stop orders rest at the venue. Stop-limit and trailing orders, orders for the opening or the
closing price and fill-or-kill wait here and go to the venue when their moment comes; so do the legs of an order
whose parent is not filled yet. What becomes of an order is told as `OrderNews`, in the order in which it happens.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from tbot_bot.broker.matching import Venue
from tbot_bot.broker.venue_state import VenueRules, watched_share
from tbot_bot.core.bars import Bar
from tbot_bot.core.events import OrderEvent
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Account, Fill, Position
from tbot_bot.sandbox import venue_orders
from tbot_bot.sandbox.market import HALF_SPREAD_BPS, SandboxMarket
from tbot_bot.sandbox.order_shelf import OrderShelf
from tbot_bot.sandbox.tickets import (
    AccountTruth,
    Kind,
    Lifetime,
    NewsKind,
    Order,
    OrderNews,
    Phase,
    Refused,
    Ticket,
)
from tbot_bot.sandbox.trailing import moved, woken
from tbot_bot.sandbox.venue_link import VenueLink

Listener = Callable[[OrderNews], None]
_WAITING_KINDS: Final = frozenset({Kind.STOP_LIMIT, Kind.TRAILING_STOP})
_WAITING_LIFETIMES: Final = frozenset({Lifetime.FOK, Lifetime.CLOSING})
_AT_ONCE: Final = frozenset({Lifetime.IOC, Lifetime.FOK, Lifetime.OPENING})
"""Whatever of these is unfilled after their one meeting with the market is cancelled."""


class Desk:
    """One client account: orders, positions and money. All times are market time."""

    def __init__(self, name: str, market: SandboxMarket, *, cash: Decimal, rules: VenueRules | None = None) -> None:
        """`name` also names the fee table (`alpaca`, `ibkr`); `cash` in dollars."""
        self.name = name
        self._market = market
        own = rules or VenueRules(slippage_bps=HALF_SPREAD_BPS, tradable=frozenset(market.symbols))
        self._venue = Venue(broker=name, cash=cash, rules=own, pricer=market.pricer())
        self._shelf = OrderShelf()
        self._link = VenueLink(self._venue)
        self._waiting: dict[int, None] = {}
        """Working orders that the venue does not have."""
        self._listeners: list[Listener] = []
        self.now = Instant(0)

    # --- what a vendor asks ------------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` each change from now on, at once and in order; call what is returned to end it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def place(self, ticket: Ticket) -> Order:
        """Take `ticket` in and return the order as it stands then.

        Raises:
            Refused: the account cannot carry it, or it is no order; nothing remains of it.
        """
        if ticket.parent is not None:
            self._shelf.require_open(ticket.parent)
            order = self._new(ticket, Phase.HELD)
            venue_orders.refuse_malformed(ticket, self._venue)
            self._keep(order)
            return order
        return self._wake(self._new(ticket), refuse=True)

    def cancel(self, number: int, *, phase: Phase = Phase.CANCELED, reason: str = "") -> Order:
        """Take the order off, with the legs that wait for it and the others of its group; return it.

        `phase` is what it ends as: rejected, where the vendor thinks better of it.

        Raises:
            Refused: no such order, or it has ended.
        """
        order = self._shelf.require_open(number)
        self._end(order, phase, reason)
        return self._shelf[number]

    def replace(self, number: int, **changes: Decimal | Lifetime | str | None) -> Order:
        """Put a new order in the place of an open one, with other prices, `quantity`, `lifetime` or `label`.

        `changes` are fields of the ticket. A quantity is what the new order asks for in all; without one it asks
        for what the old one has left.

        Raises:
            Refused: the old order has ended, or the account cannot carry the new one; the old one stays.
        """
        old = self._shelf.require_open(number)
        ticket = replace(old.ticket, **{"quantity": old.remaining, **changes})  # type: ignore[arg-type]
        order = replace(self._new(ticket, old.phase), replaces=number)
        if ticket.kind is Kind.TRAILING_STOP:
            order = replace(order, high_water=old.high_water)
        if number not in self._link or self._waits(order):
            if old.phase is not Phase.HELD:
                venue_orders.refuse_malformed(ticket, self._venue)
            self._swap(old, order)
        else:
            self._link.submit_instead(order, number, self.now)
            self._replaced(old, order)
            self._keep(order)
            self._tell(NewsKind.ACCEPTED, order)
        for child in self._shelf.held_for(number):  # a leg is for whatever its parent comes to
            wanted = child.ticket.quantity + ticket.quantity - old.remaining
            self._keep(replace(child, ticket=replace(child.ticket, parent=order.number, quantity=wanted)))
        return self._shelf[order.number]

    def order(self, number: int) -> Order | None:
        """Return the order in whatever phase, None where there never was one."""
        return self._shelf.all.get(number)

    def orders(self) -> tuple[Order, ...]:
        """Return every order there ever was, oldest first."""
        return tuple(self._shelf.all.values())

    def open_orders(self) -> tuple[Order, ...]:
        """Return the orders that can still fill, oldest first."""
        return self._shelf.open()

    def legs(self, number: int) -> tuple[Order, ...]:
        """Return the orders whose parent is `number`, oldest first."""
        return self._shelf.legs(number)

    def account(self) -> Account:
        """Return the account at last prices, with the day trades of the day."""
        return replace(self._venue.account(), day_trades=self._link.day_trades())

    def positions(self) -> tuple[Position, ...]:
        """Return what is held, in order of symbol."""
        return self._venue.positions()

    def held(self, symbol: str) -> Decimal:
        """Return the signed quantity held."""
        return self._venue.books.held(symbol)

    def committed(self, symbol: str) -> Decimal:
        """Return how much of the position is spoken for by closing orders; a group counts once."""
        return self._shelf.committed(symbol, self.held(symbol))

    def fills(self) -> tuple[Fill, ...]:
        """Return all executions, oldest first; `client_order_id` is the order's number."""
        return tuple(self._link.renamed(fill) for fill in self._venue.fills_since(Instant(0)))

    def truth(self) -> AccountTruth:
        """Return all that the venue knows."""
        account, books = self.account(), self._venue.books
        return AccountTruth(
            name=self.name,
            cash=books.cash,
            equity=account.equity,
            buying_power=account.buying_power,
            fees=books.fees,
            day_trades=account.day_trades,
            positions=tuple((p.instrument.symbol, p.quantity, p.average_price) for p in self.positions()),
            orders=self.orders(),
            fills=self.fills(),
        )

    # --- the operator's side -----------------------------------------------------------------------------------------

    def set_rules(self, **changes: frozenset[str] | Decimal | bool) -> None:
        """Change the venue's `halted`, `unborrowable`, `participation`, `slippage_bps` or the like from now on."""
        self._venue.rules = replace(self._venue.rules, **changes)  # type: ignore[arg-type]

    @property
    def rules(self) -> VenueRules:
        """Return the venue's present rules."""
        return self._venue.rules

    # --- the market's side -------------------------------------------------------------------------------------------

    def open_tick(self, start: Instant, bars: Mapping[str, Bar], *, last: bool) -> None:
        """Trade the opening prices of the ticks that begin at `start`; `last` says that the day's final tick begins."""
        self.now = start
        for number in list(self._waiting):
            order = self._shelf[number]
            if last and order.ticket.lifetime is Lifetime.CLOSING:
                self._to_venue(order)
            elif order.ticket.lifetime is Lifetime.FOK:
                self._fill_or_kill(order, bars)
        self._absorb(self._venue.open_step(start, bars))
        self._end_all(self._only_once(start, bars), Phase.CANCELED)

    def range_tick(self, end: Instant, bars: Mapping[str, Bar]) -> None:
        """Trade the rest of the ticks that end at `end`, then move and wake what waits here."""
        self.now = end
        while events := self._venue.range_step(end, bars):
            self._absorb(events)
        for number in list(self._waiting):
            self._look(self._shelf[number], bars)
        self._venue.close_bar()

    def end_day(self, at: Instant) -> None:
        """Let every order expire that was for the day."""
        self.now = at
        self._end_all((o for o in self.open_orders() if o.ticket.lifetime is not Lifetime.GTC), Phase.EXPIRED)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _new(self, ticket: Ticket, phase: Phase = Phase.WORKING) -> Order:
        return Order(
            number=len(self._shelf.all) + 1,
            ticket=ticket,
            phase=phase,
            submitted_at=self.now,
            updated_at=self.now,
            stop=ticket.stop,
        )

    def _waits(self, order: Order) -> bool:
        ticket = order.ticket
        return (ticket.kind in _WAITING_KINDS and not order.triggered) or ticket.lifetime in _WAITING_LIFETIMES

    def _wake(self, order: Order, *, refuse: bool) -> Order:
        """Let `order` work; where the venue objects, refuse it or reject it with news."""
        try:
            venue_orders.refuse_malformed(order.ticket, self._venue)
            if self._waits(order) or order.ticket.kind is Kind.MARKET:
                self._refuse_unaffordable(order.ticket)  # the venue judges the others, and knows their prices
            if self._waits(order):
                order = moved(order, self._market.price(watched_share(order.ticket.instrument), self.now))
                self._waiting[order.number] = None
            else:
                self._to_venue(order, keep=False)
        except Refused as refused:
            if refuse:
                raise
            self._end(order, Phase.REJECTED, refused.reason)
            return self._shelf[order.number]
        order = replace(order, phase=Phase.WORKING, updated_at=self.now)
        self._keep(order)
        self._tell(NewsKind.ACCEPTED, order)
        return order

    def _refuse_unaffordable(self, ticket: Ticket) -> None:
        share = watched_share(ticket.instrument)
        price = ticket.limit or ticket.stop or self._market.price(share, self.now)
        if ticket.instrument.underlying and ticket.limit is None:
            quote = self._market.quote(ticket.instrument.symbol, self.now)
            price = None if quote is None else quote.ask
        venue_orders.refuse_unaffordable(ticket, price, self._venue)

    def _to_venue(self, order: Order, *, keep: bool = True) -> None:
        """Hand `order` to the venue.

        Raises:
            Refused: the venue objects, and `keep` is off; else the order is rejected with news.
        """
        self._waiting.pop(order.number, None)
        try:
            self._link.submit(order, self.now)
        except Refused as refused:
            if not keep:
                raise
            self._end(order, Phase.REJECTED, refused.reason)

    def _fill_or_kill(self, order: Order, bars: Mapping[str, Bar]) -> None:
        bar = bars.get(watched_share(order.ticket.instrument))
        if bar is None:
            return
        room = Decimal(int(bar.volume)) / order.ticket.instrument.multiplier * self._venue.rules.participation
        if room < order.ticket.quantity:
            self._end(order, Phase.CANCELED, "cannot be filled at once and wholly")
        else:
            self._to_venue(order)

    def _only_once(self, start: Instant, bars: Mapping[str, Bar]) -> list[Order]:
        """Return what has had its one meeting with the market and is still open."""
        return [
            order
            for order in self.open_orders()
            if order.ticket.lifetime in _AT_ONCE
            and order.number in self._link
            and order.submitted_at <= start
            and watched_share(order.ticket.instrument) in bars
        ]

    def _look(self, order: Order, bars: Mapping[str, Bar]) -> None:
        """Move a trailing stop, or wake what its price has reached."""
        watched = order.ticket.watches or watched_share(order.ticket.instrument)
        bar = bars.get(watched)
        if bar is None or order.ticket.kind not in _WAITING_KINDS or watched in self._venue.rules.halted:
            return
        if woken(order, bar):
            order = replace(order, triggered=True, updated_at=self.now)
            self._keep(order)
            self._to_venue(order)
            if self._shelf[order.number].phase is Phase.WORKING:
                self._tell(NewsKind.CHANGED, order)
            return
        further = moved(order, Decimal(repr(float(bar.low if order.ticket.buys else bar.high))))
        if further.stop != order.stop:
            self._keep(replace(further, updated_at=self.now))
            self._tell(NewsKind.CHANGED, self._shelf[order.number])

    def _absorb(self, events: Iterable[OrderEvent]) -> None:
        for found in self._link.read(events):
            if isinstance(found, Fill):
                self._filled(found)
            else:
                number, reason = found
                self._link.forget(number)
                self._end(self._shelf[number], Phase.CANCELED, reason)

    def _filled(self, fill: Fill) -> None:
        order = self._shelf[int(fill.client_order_id)]
        filled = order.filled + fill.quantity
        done = filled >= order.ticket.quantity
        order = replace(
            order,
            filled=filled,
            value=order.value + fill.quantity * fill.price,
            fees=order.fees + fill.fees,
            phase=Phase.FILLED if done else order.phase,
            ended_at=self.now if done else None,
            updated_at=self.now,
        )
        self._keep(order)
        symbol = order.ticket.instrument.symbol
        self._tell(NewsKind.FILLED, order, fill=fill, position=self.held(symbol))
        for sibling in self._shelf.siblings(order):
            if done:
                self._end(sibling, Phase.CANCELED, "another order of its group was filled")
            else:
                self._reduce(sibling, fill.quantity)
        if done:
            for child in self._shelf.held_for(order.number):
                self._wake(child, refuse=False)

    def _reduce(self, order: Order, by: Decimal) -> None:
        """Let a sibling ask for `by` less."""
        left = order.remaining - by
        if left <= ZERO:
            self._end(order, Phase.CANCELED, "another order of its group was filled")
            return
        order = replace(order, ticket=replace(order.ticket, quantity=order.ticket.quantity - by), updated_at=self.now)
        try:
            if order.number in self._link:
                self._link.submit_instead(order, order.number, self.now)
        except Refused as refused:  # the position was closed by another order meanwhile
            self._end(order, Phase.CANCELED, refused.reason)
            return
        self._keep(order)
        self._tell(NewsKind.CHANGED, order)

    def _swap(self, old: Order, order: Order) -> None:
        """Replace `old`, which is not at the venue or whose successor shall not be."""
        self._link.withdraw(old.number, self.now)
        self._waiting.pop(old.number, None)
        self._replaced(old, order)
        if order.phase is Phase.HELD:
            self._keep(order)
        else:
            self._wake(order, refuse=False)

    def _replaced(self, old: Order, order: Order) -> None:
        told = replace(old, phase=Phase.REPLACED, replaced_by=order.number, ended_at=self.now, updated_at=self.now)
        self._keep(told)
        self._tell(NewsKind.REPLACED, told)

    def _end_all(self, orders: Iterable[Order], phase: Phase) -> None:
        for order in list(orders):
            if self._shelf[order.number].phase.open:  # not ended by another one's end
                self._end(self._shelf[order.number], phase)

    def _end(self, order: Order, phase: Phase, reason: str = "") -> None:
        """End `order` and what hangs on it."""
        self._link.withdraw(order.number, self.now)
        self._waiting.pop(order.number, None)
        order = replace(order, phase=phase, ended_at=self.now, updated_at=self.now, reason=reason)
        self._keep(order)
        self._tell(NewsKind(phase.value), order)
        for other in (*self._shelf.held_for(order.number), *self._shelf.siblings(order)):
            if self._shelf[other.number].phase.open:
                self._end(self._shelf[other.number], Phase.CANCELED, "the order that it belonged to has ended")

    def _keep(self, order: Order) -> None:
        self._shelf.keep(order)
        if not order.phase.open:
            self._link.forget(order.number)

    def _tell(self, kind: NewsKind, order: Order, *, fill: Fill | None = None, position: Decimal = ZERO) -> None:
        news = OrderNews(at=self.now, kind=kind, order=order, fill=fill, position=position)
        for listener in tuple(self._listeners):
            listener(news)
