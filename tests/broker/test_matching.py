"""Which price and how much of an order fills, and what a venue refuses."""

from decimal import Decimal

import pytest

from tbot_bot.broker.matching import Venue
from tbot_bot.broker.venue_state import VenueState
from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.codec import dumps, loads
from tbot_bot.core.errors import BrokerRefused
from tbot_bot.core.events import FillBusted
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import BrokerOrderStatus, Side
from tests.broker.venue_kit import (
    PUT,
    T0,
    bar,
    bought,
    fills,
    known,
    minute,
    names,
    order,
    the_fill,
    the_reason,
    venue,
    whole_bar,
)


def test_a_market_order_fills_at_the_next_open_and_not_in_the_bar_at_hand():
    trader = venue()
    first = {"XYZ": bar(40, 41, 39, 40.5)}
    trader.open_step(minute(0), first)
    trader.submit(order("a"), minute(0))
    assert trader.range_step(minute(1), first) == []
    assert trader.open_step(minute(0), first) == []
    assert fills(whole_bar(trader, 1, bar(42, 43, 41, 42, n=1))) == [("a", "100", "42.0")]
    (fill,) = trader.fills_since(T0)
    assert (fill.price, fill.transacted_at, fill.execution_id) == (Decimal(42), minute(1), "sim-x1")


@pytest.mark.parametrize(
    ("side", "limit", "prices", "expected"),
    [
        (Side.BUY, "40.00", (39.5, 41, 39, 40), "39.50"),  # marketable at the open: the open's better price
        (Side.BUY, "40.00", (40, 41, 40, 40), "40.00"),  # at the limit itself
        (Side.BUY, "40.00", (41, 42, 40, 41), "40.00"),  # a touch at equality
        (Side.BUY, "40.00", (41, 42, 40.01, 41), None),  # a cent above
        (Side.SELL, "40.00", (41, 41, 39, 40), "41.00"),
        (Side.SELL, "40.00", (39, 40, 38, 39), "40.00"),
        (Side.SELL, "40.00", (39, 39.99, 38, 39), None),
        (Side.SELL, "40.10", (39, 40.1, 38, 39), "40.10"),  # 40.1 as a float is not 40.1
    ],
)
def test_limits_fill_at_or_through_their_price(side, limit, prices, expected):
    trader = bought() if side is Side.SELL else venue()
    trader.submit(order("limit", side, limit=limit), minute(1))
    got = fills(whole_bar(trader, 1, bar(*prices, n=1)))
    assert [Decimal(price) for _, _, price in got] == ([] if expected is None else [Decimal(expected)])


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ((40, 41, 38, 39), "39.00"),  # touched within the bar: the stop price
        ((38, 39.5, 37, 39), "38"),  # gapped through: the open
        ((39, 39.5, 38, 39), "39"),  # the open is the stop price
        ((40, 41, 39.01, 40), None),
    ],
)
def test_a_protective_stop_fills_at_its_price_or_at_the_gap(prices, expected):
    trader = bought()
    trader.submit(order("stop", Side.SELL, stop="39.00"), minute(1))
    got = fills(whole_bar(trader, 1, bar(*prices, n=1)))
    assert [Decimal(price) for _, _, price in got] == ([] if expected is None else [Decimal(expected)])


def test_a_short_is_stopped_from_above_and_gaps_against_us():
    trader = venue()
    trader.submit(order("short", Side.SELL_SHORT), T0)
    whole_bar(trader, 0, bar(40, 40, 40, 40))
    trader.submit(order("stop", Side.BUY_TO_COVER, stop="41.00"), minute(1))
    assert fills(whole_bar(trader, 1, bar(42, 43, 41, 42, n=1))) == [("stop", "100", "42.0")]
    assert trader.positions() == ()


def test_the_stop_comes_before_the_target_of_the_same_bar():
    trader = bought()
    trader.submit(order("target", Side.SELL, limit="42.00"), minute(1))
    trader.submit(order("stop", Side.SELL, stop="39.00"), minute(1))
    events = whole_bar(trader, 1, bar(40, 43, 38, 42, n=1))
    assert fills(events) == [("stop", "100", "39.00")]
    assert names(events) == ["OrderFilled", "OrderCancelled"]
    assert known(trader.order("target")).reason == "the position it was for is gone"


def test_a_stop_in_answer_to_a_fill_at_the_open_meets_the_rest_of_the_bar():
    trader = venue()
    bars = {"XYZ": bar(40, 41, 38, 40)}
    trader.submit(order("entry"), T0)
    trader.open_step(T0, bars)
    trader.submit(order("stop", Side.SELL, stop="39.00"), T0)
    assert fills(trader.range_step(minute(1), bars)) == [("stop", "100", "39.00")]


def test_a_stop_in_answer_to_a_fill_within_the_bar_meets_the_same_bar_and_a_target_does_not():
    trader = venue()
    bars = {"XYZ": bar(40, 43, 38, 40)}
    trader.submit(order("entry", limit="39.50"), T0)
    trader.open_step(T0, bars)
    assert fills(trader.range_step(minute(1), bars)) == [("entry", "100", "39.50")]
    assert trader.range_step(minute(1), bars) == []
    trader.submit(order("target", Side.SELL, limit="42.00"), minute(1))
    assert trader.range_step(minute(1), bars) == []
    trader.submit(order("stop", Side.SELL, stop="39.00"), minute(1))
    assert fills(trader.range_step(minute(1), bars)) == [("stop", "100", "39.00")]
    assert trader.range_step(minute(1), bars) == []


def test_a_closed_bar_trades_no_more():
    trader = bought()
    trader.close_bar()
    trader.submit(order("stop", Side.SELL, stop="41.00"), minute(1))
    assert trader.range_step(minute(1), {"XYZ": bar(40, 40, 40, 40)}) == []


def test_a_range_without_its_open_is_a_defect():
    trader = bought()
    with pytest.raises(LogicError, match="before its open"):
        trader.range_step(minute(2), {})


def test_the_volume_cap_is_shared_by_a_symbol_and_carries_over():
    trader = venue()
    trader.submit(order("a", quantity="150"), T0)
    trader.submit(order("b", quantity="100", limit="41"), T0)
    assert fills(whole_bar(trader, 0, bar(40, 40, 40, 40, 1000))) == [("a", "100", "40.0")]
    assert fills(whole_bar(trader, 1, bar(40, 40, 40, 40, 0, n=1))) == []
    second = whole_bar(trader, 2, bar(40.5, 40.5, 40.5, 40.5, 1000, n=2))
    assert fills(second) == [("a", "50", "40.5"), ("b", "50", "40.5")]
    assert known(trader.order("b")).status is BrokerOrderStatus.WORKING
    assert fills(whole_bar(trader, 3, bar(40, 40, 40, 40, 1000, n=3))) == [("b", "50", "40.0")]


def test_the_cap_is_shared_by_open_and_range():
    trader = venue()
    bars = {"XYZ": bar(40, 41, 38, 40, 1000)}
    trader.submit(order("entry", quantity="60"), T0)
    trader.open_step(T0, bars)
    trader.submit(order("stop", Side.SELL, "60", stop="39.00"), T0)
    assert fills(trader.range_step(minute(1), bars)) == [("stop", "40", "39.00")]
    later = whole_bar(trader, 1, bar(41, 41, 41, 41, n=1))
    assert fills(later) == [("stop", "20", "41.0")]  # awake: it takes the next price, wherever that is


def test_slippage_is_against_us_on_the_tick_grid():
    trader = bought(slippage_bps=Decimal(3))
    (fill,) = trader.fills_since(T0)
    assert fill.price == Decimal("40.02")  # 40.012 rounded up
    trader.submit(order("exit", Side.SELL), minute(1))
    assert fills(whole_bar(trader, 1, bar(40, 40, 40, 40, n=1))) == [("exit", "100", "39.98")]


def test_an_id_is_unique_for_ever():
    trader = venue()
    trader.submit(order("a"), T0)
    trader.cancel("a", T0)
    with pytest.raises(BrokerRefused, match="client_order_id must be unique"):
        trader.submit(order("a"), T0)
    with pytest.raises(BrokerRefused, match="client_order_id must be unique"):
        trader.replace(order("a", replaces="a"), T0)


WHOLE = equity("XYZ")
REFUSALS = {
    "zero": (order("x", quantity="0"), "above zero"),
    "negative": (order("x", quantity="-1"), "above zero"),
    "step": (order("x", quantity="0.5", instrument=WHOLE), "no multiple"),
    "sub-penny limit": (order("x", limit="40.001"), "sub-penny"),
    "sub-penny stop": (order("x", stop="41.001"), "sub-penny"),
    "unknown": (order("x", instrument=equity("NOPE")), "unknown instrument"),
    "too dear": (order("x", quantity="10001", limit="40"), "buying power"),
    "not held": (order("x", Side.SELL, "1"), "insufficient quantity"),
    "not short": (order("x", Side.BUY_TO_COVER, "1"), "insufficient quantity"),
    "fraction short": (order("x", Side.SELL_SHORT, "0.5"), "fractions"),
    "no borrow": (order("x", Side.SELL_SHORT, "1", instrument=equity("HARD")), "borrow"),
    "option short": (order("x", Side.SELL_SHORT, "1", instrument=PUT), "short"),
    "option for more than the cash": (order("x", quantity="1001", limit="1.00", instrument=PUT), "buying power"),
    "option stop on itself": (order("x", stop="1.00", instrument=PUT), "must watch XYZ"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_broker_refuses(case):
    request, reason = REFUSALS[case]
    trader = venue(tradable=frozenset({"XYZ", "HARD"}), unborrowable=frozenset({"HARD"}))
    assert reason in the_reason(trader.submit(request, T0))
    assert trader.open_orders() == ()
    assert known(trader.order("x")).status is BrokerOrderStatus.REJECTED


def test_working_entries_use_up_buying_power():
    trader = venue("1000")
    assert names(trader.submit(order("a", quantity="60", limit="40"), T0)) == ["OrderAcknowledged"]
    assert trader.account().buying_power == Decimal("1600.00")
    assert names(trader.submit(order("b", quantity="41", limit="40"), T0)) == ["OrderRejected"]


def test_a_closed_market_refuses():
    trader = Venue(broker="sim", cash=Decimal(1000), is_open=lambda at: at >= T0)
    assert the_reason(trader.submit(order("a"), minute(-1))) == "market is closed"


def test_a_halted_symbol_rests():
    trader = venue(halted=frozenset({"XYZ"}))
    trader.submit(order("a"), T0)
    assert whole_bar(trader, 0, bar(40, 40, 40, 40)) == []


def test_a_cancel_that_comes_late_is_refused():
    trader = bought()
    assert the_reason(trader.cancel("entry", minute(1))) == "order is already filled"
    assert "not found" in the_reason(trader.cancel("never", minute(1)))


def test_a_replacement_is_atomic_and_keeps_its_own_quantity():
    trader = venue()
    trader.submit(order("a", quantity="150", limit="40"), T0)
    whole_bar(trader, 0, bar(40, 40, 40, 40, 1000))
    events = trader.replace(order("b", quantity="50", limit="41", replaces="a"), minute(1))
    assert names(events) == ["OrderReplaced", "OrderAcknowledged"]
    assert [o.client_order_id for o in trader.open_orders()] == ["b"]
    assert known(trader.order("a")).filled_quantity == 100
    assert fills(whole_bar(trader, 1, bar(41, 41, 41, 41, n=1))) == [("b", "50", "41.0")]


def test_a_bad_replacement_leaves_the_old_order_working():
    trader = bought()
    trader.submit(order("stop", Side.SELL, stop="39.00"), minute(1))
    events = trader.replace(order("more", Side.SELL, "101", stop="39.50", replaces="stop"), minute(1))
    assert names(events) == ["OrderRejected", "CancelRejected"]
    assert [o.client_order_id for o in trader.open_orders()] == ["stop"]
    gone = trader.replace(order("late", Side.SELL, stop="39.50", replaces="entry"), minute(1))
    assert names(gone) == ["OrderRejected", "CancelRejected"]


class FlatPricer:
    """A put worth four minus a tenth of the underlying's distance above 40."""

    def price(self, instrument, spot, at):
        return None if spot > 70 else 4 - (spot - 40) / 10


def test_a_put_is_bought_at_the_ask_and_stopped_out_by_its_underlying_at_the_bid():
    trader = venue(pricer=FlatPricer())
    trader.submit(order("entry", quantity="2", instrument=PUT), T0)
    bars = {"XYZ": bar(40, 42, 39, 41)}
    entry = the_fill(trader.open_step(T0, bars))
    assert (entry.price, entry.modelled) == (Decimal("4.04"), True)  # 4 and half a spread of 1 %
    trader.submit(order("stop", Side.SELL, "2", stop="41.00", rising=True, watch="XYZ", instrument=PUT), T0)
    stopped = the_fill(trader.range_step(minute(1), bars))
    assert (stopped.price, stopped.modelled) == (Decimal("3.86"), True)  # 3.90 less 0.039
    assert stopped.fees == Decimal("0.12")  # 0.0427 x 2 up, TAF 0.002 x 2 up, 23.10 per million up, a cent each


def test_a_put_without_a_model_rests_until_there_is_a_price():
    trader = venue(pricer=FlatPricer())
    trader.submit(order("entry", quantity="1", instrument=PUT), T0)
    assert whole_bar(trader, 0, bar(71, 71, 71, 71)) == []
    assert fills(whole_bar(trader, 1, bar(40, 40, 40, 40, n=1))) == [("entry", "1", "4.04")]


def test_a_put_takes_a_hundredth_of_its_underlyings_volume():
    trader = venue(pricer=FlatPricer())
    trader.submit(order("entry", quantity="5", instrument=PUT, limit="5.00"), T0)
    assert fills(whole_bar(trader, 0, bar(40, 40, 40, 40, 3999))) == [("entry", "3", "4.04")]


def test_a_bust_undoes_the_books():
    trader = bought()
    before = trader.account().equity
    (event,) = trader.bust("sim-x1", minute(1), "clearly erroneous")
    assert isinstance(event, FillBusted)
    assert (event.client_order_id, before) == ("entry", Decimal("100000.00"))
    assert trader.positions() == ()
    assert trader.books.cash == Decimal(100000)
    with pytest.raises(BrokerRefused):
        trader.bust("sim-x1", minute(1))


def test_sale_proceeds_settle_two_trading_days_later_in_2018():
    trader = bought()  # Friday 2 March 2018
    trader.submit(order("exit", Side.SELL), minute(1))
    whole_bar(trader, 1, bar(40, 40, 40, 40, n=1))
    assert trader.account().settled_cash == Decimal("96000.00")
    trader.open_step(minute(3 * 24 * 60), {})
    assert trader.account().settled_cash == Decimal("96000.00")
    trader.open_step(minute(4 * 24 * 60), {})
    assert trader.account().settled_cash == trader.account().cash


def test_a_snapshot_travels_as_a_record():
    trader = bought()
    trader.submit(order("stop", Side.SELL, stop="39.00"), minute(1))
    state = loads(dumps(trader.snapshot()))
    assert isinstance(state, VenueState)
    assert state == trader.snapshot()
    twin = venue()
    twin.restore(state)
    assert twin.account() == trader.account()
    assert whole_bar(twin, 1, bar(38, 39, 37, 38, n=1)) == whole_bar(trader, 1, bar(38, 39, 37, 38, n=1))


def test_a_part_of_a_position_takes_its_part_of_the_cost():
    trader = bought()
    trader.submit(order("more"), minute(1))
    whole_bar(trader, 1, bar(43, 43, 43, 43, n=1))
    trader.submit(order("part", Side.SELL, "50"), minute(2))
    whole_bar(trader, 2, bar(44, 44, 44, 44, n=2))
    (position,) = trader.positions()
    assert (position.quantity, position.average_price) == (Decimal(150), Decimal("41.5"))  # (4,000 + 4,300) / 200
    assert trader.books.realized == 125  # 50 x (44 - 41.50)


def test_an_order_meets_no_open_that_came_before_it():
    trader = venue()
    trader.submit(order("late"), minute(1))
    assert whole_bar(trader, 0, bar(40, 40, 40, 40)) == []


def test_a_restored_venue_knows_last_prices_and_what_the_bar_gave():
    trader = bought("60")
    bars = {"XYZ": bar(40, 41, 38, 40, 1000, n=1), "ABC": bar(9, 9, 9, 9, symbol="ABC", n=1)}
    trader.submit(order("more", quantity="90"), minute(1))
    trader.open_step(minute(1), bars)
    twin = venue()
    twin.restore(trader.snapshot())
    too_dear = order("x", quantity="50000", instrument=equity("ABC"))
    assert names(twin.submit(too_dear, minute(1))) == names(trader.submit(too_dear, minute(1))) == ["OrderRejected"]
    twin.submit(order("stop", Side.SELL, stop="39.00"), minute(1))
    assert fills(twin.range_step(minute(2), bars)) == [("stop", "10", "39.00")]
