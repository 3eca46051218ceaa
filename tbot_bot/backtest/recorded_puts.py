"""What puts cost on a recorded day: as quoted then, and between those quotes by the model that meets them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from operator import ge, gt
from typing import Final

from tbot_bot.assembly.embedded_market import volatility_at
from tbot_bot.core.bars import VixReading
from tbot_bot.core.commands import ReadPutQuotes
from tbot_bot.core.events import PutQuotesRead
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.options import PutQuote
from tbot_bot.marketdata.puts import PutMarket, price_put, volatility_of

NO_PRICES: Final = "the record has no prices of puts on it, and nothing to model them with"
_LOWEST: Final = 0.01
_HIGHEST: Final = 10.0
_HALVINGS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedPuts:
    """A question for puts and its answer, as the journal has them."""

    asked: ReadPutQuotes
    told: PutQuotesRead


class RecordedPuts:
    """Answers for puts from the record; prices them by the volatility that the recorded quotes imply."""

    def __init__(self, quoted: Mapping[str, QuotedPuts], day: MarketDay, vix: VixReading | None) -> None:
        """`quoted` by trade; `vix` is what the day knew of it, None where nobody asked."""
        self._quoted, self._day, self._vix = quoted, day, vix
        self._by_underlying = {one.asked.underlying: one for one in reversed(list(quoted.values()))}
        self._implied = {name: self._implied_by(one) for name, one in self._by_underlying.items()}

    def quotes(self, request: ReadPutQuotes) -> PutQuotesRead:
        """Return the puts on offer: those of the record, else modelled ones, else why there are none."""
        quoted = self._quoted.get(request.trade_id) or self._by_underlying.get(request.underlying)
        if quoted is not None:
            told = quoted.told
            return PutQuotesRead(at=request.at, trade_id=request.trade_id, quotes=told.quotes, problem=told.problem)
        volatility = self._modelled(request.underlying, request.at)
        if volatility is None:
            return PutQuotesRead(at=request.at, trade_id=request.trade_id, quotes=(), problem=NO_PRICES)
        return PutQuotesRead(at=request.at, trade_id=request.trade_id, quotes=self._chain(request, volatility))

    def price(self, instrument: Instrument, spot: float, at: Instant) -> float | None:
        """Return a put's premium in dollars per share, None where there is nothing to price it with."""
        volatility = self._implied.get(instrument.underlying)
        if volatility is None:
            volatility = self._modelled(instrument.underlying, at)
        return None if volatility is None else price_put(instrument, spot, at, volatility)

    def _modelled(self, underlying: str, at: Instant) -> float | None:
        if self._vix is None:
            return volatility_at(self._day, underlying, at)
        return volatility_of(self._vix, self._day.realised_volatility(underlying, at))

    def _implied_by(self, quoted: QuotedPuts) -> float | None:
        """Return the one volatility of all its quotes; None where the day's model gives the very same quotes."""
        asked, quotes = quoted.asked, quoted.told.quotes
        if not quotes:
            return None
        modelled = self._modelled(asked.underlying, asked.at)
        if modelled is not None and self._chain(asked, modelled) == quotes:
            return None  # it moves with the day, as it did then
        if all(one.quote.modelled for one in quotes):
            return self._modelled_with(asked, quotes)
        return implied_volatility(quotes, float(asked.spot), asked.at)

    def _modelled_with(self, asked: ReadPutQuotes, quotes: tuple[PutQuote, ...]) -> float:
        """Return the middle of the volatilities with which the model gives these very quotes, to the tick."""

        def chain(volatility: float) -> list[Decimal]:
            return [side for one in self._chain(asked, volatility) for side in (one.quote.bid, one.quote.ask)]

        wanted = [side for one in quotes for side in (one.quote.bid, one.quote.ask)]
        lowest = _smallest(lambda volatility: all(map(ge, chain(volatility), wanted)))
        highest = _smallest(lambda volatility: any(map(gt, chain(volatility), wanted)))
        return (lowest + highest) / 2.0

    def _chain(self, request: ReadPutQuotes, volatility: float) -> tuple[PutQuote, ...]:
        return PutMarket().chain(
            underlying=request.underlying,
            spot=request.spot,
            at=request.at,
            min_days=request.min_days,
            volatility=volatility,
        )


def implied_volatility(quotes: tuple[PutQuote, ...], spot: float, at: Instant) -> float:
    """Return the annualised volatility at which all middles together are worth what they are quoted at."""
    wanted = sum(float(one.quote.bid + one.quote.ask) / 2.0 for one in quotes)
    return _smallest(lambda middle: sum(price_put(one.instrument, spot, at, middle) for one in quotes) >= wanted)


def _smallest(enough: Callable[[float], bool]) -> float:
    """Return the smallest volatility that is enough, by halving."""
    low, high = _LOWEST, _HIGHEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


__all__ = ["NO_PRICES", "QuotedPuts", "RecordedPuts", "implied_volatility"]
