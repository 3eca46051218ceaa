"""One session on the embedded market, from screening to its report; the same for dry runs and the runner process."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from tbot_bot.broker.broker_sim import SimulatedBroker
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.events import (
    AccountsMarked,
    BarsClosed,
    EarlierToday,
    EntriesResumed,
    EntriesSuspended,
    MarketOver,
    ScreenCompleted,
)
from tbot_bot.core.instants import SECOND, Duration, Instant, later
from tbot_bot.core.protocols import Clock
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.clock_watch import SUSPENDS_ABOVE, ClockJump, ClockWatch
from tbot_bot.runtime.embedded_market import EmbeddedMarket, Step
from tbot_bot.runtime.link_health import LinkLimits
from tbot_bot.runtime.protection_monitor import CHECK_EVERY, CHECK_SECONDS_MIN, ProtectionMonitor
from tbot_bot.runtime.reconcile import BrokerReconciler, missed_fills, read_accounts, settle_order, unanswered
from tbot_bot.runtime.session_controls import Controls
from tbot_bot.runtime.shell import SessionShell
from tbot_bot.runtime.watchdog_bot import LinkBoard, Watchdog

_COMPARE_SECONDS: Final = 0.5
"""Longest uninterrupted sleep: the wall clock may be set while we sleep, and then market time has moved too."""


class Pacer(Protocol):
    """Decides when the market's next step may be told."""

    def now(self) -> Instant | None:
        """Return the market time, None where it is as late as one likes (a dry run at full speed)."""
        ...

    async def wait_until(self, at: Instant) -> None:
        """Return when the market may be told up to `at`, or as soon as the clock has jumped."""
        ...

    def interruption(self) -> str:
        """Return the jump of the clock that may have left a hole in what was told, once; empty where there was none."""
        ...

    def real_seconds(self, span: Duration) -> float | None:
        """Return how many seconds of a real clock `span` takes; None where nothing takes any time."""
        ...


class FullSpeed:
    """No waiting: a dry run as fast as it goes."""

    def now(self) -> Instant | None:
        """Return None: the market's time is the data's."""
        return None

    async def wait_until(self, _: Instant) -> None:
        """Let other tasks have a turn."""
        await asyncio.sleep(0)

    def interruption(self) -> str:
        """Return nothing: there is no clock."""
        return ""

    def real_seconds(self, _: Duration) -> None:
        """Return None: nothing takes any time."""
        return


class ClockPacer:
    """Market time as a clock tells it: real, or compressed in test mode."""

    def __init__(
        self, clock: Clock, watch: ClockWatch | None = None, noticed: Callable[[ClockJump], None] = lambda _: None
    ) -> None:
        """Follow `clock`; `noticed` hears of each jump of the machine's clock that `watch` sees."""
        self._clock, self._watch, self._noticed = clock, watch or ClockWatch(), noticed
        self._interruption = ""

    def now(self) -> Instant | None:
        """Return the clock's market time."""
        return self._clock.now()

    async def wait_until(self, at: Instant) -> None:
        """Return when the clock has reached `at`, or has jumped; both clocks are compared at least every second."""
        while (left := Duration(at - self._clock.now())) > 0 and not self._has_jumped():  # noqa: ASYNC110 - time
            await asyncio.sleep(min(self._clock.real_seconds(left), _COMPARE_SECONDS))
        await asyncio.sleep(0)

    def interruption(self) -> str:
        """Return the last jump that was more than a few seconds of market time, once."""
        self._has_jumped()
        found, self._interruption = self._interruption, ""
        return found

    def real_seconds(self, span: Duration) -> float:
        """Return how many seconds of a real clock `span` takes."""
        return self._clock.real_seconds(span)

    def _has_jumped(self) -> bool:
        jump = self._watch.look()
        if jump is None:
            return False
        self._noticed(jump)
        if abs(jump.by) > self._clock.real_seconds(SUSPENDS_ABOVE) * SECOND:
            self._interruption = str(jump)
        return True


class SessionRun:
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
        """`each_step` is awaited after every step of the market: heartbeat, status, flags.

        `link_limits` say how patient the watchdog is, which leaves on `links` how brokers and data are.
        """
        self._shell, self._market, self._brokers = shell, market, brokers
        self._earlier, self._pacer, self._controls = earlier, pacer, controls
        self._spec = shell.engine.spec
        self._telling = False
        self._suspended = False
        """Whether a jump of the clock has stopped entries."""
        self._protection = ProtectionMonitor(shell, brokers, lambda: self._settle(every=False))
        self._each_step = each_step
        at_full_speed = pacer.now() is None
        self._watchdog = Watchdog(
            shell,
            brokers,
            limits=link_limits or LinkLimits(),
            reconcile=BrokerReconciler(shell, brokers, lambda: self._settle(every=False)).reconcile,
            market_now=lambda: pacer.now() or shell.at,
            seconds=(lambda: shell.at / SECOND) if at_full_speed else monotonic_seconds,
            measures=not at_full_speed,
            board=links,
        )
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
        for name, broker in self._brokers.items():
            try:
                missed = await missed_fills(state, {name: broker}, self._spec.windows.bell)
            except BrokerUnavailable as problem:
                await self._watchdog.doubt(name, at, str(problem))
                continue
            for event in missed:
                await self._shell.take(event)
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
        read, silent = await read_accounts(at, self._brokers)
        await self._shell.take(read)
        for name, why in silent.items():
            await self._watchdog.doubt(name, at, why)
        await self._shell.take(self._earlier)
        verdicts = self._market.screen(at)
        await self._shell.take(ScreenCompleted(at=at, source="embedded", verdicts=verdicts))

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
        await self._take_controls()
        if not self._shell.ended:
            await self._shell.take(MarketOver(at=max(self._shell.at, self._spec.windows.market_close)))

    async def _mark_accounts(self, at: Instant) -> None:
        """Tell what the accounts are worth while something is open: the day's limits count that too."""
        state = self._shell.engine.state
        names = dict.fromkeys(trade.broker for trade in state.active_trades() if trade.entered_at is not None)
        accounts = []
        for name in names:
            try:
                accounts.append(await self._brokers[name].account())
            except BrokerUnavailable:
                continue  # the last mark stands until it answers
        if accounts:
            await self._shell.take(AccountsMarked(at=at, accounts=tuple(accounts)))

    async def _reached(self, step: Step, at: Instant) -> bool:
        """Wait for `at` and return whether `step` is still to be told: not after the end, nor what was caught up on."""
        return step.end > self._caught_up and await self._until(at) and step.end > self._caught_up

    async def _open_venues(self, step: Step) -> None:
        """Let the venues trade the opening prices as the step begins: what is sent during it comes after them."""
        for broker in self._brokers.values():
            broker.step_open(step.start, step.bars)
            await self._take_all(broker)

    async def _range_venues(self, step: Step) -> None:
        """Let the venues trade the rest of the step, and what answers to that."""
        for broker in self._brokers.values():
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
        for broker in self._brokers.values():
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
        orders = self._shell.engine.state.orders
        for event in broker.drain():
            order_id = getattr(event, "client_order_id", "") or getattr(
                getattr(event, "fill", None), "client_order_id", ""
            )
            if order_id in orders:
                await self._shell.take(event)

    async def _settle(self, *, every: bool) -> None:
        """Look up orders whose fate is in doubt (`every`: all open ones), and act on what the broker says."""
        state, doubted = self._shell.engine.state, self._shell.doubted
        if every:
            doubted.update(dict.fromkeys(order_id for order_id, order in state.orders.items() if order.is_open))
        for order_id in list(doubted):
            order = state.orders.get(order_id)
            if order is None or not order.is_open:
                doubted.pop(order_id, None)
                continue
            try:
                events, commands = await settle_order(state, self._brokers[order.request.broker], order)
            except BrokerUnavailable:
                continue  # asked again after the next step
            doubted.pop(order_id, None)
            for event in events:
                await self._shell.take(event)
            await self._shell.carry_out(commands)

    async def _until(self, at: Instant) -> bool:
        """Wait until the market may be told up to `at` and return whether the session goes on.

        Requests are taken while it waits: at real speed the next bar is a minute away. So are jumps of the clock.
        """
        while not self._shell.ended:
            # set back: nothing is told before the clock is where the engine is
            await self._wait(min(at, self._shell.at) if self._suspended else at)
            await self._mind_the_clock()
            now = self._pacer.now()
            if now is None or now >= at:
                break
        return not self._shell.ended

    async def _wait(self, at: Instant) -> None:
        reached = asyncio.ensure_future(self._pacer.wait_until(at))
        try:
            while not reached.done() and not self._shell.ended:
                asked = asyncio.ensure_future(self._controls.asked.wait())
                await asyncio.wait({reached, asked}, timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
                await self._take_controls()
                if reached.done():
                    break
                await self._watchdog.look(self._pacer.now() or self._shell.at, data_late=self._data_late())
                if self._telling:
                    await self._protection.check(self._pacer.now() or self._shell.at)
            if reached.done():
                reached.result()  # the clock's own troubles, if any
        finally:
            reached.cancel()

    def _data_late(self) -> float:
        """Return for how many seconds of real time the next bars have been overdue."""
        now, windows = self._pacer.now(), self._spec.windows
        if now is None or not self._telling:
            return 0.0
        due = later(max(self._shell.at, windows.bell, windows.start), windows.bar_span)
        return max(self._pacer.real_seconds(Duration(now - due)) or 0.0, 0.0)

    def _patience(self) -> float | None:
        """Return after how many seconds of waiting the protective stops are looked after; None: no waiting at all."""
        seconds = self._pacer.real_seconds(CHECK_EVERY)
        return None if seconds is None else max(seconds, CHECK_SECONDS_MIN)

    async def _mind_the_clock(self) -> None:
        """Stop entries when the clock has jumped, and let them go on when what was missed has been told late.

        Market time never goes back: where the clock was set back, that is when it has come to where the engine is.
        """
        why = self._pacer.interruption()
        if why and self._telling:
            self._suspended = True
            await self._shell.take(EntriesSuspended(at=self._shell.at, reason=why))
        now = self._pacer.now()
        if not self._suspended or now is None or now < self._shell.at:
            return
        self._caught_up = now
        await self._catch_up_venues(now)
        await self._settle(every=True)
        await self._backfill(now)
        if self._shell.at < now:  # nothing was missed; but time has passed, and who watches our data has to hear of it
            await self._shell.take(BarsClosed(at=now, bars=()))
        self._suspended = False
        await self._shell.take(EntriesResumed(at=max(now, self._shell.at)))

    async def _take_controls(self) -> None:
        for make in self._controls.take():
            await self._shell.take(make(self._shell.at))


__all__ = ["ClockPacer", "Controls", "FullSpeed", "Pacer", "SessionRun"]
