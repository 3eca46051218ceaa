"""A venue with our positions and somebody else's, and a clock that is turned by hand."""

import asyncio
from decimal import Decimal

from tbot_bot.broker.broker_sim import SimulatedBroker
from tbot_bot.broker.matching import Venue
from tbot_bot.core.bars import Bar
from tbot_bot.core.identity import Leg, OrderName, SessionId, StrategyName, client_order_id, trade_id
from tbot_bot.core.instants import MINUTE, Instant, later, parse_iso
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import OrderRequest, OrderType, Side, StopTrigger
from tbot_bot.runtime.flattening import Flattener
from tests.support.crafted_day import DAY

SESSION = SessionId(day=DAY, strategy=StrategyName.OPEN)
OPEN_AT = parse_iso("2025-12-02T14:30:00Z")


class Street:
    """A venue with our positions and somebody else's, and a clock that we turn by hand."""

    def __init__(self, faults=None):
        self.venue = Venue(broker="sim", cash=Decimal(1_000_000))
        self.broker = SimulatedBroker(self.venue, faults=faults)
        self.minute = 0
        self.told = []

    def bar(self, price=50.0, volume=100_000.0):
        start = later(OPEN_AT, self.minute * MINUTE)
        end = later(start, MINUTE)
        bars = {name: Bar(name, start, end, price, price, price, price, volume) for name in ("AAA", "BBB", "ZZZ")}
        self.minute += 1
        self.broker.step_open(start, bars)
        while self.broker.step_range(end, bars):
            pass
        self.broker.drain()

    def order(self, symbol, side, quantity, order_id=None, leg=Leg.ENTRY, stop=None):
        trade = trade_id(SESSION, "sim", symbol)
        request = OrderRequest(
            client_order_id=order_id or client_order_id(trade, leg, 1), trade_id=trade, broker="sim",
            instrument=equity(symbol), side=side, quantity=Decimal(quantity),
            order_type=OrderType.MARKET if stop is None else OrderType.STOP,
            stop=None if stop is None else StopTrigger(symbol=symbol, price=Decimal(stop), rising=side.buys),
        )  # fmt: skip
        self.venue.submit(request, self.venue.now)

    def held(self):
        return {position.instrument.symbol: position.quantity for position in self.venue.positions()}

    def resting(self):
        return [order.client_order_id for order in self.venue.open_orders()]

    def flattener(self):
        return Flattener(
            self.broker, ours=lambda order_id: OrderName.parse(order_id) is not None, since=Instant(0),
            tell=self.told.append,
        )  # fmt: skip

    def flatten(self, flattener=None, bars=10):
        path = flattener or self.flattener()
        for _ in range(bars):
            if asyncio.run(path.step()):
                return path
            self.bar()
        return path


def in_the_market(faults=None):
    """Return a street on which we are long AAA and short BBB with stops, and a stranger holds ZZZ and some AAA."""
    street = Street(faults)
    street.bar()
    street.order("AAA", Side.BUY, 100)
    street.order("AAA", Side.BUY, 7, order_id="somebody-else-1")
    street.order("ZZZ", Side.BUY, 30, order_id="somebody-else-2")
    street.order("BBB", Side.SELL_SHORT, 40)
    street.bar()
    street.order("AAA", Side.SELL, 100, leg=Leg.STOP, stop="45")
    street.order("BBB", Side.BUY_TO_COVER, 40, leg=Leg.STOP, stop="55")
    street.order("ZZZ", Side.SELL, 30, order_id="somebody-else-3", stop="40")
    assert street.held() == {"AAA": 107, "BBB": -40, "ZZZ": 30}
    return street
