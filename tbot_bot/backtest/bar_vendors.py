"""Alpaca, Yahoo and Interactive Brokers as sources of past minute bars, each cut as its limits want it."""

from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Final
from urllib.parse import quote

from tbot_bot.backtest.data_fetch import Came, Piece
from tbot_bot.backtest.data_set import Adjustment
from tbot_bot.broker.ibkr_market import IbkrMarket
from tbot_bot.config.error_handler import DataError, NetworkError
from tbot_bot.config.vendor_errors import VendorNotUnderstood, VendorRefused
from tbot_bot.core.bars import Bar
from tbot_bot.core.calendar import new_york, trading_day
from tbot_bot.core.errors import BrokerProblem, BrokerRefused, CredentialsRejected
from tbot_bot.core.instants import MINUTE, SECOND, Instant, iso, later, parse_iso, seconds
from tbot_bot.core.token_bucket import Limit, Turns
from tbot_bot.marketdata.vendor_http import VendorHttp

YAHOO_LIMITS: Final = (Limit(count=60, span=seconds(61)), Limit(count=2, span=seconds(1)))
"""Yahoo publishes none; this is what it has been seen to bear."""
IBKR_LIMITS: Final = (Limit(count=60, span=seconds(602)), Limit(count=5, span=seconds(2.5)))
"""Historical data of small bars: 60 requests in ten minutes, fewer than six in two seconds."""
YAHOO_DAYS_BACK: Final = 30
YAHOO_DAYS_A_REQUEST: Final = 7
_ALPACA_SYMBOLS: Final = 50
_ALPACA_DAYS: Final = 5
_ALPACA_PAGE: Final = 10_000
_BARS_A_DAY: Final = 700
"""Of a liquid symbol with its pre-market and evening; for estimates alone."""
_NIGHT_ENDS: Final = time(4, 0)
_EVENING_ENDS: Final = time(20, 0)
_IBKR_TRIES: Final = 3
_IBKR_REST: Final = seconds(20)
_CENTS: Final = 4
"""Digits behind the point that a price has; Yahoo's come as rounded binary numbers."""


class AlpacaBars:
    """Alpaca's `/v2/stocks/bars`: many symbols a request, in pages."""

    name: str = "alpaca"

    def __init__(self, http: VendorHttp, *, feed: str, adjustment: Adjustment) -> None:
        """`http` is the data interface; `feed` is `sip` (all exchanges) or `iex` (one of them)."""
        self._http, self._feed, self.adjustment = http, feed, adjustment
        self.words = f"Alpaca, feed {feed}, adjustment {_alpaca_word(adjustment)}"

    def pieces(self, symbols: Sequence[str], days: Sequence[date]) -> list[Piece]:
        """Return weeks of 50 symbols."""
        groups = [tuple(symbols[begin : begin + _ALPACA_SYMBOLS]) for begin in range(0, len(symbols), _ALPACA_SYMBOLS)]
        spans = [days[begin : begin + _ALPACA_DAYS] for begin in range(0, len(days), _ALPACA_DAYS)]
        return [Piece(symbols=group, first=span[0], last=span[-1]) for span in spans for group in groups]

    def seconds_left(self, pieces: Sequence[Piece]) -> float:
        """Return the seconds at 180 pages a minute."""
        bars = sum(len(piece.symbols) * ((piece.last - piece.first).days + 1) * _BARS_A_DAY for piece in pieces)
        return max(len(pieces), bars / _ALPACA_PAGE) / 3

    async def bars(self, piece: Piece) -> Came:
        """Ask; a batch with a symbol that Alpaca does not know is halved until that one stands alone."""
        try:
            return await self._pages(piece)
        except VendorRefused as error:
            if len(piece.symbols) == 1:
                return Came(bars=(), refused={piece.symbols[0]: error.what})
        half = len(piece.symbols) // 2
        parts = [
            await self.bars(Piece(symbols=symbols, first=piece.first, last=piece.last))
            for symbols in (piece.symbols[:half], piece.symbols[half:])
        ]
        return Came(
            bars=tuple(bar for part in parts for bar in part.bars),
            refused={symbol: why for part in parts for symbol, why in part.refused.items()},
            unread=sum(part.unread for part in parts),
        )

    async def _pages(self, piece: Piece) -> Came:
        query = {
            "symbols": ",".join(piece.symbols),
            "timeframe": "1Min",
            "start": iso(new_york(piece.first, _NIGHT_ENDS)),
            "end": iso(later(new_york(piece.last, _EVENING_ENDS), -MINUTE)),
            "limit": str(_ALPACA_PAGE),
            "adjustment": _alpaca_word(self.adjustment),
            "feed": self._feed,
        }
        found: list[Bar] = []
        unread = 0
        while True:
            told = _fields(await self._http.get("/v2/stocks/bars", query), self.name)
            for symbol, rows in _fields(told.get("bars") or {}, self.name).items():
                made = [_alpaca_bar(str(symbol), row) for row in rows] if isinstance(rows, list) else [None]
                found += [bar for bar in made if bar is not None]
                unread += sum(1 for bar in made if bar is None)
            token = told.get("next_page_token")
            if not isinstance(token, str) or not token:
                return Came(bars=tuple(found), refused={}, unread=unread)
            if token == query.get("page_token"):
                raise VendorNotUnderstood("the same page again and again", where=self.name)
            query["page_token"] = token


def _alpaca_word(adjustment: Adjustment) -> str:
    return "raw" if adjustment is Adjustment.NONE else adjustment.value


def _alpaca_bar(symbol: str, row: object) -> Bar | None:
    told = row if isinstance(row, dict) else {}
    try:
        start = parse_iso(str(told.get("t")))
    except (ValueError, OverflowError):
        return None
    return _bar(symbol, start, [told.get(name) for name in ("o", "h", "l", "c", "v")])


class YahooBars:
    """Yahoo's charts: one symbol and at most seven days a request, of the last thirty days only."""

    name: str = "yahoo"
    adjustment: Adjustment = Adjustment.SPLIT
    words: str = "Yahoo charts, adjusted for the splits known when they were fetched"

    def __init__(self, http: VendorHttp, today: date) -> None:
        """`today` is New York's date."""
        self._http, self._today = http, today

    def pieces(self, symbols: Sequence[str], days: Sequence[date]) -> list[Piece]:
        """Return weeks of one symbol.

        Raises:
            DataError: days that Yahoo does not have any more.
        """
        oldest = self._today - timedelta(days=YAHOO_DAYS_BACK - 1)
        if days[0] < oldest:
            what = f"Yahoo has minute bars of the last {YAHOO_DAYS_BACK} days only"
            mend = f"Begin on {oldest.isoformat()} or later, or fetch from Alpaca."
            raise DataError(what, where=f"--start {days[0].isoformat()}", mend=mend)
        spans: list[tuple[date, date]] = []
        for day in days:
            if spans and (day - spans[-1][0]).days < YAHOO_DAYS_A_REQUEST:
                spans[-1] = spans[-1][0], day
            else:
                spans.append((day, day))
        return [Piece(symbols=(symbol,), first=first, last=last) for symbol in symbols for first, last in spans]

    def seconds_left(self, pieces: Sequence[Piece]) -> float:
        """Return the seconds at one request a second."""
        return float(len(pieces))

    async def bars(self, piece: Piece) -> Came:
        """Ask for one symbol."""
        [symbol] = piece.symbols
        query = {
            "interval": "1m",
            "period1": str(new_york(piece.first, _NIGHT_ENDS) // SECOND),
            "period2": str(new_york(piece.last, _EVENING_ENDS) // SECOND),
            "includePrePost": "true",
        }
        try:
            told = await self._http.get(f"/v8/finance/chart/{quote(symbol.replace('.', '-'), safe='')}", query)
        except VendorRefused as error:
            return Came(bars=(), refused={symbol: error.what})
        return yahoo_bars(symbol, told)


def yahoo_bars(symbol: str, value: object) -> Came:
    """Return the bars in a chart. A minute of which Yahoo has nothing is null in every column, and no bar.

    Raises:
        VendorNotUnderstood: no chart.
    """
    chart = _fields(_fields(value, "yahoo").get("chart"), "yahoo")
    results = chart.get("result")
    if not isinstance(results, list) or not results:
        error = chart.get("error")
        why = error.get("description") if isinstance(error, dict) else None
        return Came(bars=(), refused={symbol: str(why or "no chart of it")})
    told = _fields(results[0], "yahoo")
    times = told.get("timestamp") or []
    quotes = _fields(told.get("indicators"), "yahoo").get("quote")
    columns = _fields(quotes[0] if isinstance(quotes, list) and quotes else {}, "yahoo")
    rows = [columns.get(name) or [] for name in ("open", "high", "low", "close", "volume")]
    if not isinstance(times, list) or any(not isinstance(row, list) or len(row) != len(times) for row in rows):
        raise VendorNotUnderstood(f"a chart of {symbol} whose columns are not of one length", where="yahoo")
    found, unread = [], 0
    for at, *cells in zip(times, *(row for row in rows if isinstance(row, list)), strict=True):
        if all(cell is None for cell in cells[:4]):
            continue
        known = isinstance(at, int) and not isinstance(at, bool)
        bar = _bar(symbol, Instant(at * SECOND), cells, digits=_CENTS) if known else None
        found += [] if bar is None else [bar]
        unread += bar is None
    return Came(bars=tuple(found), refused={}, unread=unread)


class IbkrBars:
    """Interactive Brokers' history: one symbol and one session a request, regular hours."""

    name: str = "ibkr"
    adjustment: Adjustment = Adjustment.SPLIT
    words: str = "Interactive Brokers, TRADES of regular hours, adjusted for splits"

    def __init__(self, market: IbkrMarket, turns: Turns) -> None:
        """`turns` keeps IB's pacing."""
        self._market, self._turns = market, turns

    def pieces(self, symbols: Sequence[str], days: Sequence[date]) -> list[Piece]:
        """Return days of one symbol."""
        return [Piece(symbols=(symbol,), first=day, last=day) for symbol in symbols for day in days]

    def seconds_left(self, pieces: Sequence[Piece]) -> float:
        """Return the seconds at 60 requests in ten minutes; the first 60 go at once."""
        return max(len(pieces) - IBKR_LIMITS[0].count, 0) * 10.0 + min(len(pieces), IBKR_LIMITS[0].count) / 2

    async def bars(self, piece: Piece) -> Came:
        """Ask for one session, again where the line is down for a moment.

        Raises:
            NetworkError: no answer in spite of retries.
        """
        [symbol] = piece.symbols
        session = trading_day(piece.first)
        for tries in range(1, _IBKR_TRIES + 1):
            await self._turns.take()
            try:
                return Came(bars=await self._market.minute_bars(symbol, session.open_at, session.close_at), refused={})
            except BrokerRefused as error:
                return Came(bars=(), refused={symbol: str(error)})
            except BrokerProblem as error:
                if tries == _IBKR_TRIES or isinstance(error, CredentialsRejected):
                    raise NetworkError(str(error), where="ibkr", mend="Look at the gateway.") from None
                self._turns.rest(_IBKR_REST)
        raise AssertionError  # the loop ends by returning or raising


def _bar(symbol: str, start: Instant, cells: Sequence[object], digits: int | None = None) -> Bar | None:
    """Return a minute bar; None where a cell is no number."""
    numbers = [float(cell) for cell in cells if isinstance(cell, int | Decimal) and not isinstance(cell, bool)]
    if len(numbers) != len(cells):
        return None
    *prices, volume = numbers if digits is None else [round(number, digits) for number in numbers]
    opened, high, low, close = prices
    return Bar(symbol, start, start + MINUTE, opened, high, low, close, volume)


def _fields(value: object, source: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise VendorNotUnderstood("an answer of another form than expected", where=source)
    return value


__all__ = ["IBKR_LIMITS", "YAHOO_DAYS_A_REQUEST", "YAHOO_DAYS_BACK", "YAHOO_LIMITS", "AlpacaBars", "IbkrBars",
           "YahooBars", "yahoo_bars"]  # fmt: skip
