"""The IBKR adapter on the sandbox's TWS socket: a gateway on a free port, an exchange that is stepped by hand."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Self

from tbot_bot.broker.broker_ibkr import IbkrBroker
from tbot_bot.broker.ibkr_link import Endpoint
from tbot_bot.core.events import OrderEvent, OrderFilled
from tbot_bot.core.instants import later, minutes, seconds
from tbot_bot.core.instruments import Instrument, equity
from tbot_bot.core.orders import Fill, OrderRequest, OrderType, Side, StopTrigger
from tbot_bot.marketdata.synthetic import SyntheticMarket
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.faults import FaultKind, FaultPlan, FaultRule
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.tws_fields import Message
from tbot_bot.sandbox.tws_gateway import Gateway
from tbot_bot.sandbox.tws_server import TwsServer

DAY = date(2025, 9, 2)
SYMBOL = "SYN01"
SOURCE = SyntheticMarket(1, DAY)
SHARE = equity(SYMBOL)
CLIENT_ID = 7
TEN = Decimal(10)
TRADE = f"20250902-open-ibkr-{SYMBOL}"
ENTRY, STOP, STOP2, EXIT = (f"{TRADE}-{tail}" for tail in ("entry1", "stop1", "stop2", "exit1"))


def order(
    name: str,
    side: Side = Side.BUY,
    quantity: str = "10",
    *,
    limit: Decimal | None = None,
    stop: Decimal | None = None,
    replaces: str | None = None,
    instrument: Instrument = SHARE,
) -> OrderRequest:
    trigger = None if stop is None else StopTrigger(symbol=instrument.symbol, price=stop, rising=side.buys)
    return OrderRequest(
        client_order_id=name,
        trade_id=TRADE,
        broker="ibkr",
        instrument=instrument,
        side=side,
        quantity=Decimal(quantity),
        order_type=OrderType.STOP if stop is not None else OrderType.LIMIT if limit is not None else OrderType.MARKET,
        limit_price=limit,
        stop=trigger,
        replaces=replaces,
    )


def kinds(events: Sequence[OrderEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def fills(events: Sequence[OrderEvent]) -> list[Fill]:
    return [event.fill for event in events if isinstance(event, OrderFilled)]


class Pit:
    """A gateway five minutes after the bell, and adapters on it."""

    def __init__(self, cash: int = 100_000) -> None:
        self.exchange = Exchange(SandboxMarket(SOURCE), accounts={"ibkr": Decimal(cash)})
        self.faults = FaultPlan(self.exchange.now)
        self.gateway = Gateway(self.exchange, self.faults)
        self.server = TwsServer(self.gateway)
        self._brokers: list[IbkrBroker] = []

    async def __aenter__(self) -> Self:
        self.exchange.advance_to(later(self.exchange.market.day.open_at, minutes(5)))
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for broker in self._brokers:
            await broker.close()
        await self.server.close()

    def endpoint(self, client_id: int = CLIENT_ID, *, account: str = "", deadline: float = 2.0) -> Endpoint:
        return Endpoint(
            host="127.0.0.1",
            port=self.server.port,
            client_id=client_id,
            account=account or self.gateway.account,
            deadline_seconds=deadline,
        )

    def broker(self, client_id: int = CLIENT_ID, *, account: str = "", deadline: float = 2.0) -> IbkrBroker:
        endpoint = self.endpoint(client_id, account=account, deadline=deadline)
        made = IbkrBroker(endpoint, now=self.exchange.now, settle_seconds=0.2)
        self._brokers.append(made)
        return made

    async def connected(self, client_id: int = CLIENT_ID, *, deadline: float = 2.0) -> IbkrBroker:
        made = self.broker(client_id, deadline=deadline)
        await made.connect()
        return made

    def breaks(self, *rules: FaultRule) -> None:
        """Put these faults in force, and no others."""
        self.faults.set(rules, seed=1)

    def breaks_once(self, kind: FaultKind, place: str, *, lasts: float = 0.0, skip: int = 0) -> None:
        self.breaks(FaultRule(kind=kind, place=place, times=1, skip=skip, seconds=lasts))

    def step(self, span: float = 1.0) -> None:
        self.exchange.advance_to(later(self.exchange.now(), seconds(span)))

    async def events(self, broker: IbkrBroker, enough: Callable[[list[OrderEvent]], object]) -> list[OrderEvent]:
        """Step the market and collect the broker's events until there are enough."""
        found = broker.drain()
        for _ in range(200):
            if enough(found):
                return found
            self.step()
            await asyncio.sleep(0.01)
            found += broker.drain()
        raise AssertionError(f"that did not come; these did: {found}")

    async def hears(self, holds: Callable[[], object], patience: float = 8.0) -> None:
        """Wait while the market stands still."""
        for _ in range(round(patience / 0.01)):
            if holds():
                return
            await asyncio.sleep(0.01)
        assert holds(), "it did not happen"

    def say(self, *messages: Message, client_id: int = CLIENT_ID) -> None:
        """Send the client what the gateway would not say by itself."""
        self.gateway.clients[client_id].send(*messages)

    def price(self, factor: str = "1") -> Decimal:
        found = self.exchange.market.price(SYMBOL, self.exchange.now())
        assert found is not None
        return (found * Decimal(factor)).quantize(Decimal("0.01"))

    def resting(self) -> list[str]:
        """Return what rests at the venue, by the reference that our orders carry."""
        return [one.ticket.label for one in self.exchange.desk("ibkr").open_orders()]

    def held(self) -> Decimal:
        return sum((one.quantity for one in self.exchange.desk("ibkr").positions()), Decimal(0))

    def placed(self) -> list[str]:
        return [one.ticket.label for one in self.exchange.desk("ibkr").orders()]
