"""The sandbox as one running thing: the exchange, its clock, a server for each vendor and one for its operator."""

import asyncio
from collections.abc import Awaitable, Mapping
from decimal import Decimal
from typing import Final

from tbot_bot.config.error_handler import MachineError
from tbot_bot.sandbox import alpaca, finnhub
from tbot_bot.sandbox.admin import admin_app
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.serving import LOOPBACK, App, Listener
from tbot_bot.sandbox.tws_gateway import ACCOUNT, LIVE_ACCOUNT, Gateway
from tbot_bot.sandbox.tws_server import TwsServer

ALPACA: Final = "alpaca"
FINNHUB: Final = "finnhub"
TWS: Final = "tws"
ADMIN: Final = "admin"
IBKR_ACCOUNT: Final = "ibkr"


class Sandbox:
    """Ports of HTTP servers are bound when it is made, TWS's when it serves."""

    def __init__(
        self,
        exchange: Exchange,
        ports: Mapping[str, int],
        *,
        cash: Decimal,
        limited: bool = True,
        live_accounts: bool = False,
    ) -> None:
        """`ports` by vendor, 0 for a free one; a vendor without a port is not served. `cash` in dollars.

        `limited` says whether the vendors' limits of calls a minute hold; with `live_accounts` the account's number at
        Interactive Brokers is one that live mode takes.

        Raises:
            MachineError: a port is taken.
        """
        self.exchange = exchange
        self._listeners: dict[str, Listener] = {}
        self._tws: TwsServer | None = None
        if TWS in ports:
            self._tws = TwsServer(
                Gateway(exchange, exchange.faults, account=LIVE_ACCOUNT if live_accounts else ACCOUNT), port=ports[TWS]
            )
        try:
            for vendor, app in self._apps(cash, limited=limited).items():
                if vendor in ports:
                    self._listeners[vendor] = Listener(app, ports[vendor])
        except BaseException:
            self.close()
            raise

    @property
    def ports(self) -> Mapping[str, int]:
        """Return the port of each vendor that is served."""
        found = {vendor: listener.port for vendor, listener in self._listeners.items()}
        return found if self._tws is None else {**found, TWS: self._tws.port}

    async def start(self) -> None:
        """Bind TWS's port too, so that all ports are known.

        Raises:
            MachineError: the port is taken.
        """
        if self._tws is None:
            return
        try:
            await self._tws.start()
        except OSError as error:
            where = f"{LOOPBACK}:{self._tws.port}"
            raise MachineError(
                f"cannot listen: {error.strerror or error}", where=where, mend="Choose another port."
            ) from None

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; whatever fails before ends everything and is raised."""
        served = [asyncio.create_task(_forever(listener.serve())) for listener in self._listeners.values()]
        others = [asyncio.create_task(_forever(stop.wait()))]
        if self.exchange.clock is not None:
            others.append(asyncio.create_task(_forever(self.exchange.run())))
        try:
            done, _ = await asyncio.wait({*served, *others}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for listener in self._listeners.values():
                listener.stop()
            if served:
                await asyncio.wait(served, timeout=5.0)
            for task in (*served, *others):
                task.cancel()
            await asyncio.gather(*served, *others, return_exceptions=True)
            if self._tws is not None:
                await self._tws.close()
            self.close()

    def close(self) -> None:
        """Let the ports go."""
        for listener in self._listeners.values():
            listener.close()

    def _apps(self, cash: Decimal, *, limited: bool) -> Mapping[str, App]:
        trading, data = (alpaca.RATE_LIMIT, finnhub.RATE_LIMIT) if limited else (None, None)
        return {
            ALPACA: alpaca.alpaca_app(self.exchange, cash_start=cash, rate_limit=trading),
            FINNHUB: finnhub.finnhub_app(self.exchange, rate_limit=data),
            ADMIN: admin_app(self.exchange, lambda: self.ports),
        }


async def _forever(doing: Awaitable[object]) -> None:
    await doing
