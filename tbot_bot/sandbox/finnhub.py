"""Finnhub's REST as far as a screener asks: symbols, profile, metrics, quote, market status, holidays.

An unknown symbol gets 200 with zeros or an empty object, as at the vendor. The client library writes two slashes
after `/api/v1`; they count as one.
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tbot_bot.core.calendar import exchange_time, is_trading_day, why_closed
from tbot_bot.core.instants import MINUTE, SECOND, Instant
from tbot_bot.core.screening import Fundamentals
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.serving import App, Gate, Json, Receive, Scope, Send, answer

VENDOR: Final = "finnhub"
KEY: Final = "changeme"
RATE_LIMIT: Final = 60
"""Calls in a market minute; the vendor's free plan."""
_BASE: Final = "/api/v1"
_MILLION: Final = Decimal(1_000_000)
_NO_ACCESS: Final = "You don't have access to this resource."
_TOO_MANY: Final = "API limit reached. Please try again later. Remaining Limit: 0"
_PREMIUM: Final = (
    "/stock/candle",
    "/stock/price-target",
    "/stock/bidask",
    "/stock/split",
    "/stock/dividend",
    "/indicator",
)


def finnhub_app(exchange: Exchange, *, key: str = KEY, rate_limit: int | None = RATE_LIMIT) -> App:
    """Return the application; without a `rate_limit` nobody is told to slow down."""
    return Gate(_Door(exchange, key, rate_limit), exchange.faults, VENDOR)


class _Door:
    """Folds the path, knows the key and counts the calls."""

    def __init__(self, exchange: Exchange, key: str, rate_limit: int | None) -> None:
        self._exchange, self._key, self._limit = exchange, key, rate_limit
        self._app = Starlette(routes=_routes(exchange))
        self._minute, self._count = 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        refused = self._refusal(request)
        if refused is not None:
            await refused(scope, receive, send)
            return
        path = "/" + str(scope["path"]).removeprefix(_BASE).lstrip("/")
        await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        given = request.query_params.get("token") or request.headers.get("x-finnhub-token")
        if not given:
            return PlainTextResponse("Please use an API key.", 401)
        if given != self._key:
            return answer({"error": "Invalid API key."}, 401)
        minute = self._exchange.now() // MINUTE
        self._count = self._count + 1 if minute == self._minute else 1
        self._minute = minute
        if self._limit is not None and self._count > self._limit:
            reset = str((minute + 1) * MINUTE // SECOND)
            return answer({"error": _TOO_MANY}, 429, {"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": reset})
        return None


def _routes(exchange: Exchange) -> list[Route]:
    desk = _Answers(exchange)
    table: dict[str, Callable[[Request], Json]] = {
        "/stock/symbol": desk.symbols,
        "/stock/profile2": desk.profile,
        "/stock/metric": desk.metric,
        "/stock/market-status": desk.status,
        "/quote": desk.quote,
        "/search": desk.search,
    }
    routes = [Route(path, _served(handler)) for path, handler in table.items()]
    return [*routes, *(Route(path, _forbidden) for path in _PREMIUM)]


class _Answers:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def symbols(self, request: Request) -> Json:
        if request.query_params.get("exchange") != "US":
            return []
        return [
            {
                "currency": "USD",
                "description": f"{symbol} (sandbox)",
                "displaySymbol": symbol,
                "figi": "",
                "isin": "",
                "mic": "XNAS",
                "shareClassFIGI": "",
                "symbol": symbol,
                "symbol2": "",
                "type": "Common Stock" if self._facts(symbol) is not None else "ETP",
            }
            for symbol in self._exchange.market.symbols
        ]

    def profile(self, request: Request) -> Json:
        symbol = request.query_params.get("symbol", "")
        facts = self._facts(symbol)
        price = self._exchange.market.price(symbol, self._exchange.now()) if facts is not None else None
        if facts is None or price is None:
            return {}
        worth = facts.market_cap or Decimal(0)
        return {
            "country": "US",
            "currency": "USD",
            "estimateCurrency": "USD",
            "exchange": "NASDAQ NMS - GLOBAL MARKET",
            "finnhubIndustry": facts.sector,
            "ipo": "2001-01-02",
            "logo": "",
            "marketCapitalization": float(worth / _MILLION),
            "name": f"{symbol} (sandbox)",
            "phone": "",
            "shareOutstanding": float(round(worth / price / _MILLION, 6)),
            "ticker": symbol,
            "weburl": "",
        }

    def metric(self, request: Request) -> Json:
        symbol = request.query_params.get("symbol", "")
        facts, source = self._facts(symbol), self._exchange.market.source
        metric: dict[str, Json] = {}
        if facts is not None:
            closes = source.daily_closes(symbol)
            volume = facts.average_volume or Decimal(0)
            metric = {
                "10DayAverageTradingVolume": float(volume / _MILLION),
                "3MonthAverageTradingVolume": float(volume / _MILLION),
                "52WeekHigh": max(closes, default=None),
                "52WeekLow": min(closes, default=None),
                "marketCapitalization": float((facts.market_cap or Decimal(0)) / _MILLION),
                "beta": 1.0,
            }
        return {"metric": metric, "metricType": "all", "series": {}, "symbol": symbol}

    def quote(self, request: Request) -> Json:
        symbol, now = request.query_params.get("symbol", ""), self._exchange.now()
        market = self._exchange.market
        price = market.price(symbol, now) if market.knows(symbol) else None
        if price is None:
            return {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}
        last = float(price)
        bars = market.source.bars_until(symbol, now)
        before = market.source.previous_close(symbol) or last
        return {
            "c": last,
            "d": round(last - before, 4),
            "dp": round((last / before - 1.0) * 100.0, 4),
            "h": max([last, *(bar.high for bar in bars)]),
            "l": min([last, *(bar.low for bar in bars)]),
            "o": bars[0].open if bars else last,
            "pc": before,
            "t": now // SECOND,
        }

    def status(self, request: Request) -> Json:
        now = self._exchange.faults.vendor_now(VENDOR)
        day = exchange_time(now).date()
        return {
            "exchange": request.query_params.get("exchange", "US"),
            "holiday": None if is_trading_day(day) else why_closed(day),
            "isOpen": self._exchange.is_open,
            "session": _session_of(now, self._exchange),
            "timezone": "America/New_York",
            "t": now // SECOND,
        }

    def search(self, request: Request) -> Json:
        words = request.query_params.get("q", "").upper()
        found = [symbol for symbol in self._exchange.market.symbols if words and words in symbol]
        rows: list[Json] = [
            {"description": f"{symbol} (sandbox)", "displaySymbol": symbol, "symbol": symbol, "type": "Common Stock"}
            for symbol in found
        ]
        return {"count": len(rows), "result": rows}

    def _facts(self, symbol: str) -> Fundamentals | None:
        return self._exchange.market.source.fundamentals(symbol)


def _session_of(now: Instant, exchange: Exchange) -> str | None:
    day = exchange.market.day
    if day.open_at <= now < day.close_at:
        return "regular"
    hour = exchange_time(now).hour
    if not is_trading_day(exchange_time(now).date()) or not _FIRST_HOUR <= hour < _LAST_HOUR:
        return None
    return "pre-market" if now < day.open_at else "post-market"


_FIRST_HOUR: Final = 4
_LAST_HOUR: Final = 20


def _served(handler: Callable[[Request], Json]) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        return answer(handler(request))

    return serve


async def _forbidden(_: Request) -> Response:
    body: Mapping[str, Json] = {"error": _NO_ACCESS}
    return answer(body, 403)
