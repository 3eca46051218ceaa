"""What a search leaves: found again in a list, ordered by another figure, and no leftovers beside it."""

import fcntl
import json
import os
import re
import shutil
import types
from dataclasses import replace
from pathlib import Path

import pytest

from tbot_bot.backtest import kept_run, sweep_log
from tbot_bot.backtest.kept_results import Listed, results_in
from tbot_bot.backtest.objective import WORDS, Objective
from tbot_bot.backtest.result_files import keep, take_away
from tbot_bot.backtest.sweep import sweep
from tbot_bot.backtest.sweep_crew import local_crew
from tbot_bot.backtest.sweep_errand import Task
from tbot_bot.backtest.sweep_grid import read_grid
from tbot_bot.backtest.sweep_log import SweepUnderWay, opened
from tbot_bot.backtest.sweep_plan import planned
from tbot_bot.backtest.walk_forward import Split, walk_forward
from tbot_bot.config.error_handler import MachineError
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import SECOND
from tests.support.sweep_kit import bytes_of, request_for, summary_of, write_days

DAYS = 2
GRID = ("STRAT_OPEN_BUFFER=0.001,0.003", "OPEN_TRAILING_STOP_PCT=0.005,0.02")
BEST = {Objective.SHARPE: 1, Objective.WIN_RATE: 3}
"""Numbers of the best sets over the bars of these tests."""


def alone(errand):
    return local_crew(errand, 1)


def nobody(_errand):
    raise AssertionError("nothing was to be computed")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return a home, its data and a finished sweep in it."""
    home = tmp_path_factory.mktemp("home")
    data = write_days(home / "bars.csv", DAYS, symbols=2)
    sweep(request_for(home, data, DAYS), read_grid(GRID, {}), home / "out", alone)
    return home, data


@pytest.fixture
def again(swept, tmp_path):
    """Return the finished sweep as a copy, and what gives its command again."""
    home, data = swept
    shutil.copytree(home / "out", tmp_path / "out")

    def command(crew=nobody, **words):
        return sweep(request_for(home, data, DAYS), read_grid(GRID, {}), tmp_path / "out", crew, **words)

    return tmp_path / "out", command


def interrupted_after(count):
    def progress(done, _of, known):
        if done - known == count:
            raise KeyboardInterrupt

    return progress


def beside(folder: Path) -> set[str]:
    return {path.name for path in folder.parent.iterdir()} - {folder.name}


# --- another objective ------------------------------------------------------------------------------------------------


def test_by_another_figure_a_finished_sweep_is_ordered_again_and_not_computed(again, swept, tmp_path):
    folder, command = again
    before = bytes_of(folder)
    assert summary_of(folder)["best"][0]["number"] == BEST[Objective.SHARPE]
    found = command(objective=Objective.WIN_RATE).summary
    assert [found.objective, found.best[0].number] == [Objective.WIN_RATE, BEST[Objective.WIN_RATE]]
    rates = [one.performance.trades.win_rate for one in found.best]
    assert rates == sorted(rates, reverse=True)
    page = (folder / "report.html").read_text()
    assert 'aria-label="Win rate by STRAT_OPEN_BUFFER and OPEN_TRAILING_STOP_PCT"' in page
    assert ">75.00 %<" in page
    home, data = swept
    sweep(request_for(home, data, DAYS), read_grid(GRID, {}), tmp_path / "new", alone, objective=Objective.WIN_RATE)
    assert bytes_of(folder) == bytes_of(tmp_path / "new"), "whether it was asked for at once or later"
    command()
    assert bytes_of(folder) == before
    assert beside(folder) == {"new"}


@pytest.mark.parametrize("objective", [one for one in Objective if one is not Objective.SHARPE])
def test_the_page_says_why_the_best_set_is_the_best(again, objective):
    folder, command = again
    best = command(objective=objective).summary.best[0].performance
    page = (folder / "report.html").read_text()
    defined = objective.of(best) is not None
    assert (f"the one with the highest {WORDS[objective]}." in page) is defined
    assert ("is not defined, and counts as more than any" in page) is (not defined and best.trades.pnl > 0)
    assert len(re.findall(r'<td class="(?:none )?best"', page)) == 1


def test_where_nothing_traded_no_set_is_called_the_best_for_its_figure(swept, tmp_path):
    home, data = swept
    grid = read_grid(("STRAT_OPEN_BUFFER=0.4,0.5",), {})
    request = replace(request_for(home, data, DAYS), strategies=(StrategyName.OPEN,))
    sweep(request, grid, tmp_path / "out", alone, objective=Objective.SORTINO)
    assert "No set has a Sortino ratio, and none gained." in (tmp_path / "out" / "report.html").read_text()


def test_a_sweep_that_was_ordered_again_is_still_as_old_as_its_tables(again):
    folder, command = again
    for path in folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    command(objective=Objective.PNL)
    (found,) = results_in(folder.parent)
    assert isinstance(found, Listed)
    assert (found.objective, found.at) == (Objective.PNL, 1_700_000_000 * SECOND)


def test_what_searching_explains_is_told_of_sharpe_ratios_whatever_was_looked_for(again):
    folder, command = again
    command(objective=Objective.WIN_RATE)
    summary = summary_of(folder)
    best = summary["best"][0]["performance"]["sharpe"]
    assert best < max(one["performance"]["sharpe"] for one in summary["best"])
    assert 0 < summary["deflated_sharpe"] < 0.5
    assert "daily Sharpe ratios, as it is published" in (folder / "report.html").read_text()


def test_an_unfinished_sweep_goes_on_whatever_is_looked_for(swept, tmp_path):
    home, data = swept
    words = (request_for(home, data, DAYS), read_grid(GRID, {}), tmp_path / "out", alone)
    with pytest.raises(KeyboardInterrupt):
        sweep(*words, progress=interrupted_after(3))
    found = sweep(*words, objective=Objective.WIN_RATE)
    assert found.resumed == 3
    assert found.summary.best[0].number == BEST[Objective.WIN_RATE]


def test_a_page_that_is_gone_or_half_renewed_is_made_again_and_tables_are_not(again):
    folder, command = again
    before = bytes_of(folder)
    (folder / "report.html").write_text("by another figure, when the machine stopped")
    command()
    assert bytes_of(folder) == before
    (folder / "report.html").unlink()
    command()
    assert bytes_of(folder) == before
    (folder / "daily_returns.parquet").unlink()
    with pytest.raises(MachineError, match=r"daily_returns\.parquet: is not the file"):
        command()


# --- leftovers --------------------------------------------------------------------------------------------------------


def test_a_kill_after_the_result_was_put_there_leaves_nothing_for_long(swept, tmp_path, monkeypatch):
    home, data = swept
    words = (request_for(home, data, DAYS), read_grid(GRID, {}), tmp_path / "out")
    with monkeypatch.context() as killed:

        def dies(_place):
            raise SystemExit

        killed.setattr("tbot_bot.backtest.result_files.take_away", dies)
        with pytest.raises(SystemExit):
            sweep(*words, alone)
    assert beside(tmp_path / "out") == {".out.sweep"}
    (tmp_path / "..out.sweep.999999999.draft").mkdir()  # killed while it took the log away
    sweep(*words, nobody)
    assert beside(tmp_path / "out") == set()


def test_nothing_is_taken_from_who_works_at_it_nor_of_another_sweep(again, swept):
    folder, command = again
    home, data = swept
    request, grid = request_for(home, data, DAYS), read_grid(GRID, {})
    plan = planned(request, grid, "sweep")
    with local_crew(plan.errand, 1) as crew:
        (outcome,) = crew([Task(key="0", pairs=grid.pairs(0), first=request.first, last=request.last)])
    with opened(folder, plan.plan, anew=True) as log:
        log.add(outcome)
        command()
        assert beside(folder) == {".out.sweep"}
        assert list(log.known) == ["0"]
    assert beside(folder) == set()
    with pytest.raises(KeyboardInterrupt):
        sweep(replace(request, last=request.first), grid, folder, alone, anew=True, progress=interrupted_after(1))
    command()
    assert beside(folder) == {".out.sweep"}, "somebody may go on with it"


def test_an_attempt_that_has_nothing_to_go_on_with_leaves_nothing(swept, tmp_path):
    home, data = swept

    def no_cluster(_errand):
        raise MachineError("no cluster")

    with pytest.raises(MachineError, match="no cluster"):
        sweep(request_for(home, data, DAYS), read_grid(GRID, {}), tmp_path / "out", no_cluster)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_taken_away_while_somebody_waited_for_it_is_not_held(swept, tmp_path, monkeypatch):
    home, data = swept
    plan = planned(request_for(home, data, DAYS), read_grid(GRID, {}), "sweep").plan
    asked: list[int] = []

    def late(handle, how):
        if not asked:  # who held it has just finished
            take_away(tmp_path / ".out.sweep")
        asked.append(handle)
        fcntl.flock(handle, how)

    locks = types.SimpleNamespace(flock=late, LOCK_EX=fcntl.LOCK_EX, LOCK_NB=fcntl.LOCK_NB)
    monkeypatch.setattr(sweep_log, "fcntl", locks)
    with opened(tmp_path / "out", plan, anew=False):
        assert (tmp_path / ".out.sweep" / "plan.json").exists()
        with pytest.raises(SweepUnderWay), opened(tmp_path / "out", plan, anew=False):
            pass
    assert len(asked) == 3


def test_a_draft_under_our_own_number_is_that_of_a_dead_run(tmp_path):
    """In a container a run that was killed had the same number as the one that comes after it."""
    left = tmp_path / f".run.{os.getpid()}.draft"
    left.mkdir()
    (left / "half").write_bytes(b"1")
    keep({"a": b"1"}, tmp_path / "run")
    assert bytes_of(tmp_path / "run") == {"a": b"1"}
    assert beside(tmp_path / "run") == set()


# --- the list ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def furnished(swept):
    """Return the home with a run, sweeps and a walk-forward in output/backtests, one unfinished and one unreadable."""
    home, data = swept
    request, grid = request_for(home, data, DAYS), read_grid(GRID, {})
    folder = home / "output" / "backtests"
    shutil.copytree(home / "out", folder / "mine")
    kept_run.run_into(request, folder / "20260101T000000Z-abcdef12")
    split = Split(inside=1, outside=1, anchored=False, objective=Objective.PNL)
    walk_forward(request, grid, split, folder / "walked", alone)
    with pytest.raises(KeyboardInterrupt):
        sweep(request, grid, folder / "sweep-20251201-20251202-12345678", alone, progress=interrupted_after(2))
    shutil.copytree(home / "out", folder / "old")
    (folder / "old" / "sweep.json").write_text("{}")
    return home


@pytest.fixture
def typed(furnished, monkeypatch, capsys):
    from tbot_bot.runtime.cli import main  # noqa: PLC0415 - a whole program

    monkeypatch.setenv("TBOT_HOME", str(furnished))

    def run(*words, status=0):
        assert main(["backtest", "report", *map(str, words)]) == status
        told = capsys.readouterr()
        return told.out if status == 0 else told.err

    return run


def test_sweeps_and_walk_forwards_are_listed_with_their_best_in_80_columns(typed):
    told = typed("--list")
    assert max(map(len, told.splitlines())) <= 80
    words = " ".join(told.split())
    assert "20260101T000000Z-abcdef12 2025-12-01 to 2025-12-02 daily sequence bars.csv" in words
    assert "mine 2025-12-01 to 2025-12-02 daily sequence bars.csv sweep, 4 sets, finished 20" in words
    assert "best: Sharpe ratio -2.65, -$52.76 STRAT_OPEN_BUFFER=0.001, OPEN_TRAILING_STOP_PCT=0.005" in words
    assert "walk-forward, 1 windows of 4 sets, finished 20" in words
    assert "out of sample: result " in words
    assert "sweep, 4 sets, NOT finished: 2 runs done by 20" in words
    assert "old cannot be read: not a sweep of this version" in words


def test_the_list_for_programs_says_the_same(typed, furnished):
    found = {one["run"]: one for one in json.loads(typed("--list", "--json"))}
    sweep_row = found["mine"]
    best = summary_of(furnished / "out")["best"][0]
    assert (sweep_row["kind"], sweep_row["sets"], sweep_row["objective"]) == ("sweep", 4, "sharpe")
    assert (sweep_row["value"], sweep_row["pnl"]) == (
        best["performance"]["sharpe"],
        best["performance"]["trades"]["pnl"],
    )
    assert sweep_row["settings"] == best["settings"]
    assert found["sweep-20251201-20251202-12345678"]["done"] == 2
    assert found["20260101T000000Z-abcdef12"]["kind"] == "run"
    assert not found["old"]["readable"]


def test_a_sweep_is_shown_by_its_name_and_by_its_folder_wherever_it_is(typed, furnished):
    for name in ("mine", furnished / "out"):
        told = typed(name)
        assert "4 sets of parameters" in told
        assert "Deflated Sharpe ratio of the best:" in told
    assert "1 windows, 4 sets in each; chosen by result" in typed("walk")
    assert [one["run"] for one in json.loads(typed(furnished, "--list", "--json"))] == ["out"]
    assert "2026" in typed(), "the latest run, as ever"


def test_a_sweep_is_not_repeated_by_its_name_and_what_is_not_there_is_told(typed):
    assert "a sweep cannot be repeated by its name. Give its own command again" in typed("--repeat", "mine", status=1)
    assert "no run is called 'none'" in typed("none", status=1)
    assert "not a sweep of this version" in typed("old", status=1)
    assert "is no folder" in typed("none", "--list", status=2)
