"""One session on the embedded market, from screening to its report; the same for dry runs and the runner process."""

from collections.abc import Awaitable, Callable, Mapping

from tbot_bot.broker.broker_sim import SimulatedBroker
from tbot_bot.core.events import BarsClosed, EarlierToday, EntriesResumed, MarketOver
from tbot_bot.core.instants import Instant, later
from tbot_bot.runtime.embedded_market import EmbeddedMarket, Step
from tbot_bot.runtime.link_health import LinkLimits
from tbot_bot.runtime.pacers import ClockPacer, FullSpeed, Pacer
from tbot_bot.runtime.reconcile import unanswered
from tbot_bot.runtime.session_base import SessionBase
from tbot_bot.runtime.session_controls import Controls
from tbot_bot.runtime.shell import SessionShell
from tbot_bot.runtime.watchdog_bot import LinkBoard


class SessionRun(SessionBase):
    """Feeds one shell from the embedded market until its session is over."""

    def __init__(
        self,
        *,
        shell: SessionShell,
        market: EmbeddedMarket,
        brokers: Mapping[str, SimulatedBroker],
        earlier: EarlierToday,
        pacer: Pacer,
        controls: Controls,
        each_step: Callable[[], Awaitable[None]] | None = None,
        link_limits: LinkLimits | None = None,
        links: LinkBoard | None = None,
    ) -> None:
        """`each_step` is awaited after every step of the market; for the rest see `SessionBase`."""
        super().__init__(
            shell=shell,
            brokers=brokers,
            earlier=earlier,
            pacer=pacer,
            controls=controls,
            link_limits=link_limits,
            links=links,
        )
        self._market, self._venues, self._each_step = market, brokers, each_step
        self._caught_up = Instant(0)
        """Market time up to which the bars have been told late, after a jump."""

    async def run(self) -> None:
        """Screen, then tell the market step by step until the session is over."""
        windows = self._spec.windows
        if not await self._until(windows.screen_at):
            return
        at = self._pacer.now() or windows.screen_at
        await self._catch_up_venues(at)
        await self._open(max(at, windows.screen_at))
        await self._tell(at)

    async def resume(self) -> None:
        """Go on after a replay: reconcile, catch up, and tell the rest of the day."""
        state = self._shell.engine.state
        at = max(self._pacer.now() or state.at, state.at, self._spec.windows.screen_at)
        await self._catch_up_venues(at)
        await self._take_missed(at)
        await self._settle(every=True)
        if not state.verdicts:
            if not await self._until(self._spec.windows.screen_at):
                return
            await self._open(at)
        else:
            await self._backfill(at)
            await self._shell.carry_out(unanswered(state))
        if state.suspended:  # it died over a jump of the clock; now everything has been told
            await self._shell.take(EntriesResumed(at=self._shell.at))
        await self._tell(at)

    async def _backfill(self, at: Instant) -> None:
        """Tell what the engine has not seen of its symbols; the bars that end just now are not late.

        That may be more than what came after the last input: a fill at a bar's end, or the screening, may be
        journaled without the bars of its instant.
        """
        state = self._shell.engine.state
        self._market.watch(tuple(state.watched), at)
        missed = self._market.history(at, since=Instant(max(state.last_seen.values(), default=0)))
        if missed is None:
            return
        late = tuple(bar for bar in missed.bars if bar.end < at)
        if late:
            await self._shell.take(BarsClosed(at=at, bars=late, backfill=True))
        await self._shell.take(BarsClosed(at=at, bars=missed.bars[len(late) :]))

    async def _open(self, at: Instant) -> None:
        await self._begin(at)
        await self._screened(at, "embedded", self._market.screen(at))

    async def _tell(self, since: Instant) -> None:
        """Tell the market from the step that is under way at `since`."""
        self._telling = True
        for step in self._market.steps(later(since, 1 - self._market.day.span)):
            if not await self._reached(step, step.start):
                continue
            if step.start > self._shell.at:  # the bell: a boundary of its own, which no bar has ended at
                await self._shell.take(BarsClosed(at=step.start, bars=()))
            await self._open_venues(step)
            if not await self._reached(step, step.end):
                continue
            await self._range_venues(step)
            await self._shell.take(self._market.closed(step))
            await self._mark_accounts(step.end)
            await self._settle(every=False)
            await self._watchdog.look(step.end, data_late=self._data_late())
            await self._protection.check(step.end)
            if self._each_step is not None:
                await self._each_step()
        self._watchdog.close()
        await self._take_controls()
        if not self._shell.ended:
            await self._shell.take(MarketOver(at=max(self._shell.at, self._spec.windows.market_close)))

    async def _reached(self, step: Step, at: Instant) -> bool:
        """Wait for `at` and return whether `step` is still to be told: not after the end, nor what was caught up on."""
        return step.end > self._caught_up and await self._until(at) and step.end > self._caught_up

    async def _catch_up(self, now: Instant) -> None:
        """Let the venues live through what a jump left out, look every order up, and tell the bars late."""
        self._caught_up = now
        await self._catch_up_venues(now)
        await self._settle(every=True)
        await self._backfill(now)

    async def _open_venues(self, step: Step) -> None:
        """Let the venues trade the opening prices as the step begins: what is sent during it comes after them."""
        for broker in self._venues.values():
            broker.step_open(step.start, step.bars)
            await self._take_all(broker)

    async def _range_venues(self, step: Step) -> None:
        """Let the venues trade the rest of the step, and what answers to that."""
        for broker in self._venues.values():
            if step.end <= (broker.last_step or 0):
                continue  # the session before this one, which still held something, has come further
            while broker.step_range(step.end, step.bars):
                await self._take_all(broker)

    async def _take_all(self, broker: SimulatedBroker) -> None:
        for event in broker.drain():
            await self._shell.take(event)
        await self._settle(every=False)

    async def _catch_up_venues(self, at: Instant) -> None:
        """Let the venues live through what they missed while no process drove them."""
        for broker in self._venues.values():
            since = broker.last_step or self._spec.windows.bell  # without an order yet the store has no clock
            for step in self._market.steps(since):
                if step.start >= at:
                    break
                broker.step_open(step.start, step.bars)
                if step.end > at:
                    break
                broker.step_range(step.end, step.bars)
            await self._take_known(broker)

    async def _take_known(self, broker: SimulatedBroker) -> None:
        for event in broker.drain():
            if self._is_known(event):
                await self._shell.take(event)


__all__ = ["ClockPacer", "Controls", "FullSpeed", "Pacer", "SessionRun"]
