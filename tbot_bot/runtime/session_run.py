"""One session on the embedded market, from screening to its report; the same for dry runs and the runner process."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tbot_bot.broker.broker_sim import SimulatedBroker
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.events import AccountsRead, BarsClosed, EarlierToday, Event, MarketOver, ScreenCompleted
from tbot_bot.core.instants import Instant
from tbot_bot.core.protocols import Clock
from tbot_bot.runtime.embedded_market import EmbeddedMarket, Step
from tbot_bot.runtime.reconcile import missed_fills, settle_order, unanswered
from tbot_bot.runtime.shell import SessionShell, stop_event


class Pacer(Protocol):
    """Decides when the market's next step may be told."""

    def now(self) -> Instant | None:
        """Return the market time, None where it is as late as one likes (a dry run at full speed)."""
        ...

    async def wait_until(self, at: Instant) -> None:
        """Return when the market may be told up to `at`."""
        ...


class FullSpeed:
    """No waiting: a dry run as fast as it goes."""

    def now(self) -> Instant | None:
        """Return None: the market's time is the data's."""
        return None

    async def wait_until(self, _: Instant) -> None:
        """Let other tasks have a turn."""
        await asyncio.sleep(0)


class ClockPacer:
    """Market time as a clock tells it: real, or compressed in test mode."""

    def __init__(self, clock: Clock) -> None:
        """Follow `clock`."""
        self._clock = clock

    def now(self) -> Instant | None:
        """Return the clock's market time."""
        return self._clock.now()

    async def wait_until(self, at: Instant) -> None:
        """Return when the clock has reached `at`."""
        await self._clock.sleep_until(at)


@dataclass(slots=True)
class Controls:
    """Requests that reached the process from outside; taken between two steps of the market, and while it waits."""

    waiting: list[Callable[[Instant], Event]]
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while something waits."""

    def ask(self, make: Callable[[Instant], Event]) -> None:
        """Hand over a request; `make` gives the event at the market time at which it is taken."""
        self.waiting.append(make)
        self.asked.set()

    def stop(self, *, by: str, why: str, kill: bool = False) -> None:
        """Ask the session to stop safely, or to kill."""
        self.ask(lambda at: stop_event(at, by=by, why=why, kill=kill))

    def take(self) -> list[Callable[[Instant], Event]]:
        """Return what waits, oldest first, and wait for more."""
        waiting, self.waiting = self.waiting, []
        self.asked.clear()
        return waiting


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
    ) -> None:
        """`each_step` is awaited after every step of the market: heartbeat, status, flags."""
        self._shell, self._market, self._brokers = shell, market, brokers
        self._earlier, self._pacer, self._controls = earlier, pacer, controls
        self._each_step = each_step
        self._spec = shell.engine.spec

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
        for event in await missed_fills(state, self._brokers, self._spec.windows.bell):
            await self._shell.take(event)
        await self._settle(every=True)
        if not state.verdicts:
            if not await self._until(self._spec.windows.screen_at):
                return
            await self._open(at)
        else:
            await self._backfill(at)
            await self._shell.carry_out(unanswered(state))
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
        accounts = tuple([await broker.account() for broker in self._brokers.values()])
        await self._shell.take(AccountsRead(at=at, accounts=accounts))
        await self._shell.take(self._earlier)
        verdicts = self._market.screen(at)
        await self._shell.take(ScreenCompleted(at=at, source="embedded", verdicts=verdicts))

    async def _tell(self, since: Instant) -> None:
        for step in self._market.steps(since):
            await self._take_controls()
            if self._shell.ended:
                return
            if step.start > self._shell.at:  # the bell: a boundary of its own, which no bar has ended at
                if not await self._until(step.start):
                    return
                await self._shell.take(BarsClosed(at=step.start, bars=()))
            if not await self._until(step.end):
                return
            await self._venues(step)
            await self._shell.take(self._market.closed(step))
            await self._settle(every=False)
            if self._each_step is not None:
                await self._each_step()
        await self._take_controls()
        if not self._shell.ended:
            await self._shell.take(MarketOver(at=max(self._shell.at, self._spec.windows.market_close)))

    async def _venues(self, step: Step) -> None:
        """Let the venues trade the step: its opening price, what answers to that, then the rest of the bar."""
        for broker in self._brokers.values():
            broker.step_open(step.start, step.bars)
            await self._take_all(broker)
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
                if step.end > at:
                    break
                broker.step_open(step.start, step.bars)
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

        Requests are taken while it waits: at real speed the next bar is a minute away.
        """
        reached = asyncio.ensure_future(self._pacer.wait_until(at))
        try:
            while not reached.done() and not self._shell.ended:
                asked = asyncio.ensure_future(self._controls.asked.wait())
                await asyncio.wait({reached, asked}, return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
                await self._take_controls()
            if reached.done():
                reached.result()  # the clock's own troubles, if any
            return not self._shell.ended
        finally:
            reached.cancel()

    async def _take_controls(self) -> None:
        for make in self._controls.take():
            await self._shell.take(make(self._shell.at))
