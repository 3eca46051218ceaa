"""From a request to a result: which engine runs, what the cache keeps, what is said where something does not fit."""

import shutil
from dataclasses import replace
from datetime import date, timedelta

import pytest

from tbot_bot.backtest.backtest_engine import DataSet, run_backtest
from tbot_bot.backtest.model import BacktestRequest, EngineChoice
from tbot_bot.config.error_handler import ConfigError, DataError
from tbot_bot.core.identity import StrategyName
from tbot_bot.marketdata import bar_files
from tbot_bot.marketdata.recorded_loader import load_day
from tests.support.rehearsal import BELL, DAY, SENSITIVE, random_walks, write_csv


@pytest.fixture
def request_(tmp_path):
    data = write_csv(tmp_path / "data" / "bars.csv", random_walks(4))
    home = tmp_path / "home"
    return BacktestRequest(home=home, data=data, first=DAY, last=DAY, overrides=tuple(SENSITIVE.items()))


def without_engine(result):
    """Return what both engines have to agree on."""
    facts = tuple(replace(day, sessions=()) for day in result.days)
    return replace(result, engine=EngineChoice.AUTO, days=facts)


def test_auto_takes_the_arrays_and_finds_what_the_event_engine_finds(request_):
    auto, event = run_backtest(request_), run_backtest(replace(request_, engine=EngineChoice.EVENT))
    assert (auto.engine, auto.fallback, event.engine) == (EngineChoice.ARRAY, "", EngineChoice.EVENT)
    assert auto.trades
    assert without_engine(auto) == without_engine(event)


def test_nothing_is_written_at_home(request_):
    run_backtest(request_)
    assert not request_.home.exists()


def test_one_strategy_alone_has_its_own_session(request_):
    found = run_backtest(replace(request_, strategies=(StrategyName.MID,)))
    assert {trade.record.strategy for trade in found.trades} == {StrategyName.MID}
    assert [facts.strategy for facts in found.days[0].sessions] == [StrategyName.MID]


def test_bars_of_two_lengths_fall_back_and_are_refused_by_name(request_, tmp_path):
    coarse = {"Z": [row for row in random_walks(5)["S00"] if row[0] % 5 == 0]}
    write_csv(tmp_path / "data" / "coarse.csv", coarse)
    folder = replace(request_, data=tmp_path / "data")
    auto = run_backtest(folder)
    assert auto.engine is EngineChoice.EVENT
    assert "different lengths" in auto.fallback
    assert auto.trades == run_backtest(replace(folder, engine=EngineChoice.EVENT)).trades
    with pytest.raises(ConfigError, match=r"different lengths.*use auto"):
        run_backtest(replace(folder, engine=EngineChoice.ARRAY))


def test_a_range_without_data_says_what_there_is(request_):
    with pytest.raises(DataError, match=DAY.isoformat()):
        run_backtest(replace(request_, first=date(2024, 1, 2), last=date(2024, 1, 5)))


def test_days_without_data_are_named(request_):
    found = run_backtest(replace(request_, first=date(2025, 12, 1), last=date(2025, 12, 3)))
    assert found.missing_days == (date(2025, 12, 1), date(2025, 12, 3))


def test_the_cache_gives_the_same_and_is_found_by_content(request_, tmp_path):
    cache = tmp_path / "cache"
    cold = DataSet(request_.data, cache=cache)
    made = sorted(path for path in cache.iterdir() if (path / "about.json").exists())
    warm = DataSet(request_.data, cache=cache)
    assert warm.run(request_) == cold.run(request_) == DataSet(request_.data).run(request_)
    moved = tmp_path / "elsewhere.csv"
    shutil.copy(request_.data, moved)
    assert DataSet(moved, cache=cache).fingerprint == cold.fingerprint
    write_csv(moved, random_walks(6))
    assert DataSet(moved, cache=cache).fingerprint != cold.fingerprint
    assert len([path for path in cache.iterdir() if (path / "about.json").exists()]) == len(made) + 1


def test_a_cache_that_cannot_be_written_says_so(request_, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(DataError, match="cache"):
        DataSet(request_.data, cache=blocked)


def test_files_that_do_not_fit_arrays_are_read_once_for_all_days(request_, tmp_path, monkeypatch):
    for days, name in ((2, "later"), (3, "latest")):
        write_csv(tmp_path / "data" / f"{name}.csv", random_walks(days, 3), BELL + timedelta(days=days))
    coarse = {"Z": [row for row in random_walks(5)["S00"] if row[0] % 5 == 0]}
    write_csv(tmp_path / "data" / "coarse.csv", coarse)
    asked = replace(request_, data=tmp_path / "data", last=DAY + timedelta(days=3))
    data = DataSet(asked.data)
    assert data.not_for_arrays
    read, real = [], bar_files.read_minutes

    def counted(path, first, end):
        read.append(path.name)
        return real(path, first, end)

    monkeypatch.setattr(bar_files, "read_minutes", counted)
    found = data.run(asked)
    assert sorted(read) == ["bars.csv", "coarse.csv", "later.csv", "latest.csv"]
    assert [facts.day for facts in found.days] == [DAY, DAY + timedelta(days=2), DAY + timedelta(days=3)]
    alone = [load_day(asked.data, facts.day) for facts in found.days]
    for ours, theirs in zip(data.days(asked.first, asked.last), alone, strict=True):
        assert (ours.symbols, ours.span, list(ours.slices())) == (theirs.symbols, theirs.span, list(theirs.slices()))
        assert [ours.daily_closes(name) for name in ours.symbols] == [
            theirs.daily_closes(name) for name in theirs.symbols
        ]
