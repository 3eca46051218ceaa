"""The exchange's core: orders against the market's ticks, stepped by hand."""

from datetime import date
from decimal import Decimal

import pytest

from tbot_bot.core.instants import later, minutes, seconds
from tbot_bot.core.instruments import equity
from tbot_bot.marketdata.synthetic import SyntheticMarket
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.price_path import ticks_of
from tbot_bot.sandbox.tickets import (
    Kind,
    Lifetime,
    MarketUpdate,
    NewsKind,
    OrderNews,
    Phase,
    RefusalKind,
    Refused,
    Ticket,
)

DAY = date(2025, 9, 2)
SYMBOL = "SYN01"
HALF_A_MINUTE = seconds(30)
SOURCE = SyntheticMarket(1, DAY)


class Floor:
    """An exchange five minutes after the bell, and what it told."""

    def __init__(self, cash=100_000):
        self.market = SandboxMarket(SOURCE)
        self.exchange = Exchange(self.market, accounts={"alpaca": Decimal(cash)})
        self.wait(minutes(5), since=self.market.day.open_at)
        self.desk = self.exchange.desk("alpaca")
        self.news: list[OrderNews] = []
        self.desk.subscribe(self.news.append)

    def wait(self, span=HALF_A_MINUTE, since=None):
        self.exchange.advance_to(later(self.exchange.now() if since is None else since, span))

    def ticket(self, quantity=10, kind=Kind.MARKET, *, buys=True, symbol=SYMBOL, **words):
        return Ticket(instrument=equity(symbol), buys=buys, quantity=Decimal(quantity), kind=kind, **words)

    def place(self, *words, **more):
        return self.desk.place(self.ticket(*words, **more))

    def price(self, factor="1"):
        price = self.market.price(SYMBOL, self.exchange.now())
        assert price is not None
        return equity(SYMBOL).round_price(price * Decimal(factor))

    def order(self, order):
        found = self.desk.order(order.number)
        assert found is not None
        return found

    def told(self, number):
        return [news.kind for news in self.news if news.order.number == number]

    def phase(self, order):
        return self.order(order).phase


@pytest.fixture
def floor():
    return Floor()


def test_a_market_order_fills_at_the_next_tick_and_moves_the_money(floor):
    order = floor.place(10)
    floor.wait()
    done = floor.order(order)
    assert done.phase is Phase.FILLED
    assert floor.told(order.number) == [NewsKind.ACCEPTED, NewsKind.FILLED]
    assert floor.desk.truth().cash == Decimal(100_000) - done.value
    assert floor.desk.held(SYMBOL) == 10


def test_a_large_order_fills_in_parts_within_the_volume(floor):
    order = floor.place(800)
    floor.wait(seconds(20))
    assert 0 < floor.order(order).filled < 800
    floor.wait(minutes(2))
    assert floor.phase(order) is Phase.FILLED
    assert sum(news.fill.quantity for news in floor.news if news.fill) == 800


def test_legs_sleep_until_the_parent_is_wholly_filled_and_one_cancels_the_other(floor):
    parent = floor.place(800)
    target = floor.place(800, Kind.LIMIT, buys=False, limit=floor.price("1.2"), parent=parent.number, group="a")
    stop = floor.place(800, Kind.STOP, buys=False, stop=floor.price("0.8"), parent=parent.number, group="a")
    floor.wait(seconds(2))
    assert floor.order(parent).filled < 800
    assert [floor.phase(target), floor.phase(stop)] == [Phase.HELD, Phase.HELD]
    floor.wait(minutes(2))
    assert [floor.phase(target), floor.phase(stop)] == [Phase.WORKING, Phase.WORKING]
    floor.desk.replace(target.number, limit=floor.price("0.99"))
    floor.wait(minutes(3))
    assert floor.phase(target) is Phase.REPLACED
    assert floor.phase(stop) is Phase.CANCELED
    assert floor.desk.positions() == ()


def test_a_canceled_parent_takes_its_legs_along(floor):
    parent = floor.place(10, Kind.LIMIT, limit=floor.price("0.5"))
    leg = floor.place(10, Kind.STOP, buys=False, stop=floor.price("0.4"), parent=parent.number)
    floor.desk.cancel(parent.number)
    assert [floor.phase(parent), floor.phase(leg)] == [Phase.CANCELED, Phase.CANCELED]


def test_a_trailing_stop_follows_the_best_price_and_never_comes_back(floor):
    floor.place(20)
    floor.wait(seconds(20))
    order = floor.place(20, Kind.TRAILING_STOP, buys=False, trail_percent=Decimal("0.4"))
    floor.wait(minutes(60))
    stops = [news.order.stop for news in floor.news if news.order.number == order.number and news.order.stop]
    assert stops == sorted(stops)
    assert len(set(stops)) > 1
    assert floor.phase(order) is Phase.FILLED


def test_a_stop_limit_wakes_and_then_keeps_its_limit(floor):
    floor.place(20)
    floor.wait(seconds(20))
    order = floor.place(20, Kind.STOP_LIMIT, buys=False, stop=floor.price("1.01"), limit=floor.price("1.01"))
    floor.wait(seconds(5))
    woken = floor.order(order)
    assert woken.triggered
    assert woken.filled == 0


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ({"quantity": 100_000}, RefusalKind.BUYING_POWER),
        ({"quantity": "0.5"}, RefusalKind.MALFORMED),
        ({"quantity": 0}, RefusalKind.MALFORMED),
        ({"kind": Kind.LIMIT, "limit": Decimal("20.001")}, RefusalKind.MALFORMED),
        ({"kind": Kind.LIMIT}, RefusalKind.MALFORMED),
        ({"kind": Kind.TRAILING_STOP, "trail": Decimal(1), "trail_percent": Decimal(1)}, RefusalKind.MALFORMED),
        ({"parent": 77}, RefusalKind.UNKNOWN_ORDER),
    ],
)
def test_a_refused_ticket_leaves_nothing_behind(floor, words, kind):
    with pytest.raises(Refused) as refused:
        floor.place(**words)
    assert refused.value.kind is kind
    assert floor.desk.orders() == ()
    assert floor.news == []


def test_short_sales_need_shares_to_borrow(floor):
    floor.desk.set_rules(unborrowable=frozenset({SYMBOL}))
    with pytest.raises(Refused) as refused:
        floor.place(10, buys=False)
    assert refused.value.kind is RefusalKind.SHORT


def test_selling_more_than_is_held_is_refused(floor):
    floor.place(10)
    floor.wait()
    with pytest.raises(Refused) as refused:
        floor.place(11, buys=False)
    assert refused.value.kind is RefusalKind.QUANTITY


def test_day_orders_expire_at_the_bell_and_others_stay(floor):
    day = floor.place(10, Kind.LIMIT, limit=floor.price("0.5"))
    kept = floor.place(10, Kind.LIMIT, limit=floor.price("0.5"), lifetime=Lifetime.GTC)
    floor.exchange.advance_to(floor.market.day.close_at)
    assert [floor.phase(day), floor.phase(kept)] == [Phase.EXPIRED, Phase.WORKING]
    assert not floor.exchange.is_open


@pytest.mark.parametrize(("lifetime", "filled"), [(Lifetime.IOC, True), (Lifetime.FOK, False)])
def test_orders_for_at_once_do_not_rest(floor, lifetime, filled):
    order = floor.place(2000, lifetime=lifetime)
    floor.wait()
    assert floor.phase(order) is Phase.CANCELED
    assert (floor.order(order).filled > 0) is filled


def test_an_order_for_the_close_waits_for_it(floor):
    order = floor.place(1, lifetime=Lifetime.CLOSING)
    floor.exchange.advance_to(later(floor.market.day.close_at, -minutes(1)))
    assert floor.order(order).filled == 0
    floor.exchange.advance_to(floor.market.day.close_at)
    assert floor.phase(order) is Phase.FILLED


def test_a_halted_symbol_does_not_trade_until_it_is_resumed(floor):
    floor.exchange.halt(SYMBOL)
    order = floor.place(10)
    floor.wait(minutes(1))
    assert floor.order(order).filled == 0
    floor.exchange.halt(SYMBOL, halted=False)
    floor.wait()
    assert floor.phase(order) is Phase.FILLED


def test_puts_trade_at_modelled_premiums(floor):
    put = floor.market.puts(SYMBOL, floor.exchange.now())[6]
    quote = floor.market.quote(put.symbol, floor.exchange.now())
    order = floor.desk.place(Ticket(instrument=put, buys=True, quantity=Decimal(1), kind=Kind.MARKET))
    floor.wait(minutes(3))
    paid = floor.order(order)
    assert paid.phase is Phase.FILLED
    assert paid.average_price == pytest.approx(quote.ask, rel=Decimal("0.1"))


def test_the_same_seed_and_requests_give_the_same_day():
    truths = []
    for _ in range(2):
        floor = Floor()
        floor.place(150)
        floor.wait(minutes(1))
        floor.place(150, Kind.TRAILING_STOP, buys=False, trail=Decimal("0.05"))
        floor.wait(minutes(20))
        truths.append(floor.exchange.truth())
    assert truths[0] == truths[1]
    assert len(truths[0].accounts[0].fills) > 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_ticks_of_a_bar_are_exactly_the_bar(seed):
    for symbol in SOURCE.symbols:
        for bar in SOURCE.bars_until(symbol, later(SOURCE.day.open_at, minutes(40))):
            ticks = ticks_of(bar, seconds(1), seed)
            assert (ticks[0].open, ticks[-1].close) == (bar.open, bar.close)
            assert max(tick.high for tick in ticks) == bar.high
            assert min(tick.low for tick in ticks) == bar.low
            assert sum(tick.volume for tick in ticks) == bar.volume
            assert all(
                tick.low <= min(tick.open, tick.close) <= max(tick.open, tick.close) <= tick.high for tick in ticks
            )
            assert [tick.start for tick in ticks] == sorted({tick.start for tick in ticks})


def test_the_tape_tells_trades_quotes_and_whole_bars_of_what_is_watched(floor):
    told: list[MarketUpdate] = []
    watch = floor.exchange.watch(told.append, {SYMBOL})
    floor.wait(minutes(1))
    names = {type(update).__name__ for update in told}
    assert names == {"Trade", "Quote", "Bar"}
    assert {update.symbol for update in told} == {SYMBOL}
    watch.close()
    told.clear()
    floor.wait(minutes(1))
    assert told == []


def test_a_partial_fill_reduces_the_other_order_of_the_group(floor):
    floor.place(800)
    floor.wait(minutes(2))
    target = floor.place(800, Kind.LIMIT, buys=False, limit=floor.price("0.99"), group="g")
    stop = floor.place(800, Kind.STOP, buys=False, stop=floor.price("0.5"), group="g")
    floor.wait(seconds(20))
    filled = floor.order(target).filled
    assert 0 < filled < 800
    assert floor.order(stop).remaining == 800 - filled


def test_a_group_that_outgrew_its_position_ends_without_trading_the_position_around(floor):
    floor.place(800)
    floor.wait(minutes(2))
    target = floor.place(800, Kind.LIMIT, buys=False, limit=floor.price("0.99"), group="g")
    stop = floor.place(800, Kind.STOP, buys=False, stop=floor.price("0.5"), group="g")
    floor.place(790, Kind.LIMIT, buys=False, limit=floor.price("0.99"))
    floor.wait(minutes(4))
    assert floor.desk.positions() == ()
    assert not floor.order(target).phase.open
    assert not floor.order(stop).phase.open


def test_day_trades_are_counted_by_round_trips(floor):
    for _ in range(2):
        floor.place(10)
        floor.wait()
        floor.place(10, buys=False)
        floor.wait()
    assert floor.desk.account().day_trades == 2
