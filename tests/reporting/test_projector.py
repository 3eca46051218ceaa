"""The files of a day: their content, their figures, and that they are a function of the rows."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import tbot_bot.reporting
from tbot_bot.config.error_handler import JournalError
from tbot_bot.core import events as e
from tbot_bot.core.bars import Bar
from tbot_bot.core.commands import Decided
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.journal.store import Entry, Journal, Kind
from tbot_bot.reporting.facts import Level, LogFormat
from tbot_bot.reporting.noted import ErrorRaised, SessionSkipped
from tbot_bot.reporting.projector import Projector, rebuild
from tbot_bot.reporting.report_router import records_for
from tbot_bot.reporting.trade_logger import COLUMNS
from tbot_bot.trading.spec import SessionSpec
from tests.reporting.days import (
    at,
    decided,
    drop,
    ended,
    mid_story,
    open_story,
    phase,
    session,
    signal,
    trade,
    whole_day,
)

SCHEMAS = Path(tbot_bot.reporting.__file__).parent / "schemas"


def validate(name, value):
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(value)


def told(home, story, form=LogFormat.JSON, level=Level.INFO):
    """Feed `story` as a running process would and return the paths."""
    records = records_for(home, Mode.PAPER, test_mode=True)
    projector = Projector(records, form, level)
    for own, item in story:
        projector.feed(own, item)
    projector.flush()
    return records


def journaled(path, story):
    journal = Journal.open(path, Mode.PAPER)
    for own, item in story:
        match item:
            case e.BarsClosed():
                continue
            case SessionSpec():
                kind, moment = Kind.SESSION, item.windows.screen_at
            case Decided():
                kind, moment = Kind.COMMAND, item.at
            case ErrorRaised():
                kind, moment = Kind.ERROR, item.at
            case SessionSkipped():
                kind, moment = Kind.NOTE, item.at
            case _:
                kind, moment = Kind.INPUT, item.at
        name = "" if own is None else str(own)
        journal.append([Entry.of(item, kind=kind, at=moment, recorded_at=0, session=name)])
    return journal


def contents(records):
    return {path.name: path.read_bytes() if path.exists() else None for path in records.for_people()}


def rows(records):
    found = json.loads(records.trade_history_json.read_text())
    with records.trade_history_csv.open(newline="") as file:
        table = list(csv.DictReader(file))
    return found, table


def test_every_file_satisfies_its_published_schema(tmp_path):
    records = told(tmp_path, whole_day(), level=Level.VERBOSE)

    validate("trade_history", json.loads(records.trade_history_json.read_text()))
    validate("daily_summary", json.loads(records.daily_summary.read_text()))
    for strategy in (StrategyName.OPEN, StrategyName.MID, StrategyName.CLOSE):
        for line in records.session_log(strategy).read_text().splitlines():
            validate("session_log", json.loads(line))
    for line in records.unresolved_log.read_text().splitlines():
        validate("unresolved_orders", json.loads(line))


def test_csv_and_json_hold_the_same_trades_under_the_names_of_the_specification(tmp_path):
    array, table = rows(told(tmp_path, whole_day()))

    assert list(table[0]) == list(COLUMNS)
    assert [list(row) for row in array] == [list(COLUMNS)] * 6
    flat = [
        {key: ";".join(value) if key == "tags" else "" if value is None else value for key, value in row.items()}
        for row in array
    ]
    assert flat == table


def test_a_refused_signal_is_a_row_with_its_code_and_no_money(tmp_path):
    array, _ = rows(told(tmp_path, open_story()))

    refused = array[0]
    assert (refused["ticker"], refused["error_code"], refused["PnL"], refused["size"]) == (
        "BBB",
        "max_trades",
        "0.00",
        "0",
    )
    assert refused["exit_reason"] == "4 of 4 trades are taken"
    assert (refused["entry_timestamp"], refused["entry_price"]) == (None, None)


def test_a_signal_dropped_for_all_brokers_says_so(tmp_path):
    story = [*open_story()[:1], (session(), decided(1, at(21), drop(at(21), "AAA", broker="")))]

    assert rows(told(tmp_path, story))[0][0]["broker"] == "all"


def test_the_summary_agrees_with_the_figures_worked_out_by_hand(tmp_path):
    day = json.loads(told(tmp_path, whole_day()).daily_summary.read_text())["2025-12-02"]

    assert day["counts"] == {
        "screened": 40, "candidates": 3, "signaled": 5, "entered": 1, "exited": 4, "rejected": 2,
    }  # fmt: skip
    assert (day["wins"], day["losses"], day["flats"]) == (1, 2, 1)
    assert (day["pnl"], day["fees"], day["slippage"]) == ("-8.75", "2", "1.2")
    assert [(share["name"], share["pnl"]) for share in day["by_broker"]] == [("alpaca", "-1"), ("sim", "-7.75")]
    assert [(share["name"], share["pnl"]) for share in day["by_strategy"]] == [("mid", "-21.25"), ("open", "12.5")]
    assert {share["name"]: share["pnl"] for share in day["by_symbol"]} == {"AAA": "11.5", "EEE": "-20.25", "FFF": "0"}
    assert (day["best_symbol"], day["worst_symbol"]) == ("AAA", "EEE")
    assert day["signal_to_order"] == {"mean_ms": 2.5, "max_ms": 4.0}
    assert day["order_to_fill"] == {"mean_ms": 400.0, "max_ms": 400.0}
    assert [(line["strategy"], line["triggered"], line["reason"]) for line in day["strategies"]] == [
        ("open", True, ""), ("mid", True, ""), ("close", False, "early close"),
    ]  # fmt: skip
    assert day["defense_mode"] is True
    assert day["floats"] == [{"broker": "sim", "first": "500100", "last": "500100"}]
    assert len(day["errors"]) == 2
    assert day["anomalies"] == ["t9: a fill for an order nobody sent"]


def test_unresolved_orders_name_partial_fills_rejections_anomalies_and_errors(tmp_path):
    records = told(tmp_path, whole_day())
    lines = [json.loads(line) for line in records.unresolved_log.read_text().splitlines()]

    assert [line["kind"] for line in lines] == ["partial_fill", "rejected", "anomaly", "error"]
    assert lines[0]["text"] == "ended with 4 of 10 filled"
    assert (lines[0]["broker"], lines[0]["symbol"]) == ("sim", "CCC")


def test_a_rehearsal_takes_the_place_of_the_earlier_run_in_the_history_and_not_in_the_log(tmp_path):
    records = told(tmp_path, [*open_story(), *open_story(run=2, pnl="99.00")])

    array, _ = rows(records)
    assert {row["session_id"] for row in array} == {"2025-12-02/open#2"}
    assert json.loads(records.daily_summary.read_text())["2025-12-02"]["pnl"] == "99"
    log = records.session_log(StrategyName.OPEN).read_text()
    assert '"2025-12-02/open"' in log
    assert '"2025-12-02/open#2"' in log


def test_a_quieter_log_is_a_part_of_a_louder_one(tmp_path):
    logs = [
        told(tmp_path / level, whole_day(), level=level).session_log(StrategyName.OPEN).read_text().splitlines()
        for level in Level
    ]
    assert set(logs[0]) < set(logs[1]) < set(logs[2])


def test_a_csv_log_has_one_header_and_whole_rows(tmp_path):
    records = told(tmp_path, [*open_story(), *open_story(run=2)], form=LogFormat.CSV, level=Level.VERBOSE)
    with records.session_log(StrategyName.OPEN).open(newline="") as file:
        table = list(csv.reader(file))

    assert {len(row) for row in table} == {13}
    assert [row[0] for row in table].count("timestamp") == 1


def test_files_are_written_at_a_phase_and_not_at_a_bar(tmp_path):
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    projector = Projector(records)
    bar = Bar("AAA", at(1), at(2), 1.0, 1.0, 1.0, 1.0, 1.0)

    projector.feed(session(), e.BarsClosed(at=at(2), bars=(bar,)))
    assert contents(records) == dict.fromkeys(contents(records))
    projector.feed(session(), decided(1, at(3), phase(at(3), "analysis")))
    assert b"phase_entered" in records.session_log(StrategyName.OPEN).read_bytes()


@pytest.mark.parametrize("form", LogFormat)
def test_rebuilding_from_the_journal_gives_the_bytes_of_the_running_process(tmp_path, form):
    live = told(tmp_path / "live", whole_day(), form)
    again = records_for(tmp_path / "again", Mode.PAPER, test_mode=True)

    with journaled(tmp_path / "j.sqlite3", whole_day()) as journal:
        rebuild(journal, again, form)

    assert contents(again) == contents(live)


def test_a_process_that_starts_in_the_middle_goes_on_where_the_dead_one_stopped(tmp_path):
    story = whole_day()
    whole = contents(told(tmp_path / "whole", story))
    for cut in range(1, len(story), 3):
        records = told(tmp_path / str(cut), story[:cut])
        log = records.session_log(StrategyName.OPEN)
        log.write_bytes(log.read_bytes()[:-7])  # torn by the crash
        with journaled(tmp_path / f"{cut}.sqlite3", story[:cut]) as journal:
            projector = rebuild(journal, records)
        for own, item in story[cut:]:
            projector.feed(own, item)
        projector.flush()
        assert contents(records) == whole


def test_a_row_that_is_not_what_its_kind_says_stops_the_rebuild(tmp_path):
    with Journal.open(tmp_path / "j.sqlite3", Mode.PAPER) as journal:
        wrong = Entry.of(e.MarketOver(at=at(1)), kind=Kind.COMMAND, at=at(1), recorded_at=0, session=str(session()))
        journal.append([wrong])
        with pytest.raises(JournalError, match="row 1"):
            rebuild(journal, records_for(tmp_path, Mode.PAPER, test_mode=True))


PIECES = st.sampled_from(StrategyName).flatmap(
    lambda name: st.tuples(
        st.integers(1, 3).map(lambda run: session(name, run)),
        st.lists(
            st.one_of(
                st.just(phase(at(5), "breakout")),
                st.sampled_from(["AAA", "BBB"]).map(lambda symbol: signal(at(6), symbol)),
                st.sampled_from(["AAA", 'B"B,\nB']).map(lambda symbol: drop(at(6), symbol)),
                st.decimals(-500, 500, places=2).map(lambda pnl: trade(str(pnl), strategy=name)),
                st.just(ended(at(9))),
            ),
            max_size=4,
        ),
    )
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=12), bars=st.booleans())
def test_any_stream_of_decisions_is_rebuilt_byte_for_byte(tmp_path_factory, pieces, bars):
    home = tmp_path_factory.mktemp("any")
    story = [(own, decided(number, at(10), *outputs)) for number, (own, outputs) in enumerate(pieces, start=1)]
    if bars:
        story.insert(0, (session(), e.BarsClosed(at=at(1), bars=())))
    live = told(home / "live", story)
    again = records_for(home / "again", Mode.PAPER, test_mode=True)
    with journaled(home / "j.sqlite3", story) as journal:
        rebuild(journal, again)

    assert contents(again) == contents(live)


def test_a_session_of_another_day_keeps_its_own_figures(tmp_path):
    other = [(replace(own, day=own.day.replace(day=3)), item) for own, item in mid_story()[1:]]
    days = json.loads(told(tmp_path, [*open_story(), *other]).daily_summary.read_text())

    assert {day: figures["pnl"] for day, figures in days.items()} == {"2025-12-02": "12.5", "2025-12-03": "-21.25"}
