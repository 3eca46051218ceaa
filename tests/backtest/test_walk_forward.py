"""Walk-forward: what is chosen on some days is tried on the next ones, by accounts that live on, never ahead."""

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.backtest import outcomes
from tbot_bot.backtest.backtest_engine import run_backtest
from tbot_bot.backtest.objective import Objective
from tbot_bot.backtest.performance_metrics import performance_of
from tbot_bot.backtest.sweep_crew import local_crew
from tbot_bot.backtest.sweep_grid import read_grid
from tbot_bot.backtest.sweep_plan import with_pairs
from tbot_bot.backtest.walk_forward import Split, walk_forward, windows_of
from tbot_bot.config.error_handler import DataError
from tests.support.sweep_kit import (
    GRID,
    bytes_of,
    days_of,
    request_for,
    summary_of,
    tbot,
    words_for,
    write_days,
)

DAYS = 7
SPLIT = Split(inside=3, outside=2, anchored=False, objective=Objective.PNL)
NAMES = {"windows.parquet", "in_sample.parquet", "equity.parquet", "report.html", "walk_forward.json"}


def alone(errand):
    return local_crew(errand, 1)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    data = write_days(home / "bars.csv", DAYS, symbols=2)
    walk_forward(request_for(home, data, DAYS), read_grid(GRID, {}), SPLIT, home / "out", alone)
    return home, data


def rows_of(folder, name):
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def test_the_folder_holds_what_is_promised(walked):
    home, _ = walked
    assert {path.name for path in (home / "out").iterdir()} == NAMES


def test_windows_follow_each_other_and_the_last_may_be_shorter(walked):
    home, _ = walked
    days = days_of(DAYS)
    found = [
        (row["in_sample_first"], row["in_sample_last"], row["out_of_sample_first"], row["out_of_sample_last"])
        for row in rows_of(home / "out", "windows")
    ]
    assert found == [(days[0], days[2], days[3], days[4]), (days[2], days[4], days[5], days[6])]


def test_each_choice_is_the_best_of_backtests_over_its_own_days(walked):
    home, data = walked
    request, grid = request_for(home, data, DAYS), read_grid(GRID, {})
    inside = rows_of(home / "out", "in_sample")
    for window in rows_of(home / "out", "windows"):
        span = replace(request, first=window["in_sample_first"], last=window["in_sample_last"])
        results = [outcomes.performance(run_backtest(with_pairs(span, pairs))).trades.pnl for pairs in grid.sets()]
        assert [row["pnl"] for row in inside if row["window"] == window["window"]] == results
        assert window["set"] - 1 == results.index(max(results))
        assert window["objective_in_sample"] == max(results)


def test_accounts_live_on_from_window_to_window_and_the_curve_is_one(walked):
    home, data = walked
    request, grid = request_for(home, data, DAYS), read_grid(GRID, {})
    cash: tuple[tuple[str, Decimal], ...] = ()
    days, trades = [], []
    for window in rows_of(home / "out", "windows"):
        span = replace(request, first=window["out_of_sample_first"], last=window["out_of_sample_last"], cash=cash)
        result = run_backtest(with_pairs(span, grid.pairs(window["set"] - 1)))
        assert window["pnl"] == outcomes.performance(result).trades.pnl
        cash = result.days[-1].equity_after
        days += outcomes.day_outcomes(result)
        trades += outcomes.trade_outcomes(result)
    assert trades
    curve = rows_of(home / "out", "equity")
    assert [(row["day"], row["equity"], row["return"]) for row in curve] == [
        (day.day, day.after, day.ret) for day in days
    ]
    summary = summary_of(home / "out", "walk_forward.json")
    whole = performance_of(days, trades)
    assert summary["figures"]["performance"]["sharpe"] == whole.sharpe
    assert summary["figures"]["performance"]["trades"]["pnl"] == whole.trades.pnl
    assert all(before.after == after.before for before, after in pairwise(days))


def test_the_future_cannot_change_an_earlier_choice(walked, tmp_path):
    """Other bars from the second window's out-of-sample days on: everything before them stays to the last digit."""
    home, _ = walked
    data = write_days(tmp_path / "bars.csv", DAYS, symbols=2, changed_from=days_of(DAYS)[5])
    walk_forward(request_for(tmp_path, data, DAYS), read_grid(GRID, {}), SPLIT, tmp_path / "out", alone)
    assert rows_of(tmp_path / "out", "in_sample") == rows_of(home / "out", "in_sample")
    before, after = (rows_of(folder / "out", "windows") for folder in (home, tmp_path))
    assert after[0] == before[0]
    chosen = ("set", "objective_in_sample", "STRAT_OPEN_BUFFER", "OPEN_TRAILING_STOP_PCT")
    assert [after[1][name] for name in chosen] == [before[1][name] for name in chosen]
    assert after[1]["pnl"] != before[1]["pnl"]
    assert rows_of(tmp_path / "out", "equity")[:2] == rows_of(home / "out", "equity")[:2]


def test_the_warm_up_is_told(walked):
    home, _ = walked
    told = "each day looks back at up to 20 earlier trading days"
    assert told in summary_of(home / "out", "walk_forward.json")["warm_up"]
    assert told in (home / "out" / "report.html").read_text()


def test_an_interrupted_walk_goes_on_and_ends_with_the_same_bytes(walked, tmp_path):
    home, data = walked
    request, grid = request_for(home, data, DAYS), read_grid(GRID, {})
    for at in (4, 13):  # in sample, then just before the last window is traded

        def stops(done, _of, known, at=at):
            if done == at and done > known:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            walk_forward(request, grid, SPLIT, tmp_path / "out", alone, progress=stops)
    again = walk_forward(request, grid, SPLIT, tmp_path / "out", alone)
    assert again.resumed == 13
    assert bytes_of(tmp_path / "out") == bytes_of(home / "out")


@pytest.mark.slow
def test_as_a_user_types_it_with_two_processes_the_bytes_are_the_same(walked):
    home, data = walked
    words = words_for("walk-forward", data, DAYS, "--in-sample", 3, "--out-of-sample", 2, "--objective", "pnl",
                      "--jobs", 2, "--out", "typed")  # fmt: skip
    ended = tbot(home, [*words, "--json"])
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["windows"][0]["number"] == 1
    assert bytes_of(home / "typed") == bytes_of(home / "out")
    ended = tbot(home, words)
    assert "finished already" in ended.stderr
    assert max(map(len, ended.stdout.splitlines())) <= 120


def test_too_few_days_are_refused_in_words(walked, tmp_path):
    home, data = walked
    split = replace(SPLIT, inside=DAYS)
    with pytest.raises(DataError, match="none is left to try it on"):
        walk_forward(request_for(home, data, DAYS), read_grid(GRID, {}), split, tmp_path / "out", alone)
    assert list(tmp_path.iterdir()) == []


@given(count=st.integers(2, 60), inside=st.integers(1, 20), outside=st.integers(1, 9), anchored=st.booleans())
def test_no_window_sees_its_own_future_and_every_later_day_is_traded_once(count, inside, outside, anchored):
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(count)]
    split = Split(inside=inside, outside=outside, anchored=anchored, objective=Objective.SHARPE)
    if count <= inside:
        with pytest.raises(DataError):
            windows_of(days, split)
        return
    windows = windows_of(days, split)
    assert [day for window in windows for day in window.outside] == days[inside:]
    for window in windows:
        assert max(window.inside) < min(window.outside)
        assert days[days.index(window.inside[-1]) + 1] == window.outside[0]
        assert window.inside[0] == days[0] if anchored else len(window.inside) == inside
