"""A gateway on a free port over an exchange that is stepped by hand, and ib_async clients of it."""

import asyncio
from datetime import date
from decimal import Decimal

import ib_async

from tbot_bot.core.instants import later, minutes, seconds
from tbot_bot.marketdata.synthetic import SyntheticMarket
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.faults import FaultPlan
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.tws_gateway import Gateway
from tbot_bot.sandbox.tws_server import TwsServer

DAY = date(2025, 9, 2)
SYMBOL = "SYN01"
SOURCE = SyntheticMarket(1, DAY)
TIMEOUT = 5


class Client(ib_async.IB):
    """ib_async's client, which also notes the codes it is told: request or order id, and code."""

    RaiseRequestErrors = True

    def __init__(self):
        super().__init__()
        self.codes: list[tuple[int, int]] = []
        self.errorEvent += self._note

    def _note(self, req_id, code, text, contract):
        self.codes.append((req_id, code))

    def told(self, code):
        """Return for which ids a code was told."""
        return [req_id for req_id, known in self.codes if known == code]


class Floor:
    """A sandbox with its gateway, five minutes after the bell."""

    def __init__(self, rules=(), cash=100_000):
        self.exchange = Exchange(SandboxMarket(SOURCE), accounts={"ibkr": Decimal(cash)})
        self.faults = FaultPlan(self.exchange.now, rules)
        self.gateway = Gateway(self.exchange, self.faults)
        self.server = TwsServer(self.gateway)
        self.clients = []

    async def __aenter__(self):
        self.exchange.advance_to(later(self.exchange.market.day.open_at, minutes(5)))
        await self.server.start()
        return self

    async def __aexit__(self, *_):
        for ib in self.clients:
            ib.disconnect()
        await self.server.close()

    async def connect(self, client_id=7, patience=TIMEOUT, **words):
        """Return a connected client."""
        ib = Client()
        self.clients.append(ib)
        await ib.connectAsync(
            "127.0.0.1", self.server.port, clientId=client_id, timeout=patience, raiseSyncErrors=True, **words
        )
        return ib

    def step(self, span=1.0):
        """Let the market go on by `span` seconds."""
        self.exchange.advance_to(later(self.exchange.now(), seconds(span)))

    async def until(self, holds, span=1.0, steps=120):
        """Step the market, a tick at a time, until `holds`, and let the sockets speak in between."""
        for _ in range(steps):
            await self.settle()
            if holds():
                return
            self.step(span)
        await self.settle()
        assert holds(), "it did not happen"

    async def settle(self):
        """Let what is under way over the sockets arrive."""
        await asyncio.sleep(0.01)

    async def hears(self, holds):
        """Wait for what the sockets bring, while the market stands still."""
        for _ in range(500):
            if holds():
                return
            await self.settle()
        raise AssertionError("it was not told")

    def price(self, factor="1", symbol=SYMBOL):
        """Return the market's price times `factor`, on the cent."""
        price = self.exchange.market.price(symbol, self.exchange.now())
        assert price is not None
        return float((price * Decimal(factor)).quantize(Decimal("0.01")))

    def truth(self):
        [account] = self.exchange.truth().accounts
        return account


async def share(ib, symbol=SYMBOL):
    """Return the qualified share."""
    [contract] = await ib.qualifyContractsAsync(ib_async.Stock(symbol, "SMART", "USD"))
    return contract
