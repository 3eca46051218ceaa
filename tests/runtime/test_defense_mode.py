"""Defense mode as the journal tells it: what counts, rows that are written once, decisions, files, processes."""

import csv
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier

import pytest
from jsonschema import Draft202012Validator

import tbot_bot.reporting
from tbot_bot.core.codec import dumps, loads
from tbot_bot.core.commands import Decided, SharesFixed
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Journal, open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.disaster_log import defense_rows, write_disaster_log
from tbot_bot.reporting.noted import Noted
from tbot_bot.reporting.projector import rebuild
from tbot_bot.reporting.status_logger import read_status
from tbot_bot.runtime import cli
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.defense_mode import DefenseBook, defended, enter, in_defense, leave, look, moment_of, review
from tbot_bot.runtime.float_desk import view_of
from tbot_bot.runtime.requests import REHEARSAL_DAY
from tbot_bot.trading.defense import Trigger
from tbot_bot.trading.defense_limits import DEFENSE_TAG
from tbot_bot.trading.defense_state import DefenseEntered, DefenseLeft
from tbot_bot.trading.float_bot import RESERVE
from tbot_bot.treasury.records import AuthorizedTransfer, Outcome, TransfersAuthorized, TransferSettled
from tests.support.defense_history import TODAY, moment
from tests.support.defense_journal import BROKER, Told, next_session
from tests.support.rehearsal import SENSITIVE, Rehearsed, random_walks, write_csv, write_vix
from tests.support.scenario import spec_of

SCHEMA = Path(tbot_bot.reporting.__file__).parent / "schemas" / "disaster_log.schema.json"
PATIENCE_SECONDS = 90


@pytest.fixture
def told(tmp_path):
    made = Told(tmp_path)
    yield made
    made.journal.close()


def judged(told, day=TODAY, run=1):
    return review(told.room, next_session(day, run), at=moment(day, 100))


def changes(told):
    return [type(change) for _, change in defense_rows(told.journal)]


def lines(told):
    path = told.records.disaster_log
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# --- what counts ------------------------------------------------------------------------------------------------------


def test_hundreds_of_trades_at_one_half_are_well_and_one_loss_more_is_not(told):
    told.days("WL" * 140, per_session=10)  # 28 days of ten trades
    assert not judged(told).active
    told.session(TODAY, "L", strategy=StrategyName.MID)
    now = judged(told)

    assert now.active
    assert changes(told) == [DefenseEntered]
    assert now.standing.entered.why == "140 of 281 trades from 2025-09-01 to 2025-09-30 were won, less than 50%"


def test_what_never_filled_and_what_is_still_held_are_no_trades_and_the_dead_mans_are(told):
    session = told.session(TODAY, "L" * 19)
    told.session(TODAY, "L" * 30, strategy=StrategyName.MID, entered_at=None, error_code="unfilled")
    told.session(TODAY - timedelta(days=1), "L" * 30, error_code="unclosed")
    assert not judged(told).active
    told.dead_man(session, "L")
    assert judged(told).active


def test_a_trade_that_was_booked_again_counts_once_by_its_last_result(told):
    for result in "LLW":
        told.session(TODAY, result * 20)
    assert not judged(told).active


def test_of_a_rehearsed_day_the_latest_run_counts_and_of_the_judged_day_its_own(told):
    yesterday = TODAY - timedelta(days=1)
    told.session(yesterday, "L" * 30)
    told.session(yesterday, "W" * 20, run=2)
    told.session(TODAY, "L" * 30, run=1)
    told.session(TODAY, "L" * 30, run=2)
    assert not judged(told, run=3).active
    told.session(yesterday, "L" * 30, run=3)
    assert judged(told, run=3).active


def test_a_live_journal_is_not_judged_by_paper_results(told, tmp_path):
    told.days("L" * 100, per_session=10)
    live = Journal.open(tmp_path / "live.sqlite3", Mode.LIVE)
    assert look(told.bot, live, moment_of(told.bot, told.journal)).holding == ()
    live.close()


def test_each_engagement_of_the_kill_switch_counts_once_whoever_tells_of_it(told):
    for days, by_session in ((20, True), (10, False)):
        day = TODAY - timedelta(days=days)
        if by_session:
            told.session(day, kill=True)
            told.session(day, kill=True, strategy=StrategyName.MID)  # the same day, and nobody has resumed between
        told.release(day)
    assert not judged(told).active
    told.session(TODAY - timedelta(days=5), kill=True)
    now = judged(told)
    assert [found.trigger for found in now.holding] == [Trigger.KILL_SWITCH]
    assert now.holding[0].value == 3


@pytest.mark.parametrize(("days_ago", "active"), [(60, False), (2, True)])
def test_a_kill_outside_a_session_counts_on_its_own_day_not_on_that_of_its_release(told, days_ago, active):
    for days in (6, 5):
        told.session(TODAY - timedelta(days=days), kill=True)
        told.release(TODAY - timedelta(days=days))
    told.engage(TODAY - timedelta(days=days_ago))
    told.release(TODAY - timedelta(days=1))

    assert judged(told).active is active


def test_a_float_is_followed_over_days_with_transfers_and_results(tmp_path):
    env = "".join(f"ALPACA_PAPER_{name}=changeme\n" for name in ("API_KEY", "SECRET_KEY"))
    (tmp_path / ".env").write_text(env, encoding="ascii")
    told = Told(tmp_path, TEST_MODE_VENUE="broker_paper")
    first = TODAY - timedelta(days=300)
    told.session(first, equity="100000")
    moved(told, BROKER, RESERVE, "50000", first + timedelta(days=1))
    told.session(TODAY, "L", equity="43000", pnl=Decimal(-500))
    assert not judged(told).active  # 42500 of 50000
    told.session(TODAY, "L", strategy=StrategyName.MID, pnl=Decimal("-0.01"))
    assert [found.trigger for found in judged(told).holding] == [Trigger.FLOAT_DRAWDOWN]
    told.journal.close()


def test_embedded_accounts_are_opened_anew_each_day(told):
    told.session(TODAY - timedelta(days=1), equity="100000")
    told.session(TODAY, equity="20000")
    assert not judged(told).active
    told.session(TODAY, "L", strategy=StrategyName.MID, equity="17000", pnl=Decimal("-0.01"))
    assert judged(told).active


def moved(told, source, destination, amount, day):
    """Put an authorized and settled transfer into the journal."""
    plan = view_of(told.settings, None, None).plan
    at = moment(day)
    one = AuthorizedTransfer(
        transfer_id="fa-1-1", source=source, destination=destination, source_account="changeme",
        destination_account="changeme", amount=Decimal(amount),
    )  # fmt: skip
    told.append(
        TransfersAuthorized(
            at=at, authorization="fa-1", by="a person", why="as planned", plan_id="rp", plan=plan, transfers=(one,),
            from_reserve=Decimal(0),
        ), Kind.CONTROL, at,
    )  # fmt: skip
    settled = TransferSettled(at=at, transfer_id="fa-1-1", outcome=Outcome.DONE, bank_id="b1", text="")
    told.append(settled, Kind.CONTROL, at)


# --- rows, once -------------------------------------------------------------------------------------------------------


def test_judging_again_and_after_a_restart_writes_nothing_more(told):
    told.days("L" * 100, per_session=10)
    for _ in range(5):
        judged(told)
    with Journal.open(told.records.journal, told.records.mode) as again:
        told.journal, told.room = again, told.room_with()
        judged(told)
        assert changes(told) == [DefenseEntered]
        notes = [loads(row.payload) for row in again.rows(kind=Kind.NOTE)]
    assert len(told.alerts) == 1
    assert told.alerts[0][0] == "defense mode begins"
    assert [type(note) for note in notes] == [Noted]


def test_judges_at_the_same_moment_leave_one_row(told):
    told.days("L" * 60, per_session=10)
    together = Barrier(6)

    def one(_):
        together.wait()
        return judged(told).active

    with ThreadPoolExecutor(6) as many:
        results = list(many.map(one, range(6)))
    assert results == [True] * 6
    assert changes(told) == [DefenseEntered]


def test_it_leaves_by_sixty_trades_that_came_after_the_entry(told):
    told.days("L" * 60, per_session=10, last=TODAY - timedelta(days=40))
    judged(told, TODAY - timedelta(days=40))
    told.days("L" * 27 + "W" * 33, per_session=20, last=TODAY - timedelta(days=10))
    assert judged(told, TODAY - timedelta(days=10)).active
    told.session(TODAY, "W")
    after = judged(told)

    assert not after.active
    assert after.standing.left.why == "34 of the last 60 trades were won, more than 55%"
    assert changes(told) == [DefenseEntered, DefenseLeft]
    assert not judged(told).active
    assert len(changes(told)) == 2


def test_a_book_that_follows_the_journal_says_the_same_as_reading_it_whole(told):
    book = DefenseBook(told.journal)
    assert not book.standing().active
    enter(told.room, by="me", why="to see")
    assert book.standing().active
    assert in_defense(told.journal, told.bot)
    leave(told.room, by="me", why="seen", anyway=False)
    assert not book.standing().active
    assert not in_defense(told.journal, told.bot)


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_session_that_begins_in_defense_mode_is_reduced_and_tagged(told):
    normal = spec_of(session=next_session(), day=TODAY, strategy=StrategyName.CLOSE)
    assert defended(told.room, normal) == normal
    told.days("L" * 60, per_session=10)
    now = defended(told.room, normal)

    assert now.tags == (DEFENSE_TAG,)
    assert now.allocation.total_allocation == normal.allocation.total_allocation / 2
    assert now.limits.max_risk_per_trade == Decimal("0.01")


def test_a_specification_from_before_defense_mode_is_still_read():
    text = dumps(spec_of())
    assert loads(text.replace(',"best_signals":"1"', "")) == spec_of()
    assert '"best_signals":"1"' in text


def test_the_setting_forces_it_and_its_end_ends_it(told):
    forced = told.room_with(DEFENSE_MODE_ACTIVE="true")
    spec = spec_of(session=next_session(), day=TODAY, strategy=StrategyName.CLOSE)
    assert defended(forced, spec).tags == (DEFENSE_TAG,)
    told.days("W" * 100, per_session=10)
    assert defended(forced, spec).tags == (DEFENSE_TAG,)
    assert changes(told) == [DefenseEntered]
    assert defended(told.room, spec).tags == ()
    assert [line["event"] for line in lines(told)] == ["entered", "left"]


def test_floats_are_planned_by_the_rules_of_defense_mode(told):
    assert not view_of(told.settings, told.journal, None).rules.defense
    enter(told.room, by="me", why="to see")
    view = view_of(told.settings, told.journal, None, from_reserve=Decimal(1))
    assert view.rules.defense
    assert "defense mode takes nothing from the reserve" in view.plan.blocked


# --- the log ----------------------------------------------------------------------------------------------------------


def test_the_disaster_log_satisfies_its_schema_and_is_made_anew_with_the_same_bytes(told):
    told.days("L" * 60, per_session=10)
    judged(told)
    leave(told.room, by="me", why="it was the feed", anyway=True)
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    for line in lines(told):
        Draft202012Validator(schema).validate(line)
    before = told.records.disaster_log.read_bytes()
    entered, left = lines(told)

    assert entered["triggers"][0]["name"] == left["triggers"][0]["name"] == "win_rate"
    assert {limit["name"]: (limit["before"], limit["now"]) for limit in entered["limits"]}["TOTAL_ALLOCATION"] == (
        "0.02", "0.01",
    )  # fmt: skip
    assert (left["by"], left["why"]) == ("me", "it was the feed")
    assert left["limits"] == [{**one, "before": one["now"], "now": one["before"]} for one in entered["limits"]]
    for damage in (b"", before[:-20], b'{"edited": true}\n' + before, before * 2):
        told.records.disaster_log.write_bytes(damage)
        write_disaster_log(told.journal, told.records)
        assert told.records.disaster_log.read_bytes() == before
    told.records.disaster_log.unlink()
    rebuild(told.journal, told.records)
    assert told.records.disaster_log.read_bytes() == before


def test_there_is_no_disaster_log_without_a_disaster(told):
    told.days("W" * 60, per_session=10)
    judged(told)
    write_disaster_log(told.journal, told.records)
    assert not told.records.disaster_log.exists()


# --- a person's word --------------------------------------------------------------------------------------------------


def run(capsys, *words):
    status = cli.main(["defense", *words])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def at_home(told, monkeypatch):
    monkeypatch.setenv("TBOT_HOME", str(told.home))
    return told


def test_a_person_enters_and_leaves_and_each_is_told(at_home, capsys):
    assert run(capsys, "show")[1].startswith("defense mode is off\n")
    status, out, err = run(capsys, "enter", "--why", "earnings week")
    assert (status, out.splitlines()[0]) == (0, "defense mode is on")
    assert "it takes effect with the next session" in err
    status, _, err = run(capsys, "enter", "--why", "again")
    assert (status, len(changes(at_home))) == (0, 1)
    assert "nothing was changed" in err
    status, out, _ = run(capsys, "leave", "--why", "over", "--json")
    assert (status, json.loads(out)["active"], json.loads(out)["left"]["why"]) == (0, False, "over")
    status, _, err = run(capsys, "leave", "--why", "over")
    assert status == 1
    assert "there is nothing to leave" in err
    assert [line["by"].endswith(f"(tbot defense {what})") for line, what in zip(lines(at_home), ("enter", "leave"),
            strict=True)] == [True, True]  # fmt: skip


def test_leaving_is_refused_while_a_trigger_holds_unless_a_person_insists(at_home, capsys):
    at_home.days("L" * 60, per_session=10)
    judged(at_home)
    status, _, err = run(capsys, "leave", "--why", "hope")
    assert status == 1
    assert "win_rate: 0 of 60 trades" in err
    assert "--anyway" in err
    status, out, _ = run(capsys, "leave", "--why", "it was the feed", "--anyway", "--json")
    assert (status, json.loads(out)["active"]) == (0, False)
    assert not judged(at_home).active  # what was overridden does not bring it back
    at_home.session(TODAY, "L" * 20, strategy=StrategyName.MID)
    assert judged(at_home).active


def test_what_the_setting_forces_no_word_ends(at_home, capsys):
    (at_home.home / ".env_bot").write_text("DEFENSE_MODE_ACTIVE=true\n", encoding="ascii")
    status, _, err = run(capsys, "leave", "--why", "hope", "--anyway")
    assert status == 1
    assert "tbot config set DEFENSE_MODE_ACTIVE=false" in err
    assert json.loads(run(capsys, "show", "--json")[1])["forced_by_setting"] is True


@pytest.mark.parametrize("command", ["enter", "leave"])
def test_a_decision_needs_a_reason(at_home, capsys, command):
    status, _, err = run(capsys, command, "--why", "  ")
    assert status == 1
    assert "a reason is needed" in err
    assert changes(at_home) == []


def test_show_makes_nothing_where_nothing_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TBOT_HOME", str(tmp_path))
    status, out, _ = run(capsys, "show", "--json")
    shown = json.loads(out)
    assert (status, shown["active"], shown["day"], shown["holding"]) == (0, False, None, [])
    assert list(tmp_path.iterdir()) == []


# --- days and processes -----------------------------------------------------------------------------------------------


def budgets(journal_path):
    """Return each session's budget as a fraction of its float."""
    with open_reader(journal_path) as journal:
        found = {}
        for row in journal.rows(kind=Kind.COMMAND):
            decided = loads(row.payload)
            assert isinstance(decided, Decided)
            for output in decided.outputs:
                if isinstance(output, SharesFixed):
                    found[row.session] = output.budget / output.float_equity
        return found


def tags(records):
    with records.trade_history_csv.open(newline="", encoding="utf-8") as file:
        return {(row["session_id"], row["tags"]) for row in csv.DictReader(file)}


def test_a_dry_day_in_defense_mode_is_tagged_halved_and_replays(tmp_path):
    home = tmp_path / "home"
    day = date(2025, 12, 2)
    before = Told(home)
    before.days("L" * 60, per_session=10, last=day - timedelta(days=1))
    before.journal.close()
    data = write_csv(tmp_path / "bars.csv", random_walks(7))
    done = Rehearsed(home, data, vix=write_vix(tmp_path / "vix.csv"), **SENSITIVE)

    assert set(budgets(done.paths.journal).values()) == {Decimal("0.01")}
    assert {tag for session, tag in tags(done.paths) if session.startswith("2025-12-02")} == {DEFENSE_TAG}
    assert done.report.defense_mode
    assert verify(done.paths.journal).ok
    assert [line["event"] for line in map(json.loads, done.paths.disaster_log.read_text().splitlines())] == ["entered"]


@pytest.mark.slow
def test_entering_while_the_bot_runs_takes_effect_with_its_next_session(tmp_path):
    """Real processes: OPEN began before the word and trades as ever, MID and CLOSE defend themselves."""
    tbot = (sys.executable, "-m", "tbot_bot.runtime.cli")
    home = {"TBOT_HOME": str(tmp_path), "PATH": ""}
    bot = subprocess.Popen((*tbot, "run", "--rehearsal", "--once"), env=home, stdout=subprocess.DEVNULL)
    try:
        records = Told(tmp_path).records
        until(lambda: f"{REHEARSAL_DAY}/open" in sessions(records))
        subprocess.run((*tbot, "defense", "enter", "--why", "looks odd"), env=home, check=True, capture_output=True)
        seen = set()
        while bot.poll() is None:
            status = read_status(records.status, wall_now()).status
            if status is not None:
                seen.add((status.session.partition("/")[2], status.defense_mode))
            time.sleep(0.05)
        assert bot.wait(PATIENCE_SECONDS) == 0
    finally:
        bot.kill()
        bot.wait()
    shares = budgets(records.journal)

    assert [shares[f"{REHEARSAL_DAY}/{name}"] for name in StrategyName] == [
        Decimal("0.02"), Decimal("0.01"), Decimal("0.01"),
    ]  # fmt: skip
    tagged = {session.partition("/")[2] for session, tag in tags(records) if DEFENSE_TAG in tag.split(";")}
    assert tagged == {"mid", "close"}
    assert {("open", False), ("mid", True), ("close", True), ("", True)} <= seen
    assert ("mid", False) not in seen
    assert verify(records.journal).ok


def sessions(records):
    with open_reader(records.journal) as journal:
        return [row.session for row in journal.rows(kind=Kind.SESSION)]


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
