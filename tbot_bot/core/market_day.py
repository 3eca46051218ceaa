"""What a trading day's data looks like to everyone who consumes it."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from tbot_bot.core.bars import Bar, VixReading
from tbot_bot.core.calendar import TradingDay
from tbot_bot.core.instants import Instant
from tbot_bot.core.screening import Fundamentals


class Slice(NamedTuple):
    """One step of the regular session's grid: everything that became known at `end`."""

    start: Instant
    end: Instant
    bars: tuple[Bar, ...]
    """The bars that are complete at `end`, by symbol; empty where nothing traded."""


class MarketDay(Protocol):
    """One trading day of market data. Whatever takes an instant answers only with what was known by then."""

    @property
    def day(self) -> TradingDay:
        """The session."""

    @property
    def span(self) -> int:
        """Nanoseconds of the finest bar, and of one step of the grid."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol of the day, sorted; inverse ETFs included."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What the operator should know about the data, in words."""

    def slices(self, start: Instant | None = None) -> Iterator[Slice]:
        """Yield every step from the bell (or the first that begins at or after `start`) to the close."""

    def bars_until(self, symbol: str, at: Instant) -> tuple[Bar, ...]:
        """Return the symbol's regular-session bars that are complete at `at`, oldest first."""

    def last_price(self, symbol: str, at: Instant) -> float | None:
        """Return the close of the day's last bar complete at `at`, pre-market included; dollars."""

    def previous_close(self, symbol: str) -> float | None:
        """Return the last regular-session close before the day; dollars."""

    def average_volume(self, symbol: str) -> float | None:
        """Return the mean regular-session volume of up to 20 earlier days; shares a day."""

    def daily_closes(self, symbol: str) -> tuple[float, ...]:
        """Return regular-session closes of up to 20 earlier trading days, oldest first; dollars."""

    def realised_volatility(self, symbol: str, at: Instant) -> float | None:
        """Return the annualised volatility of the symbol's returns before `at` (0.35 is 35 %)."""

    def fundamentals(self, symbol: str) -> Fundamentals | None:
        """Return the slow facts, None where there is no source for the symbol."""

    def vix_at(self, at: Instant) -> VixReading | None:
        """Return the VIX as known at `at`, None where missing or older than a trading day."""
