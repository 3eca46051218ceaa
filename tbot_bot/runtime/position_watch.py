"""While a live session runs: do the brokers hold what our books say? Asked beside the session, every few seconds.

A stranger may trade in the same account, and a broker may err. Where a quantity differs in what we trade, the symbol
is halted there and a person is called; nothing is traded away. What is held of other symbols is not ours: a change
there is journaled and left alone. So are orders of others: each is told once, and the account is read again for what
they take of its buying power.

Positions and executions come by different ways and at different times. So nothing is compared over which an
execution of ours has come, and nothing is told before two answers, a pause apart, have said the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tbot_bot.config.scrub import scrub
from tbot_bot.core.errors import BrokerProblem, BrokerUnavailable
from tbot_bot.core.events import AccountsMarked, AccountsRead, Event, OrderFilled, PositionDiffers
from tbot_bot.core.foreign_orders import ForeignOrder
from tbot_bot.core.instruments import Instrument, equity
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Account, Fill, Position
from tbot_bot.core.protocols import Broker
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.foreign_watch import ForeignOrders, foreign_orders_of
from tbot_bot.runtime.link_health import LinkLimits
from tbot_bot.runtime.reconcile import compare_positions, is_news, ours_at
from tbot_bot.runtime.shell import SessionShell
from tbot_bot.trading.broker_health import expected_positions

PAUSES: Final = 3
"""A broker is asked at every third pause of the watchdog's questions; at the next one where something was odd."""
_Suspicion = frozenset[tuple[str, str, Decimal]]
"""What is odd: its kind, the symbol or execution, the quantity there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    positions: tuple[Position, ...]
    fills: tuple[Fill, ...]
    foreign: tuple[ForeignOrder, ...]
    account: Account | None
    """Read where orders of others have changed: so has its buying power."""


@dataclass(slots=True, kw_only=True)
class _Turn:
    next_at: float
    asked_at: float = 0.0
    asking: "asyncio.Task[_Told] | None" = None
    expected: Mapping[str, Decimal] = field(default_factory=dict)
    """What our books said when it was asked."""
    approved: Decimal = ZERO
    """What had been approved since the account was read, when it was asked."""
    suspicion: _Suspicion = frozenset()
    known: dict[str, Instrument] = field(default_factory=dict)
    """Every instrument that was ever held there, by symbol."""

    def forget(self) -> None:
        if self.asking is not None:
            self.asking.cancel()
        self.asking, self.suspicion = None, frozenset()


class PositionWatch:
    """Compares books and brokers during one session."""

    def __init__(
        self,
        shell: SessionShell,
        brokers: Mapping[str, Broker],
        *,
        limits: LinkLimits,
        doubt: Callable[[str, str], Awaitable[None]],
        foreign: ForeignOrders | None = None,
        seconds: Callable[[], float] = monotonic_seconds,
    ) -> None:
        """`doubt` hears of a broker whose answer cannot be read, and why; `seconds` is the clock of spans.

        `foreign` says what is new among the orders of others.
        """
        self._shell, self._brokers, self._limits = shell, brokers, limits
        self._others = foreign or ForeignOrders(shell)
        self._doubt, self._seconds = doubt, seconds
        first = seconds() + limits.pause_seconds
        self._turns = {name: _Turn(next_at=first) for name in brokers}

    async def look(self) -> None:
        """Take in what has come, tell the engine where it differs, and ask who is due."""
        state = self._shell.engine.state
        for name, broker in self._brokers.items():
            turn = self._turns[name]
            if name not in state.accounts or name in state.impaired:  # its positions are compared when it is restored
                turn.forget()
                continue
            await self._hear(name, turn)
            now = self._seconds()
            if turn.asking is None and now >= turn.next_at:
                turn.asked_at, turn.expected = now, expected_positions(state, name)
                turn.approved = state.approved_since_mark.get(name, ZERO)
                turn.asking = asyncio.create_task(self._question(name, broker))

    def close(self) -> None:
        """Ask no more."""
        for turn in self._turns.values():
            turn.forget()

    async def _question(self, name: str, broker: Broker) -> _Told:
        positions = await broker.positions()
        fills = await broker.fills_since(self._shell.engine.state.spec.windows.bell)
        foreign = await foreign_orders_of(broker)
        account = await broker.account() if self._others.news(name, foreign) is not None else None
        return _Told(positions=positions, fills=fills, foreign=foreign, account=account)

    async def _hear(self, name: str, turn: _Turn) -> None:
        task, now = turn.asking, self._seconds()
        if task is None:
            return
        if not task.done():
            if now - turn.asked_at > self._limits.timeout_seconds:
                turn.forget()
                turn.next_at = now + self._limits.pause_seconds
            return
        turn.asking, turn.next_at = None, now + PAUSES * self._limits.pause_seconds
        try:
            told = task.result()
        except BrokerUnavailable:
            return  # the watchdog's own questions say how the link is
        except BrokerProblem as problem:
            await self._doubt(name, f"its positions cannot be read: {scrub(str(problem))}")
            return
        for event in (*self._of_others(name, turn, told), *self._found(name, turn, told)):
            await self._shell.take(event)

    def _of_others(self, name: str, turn: _Turn, told: _Told) -> list[Event]:
        """Return what is new among the orders of others, and the account without what they take."""
        news = self._others.news(name, told.foreign)
        if news is None or told.account is None:
            return []
        if self._shell.engine.state.approved_since_mark.get(name, ZERO) != turn.approved:
            return []  # the account may not know of it yet: all is asked again
        return [news, AccountsMarked(at=self._shell.at, accounts=(told.account,))]

    def _found(self, name: str, turn: _Turn, told: _Told) -> list[Event]:
        """Return what has been found twice; what was found once is asked about soon again."""
        state = self._shell.engine.state
        turn.known.update({one.instrument.symbol: one.instrument for one in told.positions})
        missed = [fill for fill in told.fills if is_news(state, fill)]
        events: list[Event] = [OrderFilled(at=self._shell.at, fill=fill) for fill in missed]
        suspicion = {("execution", fill.execution_id, fill.quantity) for fill in missed}
        unsettled = expected_positions(state, name) != turn.expected
        if not missed and not unsettled:
            differing = compare_positions(state, name, told.positions)
            foreign = self._foreign(name, turn, told.positions)
            events += differing
            suspicion |= {
                (type(event).__name__, event.symbol, event.found if isinstance(event, PositionDiffers) else ZERO)
                for event in differing
            }
            if foreign:
                events.append(AccountsRead(at=self._shell.at, accounts=(), foreign_positions=foreign))
                suspicion |= {("foreign", one.instrument.symbol, one.quantity) for one in foreign}
        if suspicion or unsettled:
            turn.next_at = self._seconds() + self._limits.pause_seconds
        is_confirmed = bool(suspicion) and suspicion == turn.suspicion
        turn.suspicion = frozenset() if is_confirmed else frozenset(suspicion)
        return events if is_confirmed else []

    def _foreign(self, name: str, turn: _Turn, positions: tuple[Position, ...]) -> tuple[Position, ...]:
        """Return what has changed in symbols that we do not trade there; a quantity of 0 is held no longer."""
        state = self._shell.engine.state
        expected, ours = expected_positions(state, name), ours_at(state, name)
        found = {one.instrument.symbol: one for one in positions}
        gone = [
            Position(broker=name, instrument=turn.known.get(symbol, equity(symbol)), quantity=ZERO, average_price=ZERO)
            for symbol, quantity in expected.items()
            if quantity and symbol not in found
        ]
        return tuple(
            one
            for one in (*found.values(), *gone)
            if one.instrument.symbol not in ours and one.quantity != expected.get(one.instrument.symbol, ZERO)
        )


__all__ = ["PAUSES", "PositionWatch"]
