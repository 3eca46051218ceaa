"""Bar files read once for any number of days, for data that do not fit arrays."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.bar_arrays import bar_files_of
from tbot_bot.marketdata import bar_files
from tbot_bot.marketdata.bar_checks import days_of
from tbot_bot.marketdata.bar_files import Columns

_EPOCH: Final = date(1970, 1, 1)
_FOREVER: Final = 2**62


@dataclass(frozen=True, slots=True)
class _File:
    columns: Columns
    order: NDArray[np.int64]
    """Rows by time."""
    starts: NDArray[np.int64]
    """Times in that order."""


class KeptBars:
    """What was read of each file, whole; a day costs what the rows around it cost."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._files: dict[Path, _File] = {}

    def read(self, path: Path, first: int, end: int) -> Columns:
        """Return what `bar_files.read_minutes` returns.

        Raises:
            DataError: see there.
        """
        file = self._file(path)
        begin, stop = np.searchsorted(file.starts, (first, end)).tolist()
        return file.columns.pick(np.sort(file.order[begin:stop]))

    def days_of(self, source: Path) -> frozenset[date]:
        """Return the New York dates on which the files of `source` have bars.

        Raises:
            DataError: see `bar_files.read_minutes`.
        """
        numbers = {number for path in bar_files_of(source)[0] for number in days_of(self._file(path).starts).tolist()}
        return frozenset(_EPOCH + timedelta(days=number) for number in numbers)

    def _file(self, path: Path) -> _File:
        found = self._files.get(path)
        if found is None:
            columns = bar_files.read_minutes(path, 0, _FOREVER)
            order = np.argsort(columns.ts, kind="stable")
            found = self._files[path] = _File(columns, order, columns.ts[order])
        return found


__all__ = ["KeptBars"]
