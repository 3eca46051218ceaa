"""The sandbox as one running thing: the exchange, its clock, a server for each vendor."""

import asyncio
from collections.abc import Awaitable, Mapping
from decimal import Decimal
from typing import Final

from tbot_bot.sandbox.alpaca import KEYS, RATE_LIMIT, alpaca_app
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.serving import App, Listener

ALPACA: Final = "alpaca"


class Sandbox:
    """Ports are bound when it is made, so that they can be told before anything is served."""

    def __init__(
        self, exchange: Exchange, ports: Mapping[str, int], *, cash: Decimal, rate_limit: int | None = RATE_LIMIT
    ) -> None:
        """`ports` by vendor, 0 for a free one; a vendor without a port is not served. `cash` in dollars.

        Raises:
            MachineError: a port is taken.
        """
        self.exchange = exchange
        self._listeners: dict[str, Listener] = {}
        try:
            for vendor, app in _apps(exchange, cash, rate_limit).items():
                if vendor in ports:
                    self._listeners[vendor] = Listener(app, ports[vendor])
        except BaseException:
            self.close()
            raise

    @property
    def ports(self) -> Mapping[str, int]:
        """Return the port of each vendor that is served."""
        return {vendor: listener.port for vendor, listener in self._listeners.items()}

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; whatever fails before ends everything and is raised."""
        tasks = [asyncio.create_task(_forever(listener.serve())) for listener in self._listeners.values()]
        if self.exchange.clock is not None:
            tasks.append(asyncio.create_task(_forever(self.exchange.run())))
        waiting = asyncio.create_task(_forever(stop.wait()))
        try:
            done, _ = await asyncio.wait({*tasks, waiting}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for listener in self._listeners.values():
                listener.stop()
            served = tasks[: len(self._listeners)]
            await asyncio.wait(served, timeout=5.0)
            for task in (*tasks, waiting):
                task.cancel()
            await asyncio.gather(*tasks, waiting, return_exceptions=True)
            self.close()

    def close(self) -> None:
        """Let the ports go."""
        for listener in self._listeners.values():
            listener.close()


def _apps(exchange: Exchange, cash: Decimal, rate_limit: int | None) -> Mapping[str, App]:
    return {ALPACA: alpaca_app(exchange, cash_start=cash, keys=KEYS, rate_limit=rate_limit)}


async def _forever(doing: Awaitable[object]) -> None:
    await doing
