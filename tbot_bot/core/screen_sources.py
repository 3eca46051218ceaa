"""What a live screen asks the world for: which symbols there are, and what each costs. Protocols and their answers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Protocol

from tbot_bot.core.calendar import exchange_time, previous_trading_day
from tbot_bot.core.instants import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Whether and how a symbol may be traded; None where the source does not say."""

    symbol: str
    exchange: str = ""
    tradable: bool | None = None
    shortable: bool | None = None
    fractionable: bool | None = None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A symbol's latest trade, dollars a share."""

    price: Decimal
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyBar:
    """A day's trading as a source tells it, dollars and shares; the day may be going on."""

    day: date
    open: Decimal | None = None
    close: Decimal
    volume: Decimal | None = None
    vwap: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one source knows of one symbol on one day."""

    symbol: str
    source: str
    price: Decimal | None
    """The day's last price; None before its first trade."""
    priced_at: Instant | None
    previous_close: Decimal | None
    """Close of the trading day before; None where the source has an older one only."""
    day_open: Decimal | None = None
    day_volume: Decimal | None = None
    day_vwap: Decimal | None = None


def reading_of(symbol: str, source: str, day: date, trade: Trade | None, bars: Iterable[DailyBar]) -> Reading:
    """Return what `trade` and daily `bars` say about `symbol` on trading day `day`.

    Before the bell a vendor's latest daily bar is still that of the day before: bars count by their own date. A
    trade of an earlier day is no price of this one, and a close older than the trading day before is no previous one.
    """
    by_day = {bar.day: bar for bar in bars}
    today, before = by_day.get(day), by_day.get(previous_trading_day(day))
    fresh = trade is not None and exchange_time(trade.at).date() == day
    return Reading(
        symbol=symbol,
        source=source,
        price=trade.price if trade is not None and fresh else None if today is None else today.close,
        priced_at=trade.at if trade is not None and fresh else None,
        previous_close=None if before is None else before.close,
        day_open=None if today is None else today.open,
        day_volume=None if today is None else today.volume,
        day_vwap=None if today is None else today.vwap,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a source answered about the symbols it was asked for."""

    readings: Mapping[str, Reading]
    refused: Mapping[str, str] = field(default_factory=dict)
    """Symbols that the source has no answer to, and why."""
    trouble: str = ""
    """What kept it from answering about all others; they are for the next source. Empty: nothing did."""


class PriceSource(Protocol):
    """Tells prices."""

    name: str
    symbols_max: int | None
    """How many symbols it can tell in the time there is; None: all."""

    async def prices(self, symbols: tuple[str, ...], day: date, progress: Callable[[int], None]) -> Prices:
        """Return prices on `day`; a source that fails says so in `trouble` and answers as far as it got.

        `progress` is told how many symbols were done, since the last time.
        """
        ...


class ListingSource(Protocol):
    """Tells which symbols there are."""

    name: str

    async def listings(self) -> tuple[Listing, ...]:
        """Return all US common stocks and funds that the source lists.

        Raises:
            TbotError: it cannot tell.
        """
        ...


__all__ = [
    "DailyBar", "Listing", "ListingSource", "PriceSource", "Prices", "Reading", "Trade", "reading_of",
]  # fmt: skip
