# ruff: noqa: ANN001, ANN202, C901, PLR2004 - loops as somebody writes them by hand
"""The three rules with their exits as a strategist would write them by hand: numba and numpy, nothing of the bot.

Arrays are symbols x minutes on a grid without holes. A signal is a completed bar's; it is entered at the next open. A
stop fills at its level, or at the open beyond it; a bar never meets the stop that its own extreme has moved; time and
VWAP exit at the next open. One share, no fees, every signal is taken.
"""

import numba as nb
import numpy as np

from benchmarks.rivals.plan import MINUTES, Floats, Integers, Rule

_NEVER = np.inf
"""A stop that is never met."""


@nb.njit
def _open_signal(high, low, close, first, begin, measured, end, buffer):  # type: ignore[no-untyped-def]
    top, bottom = -np.inf, np.inf
    for i in range(first + begin, first + measured):
        top, bottom = max(top, high[i]), min(bottom, low[i])
    up, down = top * (1.0 + buffer), bottom * (1.0 - buffer)
    for i in range(first + measured, first + end):
        if close[i] > up:
            return i, 1
        if close[i] < down:
            return i, -1
    return -1, 0


@nb.njit
def _mid_signal(high, low, close, volume, first, measured, end, threshold):  # type: ignore[no-untyped-def]
    money, shares = 0.0, 0.0
    for i in range(first, first + end):
        money += (high[i] + low[i] + close[i]) / 3.0 * volume[i]
        shares += volume[i]
        if i >= first + measured and shares > 0.0:
            vwap = money / shares
            if close[i] <= vwap * (1.0 - threshold):
                return i, 1
            if close[i] >= vwap * (1.0 + threshold):
                return i, -1
    return -1, 0


@nb.njit
def _close_signal(open_, high, low, close, first, begin, measured, end, momentum, fade):  # type: ignore[no-untyped-def]
    if begin < 2:
        return -1, 0
    before, mean, squares = open_[first], 0.0, 0.0
    for i in range(first, first + begin):
        change = close[i] / before - 1.0
        before = close[i]
        delta = change - mean
        mean += delta / (i - first + 1)
        squares += delta * (change - mean)
    top, bottom = -np.inf, np.inf
    for i in range(first + begin, first + measured):
        top, bottom = max(top, high[i]), min(bottom, low[i])
    noise = np.sqrt(squares / (begin - 1))
    if noise <= 0.0:
        return -1, 0
    reached = close[first + measured - 1]
    z = (reached / open_[first + begin] - 1.0) / (noise * np.sqrt(measured - begin))
    day = reached / open_[first] - 1.0
    middle = (top + bottom) / 2.0
    side, level, at_level = 0, 0.0, False
    if abs(z) >= fade:
        if z > 0.0 and reached > middle:
            side, level, at_level = -1, middle, True
        elif z < 0.0 and reached < middle:
            side, level, at_level = 1, middle, True
    elif day >= momentum and z > 0.0:
        side, level = 1, top
    elif day <= -momentum and z < 0.0:
        side, level = -1, bottom
    if side != 0:
        for i in range(first + measured, first + end):
            beyond = (close[i] - level) * side
            if beyond > 0.0 or (at_level and beyond == 0.0):
                return i, side
    return -1, 0


@nb.njit
def _leave(open_, high, low, close, volume, first, entry, due, side, stop, trailing, to_vwap):  # type: ignore[no-untyped-def]
    """Return row and price of the exit of a trade entered at the open of `entry`."""
    best = open_[entry]
    level = best * (1.0 - side * stop)
    money, shares = 0.0, 0.0
    if to_vwap:
        for i in range(first, entry):
            money += (high[i] + low[i] + close[i]) / 3.0 * volume[i]
            shares += volume[i]
    for i in range(entry, due):
        if side > 0 and low[i] <= level:
            return i, min(open_[i], level)
        if side < 0 and high[i] >= level:
            return i, max(open_[i], level)
        if trailing:
            best = max(best, high[i]) if side > 0 else min(best, low[i])
            level = best * (1.0 - side * stop)
        if to_vwap:
            money += (high[i] + low[i] + close[i]) / 3.0 * volume[i]
            shares += volume[i]
            vwap = money / shares
            if (side > 0 and high[i] >= vwap) or (side < 0 and low[i] <= vwap):
                return i + 1, open_[i + 1]
    return due, open_[due]


@nb.njit(parallel=True)
def _trades(kind, numbers, windows, stop, trailing, hold, last, open_, high, low, close, volume):  # type: ignore[no-untyped-def]
    symbols, days = open_.shape[0], windows.shape[0]
    rows = np.full((symbols, days, 3), -1, np.int64)
    prices = np.full((symbols, days, 2), np.nan)
    for cell in nb.prange(symbols * days):
        s, d = cell // days, cell % days
        first, begin, measured, end = d * MINUTES, windows[d, 0], windows[d, 1], windows[d, 2]
        o, h, lo, c, v = open_[s], high[s], low[s], close[s], volume[s]
        if kind == 0:
            signal, side = _open_signal(h, lo, c, first, begin, measured, end, numbers[0])
        elif kind == 1:
            signal, side = _mid_signal(h, lo, c, v, first, measured, end, numbers[0])
        else:
            signal, side = _close_signal(o, h, lo, c, first, begin, measured, end, numbers[0], numbers[1])
        if side != 0:
            entry = signal + 1
            due = min(entry + hold, first + last)
            left, price = _leave(o, h, lo, c, v, first, entry, due, side, stop, trailing, kind == 1)
            rows[s, d, 0], rows[s, d, 1], rows[s, d, 2] = entry, side, left
            prices[s, d, 0], prices[s, d, 1] = o[entry], price
    return rows, prices


def run_by_hand(
    rule: Rule, columns: tuple[Floats, Floats, Floats, Floats, Floats], *, stops: bool = True
) -> tuple[Integers, Floats]:
    """Return rows (entry, side, exit; -1 where there is none) and prices (entry, exit) by symbol and day."""
    windows = np.array(rule.windows, np.int64)
    stop = rule.stop if stops else _NEVER
    rows, prices = _trades(
        rule.kind, np.array(rule.numbers), windows, stop, rule.trailing, rule.hold, rule.last, *columns
    )
    return rows, prices


def table_of(rows: Integers, prices: Floats) -> Floats:
    """Return the trades as a table: symbol, day, rows of entry, side, row of exit, prices."""
    symbol, day = np.nonzero(rows[:, :, 1] * (rows[:, :, 0] >= 0))
    columns = (symbol, day, *rows[symbol, day].T, *prices[symbol, day].T)
    return np.column_stack(columns).astype(np.float64)
