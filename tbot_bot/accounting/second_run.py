"""A session's recorded commands, given again to a fresh simulated venue over the bars of the day's tapes.

The venue is told bars and commands in the order in which the engine was told and answered. What answers an execution
comes after the opening price of its bar, and everything else before it. Closing orders are made to fit what the
simulated account holds: where it was filled later, they wait. A stop that the broker moved is moved as the broker told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tbot_bot.accounting.attribution import is_entry
from tbot_bot.broker.matching import Venue
from tbot_bot.core.bars import Bar
from tbot_bot.core.commands import CancelOrder, Decided, Output, ReplaceOrder, StopMoved, SubmitOrder
from tbot_bot.core.events import AccountsRead, BarsClosed, FillBusted, OrderFilled
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Fill, OrderRequest
from tbot_bot.core.trails import TrailingTrigger
from tbot_bot.trading.spec import SessionSpec

_NEVER: Final = Instant(0)


@dataclass(slots=True, kw_only=True)
class TapedBars:
    """The bars of all tapes of a day, by their beginnings."""

    by_start: dict[Instant, dict[str, Bar]] = field(default_factory=dict)
    last: dict[str, Bar] = field(default_factory=dict)
    """The latest bar of each symbol."""

    def take(self, bars: Iterable[Bar]) -> None:
        """Add bars; one that is known already stays."""
        for bar in bars:
            self.by_start.setdefault(Instant(bar.start), {}).setdefault(bar.symbol, bar)
            known = self.last.get(bar.symbol)
            if known is None or bar.start > known.start:
                self.last[bar.symbol] = bar


class SecondRun:
    """Simulated venues that live through one recorded session."""

    def __init__(self, spec: SessionSpec, bars: TapedBars) -> None:
        """Open nothing yet: the accounts begin as the session read them."""
        self.orders: Final[dict[str, OrderRequest]] = {}
        self.real: Final[dict[str, Fill]] = {}
        self._spec, self._bars = spec, bars
        self._steps = [
            (at, Instant(max(bar.end for bar in of.values())), of) for at, of in sorted(bars.by_start.items())
        ]
        self._next = 0
        self._opened = False
        self._closed_to = _NEVER
        self._venues: dict[str, Venue] = {}
        self._waiting: dict[str, OrderRequest] = {}
        """Closing orders whose entry the simulator has not filled yet, by trade."""
        self._trailing: dict[str, str] = {}
        """The last stop that a broker was to move, by trade."""
        self._moves: dict[str, int] = {}
        """How often the broker has moved such a stop, by its id."""

    def take(self, event: object, answers: Iterable[object]) -> None:
        """Take one recorded input and what the engine answered to it."""
        match event:
            case AccountsRead():
                self._open_accounts(event)
            case BarsClosed():
                self._live_until(event.at)
                self._closed_to = event.at
                for venue in self._venues.values():
                    venue.close_bar()
            case OrderFilled(fill=fill):
                self._meet_fill(event.at)
                self.real[fill.execution_id] = fill
            case FillBusted():
                self.real.pop(event.execution_id, None)
            case _:
                pass
        for decided in answers:
            for output in decided.outputs if isinstance(decided, Decided) else ():
                self._perform(output)

    def finish(self) -> None:
        """Let the venues live through what is left of the tapes."""
        while self._next < len(self._steps):
            self._live_until(self._steps[self._next][1])

    def simulated(self, trade_id: str) -> list[Fill]:
        """Return the executions of a trade."""
        found = (one for venue in self._venues.values() for one in venue.fills_since(_NEVER))
        return [one for one in found if self.orders[one.client_order_id].trade_id == trade_id]

    # --- the market ---------------------------------------------------------------------------------------------------

    def _open_accounts(self, read: AccountsRead) -> None:
        windows = self._spec.windows
        for account in read.accounts:
            self._venues.setdefault(
                account.broker,
                Venue(
                    broker=account.broker,
                    cash=account.equity,
                    is_open=lambda at: windows.bell <= at < windows.market_close,
                ),
            )

    def _meet_fill(self, at: Instant) -> None:
        """Come to where an execution was told: the opening of the bar at hand, or its end."""
        if at > self._closed_to:
            self._live_until(at)
        elif self._next < len(self._steps) and not self._opened and self._steps[self._next][0] <= at:
            self._open_step()

    def _live_until(self, at: Instant) -> None:
        while self._next < len(self._steps) and self._steps[self._next][1] <= at:
            if not self._opened:
                self._open_step()
            self._range_step()
            self._next, self._opened = self._next + 1, False
        if self._next and self._steps[self._next - 1][1] == at:
            self._range_again(self._next - 1)  # what answers executions within the bar meets its rest

    def _open_step(self) -> None:
        start, _, bars = self._steps[self._next]
        self._opened = True
        for venue in self._venues.values():
            venue.open_step(start, bars)
        self._send_waiting()

    def _range_step(self) -> None:
        self._range_again(self._next)

    def _range_again(self, step: int) -> None:
        _, end, bars = self._steps[step]
        for venue in self._venues.values():
            while venue.range_step(end, bars):
                self._send_waiting()

    # --- commands -----------------------------------------------------------------------------------------------------

    def _perform(self, output: Output) -> None:
        match output:
            case SubmitOrder(order=order) | ReplaceOrder(order=order):
                self.orders[order.client_order_id] = order
                if isinstance(order.stop, TrailingTrigger):
                    self._trailing[order.trade_id] = order.client_order_id
                if is_entry(order.client_order_id):
                    self._send(order)
                else:
                    self._send_closing(order)
            case CancelOrder():
                for trade, order in list(self._waiting.items()):
                    if order.client_order_id == output.client_order_id:
                        del self._waiting[trade]
                venue = self._venues.get(output.broker)
                if venue is not None:
                    venue.cancel(self._stands_as(output.client_order_id), venue.now)
            case StopMoved() if output.trade_id in self._trailing:
                self._move(self.orders[self._trailing[output.trade_id]], output.price)
            case _:
                pass

    def _stands_as(self, order_id: str) -> str:
        """Return under which id the simulator has an order: a stop that a broker moved has a new one each time."""
        moves = self._moves.get(order_id, 0)
        return f"{order_id}~{moves}" if moves else order_id

    def _move(self, order: OrderRequest, price: Decimal) -> None:
        name, venue = order.client_order_id, self._venues.get(order.broker)
        waiting, stop = self._waiting.get(order.trade_id), order.stop
        if venue is None or stop is None:
            return
        if waiting is not None and waiting.client_order_id == name:
            self._waiting[order.trade_id] = replace(waiting, stop=replace(stop, price=price))
            return
        known = venue.order(self._stands_as(name))
        if known is None or not known.status.open or known.request.stop == replace(stop, price=price):
            return
        old, left = known.client_order_id, known.request.quantity - known.filled_quantity
        self._moves[name] = self._moves.get(name, 0) + 1
        moved = replace(
            known.request,
            client_order_id=self._stands_as(name),
            quantity=left,
            stop=replace(stop, price=price),
            replaces=old,
        )
        self.orders[moved.client_order_id] = moved
        venue.replace(moved, venue.now)

    def _send_closing(self, order: OrderRequest) -> None:
        """Send an order that closes all of it, or a part, as it did in the real account."""
        venue = self._venues.get(order.broker)
        if venue is None:
            return
        held = abs(venue.books.held(order.instrument.symbol))
        if not held:
            self._waiting[order.trade_id] = order
            return
        whole = order.quantity >= self._really_held(order.trade_id)
        self._send(replace(order, quantity=held if whole else min(order.quantity, held)))

    def _send(self, order: OrderRequest) -> None:
        venue = self._venues.get(order.broker)
        if venue is None or venue.order(order.client_order_id) is not None:
            return  # a restarted session sends again what it cannot know to have arrived
        old = self._stands_as(order.replaces or "")
        if not old or venue.order(old) is None:
            venue.submit(replace(order, replaces=None), venue.now)
        else:
            venue.replace(replace(order, replaces=old), venue.now)

    def _send_waiting(self) -> None:
        for trade, order in list(self._waiting.items()):
            venue = self._venues[order.broker]
            if venue.books.held(order.instrument.symbol):
                del self._waiting[trade]
                self._send_closing(order)

    def _really_held(self, trade_id: str) -> Decimal:
        held = ZERO
        for fill in self.real.values():
            order = self.orders.get(fill.client_order_id)
            if order is not None and order.trade_id == trade_id:
                held += fill.quantity if is_entry(fill.client_order_id) else -fill.quantity
        return held


def run_again(
    spec: SessionSpec, bars: TapedBars, inputs: Iterable[tuple[int, object]], answers: Mapping[int, tuple[object, ...]]
) -> SecondRun:
    """Give a recorded session to fresh venues; return what came of it."""
    again = SecondRun(spec, bars)
    for number, event in inputs:
        again.take(event, answers.get(number, ()))
    again.finish()
    return again


__all__ = ["SecondRun", "TapedBars", "run_again"]
