"""How the budget is shared and what a share buys."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.instruments import FRACTION_STEP, Instrument, equity
from tbot_bot.core.policies import SizingMode
from tbot_bot.trading.allocation import allotments, shares
from tbot_bot.trading.sizing import quantity_for

WEIGHTS = tuple(map(Decimal, ("0.4", "0.2", "0.2", "0.2")))
PUT = Instrument(symbol="P", multiplier=Decimal(100))
EQUAL = {count: (Decimal(1) / count,) * count for count in (5, 6)}


def parts(text):
    return tuple(map(Decimal, text.split()))


@pytest.mark.parametrize(
    ("candidates", "max_trades", "slots", "expected"),
    [
        (0, 4, 5, ""),
        (1, 4, 5, "1"),
        (2, 4, 5, "0.60 0.40"),
        (3, 4, 5, "0.40 0.30 0.30"),
        (4, 4, 5, "0.4 0.2 0.2 0.2"),
        (9, 4, 5, "0.4 0.2 0.2 0.2"),
        (9, 1, 5, "1"),
        (9, 2, 5, "0.60 0.40"),
        (9, 3, 5, "0.40 0.30 0.30"),
        (9, 4, 2, "0.60 0.40"),
        (9, 4, 1, "1"),
        (9, 4, 0, ""),
        (9, 4, -1, ""),
    ],
)
def test_the_shares_follow_the_table_of_the_specification(candidates, max_trades, slots, expected):
    assert shares(candidates, max_trades, slots, WEIGHTS) == parts(expected)


@pytest.mark.parametrize("count", [5, 6])
def test_more_than_four_trades_have_the_weights_configured_for_them(count):
    assert shares(9, count, 9, EQUAL[count]) == EQUAL[count]


def test_fewer_candidates_than_weights_share_the_whole_budget_in_proportion():
    assert shares(4, 5, 9, parts("0.4 0.2 0.1 0.1 0.2")) == parts("0.5 0.25 0.125 0.125")


BUDGETS = st.decimals("0", "1000000", places=2)


@given(BUDGETS, st.integers(0, 9), st.integers(1, 6), st.integers(0, 6), st.data())
def test_the_allotments_never_exceed_the_budget(budget, candidates, max_trades, slots, data):
    raw = data.draw(st.lists(st.integers(1, 100), min_size=max_trades, max_size=max_trades))
    weights = tuple(Decimal(part) / sum(raw) for part in raw)
    fractions = shares(candidates, max_trades, slots, weights)
    amounts = allotments(budget, fractions)

    assert sum(amounts) <= budget
    assert all(amount >= 0 for amount in amounts)
    assert len(amounts) == max(min(candidates, max_trades, slots), 0)


def size(mode=SizingMode.NOTIONAL, allotted="1000", instrument=None, price="30", distance="0.6", cap="1000000"):
    return quantity_for(
        mode=mode,
        allotted=Decimal(allotted),
        instrument=instrument or equity("AAA"),
        worst_price=Decimal(price),
        stop_distance=Decimal(distance),
        notional_cap=Decimal(cap),
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "33"),
        ({"instrument": equity("AAA", fractional=True)}, "33.333333333"),
        ({"allotted": "29.99"}, "0"),
        ({"allotted": "30"}, "1"),
        ({"instrument": PUT, "price": "5", "allotted": "1000"}, "2"),
        ({"instrument": PUT, "price": "5", "allotted": "499.99"}, "0"),
        ({"cap": "300"}, "10"),
        ({"mode": SizingMode.STOP_RISK}, "1666"),
        ({"mode": SizingMode.STOP_RISK, "cap": "3000"}, "100"),
        ({"mode": SizingMode.STOP_RISK, "distance": "0"}, "0"),
        ({"price": "0"}, "0"),
        ({"allotted": "0"}, "0"),
    ],
)
def test_a_share_buys_so_much(asked, expected):
    assert size(**asked) == Decimal(expected)


@given(
    mode=st.sampled_from(SizingMode),
    allotted=st.decimals("0.01", "100000", places=2),
    price=st.decimals("0.01", "5000", places=2),
    fraction=st.decimals("0.001", "1", places=3),
    cap=st.decimals("0.01", "100000", places=2),
    instrument=st.sampled_from([equity("AAA"), equity("AAA", fractional=True), PUT]),
)
def test_no_size_spends_more_than_its_limits_or_loses_more_than_the_share(
    mode, allotted, price, fraction, cap, instrument
):
    distance = price * fraction
    quantity = quantity_for(
        mode=mode,
        allotted=allotted,
        instrument=instrument,
        worst_price=price,
        stop_distance=distance,
        notional_cap=cap,
    )
    spent, lost = instrument.notional(price, quantity), instrument.notional(distance, quantity)
    room = min(cap / instrument.notional(price, Decimal(1)), allotted / instrument.notional(distance, Decimal(1)))

    assert quantity >= 0
    assert quantity % instrument.quantity_step == 0
    assert spent <= cap
    assert lost <= allotted
    if mode is SizingMode.NOTIONAL:
        assert spent <= allotted
    else:
        assert room - quantity < instrument.quantity_step  # not a step less than the limits allow


def test_fractions_have_nine_decimals():
    assert Decimal("0.000000001") == FRACTION_STEP
