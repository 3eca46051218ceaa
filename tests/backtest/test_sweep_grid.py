"""Grids of settings: exact steps, both ends, every combination once, and each fault told with the way to mend it."""

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.backtest.sweep_grid import AXES_MAX, SETS_MAX, Axis, Grid, read_grid
from tbot_bot.config.error_handler import ConfigError

numbers = st.decimals(min_value=Decimal(0), max_value=Decimal("0.5"), places=4)
steps = st.decimals(min_value=Decimal("0.0001"), max_value=Decimal("0.2"), places=4)


def values_of(text):
    return read_grid([text], {}).axes[0].values


@given(first=numbers, last=numbers, step=steps)
def test_a_range_has_exactly_the_steps_that_fit_between_its_ends(first, last, step):
    text = f"STRAT_OPEN_BUFFER={first}:{last}:{step}"
    expected = []
    value = first
    while value <= last:
        expected.append(value)
        value += step
    if len(expected) < 2:
        with pytest.raises(ConfigError):
            read_grid([text], {})
        return
    assert [Decimal(value) for value in values_of(text)] == expected
    assert (Decimal(values_of(text)[-1]) == last) == ((last - first) % step == 0)


@given(first=st.integers(0, 50), count=st.integers(2, 40), step=st.integers(1, 9))
def test_a_range_and_the_list_of_its_values_are_the_same_grid(first, count, step):
    spelled = ",".join(str(first + number * step) for number in range(count))
    last = first + (count - 1) * step
    if last <= 100:
        assert read_grid([f"ADX_MAX={first}:{last}:{step}"], {}) == read_grid([f"ADX_MAX={spelled}"], {})


@given(sizes=st.lists(st.integers(2, 4), min_size=1, max_size=5))
def test_every_combination_comes_once_in_one_order_and_numbers_lead_back(sizes):
    axes = tuple(Axis(name=f"N{place}", values=tuple(map(str, range(size)))) for place, size in enumerate(sizes))
    grid = Grid(axes=axes)
    found = [tuple(value for _, value in pairs) for pairs in grid.sets()]
    assert found == list(product(*(axis.values for axis in axes)))
    assert len(grid) == len(set(found)) == len(found)
    assert [grid.pairs(number) for number in range(len(grid))] == list(grid.sets())


@given(text=st.text(alphabet="0123456789.:,;=eE-+ ABS_", max_size=30))
def test_no_text_raises_anything_but_a_told_fault(text):
    found, told = [], []
    try:
        found = list(read_grid([f"STRAT_OPEN_BUFFER={text}"], {}).axes)
    except ConfigError as error:
        told = list(error.problems)
    assert bool(found) != bool(told)
    assert all(problem.mend and problem.expected for problem in told)
    for axis in found:
        assert all(0 <= Decimal(value) <= Decimal("0.5") for value in axis.values)
        assert read_grid([str(axis)], {}).axes == (axis,)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("STRAT_OPEN_BUFFER=0.005:0.03:0.005", ("0.005", "0.01", "0.015", "0.02", "0.025", "0.03")),
        ("STRAT_OPEN_BUFFER=0.1:0.3:0.1", ("0.1", "0.2", "0.3")),
        ("STRAT_OPEN_BUFFER=0.01:0.035:0.01", ("0.01", "0.02", "0.03")),
        ("STRAT_OPEN_BUFFER=0.010, 0.02", ("0.01", "0.02")),
        ("STRAT_OPEN_BUFFER=0.01:0.03:0.01,0.1", ("0.01", "0.02", "0.03", "0.1")),
        ("SHORT_TYPE_OPEN=ShortSell,disabled", ("ShortSell", "disabled")),
        ("ADX_FILTER_ENABLED=true,false", ("true", "false")),
        ("START_TIME_MID=15:30,16:00", ("15:30", "16:00")),
        ("WEIGHTS=0.4,0.2,0.2,0.2;0.25,0.25,0.25,0.25", ("0.4,0.2,0.2,0.2", "0.25,0.25,0.25,0.25")),
    ],
)
def test_values_are_those_of_the_settings_file(text, values):
    assert values_of(text) == values


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["STRAT_OPEN_BUFER=0.01,0.02"], "did you mean STRAT_OPEN_BUFFER?"),
        (["FINNHUB_API_KEY=a,b"], "expected a trading setting"),
        (["STRAT_OPEN_BUFFER=0.4:0.6:0.1"], "from 0 to 0.5"),
        (["STRAT_OPEN_BUFFER=0.3:0.1:0.1"], "write the smaller end first"),
        (["STRAT_OPEN_BUFFER=0.1:0.3:0"], "a step above 0"),
        (["STRAT_OPEN_BUFFER=0.3:0.1:-0.1"], "a step above 0"),
        (["STRAT_OPEN_BUFFER=a:b:c"], "FROM:TO:STEP"),
        (["STRAT_OPEN_BUFFER=0.1"], "use --set STRAT_OPEN_BUFFER=0.1"),
        (["STRAT_OPEN_BUFFER=0.1,0.10"], "each value once"),
        (["STRAT_OPEN_BUFFER"], "the form NAME=VALUES"),
        (["STRAT_OPEN_BUFFER=0:0.5:0.0000001"], "at most 10,000 values, not 5,000,001"),
        (["ADX_MAX=1,2", "ADX_MAX=3,4"], "another --grid gives it too"),
        (["MAX_TRADES=1,2"], "--set gives it too"),
        (["STRAT_OPEN_BUFFER=0:0.5:0.001", "ADX_MAX=0:100:1"], f"at most {SETS_MAX:,} combinations, not 501 x 101"),
        ([], "at least one setting to vary"),
    ],
)
def test_a_grid_that_cannot_be_used_is_refused_in_words(texts, told):
    with pytest.raises(ConfigError) as caught:
        read_grid(texts, {"MAX_TRADES": "--set"})
    assert told in str(caught.value)


def test_every_fault_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        read_grid(["NO_SUCH=1,2", "ADX_MAX=1:2:0", "STRAT_OPEN_BUFFER=0.01,0.02"], {})
    assert [problem.variable for problem in caught.value.problems] == ["NO_SUCH", "ADX_MAX"]


def test_more_settings_than_a_table_can_show_are_too_many():
    names = ("ADX_MAX", "BOLLINGER_STDDEV", "CLOSE_FADE_Z", "MAX_PRICE", "MIN_PRICE", "MAX_TRADES",
             "MAX_OPEN_POSITIONS", "PUT_MIN_DTE", "STRAT_CLOSE_VIX_THRESHOLD")  # fmt: skip
    assert len(names) == AXES_MAX + 1
    with pytest.raises(ConfigError, match=f"at most {AXES_MAX} settings"):
        read_grid([f"{name}=3,4" for name in names], {})
