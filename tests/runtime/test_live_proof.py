"""Proof before live: which records let a strategy trade a live account, and how a start is refused without them."""

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime

import pytest

from tbot_bot.assembly.fingerprint import DECIDING_ROOMS, room_digest
from tbot_bot.backtest.kept_run import run_into
from tbot_bot.backtest.model import BacktestRequest, EngineChoice
from tbot_bot.backtest.run_manifest import code_digests
from tbot_bot.config.settings import load_settings
from tbot_bot.config.templates import templates
from tbot_bot.core.calendar import NEW_YORK
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal, open_reader
from tbot_bot.reporting.noted import ErrorRaised
from tbot_bot.reporting.report_router import backtests_folder, records_for
from tbot_bot.runtime import live_proof
from tbot_bot.runtime.build_check import check_line
from tbot_bot.runtime.live_proof import TITLE, admission, goes_live, proof_checks, proofs, unproved
from tbot_bot.runtime.supervisor_state import DayInHand, save
from tests.support.rehearsal import DAY, SENSITIVE, random_walks, rehearse, write_csv
from tests.support.terminal import CLI, REPOSITORY

LIVE = {
    "TEST_MODE": "false",
    "TOTAL_CAPITAL": "1000000",
    "ALPACA_MODE": "live",
    "ALPACA_LIVE_API_KEY": "changeme",
    "ALPACA_LIVE_SECRET_KEY": "changeme",
    "ALPACA_PAPER_API_KEY": "changeme",
    "ALPACA_PAPER_SECRET_KEY": "changeme",
    "ALPACA_LIVE_URL": "http://127.0.0.1:9",
}
WHY = "the desk has agreed to it"


def live(home, **settings):
    write_settings(home)
    return load_settings(home, settings).bot


def backtest(home, data, *strategies, name="kept"):
    request = BacktestRequest(
        home=home, data=data, first=DAY, last=DAY, strategies=strategies, overrides=tuple(SENSITIVE.items()),
        engine=EngineChoice.EVENT,
    )  # fmt: skip
    return run_into(request, backtests_folder(home) / name)


@pytest.fixture(scope="module")
def proved(tmp_path_factory):
    """A home in which every strategy has both."""
    folder = tmp_path_factory.mktemp("proved")
    run = rehearse(folder, 1)
    backtest(run.home, folder / "bars_1.csv")
    return run.home


@pytest.fixture
def home(proved, tmp_path):
    """A copy of it, to take from."""
    shutil.copytree(proved, tmp_path / "home")
    return tmp_path / "home"


def lacking(home, **settings):
    return {one.strategy: one.words for one in unproved(home, live(home, **settings))}


def test_a_dry_run_and_a_backtest_by_this_code_let_every_strategy_trade_live(proved):
    found = {one.strategy: one for one in proofs(proved, live(proved))}
    assert set(found) == set(StrategyName)
    for name, one in found.items():
        assert one.given
        assert (one.dry_run, one.backtest) == (f"2025-12-02/{name}", "kept")
    assert unproved(proved, live(proved)) == ()
    assert all(check.passed for check in proof_checks(proved, live(proved)))


def test_nothing_is_asked_where_nothing_goes_live(tmp_path):
    for settings in ({"TEST_MODE": "true"}, {"ALPACA_MODE": "paper"}, {"ALPACA_MODE": "live", "TEST_MODE": "true"}):
        bot = live(tmp_path, **settings)
        assert not goes_live(bot)
        assert proof_checks(tmp_path, bot) == ()
        assert unproved(tmp_path, bot) == ()
    assert goes_live(live(tmp_path))


def test_each_strategy_that_would_trade_is_refused_with_the_commands_that_mend_it(tmp_path):
    checks = proof_checks(tmp_path, live(tmp_path, STRATEGY_SEQUENCE="mid,close", STRAT_CLOSE_ENABLED="false"))
    (line,) = map(check_line, checks)
    assert line.startswith(f"FAIL  {TITLE} mid: no passed dry run and no backtest of this code on record.")
    for command in (
        "`tbot run --rehearsal --once`",
        "`tbot backtest run --strategy mid ",
        '`tbot run --i-know "REASON"`',
    ):
        assert command in line


def test_other_deciding_code_needs_both_again(home, monkeypatch):
    with monkeypatch.context() as changed:
        changed.setattr(live_proof, "code_fingerprint", lambda: "0" * 64)
        assert set(lacking(home).values()) == {"no passed dry run of this code on record"}
    monkeypatch.setattr(live_proof, "room_digest", lambda _: "0" * 64)
    assert set(lacking(home).values()) == {"no backtest of this code on record"}


def test_the_digests_are_those_of_the_manifests():
    known = {one.name: one.sha256 for one in code_digests()}
    for room in DECIDING_ROOMS:
        assert known[f"tbot_bot/{room}"] == room_digest(room)


def test_a_backtest_of_one_strategy_proves_that_one_and_an_edited_or_torn_one_proves_nothing(home):
    folder = backtests_folder(home)
    shutil.rmtree(folder)
    backtest(home, write_csv(home.parent / "bars.csv", random_walks(1)), StrategyName.MID)
    assert set(lacking(home)) == {"open", "close"}
    table = folder / "kept" / "trade_history_backtest.csv"
    table.write_bytes(table.read_bytes() + b"\n")
    assert set(lacking(home)) == {"open", "mid", "close"}
    table.unlink()
    assert set(lacking(home)) == {"open", "mid", "close"}


def test_a_dry_run_that_failed_is_none_and_a_later_sound_one_counts(home):
    records = records_for(home, Mode.PAPER, test_mode=True)
    for strategy, severity in (("open", "critical"), ("mid", "warning")):
        raised = ErrorRaised(at=Instant(1), error_class="E", code="E", severity=severity, where="", text="it broke")
        with Journal.open(records.journal, Mode.PAPER) as journal:
            journal.append([Entry.of(raised, kind=Kind.ERROR, at=1, recorded_at=1, session=f"2025-12-02/{strategy}")])
    assert lacking(home) == {"open": "no passed dry run of this code on record"}
    rehearse(home.parent, 1, home.name)
    assert lacking(home) == {}
    assert {one.dry_run for one in proofs(home, live(home))} == {f"2025-12-02/{name}#2" for name in StrategyName}


def test_a_session_that_came_to_no_end_proves_nothing(home):
    records = records_for(home, Mode.PAPER, test_mode=True)
    with open_reader(records.journal) as journal:
        rows = [row for row in journal.rows() if not ("close" in row.session and '"SessionEnded"' in row.payload)]
    records.journal.unlink()
    with Journal.open(records.journal, Mode.PAPER) as journal:
        journal.append([
            Entry(at=row.at, recorded_at=row.recorded_at, kind=row.kind, payload=row.payload, session=row.session,
                  input_number=row.input_number) for row in rows
        ])  # fmt: skip
    assert set(lacking(home)) == {"close"}


def test_a_waiver_is_for_its_reason_this_code_and_the_strategies_that_lacked_a_proof(tmp_path, monkeypatch):
    bot = live(tmp_path, STRATEGY_OVERRIDE="open")
    asked = admission(tmp_path, bot, tmp_path / "control", WHY)
    assert asked.out_today == {}
    assert all(asked.forgives(check) for check in proof_checks(tmp_path, bot))
    waived = asked.waiver("somebody", Instant(5))
    assert waived is not None
    assert (waived.why, waived.strategies) == (WHY, (StrategyName.OPEN,))
    path = records_for(tmp_path, Mode.LIVE, test_mode=False).journal
    path.parent.mkdir(parents=True)
    with Journal.open(path, Mode.LIVE) as journal:
        journal.append([Entry.of(waived, kind=Kind.CONTROL, at=5, recorded_at=5)])
    assert unproved(tmp_path, bot) == ()
    (check,) = proof_checks(tmp_path, bot)
    assert check.passed
    assert check.detail.endswith(f"waived by somebody at 1970-01-01T00:00:00.000000005Z: {WHY}")
    assert set(lacking(tmp_path)) == {"mid", "close"}, "it was asked for one"
    monkeypatch.setattr(live_proof, "code_fingerprint", lambda: "0" * 64)
    assert unproved(tmp_path, bot), "other code needs another"
    assert admission(tmp_path, bot, tmp_path / "control", "").waiver("somebody", Instant(5)) is None


def test_a_session_that_has_begun_is_ended_by_code_without_a_proof_and_no_other_begins(home):
    """Whoever puts other code in place over an open position must not be left without a bot."""
    records = records_for(home, Mode.LIVE, test_mode=False)
    with open_reader(records_for(home, Mode.PAPER, test_mode=True).journal) as journal:
        first = next(row for row in journal.rows(session="2025-12-02/open", kind=Kind.SESSION))
    with Journal.open(records.journal, Mode.LIVE) as journal:
        journal.append([
            Entry(at=first.at, recorded_at=first.at, kind=first.kind, payload=first.payload, session="2025-12-02/open")
        ])  # fmt: skip
    shutil.rmtree(backtests_folder(home))
    save(home / "control", DayInHand(day=DAY, run=1))
    found = admission(home, live(home), home / "control", "")
    assert found.begun == {StrategyName.OPEN}
    assert set(found.out_today) == {"mid", "close"}
    assert all(found.forgives(check) for check in proof_checks(home, live(home)))
    assert not admission(home, live(home), home / "elsewhere", "").begun


def write_settings(home, **settings):
    """Write both settings files of a live home."""
    told = LIVE | settings
    for name, template in ((".env", ".env.example"), (".env_bot", ".env_bot.template-test")):
        lines = templates()[template].splitlines()
        keys = [line.partition("=")[0] for line in lines]
        text = "\n".join(f"{key}={told[key]}" if key in told else line for key, line in zip(keys, lines, strict=True))
        (home / name).write_text(f"{text}\n")
        (home / name).chmod(0o600)
    shutil.copy(REPOSITORY / "VERSION.md", home / "VERSION.md")


def tbot(home, *words):
    return subprocess.run(
        [sys.executable, "-c", CLI, *words], env={**os.environ, "TBOT_HOME": str(home)}, cwd=REPOSITORY,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_start_and_the_check_refuse_live_mode_without_a_proof_and_leave_no_journal(tmp_path):
    write_settings(tmp_path, STRATEGY_OVERRIDE="open")
    refused = tbot(tmp_path, "run", "--once")
    assert refused.returncode == 3
    assert f"error: FAIL  {TITLE} open: no passed dry run and no backtest of this code on record." in refused.stderr
    assert not records_for(tmp_path, Mode.LIVE, test_mode=False).journal.exists()


@pytest.mark.slow  # its short form: the waiver above; this one starts a supervisor
def test_a_start_with_a_reason_journals_it_and_the_next_one_needs_none(tmp_path):
    other = ("mon", "tue")[datetime.now(NEW_YORK).weekday() == 0]
    write_settings(tmp_path, STRATEGY_OVERRIDE="open", TRADING_DAYS=other)
    assert tbot(tmp_path, "run", "--once", "--i-know", WHY).returncode == 0
    with open_reader(records_for(tmp_path, Mode.LIVE, test_mode=False).journal) as journal:
        rows = [json.loads(row.payload) for row in journal.rows(kind=Kind.CONTROL)]
    (waived,) = [row for row in rows if row["_"] == "ProofWaived"]
    assert (waived["why"], waived["strategies"]) == (WHY, ["open"])
    assert tbot(tmp_path, "run", "--once").returncode == 0
