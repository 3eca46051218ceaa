"""The embedded market of test mode: one trading day told step by step to the simulated venues and the engine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tbot_bot.core.bars import Bar
from tbot_bot.core.commands import ReadPutQuotes
from tbot_bot.core.events import BarsClosed, PutQuotesRead, VixRead
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.protocols import Screener
from tbot_bot.core.screening import Verdict
from tbot_bot.marketdata.puts import PutMarket, price_put, volatility_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One grid step as the venues see it: all bars, by symbol."""

    start: Instant
    end: Instant
    bars: Mapping[str, Bar]


class EmbeddedMarket:
    """A day's data behind the engine's requests; it answers only with what was known at the time."""

    def __init__(self, day: MarketDay, screener: Screener) -> None:
        """Stand on `day`; `screener` judges its symbols."""
        self.day = day
        self._screener = screener
        self._watched: frozenset[str] = frozenset()
        self._puts = PutMarket()

    def screen(self, at: Instant) -> tuple[Verdict, ...]:
        """Return the screener's verdicts as of `at`."""
        return self._screener.screen(self.day, at)

    def steps(self, start: Instant) -> Iterator[Step]:
        """Yield the grid steps that begin at or after `start`."""
        for piece in self.day.slices(start):
            yield Step(start=piece.start, end=piece.end, bars={bar.symbol: bar for bar in piece.bars})

    def watch(self, symbols: tuple[str, ...], at: Instant) -> BarsClosed | None:
        """Deliver `symbols` from now on; return their bars since the bell that are complete at `at`."""
        self._watched = frozenset(symbols)
        return self.history(at, since=Instant(0))

    def history(self, at: Instant, *, since: Instant) -> BarsClosed | None:
        """Return the watched bars that ended after `since` and by `at`, in the order in which they ended."""
        found = [bar for symbol in self._watched for bar in self.day.bars_until(symbol, at) if bar.end > since]
        if not found:
            return None
        found.sort(key=lambda bar: (bar.end, bar.symbol))
        return BarsClosed(at=at, bars=tuple(found), backfill=True)

    def closed(self, step: Step) -> BarsClosed:
        """Return `step` as the engine sees it: the watched symbols' bars, by symbol."""
        bars = tuple(bar for symbol, bar in step.bars.items() if symbol in self._watched)
        return BarsClosed(at=step.end, bars=bars)

    def vix(self, at: Instant) -> VixRead:
        """Return the VIX as known at `at`."""
        return VixRead(at=at, reading=self.day.vix_at(at))

    def put_quotes(self, request: ReadPutQuotes) -> PutQuotesRead:
        """Return the modelled puts on the underlying, or why there are none."""
        volatility = volatility_at(self.day, request.underlying, request.at)
        if volatility is None:
            problem = "no volatility to model a put with: neither a VIX nor past prices"
            return PutQuotesRead(at=request.at, trade_id=request.trade_id, quotes=(), problem=problem)
        quotes = self._puts.chain(
            underlying=request.underlying,
            spot=request.spot,
            at=request.at,
            min_days=request.min_days,
            volatility=volatility,
        )
        return PutQuotesRead(at=request.at, trade_id=request.trade_id, quotes=quotes)


class ModelledPuts:
    """Prices the puts that the simulated venues trade, from what was known at the time."""

    def __init__(self, day: MarketDay) -> None:
        """Take volatilities from `day`."""
        self._day = day

    def price(self, instrument: Instrument, spot: float, at: Instant) -> float | None:
        """Return the put's premium in dollars per share, None where there is no volatility to model it with."""
        volatility = volatility_at(self._day, instrument.underlying, at)
        return None if volatility is None else price_put(instrument, spot, at, volatility)


def volatility_at(day: MarketDay, symbol: str, at: Instant) -> float | None:
    """Return the annualised volatility that puts on `symbol` are modelled with at `at`."""
    return volatility_of(day.vix_at(at), day.realised_volatility(symbol, at))
