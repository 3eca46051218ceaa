"""Judges recorded minute bars: one clear `DataError` for the first thing wrong, never a repair.

A duplicated or unsorted file is refused even where it could be mended: nobody can tell which of two bars the
recorder meant.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.instants import HOUR, MINUTE, Instant, iso
from tbot_bot.marketdata.bar_files import PRICES, Columns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tbot_bot.marketdata.bar_files import Integers

_CHECK: Final = "Correct the file at its source."

_NIGHT: Final = 8 * HOUR
"""Two bars this far apart are of two sessions; their distance says nothing about the length of a bar."""


def check_order(path: Path, columns: Columns) -> None:
    """Refuse rows that are neither sorted by symbol, ts nor by ts, symbol, and a bar that stands twice.

    Raises:
        DataError: names the first offending row.
    """
    import numpy as np

    ts, codes = columns.ts, columns.codes
    if len(ts) < 2:  # noqa: PLR2004 - nothing to compare
        return
    if sorting(columns) is None:
        return
    changes = codes[1:] != codes[:-1]
    back = ts[1:] < ts[:-1]
    by_symbol = np.flatnonzero(back & ~changes)
    runs = int(np.count_nonzero(changes)) + 1
    grouped = by_symbol.size == 0 and runs == len(np.unique(codes))
    if not grouped and bool(back.any()):
        row = int(by_symbol[0] if by_symbol.size else np.flatnonzero(back)[0]) + 1
        raise DataError(
            f"is not sorted: {_at(columns, row)} comes after {_at(columns, row - 1)}",
            where=str(path),
            mend="Sort it by symbol, ts or by ts, symbol.",
        )
    order = np.lexsort((ts, codes))
    twice = np.flatnonzero((ts[order][1:] == ts[order][:-1]) & (codes[order][1:] == codes[order][:-1]))
    if twice.size:
        row = int(order[twice + 1].min())
        raise DataError(f"{_at(columns, row)} stands there {_times(int(twice.size))}", where=str(path), mend=_CHECK)


def sorting(columns: Columns) -> "Integers | None":
    """Return the index that groups the rows by symbol, oldest first; None where they stand so already."""
    import numpy as np

    ts, codes = columns.ts, columns.codes
    changes = codes[1:] != codes[:-1]
    groups = int(np.count_nonzero(np.bincount(codes, minlength=1)))
    if int(np.count_nonzero(changes)) + 1 <= groups and bool((changes | (ts[1:] > ts[:-1])).all()):
        return None
    return np.lexsort((ts, codes))


def check_values(path: Path, columns: Columns) -> None:
    """Refuse prices that are not finite, positive and consistent, and volumes that are negative or broken.

    Raises:
        DataError: names the first offending row with its values.
    """
    import numpy as np

    prices = {name: getattr(columns, name) for name in PRICES}
    for name, values in prices.items():
        _refuse(path, columns, ~np.isfinite(values), f"{name} is not a finite number")
        _refuse(path, columns, values <= 0, f"{name} is not positive")
    _refuse(path, columns, columns.high < columns.low, "high is below low")
    top = np.maximum(columns.open, columns.close)
    bottom = np.minimum(columns.open, columns.close)
    _refuse(path, columns, columns.high < top, "high is below open or close")
    _refuse(path, columns, columns.low > bottom, "low is above open or close")
    _refuse(path, columns, ~np.isfinite(columns.volume), "volume is not a finite number")
    _refuse(path, columns, columns.volume < 0, "volume is negative")
    _refuse(path, columns, columns.volume != np.floor(columns.volume), "volume is fractional: not a US equity")


def infer_span(path: Path, columns: Columns) -> int:
    """Return the length of a bar in nanoseconds: the most common distance of two bars of one symbol.

    Bars that do not fit that grid make it one minute (a thin symbol may trade every other minute).

    Raises:
        DataError: bars of an hour and longer, or times that are not on the minute.
    """
    import numpy as np

    off = columns.ts % MINUTE != 0
    _refuse(path, columns, off, "the start is not on a whole minute")
    order = sorting(columns)
    rows = columns if order is None else columns.pick(order)
    distances = np.diff(rows.ts)[rows.codes[1:] == rows.codes[:-1]]
    within = distances[distances < _NIGHT]
    distances = within if within.size else distances
    if 2 * int(np.count_nonzero(distances == MINUTE)) >= distances.size:
        return MINUTE
    values, counts = np.unique(distances, return_counts=True)
    span = int(values[np.argmax(counts)])
    if span >= HOUR:
        raise DataError(
            f"holds daily or hourly bars: the most common distance is {span / HOUR:g} hours",
            where=str(path),
            mend="A session needs minute bars: 1 or 5 minutes.",
        )
    fits = HOUR % span == 0 and not bool((columns.ts % span != 0).any())
    return span if fits else MINUTE


def _refuse(path: Path, columns: Columns, bad: "NDArray[np.bool_]", what: str) -> None:
    if not bool(bad.any()):
        return
    import numpy as np

    row = int(np.argmax(bad))
    shown = ", ".join(f"{name} {getattr(columns, name)[row]:g}" for name in (*PRICES, "volume"))
    more = int(np.count_nonzero(bad)) - 1
    others = f"; {more} more such rows" if more else ""
    raise DataError(f"{_at(columns, row)}: {what} ({shown}){others}", where=str(path), mend=_CHECK)


def _at(columns: Columns, row: int) -> str:
    return f"{columns.names[int(columns.codes[row])]} {iso(Instant(int(columns.ts[row])))}"


def _times(repeats: int) -> str:
    return "twice" if repeats == 1 else f"twice; {repeats} repeated bars in all"


def days_of(starts: "Integers") -> "Integers":
    """Return the distinct New York dates of `starts`, as days since the epoch, ascending.

    Bars lie within 04:00-20:00 New York, so a fixed shift of five hours gives the date, summer and winter.
    """
    import numpy as np

    numbers = (starts - 5 * HOUR) // (24 * HOUR)
    if len(numbers) < 2:  # noqa: PLR2004 - nothing repeats
        return numbers
    changes = np.concatenate([[True], numbers[1:] != numbers[:-1]])
    return np.unique(numbers[changes])  # bars of a day stand together: few are left to sort
