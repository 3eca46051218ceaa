# ruff: noqa: E501 - a grid is read by its columns
"""The order's life: the table written a second time, by hand, and the laws that executions obey."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Fill, OrderRequest, OrderType, Side
from tbot_bot.trading.orders_bot import TRANSITIONS, Order, OrderState, Trigger, apply, apply_fill, bust, new_order

# Columns: what happens. Rows: in which state. A dot: recorded as an anomaly, nothing changes.
GRID = """
                 sent       acknowledged     filled_partly    filled_fully cancel_asked     cancel_refused   cancelled rejected replaced expired answer_lost
intent           submitting .                .                .            .                .                .         .        .        .       .
submitting       .          working          partially_filled filled       cancel_requested .                cancelled rejected replaced expired unknown
unknown          submitting working          partially_filled filled       cancel_requested .                cancelled rejected replaced expired unknown
working          .          working          partially_filled filled       cancel_requested working          cancelled rejected replaced expired working
partially_filled .          partially_filled partially_filled filled       cancel_requested partially_filled cancelled .        replaced expired partially_filled
cancel_requested .          cancel_requested cancel_requested filled       cancel_requested working          cancelled rejected replaced expired cancel_requested
filled           .          filled           filled           filled       .                filled           .         .        .        .       filled
cancelled        .          cancelled        cancelled        filled       .                cancelled        cancelled .        .        .       cancelled
replaced         .          replaced         replaced         filled       .                replaced         replaced  .        replaced .       replaced
expired          .          expired          expired          filled       .                expired          expired   .        .        expired expired
rejected         .          .                .                .            .                .                .         rejected .        .       .
"""


def _cells():
    header, *rows = [line.split() for line in GRID.strip("\n").splitlines()]
    for state, *results in rows:
        for trigger, result in zip(header, results, strict=True):
            yield OrderState(state), Trigger(trigger), None if result == "." else OrderState(result)


CELLS = list(_cells())


def request(quantity="100"):
    return OrderRequest(
        client_order_id="20250902-open-sim-AAA-entry1",
        trade_id="20250902-open-sim-AAA",
        broker="sim",
        instrument=equity("AAA"),
        side=Side.BUY,
        quantity=Decimal(quantity),
        order_type=OrderType.MARKET,
    )


def order_in(state):
    return Order(request=request(), created_at=Instant(0), state=state)


def fill(execution_id, quantity):
    return Fill(
        execution_id=execution_id,
        client_order_id="20250902-open-sim-AAA-entry1",
        price=Decimal(10),
        quantity=Decimal(quantity),
        fees=Decimal(0),
        transacted_at=Instant(1),
    )


def test_the_grid_names_every_state_and_every_trigger():
    assert {state for state, _, _ in CELLS} == set(OrderState)
    assert {trigger for _, trigger, _ in CELLS} == set(Trigger)
    assert len(CELLS) == len(OrderState) * len(Trigger)


@pytest.mark.parametrize(("state", "trigger", "expected"), CELLS)
def test_the_table_is_the_grid(state, trigger, expected):
    after, anomaly = apply(order_in(state), trigger)

    assert after.state is (expected or state)
    assert bool(anomaly) is (expected is None)
    assert TRANSITIONS[state].get(trigger) is expected


def test_a_fill_that_outruns_the_acknowledgement_is_booked_and_the_late_acknowledgement_changes_nothing():
    submitting, _ = apply(new_order(request(), Instant(0)), Trigger.SENT)
    filled, anomaly, _ = apply_fill(submitting, fill("x1", 100))
    after, late = apply(filled, Trigger.ACKNOWLEDGED)

    assert (filled.state, anomaly) == (OrderState.FILLED, "")
    assert (after, late) == (filled, "")


def test_a_print_that_comes_after_the_cancel_is_still_ours():
    after, anomaly, is_new = apply_fill(order_in(OrderState.CANCELLED), fill("x1", 30))

    assert (after.state, after.filled_quantity, anomaly, is_new) == (OrderState.CANCELLED, Decimal(30), "", True)


def test_a_refused_cancel_of_a_partly_filled_order_goes_back_to_partly_filled():
    partly, _, _ = apply_fill(order_in(OrderState.WORKING), fill("x1", 30))
    asked, _ = apply(partly, Trigger.CANCEL_ASKED)
    after, _ = apply(asked, Trigger.CANCEL_REFUSED)

    assert after.state is OrderState.PARTIALLY_FILLED


def test_an_execution_beyond_the_order_counts_and_is_reported():
    after, anomaly, _ = apply_fill(order_in(OrderState.WORKING), fill("x1", 130))

    assert after.filled_quantity == Decimal(130)
    assert "exceeds the order by 30" in anomaly


def test_an_execution_of_a_rejected_order_counts_and_is_reported():
    after, anomaly, is_new = apply_fill(order_in(OrderState.REJECTED), fill("x1", 10))

    assert (after.filled_quantity, is_new) == (Decimal(10), True)
    assert anomaly


def test_a_busted_execution_stays_undone_when_it_is_told_again():
    filled, _, _ = apply_fill(order_in(OrderState.WORKING), fill("x1", 40))
    undone, anomaly = bust(filled, "x1")
    again, _, is_new = apply_fill(undone, fill("x1", 40))

    assert (undone.filled_quantity, anomaly) == (Decimal(0), "")
    assert (again, is_new) == (undone, False)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 60)), max_size=30))
def test_every_execution_counts_once_however_often_and_in_whatever_order_it_is_told(told):
    first_told: dict[int, int] = {}
    order = order_in(OrderState.WORKING)
    for number, quantity in told:
        first_told.setdefault(number, quantity)
        order, _, _ = apply_fill(order, fill(f"x{number}", first_told[number]))

    assert order.filled_quantity == sum(first_told.values())


def test_what_an_execution_cost_may_be_told_later_and_counts_as_told_last():
    order, _, _ = apply_fill(order_in(OrderState.WORKING), fill("x1", 40))
    order, anomaly, is_new = apply_fill(order, replace(fill("x1", 40), fees=Decimal("0.35")))
    assert ([one.fees for one in order.fills], anomaly, is_new) == ([Decimal("0.35")], "", False)
    assert order.filled_quantity == Decimal(40)


@given(st.lists(st.sampled_from(list(Trigger)), max_size=40))
def test_an_order_that_is_over_never_comes_back(triggers):
    order = order_in(OrderState.WORKING)
    for trigger in triggers:
        before = order
        order, _ = apply(order, trigger)
        assert before.is_open or not order.is_open
