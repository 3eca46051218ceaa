"""Finnhub: quotes, profiles and key figures of one symbol a call; an unknown symbol is answered with zeros.

Forms: the vendor's swagger and wire-notes; zero is how it says "I do not know", so zero is missing here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from pydantic import SecretStr

from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.vendor_errors import VendorNotUnderstood, VendorRefused
from tbot_bot.core.calendar import NotATradingDay, exchange_time, previous_trading_day
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.core.money import exact
from tbot_bot.core.screen_sources import DailyBar, Listing, Prices, Reading, Trade, reading_of
from tbot_bot.marketdata.vendor_http import Vendor, VendorHttp

NAME: Final = "finnhub"
_MILLION: Final = 1_000_000
_SENSIBLE: Final = (Decimal("0.000001"), Decimal(10**12))
"""No price, and no volume or capitalisation in millions, lies outside."""
_TYPES: Final = frozenset({"Common Stock", "ETP", "ADR", "REIT", "ETF"})
_OVER_THE_COUNTER: Final = frozenset({"OOTC", "OTCM", "OTCB", "OTCQ", "PINX", "PSGM", "OTC", "EXPM", "XOTC"})
_VOLUMES: Final = ("3MonthAverageTradingVolume", "10DayAverageTradingVolume")
"""Millions of shares a day; the steadier one first."""


def finnhub_vendor(url: str, key: SecretStr) -> Vendor:
    """Return Finnhub at `url`; the key goes into the header that the vendor has for it."""
    mend = "Look at FINNHUB_API_KEY and FINNHUB_URL in .env."
    return Vendor(name=NAME, url=url, headers={"X-Finnhub-Token": key.get_secret_value()}, mend=mend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Key figures of a symbol; None where Finnhub does not know."""

    market_cap: Decimal | None
    """US dollars."""
    average_volume: Decimal | None
    """Shares a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who a symbol is; empty where Finnhub does not know."""

    sector: str
    exchange: str
    market_cap: Decimal | None


class Finnhub:
    """The calls of the free plan that a screen needs. `symbols_max` is what its limit leaves for one screen."""

    name: str = NAME

    def __init__(self, http: VendorHttp, symbols_max: int | None = None) -> None:
        """Ask through `http`, which waits for its turn."""
        self._http = http
        self.symbols_max = symbols_max

    async def figures(self, symbol: str) -> Figures:
        """Return the key figures; raises what `vendor_http` raises."""
        return figures_of(await self._http.get("/stock/metric", {"symbol": symbol, "metric": "all"}))

    async def profile(self, symbol: str) -> Profile:
        """Return the profile; raises what `vendor_http` raises."""
        return profile_of(await self._http.get("/stock/profile2", {"symbol": symbol}))

    async def listings(self) -> tuple[Listing, ...]:
        """Return listed US common stocks and funds; whether a broker takes them it does not say."""
        return listings_of(await self._http.get("/stock/symbol", {"exchange": "US"}))

    async def prices(self, symbols: tuple[str, ...], day: date, progress: Callable[[int], None]) -> Prices:
        """Return one quote after the other, as the limit allows; the first failure beyond one symbol ends it."""
        readings: dict[str, Reading] = {}
        refused: dict[str, str] = {}
        for symbol in symbols:
            try:
                told = quote_of(symbol, day, await self._http.get("/quote", {"symbol": symbol}))
            except (VendorRefused, VendorNotUnderstood) as error:
                refused[symbol] = str(error)
            except TbotError as error:  # keys or network: the next symbol would fare no better
                return Prices(readings=readings, refused=refused, trouble=str(error))
            else:
                if told is None:
                    refused[symbol] = "finnhub knows no price of it"
                else:
                    readings[symbol] = told
            progress(1)
        return Prices(readings=readings, refused=refused)


def quote_of(symbol: str, day: date, value: object) -> Reading | None:
    """Return the quote in `value` as of trading day `day`; None where Finnhub knows none."""
    told = _fields(value, "quote")
    price, at = _positive(told, "c"), _positive(told, "t")
    if price is None or at is None:
        return None
    moment = Instant(int(at) * SECOND)
    try:
        its_day = exchange_time(moment).date()
        day_before = previous_trading_day(its_day)
    except (OverflowError, NotATradingDay):
        raise VendorNotUnderstood(f"a quote of {symbol} from a time outside the calendar", where=NAME) from None
    bars = [DailyBar(day=its_day, open=_positive(told, "o"), close=price)]
    if (before := _positive(told, "pc")) is not None:
        bars.append(DailyBar(day=day_before, close=before))
    return reading_of(symbol, NAME, day, Trade(price=price, at=moment), bars)


def figures_of(value: object) -> Figures:
    """Return the key figures in `value`, in dollars and shares."""
    metric = _fields(value, "metric").get("metric")
    told = _fields(metric, "metric") if metric else {}
    volume = next((found for name in _VOLUMES if (found := _positive(told, name)) is not None), None)
    return Figures(market_cap=_millions(_positive(told, "marketCapitalization")), average_volume=_millions(volume))


def profile_of(value: object) -> Profile:
    """Return the profile in `value`; `{}` is an unknown symbol. A market cap in another currency is none."""
    told = _fields(value, "profile")
    dollars = told.get("currency", "USD") == "USD"
    return Profile(
        sector=_words(told, "finnhubIndustry"),
        exchange=_words(told, "exchange"),
        market_cap=_millions(_positive(told, "marketCapitalization")) if dollars else None,
    )


def listings_of(value: object) -> tuple[Listing, ...]:
    """Return the shares and funds of exchanges in `value`; over-the-counter ones are left out."""
    if not isinstance(value, list):
        raise VendorNotUnderstood("a list of symbols that is none", where=NAME)
    rows = [_fields(one, "symbol") for one in value]
    return tuple(
        Listing(symbol=_words(row, "symbol"), exchange=_words(row, "mic"), source=NAME)
        for row in rows
        if _words(row, "symbol") and row.get("type") in _TYPES and row.get("mic") not in _OVER_THE_COUNTER
    )


def _fields(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise VendorNotUnderstood(f"a {what} of another form than expected", where=NAME)
    return value


def _words(told: Mapping[str, object], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""


def _positive(told: Mapping[str, object], name: str) -> Decimal | None:
    """Return the number in `name`; None where it is absent, zero, or none at all."""
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return exact(value) if _SENSIBLE[0] <= value <= _SENSIBLE[1] else None


def _millions(number: Decimal | None) -> Decimal | None:
    return None if number is None else exact(number * _MILLION)


__all__ = ["NAME", "Figures", "Finnhub", "Profile", "figures_of", "finnhub_vendor", "listings_of", "profile_of",
           "quote_of"]  # fmt: skip
