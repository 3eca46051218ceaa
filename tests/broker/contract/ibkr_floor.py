"""Interactive Brokers' production adapter under the contract: over real sockets, the sandbox as the gateway."""

from decimal import Decimal

from tbot_bot.broker.broker_ibkr import IbkrBroker
from tbot_bot.core.protocols import Broker
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tests.broker.contract.floor import Asked
from tests.broker.ibkr_kit import SYMBOL, Pit, order

_PLACES = {
    Asked.SUBMIT: "placeOrder",
    Asked.CANCEL: "cancelOrder",
    Asked.REPLACE: "placeOrder",  # of the order that takes the place; the cancel before it has come through
    Asked.READ: "req*",
}


class IbkrFloor:
    """The sandbox's gateway five minutes after the bell; time passes by hand."""

    symbol = SYMBOL
    cannot = frozenset({"bust"})

    def __init__(self) -> None:
        self.pit = Pit()
        self.broker: IbkrBroker

    async def open(self) -> None:
        await self.pit.__aenter__()
        self.broker = await self.pit.connected()

    async def close(self) -> None:
        await self.pit.__aexit__()

    async def pass_time(self) -> None:
        self.pit.step(5)

    def price(self) -> Decimal:
        return self.pit.price()

    def thin(self, *, thin: bool) -> None:
        self.pit.breaks(*([FaultRule(kind=FaultKind.PARTIAL, fraction=0.05)] if thin else []))

    def breaks(self, asked: Asked, *, after: bool) -> None:
        kind = FaultKind.LOST_AFTER if after else FaultKind.LOST_BEFORE
        self.pit.breaks(FaultRule(kind=kind, place=_PLACES[asked], times=None if asked is Asked.READ else 1))

    def mends(self) -> None:
        self.pit.breaks()

    def disorder(self) -> None:
        kinds = (FaultKind.DUPLICATED, FaultKind.REORDERED)
        self.pit.breaks(*(FaultRule(kind=kind, place="orders", chance=0.5) for kind in kinds))

    async def reborn(self) -> Broker:
        await self.broker.close()
        self.broker = await self.pit.connected()
        return self.broker

    def venue_orders(self) -> list[str]:
        return self.pit.placed()

    def venue_filled(self, client_order_id: str) -> Decimal:
        orders = self.pit.exchange.desk("ibkr").orders()
        return next((one.filled for one in orders if one.ticket.label == client_order_id), Decimal(0))

    def venue_stop(self, client_order_id: str) -> Decimal:
        orders = self.pit.exchange.desk("ibkr").orders()
        return next(one.stop or Decimal(0) for one in orders if one.ticket.label == client_order_id)

    async def buys_by_hand(self, quantity: Decimal, *, resting: bool) -> str:
        stranger = await self.pit.connected(client_id=99)
        limit = self.pit.price("0.5") if resting else None
        await stranger.submit(order("bought by hand", quantity=str(quantity), limit=limit))
        self.pit.step(0 if resting else 5)
        await stranger.close()
        return "bought by hand"

    def busts(self, execution_id: str) -> None:
        raise NotImplementedError("the sandbox undoes no execution")
