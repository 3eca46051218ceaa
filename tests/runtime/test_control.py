"""A person's word: answers to waiting signals, and the release of the kill switch. Real files, real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.config.error_handler import ConfigError
from tbot_bot.config.settings import handed_over, load_settings, taken_over
from tbot_bot.core.codec import loads
from tbot_bot.core.events import ControlKind, ControlReceived
from tbot_bot.core.identity import Mode, SessionId, StrategyName, session_of_trade, trade_id
from tbot_bot.core.instants import Instant, parse_iso
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.released import KillSwitchReleased
from tbot_bot.journal.store import open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.decisions import DECISIONS, Decision, DecisionDesk, leave, read
from tbot_bot.runtime.locks import RUNNER_LOCK, SUPERVISOR_LOCK, Lock
from tbot_bot.runtime.replay import replay_day
from tests.support.crafted_day import DAY, breakout_up, write_day

SESSION = SessionId(day=DAY, strategy=StrategyName.OPEN)
PATIENCE_SECONDS = 60


def tbot(home, *words):
    return subprocess.run(
        [sys.executable, "-m", "tbot_bot.runtime.cli", *words],
        env={**os.environ, "TBOT_HOME": str(home)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def journal_of(home):
    return home / "output" / "journal" / "tbot_paper.sqlite3"


# --- answers ---------------------------------------------------------------------------------------------------------


@given(
    day=st.dates(date(1990, 1, 1)),
    strategy=st.sampled_from(StrategyName),
    run=st.integers(1, 99),
    broker=st.sampled_from(["sim", "alpaca", "ibkr"]),
    symbol=st.from_regex(r"[A-Z]{1,5}([.-][A-Z])?", fullmatch=True),
)
def test_a_trades_id_names_its_session(day, strategy, run, broker, symbol):
    session = SessionId(day=day, strategy=strategy, run=run)
    assert session_of_trade(trade_id(session, broker, symbol)) == session


@pytest.mark.parametrize(
    "text", ["", "nonsense", "20251301-open-sim-AAA", "20251202-noon-sim-AAA", "20251202-open-sim"]
)
def test_what_is_no_trades_id_names_no_session(text):
    assert session_of_trade(text) is None


@given(
    content=st.binary(max_size=200)
    | st.recursive(st.none() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_no_file_can_break_the_reading_of_answers(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "answer.json"
    path.write_bytes(content)
    with suppress(ValueError):
        assert read(path).kind in {ControlKind.CONFIRM, ControlKind.DECLINE}


def test_an_answer_is_read_as_it_was_left(tmp_path):
    decision = Decision(kind=ControlKind.DECLINE, trade_id="20251202-open-sim-AAA", by="anna", why="earnings")
    assert read(leave(tmp_path, decision)) == decision


def test_the_runner_takes_its_own_answers_once_and_sets_the_others_aside(tmp_path):
    asked: list[Callable[[Instant], ControlReceived]] = []
    desk = DecisionDesk(tmp_path, SESSION, asked.append, structlog.get_logger())
    desk.look()  # no folder yet
    mine = trade_id(SESSION, "sim", "AAA")
    leave(tmp_path, Decision(kind=ControlKind.CONFIRM, trade_id=mine, by="anna", why="looks fine"))
    yesterday = SessionId(day=date(2025, 12, 1), strategy=StrategyName.OPEN)
    leave(tmp_path, Decision(kind=ControlKind.CONFIRM, trade_id=trade_id(yesterday, "sim", "AAA"), by="anna"))
    (tmp_path / DECISIONS / "by_hand.json").write_text("yes please")
    (tmp_path / DECISIONS / ".draft").write_text("{}")
    desk.look()
    desk.look()

    assert [path.name for path in (tmp_path / DECISIONS).iterdir() if not path.name.startswith(".")] != []
    (take,) = asked
    assert take(Instant(5)) == ControlReceived(
        at=Instant(5), kind=ControlKind.CONFIRM, by="anna", why="looks fine", trade_id=mine
    )
    assert [path.name for path in (tmp_path / DECISIONS).iterdir()] == [".draft"]
    done = sorted(path.name.partition("_")[2].partition("_")[0] for path in (tmp_path / "done").iterdir())
    assert [name for name in done if name in {"stale", "unreadable"}] == ["stale", "unreadable"]


def test_without_a_bot_nothing_waits_and_nothing_is_left_behind(tmp_path):
    listed = tbot(tmp_path, "confirm")
    assert (listed.returncode, listed.stdout) == (0, "no signal waits for confirmation; no bot is running\n")
    unknown = tbot(tmp_path, "decline", "20251202-open-sim-AAA", "--why", "no")
    assert unknown.returncode == 1
    assert unknown.stderr == (
        "error: 20251202-open-sim-AAA: no signal of this id ever waited. No bot is running, so nothing waits\n"
    )
    assert not (tmp_path / "control" / DECISIONS).exists()


class Confirmed:
    """A session of three signals that wait for a person, in real runner processes over a crafted day."""

    def __init__(self, home):
        self.home = home
        self.data = write_day(home / "bars.csv", {name: breakout_up() for name in ("AAA", "BBB", "CCC")})
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, market, speed):
        """Start the runner with the market's clock at `market`; one that runs is killed."""
        self.end()
        command = [sys.executable, "-m", "tbot_bot.runtime.main", "--session", str(SESSION), "--home", str(self.home)]
        command += ["--anchor", f"{market}:{time.time_ns()}", "--speed", str(speed), "--data", str(self.data)]
        command += ["--rehearsal", "--set", "TRADE_CONFIRMATION_REQUIRED=true"]
        with (self.home / "stderr.txt").open("ab") as errors:
            self.process = subprocess.Popen(command, stderr=errors)

    def end(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def waiting(self):
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "stderr.txt").read_text()
        path = self.home / "output" / "status_bot.json"
        return [one["trade_id"] for one in json.loads(path.read_text())["waiting"]] if path.exists() else []

    def market_time(self):
        return parse_iso(json.loads((self.home / "output" / "status_bot.json").read_text())["market_time"])

    def history(self):
        rows = json.loads((self.home / "output" / "trades" / "trade_history_paper.json").read_text())
        return {row["ticker"]: (row["exit_reason"], row["error_code"]) for row in rows}

    def controls(self):
        with open_reader(journal_of(self.home)) as journal:
            events = [loads(row.payload) for row in journal.rows(kind=Kind.INPUT)]
        return [event for event in events if isinstance(event, ControlReceived)]


@pytest.fixture
def confirmed(tmp_path):
    made = Confirmed(tmp_path)
    yield made
    made.end()


def test_signals_wait_and_are_confirmed_declined_or_lapse(confirmed):
    # It has 15 s to begin before the first breakout, which comes too late to act on otherwise, and 67 s to be asked in.
    confirmed.run(parse_iso("2025-12-02T14:49:00Z"), speed=8.0)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(waiting := confirmed.waiting()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    asked = json.loads(tbot(confirmed.home, "confirm", "--json").stdout)["waiting"]
    assert [one["trade_id"] for one in asked] == waiting
    first, second, third = sorted(waiting)
    yes = tbot(confirmed.home, "confirm", first, "--why", "looks fine")
    no = tbot(confirmed.home, "decline", second, "--why", "earnings tonight", "--json")
    again = tbot(confirmed.home, "confirm", first)

    assert (yes.returncode, yes.stderr) == (0, "")
    assert yes.stdout.startswith(f"{first} is confirmed: an order for ")
    answer = json.loads(no.stdout)
    assert (no.returncode, answer["done"], "earnings tonight" in answer["outcome"]) == (0, True, True)
    assert again.returncode == 1
    assert f"{first} waits no longer (goes ahead: an order for" in again.stderr
    assert again.stderr.endswith(f"Waiting now: {third}\n")
    assert f"waiting for confirmation: {third}" in tbot(confirmed.home, "status").stdout

    confirmed.run(confirmed.market_time(), speed=900.0)  # killed, recovered, and hurried to the end
    assert confirmed.process is not None
    assert confirmed.process.wait(timeout=PATIENCE_SECONDS) == 0
    late = tbot(confirmed.home, "confirm", third)
    assert (late.returncode, "dropped: confirmation_lapsed" in late.stderr) == (1, True)
    assert confirmed.history() == {
        "AAA": ("time", ""),
        "BBB": (answer["outcome"].partition(": ")[2], "declined"),
        "CCC": ("nobody confirmed it in the entry window", "confirmation_lapsed"),
    }
    told = confirmed.controls()
    assert [(event.kind, event.trade_id, event.why) for event in told] == [
        (ControlKind.CONFIRM, first, "looks fine"),
        (ControlKind.DECLINE, second, "earnings tonight"),
    ]
    assert all("(tbot " in event.by for event in told)
    assert len(list((confirmed.home / "control" / "done").glob("*.json"))) == 2
    assert verify(journal_of(confirmed.home)).ok
    assert replay_day(confirmed.home, DAY, Mode.PAPER).identical


# --- settings, from supervisor to runner -----------------------------------------------------------------------------


def test_settings_are_handed_over_whole_or_not_at_all(tmp_path):
    given = {"MAX_TRADES": "2", "WEIGHTS": "0.6,0.4", "TRADE_CONFIRMATION_REQUIRED": "true"}
    settings = load_settings(tmp_path, given, defaults_if_absent=True)
    data = handed_over(settings)

    assert taken_over(tmp_path, data) == settings
    for length in range(0, len(data), 97):
        with pytest.raises(ConfigError):
            taken_over(tmp_path, data[:length])


# --- resume ----------------------------------------------------------------------------------------------------------


def test_a_resume_needs_a_reason_and_something_to_release(tmp_path):
    missing = tbot(tmp_path, "resume")
    assert (missing.returncode, "Missing option '--why'" in missing.stderr) == (2, True)
    nothing = tbot(tmp_path, "resume", "--why", "all is well")
    assert (nothing.returncode, "the kill switch is not engaged" in nothing.stderr) == (1, True)
    ControlFolder(tmp_path / "control").latch(by="anna", why="prices look wrong")
    blank = tbot(tmp_path, "resume", "--why", "  ")
    assert (blank.returncode, "a reason is needed" in blank.stderr) == (1, True)
    assert ControlFolder(tmp_path / "control").killed()


@pytest.mark.parametrize("latched", [True, False], ids=["engaged", "flag left while nobody ran"])
def test_a_resume_is_journaled_and_lets_the_bot_start_again(tmp_path, latched):
    folder = ControlFolder(tmp_path / "control")
    if latched:
        folder.latch(by="anna", why="prices look wrong")
    else:
        folder.write(Flag.KILL, by="anna", why="prices look wrong")
    told = tbot(tmp_path, "resume", "--why", "the feed is sound again")

    assert (told.returncode, told.stderr) == (0, "")
    assert "it was engaged by anna: prices look wrong" in told.stdout
    assert folder.killed() == ""
    assert folder.peek(Flag.KILL) is None
    assert len(list((tmp_path / "control" / "done").glob("*killed.json"))) == 1
    with open_reader(journal_of(tmp_path)) as journal:
        (row,) = journal.rows(kind=Kind.CONTROL)
    released = loads(row.payload)
    assert isinstance(released, KillSwitchReleased)
    assert (released.why, released.engaged) == ("the feed is sound again", "by anna: prices look wrong")
    assert released.by.endswith("(tbot resume)")


@pytest.mark.parametrize("lock", [SUPERVISOR_LOCK, RUNNER_LOCK])
def test_nothing_is_released_while_the_bot_may_be_closing(tmp_path, lock):
    folder = ControlFolder(tmp_path / "control")
    folder.latch(by="anna", why="prices look wrong")
    with Lock(tmp_path / "control" / lock):
        told = tbot(tmp_path, "resume", "--why", "never mind")

    assert told.returncode == 4
    assert f"the bot is at work (pid {os.getpid()})" in told.stderr
    assert folder.killed()
    assert not journal_of(tmp_path).exists()


def test_what_cannot_be_journaled_is_not_released(tmp_path):
    ControlFolder(tmp_path / "control").latch(by="anna", why="prices look wrong")
    journal_of(tmp_path).parent.mkdir(parents=True)
    journal_of(tmp_path).write_bytes(b"not a journal" * 1000)
    told = tbot(tmp_path, "resume", "--why", "never mind")

    assert told.returncode == 1
    assert ControlFolder(tmp_path / "control").killed()


def test_a_start_that_the_kill_switch_forbids_names_the_command_that_releases_it(tmp_path):
    ControlFolder(tmp_path / "control").latch(by="anna", why="prices look wrong")
    told = tbot(tmp_path, "run", "--rehearsal", "--once")

    assert told.returncode == 5
    assert "engaged by anna: prices look wrong; `tbot resume --why TEXT`" in told.stderr
    assert not Path(tmp_path / "output" / "status_bot.json").exists()
