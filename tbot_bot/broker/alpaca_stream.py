"""The stream of trade updates: connected for as long as we live, and honest about when it is not.

Written on `websockets` itself, in the place of alpaca-py's class, which reads prices through floats, stands on a
part of `websockets` that goes away, tells nobody that it has reconnected, and retries refused keys for ever.
Alpaca replays nothing: whoever listens here is told of each new connection, and asks by REST what it missed.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from tbot_bot.broker.json_fields import fields, parsed, words
from tbot_bot.core.backoff import Patience, pause_after
from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.instants import SECOND, Duration

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_PATIENCE: Final = Patience(
    retries=0, deadline=Duration(SECOND), pause_first=Duration(SECOND // 2), pause_longest=Duration(30 * SECOND)
)
_PING_SECONDS: Final = 5.0
"""A half-open connection is noticed within twice this."""
_MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
_LASTING_SECONDS: Final = 30.0
"""A connection that lived longer than this begins a new count of attempts."""


class StreamListener(Protocol):
    """Who hears of the stream."""

    async def on_connected(self) -> None:
        """Be told that updates come from now on, and that those of before are lost."""
        ...

    def on_message(self, value: object) -> None:
        """Be told the `data` of one trade update."""
        ...

    def on_trouble(self, what: str) -> None:
        """Be told why there is no stream, or what in it could not be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAddress:
    """Where the stream is, and who asks."""

    url: str
    key: str
    secret: str

    def __repr__(self) -> str:
        """Return the address; never a key."""
        return f"StreamAddress({self.url!r})"


class AlpacaStream:
    """One connection at a time, for ever, until `run` is cancelled."""

    def __init__(
        self,
        address: StreamAddress,
        listener: StreamListener,
        *,
        deadline_seconds: float,
        monotonic: Callable[[], float],
        dice: Callable[[], float],
        pause: Patience = _PATIENCE,
    ) -> None:
        """`deadline_seconds` holds for connecting and authenticating; `dice` spreads reconnects."""
        self._address, self._listener = address, listener
        self._deadline, self._monotonic, self._dice, self._pause = deadline_seconds, monotonic, dice, pause
        self.connected = False

    async def run(self) -> None:
        """Hold the connection, again and again, with growing pauses."""
        from websockets.exceptions import WebSocketException  # noqa: PLC0415 - comes with alpaca-py

        attempt = 0
        while True:
            begun = self._monotonic()
            try:
                await self._connection()
            except (OSError, TimeoutError, WebSocketException, UnknownMessage) as error:
                why = str(error) if isinstance(error, UnknownMessage) else type(error).__name__
            else:
                why = "closed by Alpaca"
            lasted = self.connected and self._monotonic() - begun > _LASTING_SECONDS
            self.connected = False
            attempt = 1 if lasted else attempt + 1
            self._listener.on_trouble(f"no trade updates: {why}")
            await asyncio.sleep(pause_after(self._pause, attempt, self._dice) / SECOND)

    async def _connection(self) -> None:
        from websockets.asyncio.client import connect  # noqa: PLC0415 - comes with alpaca-py

        async with connect(
            self._address.url,
            open_timeout=self._deadline,
            ping_interval=_PING_SECONDS,
            ping_timeout=_PING_SECONDS,
            close_timeout=1,
            max_size=_MESSAGE_BYTES_MAX,
            proxy=None,
        ) as socket:
            async with asyncio.timeout(self._deadline):
                await self._greet(socket)
            self.connected = True
            reading = asyncio.create_task(self._read(socket))
            try:
                await self._listener.on_connected()
                await reading
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _greet(self, socket: "ClientConnection") -> None:
        """Authenticate and listen.

        Raises:
            UnknownMessage: Alpaca will not have it.
        """
        keys = {"key_id": self._address.key, "secret_key": self._address.secret}
        await socket.send(json.dumps({"action": "authenticate", "data": keys}))
        told = await self._answer(socket, "authorization")
        if words(told, "status") != "authorized":
            raise UnknownMessage(f"the stream answers {words(told, 'status')!r} to our keys")
        await socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        streams = (await self._answer(socket, "listening")).get("streams")
        if not isinstance(streams, list) or "trade_updates" not in streams:
            raise UnknownMessage(f"the stream tells {streams!r}, not trade_updates")

    async def _answer(self, socket: "ClientConnection", stream: str) -> Mapping[str, object]:
        """Return the data of the first message of `stream`; updates that come between are lost, as those before."""
        while True:
            told = fields(parsed(await socket.recv()), "message")
            if words(told, "stream") == stream:
                return fields(told.get("data"), "message")

    async def _read(self, socket: "ClientConnection") -> None:
        async for frame in socket:  # paper sends binary frames that hold text, live sends text
            try:
                told = fields(parsed(frame), "message")
                if words(told, "stream") == "trade_updates":
                    self._listener.on_message(told.get("data"))
            except UnknownMessage as problem:
                self._listener.on_trouble(f"a trade update that cannot be read: {problem}")


__all__ = ["AlpacaStream", "StreamAddress", "StreamListener"]
