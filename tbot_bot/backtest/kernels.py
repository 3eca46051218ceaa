"""The strategies' own steps, compiled as they stand, and the loops that run them over arrays.

Nothing here decides anything: each loop calls the function that the live engine calls bar by bar, or leaves out bars
to which that function would answer "no change". No fast-math: the result is that of plain Python to the last bit.
This module compiles when it is imported, so only the array engine imports it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar, cast

import numba as nb
import numpy as np
from numpy.typing import NDArray

from tbot_bot.core.identity import StrategyName
from tbot_bot.screeners.recorded_screener import tally_push
from tbot_bot.strategy import exits, indicators, strategy_close, strategy_mid, strategy_open
from tbot_bot.strategy.indicators import AdxState, BollingerState
from tbot_bot.strategy.strategy_close import CloseState
from tbot_bot.strategy.strategy_meta import CloseParams, MidParams, OpenParams, Params, Tick
from tbot_bot.strategy.strategy_mid import MidState
from tbot_bot.strategy.strategy_open import OpenState
from tbot_bot.strategy.strategy_router import State

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = tuple[Integers, Floats, Floats, Floats, Floats, Floats]
"""start, open, high, low, close, volume."""
_KEPT: Final = bool(getattr(nb.config, "CACHE_DIR", ""))
"""Whether machine code is kept between processes; see `compiled_code`."""
F = TypeVar("F", bound=Callable[..., object])


def _compiled(function: F) -> F:
    """Compile `function` for one thread; types stay what they are."""
    return cast("F", nb.njit(cache=_KEPT)(function))


def _inlined(function: F) -> F:
    """Compile `function` into its callers: its state stays in registers, which doubles the speed of CLOSE."""
    return cast("F", nb.njit(inline="always", cache=_KEPT)(function))


def _parallel(function: F) -> F:
    """Compile `function` with its `prange` loops on all threads."""
    return cast("F", nb.njit(parallel=True, cache=_KEPT)(function))


_open_step = _inlined(strategy_open.step)
_open_start = _compiled(strategy_open.initial_state)
_mid_step = _inlined(strategy_mid.step)
_mid_start = _compiled(strategy_mid.initial_state)
_close_step = _inlined(strategy_close.step)
_close_start = _compiled(strategy_close.initial_state)
_adx_push = _compiled(indicators.adx_push)
_bollinger_push = _compiled(indicators.bollinger_push)
_trail = _compiled(exits.trail)
_vwap_reached = _compiled(exits.vwap_reached)
_tally_push = _compiled(tally_push)


@_compiled
def _row_at(start: Integers, begin: int, stop: int, at: int, span: int) -> int:
    """Return the first row from `begin` on that starts at or after `at`; rows are at least `span` apart.

    Without holes it is where the clock says, so that only rows are touched which the caller reads anyway.
    """
    if begin >= stop or start[begin] >= at:
        return begin
    last = begin - (start[begin] - at) // span
    stop = min(stop, last)
    if start[stop - 1] < at:
        return stop
    while begin < stop:
        middle = (begin + stop) // 2
        if start[middle] < at:
            begin = middle + 1
        else:
            stop = middle
    return begin


@_compiled
def _advance_open(
    params: OpenParams, state: OpenState, rows: Rows, begin: int, stop: int
) -> tuple[OpenState, int, int]:
    start, open_, high, low, close, volume = rows
    span = params.bar_span
    for row in range(begin, stop):
        at = start[row]
        tick = Tick(at, at + span, open_[row], high[row], low[row], close[row], volume[row])
        state, action = _open_step(params, state, tick)
        if action != 0:
            return state, action, row
    return state, 0, stop


@_compiled
def _advance_mid(params: MidParams, state: MidState, rows: Rows, begin: int, stop: int) -> tuple[MidState, int, int]:
    start, open_, high, low, close, volume = rows
    span = params.bar_span
    for row in range(begin, stop):
        at = start[row]
        tick = Tick(at, at + span, open_[row], high[row], low[row], close[row], volume[row])
        state, action = _mid_step(params, state, tick)
        if action != 0:
            return state, action, row
    return state, 0, stop


@_compiled
def _advance_close(
    params: CloseParams, state: CloseState, rows: Rows, begin: int, stop: int
) -> tuple[CloseState, int, int]:
    start, open_, high, low, close, volume = rows
    span = params.bar_span
    for row in range(begin, stop):
        at = start[row]
        tick = Tick(at, at + span, open_[row], high[row], low[row], close[row], volume[row])
        state, action = _close_step(params, state, tick)
        if action != 0:
            return state, action, row
    return state, 0, stop


@_parallel
def _scan_open(windows: Integers, span: int, numbers: Floats, rows: Rows, bell: Integers, stop: Integers) -> Integers:
    start = rows[0]
    symbols, days = bell.shape
    found = np.full((symbols, days), -1, np.int64)
    for cell in nb.prange(symbols * days):
        symbol, day = cell // days, cell % days
        if windows[day, 3] > 0:
            params = OpenParams(
                windows[day, 0], windows[day, 1], windows[day, 2], windows[day, 3], span, numbers[0], numbers[1]
            )
            first, last = bell[symbol, day], stop[symbol, day]
            begin = _row_at(start, first, last, windows[day, 1], span)  # bars before the analysis change nothing
            end = _row_at(start, begin, last, windows[day, 3] - span + 1, span)  # nor do those after the entry window
            _, action, row = _advance_open(params, _open_start(params), rows, begin, end)
            if action != 0:
                found[symbol, day] = row
    return found


@_parallel
def _scan_mid(windows: Integers, span: int, numbers: Floats, rows: Rows, bell: Integers, stop: Integers) -> Integers:
    start = rows[0]
    symbols, days = bell.shape
    found = np.full((symbols, days), -1, np.int64)
    for cell in nb.prange(symbols * days):
        symbol, day = cell // days, cell % days
        if windows[day, 3] > 0:
            params = MidParams(windows[day, 0], windows[day, 1], windows[day, 2], windows[day, 3], span, numbers[0])
            first, last = bell[symbol, day], stop[symbol, day]
            end = _row_at(start, first, last, windows[day, 3] - span + 1, span)  # no signal after the entry window
            _, action, row = _advance_mid(params, _mid_start(params), rows, first, end)
            if action != 0:
                found[symbol, day] = row
    return found


@_parallel
def _scan_close(windows: Integers, span: int, numbers: Floats, rows: Rows, bell: Integers, stop: Integers) -> Integers:
    start = rows[0]
    symbols, days = bell.shape
    found = np.full((symbols, days), -1, np.int64)
    for cell in nb.prange(symbols * days):
        symbol, day = cell // days, cell % days
        if windows[day, 3] > 0:
            params = CloseParams(
                windows[day, 0], windows[day, 1], windows[day, 2], windows[day, 3], span, numbers[0], numbers[1]
            )
            first, last = bell[symbol, day], stop[symbol, day]
            end = _row_at(start, first, last, windows[day, 3] - span + 1, span)  # no signal after the entry window
            _, action, row = _advance_close(params, _close_start(params), rows, first, end)
            if action != 0:
                found[symbol, day] = row
    return found


@_compiled
def push_indicators(
    adx: AdxState, bands: BollingerState, rows: Rows, begin: int, stop: int
) -> tuple[AdxState, BollingerState]:
    """Push rows `begin` to `stop` into both of MID's indicators."""
    _, _, high, low, close, _ = rows
    for row in range(begin, stop):
        adx = _adx_push(adx, high[row], low[row], close[row])
        bands = _bollinger_push(bands, close[row])
    return adx, bands


@_compiled
def vwap_row(params: MidParams, state: MidState, rows: Rows, begin: int, stop: int, falling: bool) -> int:  # noqa: FBT001 - numba
    """Return the first row from `begin` on whose bar reaches VWAP, `stop` where none does."""
    start, open_, high, low, close, volume = rows
    span = params.bar_span
    for row in range(begin, stop):
        at = start[row]
        tick = Tick(at, at + span, open_[row], high[row], low[row], close[row], volume[row])
        state, _ = _mid_step(params, state, tick)
        if state.volume > 0.0 and _vwap_reached(low[row], high[row], state.weighted / state.volume, falling):
            return row
    return stop


@_compiled
def trail_rows(
    best: float,
    stop_at: float,
    pct: float,
    rising: bool,  # noqa: FBT001 - numba
    rows: Rows,
    begin: int,
    stop: int,
) -> tuple[int, int]:
    """Return the first row that may meet a trailing stop, and the last one before it that moves the best price.

    `stop` and -1 where there is none. The stop is taken a tick nearer than it is: a row too many costs a look.
    """
    start, open_, high, low, close, volume = rows
    moved = -1
    tick_size = 0.0101
    level = stop_at
    for row in range(begin, stop):
        if rising:
            if high[row] >= level - tick_size:
                return row, moved
        elif low[row] <= level + tick_size:
            return row, moved
        tick = Tick(start[row], start[row], open_[row], high[row], low[row], close[row], volume[row])
        after, there = _trail(best, tick, pct, rising)
        if after != best:
            best, moved = after, row
            level = min(level, there) if rising else max(level, there)
    return stop, moved


@_compiled
def tallies(rows: Rows, bell: Integers, until: Integers) -> tuple[Floats, Floats]:
    """Return typical price x volume and volume, summed over rows `bell` to `until` of each symbol."""
    _, _, high, low, close, volume = rows
    weighted, shares = np.zeros(len(bell)), np.zeros(len(bell))
    for symbol in range(len(bell)):
        money = traded = 0.0
        for row in range(bell[symbol], until[symbol]):
            money, traded = _tally_push(money, traded, high[row], low[row], close[row], volume[row])
        weighted[symbol], shares[symbol] = money, traded
    return weighted, shares


@_compiled
def rows_until(start: Integers, begin: Integers, stop: Integers, at: int, span: int) -> Integers:
    """Return for each symbol the first of its rows that starts at or after `at`."""
    found = np.empty(len(begin), np.int64)
    for symbol in range(len(begin)):
        found[symbol] = _row_at(start, begin[symbol], stop[symbol], at, span)
    return found


Advance = Callable[[Params, State, Rows, int, int], tuple[State, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyKernels:
    """One strategy, compiled."""

    scan: Callable[[Integers, int, Floats, Rows, Integers, Integers], Integers]
    """Windows by day (bell, analysis start and end, entry end; 0: no session), bar span, numbers, rows, bell and
    stop tables: the row of each symbol's first signal on each day, -1 where there is none."""
    advance: Advance
    """Steps through rows up to and including the first that signals; its action and row, or 0 and the end."""
    numbers: Callable[[Params], tuple[float, ...]]
    """What `scan` needs of the parameters beside the windows."""


def _open_numbers(params: Params) -> tuple[float, ...]:
    assert isinstance(params, OpenParams)  # noqa: S101 - the table below pairs them
    return (params.buffer, params.min_coverage)


def _mid_numbers(params: Params) -> tuple[float, ...]:
    assert isinstance(params, MidParams)  # noqa: S101 - the table below pairs them
    return (params.vwap_threshold,)


def _close_numbers(params: Params) -> tuple[float, ...]:
    assert isinstance(params, CloseParams)  # noqa: S101 - the table below pairs them
    return (params.momentum_pct, params.fade_z)


KERNELS: Final = {
    StrategyName.OPEN: StrategyKernels(scan=_scan_open, advance=cast("Advance", _advance_open), numbers=_open_numbers),
    StrategyName.MID: StrategyKernels(scan=_scan_mid, advance=cast("Advance", _advance_mid), numbers=_mid_numbers),
    StrategyName.CLOSE: StrategyKernels(
        scan=_scan_close, advance=cast("Advance", _advance_close), numbers=_close_numbers
    ),
}
