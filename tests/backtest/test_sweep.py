"""A sweep is many backtests and nothing else: the same figures, the same bytes, whatever happens on the way."""

import json
import os
import pickle
import re
import signal
import subprocess
from dataclasses import replace
from datetime import date
from itertools import combinations

import numpy as np
import pyarrow.parquet as pq
import pytest

from tbot_bot.backtest import kept_run
from tbot_bot.backtest.overfitting import deflated_sharpe_of, overfitting
from tbot_bot.backtest.performance_metrics import sharpe_a_day
from tbot_bot.backtest.sweep import sweep
from tbot_bot.backtest.sweep_crew import local_crew
from tbot_bot.backtest.sweep_errand import Task
from tbot_bot.backtest.sweep_grid import read_grid
from tbot_bot.backtest.sweep_log import AnotherSweep, SweepUnderWay, opened
from tbot_bot.backtest.sweep_plan import planned, with_pairs
from tbot_bot.backtest.sweep_result import judged
from tbot_bot.config.error_handler import ConfigError, MachineError
from tbot_bot.core.calendar import trading_days
from tests.support.sweep_kit import (
    GRID,
    MANY,
    RESULTS,
    bytes_of,
    children_of,
    done_lines,
    request_for,
    started,
    summary_of,
    tbot,
    wait_until,
    words_for,
    write_days,
)

DAYS = 3


def alone(errand):
    return local_crew(errand, 1)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return a home, its data and a finished sweep in it, computed in this process."""
    home = tmp_path_factory.mktemp("home")
    data = write_days(home / "bars.csv", DAYS)
    sweep(request_for(home, data, DAYS), read_grid(GRID, {}), home / "out", alone)
    return home, data


def rows_of(folder):
    return pq.read_table(folder / "results.parquet").to_pylist()


def test_the_folder_holds_what_is_promised_and_nothing_stays_beside_it(swept):
    home, _ = swept
    assert {path.name for path in (home / "out").iterdir()} == RESULTS
    assert {path.name for path in home.iterdir()} == {"bars.csv", "cache", "out"}


def test_a_row_is_the_backtest_with_these_settings_to_the_last_digit(swept):
    home, data = swept
    request, grid = request_for(home, data, DAYS), read_grid(GRID, {})
    rows = rows_of(home / "out")
    assert [row["set"] for row in rows] == list(range(1, len(grid) + 1))
    assert len({row["pnl"] for row in rows}) > 1
    for row, pairs in zip(rows, grid.sets(), strict=True):
        alone_run = kept_run.run_whole(with_pairs(request, pairs))
        metrics = json.loads(alone_run.files["metrics.json"])["performance"]
        plain = {**metrics, **metrics["trades"], "trades": metrics["trades"]["trades"]}
        shared = (plain.keys() & row.keys()) - {"max_drawdown"}
        assert {"sharpe", "pnl", "trades", "win_rate", "exposure", "turnover", "calmar", "cagr"} <= shared
        assert {name: row[name] for name in shared} == {name: plain[name] for name in shared}
        assert row["max_drawdown"] == (metrics["drawdown"] or {}).get("depth")
        assert [f"{row[name]:g}" for name, _ in pairs] == [value for _, value in pairs]


def test_daily_returns_lead_to_the_figures_of_each_set(swept):
    home, _ = swept
    daily = pq.read_table(home / "out" / "daily_returns.parquet").to_pylist()
    for row in rows_of(home / "out"):
        own = [one for one in daily if one["set"] == row["set"]]
        assert len(own) == DAYS
        assert row["sharpe"] == (sharpe_a_day([one["return"] for one in own]) or 0) * 252**0.5
        assert own[-1]["equity"] == pytest.approx(500_000 + row["pnl"])


def test_the_best_set_stands_beside_what_searching_explains(swept):
    home, _ = swept
    rows = rows_of(home / "out")
    summary = summary_of(home / "out")
    best = max(rows, key=lambda row: row["sharpe"])
    assert summary["best"][0]["number"] == best["set"]
    daily = pq.read_table(home / "out" / "daily_returns.parquet").to_pylist()
    returns = [[one["return"] for one in daily if one["set"] == row["set"]] for row in rows]
    sharpes = [sharpe_a_day(one) or 0.0 for one in returns]
    assert summary["deflated_sharpe"] == deflated_sharpe_of(returns[best["set"] - 1], sharpes)
    assert summary["overfitting"] is None  # three days are too few to halve


def test_the_probability_of_overfitting_is_that_of_the_daily_returns(swept):
    home, data = swept
    outcomes = _outcomes_with(home, data, np.random.default_rng(3).normal(0, 0.01, (40, 5)))
    found = judged(outcomes)
    table = np.array([outcome.returns() for outcome in outcomes]).T
    assert (found.blocks, found.halvings) == (16, 12_870)
    assert found.overfitting == overfitting(table).probability


def _outcomes_with(home, data, returns):
    """Return outcomes of a sweep with other daily returns, days x sets."""
    request = request_for(home, data, DAYS)
    plan = planned(request, read_grid(GRID, {}), "sweep")
    with local_crew(plan.errand, 1) as crew:
        (outcome,) = crew([Task(key="0", pairs=plan.grid.pairs(0), first=request.first, last=request.last)])
    dates = tuple(trading_days(date(2025, 1, 2), date(2025, 12, 31)))[: len(returns)]
    made = []
    for column in returns.T:
        worth = [1.0]
        for value in column:
            worth.append(worth[-1] * (1 + value))
        made.append(replace(outcome, dates=dates, worth=tuple(worth)))
    return made


def test_a_second_time_nothing_is_computed(swept):
    home, data = swept

    def nobody(_errand):
        raise AssertionError

    before = bytes_of(home / "out")
    again = sweep(request_for(home, data, DAYS), read_grid(GRID, {}), home / "out", nobody)
    assert again.resumed == len(read_grid(GRID, {}))
    assert bytes_of(home / "out") == before


def test_what_was_done_before_an_interruption_is_not_done_again(swept, tmp_path):
    home, data = swept
    request, grid = request_for(home, data, DAYS), read_grid(GRID, {})
    computed: list[str] = []

    def fails_after(count):
        def crew_for(errand):
            return _Counting(errand, computed, count)

        return crew_for

    with pytest.raises(KeyboardInterrupt):
        sweep(request, grid, tmp_path / "out", fails_after(2))
    assert not (tmp_path / "out").exists()
    log = tmp_path / ".out.sweep" / "done.jsonl"
    with log.open("ab") as file:  # what a kill in the middle of a write leaves
        file.write(log.read_bytes().split(b"\n")[0][:300])
    swept_again = sweep(request, grid, tmp_path / "out", fails_after(99))
    assert swept_again.resumed == 2
    assert sorted(computed) == sorted(str(number) for number in range(len(grid)))
    assert bytes_of(tmp_path / "out") == bytes_of(home / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


class _Counting:
    """A crew that notes what it computes and is interrupted after some."""

    def __init__(self, errand, computed, count):
        self.crew, self.computed, self.count = local_crew(errand, 1), computed, count

    def __enter__(self):
        crew = self.crew.__enter__()

        def work(tasks):
            for number, outcome in enumerate(crew(tasks)):
                if number == self.count:
                    raise KeyboardInterrupt
                self.computed.append(outcome.key)
                yield outcome

        return work

    def __exit__(self, *_):
        return self.crew.__exit__(None, None, None)


def test_a_damaged_record_of_a_set_does_not_count(swept, tmp_path):
    home, data = swept
    request, grid = request_for(home, data, DAYS), read_grid(GRID, {})
    with pytest.raises(KeyboardInterrupt):
        sweep(request, grid, tmp_path / "out", lambda errand: _Counting(errand, [], 3))
    log = tmp_path / ".out.sweep" / "done.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"trades":', b'"trades": ', 1))
    computed: list[str] = []
    assert sweep(request, grid, tmp_path / "out", lambda errand: _Counting(errand, computed, 99)).resumed == 2
    assert len(computed) == len(grid) - 2
    assert bytes_of(tmp_path / "out") == bytes_of(home / "out")


@pytest.mark.parametrize(
    ("change", "finished", "told"),
    [
        ("grid", False, "--grid: STRAT_OPEN_BUFFER=0.001,0.002, and now STRAT_OPEN_BUFFER=0.001,0.003"),
        ("settings", True, "setting MAX_SPREAD_PCT was 0.015 and is 0.01"),
        ("days", False, "the days: 2025-12-01 to 2025-12-02, and now 2025-12-01 to 2025-12-01"),
        ("data", False, "data file bars.csv has changed"),
        ("data", True, "data file bars.csv has changed"),
        ("code", True, "code tbot_bot/trading has changed"),
    ],
)
def test_going_on_with_something_else_is_refused_in_words(tmp_path, monkeypatch, change, finished, told):
    data = write_days(tmp_path / "bars.csv", 2, symbols=1)
    request, grid = request_for(tmp_path, data, 2), read_grid(["STRAT_OPEN_BUFFER=0.001,0.002"], {})
    if finished:
        sweep(request, grid, tmp_path / "out", alone)
    else:
        with pytest.raises(KeyboardInterrupt):
            sweep(request, grid, tmp_path / "out", lambda errand: _Counting(errand, [], 1))
    if change == "grid":
        grid = read_grid(["STRAT_OPEN_BUFFER=0.001,0.003"], {})
    elif change == "settings":
        request = request_for(tmp_path, data, 2, MAX_SPREAD_PCT="0.01")
    elif change == "days":
        request = replace(request, last=request.first)
    elif change == "data":
        write_days(data, 2, symbols=1, changed_from=request.last)
    else:
        real = planned(request, grid, "sweep").plan.code
        other = tuple(replace(one, sha256="0") if one.name == "tbot_bot/trading" else one for one in real)
        monkeypatch.setattr("tbot_bot.backtest.sweep_plan.code_digests", lambda: iter(other))
    with pytest.raises(AnotherSweep) as caught:
        sweep(request, grid, tmp_path / "out", alone)
    assert told in str(caught.value)
    assert "--no-resume" in str(caught.value)
    assert sweep(request, grid, tmp_path / "out", alone, anew=True).resumed == 0


def test_an_attempt_that_computed_nothing_stands_in_nobodys_way(swept, tmp_path):
    home, data = swept

    def not_there(_errand):
        raise MachineError("no cluster")

    with pytest.raises(MachineError, match="no cluster"):
        sweep(request_for(home, data, DAYS), read_grid(["ADX_MAX=20,25"], {}), tmp_path / "out", not_there)
    assert sweep(request_for(home, data, DAYS), read_grid(GRID, {}), tmp_path / "out", alone).resumed == 0
    assert bytes_of(tmp_path / "out") == bytes_of(home / "out")


def test_combinations_that_no_backtest_takes_are_refused_before_anything_is_computed(swept, tmp_path):
    home, data = swept
    grid = read_grid(["MAX_TRADES=3,4", "ADX_MAX=20,25"], {})
    with pytest.raises(ConfigError) as caught:
        sweep(request_for(home, data, DAYS), grid, tmp_path / "out", alone)
    assert "2 of 4 cannot" in str(caught.value)
    assert "MAX_TRADES=3 ADX_MAX=20: WEIGHTS: expected as many weights as MAX_TRADES=3" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_edit_of_the_settings_in_the_middle_changes_nothing(swept, tmp_path):
    home, data = swept
    own = tmp_path / "own"
    own.mkdir()
    request = replace(request_for(home, data, DAYS), home=own)

    def edits(done, _of, _known):
        if done == 1:
            (own / ".env_bot").write_text("MAX_TRADES=1\nWEIGHTS=1\n")

    sweep(request, read_grid(GRID, {}), tmp_path / "out", alone, progress=edits)
    assert (tmp_path / "out" / "results.parquet").read_bytes() == (home / "out" / "results.parquet").read_bytes()


def test_no_secret_and_no_login_is_sent_to_a_worker(tmp_path):
    secret = "a-real-" + "secret"
    (tmp_path / ".env").write_text(f"ALPACA_PAPER_API_KEY={secret}\nALPACA_PAPER_SECRET_KEY={secret}\n")
    data = write_days(tmp_path / "bars.csv", 1, symbols=1)
    request = request_for(tmp_path, data, 1, TEST_MODE="false", TOTAL_CAPITAL="100000")
    plan = planned(request, read_grid(GRID, {}), "sweep")
    assert secret.encode() not in pickle.dumps(plan)
    with local_crew(plan.errand, 1) as crew:  # and it can be worked with all the same
        (found,) = crew([Task(key="0", pairs=(), first=request.first, last=request.last)])
    assert found.worth[0] == 50_000


def test_files_that_settings_name_go_with_the_errand(tmp_path):
    data = write_days(tmp_path / "bars.csv", 2)
    (tmp_path / "few.txt").write_text("S00\n")
    (tmp_path / "all.txt").write_text("S00\nS01\nS02\n")
    grid = read_grid(["UNIVERSE=few.txt,all.txt"], {})
    sweep(request_for(tmp_path, data, 2, STRAT_OPEN_BUFFER="0.001"), grid, tmp_path / "out", alone)
    few, whole = rows_of(tmp_path / "out")
    assert (few["UNIVERSE"], whole["UNIVERSE"]) == ("few.txt", "all.txt")
    assert few["trades"] < whole["trades"]


def test_only_one_process_works_at_a_sweep(swept, tmp_path):
    home, data = swept
    plan = planned(request_for(home, data, DAYS), read_grid(GRID, {}), "sweep").plan
    with (
        opened(tmp_path / "out", plan, anew=False),
        pytest.raises(SweepUnderWay),
        opened(tmp_path / "out", plan, anew=True),
    ):
        pass


def test_a_folder_of_somebody_else_is_left_alone(swept, tmp_path):
    home, data = swept
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for anew in (False, True):
        with pytest.raises(MachineError, match="not empty"):
            sweep(request_for(home, data, DAYS), read_grid(GRID, {}), tmp_path / "out", alone, anew=anew)
    assert bytes_of(tmp_path / "out") == {"mine.txt": b"mine"}


def test_a_result_that_was_edited_is_not_taken_for_finished(tmp_path):
    data = write_days(tmp_path / "bars.csv", 1, symbols=1)
    request, grid = request_for(tmp_path, data, 1), read_grid(GRID, {})
    sweep(request, grid, tmp_path / "out", alone)
    (tmp_path / "out" / "results.parquet").write_bytes(b"")
    with pytest.raises(MachineError, match=r"results\.parquet: is not the file"):
        sweep(request, grid, tmp_path / "out", alone)


def test_the_page_has_a_map_for_each_pair_and_nothing_from_elsewhere(tmp_path):
    data = write_days(tmp_path / "bars.csv", 2, symbols=2)
    grid = read_grid([*GRID, "SHORT_TYPE_OPEN=ShortSell,disabled"], {})
    request = request_for(tmp_path, data, 2)
    request = replace(request, overrides=tuple(one for one in request.overrides if one[0] != "SHORT_TYPE_OPEN"))
    sweep(request, grid, tmp_path / "out", alone)
    page = (tmp_path / "out" / "report.html").read_text()
    for first, second in combinations((axis.name for axis in grid.axes), 2):
        assert f'aria-label="Sharpe ratio by {first} and {second}"' in page
    assert not re.search(r"<script|https?://|<link|@import|url\(", page)
    assert "prefers-color-scheme:dark" in page


@pytest.fixture(scope="module")
def many(swept):
    """Return a home with a sweep of many sets, computed in this process."""
    home, data = swept
    sweep(request_for(home, data, 2, STRAT_OPEN_BUFFER="0.001"), read_grid([MANY], {}), home / "many", alone)
    return home, [*words_for("sweep", data, 2, "--jobs", 2, texts=[MANY]), "--set", "STRAT_OPEN_BUFFER=0.001"]


def met_in_the_middle(home, words, folder):
    """Start `tbot` and return it as soon as some sets are done."""
    begun = started(home, [*words, "--out", folder])
    wait_until(lambda: done_lines(home / folder) >= 2 or begun.poll() is not None)
    assert begun.poll() is None, begun.communicate()
    return begun


def test_a_killed_sweep_takes_its_workers_along_and_the_same_command_finishes_it(many):
    home, words = many
    first = met_in_the_middle(home, words, "killed")
    first.kill()
    first.communicate(timeout=60)  # ends when the last process that holds a pipe of it has ended
    assert first.returncode == -signal.SIGKILL
    assert not (home / "killed").exists()
    before = done_lines(home / "killed")
    ended = tbot(home, [*words, "--out", "killed", "--json"])
    assert ended.returncode == 0, ended.stderr
    resumed = json.loads(ended.stdout)["resumed"]
    assert before >= resumed >= before - 1 >= 1
    assert f"going on: {resumed} of 24 sets are done already" in ended.stderr
    assert bytes_of(home / "killed") == bytes_of(home / "many")
    assert not (home / ".killed.sweep").exists()


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_sweep_in_words_and_the_same_command_goes_on(many):
    home, words = many
    first = met_in_the_middle(home, words, "broken")
    first.send_signal(signal.SIGSTOP)  # so that it is not over before its workers are found
    for pid in children_of(first.pid):
        command = subprocess.run(
            ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        if "spawn_main" in command.stdout:
            os.kill(pid, signal.SIGKILL)
    first.send_signal(signal.SIGCONT)
    _, told = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "a worker process was ended from outside" in told
    assert "The same command goes on" in told
    assert tbot(home, [*words, "--out", "broken"]).returncode == 0
    assert bytes_of(home / "broken") == bytes_of(home / "many")


@pytest.mark.slow
def test_an_interrupted_sweep_says_that_the_same_command_goes_on(many):
    home, words = many
    first = met_in_the_middle(home, words, "stopped")
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, told = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "interrupted; the same command goes on" in told
    assert "Traceback" not in told
    assert tbot(home, [*words, "--out", "stopped"]).returncode == 0
    assert bytes_of(home / "stopped") == bytes_of(home / "many")
