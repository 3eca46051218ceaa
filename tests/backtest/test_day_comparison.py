"""A recorded day beside its backtest: the same trades where nothing happened to it, and what happened where it did."""

import json
from dataclasses import replace
from decimal import Decimal

import jsonschema
import pytest

from tbot_bot.backtest.day_comparison import Fate, is_same
from tbot_bot.broker.matching import Venue
from tbot_bot.broker.venue_state import VenueRules
from tbot_bot.config.error_handler import DataError, JournalError
from tbot_bot.core.commands import TradeRecord
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.core.orders import Direction
from tbot_bot.journal.store import Entry, Journal, open_reader
from tbot_bot.runtime.cli_backtest_compare import lines_of
from tbot_bot.runtime.comparison_desk import ComparisonRequest, compare_day
from tbot_bot.runtime.locks import RUNNER_LOCK, Lock
from tbot_bot.trading.symbol_states import SymbolStates
from tests.support.judged_files import SCHEMAS
from tests.support.rehearsal import BELL, DAY, files_below, random_walks, rehearse, write_csv
from tests.support.trading_floor import Floor, agrees

PUTS = {f"SHORT_TYPE_{name}": "LongPut" for name in ("OPEN", "MID", "CLOSE")}
SLIPPED = Decimal(20)
"""Basis points by which the faulty day's market and stop orders fill worse."""


def compare(run, /, **words):
    return compare_day(ComparisonRequest(home=run.home, day=DAY, mode=Mode.PAPER, **words))


def by_symbol(found, fate):
    return {(one.strategy, one.symbol): one for one in found.trades if one.fate is fate}


def files_kept(home):
    """Return every file but those that a reader of SQLite keeps beside a journal while it reads."""
    return {name: content for name, content in files_below(home).items() if not name.endswith(("-wal", "-shm"))}


@pytest.mark.parametrize(("seed", "settings"), [(1, {}), (3, PUTS), (5, {})])
def test_a_day_at_the_simulator_is_its_own_backtest_trade_by_trade(tmp_path, seed, settings):
    run = rehearse(tmp_path, seed, **settings)
    before = files_kept(run.home)
    found = compare(run)
    assert files_kept(run.home) == before, "the journal is only read, and nothing is left"
    entered = {one.trade_id: one for one in run.outputs(TradeRecord) if one.entered_at is not None}
    assert {one.trade_id for one in found.trades} == entered.keys() != set()
    assert all(map(is_same, found.trades))
    assert found.total.day_result == sum(one.pnl for one in entered.values())
    assert "the same to the cent" in found.verdict
    assert found.same_code
    assert not all(one.beyond_bars for one in found.trades), "else nothing would have been traded again"
    if settings:
        assert any(one.day.instrument != one.symbol for one in found.trades)


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """A day whose venue fills less and worse, and rejects one symbol; its backtest runs without these faults."""
    real = rehearse(tmp_path, 1, "sound")
    refused = next(one.ticker for one in real.outputs(TradeRecord) if one.entered_at is not None)
    with monkeypatch.context() as fault:
        made, objection = Venue.__init__, Venue._objection

        def poor(venue, **words):
            made(venue, **words, rules=VenueRules(slippage_bps=SLIPPED, participation=Decimal("0.00004")))

        def refusing(venue, request, at, *, instead_of):
            return (
                "not today"
                if request.instrument.symbol == refused
                else objection(venue, request, at, instead_of=instead_of)
            )

        fault.setattr(Venue, "__init__", poor)
        fault.setattr(Venue, "_objection", refusing)
        run = rehearse(tmp_path, 1, "faulty")
    return run, refused


def test_rejected_and_partly_filled_entries_are_named_and_worse_prices_are_positive(faulty):
    run, refused = faulty
    found = compare(run)
    missed = by_symbol(found, Fate.MISSED)
    told = [one.why for (_, symbol), one in missed.items() if symbol == refused]
    assert told
    assert all("rejected the order: not today" in why for why in told)
    matched = [one for one in found.trades if one.fate is Fate.MATCHED]
    part = [one for one in matched if one.quantity < 0]
    assert part
    assert all("asked, the backtest" in one.why for one in part)
    by_market = [one for one in matched if one.day.exit_reason == one.backtest.exit_reason == "time"]
    assert by_market
    for one in by_market:
        assert one.exit_slippage_bps == pytest.approx(SLIPPED, abs=Decimal(8))  # whole cents
        assert one.exit_slippage > 0
        units = min(one.day.quantity, one.backtest.quantity)
        sold = one.side is Direction.LONG
        worse = (one.backtest.exit_price - one.day.exit_price) * (1 if sold else -1)
        assert one.exit_slippage == (worse * units).quantize(Decimal("0.01"))


def test_the_difference_is_split_without_a_remainder_and_the_strategies_add_up(faulty):
    found = compare(faulty[0])
    total = found.total
    assert total.difference == total.day_result - total.backtest_result != 0
    assert total.difference == total.by_matched + total.by_missed + total.by_extra
    for name in ("matched", "missed", "extra", "slippage", "difference"):
        assert sum(getattr(one, name) for one in found.strategies) == getattr(total, name)
        assert sum(getattr(one, name) for one in found.brokers) == getattr(total, name)
    assert f"{total.matched} of the {total.matched + total.missed} trades" in found.verdict
    assert f"{abs(total.difference):.2f} dollars {'more' if total.difference > 0 else 'less'}" in found.verdict


def timid(states, bar, step=SymbolStates.step):
    """Decide as other code would: some symbols never signal."""
    signal = step(states, bar)
    return None if signal is not None and bar.symbol < "S03" else signal


def test_what_only_the_backtest_trades_is_missed_with_the_reason_from_the_journal(tmp_path, monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(SymbolStates, "step", timid)
        run = rehearse(tmp_path, 3)
    missed = by_symbol(compare(run), Fate.MISSED)
    assert missed
    for one in missed.values():
        assert (one.day, one.quantity, one.result) == (None, -one.backtest.quantity, -one.backtest.pnl)
        assert one.why.startswith("no signal")


def test_what_only_the_day_traded_is_its_own_with_the_reason_from_the_backtest(tmp_path, monkeypatch):
    run = rehearse(tmp_path, 3)
    monkeypatch.setattr(SymbolStates, "step", timid)
    found = compare(run)
    own = by_symbol(found, Fate.EXTRA)
    assert own
    for one in own.values():
        assert (one.backtest, one.quantity, one.result) == (None, one.day.quantity, one.day.pnl)
        assert one.why.startswith("no signal")
    assert f"and {len(own)} that it does not make" in found.verdict


def test_one_strategy_alone_and_one_that_the_day_does_not_have(tmp_path):
    run = rehearse(tmp_path, 1, STRATEGY_OVERRIDE="open,mid")
    found = compare(run, strategies=(StrategyName.MID,))
    assert [one.session for one in found.sessions] == ["2025-12-02/mid"]
    assert {one.strategy for one in found.trades} == {StrategyName.MID}
    assert all(map(is_same, found.trades))
    with pytest.raises(JournalError, match="no close session of 2025-12-02 in it; it has mid, open"):
        compare(run, strategies=(StrategyName.CLOSE,))


def test_of_several_runs_of_a_day_the_latest_is_compared_or_the_one_that_is_named(tmp_path):
    first = rehearse(tmp_path, 1, "home")
    entered = {one.trade_id for one in first.outputs(TradeRecord) if one.entered_at is not None}
    run = rehearse(tmp_path, 3, "home")
    found = compare(run)
    assert {one.session for one in found.sessions} == {f"2025-12-02/{name}#2" for name in ("open", "mid", "close")}
    assert all(map(is_same, found.trades))
    assert next(lines_of(found)).startswith("2025-12-02 paper, run 2, beside its backtest")
    earlier = compare(run, run=1)
    assert {one.trade_id for one in earlier.trades} == entered
    assert all(map(is_same, earlier.trades))
    with pytest.raises(JournalError, match=r"no run 3 of 2025-12-02 in it; it has 1, 2\. Name one of those"):
        compare(run, run=3)


def test_every_broker_of_the_day_is_compared_and_summed_up(tmp_path):
    found = compare(rehearse(tmp_path, 1, IBKR_ENABLED="true"))
    assert all(map(is_same, found.trades))
    for one in found.brokers:
        mine = [trade for trade in found.trades if trade.broker == one.broker]
        assert mine
        assert (one.matched, one.day_result) == (len(mine), sum(trade.day.pnl for trade in mine if trade.day))
    assert [one.broker for one in found.brokers] == ["alpaca", "ibkr"]
    told = list(lines_of(found))
    assert any(line.startswith("ibkr: 4 both, 0 missed, 0 own ") for line in told)
    assert max(map(len, told)) <= 80


def test_large_figures_and_long_names_stay_apart_and_within_80_columns(tmp_path):
    found = compare(rehearse(tmp_path, 1))
    sums = replace(found.total, day_result=Decimal("-1234567.89"), backtest_result=Decimal("-1234567.89"), matched=123,
                   missed=456, extra=789, slippage=Decimal("-98765.43"), entry_delay=Decimal("12345.678"))  # fmt: skip
    told = list(lines_of(replace(found, total=sums, strategies=(sums,))))
    assert max(map(len, told)) <= 80
    place = told.index("all: 123 both, 456 missed, 789 own")
    assert told[place + 1].split() == ["-1234567.89", "-1234567.89", "-98765.43", "0.0", "0.0", "12345.7"]


def test_other_bars_are_taken_where_they_are_given(tmp_path):
    run = rehearse(tmp_path, 1)
    same = compare(run, data=tmp_path / "bars_1.csv")
    assert all(map(is_same, same.trades))
    assert not any(one.beyond_bars for one in same.trades), "the file has the bars in which the sessions ended"
    lower = {
        symbol: [(minute, *(round(price * 0.999, 2) for price in prices), volume) for minute, *prices, volume in rows]
        for symbol, rows in random_walks(1).items()
    }
    found = compare(run, data=write_csv(tmp_path / "lower.csv", lower))
    bought = [one for one in found.trades if one.fate is Fate.MATCHED and one.side is Direction.LONG]
    assert bought
    assert all(one.entry_slippage_bps == pytest.approx(10, abs=4) for one in bought)
    assert found.bars == str(tmp_path / "lower.csv")


def test_what_cannot_be_compared_is_refused_with_the_mend(tmp_path):
    run = rehearse(tmp_path, 1)
    with pytest.raises(JournalError, match=r"no session of 2025-12-03 in it; it has 1 days, 2025-12-02 to"):
        compare_day(ComparisonRequest(home=run.home, day=DAY.replace(day=3), mode=Mode.PAPER))
    with pytest.raises(JournalError, match="there is no live journal yet"):
        compare_day(ComparisonRequest(home=run.home, day=DAY, mode=Mode.LIVE))
    five = {
        symbol: [(rows[k][0], rows[k][1], max(r[2] for r in rows[k : k + 5]), min(r[3] for r in rows[k : k + 5]),
                  rows[k + 4][4], 9_000) for k in range(0, 390, 5)]
        for symbol, rows in random_walks(1).items()
    }  # fmt: skip
    with pytest.raises(DataError, match="bars are 5 minutes long"):
        compare(run, data=write_csv(tmp_path / "five.csv", five, BELL))
    next(run.home.rglob("*_mid.tape")).unlink()
    with pytest.raises(JournalError, match=r"2025-12-02/mid has no tape.*--data"):
        compare(run)
    assert all(map(is_same, compare(run, data=tmp_path / "bars_1.csv").trades))


def test_a_session_that_still_runs_is_refused_and_one_that_died_is_compared_as_far_as_it_goes(tmp_path):
    run = rehearse(tmp_path, 1)
    with open_reader(run.paths.journal) as journal:
        rows = [row for row in journal.rows() if not ("close" in row.session and '"SessionEnded"' in row.payload)]
    run.paths.journal.unlink()
    with Journal.open(run.paths.journal, Mode.PAPER) as journal:
        journal.append([
            Entry(at=row.at, recorded_at=row.recorded_at, kind=row.kind, payload=row.payload, session=row.session,
                  input_number=row.input_number) for row in rows
        ])  # fmt: skip
    with (
        Lock(run.home / "control" / RUNNER_LOCK),
        pytest.raises(JournalError, match="2025-12-02/close is still running"),
    ):
        compare(run)
    notes = {one.strategy: one.note for one in compare(run).sessions}
    assert notes == {"open": "", "mid": "", "close": "it never came to its end; compared as far as it goes"}


def test_the_command_tells_it_in_80_columns_and_as_json_and_leaves_both_files(faulty, tmp_path, monkeypatch, capsys):
    from tbot_bot.runtime.cli import main  # noqa: PLC0415 - only here

    run, refused = faulty
    monkeypatch.setenv("TBOT_HOME", str(run.home))
    assert main(["backtest", "compare", DAY.isoformat(), "--out", str(tmp_path / "kept")]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines()[:-1])) <= 80
    assert f"{refused} " in told
    assert "missed: the broker rejected the order: not today" in told
    assert main(["backtest", "compare", DAY.isoformat(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    schema = json.loads((SCHEMAS / "comparison.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    kept = json.loads((tmp_path / "kept" / "comparison.json").read_text())
    assert kept["trades"] == found["trades"]
    lines = (tmp_path / "kept" / "comparison.csv").read_text().splitlines()
    assert len(lines) == 1 + len(found["trades"])
    assert "day_entry_price" in lines[0]
    assert main(["backtest", "compare", DAY.isoformat(), "--mode", "backtest"]) == 2
    assert "a backtest keeps no journal" in capsys.readouterr().err


@pytest.mark.slow  # its short forms: the simulated days, above
def test_a_session_at_alpaca_parts_from_its_backtest_by_what_the_venue_did(tmp_path):
    floor = Floor(tmp_path, speed=60)
    try:
        floor.start()
        assert floor.end() == 0
        booked = agrees(floor)
    finally:
        floor.close()
    found = compare_day(ComparisonRequest(home=tmp_path, day=DAY, mode=Mode.PAPER))
    (trade,) = found.trades
    assert trade.fate is Fate.MATCHED
    assert trade.day is not None
    assert trade.day.pnl == Decimal(booked["PnL"])
    assert trade.symbol == "AAA"
    assert trade.signal_delay == 0
    assert trade.entry_delay != 0
    assert trade.entry_slippage_bps is not None
    assert abs(trade.entry_slippage_bps) < 100
