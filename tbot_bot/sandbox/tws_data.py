"""One session's subscriptions to market data: ticks, real-time bars, bars kept up to date."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.instants import MINUTE, SECOND, Instant
from tbot_bot.core.money import ZERO, exact
from tbot_bot.marketdata.dice import Dice
from tbot_bot.sandbox import tws_codes as codes
from tbot_bot.sandbox import tws_history
from tbot_bot.sandbox.exchange import Watch
from tbot_bot.sandbox.tickets import MarketUpdate, Trade, Trading
from tbot_bot.sandbox.tws_catalog import Listed
from tbot_bot.sandbox.tws_fields import Message
from tbot_bot.sandbox.tws_gateway import VENDOR, Gateway
from tbot_bot.sandbox.tws_replies import (
    HistoricalData,
    HistoricalDataUpdate,
    MarketDataType,
    Problem,
    RealTimeBar,
    TickGeneric,
    TickPrice,
    TickRequestParameters,
    TickSize,
    TickSnapshotEnd,
    TickString,
)
from tbot_bot.sandbox.tws_requests import ReqHistoricalData, ReqMarketData, ReqRealTimeBars
from tbot_bot.sandbox.tws_times import BAR_SIZES

_BID_SIZE, _BID, _ASK, _ASK_SIZE, _LAST, _LAST_SIZE = 0, 1, 2, 3, 4, 5
_HIGH, _LOW, _VOLUME, _CLOSE, _OPEN = 6, 7, 8, 9, 14
_AUCTION_VOLUME, _AUCTION_PRICE, _AUCTION_IMBALANCE, _REGULATORY_IMBALANCE = 34, 35, 36, 61
_LAST_TIME, _SHORTABLE, _HALTED, _SHORTABLE_SHARES = 45, 46, 49, 89
_DELAYED: Final = {
    _BID: 66, _ASK: 67, _LAST: 68, _BID_SIZE: 69, _ASK_SIZE: 70, _LAST_SIZE: 71,
    _HIGH: 72, _LOW: 73, _VOLUME: 74, _CLOSE: 75, _OPEN: 76, _LAST_TIME: 88,
}  # fmt: skip
LIVE: Final = 1
DELAYED: Final = 3
_AUCTION_TICKS, _SHORTABLE_TICKS = "225", "236"
_EASY_TO_BORROW, _NONE_TO_BORROW = Decimal(3), Decimal("0.5")
_BORROWABLE_SHARES: Final = Decimal(1_000_000)
_AUCTION_MINUTES: Final = 10
"""Before the closing bell: when the listing exchanges publish imbalances of the closing auction."""
_FIVE_SECONDS: Final = 5 * SECOND


@dataclass(slots=True)
class Ticks:
    """One request for ticks."""

    req_id: int
    listed: Listed
    generic: frozenset[str]
    delayed: bool
    volume: Decimal = ZERO


@dataclass(slots=True)
class Bars:
    """One request for real-time bars; holds the trades of the present five seconds."""

    req_id: int
    listed: Listed
    start: int
    last: Decimal
    trades: list[Trade] = field(default_factory=list)


class DataSubscriptions:
    """What one client follows of the market."""

    def __init__(self, gateway: Gateway, send: Callable[..., None]) -> None:
        """Send what happens through `send`."""
        self._gateway = gateway
        self._send = send
        self.kind = LIVE
        self._ticks: dict[int, Ticks] = {}
        self._bars: dict[int, Bars] = {}
        self._kept: dict[int, tuple[Listed, ReqHistoricalData]] = {}
        self._watch: Watch = gateway.exchange.watch(self._on_update)

    def close(self) -> None:
        """Follow nothing any more."""
        self._watch.close()

    def forget_all(self) -> None:
        """End every subscription; the session may begin new ones."""
        self._ticks.clear()
        self._bars.clear()
        self._kept.clear()
        self._follow()

    # --- requests ----------------------------------------------------------------------------------------------------

    def start_ticks(self, asked: ReqMarketData, listed: Listed) -> None:
        """Send what is known, then every change until cancelled (or the end, for a snapshot)."""
        gateway = self._gateway
        if gateway.competing_session:
            text = "No market data during competing live session"
            self._send(Problem(req_id=asked.req_id, code=codes.COMPETING_SESSION, text=text))
            return
        delayed = listed.symbol in gateway.not_subscribed
        if delayed and self.kind < DELAYED:
            text = "Requested market data is not subscribed. Delayed market data is available."
            self._send(Problem(req_id=asked.req_id, code=codes.NOT_SUBSCRIBED, text=text))
            return
        ticks = Ticks(asked.req_id, listed, frozenset(asked.generic_ticks.replace(" ", "").split(",")), delayed)
        minimum = Decimal("0.01") if listed.instrument is None else listed.instrument.tick(Decimal(1))
        self._send(
            TickRequestParameters(req_id=asked.req_id, min_tick=minimum, bbo_exchange="9c0001", snapshot_permissions=3),
            MarketDataType(req_id=asked.req_id, kind=DELAYED if delayed else LIVE),
            *self._known(ticks),
        )
        if asked.snapshot:
            self._send(TickSnapshotEnd(req_id=asked.req_id))
        else:
            self._ticks[asked.req_id] = ticks
            self._follow()

    def stop_ticks(self, req_id: int) -> bool:
        """End a request for ticks; tell whether there was one."""
        found = self._ticks.pop(req_id, None) is not None
        self._follow()
        return found

    def start_bars(self, asked: ReqRealTimeBars, listed: Listed) -> None:
        """Send a bar of each five seconds, from the next full one on."""
        if asked.bar_size != _FIVE_SECONDS // SECOND or listed.sec_type != "STK":
            self._send(codes.invalid(asked.req_id, "real-time bars are of 5 seconds, and of shares"))
            return
        now = self._gateway.at()
        last = self._gateway.exchange.market.price(listed.symbol, now) or ZERO
        start = _next_full(now)
        self._bars[asked.req_id] = Bars(asked.req_id, listed, start, last)
        self._follow()

    def stop_bars(self, req_id: int) -> None:
        """End a request for real-time bars."""
        self._bars.pop(req_id, None)
        self._follow()

    def history(self, asked: ReqHistoricalData, listed: Listed) -> None:
        """Send bars of the past, and go on with the newest where that is asked for."""
        told = tws_history.answer(self._gateway.exchange.market, listed, asked, self._gateway.at())
        self._send(told)
        if asked.keep_up_to_date and isinstance(told, HistoricalData):
            self._kept[asked.req_id] = (listed, asked)
            self._follow()

    def stop_history(self, req_id: int) -> None:
        """End a request that is kept up to date."""
        self._kept.pop(req_id, None)
        self._follow()

    # --- the tape ----------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        ticks = {one.listed.key for one in self._ticks.values()}
        bars = {one.listed.key for one in self._bars.values()}
        self._watch.symbols = ticks | bars | {listed.key for listed, _ in self._kept.values()}

    def _on_update(self, update: MarketUpdate) -> None:
        if not self._gateway.linked:
            self._miss()
            return
        for ticks in tuple(self._ticks.values()):
            if ticks.listed.key == update.symbol:
                self._send(*self._changed(ticks, update))
        for bars in tuple(self._bars.values()):
            if bars.listed.key == update.symbol and isinstance(update, Trade | Bar):
                self._send(*_finished(bars, update))
        if isinstance(update, Bar):
            for listed, asked in tuple(self._kept.values()):
                if listed.key == update.symbol:
                    self._send(*self._newest(listed, asked))

    def _miss(self) -> None:
        """Let the present five seconds pass: what was traded while the line was down is told by nobody."""
        start = _next_full(self._gateway.at())
        for bars in self._bars.values():
            bars.start = start
            bars.trades.clear()

    def _changed(self, ticks: Ticks, update: MarketUpdate) -> Iterator[Message]:
        match update:
            case Quote():
                yield from self._quote(ticks, update)
            case Trade():
                ticks.volume += update.size
                yield _price(ticks, _LAST, update.price, update.size)
                yield _size(ticks, _LAST_SIZE, update.size)
                yield _size(ticks, _VOLUME, ticks.volume)
                yield _time(ticks, update.at)
            case Trading():
                yield TickGeneric(req_id=ticks.req_id, tick=_HALTED, value=Decimal(int(update.halted)))
            case Bar() if _AUCTION_TICKS in ticks.generic:
                yield from self._imbalance(ticks, Instant(update.end))
            case Bar():
                return

    def _quote(self, ticks: Ticks, quote: Quote) -> Iterator[Message]:
        market = self._gateway.exchange.market
        quote = self._gateway.faults.altered(VENDOR, quote, lambda at: market.quote(quote.symbol, at))
        yield _price(ticks, _BID, quote.bid, quote.bid_size)
        yield _size(ticks, _BID_SIZE, quote.bid_size)
        yield _price(ticks, _ASK, quote.ask, quote.ask_size)
        yield _size(ticks, _ASK_SIZE, quote.ask_size)

    def _known(self, ticks: Ticks) -> Iterator[Message]:
        """Yield the present state of everything that the request follows."""
        gateway, listed, at = self._gateway, ticks.listed, self._gateway.at()
        market = gateway.exchange.market
        if listed.sec_type == "IND":
            reading = market.source.vix_at(at)
            if reading is not None:
                yield _price(ticks, _LAST, reading.value)
                yield _price(ticks, _CLOSE, reading.value)
                yield _time(ticks, reading.known_at)
            return
        quote = market.quote(listed.key, at)
        if quote is not None:
            yield from self._quote(ticks, quote)
        if listed.sec_type == "OPT":
            return
        yield from self._of_the_day(ticks, at)
        yield TickGeneric(
            req_id=ticks.req_id, tick=_HALTED, value=Decimal(int(listed.symbol in gateway.exchange.halted))
        )
        if _SHORTABLE_TICKS in ticks.generic:
            none = listed.symbol in gateway.desk.rules.unborrowable
            yield TickGeneric(req_id=ticks.req_id, tick=_SHORTABLE, value=_NONE_TO_BORROW if none else _EASY_TO_BORROW)
            yield _size(ticks, _SHORTABLE_SHARES, ZERO if none else _BORROWABLE_SHARES)
        if _AUCTION_TICKS in ticks.generic:
            yield from self._imbalance(ticks, at)

    def _of_the_day(self, ticks: Ticks, at: Instant) -> Iterator[Message]:
        market, symbol = self._gateway.exchange.market, ticks.listed.symbol
        price, before = market.price(symbol, at), market.source.previous_close(symbol)
        if price is not None:
            yield _price(ticks, _LAST, price)
            yield _time(ticks, at)
        if before is not None:
            yield _price(ticks, _CLOSE, exact(repr(before)))
        today = tws_history.joined(market.bars_until(symbol, at))
        if today is not None:
            ticks.volume = Decimal(round(today.volume))
            for tick, value in ((_OPEN, today.open), (_HIGH, today.high), (_LOW, today.low)):
                yield _price(ticks, tick, exact(repr(float(value))))
        yield _size(ticks, _VOLUME, ticks.volume)

    def _imbalance(self, ticks: Ticks, at: Instant) -> Iterator[Message]:
        """Yield the auction's figures: those that were set, else made-up ones shortly before the closing bell."""
        symbol, market = ticks.listed.symbol, self._gateway.exchange.market
        found = self._gateway.imbalances.get(symbol)
        if found is None and 0 <= market.day.close_at - at <= _AUCTION_MINUTES * MINUTE:
            dice = Dice(market.seed, int.from_bytes(symbol.encode(), "big"), market.day.close_at)
            volume = Decimal(round((market.source.average_volume(symbol) or 0.0) * dice.uniform(0.03, 0.08)))
            found = (volume, market.price(symbol, at) or ZERO, Decimal(round(float(volume) * dice.uniform(-0.3, 0.3))))
        if found is not None:
            volume, price, imbalance = found
            yield _size(ticks, _AUCTION_VOLUME, volume)
            yield TickPrice(req_id=ticks.req_id, tick=_AUCTION_PRICE, price=price)
            yield _size(ticks, _AUCTION_IMBALANCE, imbalance)
            yield _size(ticks, _REGULATORY_IMBALANCE, imbalance)

    def _newest(self, listed: Listed, asked: ReqHistoricalData) -> Iterator[Message]:
        told = tws_history.answer(self._gateway.exchange.market, listed, asked, self._gateway.at())
        if isinstance(told, HistoricalData) and BAR_SIZES[asked.bar_size] >= MINUTE:
            bar = told.bars[-1]
            yield HistoricalDataUpdate(
                req_id=asked.req_id,
                count=bar.count,
                date=bar.date,
                open=bar.open,
                close=bar.close,
                high=bar.high,
                low=bar.low,
                average=bar.average,
                volume=bar.volume,
            )


def _next_full(at: Instant) -> int:
    """Return when the first five seconds begin of which nothing is missed from `at` on."""
    return -(-at // _FIVE_SECONDS) * _FIVE_SECONDS


def _finished(bars: Bars, update: Trade | Bar) -> Iterator[Message]:
    """Yield the five-second bars that are over at `update`, empty ones at the last price, and take a trade in."""
    at = update.at - 1 if isinstance(update, Trade) else update.end  # a print ends the second that it tells of
    while bars.start + _FIVE_SECONDS <= at:
        trades, bars.trades = bars.trades, []
        prices = [trade.price for trade in trades] or [bars.last]
        volume = sum((trade.size for trade in trades), ZERO)
        value = sum((trade.price * trade.size for trade in trades), ZERO)
        yield RealTimeBar(
            req_id=bars.req_id,
            start=bars.start // SECOND,
            open=prices[0],
            high=max(prices),
            low=min(prices),
            close=prices[-1],
            volume=volume,
            average=round(value / volume, 4) if volume else prices[-1],
            count=len(trades),
        )
        bars.start += _FIVE_SECONDS
    if isinstance(update, Trade):
        bars.last = update.price
        if at >= bars.start:
            bars.trades.append(update)


def _number(ticks: Ticks, tick: int) -> int:
    return _DELAYED.get(tick, tick) if ticks.delayed else tick


def _price(ticks: Ticks, tick: int, price: Decimal, size: Decimal = ZERO) -> TickPrice:
    return TickPrice(req_id=ticks.req_id, tick=_number(ticks, tick), price=price, size=size)


def _size(ticks: Ticks, tick: int, size: Decimal) -> TickSize:
    return TickSize(req_id=ticks.req_id, tick=_number(ticks, tick), size=size)


def _time(ticks: Ticks, at: Instant) -> TickString:
    return TickString(req_id=ticks.req_id, tick=_number(ticks, _LAST_TIME), text=str(at // SECOND))
