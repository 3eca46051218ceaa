"""At which price a resting order meets a bar: pure functions over one order and the bars of a step.

Rules, conservative wherever a bar does not tell the order of its prices:

- A limit fills at the open where the open is at the limit or better; within the bar at its limit as soon as
  the bar touches it (equality fills), but never at a price beyond the bar's own extreme.
- A stop whose trigger the open has passed fills at the open; within the bar at its trigger price, or at the
  open where that is worse (an order that came after the open).
- An option has no bars. Where its quotes are recorded it is bought at the ask and sold at the bid that stand, and a
  stop within a bar at the worst of that bar's quotes. Else its price is a model's middle at the underlying's price of
  that moment, bought half a spread higher and sold half a spread lower.
- A share whose stop watches another symbol fills at its own bar's extreme against us: when within the bar the
  other one touched is not known.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from tbot_bot.broker.venue_state import MarketFacts, PutPricer, VenueOrder
from tbot_bot.core.bars import Bar
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass, Instrument, OptionRight, Rounding
from tbot_bot.core.money import CENT, ZERO, spelled
from tbot_bot.core.options import PutSides
from tbot_bot.core.orders import OrderType, StopTrigger

HALF_SPREAD_FRACTION: Final = Decimal("0.01")
"""Half the modelled spread, as a fraction of the premium; at least one cent."""


class Meeting(NamedTuple):
    """What became of an order when it met a bar."""

    price: Decimal | None = None
    """Price per share that the order met, before slippage; None where nothing executes."""
    triggered: bool = False
    """The order is a stop and awake, priced or not."""
    modelled: bool = False
    takes: bool = False
    """The order takes what rests in the book, so it pays slippage; else others come to it."""


MISSED: Final = Meeting()


class Pricing:
    """Prices orders against bars."""

    def __init__(self, *, pricer: PutPricer | None, facts: MarketFacts | None = None) -> None:
        """`facts` tell recorded quotes of options; without them and without a `pricer` no option executes."""
        self._pricer, self._facts = pricer, facts

    def at_open(self, order: VenueOrder, bars: Mapping[str, Bar], at: Instant) -> Meeting:
        """Return how `order` meets the opening prices of `bars`, at `at`."""
        request = order.request
        instrument, buys = request.instrument, request.side.buys
        own = _own_bar(instrument, bars)
        stop = request.stop
        if stop is not None and not order.triggered:
            watched = bars.get(stop.symbol)
            if watched is None or not _passed(stop, number(watched.open)):
                return MISSED
        if own is None:
            return Meeting(triggered=stop is not None)
        quote, modelled = self._quote(instrument, own.open, at, buys=buys)
        if request.order_type is OrderType.LIMIT:
            if quote is None or not _as_good(quote, _limit(order), buys=buys):
                return MISSED
            return Meeting(price=quote, modelled=modelled, takes=True)
        return Meeting(price=quote, triggered=stop is not None, modelled=modelled, takes=True)

    def in_range(self, order: VenueOrder, bars: Mapping[str, Bar], at: Instant) -> Meeting:
        """Return how `order` meets the rest of `bars` after their open; `at` is the bars' end.

        Market orders, and stops that are awake already, wait for the next open.
        """
        request = order.request
        own = _own_bar(request.instrument, bars)
        if request.stop is not None:
            return MISSED if order.triggered else self._stop_in_range(order, request.stop, own, bars, at)
        if request.order_type is OrderType.LIMIT and own is not None:
            return self._limit_in_range(order, own, at)
        return MISSED

    def quote(self, instrument: Instrument, spot: float, at: Instant, *, buys: bool) -> Decimal | None:
        """Return what one pays (or gets) per share with the share behind `instrument` at `spot`."""
        return self._quote(instrument, spot, at, buys=buys)[0]

    def middle(self, instrument: Instrument, spot: float, at: Instant) -> Decimal | None:
        """Return an option's premium per share between bid and ask, on the tick grid."""
        sides = self._sides(instrument, at, at)
        if sides:
            bid, ask = sides[0]
            return instrument.round_price((bid + ask) / 2 if ask else bid)
        price = None if self._pricer is None else self._pricer.price(instrument, spot, at)
        return None if price is None else instrument.round_price(float(price))

    def _limit_in_range(self, order: VenueOrder, own: Bar, at: Instant) -> Meeting:
        instrument, buys, limit = order.request.instrument, order.request.side.buys, _limit(order)
        if instrument.asset_class is AssetClass.OPTION:
            sides = self._sides(instrument, Instant(own.start), at)
            if sides:
                met = any(_as_good(price, limit, buys=buys) for price in _known(sides, buys=buys))
                return Meeting(price=limit) if met else MISSED
            wants_high = buys == (instrument.right is OptionRight.PUT)
            best = self.quote(instrument, own.high if wants_high else own.low, at, buys=buys)
            if best is None or not _as_good(best, limit, buys=buys):
                return MISSED
            return Meeting(price=limit, modelled=True)
        if buys:
            touched = number(own.low) <= limit
            return Meeting(price=min(limit, _against(instrument, own.high, buys=True))) if touched else MISSED
        touched = number(own.high) >= limit
        return Meeting(price=max(limit, _against(instrument, own.low, buys=False))) if touched else MISSED

    def _stop_in_range(
        self, order: VenueOrder, stop: StopTrigger, own: Bar | None, bars: Mapping[str, Bar], at: Instant
    ) -> Meeting:
        watched = bars.get(stop.symbol)
        if watched is None or not _passed(stop, number(watched.high if stop.rising else watched.low)):
            return MISSED
        if own is None:
            return Meeting(triggered=True)
        instrument, buys = order.request.instrument, order.request.side.buys
        opened = number(watched.open)
        reached = max(stop.price, opened) if stop.rising else min(stop.price, opened)
        modelled = instrument.asset_class is AssetClass.OPTION
        quote: Decimal | None
        if modelled and (sides := self._sides(instrument, Instant(own.start), at)):
            modelled, worst = False, max if buys else min
            known = [_against(instrument, price, buys=buys) for price in _known(sides, buys=buys)]
            quote = worst(known, default=None)
        elif modelled:
            quote = self.quote(instrument, float(reached), at, buys=buys)
        elif stop.symbol == instrument.symbol:
            quote = _against(instrument, reached, buys=buys)
        else:
            quote = _against(instrument, own.high if buys else own.low, buys=buys)
        return Meeting(price=quote, triggered=True, modelled=modelled, takes=True)

    def _quote(self, instrument: Instrument, spot: float, at: Instant, *, buys: bool) -> tuple[Decimal | None, bool]:
        if instrument.asset_class is AssetClass.EQUITY:
            return _against(instrument, spot, buys=buys), False
        sides = self._sides(instrument, at, at)
        if sides:
            return next((_against(instrument, price, buys=buys) for price in _known(sides, buys=buys)), None), False
        price = None if self._pricer is None else self._pricer.price(instrument, spot, at)
        if price is None:
            return None, True
        middle = number(price)
        half = max(CENT, middle * HALF_SPREAD_FRACTION)
        quote = middle + half if buys else max(middle - half, CENT)
        return _against(instrument, quote, buys=buys), True

    def _sides(self, instrument: Instrument, since: Instant, until: Instant) -> Sequence[PutSides]:
        """Return the recorded quotes of an option that stood between the two instants."""
        return () if self._facts is None else self._facts.put_sides(instrument, since, until)


def number(price: float) -> Decimal:
    """Return a bar's float by its shortest decimal spelling, to compare it with order prices."""
    return spelled(float(price))


def _against(instrument: Instrument, price: float | Decimal, *, buys: bool) -> Decimal:
    exactly = price if isinstance(price, Decimal) else float(price)
    rounded = instrument.round_price(exactly, Rounding.UP if buys else Rounding.DOWN)
    return rounded or instrument.tick(rounded)


def _known(sides: Sequence[PutSides], *, buys: bool) -> list[Decimal]:
    """Return what one pays (or gets) by each of `sides` at which anybody trades."""
    prices = (one.ask if buys else one.bid for one in sides)
    return [price for price in prices if price > ZERO]


def _own_bar(instrument: Instrument, bars: Mapping[str, Bar]) -> Bar | None:
    option = instrument.asset_class is AssetClass.OPTION
    return bars.get(instrument.underlying if option else instrument.symbol)


def _passed(stop: StopTrigger, price: Decimal) -> bool:
    return price >= stop.price if stop.rising else price <= stop.price


def _as_good(price: Decimal, limit: Decimal, *, buys: bool) -> bool:
    return price <= limit if buys else price >= limit


def _limit(order: VenueOrder) -> Decimal:
    limit = order.request.limit_price
    assert limit is not None, "admission lets no limit order in without its limit"  # noqa: S101
    return limit
