"""Alpaca's websockets, driven by alpaca-py's streams and by a bare client over real sockets."""

import asyncio
import json
import threading
from contextlib import suppress

import msgpack
import pytest
import websockets

from tbot_bot.core.instants import minutes, seconds
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tests.support.sandbox import SYMBOL, SandboxThread, until

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:alpaca"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets"),
]
KEY = "changeme"


@pytest.fixture
def sandbox():
    made = SandboxThread("alpaca")
    yield made
    made.close()


class Running:
    """One of alpaca-py's streams in a thread of its own."""

    def __init__(self, stream):
        self.stream = stream
        self.loop = asyncio.new_event_loop()
        self.task = self.loop.create_task(stream._run_forever())
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self.task)
        self.loop.run_until_complete(self.stream.close())
        self.loop.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.task.cancel)  # the library's own way takes five seconds
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def updates(sandbox):
    """Return what alpaca-py's TradingStream hands over."""
    from alpaca.trading.stream import TradingStream  # noqa: PLC0415 - heavy

    told: list[object] = []

    async def hear(update):
        told.append(update)

    stream = TradingStream(KEY, KEY, url_override=sandbox.url("alpaca", "ws") + "/stream")
    stream.subscribe_trade_updates(hear)
    running = Running(stream)
    until(lambda: sandbox.do(lambda: sandbox.exchange.desk("alpaca")._listeners), "the subscription")
    yield told
    running.close()


def place(sandbox, **words):
    """POST an order by hand: these tests are about what the streams say of it."""
    import requests  # noqa: PLC0415 - comes with alpaca-py

    body = {"symbol": SYMBOL, "qty": "10", "side": "buy", "type": "market", "time_in_force": "day", **words}
    keys = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": KEY}
    answer = requests.post(sandbox.url("alpaca") + "/v2/orders", json=body, headers=keys, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(updates, order_id=None):
    return [update.event for update in updates if order_id in {None, str(update.order.id)}]


def test_a_fill_is_told_with_price_quantity_and_position(sandbox, updates):
    order = place(sandbox)
    sandbox.wait()
    until(lambda: len(updates) == 2)
    assert events(updates) == ["new", "fill"]
    fill = updates[1]
    assert str(fill.order.id) == order["id"]
    assert (fill.qty, fill.position_qty, fill.order.filled_qty) == (10.0, 10.0, "10")
    assert fill.price == float(fill.order.filled_avg_price)
    assert fill.execution_id is not None


def test_parts_of_a_bracket_are_told_one_after_another(sandbox, updates):
    order = place(
        sandbox, qty="800", order_class="bracket", take_profit={"limit_price": "99"}, stop_loss={"stop_price": "9"}
    )
    sandbox.wait(minutes(2))
    until(lambda: "fill" in events(updates))
    until(lambda: events(updates).count("new") == 3)
    parent = events(updates, order["id"])
    assert parent[0] == "new"
    assert set(parent[1:-1]) == {"partial_fill"}
    assert parent[-1] == "fill"
    assert {events(updates, leg["id"])[0] for leg in order["legs"]} == {"new"}


def test_updates_can_come_twice_and_in_another_order(sandbox, updates):
    doubled = FaultRule(kind=FaultKind.DUPLICATED, place="trade_updates", times=1)
    swapped = FaultRule(kind=FaultKind.REORDERED, place="trade_updates", skip=1, times=1)
    sandbox.do(lambda: sandbox.exchange.faults.set((doubled, swapped), seed=1))
    first = place(sandbox, type="limit", limit_price="1.00")
    second = place(sandbox, type="limit", limit_price="1.01")
    third = place(sandbox, type="limit", limit_price="1.02")
    until(lambda: len(updates) == 4)
    assert [str(update.order.id) for update in updates] == [first["id"], first["id"], third["id"], second["id"]]


def test_a_rejected_order_is_told_as_such(sandbox, updates):
    sandbox.do(lambda: sandbox.exchange.faults.set((FaultRule(kind=FaultKind.REJECTED, place="order"),), seed=1))
    assert place(sandbox)["status"] == "rejected"
    until(lambda: len(updates) == 2)
    assert events(updates) == ["new", "rejected"]


def test_nothing_is_replayed_to_a_client_that_comes_back(sandbox, updates):
    sandbox.do(lambda: sandbox.exchange.faults.set((FaultRule(kind=FaultKind.DROPPED, place="trade_updates"),), seed=1))
    lost = place(sandbox)
    sandbox.do(lambda: sandbox.exchange.faults.set((), seed=1))
    until(lambda: sandbox.do(lambda: len(sandbox.exchange.desk("alpaca")._listeners)) == 0, "the cut")
    sandbox.wait()
    until(lambda: sandbox.do(lambda: len(sandbox.exchange.desk("alpaca")._listeners)) == 1, "the reconnect")
    later = place(sandbox)
    until(lambda: events(updates, later["id"]) == ["new"])
    assert events(updates, lost["id"]) == []


def test_market_data_reaches_the_client_library_as_trades_quotes_and_bars(sandbox):
    from alpaca.data.live import StockDataStream  # noqa: PLC0415 - heavy

    told: list[object] = []

    async def hear(update):
        told.append(update)

    stream = StockDataStream(KEY, KEY, url_override=sandbox.url("alpaca", "ws") + "/v2/iex")
    stream.subscribe_trades(hear, SYMBOL)
    stream.subscribe_quotes(hear, SYMBOL)
    stream.subscribe_bars(hear, SYMBOL, "SYN02")
    running = Running(stream)
    until(lambda: sandbox.do(lambda: any(watch.symbols for watch in sandbox.exchange._watches)), "the subscription")
    sandbox.wait(minutes(1))
    until(lambda: [type(update).__name__ for update in told].count("Bar") == 2)
    names = {(type(update).__name__, update.symbol) for update in told}  # type: ignore[attr-defined]
    assert names == {("Trade", SYMBOL), ("Quote", SYMBOL), ("Bar", SYMBOL), ("Bar", "SYN02")}
    bar = next(update for update in told if type(update).__name__ == "Bar" and update.symbol == SYMBOL)  # type: ignore[attr-defined]
    trades = [update for update in told if type(update).__name__ == "Trade"]
    assert bar.close == trades[-1].price  # type: ignore[attr-defined]
    assert bar.volume == sum(trade.size for trade in trades)  # type: ignore[attr-defined]
    running.close()


class Bare:
    """A websocket that says and hears what it is told to."""

    def __init__(self, socket, packed=False):
        self.socket, self.packed = socket, packed

    async def say(self, message):
        await self.socket.send(msgpack.packb(message) if self.packed else json.dumps(message))

    async def hear(self):
        frame = await asyncio.wait_for(self.socket.recv(), 10)
        if self.packed:
            return msgpack.unpackb(frame, timestamp=3)
        return json.loads(frame)

    async def ask(self, message):
        await self.say(message)
        return await self.hear()


AUTH = {"action": "auth", "key": KEY, "secret": KEY}


async def test_data_connections_are_refused_as_the_vendor_refuses(sandbox):
    url = sandbox.url("alpaca", "ws") + "/v2/sip"
    async with websockets.connect(url) as one, websockets.connect(url) as two:
        first, second = Bare(one), Bare(two)
        assert await first.hear() == [{"T": "success", "msg": "connected"}]
        await second.hear()
        assert (await first.ask({"action": "subscribe", "bars": ["*"]}))[0]["code"] == 401
        assert (await first.ask({**AUTH, "secret": "wrong"}))[0]["code"] == 402
        assert (await first.ask(AUTH)) == [{"T": "success", "msg": "authenticated"}]
        assert (await first.ask(AUTH))[0]["code"] == 403
        assert (await second.ask(AUTH))[0]["code"] == 406
        assert (await first.ask({"action": "dance"}))[0]["code"] == 400
        await first.socket.send("no json")
        assert (await first.hear())[0]["code"] == 400
        many = [f"SYN{number:02d}" for number in range(1, 32)]
        assert (await first.ask({"action": "subscribe", "bars": many}))[0]["code"] == 405
        told = await first.ask({"action": "subscribe", "bars": ["SYN01"], "quotes": ["SYN02"]})
        assert (told[0]["T"], told[0]["bars"], told[0]["quotes"]) == ("subscription", ["SYN01"], ["SYN02"])
        assert (await first.ask({"action": "unsubscribe", "bars": ["SYN01"]}))[0]["bars"] == []


@pytest.mark.parametrize("packed", [False, True])
async def test_both_spellings_carry_the_same_data_and_halts(sandbox, packed):
    headers = {"Content-Type": "application/msgpack"} if packed else {}
    async with websockets.connect(sandbox.url("alpaca", "ws") + "/v2/iex", additional_headers=headers) as socket:
        bare = Bare(socket, packed)
        await bare.hear()
        await bare.ask(AUTH)
        await bare.ask({"action": "subscribe", "bars": [SYMBOL], "statuses": [SYMBOL]})
        await asyncio.to_thread(sandbox.wait, minutes(1))
        (bar,) = await bare.hear()
        assert (bar["T"], bar["S"]) == ("b", SYMBOL)
        at = bar["t"].isoformat() if packed else bar["t"].replace("Z", "+00:00")
        assert at == "2025-09-02T13:35:00+00:00"
        await asyncio.to_thread(sandbox.do, lambda: sandbox.exchange.halt(SYMBOL))
        assert [(message["T"], message["sc"]) for message in await bare.hear()] == [("s", "H")]


async def test_a_half_open_stream_stays_connected_and_says_nothing_more(sandbox):
    async with websockets.connect(sandbox.url("alpaca", "ws") + "/v2/iex", close_timeout=0.1) as socket:
        bare = Bare(socket)
        await bare.hear()
        await bare.ask(AUTH)
        await bare.ask({"action": "subscribe", "trades": [SYMBOL]})
        half = FaultRule(kind=FaultKind.HALF_OPEN, place="market_data")
        await asyncio.to_thread(sandbox.do, lambda: sandbox.exchange.faults.set((half,), seed=1))
        await asyncio.to_thread(sandbox.wait, minutes(1))
        await bare.say({"action": "subscribe", "trades": ["SYN02"]})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)


async def test_crossed_and_stale_quotes_are_what_the_plan_says(sandbox):
    rules = (FaultRule(kind=FaultKind.CROSSED), FaultRule(kind=FaultKind.STALE, seconds=60))
    async with websockets.connect(sandbox.url("alpaca", "ws") + "/v2/iex") as socket:
        bare = Bare(socket)
        await bare.hear()
        await bare.ask(AUTH)
        await bare.ask({"action": "subscribe", "quotes": [SYMBOL]})
        await asyncio.to_thread(sandbox.do, lambda: sandbox.exchange.faults.set(rules, seed=1))
        await asyncio.to_thread(sandbox.wait, seconds(20))
        (quote,) = await bare.hear()
        assert quote["bp"] > quote["ap"]
        assert quote["t"] < "2025-09-02T13:35:00Z"


async def test_wrong_keys_on_the_account_stream_are_unauthorized(sandbox):
    async with websockets.connect(sandbox.url("alpaca", "ws") + "/stream") as socket:
        bare = Bare(socket)
        wrong = {"action": "authenticate", "data": {"key_id": KEY, "secret_key": "wrong"}}
        assert (await bare.ask(wrong))["data"]["status"] == "unauthorized"
        right = {"action": "authenticate", "data": {"key_id": KEY, "secret_key": KEY}}
        assert (await bare.ask(right))["data"]["status"] == "authorized"
        heard = await bare.ask({"action": "listen", "data": {"streams": ["trade_updates"]}})
        assert heard == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
