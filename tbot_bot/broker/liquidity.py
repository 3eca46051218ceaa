"""How much of a bar's volume our orders may take, and what taking it costs: exact, without a clock or a die.

An order that takes what rests in the book (at the market, a stop, a limit better than the market) pays slippage on top
of the price that it met. The parts add up:

- basis points: that many hundredths of a percent of the price;
- a fraction of the spread of a share: 0.5 is what crossing from the middle costs. Puts pay their own bid and ask;
- impact: a factor times the square of our orders' share of the bar's volume, this one included, times the price. It is
  the rule `VolumeShareSlippage` of zipline (Quantopian; factor 0.1 there): at a tenth of the volume, 0.1 %.

The sum is computed in fractions of integers and rounded once, against us, onto the tick grid.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Final

from tbot_bot.broker.pricing import number
from tbot_bot.broker.venue_state import MarketFacts, VenueRules, watched_share
from tbot_bot.core.bars import Bar
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass, Instrument
from tbot_bot.core.money import ONE, ZERO
from tbot_bot.core.orders import OrderRequest, OrderType

_BASIS_POINTS: Final = 10_000


class Liquidity:
    """Counts what our orders take of the bar at hand."""

    def __init__(self, facts: MarketFacts | None) -> None:
        """`facts` tells spreads, without it they cost nothing."""
        self._facts = facts
        self.used: dict[str, Decimal] = {}
        """Quantity taken of the bar at hand, by instrument."""

    def room(self, rules: VenueRules, instrument: Instrument, bars: Mapping[str, Bar]) -> Decimal:
        """Return how much of `instrument` our orders may still take in this bar."""
        return _volume(instrument, bars) * rules.participation - self.used.get(instrument.symbol, ZERO)

    def take(
        self,
        rules: VenueRules,
        request: OrderRequest,
        price: Decimal,
        quantity: Decimal,
        bars: Mapping[str, Bar],
        *,
        takes: bool,
    ) -> Decimal:
        """Count `quantity` as filled and return its price: `price`, and slippage where the order `takes`.

        A limit order never pays more, or gets less, than its limit.
        """
        instrument, limit = request.instrument, request.limit_price
        self.used[instrument.symbol] = self.used.get(instrument.symbol, ZERO) + quantity
        if not takes or (request.order_type is OrderType.LIMIT and not rules.slippage_on_limits):
            return price
        worse, buys = self._worse(rules, instrument, price, bars), request.side.buys
        if not worse:
            return price
        slipped = _on_grid(instrument, Fraction(price) + (worse if buys else -worse), buys=buys)
        if limit is None:
            return slipped
        return min(slipped, limit) if buys else max(slipped, limit)

    def _worse(self, rules: VenueRules, instrument: Instrument, price: Decimal, bars: Mapping[str, Bar]) -> Fraction:
        """Return in dollars how much worse than `price` the taking is."""
        worse = Fraction(0)
        if rules.slippage_bps:
            worse += Fraction(price) * Fraction(rules.slippage_bps) / _BASIS_POINTS
        if rules.slippage_spread and instrument.asset_class is AssetClass.EQUITY and self._facts is not None:
            at = Instant(bars[instrument.symbol].start)
            worse += Fraction(rules.slippage_spread) * Fraction(self._facts.spread(instrument.symbol, at))
        if rules.slippage_volume:
            share = Fraction(self.used[instrument.symbol]) / Fraction(_volume(instrument, bars))
            worse += Fraction(rules.slippage_volume) * share * share * Fraction(price)
        return worse


def _volume(instrument: Instrument, bars: Mapping[str, Bar]) -> Decimal:
    """Return a bar's volume in units of `instrument`: shares, or contracts that its underlying's volume stands for."""
    return number(bars[watched_share(instrument)].volume) / instrument.multiplier


def _on_grid(instrument: Instrument, price: Fraction, *, buys: bool) -> Decimal:
    """Return `price` on the tick grid, rounded against us; at least one tick."""
    tick = instrument.tick(ONE if price >= 1 else ZERO)
    steps = price / Fraction(tick)
    return max(ceil(steps) if buys else floor(steps), 1) * tick


__all__ = ["Liquidity"]
