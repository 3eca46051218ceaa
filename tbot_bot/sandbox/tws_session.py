"""One connection of the TWS side: handshake, requests in their order, answers and news, and the faults on the way."""

import asyncio
from collections.abc import Sequence
from typing import Final

from tbot_bot.sandbox import tws_codes as codes
from tbot_bot.sandbox.faults import Delivery, FaultKind, FaultRule
from tbot_bot.sandbox.tws_answers import Answers
from tbot_bot.sandbox.tws_data import DataSubscriptions
from tbot_bot.sandbox.tws_fields import Message
from tbot_bot.sandbox.tws_frames import FrameReader, Malformed, fields_of, frame_of, versions_of
from tbot_bot.sandbox.tws_gateway import VENDOR, Gateway
from tbot_bot.sandbox.tws_place_order import PlaceOrder
from tbot_bot.sandbox.tws_replies import ManagedAccounts, NextValidId, Problem
from tbot_bot.sandbox.tws_requests import NotOffered, StartApi, request_of
from tbot_bot.sandbox.tws_times import stamp

SERVER_VERSION: Final = 176
"""What every client of the protocol's text form speaks that the project knows."""
ORDERS: Final = "orders"
"""The place of faults in the news of orders."""
MARKET_DATA: Final = "market_data"
"""The place of faults in ticks and bars."""
_READ_BYTES: Final = 65_536
_UNSENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""A client that leaves more than this unread is cut off."""
_HANDSHAKE_SECONDS: Final = 10.0
_OF_REQUESTS: Final = (
    FaultKind.LATENCY,
    FaultKind.LOST_BEFORE,
    FaultKind.LOST_AFTER,
    FaultKind.DROPPED,
    FaultKind.HALF_OPEN,
    FaultKind.REJECTED,
)
_OF_STREAMS: Final = (FaultKind.LATENCY, FaultKind.DROPPED, FaultKind.HALF_OPEN)


class Session:
    """One client's connection, from the greeting to its end."""

    def __init__(self, gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve `gateway` over one accepted connection."""
        self.client_id = -1
        self._gateway = gateway
        self._reader = reader
        self._writer = writer
        self._frames = FrameReader()
        self._started = False
        self._mute = False
        self._data = DataSubscriptions(gateway, self.send_data)
        self._answers = Answers(gateway, self, self._data)
        self._news: Delivery[Message] = Delivery(gateway.faults, VENDOR, ORDERS)
        self._ticks: Delivery[Message] = Delivery(gateway.faults, VENDOR, MARKET_DATA)

    async def run(self) -> None:
        """Serve until either side ends it; nothing that a client sends ends more than its connection."""
        try:
            await self._serve()
        except Malformed as error:
            text = f"Error reading request:{error.what}"
            self.send(Problem(req_id=error.request_id, code=codes.READING_FAILED, text=text))
        except (ConnectionError, TimeoutError):
            self.cut()
        finally:
            self._data.close()
            if self._gateway.clients.get(self.client_id) is self:
                del self._gateway.clients[self.client_id]
            self._writer.close()

    # --- what the gateway asks of a client ---------------------------------------------------------------------------

    def send(self, *messages: Message) -> None:
        """Send answers and notices."""
        if self._mute or self._writer.is_closing():
            return
        self._writer.write(b"".join(frame_of(message.fields()) for message in messages))
        if self._writer.transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
            self.cut()

    def tell(self, *messages: Message) -> None:
        """Send news of orders, each of which a fault may repeat, swap with the next, delay or cut off."""
        self._stream(self._news, ORDERS, messages)

    def send_data(self, *messages: Message) -> None:
        """Send ticks and bars, with faults of their own."""
        self._stream(self._ticks, MARKET_DATA, messages)

    def account_changed(self, symbol: str) -> None:
        """Tell the account's subscriptions that something was traded."""
        self._answers.account_changed(symbol)

    def forget_data(self) -> None:
        """End the subscriptions to market data."""
        self._data.forget_all()

    def cut(self) -> None:
        """End the connection without a word."""
        self._writer.transport.abort()

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        waiting: list[bytes] = []
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            while not waiting:
                waiting = await self._read()
        lowest, highest = versions_of(waiting.pop(0))
        if not lowest <= SERVER_VERSION <= highest:
            return
        self._writer.write(frame_of((str(SERVER_VERSION), stamp(self._gateway.exchange.now()))))
        while True:
            for payload in waiting:
                await self._handle(request_of(fields_of(payload)))
                if self._writer.is_closing():
                    return
            waiting = await self._read()

    async def _read(self) -> list[bytes]:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise ConnectionResetError("the client has gone")
        return self._frames.feed(data)

    async def _handle(self, request: Message | NotOffered) -> None:
        if self._mute:
            return
        if isinstance(request, NotOffered):
            self.send(codes.invalid(request.request_id, f"message {request.message} is not offered by the sandbox"))
        elif isinstance(request, StartApi):
            self._start(request.client_id)
        elif not self._started:
            self.send(codes.not_connected(codes.SYSTEM))
        else:
            await self._answer(request)

    def _start(self, client_id: int) -> None:
        if self._started:
            self.send(codes.invalid(codes.SYSTEM, "the client has started already"))
            return
        if client_id in self._gateway.clients:
            text = "Unable to connect as the client id is already in use. Retry with a unique client id."
            self.send(Problem(req_id=codes.SYSTEM, code=codes.CLIENT_ID_IN_USE, text=text))
            self._writer.close()
            return
        self.client_id = client_id
        self._started = True
        self._gateway.clients[client_id] = self
        self.send(
            ManagedAccounts(accounts=self._gateway.account),
            NextValidId(order_id=self._gateway.book.next_order_id()),
            *(codes.system(code) for code in self._gateway.notices()),
        )

    async def _answer(self, request: Message) -> None:
        kind = type(request).__name__
        struck = self._gateway.faults.of_call(VENDOR, kind[0].lower() + kind[1:], *_OF_REQUESTS)
        rules = {rule.kind: rule for rule in struck}
        if FaultKind.LATENCY in rules:
            await asyncio.sleep(rules[FaultKind.LATENCY].seconds)
        if FaultKind.DROPPED in rules:
            self.cut()
            return
        if FaultKind.HALF_OPEN in rules:
            self._mute = True
            return
        lost = rules.get(FaultKind.LOST_BEFORE) or rules.get(FaultKind.LOST_AFTER)
        if lost is not None:
            self._mute = True
            asyncio.get_running_loop().call_later(lost.seconds, self.cut)
        if FaultKind.LOST_BEFORE in rules:
            return
        if FaultKind.REJECTED in rules and isinstance(request, PlaceOrder):
            self._gateway.reject(self, request, "rejected by the sandbox's plan of faults")
        else:
            self._answers.answer(request)
        await self._writer.drain()

    def _stream(self, delivery: Delivery[Message], place: str, messages: Sequence[Message]) -> None:
        for message in messages:
            rules = {rule.kind: rule for rule in self._gateway.faults.of_call(VENDOR, place, *_OF_STREAMS)}
            if FaultKind.DROPPED in rules:
                self.cut()
                return
            self._mute = self._mute or FaultKind.HALF_OPEN in rules
            self._after(rules.get(FaultKind.LATENCY), delivery.passed_on(message))

    def _after(self, latency: FaultRule | None, messages: Sequence[Message]) -> None:
        if latency is None:
            self.send(*messages)
        else:
            asyncio.get_running_loop().call_later(latency.seconds, lambda: self.send(*messages))
