"""Whole days through one command: same in, same out, nothing from the future, and days that are not as they should."""

import csv
import json
import random
from datetime import UTC, date, datetime, time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.config.error_handler import ConfigError
from tbot_bot.core.calendar import trading_day
from tbot_bot.core.codec import loads
from tbot_bot.core.commands import ExitDecided, NonDecision, RaiseAlert, SubmitOrder, TradeOpened, TradeRecord
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import MINUTE, instant
from tbot_bot.journal.chain import Kind
from tbot_bot.runtime.replay import replay_day
from tests.support.rehearsal import (
    BELL,
    DAY,
    SENSITIVE,
    Rehearsed,
    files_below,
    random_walks,
    rehearse,
    write_csv,
    write_parquet,
    write_vix,
)

START = instant(BELL)


def history(run):
    with run.paths.trade_history_csv.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_day_ends_with_a_report_sound_records_and_an_identical_replay(tmp_path):
    run = rehearse(tmp_path, seed=5).check()
    assert {line.strategy.value for line in run.report.sessions} == {"open", "mid", "close"}
    assert {trade.strategy.value for trade in run.report.trades} == {"open", "mid", "close"}
    assert replay_day(run.home, DAY, Mode.PAPER).identical
    closed = [row["trade_id"] for row in history(run) if row["entry_timestamp"]]
    assert closed == [trade.trade_id for trade in run.outputs(TradeRecord)]
    assert sum(trade.pnl for trade in run.report.trades) == run.report.pnl
    assert not list(run.home.rglob("*_live*"))


def test_csv_and_parquet_of_one_day_give_one_journal(tmp_path):
    days, vix = random_walks(2), write_vix(tmp_path / "vix.csv")
    runs = [
        Rehearsed(tmp_path / "a", write_csv(tmp_path / "bars.csv", days), vix=vix, **SENSITIVE),
        Rehearsed(tmp_path / "b", write_parquet(tmp_path / "bars.parquet", days), vix=vix, **SENSITIVE),
    ]
    first, second = ([row.payload for row in run.rows()] for run in runs)
    assert first == second


@settings(max_examples=6)
@given(seed=st.integers(0, 10_000))
def test_the_same_day_gives_the_same_journal_and_the_same_files_byte_for_byte(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("twice")
    one, two = (rehearse(folder, seed, name).check() for name in ("one", "two"))
    assert [(row.at, row.session, row.input_number, row.kind, row.payload) for row in one.rows()] == [
        (row.at, row.session, row.input_number, row.kind, row.payload) for row in two.rows()
    ]
    files = [
        {name: body for name, body in files_below(run.home).items() if ".sqlite3" not in name and "bot/" not in name}
        for run in (one, two)
    ]
    assert files[0] == files[1]
    assert files[0]


def with_another_future(days, minute, seed):
    """Return `days` with everything after `minute` made up anew; the price at that very instant stays."""
    dice, other = random.Random(seed), {}
    for symbol, rows in days.items():
        kept = [row for row in rows if row[0] < minute]
        for number, opened, *_, volume in [row for row in rows if row[0] >= minute]:
            low, high = opened * (1 - dice.random() * 0.1), opened * (1 + dice.random() * 0.1)
            if number > minute:
                opened, volume = dice.uniform(low, high), dice.randrange(1, 900_000)  # noqa: PLW2901 - made up
            closed = dice.uniform(low, high)
            low, high = round(low - 0.01, 2), round(high + 0.01, 2)
            kept.append((number, round(opened, 2), high, low, round(closed, 2), volume))
        other[symbol] = kept
    return other


@pytest.mark.parametrize("seed", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_no_decision_changes_when_the_future_does(tmp_path, seed):
    """An instant in each phase of each session: what was decided by then knows nothing of what came later."""
    days, vix = random_walks(seed), write_vix(tmp_path / "vix.csv")
    true = Rehearsed(tmp_path / "true", write_csv(tmp_path / "true.csv", days), vix=vix, **SENSITIVE).rows()
    for minute in (0, 8, 20, 23, 29, 41, 55, 58, 65, 73, 79, 101, 295, 298, 306, 313, 340, 381):
        other = write_csv(tmp_path / f"{minute}.csv", with_another_future(days, minute, seed))
        changed = Rehearsed(tmp_path / f"home_{minute}", other, vix=vix, **SENSITIVE).rows()
        by_then = [
            [
                (row.session, row.input_number, row.kind, row.payload)
                for row in rows
                if row.at <= START + minute * MINUTE
            ]
            for rows in (true, changed)
        ]
        assert by_then[0] == by_then[1], f"at minute {minute}"
        if minute <= 73:
            assert [row.payload for row in true] != [row.payload for row in changed], "the future was none"


def test_a_second_run_of_a_day_is_number_two_and_the_files_show_only_it(tmp_path):
    first = rehearse(tmp_path)
    rows = [row.payload for row in first.rows()]
    trades = [row for row in history(first) if row["entry_timestamp"]]
    second = rehearse(tmp_path, MAX_TRADES="1", WEIGHTS="1").check()
    assert [row.payload for row in second.rows()][: len(rows)] == rows
    sessions = {row.session for row in second.rows() if row.session}
    assert sorted(sessions) == sorted(
        f"2025-12-02/{name}{again}" for name in ("open", "mid", "close") for again in ("", "#2")
    )
    shown = {row["session_id"] for row in history(second)}
    assert shown
    assert all(name.endswith("#2") for name in shown)
    assert len([row for row in history(second) if row["entry_timestamp"]]) < len(trades)
    summary = json.loads(second.paths.daily_summary.read_text())
    assert len(summary) == 1


def test_max_trades_of_one_lets_each_session_open_one(tmp_path):
    run = rehearse(tmp_path, MAX_TRADES="1", WEIGHTS="1").check()
    entries = [one for one in run.outputs(SubmitOrder) if "-entry" in one.order.client_order_id]
    sessions = [one.order.trade_id.split("-")[1] for one in entries]
    assert sorted(sessions) == sorted(set(sessions))
    assert sessions


def test_an_unknown_override_is_refused_by_its_name_and_nothing_is_written(tmp_path):
    with pytest.raises(ConfigError, match="MAX_TRAEDS"):
        rehearse(tmp_path, MAX_TRAEDS="1")
    assert files_below(tmp_path / "run") == {}


def test_without_a_vix_close_asks_is_blocked_and_opens_nothing(tmp_path):
    run = rehearse(tmp_path, seed=5, vix=None).check()
    assert not [trade for trade in run.report.trades if trade.strategy.value == "close"]
    close = next(line for line in run.report.sessions if line.strategy.value == "close")
    assert "VIX" in close.end_reason


EARLY = date(2025, 11, 28)
EARLY_BELL = datetime(2025, 11, 28, 14, 30, tzinfo=UTC)


def early_day(folder, name="home", **changes):
    data = write_csv(folder / "early.csv", random_walks(4, minutes=210), bell=EARLY_BELL)
    return Rehearsed(folder / name, data, EARLY, **{**SENSITIVE, **changes}).check()


def windows_of(run):
    specs: list[Any] = [loads(row.payload) for row in run.rows() if row.kind is Kind.SESSION]
    return {spec.strategy.value: spec.windows for spec in specs}


def test_on_an_early_close_every_session_keeps_its_distance_and_all_is_out_in_time(tmp_path):
    run = early_day(tmp_path, STRAT_MID_ENABLED="false")
    windows, bells = windows_of(run), trading_day(EARLY)
    assert bells.close_at == instant(datetime.combine(EARLY, time(18), tzinfo=UTC))
    assert windows["open"].start == bells.open_at
    assert bells.close_at - windows["close"].start == 90 * MINUTE  # 19:30 of a day that closes at 21:00
    assert windows["close"].hard_exit_at == bells.close_at - 10 * MINUTE
    assert all(trade.at < bells.close_at - 8 * MINUTE for trade in run.outputs(TradeRecord))


def test_on_an_early_close_close_waits_for_mid_or_is_skipped_by_policy(tmp_path):
    run = early_day(tmp_path)
    windows = windows_of(run)
    assert windows["close"].start == windows["mid"].entry_end + windows["mid"].monitoring
    skipped = early_day(tmp_path, "skipped", EARLY_CLOSE_POLICY="skip")
    assert "close" not in windows_of(skipped)
    assert any("close" in reason for reason in skipped.report.skipped)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_day_with_a_third_of_its_minutes_missing_ends_as_well_as_any(tmp_path, seed):
    dice = random.Random(seed)
    days = {symbol: [row for row in rows if dice.random() > 0.15] for symbol, rows in random_walks(seed).items()}
    days["S00"] = [row for row in days["S00"] if dice.random() > 0.5]
    data = write_csv(tmp_path / "gaps.csv", days)
    run = Rehearsed(tmp_path / "home", data, **SENSITIVE).check()
    assert replay_day(run.home, DAY, Mode.PAPER).identical
    assert run.report.trades
    thin = [one.reason for one in run.outputs(NonDecision) if one.symbol == "S00"]
    assert any("range too thin" in reason for reason in thin)


def flat(price, minutes):
    return [(minute, price, price + 0.1, price - 0.1, price, 100_000) for minute in minutes]


def rising_in_the_21st_minute(until):
    return [*flat(50.0, range(20)), (20, 50.1, 51.7, 50.0, 51.6, 100_000), *flat(51.6, range(21, until))]


def test_a_symbol_that_vanishes_while_held_is_told_to_a_person_and_shown_as_unclosed(tmp_path):
    days = {"AAA": rising_in_the_21st_minute(25), "BBB": flat(20.0, range(390))}
    run = Rehearsed(tmp_path / "home", write_csv(tmp_path / "bars.csv", days)).check()
    (trade,) = run.outputs(TradeRecord)
    assert (trade.ticker, trade.error_code) == ("AAA", "unclosed")
    alerts = [alert for alert in run.outputs(RaiseAlert) if trade.trade_id in alert.text]
    assert [alert.severity.value for alert in alerts] == ["critical"]
    assert "AAA" in alerts[0].title
    assert [decision.code for decision in run.outputs(ExitDecided)] == ["time"]
    assert run.report.trades[0].error_code == "unclosed"


def test_a_symbol_that_pauses_while_held_is_closed_at_its_next_price(tmp_path):
    held = rising_in_the_21st_minute(25)
    days = {"AAA": [*held, *flat(51.0, range(200, 390))], "BBB": flat(20.0, range(390))}
    run = Rehearsed(tmp_path / "home", write_csv(tmp_path / "bars.csv", days)).check()
    (trade,) = run.outputs(TradeRecord)
    assert (trade.exit_reason, trade.exit_price, trade.error_code) == ("time", 51, "")
    assert trade.at == START + 200 * MINUTE


def test_a_symbol_that_appears_late_is_left_alone_by_open_with_the_reason_and_seen_by_mid(tmp_path):
    late = [row for row in flat(30.0, range(12, 390)) if row[0] < 72]
    late += flat(28.0, range(72, 390))
    days = {"LATE": late, "BBB": flat(20.0, range(390))}
    settings_ = {**SENSITIVE, "STRAT_OPEN_BUFFER": "0.02"}
    run = Rehearsed(tmp_path / "home", write_csv(tmp_path / "bars.csv", days), **settings_).check()
    reasons = {one.symbol: one.reason for one in run.outputs(NonDecision) if one.at < START + 60 * MINUTE}
    assert "range too thin: 8 of 20 min" in reasons["LATE"]
    opened = run.outputs(TradeOpened)
    assert [one.trade_id.split("-")[1] for one in opened] == ["mid"]
    assert opened[0].at == START + 73 * MINUTE
