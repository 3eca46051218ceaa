"""The simulated broker under the contract: in process, its bars made by hand."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from tbot_bot.broker.broker_sim import Fault, Request, SimulatedBroker, VenueStore
from tbot_bot.broker.venue_state import VenueOrder
from tbot_bot.core.events import OrderEvent
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.protocols import Broker
from tests.broker.contract.floor import Asked
from tests.broker.venue_kit import bar, minute, order, venue

_REQUESTS = {
    Asked.SUBMIT: Request.SUBMIT,
    Asked.CANCEL: Request.CANCEL,
    Asked.REPLACE: Request.REPLACE,
    Asked.READ: Request.READ,
}


class FlatPricer:
    """Every put costs four dollars a share."""

    def price(self, instrument: Instrument, spot: float, at: Instant) -> float | None:
        del instrument, spot, at
        return 4.0


class SimFloor:
    """One share at forty dollars, a bar at a time."""

    symbol = "XYZ"
    cannot: frozenset[str] = frozenset()
    broker: SimulatedBroker

    def __init__(self, folder: Path) -> None:
        self._file = folder / "sim.sqlite3"
        self._minute = 0
        self._volume = 1e6
        self._broken: dict[Request, Fault] = {}
        self._disorder = False
        self.broker = self._made()

    def _made(self) -> SimulatedBroker:
        traded = venue(pricer=FlatPricer())
        return SimulatedBroker(traded, store=VenueStore(self._file), faults=self, now=lambda: minute(self._minute))

    async def open(self) -> None:
        await self.broker.connect()
        await self.pass_time()  # the venue knows a price

    async def close(self) -> None:
        await self.broker.close()

    async def pass_time(self) -> None:
        bars = {self.symbol: bar(40, 40, 40, 40, self._volume, n=self._minute)}
        self.broker.step_open(minute(self._minute), bars)
        self._minute += 1
        while self.broker.step_range(minute(self._minute), bars):
            pass

    def price(self) -> Decimal:
        return Decimal(40)

    def thin(self, *, thin: bool) -> None:
        self._volume = 30.0 if thin else 1e6

    def breaks(self, asked: Asked, *, after: bool) -> None:
        self._broken[_REQUESTS[asked]] = Fault.LOST_AFTER if after else Fault.LOST_BEFORE

    def mends(self) -> None:
        self._broken = {}

    def disorder(self) -> None:
        self._disorder = True

    async def reborn(self) -> Broker:
        await self.broker.close()
        self.broker = self._made()
        await self.broker.connect()
        return self.broker

    def venue_orders(self) -> list[str]:
        return list(self._orders())

    def venue_filled(self, client_order_id: str) -> Decimal:
        found = self._orders().get(client_order_id)
        return Decimal(0) if found is None else found.filled

    def venue_stop(self, client_order_id: str) -> Decimal:
        stop = self._orders()[client_order_id].request.stop
        return Decimal(0) if stop is None else stop.price

    async def buys_by_hand(self, quantity: Decimal, *, resting: bool) -> str:
        name = "bought by hand"
        theirs = order(name, quantity=str(quantity), limit="20.00" if resting else None)
        await self.broker.submit(theirs)
        if not resting:
            await self.pass_time()
        self.broker.drain()  # theirs are not told to us at a real broker
        return name

    def busts(self, execution_id: str) -> None:
        self.broker.bust(execution_id, "TRADE_BUST")

    # --- the plan of faults ------------------------------------------------------------------------------------------

    def of_request(self, request: Request, client_order_id: str) -> Fault:
        """Break a request once, reading until it is mended."""
        if request is Request.READ:
            return self._broken.get(request, Fault.NONE)
        return self._broken.pop(request, Fault.NONE)

    def of_events(self, events: Sequence[OrderEvent]) -> Sequence[OrderEvent]:
        """Repeat, where there is disorder; the simulator keeps the order within an order."""
        return [event for event in events for _ in range(2 if self._disorder else 1)]

    def _orders(self) -> dict[str, VenueOrder]:
        return {order.request.client_order_id: order for order in self.broker.venue.snapshot().orders}
