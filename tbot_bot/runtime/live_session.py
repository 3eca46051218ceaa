"""One session on the market as it happens: the same engine and shell, fed by a broker's data and by real time.

A minute is told when all its bars have come, or a short grace after its end. Until then the engine's time stands at
the minute's end, whatever else comes: time never goes back, and a bar is judged at the instant at which it ended.
What comes later than that is told as history, which opens nothing.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.events import AccountsMarked, BarsClosed, EarlierToday, EntriesResumed, MarketOver, QuotesRead
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Duration, Instant, later
from tbot_bot.core.orders import Account
from tbot_bot.core.protocols import Broker, Clock
from tbot_bot.enhancements.imbalance_scanner_ibkr import PUBLISHED_BEFORE_BELL
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.link_health import LinkLimits
from tbot_bot.runtime.live_market import LiveMarket
from tbot_bot.runtime.pacers import Pacer
from tbot_bot.runtime.position_watch import PositionWatch
from tbot_bot.runtime.reconcile import BrokerReconciler, unanswered
from tbot_bot.runtime.session_base import SessionBase
from tbot_bot.runtime.session_controls import Controls
from tbot_bot.runtime.shell import SessionShell
from tbot_bot.runtime.watchdog_bot import LinkBoard

_POLL_SECONDS: Final = 0.02
"""How long a broker's event may wait to be seen; bars and people wake the session themselves."""
_LOOK_SECONDS: Final = 1.0
"""Between two looks of the watchdog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grace:
    """How long a minute's bars are waited for, in seconds of real time after its end."""

    bars: float = 2.5
    """Then the stream has told what there is: a share that did not trade has no bar."""
    act: float = 5.0
    """Bars that are told later than this open nothing."""
    missing: float = 8.0
    """For the answer to a request for missing bars; then time goes on without them."""


class SessionTime:
    """The session's own time: the clock's, but never beyond a minute that has not been told yet."""

    def __init__(self, clock: Clock) -> None:
        """Follow `clock`."""
        self._clock = clock
        self.until: Instant | None = None
        """The end of the minute that is told next; None: nothing is told yet."""

    def now(self) -> Instant:
        """Return the market time at which what happens now is taken."""
        now = self._clock.now()
        return now if self.until is None else min(now, self.until)

    def market_now(self) -> Instant:
        """Return the clock's own time."""
        return self._clock.now()


class LiveSession(SessionBase):
    """Feeds one shell from live sources until its session is over."""

    def __init__(
        self,
        *,
        shell: SessionShell,
        market: LiveMarket,
        brokers: Mapping[str, Broker],
        earlier: EarlierToday,
        pacer: Pacer,
        time: SessionTime,
        controls: Controls,
        grace: Grace | None = None,
        link_limits: LinkLimits | None = None,
        links: LinkBoard | None = None,
        foreign_told: Collection[str] = (),
    ) -> None:
        """`pacer` and `time` follow the same clock, which the brokers stamp their events by."""
        super().__init__(
            shell=shell,
            brokers=brokers,
            earlier=earlier,
            pacer=pacer,
            controls=controls,
            link_limits=link_limits,
            links=links,
            foreign_told=foreign_told,
        )
        self._market, self._time, self._grace = market, time, grace or Grace()
        self._reconciler = BrokerReconciler(shell, brokers, lambda: self._settle(every=False))
        self._positions = PositionWatch(
            shell,
            brokers,
            limits=link_limits or LinkLimits(),
            doubt=lambda name, why: self._watchdog.doubt(name, self._now(), why),
            foreign=self._foreign,
        )
        self._look_at = self._check_at = self._settle_at = 0.0
        self._listening_since = Instant(0)
        """Market time from which data are missed: what came before is fetched, and nobody is to blame for it."""
        self._marking = False
        self._imbalances_from = later(self._spec.windows.market_close, -PUBLISHED_BEFORE_BELL)

    # --- from beginning to end ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Screen, then tell the market minute by minute until the session is over."""
        try:
            if await self._until(self._spec.windows.screen_at):
                await self._screen()
                await self._tell()
        finally:
            await self._end()

    async def resume(self) -> None:
        """Go on after a replay: reconcile with each broker, ask for what was missed, and tell the rest of the day."""
        state = self._shell.engine.state
        try:
            await self._settle(every=True)
            for name in self._brokers:
                if not await self._reconciler.reconcile(name):
                    await self._watchdog.doubt(name, self._now(), "not reconciled after the restart")
            if state.verdicts:
                seen = {symbol: Instant(end) for symbol, end in state.last_seen.items()}
                self._market.follow(self._wanted(), seen)
                await self._shell.carry_out(unanswered(state))
            elif await self._until(self._spec.windows.screen_at):
                await self._screen()
            if state.suspended:  # it died over a jump of the clock; what was missed is told late
                await self._shell.take(EntriesResumed(at=self._now()))
            await self._tell()
        finally:
            await self._end()

    async def _screen(self) -> None:
        await self._begin(self._now())
        screening = asyncio.create_task(self._market.screen())
        try:
            while not screening.done() and not self._shell.ended:
                await asyncio.wait({screening}, timeout=_LOOK_SECONDS)
                await self._take_news()
                await self._watch()
            if not self._shell.ended:
                source, verdicts = await screening
                await self._screened(self._now(), source, verdicts)
        finally:
            screening.cancel()
            await asyncio.gather(screening, return_exceptions=True)

    async def _tell(self) -> None:
        """Tell what comes, as it comes, until the session is over."""
        book, close = self._market.book, self._spec.windows.market_close
        first = max(self._pacer.now() or self._shell.at, self._shell.at)
        self._time.until = book.floor(first) if book.floor(first) >= self._shell.at else book.following(first)
        self._telling, self._listening_since = True, first
        while not self._shell.ended and self._boundary <= close:
            await self._mind_the_clock()
            await self._take_news()
            await self._tell_minute()
            await self._watch()
            await self._pause()
        await self._take_news()
        if not self._shell.ended:
            await self._shell.take(MarketOver(at=self._now()))

    async def _end(self) -> None:
        self._watchdog.close()
        self._positions.close()
        await self._market.close()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _now(self) -> Instant:
        return max(self._time.now(), self._shell.at)

    @property
    def _boundary(self) -> Instant:
        """Return the end of the minute that is told next."""
        return self._time.until or self._spec.windows.bell

    async def _pause(self) -> None:
        """Wait until something has come, or a moment has passed."""
        if self._shell.ended:
            return
        events = (self._controls.asked, self._market.inbox.arrived, self._market.feed.arrived)
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _catch_up(self, now: Instant) -> None:
        """After a jump of the clock: look every order up, and tell what was missed as history."""
        until = self._market.book.floor(now)
        self._time.until, self._listening_since = self._market.book.following(now), now
        await self._settle(every=True)
        self._market.hear()
        await self._market.fetch(until)
        told = self._market.tell(until)
        if told.late or told.now:
            await self._shell.take(BarsClosed(at=max(until, self._shell.at), bars=told.late + told.now, backfill=True))

    # --- what comes ---------------------------------------------------------------------------------------------------

    async def _take_news(self) -> None:
        """Take what people, brokers and answered questions have to say."""
        if self._controls.asked.is_set():
            await self._tell_quotes()  # an answer of a person may open a position
            await self._take_controls()
        for broker in self._brokers.values():
            for event in broker.drain():
                if self._is_known(event):
                    await self._shell.take(event)
        if (
            self._shell.doubted and monotonic_seconds() >= self._settle_at
        ):  # a broker that hangs is not asked in a storm
            self._settle_at = monotonic_seconds() + _LOOK_SECONDS
            await self._settle(every=False)
        answers = self._market.inbox.take()
        if answers:
            self._market.hear()
            await self._tell_quotes()
        for make in answers:
            await self._shell.take(make(self._now()))
        self._market.hear()

    async def _tell_quotes(self) -> None:
        """Tell the newest quotes, before something that may open a position: the checks hold it against them."""
        quotes = self._market.take_quotes()
        if quotes:
            await self._shell.take(QuotesRead(at=self._now(), quotes=quotes))

    async def _tell_minute(self) -> None:
        """Tell the minute that has ended, if its bars are there or have been waited for."""
        now, boundary = self._pacer.now(), self._boundary
        if now is None or now < boundary:
            return
        overdue = self._pacer.real_seconds(Duration(now - boundary)) or 0.0
        market = self._market
        if market.book.silent(boundary) and overdue < self._grace.bars:
            return
        market.streamed(boundary)
        lacking = market.book.lacking(boundary)
        if lacking:
            market.ask_for_missing(boundary)
            if overdue < self._grace.missing:
                return
        told = market.tell(boundary)
        await self._tell_quotes()
        if told.late:
            await self._shell.take(BarsClosed(at=boundary, bars=told.late, backfill=True))
        if lacking or overdue > self._grace.act:  # blind, or too late to act on: time goes on, nothing is opened
            await self._shell.take(BarsClosed(at=boundary, bars=told.now, backfill=True))
        if not lacking:
            bars = () if overdue > self._grace.act else told.now
            await self._shell.take(BarsClosed(at=boundary, bars=bars))
        self._time.until = max(market.book.following(boundary), market.book.floor(self._pacer.now() or boundary))
        market.follow(self._wanted())
        self._mark_beside()
        if self._spec.strategy is StrategyName.CLOSE and self._boundary >= self._imbalances_from:
            market.read_imbalances()

    def _wanted(self) -> tuple[str, ...]:
        """Return what is to be followed: what is traded first, then the candidates by rank, then their funds."""
        state = self._shell.engine.state
        traded = [symbol for trade in state.active_trades() for symbol in (trade.watched, trade.symbol) if symbol]
        watched = frozenset(state.watched)
        return tuple(dict.fromkeys([*(symbol for symbol in traded if symbol in watched), *state.watched]))

    # --- looking after it ---------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Let the watchdog and the protective stops have their look, when it is time."""
        now = monotonic_seconds()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            await self._watchdog.look(self._now(), data_late=self._data_late())
            await self._positions.look()
        if self._telling and now >= self._check_at:
            self._check_at = now + (self._patience() or 0.0)
            await self._protection.check(self._now())

    def _data_late(self) -> float:
        """Return for how many seconds of real time the oldest missing bar has been overdue."""
        now = self._pacer.now()
        if now is None or not self._telling:
            return 0.0
        since = min(self._market.book.lacking(self._boundary), default=self._boundary)
        due = self._market.book.following(since) if since < self._boundary else self._boundary
        due = max(due, self._listening_since)
        return max(self._pacer.real_seconds(Duration(now - due)) or 0.0, 0.0)

    def _mark_beside(self) -> None:
        """Read beside the session what the accounts are worth, while something is open."""
        state = self._shell.engine.state
        names = dict.fromkeys(trade.broker for trade in state.active_trades() if trade.entered_at is not None)
        if names and not self._marking:
            self._marking = True
            self._market.beside(self._read_marks(tuple(names)), "account marks")

    async def _read_marks(self, names: tuple[str, ...]) -> None:
        accounts: list[Account] = []
        try:
            for name in names:
                try:
                    accounts.append(await self._brokers[name].account())
                except BrokerUnavailable:
                    continue  # the last mark stands until it answers
        finally:
            self._marking = False
        if accounts:
            self._market.inbox.put(lambda at: AccountsMarked(at=at, accounts=tuple(accounts)))


__all__ = ["Grace", "LiveSession", "SessionTime"]
