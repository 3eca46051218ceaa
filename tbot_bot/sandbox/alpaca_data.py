"""Alpaca's market data REST: bars, quotes, trades and snapshots of shares and puts, with paging.

Bars before the day are daily only. What lies after market time is never shown. Puts have modelled quotes, no
trades; their bars are made of the model at each bar's end.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import date
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tbot_bot.core.instants import HOUR, Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.sandbox.alpaca_book import VENDOR
from tbot_bot.sandbox.alpaca_query import (
    bad_request,
    contract_wanted,
    instant_in,
    limit_in,
    new_york_day,
    symbols_in,
    token_in,
)
from tbot_bot.sandbox.alpaca_trading import served
from tbot_bot.sandbox.data_shapes import bar_json, option_quote_json, quote_json, trade_json
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.serving import Json
from tbot_bot.sandbox.tape_history import Span, TapeHistory

Handler = Callable[[Request], Awaitable[Json | Response]]
Rows = Callable[[str, Instant, Instant], Iterator[Json]]
_PAGE: Final = 1000
_PAGE_MAX: Final = 10_000


class AlpacaData:
    """The endpoints of the data host."""

    def __init__(self, exchange: Exchange) -> None:
        """Read the exchange's market."""
        self._exchange = exchange
        self._history = TapeHistory(exchange.market)

    def routes(self) -> list[Route]:
        """Return the routes."""
        stocks, options = "/v2/stocks", "/v1beta1/options"
        table: list[tuple[str, Handler]] = [
            (f"{stocks}/snapshots", self._snapshots),
            (f"{stocks}/{{symbol}}/snapshot", self._snapshot),
            (f"{options}/bars", self._bars),
            (f"{options}/quotes/latest", self._latest_option_quotes),
            (f"{options}/snapshots", self._option_snapshots),
            (f"{options}/snapshots/{{underlying}}", self._chain),
        ]
        for name, history, latest in (
            ("bars", self._bars, self._latest_bars),
            ("quotes", self._quotes, self._latest_quotes),
            ("trades", self._trades, self._latest_trades),
        ):
            for path in (f"{stocks}/{name}", f"{stocks}/{{symbol}}/{name}"):
                table += [(f"{path}/latest", latest), (path, history)]
        return [Route(path, served(handler), methods=["GET"]) for path, handler in table]

    # --- history -----------------------------------------------------------------------------------------------------

    async def _bars(self, request: Request) -> Json:
        span = Span.of(request.query_params.get("timeframe", "1Min"))
        if span is None:
            raise bad_request(f"invalid timeframe: {request.query_params.get('timeframe')}")

        def rows(symbol: str, start: Instant, end: Instant) -> Iterator[Json]:
            bars = self._history.bars(symbol, span, start, end, self._exchange.now())
            return (bar_json(bar) for bar in bars)

        return self._paged(request, "bars", rows)

    async def _quotes(self, request: Request) -> Json:
        def rows(symbol: str, start: Instant, end: Instant) -> Iterator[Json]:
            return (quote_json(quote) for quote in self._history.quotes(symbol, start, end))

        return self._paged(request, "quotes", rows)

    async def _trades(self, request: Request) -> Json:
        def rows(symbol: str, start: Instant, end: Instant) -> Iterator[Json]:
            return (trade_json(trade) for trade in self._history.trades(symbol, start, end))

        return self._paged(request, "trades", rows)

    def _paged(self, request: Request, name: str, rows: Rows) -> Json:
        """Return a page: `limit` counts over all symbols, sorted by symbol, then time."""
        now = self._exchange.now()
        day_begins = Instant(self._exchange.market.day.open_at - 9 * HOUR)
        start = instant_in(request, "start") or day_begins
        end = min(instant_in(request, "end", end=True) or now, now)
        limit, begin = limit_in(request, _PAGE, _PAGE_MAX), token_in(request)
        backward = request.query_params.get("sort", "asc") == "desc"
        found: dict[str, list[Json]] = {}
        seen = 0
        for symbol in symbols_in(request):
            listed = list(rows(symbol, start, end))
            for row in reversed(listed) if backward else listed:
                seen += 1
                if begin < seen <= begin + limit:
                    found.setdefault(symbol, []).append(row)
        token = str(begin + limit) if seen > begin + limit else None
        single = request.path_params.get("symbol")
        if single is None:
            return {name: found, "next_page_token": token}
        return {name: found.get(single, []), "symbol": single, "next_page_token": token}

    # --- the present -------------------------------------------------------------------------------------------------

    async def _latest_bars(self, request: Request) -> Json:
        return self._latest(request, "bar", self._minute_bar)

    async def _latest_quotes(self, request: Request) -> Json:
        return self._latest(request, "quote", self._quote)

    async def _latest_trades(self, request: Request) -> Json:
        return self._latest(request, "trade", self._trade)

    async def _latest_option_quotes(self, request: Request) -> Json:
        return self._latest(request, "quote", self._quote)

    def _latest(self, request: Request, name: str, read: Callable[[str], Json]) -> Json:
        found = {symbol: row for symbol in symbols_in(request) if (row := read(symbol)) is not None}
        single = request.path_params.get("symbol")
        if single is None:
            return {f"{name}s": found}
        if single not in found:
            raise bad_request(f"no {name} found for {single}")
        return {name: found[single], "symbol": single}

    async def _snapshots(self, request: Request) -> Json:
        known = [symbol for symbol in symbols_in(request) if self._exchange.market.knows(symbol)]
        return {symbol: self._share(symbol) for symbol in known}

    async def _snapshot(self, request: Request) -> Json:
        symbol = request.path_params["symbol"]
        if not self._exchange.market.knows(symbol):
            raise bad_request(f"no snapshot found for {symbol}")
        return {"symbol": symbol, **self._share(symbol)}

    async def _option_snapshots(self, request: Request) -> Json:
        found = (self._exchange.market.instrument(symbol) for symbol in symbols_in(request))
        return self._puts(request, [put for put in found if put is not None and put.underlying])

    async def _chain(self, request: Request) -> Json:
        underlying = request.path_params["underlying"]
        if request.query_params.get("type", "put") != "put":
            return {"snapshots": {}, "next_page_token": None}
        puts = self._exchange.market.puts(underlying, self._exchange.now())
        return self._puts(request, [put for put in puts if contract_wanted(put, request)])

    def _puts(self, request: Request, puts: list[Instrument]) -> Json:
        begin, limit = token_in(request), limit_in(request, 100, _PAGE)
        found: dict[str, Json] = {}
        for put in sorted(puts, key=lambda one: one.symbol)[begin : begin + limit]:
            found[put.symbol] = self._put(put)
        more = begin + limit < len(puts)
        return {"snapshots": found, "next_page_token": str(begin + limit) if more else None}

    def _share(self, symbol: str) -> dict[str, Json]:
        daily = self._history.daily(symbol, self._exchange.now())
        today = [bar for bar in daily if new_york_day(Instant(bar.start)) == self._today()]
        before = daily[: len(daily) - len(today)]
        found: dict[str, Json] = {
            "latestTrade": self._trade(symbol),
            "latestQuote": self._quote(symbol),
            "minuteBar": self._minute_bar(symbol),
            "dailyBar": bar_json(today[-1]) if today else None,
            "prevDailyBar": bar_json(before[-1]) if before else None,
        }
        return {name: shape for name, shape in found.items() if shape is not None}

    def _put(self, put: Instrument) -> Mapping[str, Json]:
        now = self._exchange.now()
        found: dict[str, Json] = {"latestQuote": self._quote(put.symbol)}
        greeks = self._history.greeks(put, now)
        if greeks is not None:
            delta, volatility = greeks
            found["greeks"] = {"delta": round(delta, 4), "gamma": 0.0, "theta": 0.0, "vega": 0.0, "rho": 0.0}
            found["impliedVolatility"] = round(volatility, 4)
        return {name: shape for name, shape in found.items() if shape is not None}

    def _quote(self, symbol: str) -> Json:
        market, now = self._exchange.market, self._exchange.now()
        quote = market.quote(symbol, now)
        if quote is None:
            return None
        quote = self._exchange.faults.altered(VENDOR, quote, lambda at: market.quote(symbol, at))
        return quote_json(quote) if market.knows(symbol) else option_quote_json(quote)

    def _trade(self, symbol: str) -> Json:
        found = self._history.last_trade(symbol, self._exchange.now())
        return None if found is None else trade_json(found)

    def _minute_bar(self, symbol: str) -> Json:
        bars = self._exchange.market.source.bars_until(symbol, self._exchange.now())
        return bar_json(bars[-1]) if bars else None

    def _today(self) -> date:
        return self._exchange.market.day.day
