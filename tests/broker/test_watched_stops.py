"""Stops on puts that the adapter keeps itself: what happens when prices or answers do not come."""

from datetime import date
from decimal import Decimal

from tbot_bot.broker.alpaca_requests import DUPLICATE
from tbot_bot.broker.watched_stops import BLIND_SECONDS, SeenPrice, Venue, WatchedStops
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable
from tbot_bot.core.events import OrderCancelled, OrderEvent
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import put_option
from tbot_bot.core.orders import OrderRequest, OrderType, Side, StopTrigger

PUT = put_option("AAA", date(2025, 12, 12), Decimal(48))


def stop(name="stop1", price="50", replaces=None):
    return OrderRequest(
        client_order_id=name,
        trade_id="t",
        broker="alpaca",
        instrument=PUT,
        side=Side.SELL,
        quantity=Decimal(3),
        order_type=OrderType.STOP,
        stop=StopTrigger(symbol="AAA", price=Decimal(price), rising=True),
        replaces=replaces,
    )


class Street:
    """A venue whose answers are chosen by hand."""

    def __init__(self, *answers):
        self.price: Decimal | None = Decimal(49)
        self.at, self.time = Instant(10), 0.0
        self.answers = list(answers)
        """To each request to send: an error, or None for success."""
        self.there = None
        self.sent: list[OrderRequest] = []
        self.told: list[OrderEvent] = []
        self.notes: list[str] = []
        self.stops = WatchedStops(
            venue=Venue(
                prices=self.prices, send=self.send, find=self.find, tell=self.told.extend, note=self.notes.append,
                now=lambda: Instant(5), monotonic=lambda: self.time,
            )
        )  # fmt: skip

    async def prices(self, symbols):
        if self.price is None:
            raise BrokerUnavailable("no answer")
        return {symbol: SeenPrice(price=self.price, at=self.at) for symbol in symbols}

    async def send(self, order):
        self.sent.append(order)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer

    async def find(self, order_id):
        if isinstance(self.there, Exception):
            raise self.there
        return self.there

    def kinds(self):
        return [type(event).__name__ for event in self.told]


async def test_a_stop_waits_for_the_price_and_is_then_sold_at_the_market_under_its_own_id():
    street = Street()
    street.stops.keep(stop())
    await street.stops.look()
    assert street.sent == []
    street.price = Decimal(50)
    await street.stops.look()
    await street.stops.look()
    ((order),) = street.sent
    assert (order.client_order_id, order.order_type, order.stop) == ("stop1", OrderType.MARKET, None)
    assert street.stops.resting() == ()


async def test_a_trade_from_before_the_stop_does_not_wake_it():
    street = Street()
    street.price, street.at = Decimal(60), Instant(4)
    street.stops.keep(stop())
    await street.stops.look()
    assert street.sent == []


async def test_a_lost_answer_is_looked_up_and_only_what_is_not_there_is_sent_again():
    street = Street(BrokerUnavailable("lost"))
    street.price = Decimal(51)
    street.stops.keep(stop())
    await street.stops.look()
    assert street.stops.is_on_its_way("stop1")
    street.there = BrokerUnavailable("too early to tell")
    await street.stops.look()
    assert len(street.sent) == 1
    street.there = None
    await street.stops.look()
    assert len(street.sent) == 2
    assert not street.stops.is_on_its_way("stop1")


async def test_an_order_that_is_there_already_is_not_sent_again():
    street = Street(BrokerRefused(DUPLICATE))
    street.price = Decimal(51)
    street.stops.keep(stop())
    await street.stops.look()
    assert "OrderRejected" not in street.kinds()
    street.there = object()
    await street.stops.look()
    assert len(street.sent) == 1
    assert not street.stops.is_on_its_way("stop1")


async def test_a_refused_sale_is_told_so_that_the_position_is_left_otherwise():
    street = Street(BrokerRefused("insufficient qty"))
    street.price = Decimal(51)
    street.stops.keep(stop())
    await street.stops.look()
    assert street.kinds() == ["OrderAcknowledged", "OrderRejected"]


async def test_a_stop_whose_price_cannot_be_read_is_taken_back_and_says_why():
    street = Street()
    street.stops.keep(stop())
    street.price = None
    await street.stops.look()
    assert street.kinds() == ["OrderAcknowledged"]
    street.time = BLIND_SECONDS
    await street.stops.look()
    assert street.kinds() == ["OrderAcknowledged", "OrderCancelled"]
    assert isinstance(street.told[-1], OrderCancelled)
    assert "no price of AAA" in street.told[-1].reason
    assert street.notes
