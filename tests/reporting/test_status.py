"""The status file: what it says of a session, and what a reader makes of a bad one."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import tbot_bot.reporting
from tbot_bot.core import commands as c
from tbot_bot.core import events as e
from tbot_bot.core.bars import Bar
from tbot_bot.core.foreign_orders import ForeignOrder, ForeignOrdersSeen
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import SECOND, later
from tbot_bot.core.instruments import equity
from tbot_bot.reporting.facts import Level, LogFormat
from tbot_bot.reporting.happenings import happened
from tbot_bot.reporting.report_router import records_for
from tbot_bot.reporting.session_report import lines_of
from tbot_bot.reporting.status_builder import ProcessFacts, StatusBuilder, idle_status
from tbot_bot.reporting.status_logger import (
    BotState,
    BrokerLink,
    CanaryResult,
    OpenCircuit,
    Trouble,
    read_status,
    write_status,
)
from tbot_bot.runtime.status_bot import status_lines
from tests.reporting.days import at, decided, filled, open_story, signal, spec

NOW = at(500)
PROCESS = ProcessFacts(
    version="1.0.0", pid=4711, written_at=NOW, journal_sequence=99,
    brokers=(BrokerLink(name="sim", connected=True, halted=False, latency_ms=1.5),),
)  # fmt: skip


def after(count, *more):
    builder = StatusBuilder(spec())
    for _, item in open_story()[:count]:
        builder.feed(item)
    for item in more:
        builder.feed(item)
    return builder.build(PROCESS)


def bars(moment, close):
    return e.BarsClosed(at=moment, bars=(Bar("AAA", moment, moment, close, close, close, close, 1.0),))


def test_an_open_position_shows_its_price_and_what_it_would_bring():
    status = after(9, bars(at(23), 101.35))

    (position,) = status.positions
    assert (position.quantity, position.entry_price) == (Decimal(10), Decimal("100.10"))
    assert (position.current_price, position.unrealized_pnl) == (Decimal("101.35"), Decimal("12.50"))
    assert position.stop_price == Decimal("98.10")
    assert (status.state, status.phase, status.data_age_seconds) == (BotState.TRADING, "breakout", 0.0)


def test_a_fill_that_is_reported_twice_counts_once():
    again = filled(at(23), "t1-entry1", "100.10")
    assert after(9, again, again).positions[0].quantity == Decimal(10)


def test_a_position_without_a_bar_has_no_price_and_no_result():
    (position,) = after(9).positions
    assert (position.current_price, position.unrealized_pnl) == (None, None)


def awaited(symbol):
    told = [signal(at(21), symbol), c.ConfirmationAwaited(at=at(21), trade_id="w1", symbol=symbol, lapses_at=at(30))]
    return decided(90, at(21), *told)


def test_a_signal_that_waits_for_a_person_is_shown_until_it_is_decided_or_lapses(tmp_path):
    (shown,) = after(3, awaited("CCC")).waiting
    assert (shown.trade_id, shown.symbol, shown.side, shown.lapses_at) == ("w1", "CCC", "long", at(30))
    confirmed = e.ControlReceived(at=at(22), kind=e.ControlKind.CONFIRM, by="anna", why="", trade_id="w1")
    lapsed = c.SignalDropped(
        at=at(30),
        trade_id="w1",
        broker="sim",
        symbol="CCC",
        direction=shown.side,
        code="confirmation_lapsed",
        reason="",
    )
    assert after(3, awaited("CCC"), confirmed).waiting == ()
    assert after(3, awaited("CCC"), decided(91, at(30), lapsed)).waiting == ()

    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    status = after(3, awaited("CCC"))
    write_status(records, status)
    assert read_status(records.status, NOW).status == status
    schema = json.loads((Path(tbot_bot.reporting.__file__).parent / "schemas" / "status.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads(records.status.read_text()))


def test_a_session_that_is_over_leaves_an_idle_bot_with_its_result():
    status = after(100)
    assert (status.state, status.session, status.positions) == (BotState.IDLE, "", ())
    assert (status.realized_total, status.exited, status.entered, status.signaled) == (Decimal("12.50"), 1, 1, 3)


def test_a_kill_is_shown_as_halted_with_who_and_why():
    kill = e.ControlReceived(at=at(24), kind=e.ControlKind.KILL, by="anna", why="fire")
    status = after(9, kill)
    assert (status.state, status.kill_switch, status.state_reason) == (
        BotState.HALTED,
        True,
        "kill switch, by anna: fire",
    )


def test_open_circuits_and_the_canary_are_shown_in_words_and_satisfy_the_schema(tmp_path):
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    failed = CanaryResult(day=date(2025, 9, 2), at=NOW, passed=False, failures=("disk: full", "ibkr: no answer"))
    circuit = OpenCircuit(broker="ibkr", endpoint="history", failures=6, open_seconds=3.6, problem="no answer in 20 s")
    source = replace(circuit, broker=e.MARKET_DATA, endpoint="yahoo GET /v8/finance/chart", problem="HTTP 503")
    status = replace(after(5), circuits=(circuit, source), canary=failed)
    write_status(records, status)
    assert read_status(records.status, NOW).status == status
    schema = json.loads((Path(tbot_bot.reporting.__file__).parent / "schemas" / "status.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads(records.status.read_text()))
    told = list(status_lines(status))
    assert "broker ibkr: history not asked for 4 s after 6 failures: no answer in 20 s" in told
    assert "market data: yahoo GET /v8/finance/chart not asked for 4 s after 6 failures: HTTP 503" in told
    assert "canary of 2025-09-02 FAILED, no session begins: disk: full; ibkr: no answer" in told
    assert "canary of 2025-09-02 passed" in status_lines(replace(status, canary=replace(failed, passed=True)))


def test_orders_of_others_are_shown_until_they_rest_no_longer_and_are_lines_of_the_log(tmp_path):
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    priced = ForeignOrder(
        broker="ibkr", broker_order_id="1900000001", name="", instrument=equity("ZZZ"), buys=True,
        quantity=Decimal(10), price=Decimal("12.50"),
    )  # fmt: skip
    odd = replace(priced, broker_order_id="7", name="legs\x1b[2J", buys=False, quantity=None, price=None)
    seen = ForeignOrdersSeen(at=NOW, broker="ibkr", orders=(priced, odd), alert=True)
    builder = StatusBuilder(spec())
    builder.feed(seen)
    status = builder.build(PROCESS)
    write_status(records, status)
    assert read_status(records.status, NOW).status == status
    schema = json.loads((Path(tbot_bot.reporting.__file__).parent / "schemas" / "status.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads(records.status.read_text()))
    told = [line for line in status_lines(status) if "not ours" in line]
    assert told == [
        "broker ibkr: not ours: buy 10 ZZZ at 12.5 (1900000001)",
        "broker ibkr: not ours: sell some ZZZ (legs\\x1b[2J)",
    ]
    gone = ForeignOrdersSeen(at=NOW, broker="ibkr", orders=(), gone=("7",))
    builder.feed(gone)
    assert [one.broker_order_id for one in builder.build(PROCESS).foreign_orders] == ["1900000001"]
    facts = [*happened(seen), *happened(gone)]
    assert [(one.event, one.code) for one in facts] == [
        ("foreign_order", "1900000001"), ("foreign_order", "7"), ("foreign_order_gone", "7"),
    ]  # fmt: skip
    log = json.loads((Path(tbot_bot.reporting.__file__).parent / "schemas" / "session_log.schema.json").read_text())
    for line in lines_of(spec().session, tuple(facts), LogFormat.JSON, Level.INFO).splitlines():
        Draft202012Validator(log).validate(json.loads(line))


@pytest.mark.parametrize("count", [0, 5, 9, 100])
def test_the_status_is_read_as_it_was_written_and_satisfies_its_schema(tmp_path, count):
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    status = after(count)
    write_status(records, status)

    reading = read_status(records.status, later(NOW, 3 * SECOND))
    assert (reading.status, reading.trouble, reading.words) == (status, None, "")
    schema = json.loads((Path(tbot_bot.reporting.__file__).parent / "schemas" / "status.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads(records.status.read_text()))


def test_a_missing_status_is_told_in_words(tmp_path):
    reading = read_status(tmp_path / "status_bot.json", NOW)
    assert (reading.status, reading.trouble) == (None, Trouble.MISSING)
    assert "has not run here yet" in reading.words


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"version": 3}', "\xff", "[" * 100_000])
def test_a_corrupt_status_is_told_in_words(tmp_path, text):
    path = tmp_path / "status_bot.json"
    path.write_bytes(text.encode("latin-1"))
    reading = read_status(path, NOW)
    assert (reading.status, reading.trouble) == (None, Trouble.CORRUPT)
    assert reading.words


def test_an_old_status_is_shown_with_a_warning_unless_the_bot_has_shut_down(tmp_path):
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    write_status(records, after(9))
    reading = read_status(records.status, later(NOW, 60 * SECOND))
    assert reading.trouble is Trouble.STALE
    assert "60 s old" in reading.words
    assert reading.status is not None

    down = idle_status(PROCESS, mode=Mode.PAPER, test_mode=True, state=BotState.SHUTDOWN, reason="stopped by anna")
    write_status(records, replace(down, pid=1))
    assert read_status(records.status, later(NOW, 60 * SECOND)).trouble is None
