"""How a backtest executes: prices after the decision, costs, volume, shares to borrow, puts; and that it says so."""

import json
import pickle
import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from tbot_bot.backtest import kept_run
from tbot_bot.backtest.backtest_engine import DataSet, run_backtest
from tbot_bot.backtest.execution_model import ExecutionModel, Slippage, slippage_of, volume_cap_of
from tbot_bot.backtest.model import BacktestRequest, EngineChoice
from tbot_bot.backtest.run_manifest import Executions, read_manifest, request_of
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import MINUTE, instant, minutes
from tbot_bot.core.instruments import put_option
from tbot_bot.core.money import ceil_to
from tbot_bot.marketdata.puts import price_put
from tbot_bot.reporting.report_router import BacktestPaths
from tests.support.crafted_day import BELL, DAY, breakout_up, flat, write_day
from tests.support.rehearsal import write_vix

LOOSE = {"ADX_FILTER_ENABLED": "false", "BOLLINGER_FILTER_ENABLED": "false", "STRAT_OPEN_BUFFER": "0.01"}
SHORT = {**LOOSE, "SHORT_TYPE_OPEN": "ShortSell"}
PUTS = {**LOOSE, "SHORT_TYPE_OPEN": "LongPut"}
FALL = [*flat(50.0, 20), (49.9, 50.0, 48.3, 48.4), *flat(48.4, 369, width=0.1)]
DECIDED = instant(BELL + timedelta(minutes=21))
"""The end of the minute that leaves the range: an order can fill from here on."""
EXPIRY = date(2025, 12, 12)


def request_for(data, settings=LOOSE, **asked):
    return BacktestRequest(
        home=data.parent / "none", data=data, first=DAY, last=DAY, strategies=(StrategyName.OPEN,),
        overrides=tuple(settings.items()), **{"engine": EngineChoice.EVENT, **asked},
    )  # fmt: skip


def traded(folder, bars, settings=LOOSE, volume=200_000, **asked):
    data = write_day(folder / "bars.csv", {"AAA": bars}, volume=volume)
    return run_backtest(request_for(data, settings, **asked))


def executed(slippage="none", **model):
    return ExecutionModel(slippage=slippage_of(slippage), **model)


@pytest.mark.parametrize("text", ["none", "bps:2", "spread:0.5,volume:0.1", "bps:1.5,spread:1,volume:0.25"])
def test_a_slippage_model_is_written_as_it_is_read(text):
    assert str(slippage_of(text)) == text
    assert slippage_of(" volume:0.10 , spread:0.5") == Slippage(spread=Decimal("0.5"), volume=Decimal("0.1"))


@pytest.mark.parametrize(
    ("text", "what"),
    [("2", "none of bps"), ("bps", "none of bps"), ("bps:x", "not a number"), ("bps:-1", "from 0 to 1000"),
     ("bps:1,bps:2", "twice"), ("spread:11", "from 0 to 10"), ("", "none of bps"), ("bps:nan", "finite")],
)  # fmt: skip
def test_a_model_that_is_none_is_refused_in_words(text, what):
    with pytest.raises(ValueError, match=what):
        slippage_of(text)


@pytest.mark.parametrize("text", ["0", "1.01", "-0.1", "much"])
def test_a_cap_is_a_fraction(text):
    with pytest.raises(ValueError, match=r"cap|number"):
        volume_cap_of(text)


def test_a_request_travels_and_can_be_a_key(tmp_path):
    model = executed(slippage="bps:2", borrow=tmp_path / "borrow.csv")
    asked = request_for(tmp_path / "bars.csv", execution=model)
    assert pickle.loads(pickle.dumps(asked)) == asked  # noqa: S301 - our own bytes
    assert len({asked, replace(asked), replace(asked, execution=ExecutionModel())}) == 2


def test_an_entry_fills_at_the_open_after_its_decision_whatever_the_deciding_bar_did(tmp_path):
    bars = breakout_up()
    bars[21] = (51.73, 51.9, 51.5, 51.6)
    (trade,) = traded(tmp_path, bars).trades
    assert (trade.signal_at, trade.entered_at) == (DECIDED, DECIDED)
    assert (trade.decision_price, trade.record.entry_price) == (Decimal("51.6"), Decimal("51.73"))


def test_a_stop_pays_the_gap(tmp_path):
    bars = [*breakout_up()[:40], (45.0, 45.2, 44.8, 45.1), *flat(45.1, 349)]
    (trade,) = traded(tmp_path, bars).trades
    assert trade.stop_price > 46
    assert (trade.record.exit_price, trade.record.exit_reason) == (Decimal("45.0"), "trailing_stop")


@pytest.mark.parametrize(
    ("slippage", "entry", "exit_"),
    [("none", "51.60", "51.60"), ("bps:2", "51.62", "51.58"), ("spread:0.5", "51.61", "51.59")],
)
def test_both_ends_of_a_trade_pay_slippage(tmp_path, slippage, entry, exit_):
    (trade,) = traded(tmp_path, breakout_up(), execution=executed(slippage=slippage)).trades
    assert (trade.record.entry_price, trade.record.exit_price) == (Decimal(entry), Decimal(exit_))


def test_fills_are_bounded_by_the_cap_on_volume(tmp_path):
    sizes = {}
    for cap in ("0.1", "0.02"):
        (trade,) = traded(tmp_path, breakout_up(), volume=300, execution=executed(volume_cap=Decimal(cap))).trades
        sizes[cap] = trade.record.size
        assert trade.record.error_code == ("partial" if trade.record.size < trade.asked else "")
    assert sizes["0.02"] < sizes["0.1"] <= 30 * 60
    assert sizes["0.02"] % 6 == 0


def test_each_broker_takes_its_own_fees(tmp_path):
    found = traded(tmp_path, breakout_up(), {**LOOSE, "IBKR_ENABLED": "true"}).trades
    fees = {trade.record.broker: (trade.record.size, trade.record.fees) for trade in found}
    assert fees.keys() >= {"ibkr"}
    size, paid = fees["ibkr"]
    commission = max(Decimal(1), ceil_to(size * Decimal("0.005"), Decimal("0.01")))
    activity = ceil_to(size * Decimal("0.000166"), Decimal("0.01"))
    assert paid == 2 * commission + activity, "the SEC charged nothing at the end of 2025"


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        ("2025-12-02,AAA,0,", "no shares of AAA to borrow"),
        ("2025-12-02,AAA,7,", r"\d+ shares of AAA wanted, 7 to borrow"),
        ("2025-12-02,BBB,1000,", "no shares of AAA to borrow"),
        ("2025-12-02,AAA,100000,0.3", ""),
        ("2025-12-02,*,,", ""),
        ("2025-12-01,AAA,0,", ""),
    ],
)
def test_what_cannot_be_borrowed_is_not_sold_short_and_counted(tmp_path, row, refused):
    borrow = tmp_path / "borrow.csv"
    borrow.write_text(f"date,symbol,shares,rate\n{row}\n")
    data = write_day(tmp_path / "bars.csv", {"AAA": FALL})
    made = kept_run.run_whole(request_for(data, SHORT, execution=executed(borrow=borrow)))
    page = made.files["report.html"].decode()
    assert bool(made.result.trades) is not bool(refused)
    assert f"borrow.csv: {int(bool(refused))} short sales were refused" in page
    assert ("no row for 1 of 1 days" in page) is ("12-01" in row)
    if refused:
        (one,) = made.result.unfilled
        assert re.fullmatch(refused, one.reason)
        assert one.record.error_code == "rejected"
        assert "<td>no shares to borrow</td><td>1</td>" in page


def chain(path, *quotes):
    """Write quotes of the 48 put: (minute after the bell, bid, ask)."""
    rows = [
        f"AAA,{EXPIRY},48,put,{BELL + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ},{bid},{ask}"
        for minute, bid, ask in quotes
    ]
    path.write_text("\n".join(["underlying,expiry,strike,right,ts,bid,ask", *rows]) + "\n")
    return path


def put_trade(folder, *quotes, age=2, **asked):
    model = executed(chains=chain(folder / "chain.csv", *quotes), chain_age=minutes(age))
    found = traded(folder, FALL, PUTS, vix=write_vix(folder / "vix.csv", 30.0), execution=model, **asked)
    (trade,) = found.trades
    return trade


def told(trade):
    return (trade.recorded, trade.modelled, trade.record.tags[-1], trade.record.entry_price, trade.record.exit_price)


def test_a_put_is_priced_by_its_recorded_quotes(tmp_path):
    quotes = [(minute, "0.80", "0.82") for minute in range(20, 23)] + [(n, "0.90", "0.93") for n in range(23, 390)]
    trade = put_trade(tmp_path, *quotes)
    assert trade.record.instrument == put_option("AAA", EXPIRY, Decimal(48)).symbol
    assert told(trade) == (True, False, "RECORDED_PRICE", Decimal("0.82"), Decimal("0.90"))


def test_no_later_quote_is_seen(tmp_path):
    """A bargain one second after the decision changes nothing, and a quote that comes too late is as good as none."""
    before = [(20, "0.80", "0.82"), (21, "0.80", "0.83")]
    rest = [(minute, "0.90", "0.93") for minute in range(22, 390)]
    plain = put_trade(tmp_path, *before, *rest)
    assert plain.record.entry_price == Decimal("0.83")
    assert told(put_trade(tmp_path, *before, (21 + 1 / 60, "0.01", "0.02"), *rest)) == told(plain)
    late = put_trade(tmp_path, (21 + 1 / 60, "0.01", "0.02"), *rest)
    assert (late.modelled, late.record.tags[-1]) == (True, "MODELLED_PRICE")


def test_a_stale_quote_is_left_for_the_model_and_one_modelled_price_makes_a_trade_modelled(tmp_path):
    quotes = [(18, "0.80", "0.82")]
    assert put_trade(tmp_path, *quotes).modelled
    half = put_trade(tmp_path, *quotes, age=4)
    assert half.record.entry_price == Decimal("0.82")
    assert (half.modelled, half.recorded, half.record.tags[-1]) == (True, False, "MODELLED_PRICE")


@pytest.mark.parametrize("index", [30.0, 400.0])
def test_a_modelled_put_costs_black_scholes_at_the_larger_volatility(tmp_path, index):
    """The fall of the day itself is more than a VIX of 30, and less than one of 400; half a spread is paid."""
    vix = write_vix(tmp_path / "vix.csv", index)
    data = write_day(tmp_path / "bars.csv", {"AAA": FALL})
    asked = request_for(data, PUTS, vix=vix)
    (trade,) = run_backtest(asked).trades
    strike, expiry = Decimal(trade.record.instrument[-8:]) / 1000, trade.record.instrument[3:9]
    put = put_option("AAA", date.fromisoformat(f"20{expiry[:2]}-{expiry[2:4]}-{expiry[4:]}"), strike)
    (day,) = DataSet(data).days(DAY, DAY)
    realised = day.realised_volatility("AAA", DECIDED)
    assert realised is not None
    assert 0.3 < realised < 4.0
    middle = Decimal(repr(price_put(put, 48.4, DECIDED, max(realised, index / 100))))
    half = max(Decimal("0.01"), middle / 100)
    assert trade.modelled
    assert trade.record.entry_price == ceil_to(middle + half, Decimal("0.01"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return the folder of a run by a model with everything in it, and its home."""
    home = tmp_path_factory.mktemp("kept")
    (home / "borrow.csv").write_text("date,symbol,shares,rate\n2025-12-02,BBB,10000,\n")
    chain(home / "chain.csv", *[(minute, "0.80", "0.82") for minute in range(20, 390)])
    data = write_day(home / "bars.csv", {"AAA": FALL, "BBB": breakout_up()})
    model = executed(
        slippage="bps:2,spread:0.5,volume:0.1", volume_cap=Decimal("0.05"), borrow=home / "borrow.csv",
        chains=home / "chain.csv", chain_age=minutes(3),
    )  # fmt: skip
    vix = write_vix(home / "vix.csv", 30.0)
    asked = replace(request_for(data, PUTS, vix=vix, execution=model), home=home)
    kept_run.run_into(asked, home / "run")
    return home, asked


def test_the_manifest_names_the_model_and_its_files_and_repeats_them(kept):
    home, asked = kept
    manifest = read_manifest(BacktestPaths(folder=home / "run").manifest)
    assert manifest.execution == Executions(
        slippage="bps:2,spread:0.5,volume:0.1", volume_cap=Decimal("0.05"), borrow=str(home / "borrow.csv"),
        chains=str(home / "chain.csv"), chain_age_s=180,
    )  # fmt: skip
    assert {"borrow.csv", "chains/chain.csv"} <= {one.name for one in manifest.inputs}
    assert request_of(manifest, home, None).execution == asked.execution
    assert kept_run.repeat(home / "run", home, None).same


def test_the_page_says_how_orders_were_executed(kept):
    home, _ = kept
    page = BacktestPaths(folder=home / "run").report.read_text()
    for words in (
        "2 basis points of the price and 0.5 of a share&#x27;s spread", "0.1 of the price times the square",
        "at most 5 % of a bar", "chain.csv: bought at the ask", "RECORDED: 1 of 2 trades", "stands for 3 minutes",
        "recorded price", "A borrowing fee is owed for nights",
    ):  # fmt: skip
        assert words in page, words


def test_a_repetition_names_the_files_that_changed(kept, tmp_path):
    home, asked = kept
    kept_run.run_into(asked, tmp_path / "run")
    (home / "borrow.csv").write_text("date,symbol,shares,rate\n2025-12-02,BBB,10,\n")
    chain(home / "chain.csv", *[(minute, "0.80", "0.85") for minute in range(20, 390)])
    found = kept_run.repeat(tmp_path / "run", home, None)
    assert not found.same
    assert {"data file borrow.csv has changed", "data file chains/chain.csv has changed"} <= set(found.changed)


def test_a_manifest_from_before_has_the_defaults(kept, tmp_path):
    home, _ = kept
    data = json.loads(BacktestPaths(folder=home / "run").manifest.read_text())
    del data["execution"]
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**data, "layout": 1}))
    assert request_of(read_manifest(path), home, None).execution == ExecutionModel()
    path.write_text(json.dumps({**data, "layout": 2}))
    with pytest.raises(DataError, match="execution"):
        read_manifest(path)


def test_a_file_that_cannot_be_used_ends_the_run_by_its_line(tmp_path):
    borrow = tmp_path / "borrow.csv"
    borrow.write_text("date,symbol,shares,rate\n2025-12-02,AAA,some,\n")
    with pytest.raises(DataError, match=r"borrow.csv:2: shares: 'some' is not a number"):
        traded(tmp_path, FALL, SHORT, execution=executed(borrow=borrow))
    bad = chain(tmp_path / "chain.csv", (20, "0.80", "0.82"), (21, "0.95", "0.82"))
    with pytest.raises(DataError, match=r"chain.csv: line 3: bid '0.95' is above the ask"):
        traded(tmp_path, FALL, PUTS, execution=executed(chains=bad))


def test_files_are_read_once_for_many_parameter_sets(tmp_path):
    data = write_day(tmp_path / "bars.csv", {"AAA": FALL})
    quotes = chain(tmp_path / "chain.csv", *[(minute, "0.80", "0.82") for minute in range(20, 390)])
    asked = request_for(data, PUTS, execution=executed(chains=quotes))
    held = DataSet(data)
    first = held.run(asked)
    quotes.unlink()
    assert held.run(replace(asked, execution=replace(asked.execution, volume_cap=Decimal(1)))).trades == first.trades
    assert first.trades[0].exited_at is not None
    assert first.trades[0].exited_at - DECIDED >= MINUTE
