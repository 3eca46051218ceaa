"""Which order of the exchange stands behind which order of the simulator's venue."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

from tbot_bot.broker.matching import Venue
from tbot_bot.core.events import OrderCancelled, OrderEvent, OrderFilled, OrderRejected
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Fill
from tbot_bot.sandbox.tickets import Order, Refused
from tbot_bot.sandbox.venue_orders import kind_of, request_of


class VenueLink:
    """Hands orders to the venue, each time under an id of its own, and finds them again."""

    def __init__(self, venue: Venue) -> None:
        """Serve an account of `venue`."""
        self.venue = venue
        self._number_of: dict[str, int] = {}
        self._resting: dict[int, str] = {}

    def __contains__(self, number: int) -> bool:
        """Return whether the order works at the venue now."""
        return number in self._resting

    def submit(self, order: Order, at: Instant) -> None:
        """Hand over what `order` has left.

        Raises:
            Refused: the venue objects.
        """
        request = request_of(order, self._next_id(order), self.venue)
        self._taken(order, request.client_order_id, self.venue.submit(request, at))

    def submit_instead(self, order: Order, of: int, at: Instant) -> None:
        """Have the venue work what `order` has left in the place of order number `of`.

        Raises:
            Refused: the venue objects; the old one stays.
        """
        request = request_of(order, self._next_id(order), self.venue)
        events = self.venue.replace(replace(request, replaces=self._resting[of]), at)
        self._taken(order, request.client_order_id, events)
        if of != order.number:
            del self._resting[of]

    def withdraw(self, number: int, at: Instant) -> None:
        """Take the order off the venue, if it is there."""
        resting = self._resting.pop(number, None)
        if resting is not None:
            self.venue.cancel(resting, at)

    def forget(self, number: int) -> None:
        """Note that the venue is done with the order."""
        self._resting.pop(number, None)

    def read(self, events: Iterable[OrderEvent]) -> Iterator[Fill | tuple[int, str]]:
        """Yield fills under the exchange's own numbers, and (number, reason) of what the venue itself cancelled."""
        for event in events:
            if isinstance(event, OrderFilled):
                yield self.renamed(event.fill)
            elif isinstance(event, OrderCancelled):
                number = self._number_of.get(event.client_order_id)
                if number is not None and self._resting.get(number) == event.client_order_id:
                    yield number, event.reason

    def renamed(self, fill: Fill) -> Fill:
        """Return the fill with the exchange's number of its order."""
        return replace(fill, client_order_id=str(self._number_of[fill.client_order_id]))

    def day_trades(self) -> int:
        """Return how many positions were opened and closed again (FINRA Rule 4210)."""
        signed: dict[str, Decimal] = {}
        trades = 0
        for execution in self.venue.executions_after(0):
            symbol = execution.instrument.symbol
            before = signed.get(symbol, ZERO)
            quantity = execution.fill.quantity if execution.buys else -execution.fill.quantity
            signed[symbol] = before + quantity
            trades += bool(before) and not signed[symbol]
        return trades

    def _next_id(self, order: Order) -> str:
        return f"{order.number}-{len(self._number_of) + 1}"

    def _taken(self, order: Order, venue_id: str, events: Iterable[OrderEvent]) -> None:
        problem = next((event.reason for event in events if isinstance(event, OrderRejected)), "")
        self._number_of[venue_id] = order.number  # a rejected id is used up as well
        if problem:
            raise Refused(kind_of(problem), problem)
        self._resting[order.number] = venue_id
