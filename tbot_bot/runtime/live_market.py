"""The market of a live session behind the engine's requests: nothing here keeps the session waiting.

What the engine asks for (a watch list, the VIX, puts) is fetched beside the session and comes back as an event. Bars
and quotes go through the minute book; what the stream has not told is asked for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.bars import Imbalance, Quote, VixReading
from tbot_bot.core.commands import ReadPutQuotes
from tbot_bot.core.errors import BrokerProblem
from tbot_bot.core.events import Event, ImbalancesRead, PutQuotesRead, VixRead
from tbot_bot.core.halts import HaltsTold
from tbot_bot.core.instants import Instant
from tbot_bot.core.screening import Verdict
from tbot_bot.marketdata.live_feed import LiveFeed, MinuteBook, Told
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.last_resort import Report, watched

RETRY_SECONDS: Final = 1.0
"""Between two requests for bars that are missing."""
IMBALANCES_MAX: Final = 40
"""Symbols: each takes one of the account's market data lines."""


class LiveScreener(Protocol):
    """Screens the market as it is now."""

    source: str

    async def screen(self) -> tuple[Verdict, ...]:
        """Return the verdict on every symbol, sorted by symbol.

        Raises:
            TbotError: no source could be asked.
        """
        ...


class VixSource(Protocol):
    """One place that knows the VIX."""

    async def vix(self) -> VixReading | None:
        """Return the value known now; None where this place has none young enough.

        Raises:
            BrokerProblem, TbotError: it gave no answer.
        """
        ...


class ImbalanceSource(Protocol):
    """One place that knows auction imbalances."""

    async def imbalances(self, symbols: tuple[str, ...]) -> tuple[Imbalance, ...]:
        """Return those that are published and may be seen; never raises for the place."""
        ...


class PutSource(Protocol):
    """One place that quotes puts."""

    async def put_quotes(self, request: ReadPutQuotes) -> PutQuotesRead:
        """Return the puts on offer, or why there are none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSources:
    """Where a live session's data comes from."""

    feed: LiveFeed
    screener: LiveScreener
    vix: tuple[VixSource, ...] = ()
    """Asked one after another, until one has a value."""
    imbalances: ImbalanceSource | None = None
    puts: Mapping[str, PutSource] = field(default_factory=dict)
    """By broker."""


@dataclass(slots=True)
class Inbox:
    """What was fetched beside the session, to be taken by it in its own time."""

    waiting: list[Callable[[Instant], Event]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, make: Callable[[Instant], Event]) -> None:
        """Hand over an event; `make` gives it at the market time at which it is taken."""
        self.waiting.append(make)
        self.arrived.set()

    def take(self) -> list[Callable[[Instant], Event]]:
        """Return what waits, oldest first."""
        found, self.waiting = self.waiting, []
        self.arrived.clear()
        return found


class LiveMarket:
    """One session's market; `MarketAccess` for the hands."""

    def __init__(
        self, sources: MarketSources, book: MinuteBook, *, note: Callable[[str], None], report: Report
    ) -> None:
        """`note` hears of troubles that mend themselves, `report` of defects."""
        self._sources, self.book = sources, book
        self._note, self._report = note, report
        self.inbox = Inbox()
        self.feed = sources.feed
        self._quotes: dict[str, Quote] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[None] | None = None
        self._ask_again_at = 0.0
        self._reading_imbalances = False

    async def screen(self) -> tuple[str, tuple[Verdict, ...]]:
        """Return who screened, and the verdicts.

        Raises:
            TbotError: no source could be asked.
        """
        return self._sources.screener.source, await self._sources.screener.screen()

    async def close(self) -> None:
        """Ask for nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what the engine asks -----------------------------------------------------------------------------------------

    def watch(self, symbols: tuple[str, ...], at: Instant) -> None:
        """Deliver `symbols` from now on; their history since the bell comes late, as bars do."""
        del at
        self.follow(symbols)

    def follow(self, symbols: tuple[str, ...], told: Mapping[str, Instant] | None = None) -> None:
        """Follow `symbols`, the most important first; `told` says how far the engine has seen each."""
        if symbols != self.book.symbols:
            self.book.want(symbols, told)
            self.feed.want(symbols)

    def vix(self, at: Instant) -> None:
        """Ask for the VIX; the answer is an event."""
        del at
        self.beside(self._read_vix(), "the VIX")

    def read_imbalances(self) -> None:
        """Ask for the auction imbalances of what is followed; the answer is an event."""
        source = self._sources.imbalances
        if source is not None and not self._reading_imbalances:
            self._reading_imbalances = True
            self.beside(self._read_imbalances(source), "auction imbalances")

    async def _read_imbalances(self, source: ImbalanceSource) -> None:
        try:
            found = await source.imbalances(self.book.symbols[:IMBALANCES_MAX])
        finally:
            self._reading_imbalances = False
        if found:
            self.inbox.put(lambda now: ImbalancesRead(at=now, imbalances=found))

    def put_quotes(self, request: ReadPutQuotes) -> None:
        """Ask for puts; the answer is an event."""
        self.beside(self._read_puts(request), "put quotes")

    def beside(self, work: Awaitable[None], what: str) -> None:
        """Do `work` beside the session; what it cannot bear is reported as `what`."""
        task = watched(asyncio.ensure_future(_awaited(work)), what, self._report)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read_vix(self) -> None:
        reading: VixReading | None = None
        for source in self._sources.vix:
            try:
                reading = await source.vix()
            except (BrokerProblem, TbotError) as problem:
                self._note(f"the VIX: {problem}")
            if reading is not None:
                break
        self.inbox.put(lambda now: VixRead(at=now, reading=reading))

    async def _read_puts(self, request: ReadPutQuotes) -> None:
        source = self._sources.puts.get(request.broker)
        if source is None:
            problem = f"{request.broker} quotes no puts here"
            found = PutQuotesRead(at=request.at, trade_id=request.trade_id, quotes=(), problem=problem)
        else:
            found = await source.put_quotes(request)
        self.inbox.put(lambda now: replace(found, at=now))

    # --- bars and quotes ----------------------------------------------------------------------------------------------

    def hear(self) -> None:
        """Take in what the stream has told."""
        came = self.feed.take()
        self.book.add(came.bars)
        self._quotes.update(came.quotes)
        if came.halts:
            self.inbox.put(lambda now: HaltsTold(at=now, halts=came.halts))

    def streamed(self, until: Instant) -> None:
        """Take note that the stream has had time to tell all bars that ended by `until`."""
        since = {symbol: self.feed.streamed_since(symbol) for symbol in self.book.symbols}
        self.book.streamed(since, until, {symbol: self.feed.heard_until(symbol) for symbol in self.book.symbols})

    def ask_for_missing(self, until: Instant) -> None:
        """Begin to ask for the bars that may be missing, unless that is under way or was tried a moment ago."""
        if self._asking is not None and not self._asking.done():
            return
        if monotonic_seconds() < self._ask_again_at or not self.book.lacking(until):
            return
        self._ask_again_at = monotonic_seconds() + RETRY_SECONDS
        self._asking = watched(asyncio.create_task(self.fetch(until)), "missing bars", self._report)
        self._tasks.add(self._asking)
        self._asking.add_done_callback(self._tasks.discard)

    async def fetch(self, until: Instant) -> None:
        """Ask for the bars that may be missing up to `until`, and for quotes of what is not streamed."""
        for since, symbols in self.book.lacking(until).items():
            try:
                bars = await self.feed.bars(symbols, since, until)
                quotes = await self.feed.quotes(tuple(one for one in symbols if self.feed.streamed_since(one) is None))
            except BrokerProblem as problem:
                self._note(f"bars could not be asked for: {problem}")
                continue
            self.book.add(bars)
            self.book.answered(symbols, until)
            self._quotes.update((quote.symbol, quote) for quote in quotes)
        self.inbox.arrived.set()

    def take_quotes(self) -> tuple[Quote, ...]:
        """Return the newest quotes since the last call, by symbol."""
        found, self._quotes = self._quotes, {}
        followed = frozenset(self.book.symbols)
        return tuple(found[symbol] for symbol in sorted(found) if symbol in followed)

    def tell(self, at: Instant) -> Told:
        """Return the bars that can be told at the boundary `at`."""
        return self.book.tell(at)


async def _awaited(work: Awaitable[None]) -> None:
    await work


__all__ = ["ImbalanceSource", "Inbox", "LiveMarket", "LiveScreener", "MarketSources", "PutSource", "VixSource"]
