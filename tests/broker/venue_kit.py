"""Orders and bars in few words, for the tests of this room."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tbot_bot.broker.matching import Venue
from tbot_bot.broker.venue_state import PutPricer, VenueRules
from tbot_bot.core.bars import Bar
from tbot_bot.core.events import CancelRejected, OrderEvent, OrderFilled, OrderRejected
from tbot_bot.core.instants import MINUTE, Instant, instant
from tbot_bot.core.instruments import Instrument, equity, put_option
from tbot_bot.core.orders import BrokerOrder, Fill, OrderRequest, OrderType, Side, StopTrigger

T0 = instant(datetime(2018, 3, 2, 14, 30, tzinfo=UTC))
PUT = put_option("XYZ", date(2018, 4, 20), Decimal(45))


def minute(count: int) -> Instant:
    return Instant(T0 + count * MINUTE)


def bar(o: float, h: float, low: float, c: float, volume: float = 1e6, *, symbol: str = "XYZ", n: int = 0) -> Bar:
    return Bar(symbol, minute(n), minute(n + 1), o, h, low, c, volume)


def order(
    name: str,
    side: Side = Side.BUY,
    quantity: str = "100",
    *,
    limit: str | None = None,
    stop: str | None = None,
    rising: bool | None = None,
    watch: str = "",
    instrument: Instrument | None = None,
    replaces: str | None = None,
) -> OrderRequest:
    share = instrument or equity("XYZ", fractional=True)
    kind = OrderType.STOP if stop else OrderType.LIMIT if limit else OrderType.MARKET
    trigger = None
    if stop is not None:
        up = side.buys if rising is None else rising
        trigger = StopTrigger(symbol=watch or share.symbol, price=Decimal(stop), rising=up)
    return OrderRequest(
        client_order_id=name,
        trade_id="t",
        broker="sim",
        instrument=share,
        side=side,
        quantity=Decimal(quantity),
        order_type=kind,
        limit_price=None if limit is None else Decimal(limit),
        stop=trigger,
        replaces=replaces,
    )


def venue(cash: str = "100000", *, broker: str = "sim", pricer: PutPricer | None = None, **rules: Any) -> Venue:
    return Venue(broker=broker, cash=Decimal(cash), rules=VenueRules(**rules), pricer=pricer)


def whole_bar(at: Venue, n: int, *bars: Bar) -> list[OrderEvent]:
    """Trade the n-th minute: open, then range until nothing comes."""
    by_symbol: Mapping[str, Bar] = {b.symbol: b for b in bars}
    events = at.open_step(minute(n), by_symbol)
    while more := at.range_step(minute(n + 1), by_symbol):
        events += more
    return events


def fills(events: list[OrderEvent]) -> list[tuple[str, str, str]]:
    """Return (client order id, quantity, price) of each fill."""
    return [
        (e.fill.client_order_id, f"{e.fill.quantity.normalize():f}", str(e.fill.price))
        for e in events
        if isinstance(e, OrderFilled)
    ]


def names(events: list[OrderEvent]) -> list[str]:
    return [type(e).__name__ for e in events]


def bought(quantity: str = "100", at: float = 40.0, **options: Any) -> Venue:
    """Return a venue that bought in minute 0, its bar closed."""
    trader = venue(**options)
    trader.submit(order("entry", quantity=quantity), T0)
    assert fills(whole_bar(trader, 0, bar(at, at, at, at)))
    return trader


def the_fill(events: Sequence[OrderEvent]) -> Fill:
    """Return the fill of the only event."""
    (event,) = events
    assert isinstance(event, OrderFilled)
    return event.fill


def the_reason(events: Sequence[OrderEvent]) -> str:
    """Return why the only event says no."""
    (event,) = events
    assert isinstance(event, OrderRejected | CancelRejected)
    return event.reason


def known(found: BrokerOrder | None) -> BrokerOrder:
    assert found is not None
    return found
