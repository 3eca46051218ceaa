"""The simulated broker: the embedded default, and what dry runs and backtests trade with.

Requests complete at once. With a store the venue's state is on disk before a request is answered and after
each step that changed something, so that it outlives the process; events that nobody drained die with the
process, as a broker replays none after a reconnect, and are found again by lookup.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from tbot_bot.broker.capabilities import SIMULATED
from tbot_bot.broker.matching import Venue
from tbot_bot.broker.venue_store import VenueStore, venue_path
from tbot_bot.core.bars import Bar
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.events import OrderEvent, OrderFilled
from tbot_bot.core.foreign_orders import ForeignOrder, foreign_of, is_foreign
from tbot_bot.core.identity import OrderName
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import Account, BrokerOrder, Capabilities, Fill, OrderRequest, Position


class Request(StrEnum):
    """What was asked of the broker, for a plan of faults."""

    CONNECT = "connect"
    READ = "read"
    SUBMIT = "submit"
    CANCEL = "cancel"
    REPLACE = "replace"


class Fault(StrEnum):
    """What goes wrong with a request."""

    NONE = "none"
    LOST_BEFORE = "lost_before"
    """The request never arrives; the caller cannot know."""
    LOST_AFTER = "lost_after"
    """The request takes effect, its answer is lost."""


class FaultPlan(Protocol):
    """Breaks a broker on purpose."""

    def of_request(self, request: Request, client_order_id: str) -> Fault:
        """Return what goes wrong; `client_order_id` is empty for connects and reads."""
        ...

    def of_events(self, events: Sequence[OrderEvent]) -> Sequence[OrderEvent]:
        """Return `events` as they are delivered: repeated, reordered between orders, or as they are."""
        ...


class SimulatedBroker:
    """The broker protocol over a venue; the runner drives the venue with `step_open` and `step_range`."""

    def __init__(
        self,
        venue: Venue,
        *,
        store: VenueStore | None = None,
        now: Callable[[], Instant] | None = None,
        faults: FaultPlan | None = None,
        capabilities: Capabilities = SIMULATED,
    ) -> None:
        """Take up the state in `store`, where there is one.

        `now` gives the market time of a request; without it the time of the latest step is taken. It is never
        earlier than that.
        """
        self.name = venue.broker
        self.capabilities = capabilities
        self.venue = venue
        self._store, self._now, self._faults = store, now, faults
        self._queue: deque[OrderEvent] = deque()
        self._arrived = asyncio.Event()
        if store is not None:
            with store.turn(venue):
                pass
            venue.close_bar()
        self._told = venue.executions_count

    # --- the broker protocol -----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Do nothing: there are no credentials."""
        self._read(Request.CONNECT)

    async def close(self) -> None:
        """Close the store; resting orders stay in it."""
        if self._store is not None:
            self._store.close()

    async def clock(self) -> Instant | None:
        """Return the time that `now` gives; without it the venue has none but that of the step it was told last."""
        self._read()
        return None if self._now is None else self._now()

    async def account(self) -> Account:
        """Return the account marked at last prices."""
        self._read()
        return self.venue.account()

    async def positions(self) -> tuple[Position, ...]:
        """Return all positions."""
        self._read()
        return self.venue.positions()

    async def submit(self, order: OrderRequest) -> None:
        """Hand over `order`; acknowledged or rejected by an event.

        Raises:
            BrokerRefused: the client order id was used before.
            BrokerUnavailable: the outcome is unknown, by a fault or because the store failed.
        """
        self._ask(Request.SUBMIT, order.client_order_id, lambda at: self.venue.submit(order, at))

    async def cancel(self, client_order_id: str) -> None:
        """Take the order off; both outcomes are events.

        Raises:
            BrokerUnavailable: see `submit`.
        """
        self._ask(Request.CANCEL, client_order_id, lambda at: self.venue.cancel(client_order_id, at))

    async def replace(self, order: OrderRequest) -> None:
        """Put `order` in the place of `order.replaces`.

        Raises:
            BrokerRefused: the new client order id was used before.
            BrokerUnavailable: see `submit`.
        """
        self._ask(Request.REPLACE, order.client_order_id, lambda at: self.venue.replace(order, at))

    async def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Return the orders that can still fill, oldest first."""
        self._read()
        return self.venue.open_orders()

    async def foreign_orders(self) -> tuple[ForeignOrder, ...]:
        """Return the orders that rest and bear no name of our making."""
        return tuple(foreign_of(one) for one in await self.open_orders() if is_foreign(one.client_order_id))

    async def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order; None where it never arrived."""
        self._read()
        return self.venue.order(client_order_id)

    async def orders_since(self, at: Instant) -> tuple[BrokerOrder, ...]:
        """Return all orders of our making: a venue's books are of one day."""
        del at
        self._read()
        names = (one.request.client_order_id for one in self.venue.snapshot().orders)
        found = (self.venue.order(name) for name in names if OrderName.parse(name) is not None)
        return tuple(order for order in found if order is not None)

    async def fills_since(self, at: Instant) -> tuple[Fill, ...]:
        """Return executions at or after `at`, oldest first."""
        self._read()
        return self.venue.fills_since(at)

    async def events(self) -> AsyncIterator[OrderEvent]:
        """Yield order events as they come, for ever; what `drain` took is not seen here."""
        while True:
            while self._queue:
                yield self._queue.popleft()
            self._arrived.clear()
            await self._arrived.wait()

    # --- the market's side -------------------------------------------------------------------------------------------

    def drain(self) -> list[OrderEvent]:
        """Return the events that wait, each once, without waiting for more."""
        waiting = list(self._queue)
        self._queue.clear()
        return waiting

    def step_open(self, start: Instant, bars: Mapping[str, Bar]) -> list[OrderEvent]:
        """Trade the opening prices of the bars that begin at `start`; the events also wait for `drain`."""
        return self._turn(lambda: self.venue.open_step(start, bars))

    def step_range(self, end: Instant, bars: Mapping[str, Bar]) -> list[OrderEvent]:
        """Trade the rest of the bars that end at `end`; call again after answering, until nothing comes."""
        return self._turn(lambda: self.venue.range_step(end, bars))

    def close_bar(self) -> None:
        """End the bar at hand: `step_range` for its end does nothing any more."""
        self.venue.close_bar()

    def bust(self, execution_id: str, reason: str = "") -> list[OrderEvent]:
        """Undo an execution, as an exchange may.

        Raises:
            BrokerRefused: no such execution, or busted already.
        """
        return self._turn(lambda: self.venue.bust(execution_id, self.venue.now, reason))

    @property
    def last_step(self) -> Instant | None:
        """Return the end of the last bar that the venue traded, from where a new process must catch up.

        A store notes it when an order changed; bars told again after that find nothing new to do.
        """
        return self.venue.last_step

    # --- inside ------------------------------------------------------------------------------------------------------

    def _ask(self, request: Request, client_order_id: str, effect: Callable[[Instant], list[OrderEvent]]) -> None:
        fault = Fault.NONE if self._faults is None else self._faults.of_request(request, client_order_id)
        if fault is Fault.LOST_BEFORE:
            raise BrokerUnavailable(f"{request} of {client_order_id}: no answer")
        self._turn(lambda: effect(self.venue.now if self._now is None else max(self._now(), self.venue.now)))
        if fault is Fault.LOST_AFTER:
            raise BrokerUnavailable(f"{request} of {client_order_id}: no answer")

    def _read(self, request: Request = Request.READ) -> None:
        fault = Fault.NONE if self._faults is None else self._faults.of_request(request, "")
        if fault is not Fault.NONE:
            raise BrokerUnavailable(f"{request}: no answer")
        self._turn(list)

    def _turn(self, effect: Callable[[], list[OrderEvent]]) -> list[OrderEvent]:
        """Do `effect` with the store held; its events, and fills by other processes, are told once it is durable."""
        if self._store is None:
            events = effect()
            self.venue.forget_changes()
        else:
            with self._store.turn(self.venue):
                news = self.venue.executions_after(self._told)
                events = [OrderFilled(at=self.venue.now, fill=execution.fill) for execution in news]
                events += effect()
        self._told = self.venue.executions_count
        self._queue.extend(events if self._faults is None else self._faults.of_events(events))
        if self._queue:
            self._arrived.set()
        return events


__all__ = ["Fault", "FaultPlan", "Request", "SimulatedBroker", "VenueStore", "venue_path"]
