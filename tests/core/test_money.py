"""Market data become exact numbers by their spelling, whatever was read before."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.instruments import Rounding, equity
from tbot_bot.core.money import CENT, spelled

PRICES = st.floats(1, 100_000).map(lambda price: round(price, 4))


@given(PRICES)
def test_a_number_is_read_as_it_is_written(price):
    assert str(spelled(price)) == repr(price)


@pytest.mark.parametrize("first", [5, 5.0])
def test_what_was_read_before_changes_no_digit(first):
    spelled(first)
    assert (str(spelled(5)), str(spelled(5.0))) == ("5", "5.0")


@given(PRICES, st.sampled_from(Rounding))
def test_a_float_comes_onto_the_grid_as_its_spelling_does(price, rounding):
    share = equity("ZZZ")
    found = share.round_price(price, rounding)
    assert found == share.round_price(Decimal(repr(price)), rounding)
    assert found % CENT == 0
    assert abs(found - Decimal(repr(price))) < CENT


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_price_is_refused_each_time(wrong):
    for _ in range(2):
        with pytest.raises(ValueError, match="finite"):
            equity("ZZZ").round_price(wrong)
