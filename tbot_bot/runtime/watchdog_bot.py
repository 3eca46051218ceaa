"""The watchdog over brokers and data: asks each broker every few seconds, and tells the session what it finds.

What it finds enters the engine as events, and only where it changes. A link that answers again is restored only
after its broker's orders, fills and positions have been reconciled. The questions are asked beside the session: a
broker that hangs keeps nobody waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tbot_bot.config.scrub import scrub
from tbot_bot.core.circuit import CircuitReading, HasCircuits
from tbot_bot.core.errors import BrokerProblem
from tbot_bot.core.events import MARKET_DATA, BrokerLost, LinkImpaired, LinkRestored, LinkState
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.core.protocols import Broker
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.link_health import (
    Finding,
    Latencies,
    LinkLimits,
    LinkSigns,
    answered,
    failed,
    judge,
    judge_data,
)
from tbot_bot.runtime.shell import SessionShell

PROMPT_SECONDS: Final = 0.05
"""How long one look waits for an answer; one that takes longer is taken at a later look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReading:
    """How one link is, for people; times in seconds."""

    state: LinkState = LinkState.OK
    reason: str = ""
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    silent: float | None = None
    """Age of the last answer; None before the first."""
    drift: Duration | None = None


@dataclass(slots=True)
class LinkBoard:
    """Where the watchdog of a session leaves its readings, by link; status and metrics read them."""

    readings: dict[str, LinkReading] = field(default_factory=dict)
    circuits: dict[str, tuple[CircuitReading, ...]] = field(default_factory=dict)
    """Those that are open, by link."""
    sources: list[HasCircuits] = field(default_factory=list)
    """Whom the session asks for market data, beside its brokers."""


@dataclass(slots=True, kw_only=True)
class _Link:
    broker: Broker
    signs: LinkSigns
    latencies: Latencies = field(default_factory=Latencies)
    next_at: float = float("-inf")
    asked_at: float = 0.0
    asking: "asyncio.Task[_Answer] | None" = None
    told: LinkState = LinkState.OK
    lost: bool = False
    heard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    latency: float
    drift: Duration | None


class Watchdog:
    """Watches the links of one session."""

    def __init__(
        self,
        shell: SessionShell,
        brokers: Mapping[str, Broker],
        *,
        limits: LinkLimits,
        reconcile: Callable[[str], Awaitable[bool]],
        market_now: Callable[[], Instant],
        seconds: Callable[[], float] = monotonic_seconds,
        measures: bool = True,
        board: LinkBoard | None = None,
    ) -> None:
        """`reconcile` brings books and broker together and returns whether they are.

        `seconds` is the clock of spans: the machine's, or the market's where nothing waits for a real one; then
        latencies are not worth measuring (`measures`).
        """
        self._shell, self._limits, self._reconcile, self._market_now = shell, limits, reconcile, market_now
        self._seconds, self._measures = seconds, measures
        self._board = LinkBoard() if board is None else board
        now = self._seconds()
        self._links = {name: _Link(broker=broker, signs=LinkSigns(since=now)) for name, broker in brokers.items()}
        self._data = LinkState.OK
        self._show()

    async def look(self, at: Instant, *, data_late: float = 0.0) -> None:
        """Ask who is due, judge what has come, and tell the engine of changes; `at` is market time.

        `data_late`: for how many seconds of real time the next bars have been overdue.
        """
        await self._judge_data(at, judge_data(data_late))
        self._board.circuits[MARKET_DATA] = tuple(
            one for source in self._board.sources for one in source.circuits() if one.open_seconds > 0
        )
        for link in self._links.values():
            self._ask(link)
        asking = [link.asking for link in self._links.values() if link.asking is not None]
        if asking:
            await asyncio.wait(asking, timeout=PROMPT_SECONDS)
        for name, link in self._links.items():
            self._hear(link)
            self._read_circuits(name, link)
            await self._judge(name, link, at)
        self._show()

    async def doubt(self, name: str, at: Instant, problem: str) -> None:
        """Take note that `name` gave no answer to somebody else; it is reconciled before anything is opened there."""
        link = self._links[name]
        link.signs = failed(link.signs, self._seconds(), scrub(problem))
        await self._judge(name, link, at)
        self._show()

    def hear(self, name: str, problem: str) -> None:
        """Take note of the same where nobody can wait. The engine hears of it soon."""
        link = self._links[name]
        link.signs = failed(link.signs, self._seconds(), scrub(problem))

    def _read_circuits(self, name: str, link: _Link) -> None:
        """Take note of what the adapter asks no more, since it failed again and again."""
        if not isinstance(link.broker, HasCircuits):
            return
        broken = tuple(one for one in link.broker.circuits() if one.open_seconds > 0)
        self._board.circuits[name] = broken
        told = "; ".join(f"{one.endpoint} failed {one.failures} times in a row: {scrub(one.problem)}" for one in broken)
        if told and not link.signs.circuit:
            self.hear(name, told)
        link.signs = replace(link.signs, circuit=told)

    def close(self) -> None:
        """Ask no more."""
        for link in self._links.values():
            if link.asking is not None:
                link.asking.cancel()

    # --- questions ----------------------------------------------------------------------------------------------------

    def _ask(self, link: _Link) -> None:
        now = self._seconds()
        if link.asking is None and now >= link.next_at:
            link.asked_at, link.next_at = now, now + self._limits.pause_seconds
            link.asking = asyncio.create_task(self._question(link.broker))

    async def _question(self, broker: Broker) -> _Answer:
        began = self._seconds()
        theirs = await broker.clock()
        drift = None if theirs is None else Duration(theirs - self._market_now())
        return _Answer(latency=self._seconds() - began, drift=drift)

    def _hear(self, link: _Link) -> None:
        now, task = self._seconds(), link.asking
        if task is None:
            return
        if not task.done():
            if now - link.asked_at > self._limits.timeout_seconds:
                task.cancel()
                link.asking = None
                link.signs = failed(link.signs, now, f"no answer within {self._limits.timeout_seconds:g} s")
            return
        link.asking = None
        try:
            answer = task.result()
        except BrokerProblem as problem:
            link.signs = failed(link.signs, now, scrub(str(problem)))
            return
        if self._measures:
            link.latencies.add(answer.latency)
        link.heard = True
        link.signs = answered(link.signs, now, link.latencies, answer.drift)

    # --- findings -----------------------------------------------------------------------------------------------------

    async def _judge(self, name: str, link: _Link, at: Instant) -> None:
        found = judge(link.signs, self._limits, self._seconds())
        if found.state is LinkState.OK:
            if link.told is not LinkState.OK and await self._reconcile(name):
                link.told, link.lost = LinkState.OK, False
                await self._shell.take(LinkRestored(at=self._at(at), link=name))
            return
        if link.told is not found.state:
            link.told = found.state
            await self._shell.take(LinkImpaired(at=self._at(at), link=name, state=found.state, reason=found.reason))
        if found.lost and not link.lost:
            link.lost = True
            reason = f"the watchdog gave it up: {found.reason}"
            await self._shell.take(BrokerLost(at=self._at(at), broker=name, reason=reason))

    async def _judge_data(self, at: Instant, found: Finding) -> None:
        if found.state is self._data:
            return
        self._data = found.state
        if found.state is LinkState.OK:
            await self._shell.take(LinkRestored(at=self._at(at), link=MARKET_DATA))
            return
        impaired = LinkImpaired(at=self._at(at), link=MARKET_DATA, state=found.state, reason=found.reason)
        await self._shell.take(impaired)

    def _at(self, at: Instant) -> Instant:
        return max(at, self._shell.at)

    def _show(self) -> None:
        now = self._seconds()
        for name, link in self._links.items():
            found = judge(link.signs, self._limits, now)
            waits = found.state is LinkState.OK and link.told is not LinkState.OK
            self._board.readings[name] = LinkReading(
                state=link.told if waits else found.state,
                reason="it answers again, and is being reconciled" if waits else found.reason,
                p50=link.latencies.percentile(50),
                p95=link.latencies.percentile(95),
                p99=link.latencies.percentile(99),
                silent=now - link.signs.since if link.heard else None,
                drift=link.signs.drift,
            )
        self._board.readings[MARKET_DATA] = LinkReading(state=self._data)


__all__ = ["PROMPT_SECONDS", "LinkBoard", "LinkReading", "Watchdog"]
