"""Trailing stops that the broker moves: asked for where it can, followed by its news, given up where it falls short."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tbot_bot.core.codec import dumps, loads
from tbot_bot.core.commands import ExitDecided, RaiseAlert, ReplaceOrder, StopMoved, TradeRecord, TrailKeptHere
from tbot_bot.core.events import AnswerLost, BarsClosed, Event, OrderCancelled, OrderRejected
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.orders import ShortType, StopTrigger
from tbot_bot.core.trails import StopTrailed, TrailingTrigger
from tbot_bot.trading.engine import Engine
from tbot_bot.trading.protection import unprotected
from tbot_bot.trading.spec import BrokerSpec, SessionSpec
from tests.support.scenario import CAPABILITIES, Scenario, spec_of

TRAILS = replace(CAPABILITIES, trailing_stops=True)


def at_a_broker_that_trails(strategy=StrategyName.OPEN, **changes):
    changes.setdefault("fractional", False)
    return spec_of(strategy, brokers=(BrokerSpec(name="sim", capabilities=TRAILS),), **changes)


def entered(spec=None, quantity=None, price="103.10"):
    """Return a session of OPEN that holds AAA, bought at 103.10; its stop is sent and not yet acknowledged."""
    told = Scenario(spec or at_a_broker_that_trails())
    told.range_of()
    told.bars(20, AAA=103.10)
    entry = told.orders("entry")[0]
    told.acknowledge(entry)
    told.fill(entry, price, quantity)
    return told


def protected(**how):
    """Return the same with the stop at the broker."""
    told = entered(**how)
    told.acknowledge(told.orders("stop")[0])
    return told


def trailed(told, price, stop=None):
    """Let the broker tell where its stop stands."""
    order = stop or told.orders("stop")[-1]
    return told.tell(StopTrailed(at=told.at, client_order_id=order.client_order_id, price=Decimal(price)))


def reasons(told):
    return [kept.reason for kept in told.of(TrailKeptHere)]


def stops(told):
    return [(order.stop, order.quantity) for order in told.orders("stop")]


def test_the_broker_moves_the_stop_by_the_strategys_distance_from_where_the_strategy_begins():
    told = entered()
    (stop,) = told.orders("stop")

    assert stop.stop == TrailingTrigger(symbol="AAA", price=Decimal("101.04"), rising=False, trail=Decimal("0.02"))
    assert stop.stop.percent == 2
    assert loads(dumps(stop)) == stop
    assert reasons(told) == []


def test_bars_in_favour_ask_nothing_of_the_broker_while_its_stop_follows():
    told = protected()
    for number, (bar, level) in enumerate(((105.0, "102.90"), (108.0, "105.84"), (107.0, None)), start=21):
        told.bars(number, AAA=bar)
        if level:
            trailed(told, level)

    assert len(told.orders("stop")) == 1
    assert [moved.price for moved in told.of(StopMoved)] == [Decimal("101.04"), Decimal("102.90"), Decimal("105.84")]
    assert reasons(told) == []


def test_news_of_the_same_level_or_of_an_order_that_is_gone_says_nothing():
    told = protected()
    trailed(told, "102")
    before = len(told.story)
    trailed(told, "102")

    assert len(told.story) == before
    told.fill(told.orders("stop")[0], "101.90")
    before = len(told.story)
    trailed(told, "103")
    assert len(told.story) == before


def test_the_fill_of_the_brokers_stop_ends_the_trade_at_the_level_last_told():
    told = protected()
    trailed(told, "105.84")
    told.fill(told.orders("stop")[0], "105.80")
    (decided,), (record,) = told.of(ExitDecided), told.of(TradeRecord)

    assert (decided.code, decided.reason) == (
        "trailing_stop",
        "AAA passed the broker's trailing stop, last told at 105.84",
    )
    assert record.exit_price == Decimal("105.80")
    assert told.held() == 0


def test_a_stop_follows_partial_fills_as_one_order_that_trails():
    told = protected(quantity=40)
    told.fill(told.orders("entry")[0], "103.20", 30)

    first, second = told.orders("stop")
    assert (first.quantity, second.quantity, second.replaces) == (40, 70, first.client_order_id)
    assert isinstance(second.stop, TrailingTrigger)
    told.acknowledge(second)
    assert unprotected(told.engine.state) == []


def test_more_shares_do_not_loosen_a_stop_that_has_moved():
    told = protected(quantity=40)
    trailed(told, "103.50")
    told.fill(told.orders("entry")[0], "105.60", 30)
    second = told.orders("stop")[1]

    assert second.stop == TrailingTrigger(symbol="AAA", price=Decimal("103.50"), rising=False, trail=Decimal("0.02"))


def test_a_stop_that_begins_anew_further_off_makes_room_for_one_of_ours_at_once():
    """No vendor promises that its best price so far outlives a change of the quantity."""
    told = protected(quantity=40)
    trailed(told, "103.50")
    told.fill(told.orders("entry")[0], "105.60", 30)
    second = told.orders("stop")[1]
    told.acknowledge(second)
    trailed(told, "101.10", second)
    third = told.orders("stop")[2]

    assert third.stop == StopTrigger(symbol="AAA", price=Decimal("103.50"), rising=False)
    assert (third.replaces, third.quantity) == (second.client_order_id, 70)
    assert reasons(told) == ["the broker's stop stands at 101.10, and should at 103.50"]


def test_a_stop_that_does_not_follow_the_bars_makes_room_for_one_of_ours():
    told = protected()
    told.bars(21, AAA=108.0)
    assert len(told.orders("stop")) == 1  # the news of it may be on its way
    told.bars(22, AAA=109.0)
    second = told.orders("stop")[1]

    assert second.stop == StopTrigger(symbol="AAA", price=Decimal("106.82"), rising=False)
    assert reasons(told) == ["the broker's stop stands at 101.04, and should at 105.84"]
    told.acknowledge(second)
    told.bars(23, AAA=110.0)
    assert told.orders("stop")[2].stop == StopTrigger(symbol="AAA", price=Decimal("107.80"), rising=False)
    assert len(reasons(told)) == 1


def test_a_stop_that_follows_a_little_behind_is_left_alone():
    told = protected()
    told.bars(21, AAA=108.0)
    trailed(told, "105.40")  # 105.84 by the bars: odd lots do not count at every vendor
    told.bars(22, AAA=108.0)

    assert len(told.orders("stop")) == 1


def test_a_broker_that_refuses_its_own_kind_is_asked_for_a_plain_stop():
    told = entered()
    told.reject(told.orders("stop")[0], "not offered in AAA")
    second = told.orders("stop")[1]

    assert second.stop == StopTrigger(symbol="AAA", price=Decimal("101.04"), rising=False)
    assert second.replaces is None
    assert told.exits() == []
    assert reasons(told) == ["the stop that the broker should move came to nothing: not offered in AAA"]
    told.reject(second)
    assert told.exits() == ["unprotected"]  # and one that takes no stop at all is left


def test_a_refused_change_of_the_quantity_leaves_the_old_stop_until_a_plain_one_takes_its_place():
    told = protected(quantity=40)
    told.fill(told.orders("entry")[0], "103.20", 30)
    first, second = told.orders("stop")
    told.refuse_cancel(first)
    told.reject(second, "cannot be changed")
    third = told.orders("stop")[2]

    assert (third.stop, third.quantity) == (StopTrigger(symbol="AAA", price=Decimal("101.04"), rising=False), 70)
    assert third.replaces == first.client_order_id


@pytest.mark.parametrize("lost", ["cancelled", "answer"])
def test_a_stop_that_the_broker_takes_away_comes_back_as_one_of_ours_where_it_stood(lost):
    told = protected()
    trailed(told, "105.84")
    first = told.orders("stop")[0]
    if lost == "answer":
        told.tell(AnswerLost(at=told.at, client_order_id=first.client_order_id, reason="not listed"))
    told.tell(OrderCancelled(at=told.at, client_order_id=first.client_order_id, reason="by the exchange"))

    assert told.orders("stop")[1].stop == StopTrigger(symbol="AAA", price=Decimal("105.84"), rising=False)
    assert any("unprotected" in alert.title for alert in told.of(RaiseAlert))


def test_a_stop_is_cancelled_before_the_position_is_left_by_the_clock():
    told = protected()
    told.bars(52, AAA=103.0)
    assert told.cancels() == [told.orders("stop")[0].client_order_id]
    assert told.orders("exit") == []
    told.confirm_cancels()
    assert told.orders("exit")[0].quantity == told.held()


def test_news_of_a_stop_that_is_being_taken_off_asks_for_no_other():
    told = protected()
    told.bars(52, AAA=103.0)
    before = len(told.story)
    trailed(told, "50")
    assert len(told.story) == before


def test_a_short_sale_is_covered_by_a_stop_that_follows_downward():
    told = Scenario(at_a_broker_that_trails(short_type=ShortType.SHORT_SELL))
    told.range_of()
    told.bars(20, AAA=96.90)
    _, stop = told.enter("96.90")

    assert stop.stop == TrailingTrigger(symbol="AAA", price=Decimal("98.83"), rising=True, trail=Decimal("0.02"))
    trailed(told, "96.00")
    assert told.of(StopMoved)[-1].price == 96
    told.bars(21, AAA=90.0)
    told.bars(22, AAA=90.0)
    assert told.orders("stop")[1].stop == StopTrigger(symbol="AAA", price=Decimal("91.80"), rising=True)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (at_a_broker_that_trails(fractional=True), "whole shares only"),
        (at_a_broker_that_trails(stop_fraction=Decimal("0.01234")), "hundredths of a percent, not 1.234"),
    ],
)
def test_what_the_broker_cannot_express_exactly_stays_with_us_and_the_reason_is_told_once(spec, words):
    told = protected(spec=spec)
    told.bars(21, AAA=105.0)

    assert all(type(stop) is StopTrigger for stop, _ in stops(told))
    assert len(stops(told)) == 2  # it is replaced as the price moves
    (reason,) = reasons(told)
    assert words in reason


def test_mid_and_close_keep_a_fixed_stop():
    told = Scenario(at_a_broker_that_trails(StrategyName.MID))
    for number in range(60, 71):
        told.bars(number, AAA=100.0)
    told.bars(71, AAA=97.0)
    _, stop = told.enter("97.00")
    assert type(stop.stop) is StopTrigger
    assert reasons(told) == []


def test_a_broker_that_does_not_trail_is_asked_for_plain_stops_and_nothing_is_noted():
    told = protected(spec=spec_of(fractional=False))
    assert [type(stop) for stop, _ in stops(told)] == [StopTrigger]
    assert reasons(told) == []


def test_a_session_told_again_answers_the_same():
    """The capability is in the specification and the broker's news are inputs, so a replay needs no broker."""
    inputs = []

    class Told(Scenario):
        def tell(self, event):
            outputs = super().tell(event)
            journaled = event if isinstance(event, BarsClosed) else loads(dumps(event))  # bars are on the tape
            assert isinstance(journaled, Event)
            inputs.append((journaled, outputs))
            return outputs

    told = Told(at_a_broker_that_trails())
    told.range_of()
    told.bars(20, AAA=103.10)
    _, stop = told.enter("103.10")
    trailed(told, "104.00", stop)
    told.bars(21, AAA=108.0)
    told.bars(22, AAA=108.0)
    told.tell(OrderRejected(at=told.at, client_order_id=told.orders("stop")[1].client_order_id, reason="no"))

    spec = loads(dumps(told.spec))
    assert isinstance(spec, SessionSpec)
    again = Engine(spec)
    assert [again.handle(event) for event, _ in inputs] == [outputs for _, outputs in inputs]
    assert any(isinstance(output, ReplaceOrder) for _, outputs in inputs for output in outputs)
