"""Prices that do not belong: single bars far off their neighbours, and overnight jumps as a split leaves them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FAR: Final = 0.02
"""A wick shorter than this part of the price is never told."""
RANGES: Final = 15.0
"""How many usual ranges of a bar a wick has to be long."""
_BACK: Final = 0.5
"""How much of the wick the bars before and after may reach."""
RATIOS: Final = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 100.0)
"""Shares that one became in the splits of the last decades, and the other way round."""
_NEAR: Final = 0.06
"""How far the opening may be from the price that the ratio alone would give."""
_NIGHTS: Final = 10
"""Days between two sessions beyond which a price may be anywhere."""
_STAYS: Final = 0.12
"""How far the first closes after the jump may be from it: a crash moves on, a split does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadPrint:
    """A bar with a high or low that its neighbours know nothing of."""

    ts: int
    price: float
    beside: float
    """The nearest price of the bar's own open and close and of the bars beside it."""

    @property
    def size(self) -> float:
        """Return how far off it is, as a part of the price."""
        return abs(self.price / self.beside - 1)

    def __str__(self) -> str:
        """Return it in words."""
        side = "high" if self.price > self.beside else "low"
        return f"{side} {self.price:g} beside {self.beside:g} ({self.price / self.beside - 1:+.1%})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """A night over which the price changed as by a split."""

    day: int
    """New York date after the night, days since 1970."""
    close: float
    open: float
    ratio: float
    """Shares that one seems to have become; below 1 where several became one."""

    def __str__(self) -> str:
        """Return it in words."""
        shares = f"{self.ratio:g} for 1" if self.ratio > 1 else f"1 for {1 / self.ratio:g}"
        return f"close {self.close:g}, then open {self.open:g}: as of a split {shares}"


def bad_prints(ts: Integers, opened: Floats, high: Floats, low: Floats, close: Floats) -> list[BadPrint]:
    """Return the bars of one symbol, regular hours only, with a wick that stands alone."""
    if len(ts) < 3:  # noqa: PLR2004 - one before, one after
        return []
    usual = float(np.median((high - low) / close))
    limit = max(FAR, RANGES * usual)
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    beside_top = np.maximum(top, np.maximum(_shifted(high, 1), _shifted(high, -1)))
    beside_low = np.minimum(bottom, np.minimum(_shifted(low, 1), _shifted(low, -1)))
    found = [
        BadPrint(ts=int(ts[row]), price=float(high[row]), beside=float(top[row]))
        for row in np.flatnonzero((high > top * (1 + limit)) & (beside_top - top <= _BACK * (high - top))).tolist()
    ]
    found += [
        BadPrint(ts=int(ts[row]), price=float(low[row]), beside=float(bottom[row]))
        for row in np.flatnonzero(
            (low < bottom * (1 - limit)) & (bottom - beside_low <= _BACK * (bottom - low))
        ).tolist()
    ]
    # a whole bar at another level, and back: neither side of it is a wick
    before, after = _shifted(close, 1), _shifted(opened, -1)
    agree = np.abs(before / after - 1) <= limit / 2
    off = np.minimum(np.abs(bottom / before - 1), np.abs(top / before - 1)) > limit
    off &= np.minimum(np.abs(bottom / after - 1), np.abs(top / after - 1)) > limit
    off &= (bottom > before) == (top > before)
    found += [
        BadPrint(ts=int(ts[row]), price=float(close[row]), beside=float(before[row]))
        for row in np.flatnonzero(agree & off).tolist()
    ]
    return found


def _shifted(values: Floats, by: int) -> Floats:
    """Return each bar's neighbour; at the ends the bar itself."""
    found = np.roll(values, by)
    end = 0 if by > 0 else -1
    found[end] = values[end]
    return found


def unadjusted_splits(day: Integers, opened: Floats, close: Floats) -> list[Jump]:
    """Return the nights of one symbol over which its price changed by a ratio of splits, and stayed there."""
    begin = np.flatnonzero(np.diff(day)) + 1
    if not begin.size:
        return []
    before, after = close[begin - 1], opened[begin]
    found = []
    for place in np.flatnonzero(may_be_splits(day[begin] - day[begin - 1], before, after)).tolist():
        row, seen = int(begin[place]), float(before[place] / after[place])
        ratio = min((*RATIOS, *(1 / one for one in RATIOS)), key=lambda one: abs(seen / one - 1))
        stays = close[row : row + 60]
        settled = abs(float(np.median(stays)) / float(after[place]) - 1) <= _STAYS
        if abs(seen / ratio - 1) <= _NEAR and settled:
            found.append(Jump(day=int(day[row]), close=float(before[place]), open=float(after[place]), ratio=ratio))
    return found


def may_be_splits(nights: Integers, before: Floats, after: Floats) -> NDArray[np.bool_]:
    """Return over which nights (so many of them, the closes before, the opens after) the price moved far enough."""
    change = before / after
    found: NDArray[np.bool_] = (nights <= _NIGHTS) & (np.maximum(change, 1 / change) > RATIOS[0] * (1 - _NEAR))
    return found


__all__ = ["FAR", "RANGES", "RATIOS", "BadPrint", "Jump", "bad_prints", "may_be_splits", "unadjusted_splits"]
