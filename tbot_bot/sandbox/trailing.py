"""When stops wake that the exchange itself watches, and how trailing ones move: pure functions."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

from tbot_bot.core.bars import Bar
from tbot_bot.core.instruments import Rounding
from tbot_bot.core.money import exact
from tbot_bot.sandbox.tickets import Kind, Order

_PERCENT: Final = Decimal(100)


def woken(order: Order, bar: Bar) -> bool:
    """Return whether `bar` (of the watched symbol) has reached the order's stop."""
    if order.stop is None:
        return False
    ticket = order.ticket
    rising = ticket.buys if ticket.wakes_rising is None else ticket.wakes_rising
    return exact(repr(float(bar.high))) >= order.stop if rising else exact(repr(float(bar.low))) <= order.stop


def moved(order: Order, price: Decimal | None) -> Order:
    """Return a trailing stop with its mark and its stop where `price` puts them; any other order as it is.

    A stop never moves back, also where the client said at which price it begins.
    """
    ticket = order.ticket
    if ticket.kind is not Kind.TRAILING_STOP or price is None:
        return order
    mark = order.high_water
    if mark is None or (price < mark if ticket.buys else price > mark):
        mark = price
    distance = ticket.trail if ticket.trail is not None else mark * (ticket.trail_percent or Decimal(0)) / _PERCENT
    stop = ticket.instrument.round_price(mark + distance if ticket.buys else mark - distance, Rounding.NEAREST)
    if order.stop is not None:
        stop = min(stop, order.stop) if ticket.buys else max(stop, order.stop)
    return replace(order, high_water=mark, stop=stop)
