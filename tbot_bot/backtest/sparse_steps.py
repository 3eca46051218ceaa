"""Which steps of a day can matter to a session, chosen as it goes along: the rest are not told.

A step is left out only where it is known that neither engine nor venue would change anything but the bookkeeping of
last prices: nothing is ordered but protective stops, no bar reaches a stop, VWAP or the end of a trade's time, no
symbol signals, no phase begins, and no loss can reach a limit. Wherever that is in doubt the next step is told.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np

from tbot_bot.assembly.embedded_market import EmbeddedMarket, Step
from tbot_bot.backtest.array_day import ArrayDay
from tbot_bot.backtest.array_symbols import ArraySymbols
from tbot_bot.backtest.kernels import Rows, trail_rows, vwap_row
from tbot_bot.backtest.session_driver import SessionDriver
from tbot_bot.broker.matching import Venue
from tbot_bot.core.bars import Bar
from tbot_bot.core.events import BarsClosed
from tbot_bot.core.identity import Leg, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass
from tbot_bot.core.orders import Direction, ShortType
from tbot_bot.strategy.strategy_meta import MidParams
from tbot_bot.strategy.strategy_mid import MidState
from tbot_bot.trading.instrument_choice import inverse_etfs
from tbot_bot.trading.losses import first_float
from tbot_bot.trading.session_state import Trade, TradeState
from tbot_bot.trading.spec import SessionSpec

_NEVER: Final = 2**62
_MARGIN: Final = 1.0
"""Dollars by which a loss has to stay away from its limit before steps are left out."""


class SparseMarket(EmbeddedMarket):
    """The embedded market without history: what the engine has to know of earlier bars comes with the steps."""

    def watch(self, symbols: tuple[str, ...], at: Instant) -> BarsClosed | None:
        """Take note of `symbols`."""
        super().watch((), at)
        self._watched = frozenset(symbols)
        return None


class SparseSteps:
    """The steps of one session, and what the engine is told at their ends."""

    def __init__(
        self,
        spec: SessionSpec,
        day: ArrayDay,
        rows: Rows,
        driver: SessionDriver,
        symbols: ArraySymbols,
        venues: Mapping[str, Venue],
    ) -> None:
        """Choose for `driver`, whose engine steps with `symbols`."""
        self._spec, self._day, self._rows = spec, day, rows
        self._state, self._symbols, self._venues = driver.engine.state, symbols, venues
        self._opens, self._span = day.day.open_at, day.span
        self._count = -(-(day.day.close_at - day.day.open_at) // day.span)
        windows = spec.windows
        self._share_at = self._until(windows.analysis_end)
        by_fund = spec.bearish.short_type is ShortType.INVERSE_ETF
        self._fund_of = inverse_etfs(spec.bearish) if by_fund else None
        self._funds: list[str] = []
        """Inverse ETFs that signals of the step at hand may buy."""
        begins = (windows.start, windows.analysis_end, windows.entry_end, windows.entry_end + windows.bar_span)
        chosen = {self._until(at) for at in begins}
        # a phase that begins within a step is entered at the step's end
        chosen |= {self._until(at) + 1 for at in begins if (at - self._opens) % self._span}
        last = self._until(windows.hard_exit_at)
        # the hard exit is decided before that step's bars are taken: by the prices of the step before it
        self._boundaries = sorted({*chosen, last - 1, last, last + 1})

    def __iter__(self) -> Iterator[Step]:
        """Yield one step after another; the next one is chosen when the one before has been dealt with."""
        number = max(-(-(self._spec.windows.screen_at + 1 - self._span - self._opens) // self._span), 0) - 1
        while not self._state.ended and (number := self._next(number)) < self._count:
            start = Instant(self._opens + number * self._span)
            self._symbols.now = start + self._span
            due = self._due_at(number)
            self._funds = self._funds_of(due)
            rows = {name: self._bar_row(name, number) for name in (*self._held(), *self._funds) if name not in due}
            rows.update(due)
            bars = {name: self._day.bar_at(name, row) for name, row in rows.items() if row >= 0}
            yield Step(start=start, end=Instant(start + self._span), bars=bars)

    def closed(self, step: Step) -> BarsClosed:
        """Return what the engine is told: the step's bars, and older ones of symbols whose last price it may ask."""
        number = (step.start - self._opens) // self._span
        older: list[Bar] = []
        if number == self._share_at:
            older += self._day.since_the_bell(self._state.candidates, step.end, self._spec.strategy)
        for name in self._funds:
            if name not in step.bars:
                older += self._last(name, step.end)
        return BarsClosed(at=step.end, bars=(*older, *(step.bars[name] for name in sorted(step.bars))))

    # --- which step comes next ----------------------------------------------------------------------------------------

    def _next(self, number: int) -> int:
        due = self._symbols.due
        place = bisect_right(self._boundaries, number)
        ahead = self._boundaries[place] if place < len(self._boundaries) else _NEVER
        active = self._state.active_trades()
        if not active:
            orders = any(order.is_open for order in self._state.orders.values()) if self._state.orders else False
            if orders:
                return number + 1
            first = self._day.first_start(due.values())
            return max(ahead if first is None else min(ahead, (first - self._opens) // self._span), number + 1)
        if due or not self._quiet(active):
            return number + 1
        chosen = self._before_trails(active, number, min([ahead, *(self._event_of(trade, number) for trade in active)]))
        whole = all(self._bar_row(name, chosen) >= 0 for name in self._held()) if chosen < self._count else False
        return max(chosen, number + 1) if whole else number + 1

    def _quiet(self, active: list[Trade]) -> bool:
        """Return whether all that is open are positions with one untouched stop each, and no limit is near."""
        state = self._state
        if len({(trade.broker, trade.instrument and trade.instrument.symbol) for trade in active}) < len(active):
            return False  # two trades share a bar's volume: the order of their stops counts
        for trade in active:
            if trade.state is not TradeState.OPEN or state.open_orders_of(trade, Leg.ENTRY):
                return False
            stops = state.open_orders_of(trade, Leg.STOP)
            if len(stops) != 1 or stops[0].fills or stops[0].request.stop is None:
                return False
            if stops[0].request.stop.price != trade.stop_price or stops[0].remaining != state.held(trade):
                return False
        return not any(venue.has_awake_stop() for venue in self._venues.values()) and self._safe(active)

    def _safe(self, active: list[Trade]) -> bool:
        """Return whether no account can reach its loss limit while no stop is reached."""
        state = self._state
        for broker in dict.fromkeys(trade.broker for trade in active):
            worst = float(self._venues[broker].books.cash)
            for trade in active:
                if trade.broker == broker and trade.instrument is not None:
                    if trade.instrument.asset_class is AssetClass.OPTION:
                        continue  # at worst a put is worth nothing
                    held = float(state.held(trade)) * (-1.0 if trade.stop_rises else 1.0)
                    worst += held * float(trade.stop_price)
            known = float(first_float(state, broker))
            if known - worst >= known * float(self._spec.limits.daily_loss_limit) - _MARGIN:
                return False
        return True

    def _event_of(self, trade: Trade, number: int) -> int:
        """Return the next step at which `trade` may change."""
        entered = trade.entered_at
        if entered is None:
            return number + 1
        over = -(-(entered + self._spec.windows.monitoring - self._opens) // self._span) - 1
        end = self._opens + (number + 1) * self._span
        last = self._opens + (over + 1) * self._span
        row = self._day.row_of[trade.watched]
        begin, stop = self._day.row_until(row, end), self._day.row_until(row, last)
        stop_at = float(trade.stop_price)
        if self._spec.strategy is StrategyName.OPEN:
            found, _ = self._trailed(trade, begin, stop)
        else:
            reached = self._rows[2][begin:stop] >= stop_at if trade.stop_rises else self._rows[3][begin:stop] <= stop_at
            nearest = int(np.argmax(reached)) if len(reached) else 0
            found = begin + nearest if len(reached) and reached[nearest] else stop
        chosen = min(over, self._number(found)) if found < stop else over
        return min(chosen, self._target_of(trade, end, last)) if self._spec.strategy is StrategyName.MID else chosen

    def _before_trails(self, active: list[Trade], number: int, chosen: int) -> int:
        """Return `chosen`, or an earlier step that moves a trailing stop, such that no other one does before it."""
        if self._spec.strategy is not StrategyName.OPEN:
            return chosen
        while True:
            moves = [step for trade in active if (step := self._last_move(trade, number, chosen)) >= 0]
            if not moves:
                return chosen
            chosen = min(moves)

    def _last_move(self, trade: Trade, number: int, before: int) -> int:
        """Return the last step after `number` and before `before` whose bar moves the stop of `trade`; -1: none."""
        row = self._day.row_of[trade.watched]
        begin = self._day.row_until(row, self._opens + (number + 1) * self._span)
        _, moved = self._trailed(trade, begin, self._day.row_until(row, self._opens + before * self._span))
        return self._number(moved) if moved >= 0 else -1

    def _trailed(self, trade: Trade, begin: int, stop: int) -> tuple[int, int]:
        fraction = float(self._spec.stop_fraction)
        return trail_rows(trade.best, float(trade.stop_price), fraction, trade.stop_rises, self._rows, begin, stop)

    def _target_of(self, trade: Trade, end: int, last: int) -> int:
        """Return the step at which MID's target is reached, by the trade's own symbol."""
        row = self._day.row_of[trade.symbol]
        begin, stop = self._day.row_until(row, end), self._day.row_until(row, last)
        state, params = self._symbols.state_at(trade.symbol, begin), self._spec.params
        if not isinstance(state, MidState) or not isinstance(params, MidParams):
            return _NEVER
        found = vwap_row(params, state, self._rows, begin, stop, trade.direction is Direction.BEARISH)
        return self._number(found) if found < stop else _NEVER

    # --- bars ---------------------------------------------------------------------------------------------------------

    def _held(self) -> list[str]:
        """Return the symbols whose bars the open trades live by."""
        names: list[str] = []
        for trade in self._state.active_trades():
            names += [trade.symbol, trade.watched or trade.symbol]
            if trade.instrument is not None and trade.instrument.asset_class is AssetClass.EQUITY:
                names.append(trade.instrument.symbol)
        return names

    def _due_at(self, number: int) -> dict[str, int]:
        """Return the symbols that signal in step `number`, and the rows in which they do."""
        return self._day.rows_at(self._symbols.due, self._opens + number * self._span)

    def _funds_of(self, signalling: Iterable[str]) -> list[str]:
        """Return the inverse ETFs that signals in `signalling` may buy."""
        if self._fund_of is None:
            return []
        sectors = [(name, self._state.verdicts[name].sector) for name in signalling]
        return [etf for name, sector in sectors if (etf := self._fund_of(name, sector))]

    def _bar_row(self, name: str, number: int) -> int:
        """Return the array row of the bar of `name` in step `number`, -1 where there is none."""
        row = self._day.row_of.get(name)
        return -1 if row is None else self._day.row_at(row, self._opens + number * self._span)

    def _last(self, name: str, at: int) -> tuple[Bar, ...]:
        table = self._day.row_of.get(name)
        if table is None:
            return ()
        until = self._day.row_until(table, at)
        return (self._day.bar_at(name, until - 1),) if until > self._day.rows(table).start else ()

    def _number(self, row: int) -> int:
        """Return the step that array row `row` belongs to."""
        return (self._day.start_of(row) - self._opens) // self._span

    def _until(self, at: int) -> int:
        """Return the last step that ends by `at`."""
        return (at - self._opens) // self._span - 1


__all__ = ["SparseMarket", "SparseSteps"]
