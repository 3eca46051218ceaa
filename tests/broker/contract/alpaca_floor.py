"""Alpaca's production adapter under the contract: over real sockets, with the sandbox as the vendor."""

import asyncio
import time
from decimal import Decimal

from tbot_bot.broker.alpaca_access import AlpacaAccess
from tbot_bot.broker.broker_alpaca import AlpacaBroker, Surroundings
from tbot_bot.core.instants import MINUTE, SECOND
from tbot_bot.core.instruments import equity
from tbot_bot.core.protocols import Broker
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tbot_bot.sandbox.tickets import Order
from tests.broker.contract.floor import Asked
from tests.support.sandbox import SYMBOL, SandboxThread

DEADLINE_SECONDS = 1.5
_PLACES = {
    Asked.SUBMIT: "POST /v2/orders",
    Asked.CANCEL: "DELETE /v2/orders/*",
    Asked.REPLACE: "PATCH /v2/orders/*",
    Asked.READ: "GET /v2/*",
}


class AlpacaFloor:
    """The sandbox five minutes after the bell; time passes by hand."""

    symbol = SYMBOL
    cannot = frozenset({"bust"})

    def __init__(self, *, deadline: float = DEADLINE_SECONDS, begin: int = 5 * MINUTE, look: float = 1.0) -> None:
        self.sandbox = SandboxThread("alpaca", begin=begin)
        self._deadline, self._look = deadline, look
        self.notes: list[str] = []
        self.broker: AlpacaBroker = self.made()

    def made(self, key: str = "changeme", **options: float) -> AlpacaBroker:
        url = self.sandbox.url("alpaca")
        return AlpacaBroker(
            AlpacaAccess(trading_url=url, data_url=url, key=key, secret="changeme"),
            Surroundings(
                now=self.sandbox.exchange.now, monotonic=time.monotonic, dice=lambda: 0.0, note=self.notes.append
            ),
            deadline_seconds=options.get("deadline", self._deadline),
            options=True,
            look_seconds=options.get("look", self._look),
        )

    async def open(self) -> None:
        await self.broker.connect()

    async def close(self) -> None:
        await self.broker.close()
        await asyncio.to_thread(self.sandbox.close)

    async def pass_time(self) -> None:
        await asyncio.to_thread(self.sandbox.wait, 5 * SECOND)

    def price(self) -> Decimal:
        exchange = self.sandbox.exchange
        return self.sandbox.do(lambda: exchange.market.price(self.symbol, exchange.now())) or Decimal(1)

    def thin(self, *, thin: bool) -> None:
        self.strikes(*([FaultRule(kind=FaultKind.PARTIAL, fraction=0.05)] if thin else []))

    def breaks(self, asked: Asked, *, after: bool) -> None:
        kind = FaultKind.LOST_AFTER if after else FaultKind.LOST_BEFORE
        self.strikes(FaultRule(kind=kind, place=_PLACES[asked], times=None if asked is Asked.READ else 1))

    def mends(self) -> None:
        self.strikes()

    def disorder(self) -> None:
        rules = (FaultKind.DUPLICATED, FaultKind.REORDERED)
        self.strikes(*(FaultRule(kind=kind, place="trade_updates", chance=0.5) for kind in rules))

    def strikes(self, *rules: FaultRule, seed: int = 7) -> None:
        """Put rules in force instead of those before."""
        self.sandbox.do(lambda: self.sandbox.exchange.faults.set(rules, seed=seed))

    async def reborn(self) -> Broker:
        await self.broker.close()
        self.broker = self.made()
        await self.broker.connect()
        return self.broker

    def venue_orders(self) -> list[str]:
        return [order.ticket.label for order in self.orders()]

    def venue_filled(self, client_order_id: str) -> Decimal:
        return next((order.filled for order in self.orders() if order.ticket.label == client_order_id), Decimal(0))

    def venue_stop(self, client_order_id: str) -> Decimal:
        return next(order.stop or Decimal(0) for order in self.orders() if order.ticket.label == client_order_id)

    async def buys_by_hand(self, quantity: Decimal, *, resting: bool) -> str:
        limit = equity(SYMBOL).round_price(self.price() * Decimal("0.5")) if resting else None
        body = {
            "symbol": SYMBOL,
            "side": "buy",
            "qty": str(quantity),
            "type": "limit" if resting else "market",
            "time_in_force": "day",
            "client_order_id": "bought by hand",
        } | ({} if limit is None else {"limit_price": str(limit)})
        other = self.made()  # another client of the same account
        await other._rest.order("POST", "/orders", body, opens=True)
        await other.close()
        if not resting:
            await self.pass_time()
        return "bought by hand"

    def busts(self, execution_id: str) -> None:
        raise NotImplementedError("the sandbox undoes no execution")

    def orders(self) -> tuple[Order, ...]:
        """Return all that the venue knows."""
        return self.sandbox.do(lambda: self.sandbox.exchange.desk("alpaca").orders())
