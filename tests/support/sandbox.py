"""A sandbox in a thread of its own, since the vendors' clients block, stepped by hand from the test."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import TypeVar

from tbot_bot.core.instants import later, minutes, seconds
from tbot_bot.marketdata.synthetic import SyntheticMarket
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.server import Sandbox

DAY = date(2025, 9, 2)
SYMBOL = "SYN01"
CASH = Decimal(100_000)
SOURCE = SyntheticMarket(1, DAY)
PATIENCE_SECONDS = 10.0

Found = TypeVar("Found")


class SandboxThread:
    """The exchange at five minutes after the bell; nothing moves but by `wait`."""

    def __init__(self, *vendors: str, limited: bool = False, begin: int = minutes(5), live: bool = False) -> None:
        market = SandboxMarket(SOURCE)
        self.exchange = Exchange(market, accounts={"alpaca": CASH, "ibkr": CASH})
        self.exchange.advance_to(later(market.day.open_at, begin))
        self.sandbox = Sandbox(self.exchange, dict.fromkeys(vendors, 0), cash=CASH, limited=limited, live_accounts=live)
        self.ports = dict(self.sandbox.ports)
        self.loop = asyncio.new_event_loop()
        self.stop = asyncio.Event()
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self.sandbox.start())
            self.loop.run_until_complete(self.sandbox.serve(self.stop))
        except BaseException as error:  # noqa: BLE001 - told by `close`
            self.failure = error
        finally:
            self.loop.close()

    def url(self, vendor: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.ports[vendor]}"

    def do(self, action: Callable[[], Found]) -> Found:
        """Do something in the exchange's own thread."""

        async def act() -> Found:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self.loop).result(PATIENCE_SECONDS)

    def wait(self, span: int = seconds(30)) -> None:
        """Let market time pass."""
        self.do(lambda: self.exchange.advance_to(later(self.exchange.now(), span)))

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive(), "the sandbox did not stop"
        if self.failure is not None:
            raise self.failure


def until(true: Callable[[], object], what: str = "it") -> None:
    """Wait until `true` says so, in real time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, f"{what} did not happen within {PATIENCE_SECONDS} s"
        time.sleep(0.01)
