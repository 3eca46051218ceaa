"""The screener over arrays: most symbols are sorted out by their numbers, the rest are judged by the screener itself.

What is sorted out could not have a rank: it is beyond a limit, or behind enough others by more than rounding can
change. So the candidates and their ranks are the screener's own.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.array_day import ArrayDay
from tbot_bot.backtest.bar_arrays import BarArrays
from tbot_bot.backtest.kernels import Floats, Integers, Rows, rows_until, tallies
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.protocols import Screener
from tbot_bot.core.screening import Verdict
from tbot_bot.screeners.recorded_screener import RecordedScreener, Tally
from tbot_bot.trading.spec import SessionSpec

_SLACK: Final = 1e-9
"""Relative room around a limit: what lies in it is judged by the screener."""
_TIE: Final = 3e-6
"""Scores are rounded to six digits: this close they may rank either way."""

Mask = NDArray[np.bool_]


class QuickScreen:
    """The screens of one data set; what does not depend on a strategy's parameters is kept."""

    def __init__(self, arrays: BarArrays, rows: Rows, *, exact_only: bool) -> None:
        """`exact_only`: there are fundamentals, which only the screener knows."""
        self._arrays, self._rows, self._exact_only = arrays, rows, exact_only
        self._known: dict[tuple[StrategyName, object, int], tuple[Verdict, ...]] = {}
        self._tallies: dict[int, tuple[Floats, Floats]] = {}
        """By the instant up to which they count."""

    def verdicts(
        self, screener: Screener, spec: SessionSpec, day: ArrayDay, signalling: Integers
    ) -> tuple[Verdict, ...] | None:
        """Return the verdicts on all that may be candidates; None where none of `signalling` (table rows) is one."""
        at = spec.windows.screen_at
        if not isinstance(screener, RecordedScreener):
            return screener.screen(day, at)
        key = (spec.strategy, screener.rules, at)
        found = self._known.get(key)
        if found is None:
            found = self._judged(screener, spec.strategy, day, at, signalling)
            if found is None:
                return None
            self._known[key] = found
        wanted = {self._arrays.names[row] for row in signalling.tolist()}
        return found if any(verdict.rank and verdict.symbol in wanted for verdict in found) else None

    def _judged(
        self, screener: RecordedScreener, strategy: StrategyName, day: ArrayDay, at: Instant, signalling: Integers
    ) -> tuple[Verdict, ...] | None:
        until = self._until(day, at)
        tally = self._tally_of(day, at, until)
        exact = replace(screener, tally_of=tally)
        if self._exact_only or screener.rules.universe:
            return exact.screen(day, at)
        may = self._may_rank(screener, strategy, day, at, until)
        if not bool(may[signalling].any()):
            return None
        names = tuple(self._arrays.names[row] for row in np.flatnonzero(may).tolist())
        return replace(exact, rules=replace(screener.rules, universe=names)).screen(day, at)

    def _until(self, day: ArrayDay, at: int) -> Integers:
        arrays = self._arrays
        bell, stop = arrays.bell[:, day.column], arrays.stop[:, day.column]
        return rows_until(arrays.start, bell, stop, at - arrays.span + 1, arrays.span)

    def _tallied(self, day: ArrayDay, at: int, until: Integers) -> tuple[Floats, Floats]:
        found = self._tallies.get(at)
        if found is None:
            bell = np.ascontiguousarray(self._arrays.bell[:, day.column])
            found = self._tallies[at] = tallies(self._rows, bell, until)
        return found

    def _tally_of(self, day: ArrayDay, at: int, until: Integers) -> Callable[[str, Instant], Tally]:
        _, bell, _ = day.places
        weighted, volume = self._tallied(day, at, until)

        def tally_of(symbol: str, _: Instant) -> Tally:
            row = day.row_of[symbol]
            begin, end = bell[row], int(until[row])
            if end <= begin:
                return Tally(0.0, 0.0, 0.0, 0.0)
            opened, closed = float(self._arrays.open[begin]), float(self._arrays.close[end - 1])
            return Tally(float(weighted[row]), float(volume[row]), opened, closed)

        return tally_of

    def _may_rank(
        self, screener: RecordedScreener, strategy: StrategyName, day: ArrayDay, at: int, until: Integers
    ) -> Mask:
        """Return which symbols pass the limits on price and gap, or nearly, and may be among the best."""
        arrays, rules = self._arrays, screener.rules
        bell = arrays.bell[:, day.column]
        first, stop = arrays.first[:, day.column], arrays.stop[:, day.column]
        known = rows_until(arrays.start, first, stop, at - arrays.span + 1, arrays.span)
        today = known > arrays.first[:, day.column]
        last = np.where(today, arrays.close[np.maximum(known - 1, 0)], np.nan)
        previous, average = day.past()
        price = np.where(today, last, previous)
        low, high = float(rules.min_price) * (1 - _SLACK), float(rules.max_price) * (1 + _SLACK)
        there = np.zeros(len(arrays.names), dtype=bool)
        there[[day.row_of[name] for name in day.symbols]] = True
        there[[day.row_of[name] for name in rules.excluded if name in day.row_of]] = False
        unknown = np.isnan(price)
        passing = there & ((unknown & rules.test_mode) | ((price >= low) & (price <= high)))
        gap = np.abs(last / previous - 1.0)
        passing &= ~(gap > float(rules.max_gap) + _SLACK)
        score = np.zeros(len(price))
        seen = until > bell
        closed = arrays.close[np.maximum(until - 1, 0)]
        if strategy is StrategyName.OPEN and not seen.any():  # before the bell a gap is all there is
            score = np.where(np.isnan(gap), 0.0, gap)
        else:
            weighted, volume = self._tallied(day, at, until)
            with np.errstate(divide="ignore", invalid="ignore"):
                if strategy is StrategyName.OPEN:
                    relative = np.where((average > 0) & (volume > 0), volume / average, 0.0)
                    score = np.where(np.isnan(gap), 0.0, gap * (1.0 + relative))
                elif strategy is StrategyName.MID:
                    score = np.where(seen & (volume > 0), np.abs(closed / (weighted / volume) - 1.0), 0.0)
                else:
                    moved = np.abs(closed / arrays.open[np.minimum(bell, arrays.bars - 1)] - 1.0)
                    relative = np.where(average > 0, volume / average, 1.0)
                    score = np.where(seen, moved * relative, 0.0)
        return _best(passing, score, np.where(np.isnan(average), 0.0, average), rules.max_candidates)


def _best(passing: Mask, score: Floats, average: Floats, count: int) -> Mask:
    """Return those of `passing` that may be among the best `count`; ties in score go by volume."""
    rows = np.flatnonzero(passing)
    if len(rows) <= count:
        return passing
    order = rows[np.lexsort((-average[rows], -score[rows]))]
    edge, busy = score[order[count - 1]], average[order[count - 1]]
    may = np.zeros(len(passing), dtype=bool)
    near = passing & (np.abs(score - edge) <= _TIE)
    exact = score == edge
    tied = bool((score[near] == edge).all())
    may |= passing & (score > edge)
    may |= (near & exact & (average >= busy)) if tied else near
    return may


__all__ = ["QuickScreen"]
