"""The protection monitor: positions without a live stop of their size are noticed, repaired and told in time."""

from decimal import Decimal

from tbot_bot.core.commands import RaiseAlert, Severity
from tbot_bot.core.events import AnswerLost, ProtectionChecked
from tbot_bot.core.instants import SECOND, later
from tbot_bot.trading.orders_bot import OrderState
from tbot_bot.trading.protection import unprotected
from tests.support.scenario import spec_of
from tests.trading.test_engine_brokers import broken_out


def held(acknowledged=True):
    """Hold AAA; its stop was sent, and taken on by the broker where `acknowledged`."""
    told = broken_out(spec_of())
    entry = told.orders("entry")[0]
    told.acknowledge(entry)
    told.fill(entry, entry.limit_price)
    stop = told.orders("stop")[0]
    if acknowledged:
        told.acknowledge(stop)
    return told, entry, stop


def check(told, seconds):
    """Let so many seconds pass, then be told of a check."""
    told.at = later(told.at, seconds * SECOND)
    names = tuple(trade.trade_id for trade in unprotected(told.engine.state))
    return told.tell(ProtectionChecked(at=told.at, trade_ids=names))


def alarms(told):
    return [alert.severity for alert in told.of(RaiseAlert) if "unprotected" in alert.title]


def test_a_position_whose_stop_the_broker_works_is_protected():
    told, _, _ = held()
    check(told, 60)

    assert unprotected(told.engine.state) == []
    assert alarms(told) == []


def test_a_stop_that_the_broker_does_not_confirm_is_alarmed_within_ten_seconds_and_once():
    told, _, stop = held(acknowledged=False)
    alarmed_after = []
    for seconds in (0, 5, 5, 5, 5):
        check(told, seconds)
        alarmed_after.append(len(alarms(told)))

    assert alarmed_after == [0, 1, 1, 1, 1]
    assert alarms(told) == [Severity.CRITICAL]
    assert len(told.orders("stop")) == 1  # it may rest: a second one could sell twice
    told.acknowledge(stop)
    assert unprotected(told.engine.state) == []


def test_a_stop_whose_answer_was_lost_counts_as_none():
    told, _, stop = held(acknowledged=False)
    told.tell(AnswerLost(at=told.at, client_order_id=stop.client_order_id, reason="timeout"))
    check(told, 5)

    assert told.engine.state.orders[stop.client_order_id].state is OrderState.UNKNOWN
    assert len(alarms(told)) == 1


def test_a_stop_that_is_too_small_does_not_protect():
    told = broken_out(spec_of())
    entry = told.orders("entry")[0]
    told.acknowledge(entry)
    told.fill(entry, entry.limit_price, quantity=40)
    told.acknowledge(told.orders("stop")[0])
    covered = unprotected(told.engine.state)
    told.fill(entry, entry.limit_price, quantity=20)
    lacking = [trade.symbol for trade in unprotected(told.engine.state)]
    told.acknowledge(told.orders("stop")[1])

    assert covered == []
    assert lacking == ["AAA"]
    assert told.orders("stop")[1].quantity == Decimal(60)
    assert unprotected(told.engine.state) == []


def test_a_later_gap_is_alarmed_again():
    told, _, stop = held()
    told.cancel(stop)  # the broker takes it off: another one is placed, and not confirmed
    check(told, 6)
    told.acknowledge(told.orders("stop")[1])
    told.cancel(told.orders("stop")[1])
    check(told, 6)

    assert alarms(told) == [Severity.WARNING, Severity.CRITICAL] * 2


def test_a_position_that_is_being_left_is_not_told_of():
    told, _, stop = held()
    told.bars(60, AAA=103.0)  # the monitoring time is over
    told.cancel(stop)
    check(told, 60)

    assert told.exits() == ["time"]
    assert alarms(told) == []


def test_a_stop_whose_answer_was_lost_is_not_replaced_before_it_was_looked_up_and_then_covers_all_that_is_held():
    told = broken_out(spec_of())
    entry = told.orders("entry")[0]
    told.acknowledge(entry)
    told.fill(entry, entry.limit_price, quantity=Decimal(1))
    stop = told.orders("stop")[0]
    told.tell(AnswerLost(at=told.at, client_order_id=stop.client_order_id, reason="timeout"))
    told.fill(entry, entry.limit_price, quantity=Decimal(1))
    check(told, 5)

    assert told.orders("stop") == [stop]  # it may rest, or never have come: what replaces it would meet either
    told.acknowledge(stop)
    check(told, 1)
    assert [order.quantity for order in told.orders("stop")][1:] == [Decimal(2)]
    assert told.orders("stop")[-1].replaces == stop.client_order_id
