"""What brokers say in every order and too often, as the engine hears it: nothing raises, nothing is oversold."""

from decimal import Decimal

import pytest

from tbot_bot.core.commands import AnomalySeen, RaiseAlert, SessionEnded, Severity, TradeRecord
from tbot_bot.core.events import (
    AnswerLost,
    CancelRejected,
    ControlKind,
    FillBusted,
    OrderAcknowledged,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from tbot_bot.core.orders import Fill
from tests.support.scenario import Scenario


def breakout():
    told = Scenario()
    told.range_of()
    told.bars(20, AAA=103.10)
    return told, told.orders("entry")[0]


def entered():
    """Return a session that holds AAA, its entry and its resting stop."""
    told, entry = breakout()
    told.acknowledge(entry)
    told.fill(entry, "103.10")
    stop = told.orders("stop")[0]
    told.acknowledge(stop)
    return told, entry, stop


def leaving():
    """Return a session whose exit order is on its way."""
    told, entry, _ = entered()
    told.control(ControlKind.STOP)
    told.confirm_cancels()
    return told, entry, told.orders("exit")[0]


def alarms(told):
    return [alert for alert in told.of(RaiseAlert) if alert.severity is Severity.CRITICAL]


def test_a_fill_before_its_acknowledgement_is_protected_and_the_late_acknowledgement_changes_nothing():
    told, entry = breakout()
    told.fill(entry, "103.10")
    before = told.held()
    told.acknowledge(entry)

    assert told.held() == before == entry.quantity
    assert [order.quantity for order in told.orders("stop")] == [entry.quantity]
    assert told.of(AnomalySeen) == []


def test_a_fill_told_twice_counts_once():
    told, entry = breakout()
    fill = Fill(
        execution_id="same",
        client_order_id=entry.client_order_id,
        price=Decimal("103.10"),
        quantity=Decimal(10),
        fees=Decimal(0),
        transacted_at=told.at,
    )
    told.tell(OrderFilled(at=told.at, fill=fill))
    again = told.tell(OrderFilled(at=told.at, fill=fill))

    assert again == []
    assert told.held() == 10


def test_a_fill_that_comes_after_the_entry_was_cancelled_is_held_and_protected():
    told, entry = breakout()
    told.acknowledge(entry)
    told.fill(entry, "103.10", quantity=40)
    told.acknowledge(told.orders("stop")[0])
    told.cancel(entry)
    told.fill(entry, "103.10", quantity=2)

    assert told.held() == 42
    assert told.orders("stop")[-1].quantity == 42


def test_a_refused_exit_is_tried_again_at_the_next_bar_not_at_once():
    told, _, first = leaving()
    told.reject(first)
    at_once = len(told.orders("exit"))
    told.bars(21, AAA=103.0)

    assert at_once == 1
    assert [order.quantity for order in told.orders("exit")] == [first.quantity] * 2


@pytest.mark.parametrize("how", [OrderCancelled, OrderExpired])
def test_an_exit_that_the_broker_takes_off_is_tried_again_at_the_next_bar_not_at_once(how):
    told, _, first = leaving()
    told.acknowledge(first)
    told.tell(how(at=told.at, client_order_id=first.client_order_id))
    at_once = len(told.orders("exit"))
    told.bars(21, AAA=103.0)

    assert (at_once, len(told.orders("exit"))) == (1, 2)


def test_three_refused_exits_call_a_person_once_and_trying_goes_on():
    told, _, _ = leaving()
    counts = []
    for number in range(21, 26):
        told.reject(told.orders("exit")[-1])
        counts.append(len(alarms(told)))
        told.bars(number, AAA=103.0)

    assert counts == [0, 0, 1, 1, 1]
    assert len(told.orders("exit")) == 6


def test_a_cancel_refused_because_the_stop_has_filled_sells_nothing_more():
    told, _, stop = entered()
    told.control(ControlKind.STOP)
    told.refuse_cancel(stop)
    told.fill(stop, "101")

    assert told.orders("exit") == []
    assert told.held() == 0
    assert len(told.of(SessionEnded)) == 1


def test_a_cancel_refused_without_a_fill_is_asked_again_at_the_next_bar():
    told, _, stop = entered()
    told.control(ControlKind.STOP)
    told.refuse_cancel(stop)
    told.bars(21, AAA=103.0)

    assert told.cancels() == [stop.client_order_id] * 2


def test_an_entry_whose_cancel_is_refused_while_the_session_stops_is_cancelled_again_at_the_next_bar():
    told, entry = breakout()
    told.acknowledge(entry)
    told.control(ControlKind.KILL)
    told.refuse_cancel(entry)
    told.bars(21, AAA=103.0)

    assert told.cancels() == [entry.client_order_id] * 2


def test_a_stop_that_fills_in_parts_leaves_the_rest_to_itself_until_the_next_bar_takes_over():
    told, entry, stop = entered()
    told.fill(stop, "101", quantity=10)
    meanwhile = (told.cancels(), told.orders("exit"))
    told.bars(21, AAA=100.0)
    told.confirm_cancels()

    assert meanwhile == ([], [])
    assert [order.quantity for order in told.orders("exit")] == [entry.quantity - 10]


def moving():
    """Return a session whose stop is being replaced by a higher one."""
    told, entry, stop = entered()
    told.bars(21, AAA=(103.1, 110.0, 103.0, 109.0))
    return told, entry, stop, told.orders("stop")[1]


def test_a_stop_that_fills_before_its_replacement_is_known_takes_the_replacement_off():
    told, _, old, new = moving()
    told.fill(old, "101")
    told.reject(new)
    told.refuse_cancel(old)

    assert told.cancels() == [new.client_order_id]
    assert told.held() == 0
    assert told.orders("exit") == []
    assert [record.exit_reason for record in told.of(TradeRecord)] == ["trailing_stop"]


def test_a_stop_that_fills_in_part_while_it_is_being_replaced_takes_both_off_and_sells_the_rest():
    told, entry, old, new = moving()
    told.fill(old, "101", quantity=10)
    told.acknowledge(new)
    told.cancel(new)

    assert new.client_order_id in told.cancels()
    assert [order.quantity for order in told.orders("exit")] == [entry.quantity - 10]


def test_a_refused_replacement_leaves_the_old_stop_and_the_next_bar_tries_again():
    told, _, old, new = moving()
    told.reject(new)
    told.refuse_cancel(old)
    meanwhile = (told.exits(), len(told.orders("stop")))
    told.bars(22, AAA=109.0)

    assert meanwhile == ([], 2)
    assert (told.orders("stop")[-1].stop, told.orders("stop")[-1].replaces) == (new.stop, old.client_order_id)


def test_what_a_refused_replacement_left_unprotected_is_protected_at_the_next_bar():
    told, entry = breakout()
    told.acknowledge(entry)
    told.fill(entry, "103.10", quantity=40)
    first = told.orders("stop")[0]
    told.acknowledge(first)
    told.fill(entry, "103.10", quantity=20)
    told.reject(told.orders("stop")[1])
    told.refuse_cancel(first)
    told.bars(21, AAA=103.10)

    assert [order.quantity for order in told.orders("stop")] == [40, 60, 60]


def test_while_a_refused_replacement_leaves_the_old_stop_in_doubt_no_second_stop_is_sent():
    told, entry = breakout()
    told.acknowledge(entry)
    told.fill(entry, "103.10", quantity=40)
    first = told.orders("stop")[0]
    told.acknowledge(first)
    told.fill(entry, "103.10", quantity=20)
    told.reject(told.orders("stop")[1])
    told.fill(entry, "103.10", quantity=5)
    told.bars(21, AAA=103.10)
    in_doubt = len(told.orders("stop"))
    told.refuse_cancel(first)
    told.bars(22, AAA=103.10)

    assert in_doubt == 2
    assert (told.orders("stop")[-1].quantity, told.orders("stop")[-1].replaces) == (65, first.client_order_id)


def test_a_stop_that_the_broker_takes_off_is_placed_again_and_the_third_time_the_position_is_left():
    told, entry, stop = entered()
    told.tell(OrderExpired(at=told.at, client_order_id=stop.client_order_id))
    again = told.orders("stop")[1]
    told.acknowledge(again)
    told.cancel(again)
    third = told.orders("stop")[2]
    told.acknowledge(third)
    before = told.exits()
    told.cancel(third)

    assert (again.stop, again.quantity, again.replaces) == (stop.stop, entry.quantity, None)
    assert len({stop.client_order_id, again.client_order_id, third.client_order_id}) == 3
    assert before == []
    assert told.exits() == ["unprotected"]
    assert [order.quantity for order in told.orders("exit")] == [entry.quantity]


def test_a_lost_answer_neither_repeats_nor_forgets_the_order():
    told, entry = breakout()
    told.tell(AnswerLost(at=told.at, client_order_id=entry.client_order_id, reason="timeout"))
    told.bars(21, AAA=103.10)
    told.fill(entry, "103.10")

    assert told.orders("entry") == [entry]
    assert told.held() == entry.quantity


# --- busts ----------------------------------------------------------------------------------------------------------


def test_a_bust_of_part_of_the_entry_shrinks_the_stop():
    told, entry = breakout()
    told.acknowledge(entry)
    told.fill(entry, "103.10", quantity=40)
    told.fill(entry, "103.10", quantity=20)
    told.acknowledge(told.orders("stop")[0])
    told.acknowledge(told.orders("stop")[1])
    told.bust("x2", entry)

    assert told.held() == 40
    assert told.orders("stop")[-1].quantity == 40


def test_a_bust_of_the_whole_entry_takes_the_stop_off_and_ends_the_trade():
    told, entry, stop = entered()
    told.bust("x1", entry)
    told.confirm_cancels()

    assert told.cancels() == [stop.client_order_id]
    assert told.orders("exit") == []
    assert told.held() == 0
    assert [record.size for record in told.of(TradeRecord)] == [0]


@pytest.mark.parametrize("ended", [False, True])
def test_a_bust_of_the_exit_after_the_trade_was_over_sells_again(ended):
    told, entry, stop = entered()
    if ended:
        told.control(ControlKind.STOP)
    told.fill(stop, "101")
    over = len(told.of(SessionEnded))
    told.bust("x2", stop)
    again = told.orders("exit")
    told.fill(again[0], "100")

    assert over == ended
    assert [order.quantity for order in again] == [entry.quantity]
    assert told.held() == 0
    assert len(told.of(SessionEnded)) == 2 * ended
    assert sum(told.engine.state.realized.values()) == told.of(TradeRecord)[-1].pnl


def test_a_bust_told_twice_counts_once_and_its_execution_stays_undone():
    told, entry, _ = entered()
    told.bust("x1", entry)
    told.confirm_cancels()
    again = told.bust("x1", entry)

    assert told.held() == 0
    assert not [output for output in again if isinstance(output, RaiseAlert)]


def test_an_execution_that_sold_more_than_was_held_calls_a_person_and_trades_nothing():
    told, _, stop = entered()
    told.fill(stop, "101")
    orders = len(told.orders())
    told.fill(stop, "101", quantity=5)

    assert told.held() == -5
    assert len(told.orders()) == orders
    assert alarms(told)
    assert told.of(TradeRecord)[-1].error_code == "oversold"


# --- strangers ------------------------------------------------------------------------------------------------------

STRANGERS = [
    lambda at: OrderAcknowledged(at=at, client_order_id="who", broker_order_id="b"),
    lambda at: OrderCancelled(at=at, client_order_id="who"),
    lambda at: OrderReplaced(at=at, client_order_id="who", by="whom"),
    lambda at: OrderRejected(at=at, client_order_id="who", reason="no"),
    lambda at: CancelRejected(at=at, client_order_id="who", reason="no"),
    lambda at: OrderExpired(at=at, client_order_id="who"),
    lambda at: AnswerLost(at=at, client_order_id="who", reason="no"),
    lambda at: FillBusted(at=at, execution_id="x", client_order_id="who"),
    lambda at: OrderFilled(
        at=at,
        fill=Fill(
            execution_id="x",
            client_order_id="who",
            price=Decimal(1),
            quantity=Decimal(1),
            fees=Decimal(0),
            transacted_at=at,
        ),
    ),
]


@pytest.mark.parametrize("stranger", STRANGERS)
def test_news_of_an_order_that_is_not_ours_is_an_anomaly_and_nothing_else(stranger):
    told, _, _ = entered()
    answer = told.tell(stranger(told.at))

    assert [type(output) for output in answer] == [AnomalySeen]


def test_a_replacement_by_a_stranger_is_an_anomaly():
    told, _, stop = entered()
    answer = told.tell(OrderReplaced(at=told.at, client_order_id=stop.client_order_id, by="whom"))

    assert AnomalySeen in [type(output) for output in answer]


def test_while_the_stop_before_it_is_not_told_as_gone_a_stop_is_not_moved_and_nobody_is_called():
    told, _, stop = entered()
    told.bars(21, AAA=104.50)
    second = told.orders("stop")[1]
    # the word that the first one is replaced is on its way
    told.tell(OrderAcknowledged(at=told.at, client_order_id=second.client_order_id, broker_order_id="2"))
    told.bars(22, AAA=106.00)
    assert told.orders("stop") == [stop, second]
    assert alarms(told) == []
    told.tell(OrderReplaced(at=told.at, client_order_id=stop.client_order_id, by=second.client_order_id))
    third = told.orders("stop")[2]
    assert third.replaces == second.client_order_id
    assert third.stop.price > second.stop.price
