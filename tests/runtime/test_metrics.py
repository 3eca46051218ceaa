"""Metrics as Prometheus gets them: of a real running rehearsal, on this machine only, without the names of trades."""

import csv
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.core.instants import SECOND, later, seconds
from tbot_bot.journal.store import Entry, Journal, Kind, open_reader
from tbot_bot.reporting.noted import ErrorRaised
from tbot_bot.reporting.report_router import records_for
from tbot_bot.reporting.status_logger import BotState
from tbot_bot.runtime import metrics
from tbot_bot.runtime.clock import CompressedClock, wall_now
from tbot_bot.runtime.control import Flag
from tbot_bot.runtime.metrics_server import SCRAPES_MAX, MetricsError, MetricsServer
from tbot_bot.runtime.requests import REHEARSAL_DAY
from tbot_bot.runtime.schedule import plan_day, schedule_rules
from tbot_bot.runtime.supervisor_facts import FactBook, Outcome
from tests.support.endpoint import Endpoint, get, rich, samples

PATIENCE_SECONDS = 90
RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "tbot.rules.yml"
SECRET = "canary-5up3r53cr3t"
PROGRAM = """
import sys
from datetime import date
from pathlib import Path
from tbot_bot.runtime.requests import RunRequest
from tbot_bot.runtime.tbot_runner_supervisor import run_supervisor
day = date.fromisoformat(sys.argv[3])
overrides = (("STRATEGY_OVERRIDE", "open"), ("METRICS_PORT", sys.argv[2]))
status = run_supervisor(
    RunRequest(home=Path(sys.argv[1]), once=True, rehearsal=True, day=day, seed=7, speed=250.0, overrides=overrides)
)
sys.stdout.write(" ".join(sorted(name for name in sys.modules if name in {"prometheus_client", "http.server"})))
sys.exit(status)
"""
HOLIDAY = "2025-09-01"


def free_port():
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def supervise(home, port, day):
    words = [sys.executable, "-c", PROGRAM, str(home), str(port), day]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Observed:
    """A rehearsal that was scraped while it ran, and is over."""

    def __init__(self, home):
        self.home, self.port = home, free_port()
        (home / ".env").write_text(f"ENVIRONMENT=development\nSMTP_PASS={SECRET}\nSLACK_WEBHOOK_URL=\n")
        (home / ".env").chmod(0o600)
        (home / ".env_bot").write_text("TEST_MODE=true\nTOTAL_CAPITAL=1000000\n")
        self.texts: list[str] = []
        self.other_addresses: list[str] = []
        self.status = {}
        process = supervise(home, self.port, REHEARSAL_DAY.isoformat())
        try:
            until(lambda: self._scrape(process).get(("tbot_positions_open", "alpaca")))
            self.status = json.loads((home / "output" / "status_bot.json").read_text())
            self.held = samples(self.texts[-1])
            self.formal = get(self.port, Accept="application/openmetrics-text; version=1.0.0")
            self.other_addresses = [address for address in own_addresses() if answers(address, self.port)]
            slow = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(3)]
            process.send_signal(signal.SIGTERM)
            self.asked = time.monotonic()
            _, self.errors = process.communicate(timeout=PATIENCE_SECONDS)
            for connection in slow:
                connection.close()
        finally:
            process.kill()
            process.wait()
        self.code = process.returncode

    def _scrape(self, process):
        assert process.poll() is None, process.communicate()
        try:
            self.texts.append(get(self.port))
        except urllib.error.URLError:  # it does not listen yet
            return {}
        return samples(self.texts[-1])

    def rows(self, kind):
        with open_reader(records_for(self.home, Mode.PAPER, test_mode=True).journal) as journal:
            return list(journal.rows(kind=kind))


def own_addresses():
    """Return other addresses of this machine: of its name, and on Linux a second one of the loopback."""
    names = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    second = {"127.0.0.2"} if sys.platform == "linux" else set()
    return ["::1", *sorted((names | second) - {"127.0.0.1"})]


def answers(address, port):
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    return Observed(tmp_path_factory.mktemp("observed"))


def test_a_scrape_of_a_running_rehearsal_tells_what_the_status_file_tells(observed):
    held, status = observed.held, observed.status
    assert held["tbot_positions_open", "alpaca"] == len(status["positions"]) > 0
    assert held["tbot_entries_total",] == status["entered"]
    assert held["tbot_test_mode",] == held["tbot_runner_running",] == held["tbot_market_open",] == 1
    assert held["tbot_journal_sequence",] > 0
    assert held["tbot_status_age_seconds",] < 15
    assert held["tbot_runner_heartbeat_age_seconds",] < 15
    assert held["tbot_sessions", "planned"] == 1
    states = {key[1]: value for key, value in held.items() if key[0] == "tbot_state"}
    assert set(states) == {state.value for state in BotState}
    assert sum(states.values()) == 1
    seen = {
        key[1] for text in observed.texts for key, value in samples(text).items() if key[0] == "tbot_state" and value
    }
    assert len(seen) > 1


def test_both_text_formats_parse_and_each_family_has_help_and_a_name_of_ours(observed):
    for families in (list(parse(observed.texts[-1])), list(open_metrics(observed.formal))):
        ours = [family for family in families if not family.name.startswith("process_")]
        assert len(ours) > 30
        assert [family.name for family in ours if not family.name.startswith("tbot_") or not family.documentation] == []
        assert [family.name for family in ours if family.name.endswith(("_ms", "_minutes", "_percent"))] == []


def test_nothing_answers_on_another_address_of_the_machine(observed):
    assert answers("127.0.0.1", observed.port) is False  # it has ended
    assert observed.other_addresses == []


def test_no_secret_and_no_id_of_an_order_a_trade_or_an_account_is_told(observed):
    with (observed.home / "output" / "trades" / "trade_history_paper.csv").open(encoding="utf-8") as file:
        trades = list(csv.DictReader(file))
    orders = set(
        re.findall(r'"client_order_id":"([^"]+)"', "".join(row.payload for row in observed.rows(Kind.COMMAND)))
    )
    names = {trade["trade_id"] for trade in trades} | {trade["ticker"] for trade in trades} | orders | {SECRET}
    assert len(orders) > 1
    assert len(names) > 5
    told = "".join([*observed.texts, observed.formal])
    assert [name for name in names if re.search(rf"\b{re.escape(name)}\b", told)] == []


def test_the_bot_stops_in_time_while_scrapers_hang(observed):
    assert (observed.code, observed.errors) == (0, "")


def test_a_port_in_use_is_told_and_journaled_and_the_day_goes_on(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = supervise(tmp_path, port, HOLIDAY)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    with open_reader(records_for(tmp_path, Mode.PAPER, test_mode=True).journal) as journal:
        notes = [row.payload for row in journal.rows(kind=Kind.NOTE)]
    (told,) = [note for note in notes if "METRICS_PORT" in note]
    assert f"metrics cannot be served on 127.0.0.1:{port}" in told
    assert "trading goes on without them" in told
    assert any("Labor Day" in note for note in notes)


def test_without_a_port_nothing_of_it_is_loaded(tmp_path):
    process = supervise(tmp_path, 0, HOLIDAY)
    told, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, told, errors) == (0, "", "")


# --- in one process ---------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint(tmp_path):
    made = Endpoint(tmp_path)
    yield made
    made.close()


def test_scrapers_that_hang_are_cut_off_and_keep_nobody_out_for_long(endpoint):
    hanging = [socket.create_connection(("127.0.0.1", endpoint.server.port)) for _ in range(SCRAPES_MAX)]
    hanging[0].sendall(b"GET /metr")
    began = time.monotonic()

    def answered():
        try:
            return endpoint.scrape()
        except OSError:  # all places are taken: hung up
            return None

    assert until(answered)["tbot_runner_running",] == 0
    assert time.monotonic() - began < 10
    assert [connection.recv(1) for connection in hanging] == [b""] * SCRAPES_MAX
    assert endpoint.complaints == []
    for connection in hanging:
        connection.close()
    until(lambda: not [thread for thread in threading.enumerate() if "process_request_thread" in thread.name])


def test_only_the_metrics_are_there_and_only_for_who_calls_this_machine_by_its_name(endpoint):
    with pytest.raises(urllib.error.HTTPError) as missing:
        get(endpoint.server.port, "/")
    with missing.value as answer:
        assert (answer.code, answer.read()) == (404, b"the metrics are at /metrics\n")
    with pytest.raises(urllib.error.HTTPError) as rebound:
        get(endpoint.server.port, Host="attacker.example:9000")
    with rebound.value as answer:
        assert answer.code == 421
    assert get(endpoint.server.port, Host="localhost:9000")


def test_a_second_endpoint_on_the_port_is_one_clear_error(endpoint):
    with pytest.raises(MetricsError, match=f"127.0.0.1:{endpoint.server.port} .*trading goes on"):
        MetricsServer.open(endpoint.server.port, endpoint.sources, endpoint.complaints.append)


def test_an_endpoint_that_was_closed_lets_its_port_go(endpoint):
    again = MetricsServer.open(0, endpoint.sources, endpoint.complaints.append)
    assert samples(get(again.port))
    again.close()
    assert not answers("127.0.0.1", again.port)


def test_what_is_not_known_has_no_sample(endpoint):
    told = endpoint.scrape()
    assert told["tbot_status_readable",] == 0
    names = {key[0] for key in told}
    assert names.isdisjoint({"tbot_state", "tbot_positions_open", "tbot_watchdog_age_seconds"})
    assert names.isdisjoint({"tbot_runner_heartbeat_age_seconds", "tbot_next_session_start_timestamp_seconds"})
    endpoint.records.status.write_text('{"version": ')
    assert endpoint.scrape()["tbot_status_readable",] == 0


def test_a_status_that_nobody_writes_any_more_grows_old(endpoint):
    endpoint.status(age=100)
    told = endpoint.scrape()
    assert told["tbot_status_readable",] == 1
    assert 100 <= told["tbot_status_age_seconds",] < 110


def test_kill_switch_and_flags_are_told(endpoint):
    endpoint.control.write(Flag.STOP, by="test")
    before = endpoint.scrape()
    endpoint.control.latch(by="test", why="rehearsal")
    assert (before["tbot_control_flag_pending", "stop"], before["tbot_control_flag_pending", "kill"]) == (1, 0)
    assert (before["tbot_kill_switch_engaged",], endpoint.scrape()["tbot_kill_switch_engaged",]) == (0, 1)


def test_errors_are_counted_by_class_from_the_start_on_and_foreign_ones_are_bounded(endpoint):
    def journal(name):
        raised = replace(
            ErrorRaised.of(DataError("bars are damaged", where="bars.csv"), at=wall_now()), error_class=name
        )
        endpoint.journal.append([Entry.of(raised, kind=Kind.ERROR, at=raised.at, recorded_at=raised.at)])

    assert endpoint.scrape()["tbot_errors_total", "DataError"] == 0
    journal("DataError")
    assert endpoint.scrape()["tbot_errors_total", "DataError"] == 1
    for number in range(100):
        journal(f"Foreign{number}")
    told = endpoint.scrape()
    counts = {key[1]: value for key, value in told.items() if key[0] == "tbot_errors_total"}
    assert sum(counts.values()) == 101
    assert len(counts) < 40
    assert counts["other"] > 0
    assert told["tbot_journal_sequence",] == endpoint.journal.head().seq


def test_a_journal_that_is_gone_is_told_and_the_rest_still_answers(tmp_path):
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    sources = metrics.MetricSources(
        home=tmp_path, control=tmp_path / "control", records=records, book=FactBook(), code=""
    )
    server = MetricsServer.open(0, sources, lambda text: None)
    first = samples(get(server.port))
    Journal.open(records.journal, Mode.PAPER).close()
    second = samples(get(server.port))
    server.close()
    assert (first["tbot_journal_readable",], second["tbot_journal_readable",]) == (0, 1)
    assert "tbot_kill_switch_engaged" in {key[0] for key in first}


def test_the_day_in_hand_is_told_by_its_own_clock(endpoint):
    plan = plan_day(schedule_rules(BotSettings()), date(2025, 9, 2))
    bell = plan.sessions[0].windows.bell
    endpoint.book.day_begins(plan, CompressedClock.starting_at(later(bell, -seconds(600)), 60.0))
    before = endpoint.scrape()
    start = (plan.sessions[0].windows.start - bell) / SECOND
    assert before["tbot_market_open",] == 0
    assert before["tbot_sessions", "planned"] == 3
    expected = time.time() + (600 + start) / 60
    assert abs(before["tbot_next_session_start_timestamp_seconds",] - expected) < 2

    endpoint.book.clock_set(CompressedClock.starting_at(bell, 60.0))
    endpoint.book.session_begins(StrategyName.OPEN)
    endpoint.book.runner_restarted()
    during = endpoint.scrape()
    assert (during["tbot_market_open",], during["tbot_runner_restarts_total",]) == (1, 1)
    endpoint.book.session_over(StrategyName.OPEN, Outcome.DONE)
    endpoint.book.session_over(StrategyName.MID, Outcome.MISSED)
    endpoint.book.session_over(StrategyName.CLOSE, Outcome.FAILED)
    after = endpoint.scrape()
    assert [after["tbot_sessions", outcome] for outcome in ("done", "skipped", "missed", "failed")] == [1, 0, 1, 1]
    assert ("tbot_next_session_start_timestamp_seconds",) not in after


def test_money_and_positions_are_told_by_broker_and_never_by_symbol(endpoint):
    endpoint.status(BotState.MONITORING, **rich())
    text = get(endpoint.server.port)
    told = samples(text)
    assert (told["tbot_positions_open", "alpaca"], told["tbot_positions_open", "ibkr"]) == (2, 0)
    assert told["tbot_unrealized_profit_usd", "alpaca"] == -12.5
    assert (told["tbot_realized_profit_usd", "alpaca"], told["tbot_realized_profit_usd", "ibkr"]) == (0, 40.25)
    assert (told["tbot_broker_connected", "ibkr"], told["tbot_broker_halted", "ibkr"]) == (0, 1)
    assert told["tbot_broker_latency_seconds", "alpaca"] == 0.25
    assert ("tbot_broker_latency_seconds", "ibkr") not in told
    assert "SECRETSYMBOL" not in text
