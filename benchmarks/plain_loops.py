# ruff: noqa: ANN001, ANN202, C901, PLR0912, PLR2004 - loops as somebody writes them by hand
"""The three rules as a strategist would write them by hand: one numba loop each, nothing shared with the bot."""

from collections.abc import Callable
from typing import Final, cast

import numba as nb
import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.bar_arrays import BarArrays
from tbot_bot.core.identity import StrategyName

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MINUTE: Final = 60_000_000_000


@nb.njit(parallel=True)
def _open(ts, high, low, close, bell, stop, windows, buffer, coverage):  # type: ignore[no-untyped-def]
    symbols, days = bell.shape
    found = np.full((symbols, days), -1, np.int64)
    for cell in nb.prange(symbols * days):
        s, d = cell // days, cell % days
        begin, measured, end = windows[d, 1], windows[d, 2], windows[d, 3]
        top, bottom, minutes = -np.inf, np.inf, 0
        for i in range(bell[s, d], stop[s, d]):
            done = ts[i] + MINUTE
            if done > end:
                break
            if ts[i] < begin:
                continue
            if done <= measured:
                top, bottom, minutes = max(top, high[i]), min(bottom, low[i]), minutes + 1
            elif minutes * MINUTE < coverage * (measured - begin):
                break
            elif close[i] > top * (1.0 + buffer) or close[i] < bottom * (1.0 - buffer):
                found[s, d] = i
                break
    return found


@nb.njit(parallel=True)
def _mid(ts, high, low, close, volume, bell, stop, windows, threshold):  # type: ignore[no-untyped-def]
    symbols, days = bell.shape
    found = np.full((symbols, days), -1, np.int64)
    for cell in nb.prange(symbols * days):
        s, d = cell // days, cell % days
        measured, end = windows[d, 2], windows[d, 3]
        money, shares = 0.0, 0.0
        for i in range(bell[s, d], stop[s, d]):
            done = ts[i] + MINUTE
            if done > end:
                break
            money += (high[i] + low[i] + close[i]) / 3.0 * volume[i]
            shares += volume[i]
            if done > measured and money > 0.0:
                vwap = money / shares
                if close[i] <= vwap * (1.0 - threshold) or close[i] >= vwap * (1.0 + threshold):
                    found[s, d] = i
                    break
    return found


@nb.njit(parallel=True)
def _close(ts, open_, high, low, close, bell, stop, windows, momentum, fade):  # type: ignore[no-untyped-def]
    symbols, days = bell.shape
    found = np.full((symbols, days), -1, np.int64)
    for cell in nb.prange(symbols * days):
        s, d = cell // days, cell % days
        begin, measured, end = windows[d, 1], windows[d, 2], windows[d, 3]
        first = bell[s, d]
        before, count, mean, squares = open_[first], 0, 0.0, 0.0
        top, bottom, opened, closed = -np.inf, np.inf, 0.0, 0.0
        plan, level = 0, 0.0
        for i in range(first, stop[s, d]):
            done = ts[i] + MINUTE
            if done > end:
                break
            if done <= begin:
                change = close[i] / before - 1.0
                before = close[i]
                count += 1
                delta = change - mean
                mean += delta / count
                squares += delta * (change - mean)
            elif done <= measured:
                if opened == 0.0:
                    opened = open_[i]
                top, bottom, closed = max(top, high[i]), min(bottom, low[i]), close[i]
            else:
                if plan == 0:
                    plan = 5
                    noise = np.sqrt(squares / (count - 1))
                    if noise > 0.0 and opened > 0.0:
                        z = (closed / opened - 1.0) / (noise * np.sqrt((measured - begin) / MINUTE))
                        day = closed / open_[first] - 1.0
                        level = (top + bottom) / 2.0
                        if abs(z) >= fade:
                            plan = 2 if z > 0.0 and closed > level else 1 if z < 0.0 and closed < level else 5
                        elif day >= momentum and z > 0.0:
                            plan, level = 3, top
                        elif day <= -momentum and z < 0.0:
                            plan, level = 4, bottom
                if (
                    (plan == 1 and close[i] >= level)
                    or (plan == 2 and close[i] <= level)
                    or (plan == 3 and close[i] > level)
                    or (plan == 4 and close[i] < level)
                ):
                    found[s, d] = i
                    break
    return found


def open_by_hand(data: BarArrays, windows: Integers, numbers: Floats) -> Integers:
    rule = _open(data.start, data.high, data.low, data.close, data.bell, data.stop, windows, numbers[0], numbers[1])
    return cast("Integers", rule)


def mid_by_hand(data: BarArrays, windows: Integers, numbers: Floats) -> Integers:
    tables = (data.bell, data.stop, windows, numbers[0])
    return cast("Integers", _mid(data.start, data.high, data.low, data.close, data.volume, *tables))


def close_by_hand(data: BarArrays, windows: Integers, numbers: Floats) -> Integers:
    tables = (data.bell, data.stop, windows, numbers[0], numbers[1])
    return cast("Integers", _close(data.start, data.open, data.high, data.low, data.close, *tables))


PLAIN: Final[dict[StrategyName, Callable[[BarArrays, Integers, Floats], Integers]]] = {
    StrategyName.OPEN: open_by_hand,
    StrategyName.MID: mid_by_hand,
    StrategyName.CLOSE: close_by_hand,
}
