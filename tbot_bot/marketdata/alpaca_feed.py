"""Alpaca's market data for a session: minute bars and quotes by the stream, history and the rest by REST.

One connection, at most so many symbols as the plan allows; those that matter most are streamed, the others are asked
for. Alpaca replays nothing: after a new connection whoever listens sees by `streamed_since` what has to be asked for.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from tbot_bot.core.backoff import Patience, pause_after
from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.circuit import CircuitReading
from tbot_bot.core.errors import BrokerUnavailable, UnknownMessage
from tbot_bot.core.halts import TradingHalt
from tbot_bot.core.instants import MINUTE, SECOND, Duration, Instant, iso, later
from tbot_bot.marketdata.alpaca_feed_wire import (
    Frame,
    Greeting,
    StreamError,
    Subscription,
    auth,
    bars_of,
    frame_of,
    quotes_of,
    subscribing,
)
from tbot_bot.marketdata.live_feed import Arrived

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

SYMBOLS_MAX: Final = 30
"""Streamed at once on the basic plan."""
FEED: Final = "iex"
"""The feed that every account has."""
_SYMBOLS_PER_CALL: Final = 100
_BARS_PER_PAGE: Final = 10_000
_PAGES_MAX: Final = 100
_PING_SECONDS: Final = 10.0
"""A half-open connection is noticed within twice this."""
_MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
_LASTING_SECONDS: Final = 30.0
_PATIENCE: Final = Patience(
    retries=0, deadline=Duration(SECOND), pause_first=Duration(SECOND // 2), pause_longest=Duration(30 * SECOND)
)
_TOO_MANY_SYMBOLS: Final = 405


class DataRest(Protocol):
    """Asks Alpaca's data interface once, within a deadline and an allowance."""

    async def read(self, path: str, query: Mapping[str, str] | None = None, *, version: str = "v2") -> object:
        """Return what `path` says.

        Raises:
            BrokerProblem: no answer, or a refusal.
        """
        ...

    def readings(self) -> tuple[CircuitReading, ...]:
        """Return how each endpoint is that was ever asked."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAccess:
    """Where the stream is, and who asks."""

    url: str
    """Without path."""
    key: str
    secret: str
    feed: str = FEED

    def __repr__(self) -> str:
        """Return the address; never a key."""
        return f"StreamAccess({self.url!r}, feed={self.feed!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSurroundings:
    """What the feed needs of the process around it."""

    now: Callable[[], Instant]
    """Market time."""
    monotonic: Callable[[], float]
    dice: Callable[[], float]
    """From 0 up to 1: spreads reconnects."""
    note: Callable[[str], None]
    """Is told troubles, in words without secrets."""
    deadline_seconds: float
    """For connecting and authenticating."""


class AlpacaFeed:
    """A `LiveFeed`; nothing is opened before `start`."""

    def __init__(
        self,
        access: StreamAccess,
        rest: DataRest,
        around: FeedSurroundings,
        *,
        symbols_max: int = SYMBOLS_MAX,
        pause: Patience = _PATIENCE,
    ) -> None:
        """`symbols_max` is what the plan streams at once."""
        self._access, self._rest, self._around, self._pause = access, rest, around, pause
        self._limit = symbols_max
        self.arrived = asyncio.Event()
        self._wanted: tuple[str, ...] = ()
        self._asked: frozenset[str] = frozenset()
        self._since: dict[str, Instant] = {}
        self._bars: list[Bar] = []
        self._quotes: dict[str, Quote] = {}
        self._halts: list[TradingHalt] = []
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to listen, and go on until `close`; what fails is tried again."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Listen no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._lost()

    def circuits(self) -> tuple[CircuitReading, ...]:
        """Return how each endpoint is that was ever asked for bars."""
        return self._rest.readings()

    # --- what a session asks ------------------------------------------------------------------------------------------

    def want(self, symbols: tuple[str, ...]) -> None:
        """Stream the first of `symbols`, as many as the plan allows."""
        self._wanted = tuple(dict.fromkeys(symbols))
        self._changed.set()

    def streamed_since(self, symbol: str) -> Instant | None:
        """Return since when `symbol` has come without a gap."""
        return self._since.get(symbol)

    def heard_until(self, symbol: str) -> Instant | None:
        """Return None: Alpaca tells no bar of a minute without trades, so that silence says nothing."""
        del symbol
        return None

    def take(self) -> Arrived:
        """Return what has come since the last call."""
        bars, self._bars = self._bars, []
        quotes, self._quotes = self._quotes, {}
        halts, self._halts = self._halts, []
        self.arrived.clear()
        return Arrived(bars=tuple(bars), quotes=quotes, halts=tuple(halts))

    async def bars(self, symbols: tuple[str, ...], since: Instant, until: Instant) -> tuple[Bar, ...]:
        """Return the minute bars of `symbols` from `since` on that end by `until`.

        Raises:
            BrokerProblem: no answer, a refusal, or what cannot be read.
        """
        found: list[Bar] = []
        for start in range(0, len(symbols), _SYMBOLS_PER_CALL):
            found += await self._all_pages(
                {
                    "symbols": ",".join(symbols[start : start + _SYMBOLS_PER_CALL]),
                    "timeframe": "1Min",
                    "start": iso(since),
                    "end": iso(later(until, -MINUTE)),
                    "limit": str(_BARS_PER_PAGE),
                    "adjustment": "raw",
                    "feed": self._access.feed,
                }
            )
        return tuple(bar for bar in found if since <= bar.start and bar.end <= until)

    async def quotes(self, symbols: tuple[str, ...]) -> tuple[Quote, ...]:
        """Return the newest quotes of `symbols`.

        Raises:
            BrokerProblem: no answer, a refusal, or what cannot be read.
        """
        found: list[Quote] = []
        for start in range(0, len(symbols), _SYMBOLS_PER_CALL):
            query = {"symbols": ",".join(symbols[start : start + _SYMBOLS_PER_CALL]), "feed": self._access.feed}
            found += quotes_of(await self._rest.read("/stocks/quotes/latest", query))
        return tuple(found)

    async def _all_pages(self, query: dict[str, str]) -> list[Bar]:
        found: list[Bar] = []
        for _ in range(_PAGES_MAX):
            bars, token = bars_of(await self._rest.read("/stocks/bars", query))
            found += bars
            if not token:
                return found
            query["page_token"] = token
        raise BrokerUnavailable(f"bars on more than {_PAGES_MAX} pages")

    # --- the stream ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        from websockets.exceptions import WebSocketException  # noqa: PLC0415 - comes with alpaca-py

        attempt = 0
        while True:
            begun = self._around.monotonic()
            try:
                await self._connection()
                why = "closed by Alpaca"
            except (OSError, TimeoutError, WebSocketException, UnknownMessage) as error:
                why = str(error) if isinstance(error, UnknownMessage) else type(error).__name__
            except Exception as error:  # noqa: BLE001 - a defect here must not end the data of a session
                why = f"{type(error).__name__}: {error}"
            lasted = self.connected and self._around.monotonic() - begun > _LASTING_SECONDS
            self._lost()
            attempt = 1 if lasted else attempt + 1
            self._around.note(f"no market data by the stream: {why}; it is asked for meanwhile")
            await asyncio.sleep(pause_after(self._pause, attempt, self._around.dice) / SECOND)

    def _lost(self) -> None:
        self.connected = False
        self._since.clear()
        self._asked = frozenset()
        self.arrived.set()

    async def _connection(self) -> None:
        from websockets.asyncio.client import connect  # noqa: PLC0415 - comes with alpaca-py

        deadline = self._around.deadline_seconds
        async with connect(
            f"{self._access.url.rstrip('/')}/v2/{self._access.feed}",
            open_timeout=deadline,
            ping_interval=_PING_SECONDS,
            ping_timeout=_PING_SECONDS,
            close_timeout=1,
            max_size=_MESSAGE_BYTES_MAX,
            proxy=None,
        ) as socket:
            async with asyncio.timeout(deadline):
                await self._greet(socket)
            self.connected = True
            self._changed.set()
            asking = asyncio.create_task(self._keep_asking(socket))
            try:
                async for text in socket:
                    self._heard(frame_of(text))
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    async def _greet(self, socket: "ClientConnection") -> None:
        """Wait to be greeted, and authenticate.

        Raises:
            UnknownMessage: Alpaca will not have it.
        """
        for word, answer in (("connected", auth(self._access.key, self._access.secret)), ("authenticated", "")):
            await self._said(socket, word)
            if answer:
                await socket.send(answer)

    async def _said(self, socket: "ClientConnection", word: str) -> None:
        while True:
            for one in frame_of(await socket.recv()).said:
                if isinstance(one, StreamError):
                    raise UnknownMessage(f"the stream answers {one.code} {one.text}")
                if isinstance(one, Greeting) and one.text == word:
                    return

    async def _keep_asking(self, socket: "ClientConnection") -> None:
        """Subscribe to what is wanted, whenever that changes; what is wanted no longer makes room first."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = frozenset(self._wanted[: self._limit])
            gone, new = self._asked - wanted, wanted - self._asked
            self._asked = wanted
            for action, symbols in (("unsubscribe", gone), ("subscribe", new)):
                if symbols:
                    await socket.send(subscribing(action, sorted(symbols)))

    def _heard(self, frame: Frame) -> None:
        self._bars += frame.bars
        self._halts += frame.halts
        for quote in frame.quotes:
            self._quotes[quote.symbol] = quote
        for one in frame.said:
            self._obey(one)
        if frame.unread:
            self._around.note(f"{frame.unread} messages of the data stream could not be read")
        if frame.bars or frame.halts or frame.said:
            self.arrived.set()

    def _obey(self, one: StreamError | Subscription | Greeting) -> None:
        match one:
            case Subscription():
                now = self._around.now()
                self._since = {symbol: self._since.get(symbol, now) for symbol in one.symbols}
            case StreamError(code=code) if code == _TOO_MANY_SYMBOLS:
                self._shrink()
            case StreamError():
                self._around.note(f"the data stream says {one.code} {one.text}")
            case Greeting():
                pass

    def _shrink(self) -> None:
        """Ask for fewer symbols, and at least for those that come already; the others are asked for by REST."""
        fewer = max(min(max(len(self._since), self._limit // 2), self._limit - 1), 1)
        self._around.note(f"the plan streams fewer than {self._limit} symbols; {fewer} are tried")
        self._asked = frozenset(self._since)
        if fewer < self._limit:
            self._limit = fewer
            self._changed.set()


__all__ = ["FEED", "SYMBOLS_MAX", "AlpacaFeed", "DataRest", "FeedSurroundings", "StreamAccess"]
