"""The simulated venue: one account, its orders, and fills against bars. Pure: no clock, no I/O, no randomness.

Each market step is a bar per symbol and is told in two halves: `open_step` with the opening prices, then
`range_step` with the rest. An order fills only on prices after it was submitted:

- An order that rested before `open_step` meets the open, then the range.
- An order submitted between the halves (a protective stop in answer to a fill at the open) meets the range.
- An order submitted after `range_step` in answer to its fills meets the range when `range_step` is called
  again for the same bar, if it is a stop: the bar does not tell which price came first, so the worse is
  assumed. Limits submitted then wait for the next bar, as market orders always do.

Every order meets the open once and the range once, so repeating a half changes nothing. `close_bar` ends the
repeating. Within a half stops go before everything else, then orders go in order of submission; all of a
symbol's fills in a bar share one cap on volume. Which price a fill has is told in `pricing`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from tbot_bot.broker.admission import lacks_borrow, malformed, opens, oversold, unaffordable
from tbot_bot.broker.last_prices import LastPrices
from tbot_bot.broker.liquidity import Liquidity
from tbot_bot.broker.order_book import OrderBook, fitting
from tbot_bot.broker.pricing import Meeting, Pricing
from tbot_bot.broker.venue_account import VenueAccount
from tbot_bot.broker.venue_state import (
    Execution,
    MarketFacts,
    PutPricer,
    VenueClock,
    VenueOrder,
    VenueRules,
    VenueState,
    watched_share,
)
from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.bars import Bar
from tbot_bot.core.errors import BrokerRefused
from tbot_bot.core.events import (
    CancelRejected,
    FillBusted,
    OrderAcknowledged,
    OrderCancelled,
    OrderEvent,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass, Instrument
from tbot_bot.core.money import ZERO, to_cents
from tbot_bot.core.orders import Account, BrokerOrder, BrokerOrderStatus, Fill, OrderRequest, OrderType, Position

_DAY_TRADING_LEVERAGE: Final = 4
"""Intraday buying power of a margin account in multiples of equity (FINRA Rule 4210, pattern day trader)."""
_NEVER: Final = Instant(0)
_START: Final = VenueClock(now=_NEVER, opened=_NEVER, ranged=_NEVER, closed=False)

TradingHours = Callable[[Instant], bool]


class Venue:
    """A broker account in a simulated market."""

    _now: Instant
    _opened: Instant
    _ranged: Instant
    _closed: bool
    _prices: LastPrices
    _tried: dict[str, None]
    _book: OrderBook

    def __init__(
        self,
        *,
        broker: str,
        cash: Decimal,
        rules: VenueRules | None = None,
        pricer: PutPricer | None = None,
        is_open: TradingHours | None = None,
        facts: MarketFacts | None = None,
    ) -> None:
        """`cash` in dollars; `broker` also names the fee table; without `is_open` the market never closes."""
        self.broker = broker
        self.rules = rules or VenueRules()
        self.facts: Final = facts
        self._pricing = Pricing(pricer=pricer, facts=facts)
        self._liquidity = Liquidity(facts)
        self._is_open = is_open
        self.restore(VenueState(broker=broker, cash_start=cash, clock=_START, orders=(), executions=()))

    # --- what a client of the venue asks -----------------------------------------------------------------------------

    def submit(self, order: OrderRequest, at: Instant) -> list[OrderEvent]:
        """Take `order` in, or reject it with an event; a rejected id is used up too.

        Raises:
            BrokerRefused: the client order id was ever used before; look the order up.
        """
        self._refuse_known(order)
        self._tell_time(at)
        return self._admit(order, at, self._objection(order, at, instead_of=None))

    def cancel(self, client_order_id: str, at: Instant) -> list[OrderEvent]:
        """Take the order off, or say why it is too late."""
        self._tell_time(at)
        order = self._book.open.get(client_order_id)
        if order is None:
            return [
                CancelRejected(at=at, client_order_id=client_order_id, reason=self._book.why_not_open(client_order_id))
            ]
        self._book.end(order, BrokerOrderStatus.CANCELLED)
        return [OrderCancelled(at=at, client_order_id=client_order_id)]

    def replace(self, order: OrderRequest, at: Instant) -> list[OrderEvent]:
        """Put `order`, with its own quantity, in the place of `order.replaces`; on any objection the old one stays.

        Raises:
            BrokerRefused: the client order id was ever used before; look the order up.
        """
        self._refuse_known(order)
        self._tell_time(at)
        old_id = order.replaces or ""
        old = self._book.open.get(old_id)
        if old is None:
            problem = self._book.why_not_open(old_id)
        elif old.request.instrument.symbol != order.instrument.symbol or old.request.side is not order.side:
            problem = "a replacement keeps instrument and side"
        else:
            problem = self._objection(order, at, instead_of=old)
        if problem or old is None:
            rejected = self._admit(order, at, problem)
            return [*rejected, CancelRejected(at=at, client_order_id=old_id, reason=problem)]
        self._book.end(old, BrokerOrderStatus.REPLACED)
        replaced = OrderReplaced(at=at, client_order_id=old_id, by=order.client_order_id)
        return [replaced, *self._admit(order, at, "")]

    # --- what the market does ----------------------------------------------------------------------------------------

    def open_step(self, start: Instant, bars: Mapping[str, Bar]) -> list[OrderEvent]:
        """Trade the opening prices of the bars that begin at `start`; a bar already opened gives nothing."""
        if start <= self._opened:
            return []
        self._advance(start, bars, over=False)
        self._opened, self._closed = start, False
        self._liquidity.used, self._tried = {}, {}
        events: list[OrderEvent] = []
        for order in self._book.in_turn():
            if order.submitted_at <= start:
                events += self._meet(order, self._pricing.at_open(order, bars, start), bars, start)
        return events

    def range_step(self, end: Instant, bars: Mapping[str, Bar]) -> list[OrderEvent]:
        """Trade the rest of the bars that end at `end`, for each order that has not met it yet.

        Raises:
            LogicError: the bar was never opened.
        """
        if end < self._ranged or (end == self._ranged and self._closed):
            return []
        if end <= self._opened or self._opened < self._ranged < end:
            raise LogicError(f"range step to {end} before its open step", where=self.broker)
        if not self._book.open and end == self._ranged:
            return []
        if end != self._ranged:
            self._advance(end, bars, over=True)
            self._ranged, self._closed = end, False
        events: list[OrderEvent] = []
        for order in self._book.in_turn():
            order_id = order.request.client_order_id
            if order_id not in self._tried and order.submitted_at <= end:
                self._tried[order_id] = None
                events += self._meet(order, self._pricing.in_range(order, bars, end), bars, end)
        return events

    def close_bar(self) -> None:
        """End the bar at hand: `range_step` for its end does nothing any more."""
        self._closed = True

    def bust(self, execution_id: str, at: Instant, reason: str = "") -> list[OrderEvent]:
        """Undo an execution, as an exchange does for clearly erroneous trades; the order does not work again.

        Raises:
            BrokerRefused: no such execution, or busted already.
        """
        self._tell_time(at)
        client_order_id = self._book.bust(execution_id).fill.client_order_id
        return [FillBusted(at=at, execution_id=execution_id, client_order_id=client_order_id, reason=reason)]

    # --- what can be read --------------------------------------------------------------------------------------------

    @property
    def now(self) -> Instant:
        """Return the latest instant that the venue was told."""
        return self._now

    @property
    def last_step(self) -> Instant | None:
        """Return the end of the last bar whose range was traded, None before the first."""
        return self._ranged or None

    def account(self) -> Account:
        """Return the account marked at last prices; money rounded to cents."""
        worth = self.books.worth(self._mark)
        return Account(
            broker=self.broker,
            equity=to_cents(worth[0]),
            cash=to_cents(self._book.account.cash),
            buying_power=to_cents(max(self._power(AssetClass.EQUITY, None, worth), ZERO)),
            settled_cash=to_cents(self._book.account.settled_cash(self._now)),
            is_margin=self.rules.margin,
        )

    @property
    def books(self) -> VenueAccount:
        """Return the exact books, to read only."""
        return self._book.account

    def positions(self) -> tuple[Position, ...]:
        """Return what is held, in order of symbol."""
        return tuple(
            Position(
                broker=self.broker,
                instrument=holding.instrument,
                quantity=holding.quantity,
                average_price=holding.average_price,
            )
            for _, holding in sorted(self._book.account.holdings.items())
        )

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Return the orders that can still fill, oldest first."""
        return tuple(order.told() for order in self._book.open.values())

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order in whatever state; None where it never came in."""
        order = self._book.orders.get(client_order_id)
        return None if order is None else order.told()

    def fills_since(self, at: Instant) -> tuple[Fill, ...]:
        """Return executions at or after `at` that stand, oldest first."""
        return self._book.fills_since(at)

    def has_awake_stop(self) -> bool:
        """Return whether a stop has been reached and waits for prices or volume to fill at."""
        return any(order.triggered for order in self._book.open.values())

    @property
    def executions_count(self) -> int:
        """Return how many executions there ever were."""
        return len(self._book.executions)

    def executions_after(self, number_seen: int) -> tuple[Execution, ...]:
        """Return the executions counted after `number_seen`."""
        return tuple(self._book.executions[number_seen:])

    # --- state -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> VenueState:
        """Return everything the venue knows."""
        return VenueState(
            broker=self.broker,
            cash_start=self._book.cash_start,
            clock=self.clock(),
            orders=tuple(self._book.orders.values()),
            executions=tuple(self._book.executions),
        )

    def clock(self) -> VenueClock:
        """Return how far the venue has come."""
        return VenueClock(
            now=self._now,
            opened=self._opened,
            ranged=self._ranged,
            closed=self._closed,
            marks=self._prices.marks(),
            used=tuple(self._liquidity.used.items()),
            tried=tuple(self._tried),
        )

    def restore(self, state: VenueState) -> None:
        """Become the venue that gave `state`; what follows is what would have followed there.

        Raises:
            LogicError: the state is another broker's.
        """
        if state.broker != self.broker:
            raise LogicError(f"a venue of {state.broker} cannot become {self.broker}", where="broker")
        clock = state.clock
        self._now, self._opened, self._ranged = clock.now, clock.opened, clock.ranged
        self._closed = clock.closed
        self._prices = LastPrices(dict(clock.marks))
        self._liquidity.used = dict(clock.used)
        self._tried = dict.fromkeys(clock.tried)
        self._book = OrderBook(
            broker=state.broker, cash=state.cash_start, orders=state.orders, executions=state.executions
        )

    def changes(self) -> tuple[tuple[VenueOrder, ...], tuple[Execution, ...]]:
        """Return orders and executions that are new or differ since `forget_changes`."""
        return self._book.changes()

    def forget_changes(self) -> None:
        """Count changes from here."""
        self._book.forget_changes()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _refuse_known(self, order: OrderRequest) -> None:
        if order.client_order_id in self._book.orders:
            raise BrokerRefused(f"client_order_id must be unique: {order.client_order_id}")

    def _admit(self, request: OrderRequest, at: Instant, problem: str) -> list[OrderEvent]:
        order = self._book.add(request, at, problem)
        order_id = request.client_order_id
        if problem:
            return [OrderRejected(at=at, client_order_id=order_id, reason=problem)]
        bar_is_over = self._ranged > self._opened
        if bar_is_over and request.order_type is not OrderType.STOP:
            self._tried[order_id] = None
        return [OrderAcknowledged(at=at, client_order_id=order_id, broker_order_id=order.broker_order_id)]

    def _objection(self, request: OrderRequest, at: Instant, *, instead_of: VenueOrder | None) -> str:
        if self._is_open is not None and not self._is_open(at):
            return "market is closed"
        problem = malformed(request, self.rules) or oversold(request, self.books.held(request.instrument.symbol))
        problem = problem or lacks_borrow(request, self._book.short(request, instead_of), self.facts, at)
        if problem or not opens(request.side):
            return problem
        power = self._power(request.instrument.asset_class, instead_of, self.books.worth(self._mark))
        return unaffordable(request, self._estimate(request), power, self.rules)

    def _power(
        self, asset_class: AssetClass, instead_of: VenueOrder | None, worth: tuple[Decimal, Decimal, Decimal]
    ) -> Decimal:
        """Return dollars for opening positions, without what working orders but `instead_of` will take.

        `worth` is equity, gross exposure and the value owed, as the books have them at this moment.
        """
        equity, gross, owed = worth
        power = self.books.cash - owed
        if self.rules.margin and asset_class is AssetClass.EQUITY:
            power = equity * _DAY_TRADING_LEVERAGE - gross
        for order in self._book.open.values():
            request = order.request
            if order is not instead_of and opens(request.side):
                power -= request.instrument.notional(self._estimate(request) or ZERO, order.remaining)
        return power

    def _estimate(self, request: OrderRequest) -> Decimal | None:
        """Return about what one unit will cost, None where nobody knows."""
        instrument, stop = request.instrument, request.stop
        if request.limit_price is not None:
            return request.limit_price
        if stop is not None and stop.symbol == instrument.symbol:
            return stop.price
        share = self._prices.of(watched_share(instrument))
        if share is None or instrument.asset_class is AssetClass.EQUITY:
            return share
        return self._pricing.quote(instrument, float(share), self._now, buys=request.side.buys)

    def _mark(self, instrument: Instrument) -> Decimal | None:
        share = self._prices.of(watched_share(instrument))
        if share is None or instrument.asset_class is AssetClass.EQUITY:
            return share
        return self._pricing.middle(instrument, float(share), self._now)

    def _tell_time(self, at: Instant) -> None:
        self._now = max(self._now, at)

    def _advance(self, at: Instant, bars: Mapping[str, Bar], *, over: bool) -> None:
        self._tell_time(at)
        instruments = [order.request.instrument for order in self._book.open.values()]
        instruments += [holding.instrument for holding in self.books.holdings.values()]
        self._prices.advance(bars, over=over, keep=dict.fromkeys(map(watched_share, instruments)))

    def _meet(self, order: VenueOrder, meeting: Meeting, bars: Mapping[str, Bar], at: Instant) -> list[OrderEvent]:
        """Do to `order` what its meeting with a bar says, within the volume cap and the position."""
        instrument = order.request.instrument
        if watched_share(instrument) in self.rules.halted:
            return []
        if meeting.triggered and not order.triggered:
            order = replace(order, triggered=True)
            self._book.keep(order)
        if meeting.price is None:
            return []
        order_id = order.request.client_order_id
        fit = fitting(order, self.books.held(instrument.symbol))
        if not fit:
            reason = "the position it was for is gone"
            self._book.end(order, BrokerOrderStatus.CANCELLED, reason)
            return [OrderCancelled(at=at, client_order_id=order_id, reason=reason)]
        quantity = instrument.round_quantity(min(fit, self._liquidity.room(self.rules, instrument, bars)))
        if quantity <= ZERO:
            return []
        price = self._liquidity.take(self.rules, order.request, meeting.price, quantity, bars, takes=meeting.takes)
        fill = self._book.execute(order, quantity=quantity, price=price, modelled=meeting.modelled, at=at)
        return [OrderFilled(at=at, fill=fill)]
