"""One recorded trading day out of a bar file or a folder of them, with what earlier days in them tell.

Nothing after the day is ever read, and nothing is filled in: a minute without a trade has no bar. Previous
closes and average volumes come from earlier bars of the same data only.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tbot_bot.core.bars import Bar, VixReading
from tbot_bot.core.calendar import TradingDay
from tbot_bot.core.instants import Instant
from tbot_bot.core.market_day import Slice
from tbot_bot.core.screening import Fundamentals
from tbot_bot.marketdata.volatility import realised_volatility

if TYPE_CHECKING:
    from tbot_bot.marketdata.vix import RecordedVix


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the 20 trading days before the day tell of one symbol; regular sessions only."""

    closes: tuple[float, ...] = ()
    """Oldest first, dollars."""
    previous_close: float | None = None
    """Of the latest earlier day that has the symbol, at most five trading days back; dollars."""
    average_volume: float | None = None
    """Shares a day, over the days that have the symbol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolDay:
    """One symbol's bars of the day that count, oldest first."""

    bars: tuple[Bar, ...] = ()
    """Regular session."""
    bar_ends: tuple[int, ...] = ()
    known_ends: tuple[int, ...] = ()
    """Ends of pre-market and regular bars, ascending."""
    known_prices: tuple[float, ...] = ()
    """Their closes."""


_NO_HISTORY = History()
_NO_BARS = SymbolDay()


class RecordedDay:
    """A `MarketDay` over recorded bars. Build it with `load_day`."""

    def __init__(
        self,
        *,
        day: TradingDay,
        span: int,
        by_symbol: Mapping[str, SymbolDay],
        history: Mapping[str, History],
        fundamentals: Mapping[str, Fundamentals],
        vix: "RecordedVix | None",
        notices: tuple[str, ...],
    ) -> None:
        """Hold the day; `by_symbol` are its bars, `history` what came before."""
        self.day = day
        self.span = span
        self.symbols = tuple(sorted({*by_symbol, *(s for s, h in history.items() if h.previous_close is not None)}))
        self.notices = notices
        self._by_symbol = by_symbol
        self._history = history
        self._fundamentals = fundamentals
        self._vix = vix
        self._by_end = _grouped(by_symbol)

    def slices(self, start: Instant | None = None) -> Iterator[Slice]:
        """Yield every step of the grid, see `MarketDay`."""
        for begin in range(self.day.open_at, self.day.close_at, self.span):
            end = begin + self.span
            if start is None or begin >= start:
                yield Slice(Instant(begin), Instant(end), self._by_end.get(end, ()))

    def bars_until(self, symbol: str, at: Instant) -> tuple[Bar, ...]:
        """Return the regular bars complete at `at`."""
        known = self._by_symbol.get(symbol, _NO_BARS)
        return known.bars[: bisect_right(known.bar_ends, at)]

    def last_price(self, symbol: str, at: Instant) -> float | None:
        """Return the close of the last bar complete at `at`, pre-market included."""
        known = self._by_symbol.get(symbol, _NO_BARS)
        index = bisect_right(known.known_ends, at)
        return known.known_prices[index - 1] if index else None

    def previous_close(self, symbol: str) -> float | None:
        """Return the previous regular close in the same data."""
        return self._history.get(symbol, _NO_HISTORY).previous_close

    def average_volume(self, symbol: str) -> float | None:
        """Return the mean daily volume of up to 20 earlier days in the same data."""
        return self._history.get(symbol, _NO_HISTORY).average_volume

    def daily_closes(self, symbol: str) -> tuple[float, ...]:
        """Return up to 20 earlier closes, oldest first."""
        return self._history.get(symbol, _NO_HISTORY).closes

    def realised_volatility(self, symbol: str, at: Instant) -> float | None:
        """Return the annualised volatility before `at`: of daily closes, else of the day's bars."""
        return realised_volatility(self.daily_closes(symbol), self.bars_until(symbol, at))

    def fundamentals(self, symbol: str) -> Fundamentals | None:
        """Return the row of `fundamentals.csv`, if there is one."""
        return self._fundamentals.get(symbol)

    def vix_at(self, at: Instant) -> VixReading | None:
        """Return the VIX known at `at`; None without a file."""
        return None if self._vix is None else self._vix.vix_at(at)


def _grouped(by_symbol: Mapping[str, SymbolDay]) -> dict[int, tuple[Bar, ...]]:
    by_end: dict[int, list[Bar]] = {}
    for symbol in sorted(by_symbol):
        for bar in by_symbol[symbol].bars:
            by_end.setdefault(bar.end, []).append(bar)
    return {end: tuple(bars) for end, bars in by_end.items()}
