"""The code changes while a position is open: real supervisors and runners of two releases, killed on the way."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.commands import Decided
from tbot_bot.core.events import BarsClosed, CodeTakenOver, Event
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.files import SCHEMA_VERSION
from tbot_bot.journal.session_log import read_session
from tbot_bot.journal.started import ProcessStarted
from tbot_bot.journal.store import Entry, Journal, open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.noted import Noted
from tbot_bot.runtime.earlier_today import earlier_today
from tbot_bot.runtime.recovery import follow, repeat
from tbot_bot.runtime.replay import replay_day
from tbot_bot.runtime.requests import REHEARSAL_DAY
from tbot_bot.runtime.session_progress import progress_of
from tbot_bot.runtime.session_setup import journaled_spec
from tbot_bot.trading.engine import Engine
from tests.support.rehearsal import DAY, rehearse
from tests.support.releases import (
    PATIENCE_SECONDS,
    Installation,
    change_nothing_that_decides,
    decide_in_other_words,
    make_release,
)


@pytest.fixture
def installation(tmp_path):
    made = Installation(tmp_path / "home")
    yield made
    made.clean_up()


@pytest.fixture
def release(tmp_path):
    """Return a maker of releases: a name, and a change to make."""

    def make(name, change=None):
        folder = make_release(tmp_path / name)
        if change is not None:
            change(folder)
        return folder

    return make


def switch(installation, old, new):
    """Run the session on `old` until something is held, kill its supervisor, and give its runner to `new`."""
    first = installation.supervise(old)
    installation.until_a_position_is_open()
    runner = installation.runner()
    first.kill()
    first.wait()
    second = installation.supervise(new)
    # its start is on record before it looks for a runner: who kills that one too early has it begin a new rehearsal
    installation.until(lambda: any(f"adopting runner {runner}" in note for note in notes(installation)))
    assert len(starts(installation, "supervisor")) == 2
    assert installation.runner() == runner, "the new supervisor started a runner of its own"
    os.kill(runner, 0)
    return second


def starts(installation, process):
    """Return the code fingerprints of the starts of `process`, in order."""
    found = [row for row in installation.rows(Kind.START) if isinstance(row, ProcessStarted)]
    return [row.code_fingerprint for row in found if row.process == process]


def notes(installation):
    return [row.text for row in installation.rows(Kind.NOTE) if isinstance(row, Noted)]


def exit_reasons(installation):
    with (installation.home / "output" / "trades" / "trade_history_paper.csv").open(encoding="utf-8") as file:
        return {row["exit_reason"] for row in csv.DictReader(file) if row["entry_timestamp"]}


def assert_sound(installation):
    assert verify(installation.home / "output" / "journal" / "tbot_paper.sqlite3").ok
    assert replay_day(installation.home, REHEARSAL_DAY, Mode.PAPER).identical


@pytest.mark.slow
@pytest.mark.parametrize("back", [False, True], ids=["upgrade", "rollback"])
def test_code_that_decides_the_same_takes_the_position_up_and_goes_on(installation, release, back):
    plain, remarked = release("a"), release("b", change_nothing_that_decides)
    old, new = (remarked, plain) if back else (plain, remarked)
    supervisor = switch(installation, old, new)
    installation.kill_runner()

    assert supervisor.wait(timeout=PATIENCE_SECONDS) == 0, installation.words()
    before, after = starts(installation, "supervisor")
    assert before != after
    assert starts(installation, "runner") == [after]
    assert any("decides the same and goes on" in note for note in notes(installation))
    assert "code_changed" not in exit_reasons(installation)
    installation.assert_the_venue_is_flat()
    assert_sound(installation)


def test_code_that_decides_differently_closes_what_is_open_and_says_so(installation, release):
    """A rollback from a release in other words: only the journal's facts count, and nothing is sent twice."""
    old, new = release("b", decide_in_other_words), release("a")
    supervisor = switch(installation, old, new)
    installation.kill_runner()

    assert supervisor.wait(timeout=PATIENCE_SECONDS) == 0, installation.words()
    assert "code_changed" in exit_reasons(installation)
    assert exit_reasons(installation) <= {"code_changed", "trailing_stop"}  # a stop may have been hit before
    (taken,) = [row for row in installation.rows(Kind.INPUT) if isinstance(row, CodeTakenOver)]
    assert taken.code_fingerprint == starts(installation, "supervisor")[1]
    assert "the start of the session" in taken.reason
    assert any("decides differently and closes it" in note for note in notes(installation))
    assert "code_taken_over" in (installation.home / "output" / "logs" / "open_paper.log").read_text()
    installation.assert_the_venue_is_flat()
    (session,) = replay_day(installation.home, REHEARSAL_DAY, Mode.PAPER).sessions
    assert session.followed > 0
    assert_sound(installation)


@pytest.mark.slow
def test_code_replaced_in_place_closes_what_is_open(installation, release):
    """No release folder, no new supervisor: the next runner finds code that its supervisor does not know."""
    place = release("here")
    supervisor = installation.supervise(place)
    installation.until_a_position_is_open()
    change_nothing_that_decides(place)
    installation.kill_runner()

    assert supervisor.wait(timeout=PATIENCE_SECONDS) == 0, installation.words()
    assert "stop_request" in exit_reasons(installation)
    assert exit_reasons(installation) <= {"stop_request", "trailing_stop"}
    installation.assert_the_venue_is_flat()
    assert_sound(installation)


@pytest.mark.slow
def test_code_replaced_in_place_begins_no_session_and_pulls_no_kill_switch(installation, release):
    place = release("here")
    supervisor = installation.supervise(place)
    installation.until(lambda: starts(installation, "supervisor") if journal_is_there(installation) else [])
    decide_in_other_words(place)
    status = supervisor.wait(timeout=PATIENCE_SECONDS)

    assert status == 1
    assert "this runner's code is not the supervisor's" in installation.words()
    assert not (installation.home / "control" / "killed.json").exists()
    assert not list((installation.home / "output").rglob("venue/*/*"))


def test_a_runner_whose_code_is_not_its_supervisors_refuses_to_trade(tmp_path):
    """The short form of the above: the very process that a supervisor starts, told another fingerprint."""
    words = ["--home", str(tmp_path), "--session", f"{REHEARSAL_DAY}/open", "--rehearsal"]
    command = [sys.executable, "-m", "tbot_bot.runtime.main", *words]
    ended = subprocess.run([*command, "--expects-fingerprint", "f" * 64], capture_output=True, text=True,
                           check=False, timeout=PATIENCE_SECONDS)  # fmt: skip
    assert ended.returncode == 2
    assert "this runner's code is not the supervisor's" in ended.stderr
    assert not (tmp_path / "output" / "venue").exists()


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment, as a release has one")
def test_a_process_started_through_the_link_stays_in_its_release(tmp_path):
    """Else its next runner, and every module that it has not imported yet, would come from the next release."""
    (tmp_path / "current").symlink_to(sys.prefix)
    started = tmp_path / "current" / Path(sys.executable).relative_to(sys.prefix)
    code = "import sys; from tbot_bot.runtime.releases import stay_in_release as stay; stay(); print(*sys.argv[1:])"
    told = "; print(sys.executable, sys.prefix, sep='\\n')"
    ended = subprocess.run([started, "-c", code + told, "a", "b c"], capture_output=True, text=True, check=True)
    words, executable, prefix = ended.stdout.splitlines()
    own = Path(sys.prefix).resolve()
    assert words == "a b c"
    assert Path(executable) == own / Path(sys.executable).relative_to(sys.prefix)
    assert Path(prefix) == own


def journal_is_there(installation):
    return (installation.home / "output" / "journal" / "tbot_paper.sqlite3").exists()


# --- what the journal's facts tell, at every input of whole days


def journaled(run, strategy):
    """Return the specification, the inputs and the answers of one journaled session."""
    session = SessionId(day=DAY, strategy=strategy)
    with open_reader(run.paths.journal) as journal:
        spec = journaled_spec(journal, run.paths, session)
        record = read_session(journal, run.paths.journal_folder, session)
        told = [(number, event) for number, event in record.inputs if isinstance(event, Event | BarsClosed)]
        answers = record.decoded_commands().items()
        decided = {number: one for number, many in answers for one in many if isinstance(one, Decided)}
    assert spec is not None
    return spec, told, decided


def facts(state):
    """Return what a close-out needs to know, in an order of its own."""
    trades = {
        trade.trade_id: (
            trade.state, trade.instrument, trade.entered_at, trade.exit_code, trade.order_ids, trade.attempts,
            state.held(trade), trade.watched if trade.entered_at else "", trade.booked, trade.allotted,
        )
        for trade in state.trades.values()
        if trade.order_ids
    }  # fmt: skip
    session = (state.phase, state.ended, state.at, state.signaled, state.candidates, state.watched)
    return trades, state.orders, session, dict(state.realized), state.last_price, state.accounts, state.shares


@pytest.mark.parametrize(
    ("strategy", "bearish"),
    [(StrategyName.OPEN, "ShortSell"), (StrategyName.MID, "LongPut"), (StrategyName.CLOSE, "ShortSell")],
)
def test_the_journal_alone_tells_what_the_engine_knew(tmp_path, strategy, bearish):
    run = rehearse(tmp_path, seed=5, **{f"SHORT_TYPE_{strategy.upper()}": bearish})
    spec, told, decided = journaled(run, strategy)
    engine = Engine(spec)
    follower = follow(spec, (), {})
    held = 0
    for number, event in told:
        engine.handle(event)
        known = decided.get(number)
        follower.follow(event, () if known is None else known.outputs)
        assert facts(follower.state) == facts(engine.state), f"input {number}: {event}"
        held += any(engine.state.held(trade) > 0 for trade in engine.state.active_trades())
    assert held > 10, "a day without a position proves nothing"


def test_an_answer_that_the_journal_lacks_in_the_middle_is_a_difference(tmp_path):
    run = rehearse(tmp_path, seed=3)
    spec, told, decided = journaled(run, StrategyName.OPEN)
    number = sorted(decided)[3]
    lacking = {key: value for key, value in decided.items() if key != number}

    assert repeat(spec, told, decided).difference == ""
    assert repeat(spec, told, lacking).difference.startswith(f"input {number} at ")
    cut = [one for one in told if one[0] <= number]
    owed = repeat(spec, cut, {key: value for key, value in lacking.items() if key < number})
    assert owed.owed == decided[number].outputs  # the last one may have been cut off: it is owed, not different


def test_a_runner_killed_again_after_the_takeover_compares_from_there(tmp_path):
    run = rehearse(tmp_path, seed=3)
    spec, told, decided = journaled(run, StrategyName.OPEN)
    held = next(number for number, one in sorted(decided.items()) if "StopMoved" in str(one.outputs))
    before = [one for one in told if one[0] <= held]
    engine = Engine(spec)
    engine.state = follow(spec, before, decided).state
    event = CodeTakenOver(at=before[-1][1].at, code_fingerprint="f" * 64, reason="other code")
    answer = tuple(engine.handle(event))
    number = held + 1
    taken = {**{key: value for key, value in decided.items() if key <= held}}
    taken[number] = Decided(number=number, at=event.at, tape_digest="", outputs=answer)
    again = repeat(spec, [*before, (number, event)], taken)

    assert "code_changed" in str(answer)
    assert again.difference == ""
    assert (again.followed, again.inputs) == (held, number)
    assert facts(again.engine.state) == facts(engine.state)
    taken[number] = Decided(number=number, at=event.at, tape_digest="", outputs=answer[1:])
    assert repeat(spec, [*before, (number, event)], taken).difference


# --- journals of another version


def cli(home, *words):
    """Run `tbot` on `home` and return exit status and all that it says."""
    environment = {**os.environ, "TBOT_HOME": str(home)}
    command = [sys.executable, "-m", "tbot_bot.runtime.cli", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return ended.returncode, ended.stdout + ended.stderr


def test_an_older_program_refuses_a_newer_journal_and_leaves_it_alone(tmp_path):
    run = rehearse(tmp_path, seed=3)
    path = run.paths.journal
    with apsw.Connection(str(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}; PRAGMA journal_mode = DELETE")
    connection.close()
    before = path.read_bytes()
    (run.home / ".env").write_text("")
    (run.home / ".env_bot").write_text("TEST_MODE=true\n")
    for words in (["check"], ["run", "--once"]):
        status, said = cli(run.home, *words)
        assert status == 3, said
        words_for_it = f"the journal has schema {SCHEMA_VERSION + 1}; this program knows up to {SCHEMA_VERSION}"
        assert words_for_it in " ".join(said.split())
        assert "start that version again" in " ".join(said.split())
    assert path.read_bytes() == before


def test_a_record_of_a_newer_version_is_refused_with_the_way_out(tmp_path):
    run = rehearse(tmp_path, seed=3)
    session = SessionId(day=DAY, strategy=StrategyName.OPEN)
    answer = Entry(at=0, recorded_at=0, kind=Kind.COMMAND, payload='{"_":"Foreseen"}', session=str(session))
    with Journal.open(run.paths.journal, Mode.PAPER) as journal:
        journal.append([answer])
        other = SessionId(day=DAY, strategy=StrategyName.MID)
        for read in (lambda: progress_of(journal, session), lambda: earlier_today(journal, other, Instant(0))):
            with pytest.raises(JournalError, match="unknown record 'Foreseen'") as refused:
                read()
            assert "start that version again" in refused.value.mend
