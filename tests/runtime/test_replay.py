"""Replay proves that a journaled day gives identical decisions, and names the first one that does not."""

import re
from dataclasses import replace
from decimal import Decimal

import apsw
import pytest

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.codec import dumps, loads
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.journal.tape import TapeReader, TapeWriter
from tbot_bot.reporting.noted import ErrorRaised
from tbot_bot.runtime.cli import main
from tbot_bot.runtime.replay import replay_day
from tbot_bot.trading.symbol_states import SymbolStates
from tests.support.rehearsal import DAY, rehearse


def replay(run):
    return replay_day(run.home, DAY, Mode.PAPER)


def the_difference(run):
    """Return the session and the words of the only session that differs."""
    found = [(one.session, one.difference) for one in replay(run).sessions if one.difference]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("seed", range(1, 9))
def test_an_untouched_day_replays_identically_with_every_input_fed(tmp_path, seed):
    run = rehearse(tmp_path, seed)
    report = replay(run)
    assert report.identical
    last = {row.session: row.input_number for row in run.rows()}
    assert {one.session: one.inputs >= last[one.session] for one in report.sessions} == dict.fromkeys(last, True)
    assert all(one.answers > 0 for one in report.sessions)


def test_one_bar_changed_on_the_tape_is_found_with_the_number_of_its_input(tmp_path):
    """The frame's checksum is right, as after a clever hand: the decisions still tell."""
    run = rehearse(tmp_path, seed=3)
    path = next(path for path in run.home.rglob("*_open.tape"))
    events = list(TapeReader(path))
    changed = next(event for event in events if len(event.bars) and event.number > 15)
    path.unlink()
    with TapeWriter(path, "2025-12-02/open") as tape:
        for number, at, bars, backfill in events:
            told = bars
            if number == changed.number:
                told = tuple(bar._replace(high=bar.high * 1.2) for bar in bars)
            tape.append(number, at, told, backfill=backfill)
    session, difference = the_difference(run)
    assert session == "2025-12-02/open"
    number = int(difference.split()[1])
    assert number > changed.number
    assert "journal says" in difference
    assert "replay says" in difference
    assert not run.verified().ok


def test_a_parameter_changed_in_the_journaled_specification_is_found(tmp_path):
    run = rehearse(tmp_path, seed=3)
    connection = apsw.Connection(str(run.paths.journal))
    row = next(row for row in run.rows() if row.kind.value == "session" and row.session.endswith("/open"))
    spec = loads(row.payload)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f'DROP TRIGGER "{name}"')
    changed = dumps(spec).replace('"buffer":0.001', '"buffer":0.002')
    assert changed != row.payload
    connection.execute("UPDATE journal SET payload = ? WHERE seq = ?", (changed, row.seq))
    connection.close()
    session, difference = the_difference(run)
    assert session == "2025-12-02/open"
    assert difference.startswith("input ")
    assert run.verified().damaged_row == row.seq


def test_a_changed_rule_in_todays_code_is_found_with_both_sides(tmp_path, monkeypatch):
    run = rehearse(tmp_path, seed=3)
    step = SymbolStates.step

    def timid(states, bar):
        signal = step(states, bar)
        return None if signal is not None and signal.score < 1 and "range" in signal.reason else signal

    monkeypatch.setattr(SymbolStates, "step", timid)
    session, difference = the_difference(run)
    assert session == "2025-12-02/open"
    assert "SignalRaised" in difference
    assert "journal says" in difference
    assert "replay says nothing" in difference


def test_a_difference_is_told_where_it_is_what_was_decided_and_what_is_now(tmp_path, monkeypatch, capsys):
    run = rehearse(tmp_path, seed=3)
    monkeypatch.setenv("TBOT_HOME", str(run.home))
    assert main(["replay", DAY.isoformat()]) == 0
    assert capsys.readouterr().out.endswith("Today's code decides everything as it was decided then.\n")
    step = SymbolStates.step

    def dearer(states, bar):
        signal = step(states, bar)
        return None if signal is None else replace(signal, price=signal.price + 1)

    monkeypatch.setattr(SymbolStates, "step", dearer)
    assert main(["replay", DAY.isoformat()]) == 1
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    assert told.count("DIFFERS first at input") == 3, "one difference a session"
    first = told[told.index("DIFFERS") : told.index("mid: DIFFERS")]
    assert "where    2025-12-02T14:5" in first
    assert "bars of S" in first
    assert "then     signal raised: S" in first
    assert "now      signal raised: S" in first
    price = re.search(r"differs +price: ([0-9.]+) is now ([0-9.]+)", first)
    assert price is not None
    assert Decimal(price[2]) == Decimal(price[1]) + 1
    assert "\nThe code is that of the day" in told, "the fingerprint is over files, and none has changed"


def test_a_difference_by_other_code_is_put_down_to_it(tmp_path, monkeypatch):
    run = rehearse(tmp_path, seed=3)
    monkeypatch.setattr(SymbolStates, "step", lambda *_: None)
    monkeypatch.setattr("tbot_bot.runtime.replay.code_fingerprint", lambda: "another")
    report = replay(run)
    assert not report.identical
    assert not any(one.same_code for one in report.sessions)
    assert report.verdict == "Code that decides otherwise has been put in place since that day."
    for one in report.sessions:
        assert one.words is not None
        assert one.words.then != one.words.now
        assert "_" not in one.words.then, "words, no names of the program"


def test_every_run_of_a_day_is_replayed_and_a_session_that_never_began_keeps_none_from_it(tmp_path):
    rehearse(tmp_path, seed=1)
    run = rehearse(tmp_path, seed=3)
    died = ErrorRaised(at=Instant(1), error_class="E", code="E", severity="critical", where="", text="it died")
    with Journal.open(run.paths.journal, Mode.PAPER) as journal:
        journal.append([Entry.of(died, kind=Kind.ERROR, at=1, recorded_at=1, session="2025-12-02/open#3")])
    report = replay(run)
    assert report.identical
    assert len(report.sessions) == 7
    assert {one.session: one.note for one in report.sessions if one.note} == {
        "2025-12-02/open#3": "it never began: there is no specification of it"
    }
    assert all(one.answers > 0 for one in report.sessions if not one.note)


def test_a_tape_that_is_gone_and_a_day_that_never_was_are_refused_with_the_reason(tmp_path):
    run = rehearse(tmp_path)
    with pytest.raises(JournalError, match="no session of 2025-12-03"):
        replay_day(run.home, DAY.replace(day=3), Mode.PAPER)
    with pytest.raises(JournalError):
        replay_day(tmp_path / "nowhere", DAY, Mode.PAPER)
    next(path for path in run.home.rglob("*_open.tape")).unlink()
    with pytest.raises(JournalError, match="missing"):
        replay(run)
