"""How many requests Alpaca is sent: by real minutes, and by market minutes where a rehearsal makes those short."""

import asyncio
import time

import pytest

from tbot_bot.broker.alpaca_access import AlpacaAccess
from tbot_bot.broker.alpaca_orders import Surroundings
from tbot_bot.broker.broker_alpaca import AlpacaBroker
from tests.support.sandbox import SandboxThread


@pytest.mark.parametrize(("speed", "within"), [(1.0, False), (60.0, True)])
def test_a_rehearsal_asks_as_often_in_a_market_minute_as_a_session_does_in_a_real_one(speed, within):
    floor = SandboxThread("alpaca")
    url = floor.url("alpaca")
    broker = AlpacaBroker(
        AlpacaAccess(trading_url=url, data_url=url, key="changeme", secret="changeme"),
        Surroundings(
            now=floor.exchange.now, monotonic=time.monotonic, dice=lambda: 0.0, note=lambda _: None, speed=speed
        ),
        deadline_seconds=5.0,
        options=False,
    )

    async def ask():
        async with asyncio.timeout(4.0):
            for _ in range(200):
                await broker.clock()

    async def run():
        try:
            await broker.connect()
            await ask()
        except TimeoutError:
            return False
        finally:
            await broker.close()
        return True

    try:
        assert asyncio.run(run()) is within
    finally:
        floor.close()
