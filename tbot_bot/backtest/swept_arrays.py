"""Rows that were read and looked at, made into what engines run on and what a check tells."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.bar_arrays import BarArrays, require_one_span, silence
from tbot_bot.backtest.parquet_rows import Swept, workers
from tbot_bot.config.error_handler import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_EPOCH: Final = date(1970, 1, 1)


def arrays_of_swept(swept: Swept, *, notices: tuple[str, ...], fingerprint: str) -> BarArrays:
    """Return the arrays of `swept`, whose rows are moved together on the way: nobody else may use them any more.

    Raises:
        NotForArrays: files with bars of different lengths.
        DataError: no trading day in them.
    """
    span = require_one_span(file.span for file in swept.files)
    numbers, hours = _days_of(swept)
    if not len(numbers):
        raise DataError("no bar of a trading day", where="the data", mend="Give bars of New York sessions.")
    places = _places(swept, hours, span)
    first, bell, stop, regular = (places[:, :, number] for number in range(4))
    start, open_, high, low, close, volume = swept.rows
    last_close = np.where(regular > bell, close[np.maximum(regular - 1, 0)], np.nan)
    day_volume = np.where(regular > bell, _shares(swept, numbers), np.nan)
    silent = day_volume == 0.0
    count = np.where(silent, 0, stop - first).ravel()
    early = np.where(silent, 0, bell - first)
    after = np.cumsum(count)
    kept = int(after[-1])
    if kept < len(start):
        _close_up(swept, first.ravel()[count > 0], count[count > 0])
    shape = first.shape
    begin = (after - count).reshape(shape)
    days = tuple(_EPOCH + timedelta(days=number) for number in numbers.tolist())
    return BarArrays(
        names=swept.names,
        days=days,
        span=span,
        start=start[:kept],
        open=open_[:kept],
        high=high[:kept],
        low=low[:kept],
        close=close[:kept],
        volume=volume[:kept],
        first=begin,
        bell=begin + early,
        stop=after.reshape(shape),
        last_close=last_close,
        day_volume=day_volume,
        notices=(*notices, *silence(swept.names, days, silent)),
        fingerprint=fingerprint,
    )


def _days_of(swept: Swept) -> tuple[Integers, Integers]:
    """Return the trading days with any bar, and their hours."""
    known: dict[int, Integers] = {}
    for file in swept.files:
        for place in np.flatnonzero((file.present > 0) & (file.hours[1] > 0)).tolist():
            known[int(file.days[place])] = file.hours[:, place]
    numbers = np.array(sorted(known), dtype=np.int64)
    hours = np.array([known[number] for number in numbers.tolist()], dtype=np.int64).reshape(len(numbers), 4)
    return numbers, np.ascontiguousarray(hours.T)


def _places(swept: Swept, hours: Integers, span: int) -> Integers:
    from tbot_bot.backtest.row_kernels import lay  # noqa: PLC0415 - compiles

    places = np.zeros((len(swept.names), hours.shape[1], 4), np.int64)
    lay(swept.begin, swept.stop, swept.rows[0], hours, span, places)
    return places


def _shares(swept: Swept, numbers: Integers) -> Floats:
    """Return the regular session's shares of symbols x days; volumes are whole, so no order of adding counts."""
    found = np.zeros((len(swept.names), len(numbers)))
    for file in swept.files:
        columns = np.searchsorted(numbers, file.days)
        known = (columns < len(numbers)) & (numbers[np.minimum(columns, len(numbers) - 1)] == file.days)
        found[np.ix_(file.symbols, columns[known])] += file.shares[:, known]
    return found


def _close_up(swept: Swept, begin: Integers, count: Integers) -> None:
    from tbot_bot.backtest.row_kernels import closed_up  # noqa: PLC0415 - compiles

    with ThreadPoolExecutor(workers()) as pool:
        waiting = [pool.submit(closed_up, begin, begin + count, column) for column in swept.rows]
        for one in waiting:
            one.result()


__all__ = ["arrays_of_swept"]
