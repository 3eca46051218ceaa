"""One day of a data set as the `MarketDay` that screeners, venues and put models ask; both engines stand on it."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.bar_arrays import BarArrays
from tbot_bot.core.bars import Bar, VixReading
from tbot_bot.core.calendar import trading_day
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.market_day import Slice
from tbot_bot.core.screening import Fundamentals
from tbot_bot.marketdata.recorded_loader import HISTORY_DAYS, STALE_CLOSE_DAYS, earlier_sessions
from tbot_bot.marketdata.volatility import realised_volatility

if TYPE_CHECKING:
    from tbot_bot.marketdata.vix import RecordedVix


class ArrayDay:
    """A `MarketDay` over one column of `BarArrays`; bars become objects when somebody asks for them."""

    def __init__(
        self, arrays: BarArrays, column: int, fundamentals: Mapping[str, Fundamentals], vix: "RecordedVix | None"
    ) -> None:
        """Stand on the `column`-th day of `arrays`."""
        self.arrays: Final = arrays
        self.column: Final = column
        self.day = trading_day(arrays.days[column])
        self.span = arrays.span
        self.row_of: Final = {name: number for number, name in enumerate(arrays.names)}
        self.notices: tuple[str, ...] = ()
        self._fundamentals, self._vix = fundamentals, vix
        numbers = {day: number for number, day in enumerate(arrays.days)}
        earlier = earlier_sessions(self.day.day)
        self._earlier = [(place, numbers[one.day]) for place, one in enumerate(earlier) if one.day in numbers]
        self._fresh = len(earlier) - STALE_CLOSE_DAYS
        # a memoryview gives a Python number at once, where an array makes one of its own first
        self._starts: Final = arrays.start.data
        prices = (arrays.open, arrays.high, arrays.low, arrays.close, arrays.volume)
        self._numbers: Final = [cast("memoryview[float]", column.data) for column in prices]
        self._places: tuple[list[int], list[int], list[int]] | None = None
        # what only the data decide is found out once for all parameter sets
        self._volatility: dict[str, float | None] = {}
        self._volatility_at: dict[tuple[str, Instant], float | None] = {}
        self._vix_known: dict[Instant, VixReading | None] = {}
        self._known: dict[str, tuple[float, ...]] = {}
        self._today: dict[str, tuple[Bar, ...]] = {}
        self._since: dict[StrategyName, tuple[tuple[tuple[str, ...], int], tuple[Bar, ...]]] = {}
        self._past: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._by_end: dict[int, tuple[Bar, ...]] | None = None
        there = arrays.stop[:, column] > arrays.first[:, column]
        if not there.all():
            there = there | ~np.isnan(self.past()[0])
        self.symbols = tuple(arrays.names[row] for row in np.flatnonzero(there).tolist())
        self.bars: Final = int((arrays.stop[:, column] - arrays.bell[:, column]).sum())
        """How many regular bars there are."""

    def has_bars(self, row: int) -> bool:
        """Return whether the symbol in `row` has a bar, pre-market included, and counts."""
        firsts, _, stops = self.places
        return stops[row] > firsts[row]

    @property
    def places(self) -> tuple[list[int], list[int], list[int]]:
        """Return by table row the day's first row, its first regular one, and one past its last."""
        if self._places is None:
            tables = (self.arrays.first, self.arrays.bell, self.arrays.stop)
            first, bell, stop = (table[:, self.column].tolist() for table in tables)
            self._places = first, bell, stop
        return self._places

    def slices(self, start: Instant | None = None) -> Iterator[Slice]:
        """Yield every step of the grid, see `MarketDay`."""
        if self._by_end is None:
            self._by_end = self._grouped()
        for begin in range(self.day.open_at, self.day.close_at, self.span):
            end = begin + self.span
            if start is None or begin >= start:
                yield Slice(Instant(begin), Instant(end), self._by_end.get(end, ()))

    def _grouped(self) -> dict[int, tuple[Bar, ...]]:
        by_end: dict[int, list[Bar]] = {}
        for name in self.symbols:
            for bar in self.bars_today(name):
                by_end.setdefault(bar.end, []).append(bar)
        return {end: tuple(bars) for end, bars in by_end.items()}

    def bars_today(self, symbol: str) -> tuple[Bar, ...]:
        """Return all regular bars of `symbol`."""
        found = self._today.get(symbol)
        if found is None:
            row = self.row_of.get(symbol)
            rows = range(0) if row is None else self.rows(row)
            found = self._today[symbol] = self.bars_at(symbol, rows.start, rows.stop)
        return found

    def rows(self, row: int) -> range:
        """Return the rows of the regular session of the symbol in table row `row`."""
        _, bells, stops = self.places
        return range(bells[row], stops[row])

    def bars_at(self, symbol: str, begin: int, stop: int) -> tuple[Bar, ...]:
        """Return the bars in array rows `begin` to `stop`."""
        if begin >= stop:
            return ()
        span = self.span
        starts, rest = self._starts[begin:stop].tolist(), (column[begin:stop].tolist() for column in self._numbers)
        cells = zip(starts, *rest, strict=True)
        return tuple(Bar(symbol, at, at + span, *prices) for at, *prices in cells)

    def bar_at(self, symbol: str, row: int) -> Bar:
        """Return the bar in array row `row`."""
        opens, highs, lows, closes, volumes = self._numbers
        at = self._starts[row]
        return Bar(symbol, at, at + self.span, opens[row], highs[row], lows[row], closes[row], volumes[row])

    def row_at(self, row: int, start: int) -> int:
        """Return the array row of the regular bar of table row `row` that begins at `start`; -1 where there is none."""
        found = self.row_until(row, start + self.span) - 1
        return found if found >= self.places[1][row] and self._starts[found] == start else -1

    def rows_at(self, rows: Mapping[str, int], start: int) -> dict[str, int]:
        """Return those of `rows`, array rows by name, whose bars begin at `start`."""
        starts = self._starts
        return {name: row for name, row in rows.items() if starts[row] == start}

    def first_start(self, rows: Iterable[int]) -> int | None:
        """Return when the first of the bars in array rows `rows` begins; None where there is none."""
        return min(map(self._starts.__getitem__, rows), default=None)

    def start_of(self, row: int) -> int:
        """Return when the bar in array row `row` begins."""
        return self._starts[row]

    def row_until(self, row: int, at: int) -> int:
        """Return one past the last regular row of table row `row` that is complete at `at`."""
        _, bells, stops = self._places or self.places
        return bisect_right(self._starts, at - self.span, bells[row], stops[row])

    def bars_until(self, symbol: str, at: Instant) -> tuple[Bar, ...]:
        """Return the regular bars complete at `at`."""
        row = self.row_of.get(symbol)
        if row is None:
            return ()
        return self.bars_at(symbol, self.rows(row).start, self.row_until(row, at))

    def since_the_bell(self, symbols: tuple[str, ...], at: int, strategy: StrategyName) -> tuple[Bar, ...]:
        """Return the last bar of each of `symbols` at `at`; before it, for OPEN and its gap limit, the first one.

        The last answer to each strategy is kept for the parameter sets that follow.
        """
        known = self._since.get(strategy)
        if known is None or known[0] != (symbols, at):
            found: list[Bar] = []
            for symbol in symbols:
                row = self.row_of[symbol]
                begin, until = self.rows(row).start, self.row_until(row, at)
                if until > begin and strategy is StrategyName.OPEN:
                    found.append(self.bar_at(symbol, begin))
                if until > begin:
                    found.append(self.bar_at(symbol, until - 1))
            known = self._since[strategy] = (symbols, at), tuple(found)
        return known[1]

    def last_price(self, symbol: str, at: Instant) -> float | None:
        """Return the close of the last bar complete at `at`, pre-market included."""
        row = self.row_of.get(symbol)
        if row is None:
            return None
        firsts, _, stops = self.places
        until = bisect_right(self._starts, at - self.span, firsts[row], stops[row])
        return float(self._numbers[3][until - 1]) if until > firsts[row] else None

    def previous_close(self, symbol: str) -> float | None:
        """Return the previous regular close in the same data."""
        row = self.row_of.get(symbol)
        if row is None:
            return None
        previous = float(self.past()[0][row])
        return None if previous != previous else previous  # noqa: PLR0124 - NaN

    def average_volume(self, symbol: str) -> float | None:
        """Return the mean daily volume of up to 20 earlier days in the same data."""
        row = self.row_of.get(symbol)
        if row is None:
            return None
        average = float(self.past()[1][row])
        return None if average != average else average  # noqa: PLR0124 - NaN

    def daily_closes(self, symbol: str) -> tuple[float, ...]:
        """Return up to 20 earlier closes, oldest first."""
        found = self._known.get(symbol)
        if found is None:
            row = self.row_of.get(symbol)
            table = self.arrays.last_close
            found = self._known[symbol] = (
                ()
                if row is None or self._silent(row)
                else tuple(
                    float(table[row, column]) for _, column in self._earlier if table[row, column] == table[row, column]
                )
            )
        return found

    def realised_volatility(self, symbol: str, at: Instant) -> float | None:
        """Return the annualised volatility before `at`: of daily closes, else of the day's bars."""
        if symbol not in self._volatility:
            self._volatility[symbol] = realised_volatility(self.daily_closes(symbol), ())
        enough = self._volatility[symbol]
        if enough is not None:
            return enough
        if (symbol, at) not in self._volatility_at:
            self._volatility_at[symbol, at] = realised_volatility((), self.bars_until(symbol, at))
        return self._volatility_at[symbol, at]

    def fundamentals(self, symbol: str) -> Fundamentals | None:
        """Return the row of `fundamentals.csv`, if there is one."""
        return self._fundamentals.get(symbol)

    def vix_at(self, at: Instant) -> VixReading | None:
        """Return the VIX known at `at`; None without a file."""
        if self._vix is None:
            return None
        if at not in self._vix_known:
            self._vix_known[at] = self._vix.vix_at(at)
        return self._vix_known[at]

    def past(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return previous close and average volume of every symbol, NaN where unknown."""
        if self._past is None:
            silent = self.arrays.day_volume[:, self.column] == 0.0
            previous, average = self._closed(), self._traded()
            self._past = np.where(silent, np.nan, previous), np.where(silent, np.nan, average)
        return self._past

    def _closed(self) -> NDArray[np.float64]:
        """Return each symbol's newest earlier close, NaN where it is older than five trading days."""
        previous = np.full(len(self.arrays.names), np.nan)
        if self._earlier:
            places, columns = (np.array(numbers) for numbers in zip(*self._earlier, strict=True))
            closes = self.arrays.last_close[:, columns]
            newest = len(columns) - 1 - np.argmax(~np.isnan(closes[:, ::-1]), axis=1)
            found = closes[np.arange(len(closes)), newest]
            previous[:] = np.where(places[newest] >= self._fresh, found, np.nan)
        return previous

    def _traded(self) -> NDArray[np.float64]:
        """Return each symbol's mean volume of the earlier days, NaN where there is none."""
        volumes = self.arrays.day_volume[:, [column for _, column in self._earlier]]
        unknown = np.isnan(volumes)
        count = (~unknown).sum(axis=1)
        # one day after another, as a sum of Python's goes
        total = np.where(unknown, 0.0, volumes).cumsum(axis=1)[:, -1:].sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _silent(self, row: int) -> bool:
        return bool(self.arrays.day_volume[row, self.column] == 0.0)


__all__ = ["HISTORY_DAYS", "ArrayDay"]
