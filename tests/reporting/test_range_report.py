"""A span of days in figures: sums that agree with the days, and the deepest fall below an earlier peak."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.identity import Mode
from tbot_bot.reporting.daily_summary import Share, summary_of
from tbot_bot.reporting.range_report import range_report_of
from tbot_bot.reporting.story import Stories

FIRST = date(2025, 9, 1)
EMPTY = summary_of(Stories(Mode.PAPER), FIRST)


def share(name, pnl):
    return Share(name=name, trades=1, wins=0, losses=0, pnl=Decimal(pnl), fees=Decimal(1), slippage=Decimal(0))


def days_with(results):
    return [
        replace(EMPTY, day=FIRST + timedelta(days=number), pnl=Decimal(pnl), by_symbol=(share(f"S{number % 2}", pnl),))
        for number, pnl in enumerate(results)
    ]


def report(results):
    return range_report_of(FIRST, date(2025, 9, 30), Mode.PAPER, days_with(results))


def test_a_drop_is_measured_from_the_highest_sum_before_it():
    assert report([10, -4, -3, 20, -25, 5]).largest_drop == 25
    assert report([-5, -5, 30]).largest_drop == 10, "the value before the first day is a peak, too"
    assert report([1, 2, 3]).largest_drop == 0


@given(st.lists(st.integers(-1000, 1000), max_size=12))
def test_shares_add_up_to_the_whole_and_no_drop_is_deeper(results):
    told = report(results)
    assert told.pnl == sum(results) == sum(part.pnl for part in told.by_symbol)
    sums = [sum(results[:count]) for count in range(len(results) + 1)]
    falls = [before - after for number, before in enumerate(sums) for after in sums[number:]]
    assert told.largest_drop == max(falls)
