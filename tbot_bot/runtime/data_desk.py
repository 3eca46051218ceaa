"""Downloading a data set: which symbols and days, how long it will take, and the asking itself."""

import asyncio
from collections.abc import Callable
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tbot_bot.config.named_files import universe_symbols
from tbot_bot.config.settings import Settings
from tbot_bot.core.calendar import exchange_time, new_york, trading_days
from tbot_bot.runtime.bar_sources import Asked, bar_source
from tbot_bot.runtime.clock import wall_now

if TYPE_CHECKING:
    from tbot_bot.backtest.data_fetch import Fetched

_MINUTE: Final = 60
_EVENING_ENDS: Final = time(20, 0)


def days_over(first: date, last: date) -> tuple[date, ...]:
    """Return the trading days from `first` to `last` whose evening is over: a day's bars are fetched once.

    Raises:
        NotATradingDay: outside the calendar's range.
    """
    now = wall_now()
    today = exchange_time(now).date()
    ended = now >= new_york(today, _EVENING_ENDS)
    return tuple(day for day in trading_days(first, last) if day < today or (day == today and ended))


def fetch_set(
    settings: Settings,
    asked: Asked,
    *,
    symbols: tuple[str, ...],
    first: date,
    last: date,
    target: Path,
    survivorship: str,
    replace: bool,
    restart: bool,
    said: Callable[[str], None],
    progress: Callable[[int, int, str], None],
) -> "Fetched":
    """Download; `said` hears how long it takes, where that is more than a minute.

    Raises:
        TbotError: see `fetch_bars` and `bar_source`.
    """
    from tbot_bot.backtest.data_fetch import FetchRequest, fetch_bars, room_of  # noqa: PLC0415 - numpy

    request = FetchRequest(
        symbols=symbols or universe_symbols(settings.home, settings.bot.universe),
        days=days_over(first, last),
        target=target,
        made_at=wall_now(),
        survivorship=survivorship,
        replace=replace,
        restart=restart,
    )

    async def fetched() -> "Fetched":
        async with bar_source(settings, asked) as vendor:
            if request.days and request.symbols:
                pieces = vendor.pieces(request.symbols, request.days)
                come = len(list(room_of(target).glob("*.npz")))
                left = vendor.seconds_left(pieces[come:]) if come < len(pieces) else 0.0
                if left > _MINUTE:
                    said(f"{len(pieces) - come} requests to {vendor.name}, about {_words(left)}")
            return await fetch_bars(request, vendor, progress)

    return asyncio.run(fetched())


def _words(seconds: float) -> str:
    minutes = round(seconds / _MINUTE)
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min" if hours else f"{minutes} min"


__all__ = ["days_over", "fetch_set"]
