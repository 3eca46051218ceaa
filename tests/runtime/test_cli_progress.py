"""What a running day looks like: a panel in a terminal, lines elsewhere, and never an error for the supervisor."""

import io
from dataclasses import replace
from decimal import Decimal

from rich.console import Console

from tbot_bot.core.commands import Phase
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import parse_iso
from tbot_bot.core.orders import Direction
from tbot_bot.reporting.status_logger import BotState, BotStatus, OpenPosition
from tbot_bot.runtime.progress import RunProgress

AT = parse_iso("2025-09-02T13:50:00Z")
IDLE = BotStatus(
    version="1.0.0",
    pid=1,
    written_at=AT,
    market_time=None,
    mode=Mode.PAPER,
    test_mode=True,
    state=BotState.IDLE,
    state_reason="waiting",
    session="",
    phase=None,
    scheduled_start=None,
    actual_start=None,
    candidates=0,
    signaled=0,
    entered=0,
    exited=0,
    rejected=0,
    waiting=(),
    positions=(),
    realized=(),
    realized_total=Decimal(0),
    unrealized_total=Decimal(0),
    brokers=(),
    data_age_seconds=None,
    last_errors=(),
    api_retries=0,
    entries_suspended="",
    defense_mode=False,
    kill_switch=False,
    journal_sequence=1,
)
TRADING = replace(
    IDLE,
    market_time=AT,
    state=BotState.TRADING,
    session="2025-09-02/open",
    phase=Phase.BREAKOUT,
    candidates=12,
    signaled=2,
    entered=1,
    unrealized_total=Decimal("1.50"),
    positions=(
        OpenPosition(
            trade_id="t",
            broker="alpaca",
            symbol="SYN[b]02",
            underlying="SYN02",
            side=Direction.LONG,
            quantity=Decimal(10),
            entry_price=Decimal("15.91"),
            current_price=Decimal("16.06"),
            unrealized_pnl=Decimal("1.50"),
            stop_price=None,
        ),
    ),
)
LAST_WORD = replace(TRADING, session="", phase=None, exited=1, positions=(), state=BotState.IDLE)


def shown(*statuses: BotStatus | None, terminal: bool, said: str = "") -> str:
    out = io.StringIO()
    progress = RunProgress(Console(file=out, force_terminal=terminal, markup=False, width=90, height=40))
    for status in statuses:
        progress.update(status, said)
    progress.close()
    progress.close()
    return out.getvalue()


def test_a_pipe_gets_one_line_for_each_change_and_none_for_the_rest():
    entered = replace(TRADING, entered=2)
    text = shown(None, IDLE, TRADING, TRADING, entered, entered, LAST_WORD, IDLE, terminal=False, said="a note")
    assert text.splitlines() == [
        "a note",
        "13:50:00 UTC OPEN breakout",
        "13:50:00 UTC OPEN 2 signaled, 1 entered, 0 exited, PnL +1.50",
        "13:50:00 UTC OPEN 2 signaled, 2 entered, 0 exited, PnL +1.50",
        "13:50:00 UTC OPEN 2 signaled, 1 entered, 1 exited, PnL +1.50",
    ]
    assert "\x1b" not in text


def test_errors_and_a_halt_are_lines_of_their_own_and_told_once():
    halted = replace(TRADING, state=BotState.HALTED, state_reason="killed", last_errors=("it broke",))
    text = shown(TRADING, halted, halted, terminal=False)
    assert text.splitlines()[-2:] == ["13:50:00 UTC halted: killed", "13:50:00 UTC error: it broke"]


def test_a_terminal_shows_clocks_sessions_and_positions_in_place():
    text = shown(TRADING, terminal=True)
    for part in ("paper, test mode", "13:50:00 UTC", "09:50:00 New York", "OPEN", "breakout", "SYN[b]02", "15.91"):
        assert part in text
    assert "\x1b[?25h" in text, "the cursor is given back"


def test_a_session_stays_in_the_panel_with_its_last_figures():
    closing = replace(TRADING, session="2025-09-02/close")
    text = shown(TRADING, LAST_WORD, closing, terminal=True).rpartition("TradeBot 1.0.0")[2]
    assert "over" in text
    assert "CLOSE" in text


def test_whatever_happens_to_the_terminal_the_supervisor_goes_on():
    out = io.StringIO()
    progress = RunProgress(Console(file=out, force_terminal=False))
    out.close()
    progress.say("nobody listens")
    progress.update(TRADING)
    progress.close()
    assert progress.broken


def test_the_day_is_that_of_the_sessions_seen():
    progress = RunProgress(Console(file=io.StringIO()))
    assert (progress.day, progress.used) == (None, False)
    progress.update(TRADING)
    assert (str(progress.day), progress.used) == ("2025-09-02", True)
