"""What every session does, wherever its market comes from: controls, watchdog, stops, orders in doubt, accounts."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from tbot_bot.config.scrub import scrub
from tbot_bot.core.errors import BrokerProblem, BrokerUnavailable
from tbot_bot.core.events import (
    AccountsMarked,
    BarsClosed,
    EarlierToday,
    EntriesResumed,
    EntriesSuspended,
    OrderEvent,
    OrderFilled,
    OrderRejected,
    ScreenCompleted,
)
from tbot_bot.core.instants import SECOND, Duration, Instant, later
from tbot_bot.core.protocols import Broker
from tbot_bot.core.screening import Verdict
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.foreign_watch import ForeignOrders, foreign_orders_of
from tbot_bot.runtime.link_health import LinkLimits
from tbot_bot.runtime.pacers import Pacer
from tbot_bot.runtime.protection_monitor import CHECK_EVERY, CHECK_SECONDS_MIN, ProtectionMonitor
from tbot_bot.runtime.reconcile import BrokerReconciler, missed_fills, read_accounts, settle_order
from tbot_bot.runtime.session_controls import Controls
from tbot_bot.runtime.shell import SessionShell
from tbot_bot.runtime.watchdog_bot import LinkBoard, Watchdog
from tbot_bot.trading.orders_bot import OrderState


class SessionBase(ABC):
    """One shell, its brokers and what looks after both; how the market is told is the subclass's business."""

    def __init__(
        self,
        *,
        shell: SessionShell,
        brokers: Mapping[str, Broker],
        earlier: EarlierToday,
        pacer: Pacer,
        controls: Controls,
        link_limits: LinkLimits | None = None,
        links: LinkBoard | None = None,
        foreign_told: Collection[str] = (),
    ) -> None:
        """`link_limits` say how patient the watchdog is, which leaves on `links` how brokers and data are.

        `foreign_told`: brokers of whose orders by others a person was told today.
        """
        self._shell, self._brokers = shell, brokers
        self._earlier, self._pacer, self._controls = earlier, pacer, controls
        self._spec = shell.engine.spec
        self._telling = False
        self._suspended = False
        """Whether a jump of the clock has stopped entries."""
        self._foreign = ForeignOrders(shell, foreign_told)
        self._protection = ProtectionMonitor(shell, brokers, lambda: self._settle(every=False))
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

    @abstractmethod
    async def run(self) -> None:
        """Screen, then tell the market until the session is over."""

    @abstractmethod
    async def resume(self) -> None:
        """Go on after a replay: reconcile, catch up, and tell the rest of the day."""

    @abstractmethod
    async def _catch_up(self, now: Instant) -> None:
        """Tell late what was missed until `now`, while the clock jumped."""

    # --- the beginning ------------------------------------------------------------------------------------------------

    async def _begin(self, at: Instant) -> None:
        """Tell what is in the accounts, and what earlier sessions left."""
        read, silent = await read_accounts(at, self._brokers)
        await self._shell.take(read)
        for name in (one for one in self._brokers if one not in silent):
            await self._tell_foreign(name, at)
        for name, why in silent.items():
            await self._watchdog.doubt(name, at, why)
        await self._shell.take(self._earlier)

    async def _tell_foreign(self, name: str, at: Instant) -> None:
        """Tell which orders of others rest in the account."""
        try:
            found = self._foreign.news(name, await foreign_orders_of(self._brokers[name]))
        except (BrokerProblem, BrokerUnavailable) as problem:
            await self._watchdog.doubt(name, at, f"its orders cannot be listed: {scrub(str(problem))}")
            return
        if found is not None:
            await self._shell.take(found)

    async def _screened(self, at: Instant, source: str, verdicts: tuple[Verdict, ...]) -> None:
        await self._shell.take(ScreenCompleted(at=at, source=source, verdicts=verdicts))

    async def _take_missed(self, at: Instant) -> None:
        """Take the executions that came while no process listened; a broker without an answer is doubted."""
        for name, broker in self._brokers.items():
            try:
                missed = await missed_fills(self._shell.engine.state, {name: broker}, self._spec.windows.bell)
            except BrokerUnavailable as problem:
                await self._watchdog.doubt(name, at, str(problem))
                continue
            for event in missed:
                await self._shell.take(event)

    def _is_known(self, event: OrderEvent) -> bool:
        """Return whether `event` is about an order of this session: an account may be shared, and days have others.

        A refusal of an order that counts as refused already is none: a look-up and the stream both tell it.
        """
        order_id = event.fill.client_order_id if isinstance(event, OrderFilled) else event.client_order_id
        order = self._shell.engine.state.orders.get(order_id)
        if order is None:
            return False
        return not (isinstance(event, OrderRejected) and order.state is OrderState.REJECTED)

    # --- while it runs ------------------------------------------------------------------------------------------------

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

    async def _settle(self, *, every: bool) -> None:
        """Look up orders whose fate is in doubt (`every`: all open ones), and act on what the broker says.

        A broker that gives no answer is asked no more this time: the session would stand still for each order.
        """
        state, doubted = self._shell.engine.state, self._shell.doubted
        silent: set[str] = set()
        if every:
            doubted.update(dict.fromkeys(order_id for order_id, order in state.orders.items() if order.is_open))
        for order_id in list(doubted):
            order = state.orders.get(order_id)
            if order is None or not order.is_open:
                doubted.pop(order_id, None)
                continue
            try:
                if order.request.broker in silent:
                    continue
                events, commands = await settle_order(state, self._brokers[order.request.broker], order)
            except BrokerUnavailable:
                silent.add(order.request.broker)
                # asked again after the next step, and then it is not the first
                doubted[order_id] = doubted.pop(order_id)
                continue
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
        await self._catch_up(now)
        if self._shell.at < now:  # nothing was missed; but time has passed, and who watches our data has to hear of it
            await self._shell.take(BarsClosed(at=now, bars=()))
        self._suspended = False
        await self._shell.take(EntriesResumed(at=max(now, self._shell.at)))

    async def _take_controls(self) -> None:
        for make in self._controls.take():
            await self._shell.take(make(self._shell.at))


__all__ = ["SessionBase"]
