"""The figures of a backtest: those of a library from outside where it has them, by hand where it has not."""

import math
import warnings
from datetime import date, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tbot_bot.backtest import performance_metrics as metrics
from tbot_bot.backtest.objective import Objective
from tbot_bot.backtest.performance_metrics import DayOutcome, TradeOutcome, deepest_drawdown, performance_of
from tbot_bot.backtest.resampling import RESAMPLES, figures_of, resampled_days

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs, at import
    import empyrical
    import numpy as np

HOUR = 3_600_000_000_000
FIRST = date(2025, 3, 3)
RETURNS = st.lists(st.floats(-0.3, 0.3).map(lambda one: round(one, 6)), min_size=2, max_size=300)


def days_of(returns, start=1000.0):
    """Return days with these returns, one after another."""
    worth, made = start, []
    for number, one in enumerate(returns):
        after = worth * (1 + one)
        made.append(DayOutcome(day=FIRST + timedelta(number), before=worth, after=after, open_ns=6 * HOUR))
        worth = after
    return made


def trade(pnl, *, day=0, begin=0.0, hours=1.0, traded=100.0):
    held = (int((24 * day + begin) * HOUR), int((24 * day + begin + hours) * HOUR))
    return TradeOutcome(day=FIRST + timedelta(day), pnl=pnl, minutes=hours * 60, traded=traded, held=held)


@given(RETURNS)
def test_figures_of_returns_are_those_of_empyrical(returns):
    series = np.array(returns)
    assume(series.std(ddof=1) > 1e-9)
    with np.errstate(all="ignore"):
        theirs = {
            metrics.sharpe: empyrical.sharpe_ratio(series),
            metrics.sortino: empyrical.sortino_ratio(series),
            metrics.cagr: empyrical.cagr(series),
            metrics.volatility: empyrical.annual_volatility(series),
            metrics.calmar: empyrical.calmar_ratio(series),
            metrics.drawdown_depth: -empyrical.max_drawdown(series),
        }
    for ours, figure in theirs.items():
        found = ours(returns)
        if found is None:  # a ratio over nothing
            assert not math.isfinite(figure), ours.__name__
        else:
            assert found == pytest.approx(figure, rel=1e-7, abs=1e-9), ours.__name__


@given(RETURNS)
def test_the_deepest_drawdown_is_the_worst_of_all_pairs_of_days(returns):
    days = days_of(returns)
    worth = [days[0].before, *(day.after for day in days)]
    worst = max((1 - low / high for place, high in enumerate(worth) for low in worth[place:]), default=0.0)
    found = deepest_drawdown(days)
    if found is None:
        assert worst == 0
        return
    assert found.depth == worst
    assert found.peak <= found.trough
    if found.recovered is not None:
        assert found.recovered > found.trough


def test_a_drawdown_names_its_days_and_how_long_it_lasted():
    found = deepest_drawdown(days_of([0.10, -0.20, 0.05, -0.10, 0.50, 0.01]))
    assert found is not None
    assert (found.peak, found.trough, found.recovered) == tuple(FIRST + timedelta(n) for n in (0, 3, 4))
    assert found.days == 4
    assert found.depth == pytest.approx(1 - 0.8 * 1.05 * 0.9)
    assert found.dollars == pytest.approx(1100 - 1100 * 0.8 * 1.05 * 0.9)


def test_a_drawdown_that_was_not_made_good_lasts_to_the_end():
    found = deepest_drawdown(days_of([-0.10, 0.01, 0.01]))
    assert found is not None
    assert found.recovered is None
    assert found.days == 3


def test_trades_come_to_what_they_come_to_by_hand():
    trades = [trade(30.0), trade(-10.0, hours=2), trade(-20.0, hours=3), trade(20.0)]
    found = performance_of(days_of([0.02]), trades).trades
    assert (found.trades, found.wins, found.losses, found.win_rate) == (4, 2, 2, 0.5)
    assert (found.pnl, found.average_pnl, found.average_minutes) == (20.0, 5.0, 105.0)
    assert found.profit_factor == pytest.approx(50 / 30)
    assert found.expectancy == pytest.approx(5 / 15)


def test_overlapping_trades_are_exposed_once():
    trades = [trade(1, begin=1, hours=2), trade(1, begin=2, hours=2), trade(1, day=1, begin=1, hours=1)]
    found = performance_of(days_of([0.0, 0.0]), trades)
    assert found.exposure == pytest.approx(4 / 12)


def test_turnover_is_what_was_traded_in_a_year_over_the_equity():
    found = performance_of(days_of([0.0, 0.0]), [trade(0.0, traded=500.0), trade(0.0, day=1, traded=1500.0)])
    assert found.turnover == pytest.approx(2000 / 1000 * 252 / 2)


def test_nothing_traded_defines_nothing():
    found = performance_of(days_of([0.0, 0.0]), [])
    trades = found.trades
    assert (trades.win_rate, trades.average_pnl, trades.profit_factor, trades.expectancy) == (None, None, None, None)
    assert (found.sharpe, found.sortino, found.calmar, found.drawdown, found.cagr) == (None, None, None, None, 0.0)


def test_equal_seeds_give_equal_ranges_and_others_do_not():
    days = days_of(np.random.default_rng(1).normal(0.001, 0.01, 60).tolist())
    trades = [trade(day.after - day.before, day=number) for number, day in enumerate(days)]
    one, again, other = (figures_of(days, trades, seed).intervals for seed in (7, 7, 8))
    assert one == again
    assert one != other


def test_the_range_of_a_mean_is_as_wide_as_theory_says():
    """Independent days: the Sharpe ratio's standard error over n days is sqrt((1 + S^2 / 2) / n) (Lo 2002)."""
    returns = np.random.default_rng(3).normal(0.001, 0.01, 750).tolist()
    found = figures_of(days_of(returns), [], 1)
    interval, ratio = found.interval("sharpe"), found.performance.sharpe
    assert interval is not None
    assert ratio is not None
    daily = ratio / math.sqrt(252)
    width = 2 * 1.96 * math.sqrt((1 + daily**2 / 2) / 750) * math.sqrt(252)
    assert interval.high - interval.low == pytest.approx(width, rel=0.2)
    assert interval.low < ratio < interval.high


def test_too_few_days_have_no_ranges():
    found = figures_of(days_of([0.01, -0.01] * 9), [], 1)
    assert (found.intervals, found.resamples) == ((), 0)
    assert figures_of(days_of([0.01, -0.01] * 10), [], 1).resamples == RESAMPLES


def test_resamples_are_runs_of_days_about_the_cube_root_long():
    drawn = resampled_days(1000, 200, 5)
    follows = (drawn[:, 1:] - drawn[:, :-1]) % 1000 == 1
    assert drawn.min() >= 0
    assert drawn.max() < 1000
    assert 1 / (1 - follows.mean()) == pytest.approx(10, rel=0.05)


def test_gains_without_a_loss_are_more_than_any_ratio_and_no_trades_less():
    """By Sortino ratio: a choice among settings is no worse for having found some that never lost."""

    def found(*returns):
        trades = [trade(one * 1000, day=number) for number, one in enumerate(returns) if one]
        return performance_of(days_of(list(returns)), trades)

    best_first = [found(0.03, 0.02), found(0.02, 0.01), found(0.03, -0.01), found(-0.03, 0.01), found(0.0, 0.0)]
    assert [one.sortino is None for one in best_first] == [True, True, False, False, True]
    merits = [Objective.SORTINO.merit(one) for one in best_first]
    assert merits == sorted(merits, reverse=True)
    assert len(set(merits)) == len(merits)
