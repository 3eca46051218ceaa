"""A request that is cancelled in the very moment of its answer ends cancelled: else whoever closes waits for ever."""

import asyncio
import threading

import pytest

from tbot_bot.broker.alpaca_http import AlpacaHttp, Answer, Call
from tbot_bot.broker.ibkr_link import GatewayLink


async def test_at_the_gateway():
    answer = asyncio.get_running_loop().create_future()
    link = GatewayLink.__new__(GatewayLink)
    asking = asyncio.create_task(link._in_time("contract of AAA", answer, 5.0))
    await asyncio.sleep(0.01)
    answer.set_result("here")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_at_alpaca(monkeypatch):
    answered = threading.Event()

    def made(*_):
        answered.set()
        return Answer(status=200, body=b"")

    http = AlpacaHttp("http://127.0.0.1:9", "changeme", "changeme", deadline_seconds=5.0, monotonic=lambda: 0.0)
    monkeypatch.setattr(http, "_made", made)
    asking = asyncio.create_task(http.ask(Call(method="GET", path="/clock")))
    await asyncio.sleep(0)
    assert answered.wait(5)
    threading.Event().wait(0.02)  # the answer waits for the loop, which comes to the cancel in the same turn
    asyncio.get_running_loop().call_soon(asking.cancel)
    with pytest.raises(asyncio.CancelledError):
        await asking
    http.close()
