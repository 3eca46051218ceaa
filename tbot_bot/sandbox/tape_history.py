"""What the tape told so far: trades, quotes and bars of any length, made anew when asked for."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.calendar import previous_trading_day, trading_day
from tbot_bot.core.instants import DAY, HOUR, MINUTE, Instant
from tbot_bot.core.instruments import Instrument, equity
from tbot_bot.marketdata.puts import delta_of
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.tickets import Trade

_FRAME: Final = re.compile(r"([1-9]\d?)(T|Min|H|Hour|D|Day)", re.ASCII)
_UNITS: Final = {"T": MINUTE, "Min": MINUTE, "H": HOUR, "Hour": HOUR, "D": DAY, "Day": DAY}
_MOST: Final = {MINUTE: 59, HOUR: 1, DAY: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The length of a bar in nanoseconds; a day is a trading day."""

    length: int

    @classmethod
    def of(cls, text: str) -> Self | None:
        """Read `1Min`, `5T`, `1Hour` or `1Day`; None for what is longer or no span."""
        found = _FRAME.fullmatch(text)
        if found is None:
            return None
        count, unit = int(found[1]), _UNITS[found[2]]
        return cls(length=count * unit) if count <= _MOST[unit] else None


class TapeHistory:
    """Reads a market's past."""

    def __init__(self, market: SandboxMarket) -> None:
        """Read `market`."""
        self._market = market

    def bars(self, symbol: str, span: Span, start: Instant, end: Instant, now: Instant) -> Iterator[Bar]:
        """Yield the bars that begin from `start` to `end` (both included) and hold only what is known at `now`."""
        if span.length == DAY:
            found: Iterable[Bar] = self.daily(symbol, now)
        else:
            put = None if self._market.knows(symbol) else self._market.instrument(symbol)
            source = symbol if put is None else put.underlying
            bars = self._market.bars_until(source, now)
            found = _joined(bars if put is None else self._modelled(put, bars), span.length)
        return (bar for bar in found if start <= bar.start <= end)

    def daily(self, symbol: str, now: Instant) -> list[Bar]:
        """Return earlier days (their closes are all that is known) and the day so far, oldest first."""
        market = self._market
        closes = market.source.daily_closes(symbol) if market.knows(symbol) else ()
        volume = float(int(market.source.average_volume(symbol) or 0.0))
        found, day = [], market.day.day
        for close in reversed(closes):
            day = previous_trading_day(day)
            session = trading_day(day)
            found.append(Bar(symbol, session.open_at, session.close_at, close, close, close, close, volume))
        found.reverse()
        today = market.bars_until(symbol, now)
        return [*found, *_joined(today, market.day.close_at - market.day.open_at)] if today else found

    def trades(self, symbol: str, start: Instant, end: Instant) -> Iterator[Trade]:
        """Yield the prints from `start` to `end`, both included."""
        for at in self._tick_ends(symbol, start, end):
            trade = self._market.trade(symbol, at)
            if trade is not None:
                yield trade

    def quotes(self, symbol: str, start: Instant, end: Instant) -> Iterator[Quote]:
        """Yield the quotes that followed each print from `start` to `end`."""
        for at in self._tick_ends(symbol, start, end):
            quote = self._market.quote(symbol, at)
            if quote is not None:
                yield quote

    def last_trade(self, symbol: str, now: Instant) -> Trade | None:
        """Return the last print; before the first of the day, the previous close as one."""
        market = self._market
        begin = max(Instant(now - 2 * market.source.span), market.day.open_at)
        latest = None
        for trade in self.trades(symbol, begin, now):
            latest = trade
        price = market.price(symbol, now) if market.knows(symbol) else None
        if latest is None and price is not None:
            return Trade(symbol, now, price, equity(symbol).quantity_step, 0)
        return latest

    def greeks(self, put: Instrument, now: Instant) -> tuple[float, float] | None:
        """Return the modelled delta and volatility of a put, None where nothing is known to model it with."""
        spot = self._market.price(put.underlying, now)
        volatility = self._market.volatility(put.underlying, now)
        if spot is None or volatility is None:
            return None
        return delta_of(put, float(spot), now, volatility), volatility

    def _tick_ends(self, symbol: str, start: Instant, end: Instant) -> Iterator[Instant]:
        market = self._market
        if not market.knows(symbol):
            return
        first = max(start, Instant(market.day.open_at + 1))
        last = min(end, market.day.close_at)
        opened, span = market.day.open_at, market.source.span
        bar_at = Instant(opened + (first - 1 - opened) // span * span)
        while bar_at < last:
            ends = [Instant(tick.end) for tick in market.ticks(symbol, bar_at).values()]
            yield from (at for at in ends if first <= at <= last)
            bar_at = Instant(bar_at + span)

    def _modelled(self, put: Instrument, bars: Iterable[Bar]) -> Iterator[Bar]:
        for bar in bars:
            premium = self._market.option_price(put, Instant(bar.end))
            if premium is not None:
                price = float(put.round_price(premium))
                yield Bar(put.symbol, bar.start, bar.end, price, price, price, price, 0.0)


def _joined(bars: Iterable[Bar], length: int) -> Iterator[Bar]:
    """Yield bars of `length` out of finer ones, on the grid of the UTC day; a day's length joins them all."""
    made: Bar | None = None
    for bar in bars:
        start = bar.start - bar.start % length if length <= HOUR else bar.start
        same = made is not None and (made.start == start or length > HOUR)
        if made is not None and same:
            high, low = max(made.high, bar.high), min(made.low, bar.low)
            made = made._replace(end=bar.end, high=high, low=low, close=bar.close, volume=made.volume + bar.volume)
        else:
            if made is not None:
                yield made
            made = bar._replace(start=start)
    if made is not None:
        yield made
