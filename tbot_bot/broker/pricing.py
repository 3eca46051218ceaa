"""At which price a resting order meets a bar: pure functions over one order and the bars of a step.

Rules, conservative wherever a bar does not tell the order of its prices:

- A limit fills at the open where the open is at the limit or better; within the bar at its limit as soon as
  the bar touches it (equality fills), but never at a price beyond the bar's own extreme.
- A stop whose trigger the open has passed fills at the open; within the bar at its trigger price, or at the
  open where that is worse (an order that came after the open).
- An option has no bars. Its price is a model's middle at the underlying's price of that moment, bought half a
  spread higher and sold half a spread lower.
- A share whose stop watches another symbol fills at its own bar's extreme against us: when within the bar the
  other one touched is not known.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from tbot_bot.broker.venue_state import PutPricer, VenueOrder
from tbot_bot.core.bars import Bar
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass, Instrument, OptionRight, Rounding
from tbot_bot.core.money import CENT, ONE, exact
from tbot_bot.core.orders import OrderType, StopTrigger

HALF_SPREAD_FRACTION: Final = Decimal("0.01")
"""Half the modelled spread, as a fraction of the premium; at least one cent."""
_BASIS_POINT: Final = Decimal("0.0001")


class Meeting(NamedTuple):
    """What became of an order when it met a bar."""

    price: Decimal | None = None
    """Execution price per share; None where nothing executes."""
    triggered: bool = False
    """The order is a stop and awake, priced or not."""
    modelled: bool = False


MISSED: Final = Meeting()


class Pricing:
    """Prices orders against bars; `slippage_bps` worsens market and stop fills."""

    def __init__(self, *, slippage_bps: Decimal, pricer: PutPricer | None) -> None:
        """Without a `pricer` no option executes."""
        self._slippage = slippage_bps * _BASIS_POINT
        self._pricer = pricer

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
            return Meeting(price=quote, modelled=modelled)
        return Meeting(price=self._slipped(instrument, quote, buys=buys), triggered=stop is not None, modelled=modelled)

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
        """Return the modelled premium per share, on the tick grid."""
        price = None if self._pricer is None else self._pricer.price(instrument, spot, at)
        return None if price is None else instrument.round_price(float(price))

    def _limit_in_range(self, order: VenueOrder, own: Bar, at: Instant) -> Meeting:
        instrument, buys, limit = order.request.instrument, order.request.side.buys, _limit(order)
        if instrument.asset_class is AssetClass.OPTION:
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
        if modelled:
            quote = self.quote(instrument, float(reached), at, buys=buys)
        elif stop.symbol == instrument.symbol:
            quote = _against(instrument, reached, buys=buys)
        else:
            quote = _against(instrument, own.high if buys else own.low, buys=buys)
        return Meeting(price=self._slipped(instrument, quote, buys=buys), triggered=True, modelled=modelled)

    def _quote(self, instrument: Instrument, spot: float, at: Instant, *, buys: bool) -> tuple[Decimal | None, bool]:
        if instrument.asset_class is AssetClass.EQUITY:
            return _against(instrument, spot, buys=buys), False
        price = None if self._pricer is None else self._pricer.price(instrument, spot, at)
        if price is None:
            return None, True
        middle = number(price)
        half = max(CENT, middle * HALF_SPREAD_FRACTION)
        quote = middle + half if buys else max(middle - half, CENT)
        return _against(instrument, quote, buys=buys), True

    def _slipped(self, instrument: Instrument, price: Decimal | None, *, buys: bool) -> Decimal | None:
        if price is None or not self._slippage:
            return price
        factor = ONE + self._slippage if buys else ONE - self._slippage
        return _against(instrument, price * factor, buys=buys)


def number(price: float) -> Decimal:
    """Return a bar's float by its shortest decimal spelling, to compare it with order prices."""
    return exact(repr(float(price)))


def _against(instrument: Instrument, price: float | Decimal, *, buys: bool) -> Decimal:
    exactly = price if isinstance(price, Decimal) else float(price)
    rounded = instrument.round_price(exactly, Rounding.UP if buys else Rounding.DOWN)
    return rounded or instrument.tick(rounded)


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
