"""Interactive Brokers' market data for a session: bars of five seconds folded to minutes, quotes, history by request.

The first symbols, as many as the account's market data lines carry, are followed; the others are asked for. After a
new connection, and after the gateway said that subscriptions were lost (1101), everything is followed anew. What was
not heard meanwhile is a gap, which `streamed_since` and `heard_until` tell, so that it is asked for.

IB lets sixty subscriptions to such bars begin in ten minutes; whoever waits for his turn is asked for meanwhile.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.errors import BrokerProblem, BrokerRefused
from tbot_bot.core.halts import TradingHalt
from tbot_bot.core.instants import SECOND, Duration, Instant, minutes
from tbot_bot.core.token_bucket import Limit, TokenBucket
from tbot_bot.marketdata.five_seconds import MinuteFold
from tbot_bot.marketdata.live_feed import Arrived

SYMBOLS_MAX: Final = 40
"""Of the hundred lines that every account has, two for each symbol; the rest is for puts, the VIX and orders."""
BEGINNINGS: Final = (Limit(count=58, span=minutes(10)),)
"""IB counts sixty."""
TOO_MANY: Final = frozenset({101, 456})
"""The account has fewer lines than we ask for."""
LOOK_SECONDS: Final = 0.25
MUTE_SECONDS: Final = 60.0
"""A symbol of which nothing comes for so long, while others are heard, is followed anew."""
REST_SECONDS: Final = 300.0
"""Until a symbol that was refused is tried again."""
_ASKED_AT_ONCE: Final = 8
_FAILURES_BORNE: Final = 3
"""In a row, of one symbol while others are answered: then it has no bars, so that the others need not wait for it."""


class BarLine(Protocol):
    """The gateway, as far as a feed needs it."""

    @property
    def epoch(self) -> object | None:
        """Return what stands for the present connection and its data; None while it is down."""
        ...

    async def follow(self, symbol: str, heard: Callable[[Bar], None]) -> None:
        """Subscribe to quotes and to bars of five seconds, which go to `heard` as they end.

        Raises:
            BrokerProblem: no answer, or no such share.
        """
        ...

    def unfollow(self, symbol: str) -> None:
        """End the subscriptions, if there are any."""
        ...

    def refusal(self, symbol: str) -> tuple[int, str] | None:
        """Return code and words with which the gateway refused to go on telling `symbol`; None: it did not."""
        ...

    def take_quotes(self) -> Mapping[str, Quote]:
        """Return the newest quotes since the last call, of what is followed."""
        ...

    def take_halts(self) -> tuple[TradingHalt, ...]:
        """Return where trading was stopped, or goes on, since the last call, of what is followed."""
        ...

    async def minute_bars(self, symbol: str, start: Instant, end: Instant) -> tuple[Bar, ...]:
        """Return the complete bars of one minute.

        Raises:
            BrokerProblem: no answer, or no such share.
        """
        ...

    async def quote(self, symbol: str) -> Quote | None:
        """Return bid and ask; None where there is none.

        Raises:
            BrokerProblem: no answer, or no such share.
        """
        ...


@dataclass(slots=True)
class _Followed:
    fold: MinuteFold
    heard_at: float


class IbkrFeed:
    """A `LiveFeed`; nothing is subscribed to before `start`."""

    def __init__(
        self,
        line: BarLine,
        *,
        monotonic: Callable[[], float],
        note: Callable[[str], None],
        symbols_max: int = SYMBOLS_MAX,
        beginnings: tuple[Limit, ...] = BEGINNINGS,
    ) -> None:
        """`note` hears of troubles, in words; `symbols_max` are followed at once."""
        self._line, self._monotonic, self._note = line, monotonic, note
        self._limit = symbols_max
        self._turns = TokenBucket(beginnings)
        self.arrived = asyncio.Event()
        self._changed = asyncio.Event()
        self._wanted: tuple[str, ...] = ()
        self._epoch: object | None = None
        self._followed: dict[str, _Followed] = {}
        self._resting: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._waited = False
        self._bars: list[Bar] = []
        self._task: asyncio.Task[None] | None = None

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow, and go on until `close`; what fails is tried again."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Follow nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for symbol in tuple(self._followed):
            self._drop(symbol)

    # --- what a session asks ------------------------------------------------------------------------------------------

    def want(self, symbols: tuple[str, ...]) -> None:
        """Follow the first of `symbols`, as many as there are lines for."""
        self._wanted = tuple(dict.fromkeys(symbols))
        self._changed.set()

    def streamed_since(self, symbol: str) -> Instant | None:
        """Return the minute from which on no bar of `symbol` is missing."""
        known = self._followed.get(symbol)
        return None if known is None else known.fold.since

    def heard_until(self, symbol: str) -> Instant | None:
        """Return the end of the last five seconds that were told: a silent line is no quiet market."""
        known = self._followed.get(symbol)
        return None if known is None else known.fold.until

    def take(self) -> Arrived:
        """Return what has come since the last call."""
        bars, self._bars = self._bars, []
        self.arrived.clear()
        return Arrived(bars=tuple(bars), quotes=self._line.take_quotes(), halts=self._line.take_halts())

    async def bars(self, symbols: tuple[str, ...], since: Instant, until: Instant) -> tuple[Bar, ...]:
        """Return the minute bars of `symbols` from `since` on that end by `until`, and in which shares were traded.

        Raises:
            BrokerProblem: no answer for a symbol; one that is refused, or fails again and again, has no bars.
        """
        gate = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def of(symbol: str) -> tuple[Bar, ...] | BrokerProblem:
            async with gate:
                try:
                    return await self._line.minute_bars(symbol, since, until)
                except BrokerProblem as problem:
                    return problem

        answers = dict(zip(symbols, await asyncio.gather(*map(of, symbols)), strict=True))
        found: list[Bar] = []
        failed: list[BrokerProblem] = []
        some = any(not isinstance(answer, BrokerProblem) for answer in answers.values())
        for symbol, answer in answers.items():
            if not isinstance(answer, BrokerProblem):
                self._failures.pop(symbol, None)
                found += [bar for bar in answer if since <= bar.start and bar.end <= until and bar.volume > 0]
            elif not self._is_given_up(symbol, answer, others=some):
                failed.append(answer)
        if failed:
            raise failed[0]
        return tuple(found)

    async def quotes(self, symbols: tuple[str, ...]) -> tuple[Quote, ...]:
        """Return the newest quotes of symbols that are not followed, as many as there are lines to spare.

        Raises:
            BrokerProblem: no answer.
        """
        room = max(self._limit - len(self._followed), 0)
        found: list[Quote] = []
        for symbol in symbols[:room]:
            try:
                quote = await self._line.quote(symbol)
            except BrokerRefused:
                continue  # its bars are refused as well, and that is noted
            finally:
                if symbol not in self._followed:
                    self._line.unfollow(symbol)
            found += [quote] if quote is not None else []
        return tuple(found)

    def _is_given_up(self, symbol: str, problem: BrokerProblem, *, others: bool) -> bool:
        """Return whether nobody is to wait for the bars of `symbol`: it alone gives none."""
        failures = self._failures.get(symbol, 0) + 1
        self._failures[symbol] = failures
        over = isinstance(problem, BrokerRefused) or (others and failures >= _FAILURES_BORNE)
        if over and failures in {1, _FAILURES_BORNE}:
            self._note(f"{symbol} has no bars here: {problem}")
        return over

    # --- following ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self._keep()
            except BrokerProblem as problem:
                self._note(f"market data could not be followed: {problem}")
            except Exception as error:  # noqa: BLE001 - a defect here must not end the data of a session
                self._note(f"market data could not be followed: {type(error).__name__}: {error}")
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue  # nothing has changed, and it is time for a look all the same
            self._changed.clear()

    async def _keep(self) -> None:
        """Follow what is wanted over the connection as it is now."""
        epoch = self._line.epoch
        if epoch is None:
            return  # subscriptions may outlive it; what is not heard meanwhile is a gap
        if epoch != self._epoch:
            self._begin_anew(epoch)
        self._take_refusals()
        wanted = self._wanted[: self._limit]
        for symbol in [one for one in self._followed if one not in wanted]:
            self._drop(symbol)
        self._drop_mute()
        now = self._monotonic()
        for symbol in wanted:
            if symbol in self._followed or self._resting.get(symbol, now) > now:
                continue
            if not self._may_begin():
                return
            await self._follow(symbol)
            if self._line.epoch != self._epoch:
                return

    def _begin_anew(self, epoch: object) -> None:
        if self._epoch is not None:
            self._note("no market data by the stream: the line to the gateway was lost; data are asked for meanwhile")
        self._epoch = epoch
        for symbol in tuple(self._followed):
            self._drop(symbol)
        self._resting.clear()
        self.arrived.set()

    async def _follow(self, symbol: str) -> None:
        known = _Followed(MinuteFold(symbol), self._monotonic())

        def heard(piece: Bar) -> None:
            if self._followed.get(symbol) is not known:
                return
            known.heard_at = self._monotonic()
            bar = known.fold.add(piece)
            if bar is not None:
                self._bars.append(bar)
                self.arrived.set()

        self._followed[symbol] = known
        try:
            await self._line.follow(symbol, heard)
        except BrokerProblem as problem:
            self._rest(symbol, str(problem))

    def _may_begin(self) -> bool:
        wait = self._turns.take(Instant(int(self._monotonic() * SECOND)), urgent=False)
        if wait and not self._waited:
            self._note(
                f"IB begins no more than {BEGINNINGS[0].count} subscriptions in ten minutes: the next in "
                f"{Duration(wait) / SECOND:.0f} s; data are asked for meanwhile"
            )
        self._waited = bool(wait)
        return not wait

    def _take_refusals(self) -> None:
        for symbol in tuple(self._followed):
            refused = self._line.refusal(symbol)
            if refused is None:
                continue
            code, words = refused
            if code in TOO_MANY and len(self._followed) > 1:
                self._limit = len(self._followed) - 1
                self._note(f"the account has fewer market data lines than expected: {self._limit} symbols are followed")
                self._drop(symbol)
            else:
                self._rest(symbol, words)

    def _drop_mute(self) -> None:
        now = self._monotonic()
        latest = max((one.heard_at for one in self._followed.values()), default=now)
        for symbol, known in tuple(self._followed.items()):
            if latest - known.heard_at > MUTE_SECONDS:
                self._note(f"nothing was heard of {symbol} for {MUTE_SECONDS:.0f} s: it is followed anew")
                self._drop(symbol)

    def _rest(self, symbol: str, why: str) -> None:
        self._note(f"{symbol} is not followed by the stream: {why}; it is asked for")
        self._drop(symbol)
        self._resting[symbol] = self._monotonic() + REST_SECONDS

    def _drop(self, symbol: str) -> None:
        self._followed.pop(symbol, None)
        self._line.unfollow(symbol)


__all__ = ["BEGINNINGS", "SYMBOLS_MAX", "BarLine", "IbkrFeed"]
