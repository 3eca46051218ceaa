"""Alpaca as a source for the screen: its list of assets, and snapshots of many symbols a call.

Forms: the vendor's OpenAPI documents. Lenient, as descriptions are: what cannot be read of one symbol is missing.
A batch with a symbol that Alpaca does not know is refused as a whole; it is halved until that symbol stands alone.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.vendor_errors import VendorKeysRefused, VendorNotUnderstood, VendorRefused
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import Instant, parse_iso
from tbot_bot.core.money import exact
from tbot_bot.core.screen_sources import DailyBar, Listing, Prices, Reading, Trade, reading_of
from tbot_bot.marketdata.vendor_http import Vendor, VendorHttp

NAME: Final = "alpaca"
SYMBOLS_PER_CALL: Final = 200
"""Some 1,200 characters of address: every proxy takes that, and 8,000 symbols are 40 calls."""
_AT_ONCE: Final = 4
_SENSIBLE: Final = (Decimal("0.000001"), Decimal(10**12))
"""No price and no volume lies outside."""
_EXCHANGES: Final = frozenset({"NYSE", "NASDAQ", "AMEX", "ARCA", "BATS", "NYSEARCA"})
"""Where shares and funds are listed; the rest of Alpaca's list is over the counter."""


def alpaca_vendor(url: str, key: str, secret: str) -> Vendor:
    """Return Alpaca's interface at `url`."""
    mend = "Look at the ALPACA_*_API_KEY, ALPACA_*_SECRET_KEY and ALPACA_*_URL in .env."
    headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
    return Vendor(name=NAME, url=url, headers=headers, mend=mend)


class AlpacaAssets:
    """The broker's own list: what it lists, it trades."""

    name: str = NAME

    def __init__(self, http: VendorHttp) -> None:
        """`http` is the trading interface; only its list of assets is read."""
        self._http = http

    async def clock(self) -> Instant:
        """Return the broker's time."""
        told = await self._http.get("/v2/clock", {})
        try:
            return parse_iso(str(told.get("timestamp")) if isinstance(told, dict) else "")
        except (ValueError, OverflowError):
            raise VendorNotUnderstood("a clock that shows no time", where=NAME) from None

    async def listings(self) -> tuple[Listing, ...]:
        """Return all active shares and funds of US exchanges."""
        return assets_of(await self._http.get("/v2/assets", {"status": "active", "asset_class": "us_equity"}))


@dataclass(slots=True, kw_only=True)
class _Collected:
    readings: dict[str, Reading] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    trouble: str = ""


class AlpacaSnapshots:
    """Batch snapshots: latest trade, the day's bar and that of the day before."""

    name: str = NAME
    symbols_max: int | None = None

    def __init__(self, http: VendorHttp, *, feed: str = "", per_call: int = SYMBOLS_PER_CALL) -> None:
        """`http` is the data interface; without a `feed` the account's best one answers."""
        self._http, self._feed, self._per_call = http, feed, per_call

    async def prices(self, symbols: tuple[str, ...], day: date, progress: Callable[[int], None]) -> Prices:
        """Return prices on `day`; after a call that failed in spite of retries no further one is begun.

        Raises:
            VendorKeysRefused: Alpaca does not know the keys.
        """
        found = _Collected()
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(batch: tuple[str, ...]) -> None:
            async with places:
                if not found.trouble:
                    await self._batch(batch, day, found)
                    progress(len(batch))

        tasks = [asyncio.create_task(one(batch)) for batch in _batches(symbols, self._per_call)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return Prices(readings=found.readings, refused=found.refused, trouble=found.trouble)

    async def _batch(self, batch: tuple[str, ...], day: date, found: _Collected) -> None:
        query = {"symbols": ",".join(batch)} | ({"feed": self._feed} if self._feed else {})
        try:
            told = snapshots_of(await self._http.get("/v2/stocks/snapshots", query), day)
        except VendorKeysRefused:
            raise
        except VendorRefused as error:
            if len(batch) == 1:
                found.refused[batch[0]] = str(error)
            elif not found.trouble:
                half = len(batch) // 2
                await self._batch(batch[:half], day, found)
                await self._batch(batch[half:], day, found)
        except TbotError as error:
            found.trouble = found.trouble or str(error)
        else:
            found.readings.update({symbol: reading for symbol, reading in told.items() if symbol in batch})
            silent = [symbol for symbol in batch if symbol not in told]
            found.refused.update(dict.fromkeys(silent, "alpaca has no snapshot of it"))


def _batches(symbols: tuple[str, ...], size: int) -> Iterator[tuple[str, ...]]:
    return (symbols[start : start + size] for start in range(0, len(symbols), size))


def assets_of(value: object) -> tuple[Listing, ...]:
    """Return the shares and funds in `value`; what a row does not allow, it forbids."""
    if not isinstance(value, list):
        raise VendorNotUnderstood("a list of assets that is none", where=NAME)
    rows = [one for one in value if isinstance(one, dict) and isinstance(one.get("symbol"), str) and one["symbol"]]
    return tuple(
        Listing(
            symbol=str(row["symbol"]),
            exchange=str(row.get("exchange", "")),
            tradable=row.get("tradable") is True and row.get("status", "active") == "active",
            shortable=row.get("shortable") is True,
            fractionable=row.get("fractionable") is True,
            source=NAME,
        )
        for row in rows
        if row.get("exchange") in _EXCHANGES and row.get("class", "us_equity") == "us_equity"
    )


def snapshots_of(value: object, day: date) -> dict[str, Reading]:
    """Return the readings in `value`, by symbol, as of trading day `day`."""
    if not isinstance(value, dict):
        raise VendorNotUnderstood("snapshots of another form than expected", where=NAME)
    return {str(symbol): _reading(str(symbol), day, one) for symbol, one in value.items() if isinstance(one, dict)}


def _reading(symbol: str, day: date, told: Mapping[str, object]) -> Reading:
    bars: Iterable[DailyBar | None] = (_bar(told.get("prevDailyBar")), _bar(told.get("dailyBar")))
    return reading_of(symbol, NAME, day, _trade(told.get("latestTrade")), (bar for bar in bars if bar is not None))


def _trade(value: object) -> Trade | None:
    if not isinstance(value, dict):
        return None
    price = _positive(value, "p")
    try:
        at = parse_iso(str(value.get("t")))
        exchange_time(at)
    except (ValueError, OverflowError):
        return None
    return None if price is None else Trade(price=price, at=at)


def _bar(value: object) -> DailyBar | None:
    if not isinstance(value, dict):
        return None
    close = _positive(value, "c")
    try:
        day = exchange_time(parse_iso(str(value.get("t")))).date()
    except (ValueError, OverflowError):
        return None
    if close is None:
        return None
    volume = _positive(value, "v")
    return DailyBar(day=day, open=_positive(value, "o"), close=close, volume=volume, vwap=_positive(value, "vw"))


def _positive(told: Mapping[str, object], name: str) -> Decimal | None:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return exact(value) if _SENSIBLE[0] <= value <= _SENSIBLE[1] else None


__all__ = ["NAME", "SYMBOLS_PER_CALL", "AlpacaAssets", "AlpacaSnapshots", "alpaca_vendor", "assets_of", "snapshots_of"]
