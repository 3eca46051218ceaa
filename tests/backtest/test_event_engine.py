"""The event engine trades as a dry run does: same days, same settings, same records to the last digit."""

from dataclasses import replace
from datetime import date

import pytest

from tbot_bot.backtest.array_day import ArrayDay
from tbot_bot.backtest.bar_arrays import read_bar_arrays
from tbot_bot.backtest.campaign import setting_of
from tbot_bot.backtest.event_engine import run_event_engine
from tbot_bot.backtest.model import BacktestRequest
from tbot_bot.core.commands import SignalDropped, TradeRecord
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import later, minutes
from tbot_bot.marketdata.recorded_loader import load_day
from tbot_bot.marketdata.vix import read_vix
from tests.support.rehearsal import DAY, SENSITIVE, Rehearsed, random_walks, write_csv


def backtest(home, data, days, vix=None, **settings):
    """Run the event engine over `days`, each alone: a dry run begins each day with fresh accounts."""
    request = BacktestRequest(
        home=home, data=data, first=days[0], last=days[-1], vix=vix, overrides=tuple(settings.items())
    )
    arrays = read_bar_arrays(data)
    known = None if vix is None else read_vix(vix)
    market = [ArrayDay(arrays, arrays.days.index(day), {}, known) for day in days]
    return run_event_engine(setting_of(request), iter(market))


def compare(found, run):
    ours = [replace(one.record, mode=Mode.PAPER) for one in found.trades]
    theirs = [one for one in run.outputs(TradeRecord) if one.entered_at is not None]
    assert ours == theirs
    assert [one.dropped for one in found.skipped] == list(run.outputs(SignalDropped))
    return ours


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_day_trades_as_its_dry_run(tmp_path, seed):
    data = write_csv(tmp_path / "bars.csv", random_walks(seed))
    run = Rehearsed(tmp_path / "home", data, DAY, **SENSITIVE)
    assert compare(backtest(tmp_path / "empty", data, [DAY], **SENSITIVE), run)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("nolicence/us_equity_1m_2018.parquet", "2018-03-02"),
        ("nolicence/spy_1m_2024_2025.parquet", "2024-11-29"),
    ],
)
def test_a_recorded_day_trades_as_its_dry_run(shared, tmp_path, name, day):
    vix = shared / "data" / "licensed" / "vix_daily.parquet"
    data, when = shared / "data" / name, date.fromisoformat(day)
    settings = {
        "STRAT_OPEN_BUFFER": "0.001",
        "MAX_PRICE": "1000",
        "CLOSE_MOMENTUM_PCT": "0.001",
        "STRAT_CLOSE_VIX_THRESHOLD": "10",
    }
    run = Rehearsed(tmp_path / "home", data, when, vix, **settings)
    assert compare(backtest(tmp_path / "empty", data, [when], vix, **settings), run)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("nolicence/us_equity_1m_2018.parquet", "2018-03-02"),
        ("nolicence/us_equity_1m_2025.parquet", "2025-01-27"),
        ("nolicence/us_equity_1m_ibkr_2025.parquet", "2025-11-28"),
        ("csv/us_equity_1m_2018-03-09_2018-03-12.csv", "2018-03-12"),
    ],
)
def test_a_day_out_of_arrays_tells_what_the_loader_tells(shared, name, day):
    data, when = shared / "data" / name, date.fromisoformat(day)
    arrays = read_bar_arrays(data)
    ours, theirs = ArrayDay(arrays, arrays.days.index(when), {}, None), load_day(data, when)
    assert ours.span == theirs.span
    assert ours.symbols == theirs.symbols
    assert list(ours.slices()) == list(theirs.slices())
    noon = later(theirs.day.open_at, minutes(150))
    for symbol in theirs.symbols:
        assert ours.previous_close(symbol) == theirs.previous_close(symbol)
        assert ours.average_volume(symbol) == theirs.average_volume(symbol)
        assert ours.daily_closes(symbol) == theirs.daily_closes(symbol)
        for at in (theirs.day.open_at, noon):
            assert ours.last_price(symbol, at) == theirs.last_price(symbol, at)
            assert ours.bars_until(symbol, at) == theirs.bars_until(symbol, at)
            assert ours.realised_volatility(symbol, at) == theirs.realised_volatility(symbol, at)
