"""Alpaca's two websockets: trade updates (`/stream`) and market data (`/v2/{feed}`), JSON or msgpack.

Nothing is replayed after a reconnect. Trade updates are binary frames that hold JSON text, as paper accounts send
them. Market data is msgpack where the client's Content-Type asks for it, with times as msgpack timestamps.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Self

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.instants import Instant, iso, to_datetime
from tbot_bot.core.money import plain
from tbot_bot.sandbox.alpaca_book import VENDOR, AlpacaBook
from tbot_bot.sandbox.alpaca_shapes import execution_uuid
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.faults import Delivery, FaultKind
from tbot_bot.sandbox.serving import Json, cut, mute
from tbot_bot.sandbox.tickets import MarketUpdate, NewsKind, OrderNews, Phase, Trade, Trading

TRADE_UPDATES: Final = "trade_updates"
MARKET_DATA: Final = "market_data"
_CHANNELS: Final = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds")
_QUEUE: Final = 100_000
_SYMBOLS_MAX: Final = 30
_EVENTS: Final = {
    NewsKind.ACCEPTED: "new",
    NewsKind.CANCELED: "canceled",
    NewsKind.EXPIRED: "expired",
    NewsKind.REPLACED: "replaced",
    NewsKind.REJECTED: "rejected",
}
Frame = Mapping[str, Json] | list[Mapping[str, Json]]
_Stamped = Mapping[str, object]


class AlpacaStreams:
    """The websocket endpoints."""

    def __init__(
        self, exchange: Exchange, book: AlpacaBook, *, keys: tuple[str, str], symbols_max: int = _SYMBOLS_MAX
    ) -> None:
        """`keys` are id and secret; `symbols_max` is what one data connection may subscribe to."""
        self._exchange, self._book, self._keys = exchange, book, keys
        self._symbols_max = symbols_max
        self._readers: list[WebSocket] = []
        self.connected = 0

    def routes(self) -> list[WebSocketRoute]:
        """Return the routes."""
        return [
            WebSocketRoute("/stream", self._trade_updates),
            WebSocketRoute("/v2/{feed}", self._market_data),
            WebSocketRoute("/v1beta1/{feed}", self._market_data),
        ]

    # --- trade updates -----------------------------------------------------------------------------------------------

    async def _trade_updates(self, socket: WebSocket) -> None:
        if self._exchange.faults.standing(VENDOR, FaultKind.MAINTENANCE):
            cut(socket.scope)
            return
        await socket.accept()
        line = Line(socket, self._exchange, TRADE_UPDATES, lambda frame: json.dumps(frame).encode())
        ends: list[Callable[[], None]] = []
        authorized = False
        try:
            async with line:
                while True:
                    asked = await _heard(socket)
                    if asked.get("action") in {"authenticate", "auth"}:
                        authorized = _keys_in(asked) == self._keys
                        status = "authorized" if authorized else "unauthorized"
                        line.say({"stream": "authorization", "data": {"status": status, "action": "authenticate"}})
                    elif asked.get("action") == "listen" and authorized:
                        streams = _wanted_streams(asked)
                        line.say({"stream": "listening", "data": {"streams": streams}})
                        if TRADE_UPDATES in streams and not ends:
                            ends.append(self._book.desk.subscribe(lambda news: self._told(line, news)))
        finally:
            for end in ends:
                end()

    def _told(self, line: "Line", news: OrderNews) -> None:
        order = news.order
        if news.kind is NewsKind.FILLED:
            event = "fill" if order.phase is Phase.FILLED else "partial_fill"
        elif news.kind in _EVENTS:
            event = _EVENTS[news.kind]
        else:
            return
        data: dict[str, Json] = {
            "event": event,
            "execution_id": execution_uuid(f"{event} {order.number} {news.at}"),
            "timestamp": iso(news.at),
            "order": self._book.shape(order, nested=True),
        }
        if news.fill is not None:
            data |= {
                "execution_id": execution_uuid(news.fill.execution_id),
                "price": plain(news.fill.price),
                "qty": plain(news.fill.quantity),
                "position_qty": plain(news.position),
            }
        line.tell({"stream": TRADE_UPDATES, "data": data})

    # --- market data -------------------------------------------------------------------------------------------------

    async def _market_data(self, socket: WebSocket) -> None:
        if self._exchange.faults.standing(VENDOR, FaultKind.MAINTENANCE):
            cut(socket.scope)
            return
        await socket.accept()
        packed = socket.headers.get("content-type") == "application/msgpack"
        line = Line(socket, self._exchange, MARKET_DATA, _pack if packed else _spell)
        try:
            async with line:
                line.say([{"T": "success", "msg": "connected"}])
                await self._subscriptions(socket, line)
        finally:
            if socket in self._readers:
                self._readers.remove(socket)

    async def _subscriptions(self, socket: WebSocket, line: "Line") -> None:
        wanted: dict[str, list[str]] = {channel: [] for channel in _CHANNELS}
        watch = self._exchange.watch(lambda update: self._publish(line, wanted, update))
        try:
            while True:
                asked = await _heard(socket)
                action = asked.get("action")
                if action == "auth":
                    self._authenticate(socket, line, asked)
                elif socket not in self._readers:
                    line.say([{"T": "error", "code": 401, "msg": "not authenticated"}])
                elif action in {"subscribe", "unsubscribe"}:
                    changed = _changed(wanted, asked, add=action == "subscribe")
                    symbols = {symbol for channel in changed.values() for symbol in channel}
                    if len(symbols) > self._symbols_max:
                        line.say([{"T": "error", "code": 405, "msg": "symbol limit exceeded"}])
                        continue
                    wanted.update(changed)
                    watch.symbols = set(self._exchange.market.symbols) if "*" in symbols else symbols
                    line.say([{"T": "subscription", **wanted}])
                else:
                    line.say([{"T": "error", "code": 400, "msg": "invalid syntax"}])
        finally:
            watch.close()

    def _authenticate(self, socket: WebSocket, line: "Line", asked: Mapping[str, Json]) -> None:
        if (asked.get("key"), asked.get("secret")) != self._keys:
            line.say([{"T": "error", "code": 402, "msg": "auth failed"}])
        elif socket in self._readers:
            line.say([{"T": "error", "code": 403, "msg": "already authenticated"}])
        elif self._readers:
            line.say([{"T": "error", "code": 406, "msg": "connection limit exceeded"}])
        else:
            self._readers.append(socket)
            line.say([{"T": "success", "msg": "authenticated"}])

    def _publish(self, line: "Line", wanted: Mapping[str, list[str]], update: MarketUpdate) -> None:
        channel = _CHANNEL_OF[type(update)]
        if update.symbol not in wanted[channel] and "*" not in wanted[channel]:
            return
        if isinstance(update, Quote):
            symbol = update.symbol
            update = self._exchange.faults.altered(VENDOR, update, lambda at: self._exchange.market.quote(symbol, at))
        line.tell([_data_json(update)])


_CHANNEL_OF: Final[Mapping[type[MarketUpdate], str]] = {
    Trade: "trades",
    Quote: "quotes",
    Bar: "bars",
    Trading: "statuses",
}


class Line:
    """What is said on one connection: queued, sent in order, broken where the plan says so."""

    def __init__(
        self, socket: WebSocket, exchange: Exchange, place: str, spell: Callable[[Frame], bytes | str]
    ) -> None:
        """`spell` turns a frame into bytes (a binary frame) or text."""
        self._socket, self._exchange, self._place, self._spell = socket, exchange, place, spell
        self._queue: asyncio.Queue[Frame] = asyncio.Queue(_QUEUE)
        self._delivery: Delivery[Frame] = Delivery(exchange.faults, VENDOR, place)
        self._mute = False
        self._sender: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to send."""
        self._sender = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        """Stop sending; a client that went away is no error."""
        assert self._sender is not None  # noqa: S101 - entered
        self._sender.cancel()
        with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):  # it has gone: as it should
            await self._sender
        return kind is not None and issubclass(kind, WebSocketDisconnect)

    def say(self, frame: Frame) -> None:
        """Answer the client; no fault touches this."""
        self._put(frame)

    def tell(self, frame: Frame) -> None:
        """Send news, as the plan has it: late, twice, in another order, or not at all."""
        plan = self._exchange.faults
        if plan.standing(VENDOR, FaultKind.MAINTENANCE) or plan.of_call(VENDOR, self._place, FaultKind.DROPPED):
            cut(self._socket.scope)
            self._mute = True
        elif plan.of_call(VENDOR, self._place, FaultKind.HALF_OPEN):
            mute(self._socket.scope)
            self._mute = True
        for one in self._delivery.passed_on(frame):
            self._put(one)

    def _put(self, frame: Frame) -> None:
        if self._mute:
            return
        if self._queue.full():  # the vendor ends slow clients as well
            cut(self._socket.scope)
            self._mute = True
            return
        self._queue.put_nowait(frame)

    async def _send(self) -> None:
        while True:
            frame = await self._queue.get()
            late = self._exchange.faults.of_call(VENDOR, self._place, FaultKind.LATENCY)
            if late:
                await asyncio.sleep(max(late[0].seconds, 0.0))
            spelled = self._spell(frame)
            if isinstance(spelled, bytes):
                await self._socket.send_bytes(spelled)
            else:
                await self._socket.send_text(spelled)


async def _heard(socket: WebSocket) -> Mapping[str, Json]:
    """Return the next message as an object; an empty one where it is none.

    Raises:
        WebSocketDisconnect: the client has gone.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1005)
    packed, text = message.get("bytes"), message.get("text")
    found: object = None
    try:
        if packed is not None:
            found = _unpack(packed)
        elif text is not None:
            found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _unpack(packed: bytes) -> object:
    """Read msgpack, or JSON in a binary frame."""
    import msgpack  # noqa: PLC0415 - only where it is spoken

    if packed[:1] == b"{":
        return json.loads(packed)
    try:
        found: object = msgpack.unpackb(packed)
    except (msgpack.UnpackException, ValueError) as error:
        raise ValueError(str(error)) from None
    return found


def _pack(frame: Frame) -> bytes:
    import msgpack  # noqa: PLC0415 - only where it is spoken

    assert isinstance(frame, list)  # noqa: S101 - market data comes in lists
    stamped: list[_Stamped] = [
        {name: to_datetime(Instant(value)) if name == "t" and isinstance(value, int) else value
         for name, value in message.items()} for message in frame
    ]  # fmt: skip
    packed: bytes = msgpack.packb(stamped, datetime=True)
    return packed


def _spell(frame: Frame) -> str:
    assert isinstance(frame, list)  # noqa: S101 - market data comes in lists
    written = [
        {name: iso(Instant(value)) if name == "t" and isinstance(value, int) else value
         for name, value in message.items()} for message in frame
    ]  # fmt: skip
    return json.dumps(written)


def _data_json(update: MarketUpdate) -> dict[str, Json]:
    """Return a message of market data; `t` in nanoseconds, spelled when it is sent."""
    if isinstance(update, Trade):
        return {
            "T": "t", "S": update.symbol, "i": update.number, "x": "V", "p": float(update.price),
            "s": int(update.size), "c": ["@"], "z": "C", "t": update.at,
        }  # fmt: skip
    if isinstance(update, Quote):
        return {
            "T": "q", "S": update.symbol, "bx": "V", "bp": float(update.bid), "bs": int(update.bid_size),
            "ax": "V", "ap": float(update.ask), "as": int(update.ask_size), "c": ["R"], "z": "C", "t": update.at,
        }  # fmt: skip
    if isinstance(update, Trading):
        code, words = ("H", "Trading Halt") if update.halted else ("T", "Trading Resumption")
        return {
            "T": "s", "S": update.symbol, "sc": code, "sm": words, "rc": "", "rm": "", "z": "C", "t": update.at,
        }  # fmt: skip
    mean = round((update.high + update.low + update.close) / 3, 4)
    return {
        "T": "b", "S": update.symbol, "o": update.open, "h": update.high, "l": update.low, "c": update.close,
        "v": int(update.volume), "n": max(int(update.volume // 100), 1), "vw": mean, "t": update.start,
    }  # fmt: skip


def _changed(wanted: Mapping[str, list[str]], asked: Mapping[str, Json], *, add: bool) -> dict[str, list[str]]:
    changed = {}
    for channel, present in wanted.items():
        given = asked.get(channel)
        named = [str(symbol) for symbol in given] if isinstance(given, list) else []
        kept = [symbol for symbol in present if add or symbol not in named]
        changed[channel] = kept + ([symbol for symbol in dict.fromkeys(named) if symbol not in kept] if add else [])
    return changed


def _keys_in(asked: Mapping[str, Json]) -> tuple[str, str]:
    data = asked.get("data")
    if isinstance(data, Mapping):
        return str(data.get("key_id")), str(data.get("secret_key"))
    return str(asked.get("key")), str(asked.get("secret"))


def _wanted_streams(asked: Mapping[str, Json]) -> list[str]:
    data = asked.get("data")
    streams = data.get("streams") if isinstance(data, Mapping) else None
    return [str(stream) for stream in streams] if isinstance(streams, list) else []
