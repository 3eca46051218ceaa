"""The VIX as vendors on the web quote it: Yahoo's chart of `^VIX`, and Finnhub's quote of it.

Forms: wire-notes (Yahoo publishes none; Finnhub's swagger). Both say since when their value stands; a value that
carries no time, or zero, is missing.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from tbot_bot.config.vendor_errors import VendorNotUnderstood
from tbot_bot.core.bars import VixReading
from tbot_bot.core.instants import SECOND, Instant, seconds
from tbot_bot.core.money import exact
from tbot_bot.core.token_bucket import Limit
from tbot_bot.marketdata.vendor_http import Vendor, VendorHttp
from tbot_bot.marketdata.vix import RecordedVix

SYMBOL: Final = "^VIX"
YAHOO: Final = "yahoo"
FINNHUB: Final = "finnhub"
RECORDED: Final = "recorded"
YAHOO_LIMITS: Final = (Limit(count=10, span=seconds(60)),)
"""Yahoo publishes none; a session asks twice."""
_SENSIBLE: Final = (Decimal(1), Decimal(500))
"""No VIX, in index points, lies outside."""


def yahoo_vendor(url: str) -> Vendor:
    """Return Yahoo at `url`; it answers only to what calls itself a browser."""
    return Vendor(name=YAHOO, url=url, headers={"User-Agent": "Mozilla/5.0"}, mend="Look at YAHOO_URL in .env.")


class YahooVix:
    """Asks Yahoo; `now` is session time, beyond which nothing is dated."""

    name: Final = YAHOO

    def __init__(self, http: VendorHttp, now: Callable[[], Instant]) -> None:
        """Ask through `http`, which waits for its turn."""
        self._http, self._now = http, now
        self.circuits = http.circuits

    async def vix(self) -> VixReading | None:
        """Return the index; None where Yahoo has none. Raises what `vendor_http` raises."""
        told = await self._http.get("/v8/finance/chart/%5EVIX", {"interval": "1d", "range": "1d"})
        return yahoo_reading(told, self._now())


class FinnhubVix:
    """Asks Finnhub; `now` is session time, beyond which nothing is dated."""

    name: Final = FINNHUB

    def __init__(self, http: VendorHttp, now: Callable[[], Instant]) -> None:
        """Ask through `http`, which waits for its turn."""
        self._http, self._now = http, now
        self.circuits = http.circuits

    async def vix(self) -> VixReading | None:
        """Return the index; None where the plan does not have it. Raises what `vendor_http` raises."""
        return finnhub_reading(await self._http.get("/quote", {"symbol": SYMBOL}), self._now())


class RecordedFile:
    """A recorded file, as far as it was known at the time."""

    name: Final = RECORDED

    def __init__(self, recorded: RecordedVix, now: Callable[[], Instant]) -> None:
        """Read from `recorded`."""
        self._recorded, self._now = recorded, now

    async def vix(self) -> VixReading | None:
        """Return what was known by now."""
        return self._recorded.vix_at(self._now())


def yahoo_reading(value: object, now: Instant) -> VixReading | None:
    """Return the index in Yahoo's answer; None where it has none.

    Raises:
        VendorNotUnderstood: an answer of another form.
    """
    chart = _fields(_fields(value, YAHOO).get("chart"), YAHOO)
    results = chart.get("result")
    if not isinstance(results, list) or not results:
        return None
    meta = _fields(_fields(results[0], YAHOO).get("meta"), YAHOO)
    return _reading(meta.get("regularMarketPrice"), meta.get("regularMarketTime"), YAHOO, now)


def finnhub_reading(value: object, now: Instant) -> VixReading | None:
    """Return the index in Finnhub's quote; zeros are how it says that it has none.

    Raises:
        VendorNotUnderstood: an answer of another form.
    """
    told = _fields(value, FINNHUB)
    return _reading(told.get("c"), told.get("t"), FINNHUB, now)


def _reading(price: object, at: object, source: str, now: Instant) -> VixReading | None:
    if isinstance(price, bool) or not isinstance(price, int | Decimal) or not price:
        return None
    if isinstance(at, bool) or not isinstance(at, int) or at <= 0:
        return None
    if not _SENSIBLE[0] <= price <= _SENSIBLE[1]:
        raise VendorNotUnderstood(f"{price} is no value of the VIX", where=source)
    return VixReading(exact(price), Instant(min(at * SECOND, now)), source)


def _fields(value: object, source: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise VendorNotUnderstood("an answer of another form than expected", where=source)
    return value


__all__ = ["FinnhubVix", "RecordedFile", "YahooVix", "finnhub_reading", "yahoo_reading", "yahoo_vendor"]
