"""`tbot status --watch` as a person meets it: a calm picture in place, lines in a pipe, a terminal given back."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from rich.console import Console

from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import later, minutes, seconds
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.status_logger import BotState, BrokerLink, Realized, StatusReading, Trouble, write_status
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, Lock
from tbot_bot.runtime.sessions_seen import SessionsSeen
from tbot_bot.runtime.status_around import NextSession, Sight
from tbot_bot.runtime.status_watch import picture
from tests.runtime.test_cli_progress import AT, IDLE, TRADING
from tests.support.terminal import Terminal

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PAPER = Console(force_terminal=True, color_system=None)
BUSY = replace(
    TRADING,
    scheduled_start=AT,
    actual_start=later(AT, -minutes(5)),
    realized=(Realized(broker="alpaca", pnl=Decimal("12.50")), Realized(broker="ibkr", pnl=Decimal(-2))),
    realized_total=Decimal("10.50"),
    brokers=(
        BrokerLink(name="alpaca", connected=True, halted=False, latency_ms=3.2),
        BrokerLink(name="ibkr", connected=False, halted=True, latency_ms=None),
    ),
    data_age_seconds=2.0,
    api_retries=4,
    last_errors=("first of them", "it broke"),
)
NEXT = NextSession(strategy="mid", day=date(2025, 9, 2), start=later(AT, minutes(40)))


def sight_of(status, *, at_work=True, trouble=None, words=""):
    return Sight(
        reading=StatusReading(status=status, trouble=trouble, words=words),
        at_work=at_work,
        market_now=AT,
        phase_ends_at=later(AT, seconds(538)),
        upcoming=NEXT,
    )


def seen_in(status, size=(80, 24), **sight):
    seen = SessionsSeen()
    if status is not None:
        seen.take_in(status)
    lines = picture(sight_of(status, **sight), seen, size, PAPER)
    assert [len(line) for line in lines] == [size[0]] * size[1], "each line covers what stood there before"
    return "\n".join(line.rstrip() for line in lines)


def test_one_screen_of_80_by_24_says_everything():
    shown = seen_in(BUSY)
    for part in (
        "trading   paper, test mode", "Tue 2025-09-02  13:50:00 UTC  09:50 New York",
        "OPEN  breakout, 8:58 left   scheduled 13:50 UTC, screened from 13:45",
        "12 candidates, 2 signaled, 1 entered, 0 exited, 0 rejected",
        "+10.50 realised, +1.50 open, +12.00 together",
        "alpaca +12.50 connected 3 ms; ibkr -2.00 NOT CONNECTED halted", "2 s old, 4 API retries, journal at row 1",
        "MID  14:30 UTC, 10:30 New York, in 40:00", "SYN[b]02", "16.06", "first of them", "it broke", "q quits",
    ):  # fmt: skip
        assert part in shown


def test_nobody_overlooks_what_keeps_the_bot_from_trading():
    marked = replace(BUSY, kill_switch=True, defense_mode=True, entries_suspended="the data are late")
    shown = seen_in(marked)
    for part in ("KILL SWITCH ENGAGED", "DEFENSE MODE", "NO NEW ENTRIES: the data are late"):
        assert part in shown
    assert "NO PROCESS IS ALIVE" in seen_in(BUSY, at_work=False)
    assert "NO NEWS: it is 20 s old" in seen_in(BUSY, trouble=Trouble.STALE, words="it is 20 s old")
    halted = seen_in(replace(BUSY, state=BotState.HALTED, kill_switch=True), at_work=False)
    assert "halted not running" in halted
    assert "NO PROCESS" not in halted, "it has ended as it should"
    over = seen_in(replace(IDLE, state=BotState.SHUTDOWN, state_reason="the day is over"), at_work=False)
    assert "NO PROCESS" not in over
    assert "not running" in over


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 10), (20, 5), (200, 12)])
def test_a_picture_fits_its_terminal_whatever_is_in_it(size):
    many = tuple(replace(TRADING.positions[0], symbol=f"SYN{number:02}") for number in range(30))
    shown = seen_in(replace(BUSY, positions=many, last_errors=("a long error " * 20,) * 5), size)
    assert "q quits" in shown.split("\n")[-1]
    if size[0] >= 80 and size[1] >= 24:
        assert re.search(r"and \d+ more", shown)
        assert "OPEN     breakout" in shown


def test_a_name_cannot_paint_the_terminal():
    assert "\x1b" not in seen_in(replace(BUSY, last_errors=("\x1b[31mred",), state_reason="\x1b[2J"))


@pytest.fixture
def home(tmp_path):
    """Return an installation with a bot that trades: its status file, and a lock that is held."""
    put(tmp_path, BUSY)
    with Lock(tmp_path / "control" / SUPERVISOR_LOCK):
        yield tmp_path


def put(home, status):
    write_status(OutputPaths(home=home, mode=Mode.PAPER), replace(status, written_at=wall_now()))


@pytest.mark.parametrize(("keys", "status"), [("q", 0), ("Q", 0), ("\x03", 130)])
def test_q_and_interrupt_end_the_view_and_give_the_terminal_back(home, keys, status):
    with Terminal(home, "status", "--watch") as terminal:
        terminal.read_until("q quits")
        terminal.type(keys)
        ended, written = terminal.end()
        assert ended == status
        assert written.index("\x1b[?1049h") < written.index("q quits") < written.index("\x1b[?1049l")
        assert written.endswith("\x1b[?1049l")
        assert "Traceback" not in written
        assert terminal.modes() == terminal.before


def test_a_change_is_painted_where_it_is_and_the_rest_stays(home):
    with Terminal(home, "status", "--watch") as terminal:
        terminal.read_until("q quits")
        before = len(terminal.written)
        put(home, replace(BUSY, signaled=7))
        terminal.read_until("7 signaled")
        put(home, replace(BUSY, signaled=8))
        after = terminal.read_until("8 signaled")[before:]
        assert "\n" not in terminal.written, "nothing scrolls"
        assert "\x1b[2J" not in after, "nothing flickers"
        assert "NOT CONNECTED" not in after, "what stands there is not written again"
        assert "NOT CONNECTED" in terminal.written


def test_a_resize_paints_anew_and_a_term_signal_gives_the_terminal_back(home):
    with Terminal(home, "status", "--watch") as terminal:
        terminal.read_until("q quits")
        before = len(terminal.written)
        terminal.resize((50, 12))
        resized = terminal.read_until("q quits", 2)[before:]
        rows = re.findall(r"\x1b\[(\d+);1H(.*?)(?=\x1b\[\d+;1H|$)", resized)
        assert {len(ESCAPES.sub("", text)) for _, text in rows} == {50}
        assert [int(row) for row, _ in rows] == list(range(1, 13))
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end()[0] == 143
        assert terminal.modes() == terminal.before


def test_no_color_moves_the_cursor_and_paints_nothing(home):
    with Terminal(home, "status", "--watch", NO_COLOR="1") as terminal:
        written = terminal.read_until("q quits")
    assert set(re.findall(r"\x1b\[[0-9;]*m", written)) == {"\x1b[0m"}


def test_a_dumb_terminal_gets_lines(home):
    with Terminal(home, "status", "--watch", TERM="dumb") as terminal:
        terminal.read_until("OPEN 2 signaled, 1 entered")
        terminal.type("\x03")
        status, written = terminal.end()
    assert status == 130
    assert "\x1b" not in written


def test_a_pipe_gets_a_line_for_each_change(home):
    words = [sys.executable, "-u", "-m", "tbot_bot.runtime.cli", "status", "--watch"]
    environment = {**os.environ, "TBOT_HOME": str(home)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        told = [running.stdout.readline() for _ in range(4)]
        put(home, replace(BUSY, exited=1))
        told.append(running.stdout.readline())
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
    assert running.returncode == 130
    assert [line.removeprefix("13:50:00 UTC ").strip() for line in told] == [
        "OPEN breakout", "OPEN 2 signaled, 1 entered, 0 exited, PnL +12.00", "error: first of them", "error: it broke",
        "OPEN 2 signaled, 1 entered, 1 exited, PnL +12.00",
    ]  # fmt: skip
    assert rest == ""


def test_without_a_bot_it_waits_and_says_so(tmp_path):
    with Terminal(tmp_path, "status", "--watch") as terminal:
        terminal.read_until("has not run here yet")
        terminal.type("q")
        assert terminal.end()[0] == 0
    assert list(tmp_path.iterdir()) == []
