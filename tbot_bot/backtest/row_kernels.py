# ruff: noqa: C901, PLR0912 - a loop over rows compiles as it stands: branches, no calls
"""The compiled loops that put rows of files in their places, and look at each of them once.

This module compiles when its functions are first called, so only readers of large files import it. All loops run
without the interpreter's lock: the caller shares the work among threads.
"""

from collections.abc import Callable
from typing import Final, TypeVar, cast

import numba as nb
import numpy as np
from numpy.typing import NDArray

from tbot_bot.core.instants import HOUR, MINUTE

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Codes = NDArray[np.uint16] | NDArray[np.uint32]
Rows = tuple[Integers, Floats, Floats, Floats, Floats, Floats]
"""start, open, high, low, close, volume."""
F = TypeVar("F", bound=Callable[..., object])

BAD: Final = 1
"""A price or a volume that cannot be."""
OFF_MINUTE: Final = 2
UNSORTED: Final = 4
"""A bar that does not begin after the one before it."""
NIGHT: Final = 8
DISTANCES: Final = 480
"""Minutes: bars at least so far apart are of two sessions."""
_FAR: Final = 0.02 * (1.0 - 1e-9)
"""`price_jumps.FAR`, less what rounding may cost."""
_BACK: Final = 0.5 * (1.0 + 1e-9)
"""`price_jumps.BACK`, likewise."""
_KEPT: Final = bool(getattr(nb.config, "CACHE_DIR", ""))
_INF: Final = np.inf


def _compiled(function: F) -> F:
    return cast("F", nb.njit(nogil=True, cache=_KEPT)(function))


@_compiled
def spread(
    codes: Codes, cursor: Integers, unit: int, ts: Integers, numbers: tuple[Floats, ...], into: Rows, seen: Integers
) -> None:
    """Put each row at the next free place of its symbol.

    `ts` counts units of `unit` nanoseconds. `seen` is first, last, least and greatest `ts` so far, and how often one
    was before the one before.
    """
    start, open_, high, low, close, volume = into
    from_open, from_high, from_low, from_close, from_volume = numbers
    last, least, most, back = seen[1], seen[2], seen[3], seen[4]
    for row in range(len(ts)):
        at = ts[row]
        if at < last:
            back += 1
        last = at
        least = min(least, at)
        most = max(most, at)
        place = cursor[codes[row]]
        cursor[codes[row]] = place + 1
        start[place] = at * unit
        open_[place] = from_open[row]
        high[place] = from_high[row]
        low[place] = from_low[row]
        close[place] = from_close[row]
        volume[place] = from_volume[row]
    seen[1], seen[2], seen[3], seen[4] = last, least, most, back


@_compiled
def tally_codes(indices: NDArray[np.int32], known: Integers, codes: Codes, counts: Integers, before: int) -> int:
    """Translate the dictionary's `indices` by `known` to `codes` and count them; return how often they change.

    `before` is the code before the first, -1 where there is none.
    """
    changes = 0
    for row in range(len(indices)):
        code = known[indices[row]]
        codes[row] = code
        counts[code] += 1
        if code != before:
            changes += 1
            before = code
    return changes


@_compiled
def sweep(
    begin: Integers,
    stop: Integers,
    rows: Rows,
    hours: Integers,
    counts: Integers,
    shares: Floats,
    opens: Floats,
    closes: Floats,
    present: Integers,
    distances: Integers,
    found: Integers,
) -> None:
    """Look at the rows `begin` to `stop` of each symbol.

    `hours` is 4 x days: end of the night, opening and closing bell (0: closed), end of the evening. By symbol and
    day: regular bars (`counts`), their `shares`, first open and last close; by day, whether there is any row. By
    minutes between two bars, how often (`distances`, the last but one for longer ones within a session's length,
    the last for all others). By symbol (`found`): faults, bars outside the session, bars of closed days, and whether a
    price may be out of line.
    """
    start, open_, high, low, close, volume = rows
    days = hours.shape[1]
    for symbol in range(len(begin)):
        day, faults, extended, closed, doubtful = 0, 0, 0, 0, 0
        previous, one, two = -1, -1, -1
        for row in range(begin[symbol], stop[symbol]):
            at = start[row]
            o, h, l, c, v = open_[row], high[row], low[row], close[row], volume[row]  # noqa: E741 - as bars are written
            priced = l > 0.0 and h >= o and h >= c and l <= o and l <= c and h < _INF
            if not (priced and v >= 0.0 and v < _INF and v == np.floor(v)):
                faults |= BAD
            if at % MINUTE != 0:
                faults |= OFF_MINUTE
            if previous >= 0:
                distance = at - previous
                if distance <= 0:
                    faults |= UNSORTED
                elif distance < DISTANCES * MINUTE:
                    distances[distance // MINUTE] += 1
                else:
                    distances[DISTANCES] += 1
            previous = at
            while day + 1 < days and at >= hours[0, day + 1]:
                day += 1
            if at < hours[0, day] or at >= hours[3, day]:
                faults |= NIGHT
                continue
            present[day] = 1
            if hours[1, day] == 0:
                closed += 1
                continue
            if at < hours[1, day] or at >= hours[2, day]:
                extended += 1
                continue
            if counts[symbol, day] == 0:
                opens[symbol, day] = o
            closes[symbol, day] = c
            counts[symbol, day] += 1
            shares[symbol, day] += v
            if one >= 0:
                doubtful |= _doubtful(rows, two if two >= 0 else one, one, row)
            two, one = one, row
        if one >= 0:
            doubtful |= _doubtful(rows, two if two >= 0 else one, one, one)
        found[symbol, 0], found[symbol, 1], found[symbol, 2], found[symbol, 3] = faults, extended, closed, doubtful


@nb.njit(inline="always", cache=_KEPT)
def _doubtful(rows: Rows, before: int, row: int, after: int) -> int:
    """Return 1 where `price_jumps.bad_prints` may tell of `row`, whatever its limit turns out to be."""
    _, open_, high, low, close, _ = rows
    top, bottom = max(open_[row], close[row]), min(open_[row], close[row])
    if high[row] > top * (1.0 + _FAR) and max(top, high[before], high[after]) - top <= _BACK * (high[row] - top):
        return 1
    if low[row] < bottom * (1.0 - _FAR) and bottom - min(bottom, low[before], low[after]) <= _BACK * (
        bottom - low[row]
    ):
        return 1
    earlier, later = close[before], open_[after]
    above = bottom > earlier * (1.0 + _FAR) and bottom > later * (1.0 + _FAR)
    below = top < earlier * (1.0 - _FAR) and top < later * (1.0 - _FAR)
    return 1 if above or below else 0


@_compiled
def lay(begin: Integers, stop: Integers, start: Integers, hours: Integers, span: int, places: Integers) -> None:
    """Find where each day's rows lie, by symbol and day.

    First row, first regular one, one past the last that ends by the closing bell, one past the last regular one.
    """
    for symbol in range(len(begin)):
        low = begin[symbol]
        for day in range(hours.shape[1]):
            first = _lower(start, low, stop[symbol], hours[0, day])
            bell = _lower(start, first, stop[symbol], hours[1, day])
            end = _lower(start, bell, stop[symbol], hours[2, day] - span + 1)
            low = _lower(start, end, stop[symbol], hours[2, day])
            places[symbol, day, 0], places[symbol, day, 1] = first, bell
            places[symbol, day, 2], places[symbol, day, 3] = end, low


@_compiled
def _lower(start: Integers, begin: int, stop: int, at: int) -> int:
    """Return the first row from `begin` on that starts at or after `at`."""
    if begin >= stop or start[begin] >= at:
        return begin
    ahead = 1  # what is looked for is near, so the steps grow from here
    while begin + ahead < stop and start[begin + ahead] < at:
        begin += ahead
        ahead *= 2
    last = min(begin + ahead, stop)
    while begin + 1 < last:
        middle = (begin + last) // 2
        if start[middle] < at:
            begin = middle
        else:
            last = middle
    return begin + 1


@_compiled
def closed_up(begin: Integers, stop: Integers, column: Floats | Integers) -> None:
    """Move the parts `begin` to `stop` of `column` together; they are in order."""
    free = 0
    for part in range(len(begin)):
        if begin[part] != free:
            for row in range(begin[part], stop[part]):
                column[free + row - begin[part]] = column[row]
        free += stop[part] - begin[part]


@_compiled
def on_grid(start: Integers, span: int) -> bool:
    """Return whether every bar starts on a multiple of `span`."""
    for row in range(len(start)):  # noqa: SIM110 - compiled as it stands
        if start[row] % span != 0:
            return False
    return True


__all__ = [
    "BAD", "DISTANCES", "HOUR", "NIGHT", "OFF_MINUTE", "UNSORTED", "closed_up", "lay", "on_grid", "spread", "sweep",
    "tally_codes",
]  # fmt: skip
