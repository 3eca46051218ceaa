"""The present state of the bot: `output/status_bot.json`, replaced whole at each change.

The process that runs a session writes it; anybody may read it. It is no record: what it says is true for
the moment it names, and a reader says in words when that moment is long past or the file is unusable.
"""

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Final

from tbot_bot.config.scrub import scrub, scrubber
from tbot_bot.core.commands import Phase
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import SECOND, Instant, iso
from tbot_bot.core.orders import Direction
from tbot_bot.reporting.atomic import replace_file
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.shapes import from_plain, text_of, to_plain

_STALE_SECONDS: Final = 15.0
"""Three times the longest pause between two writes (5 s), as the heartbeat."""


class BotState(StrEnum):
    """What the bot is doing, in the words shown to people."""

    IDLE = "idle"
    SCREENING = "screening"
    ANALYZING = "analyzing"
    TRADING = "trading"
    MONITORING = "monitoring"
    CLOSING = "closing"
    HALTED = "halted"
    SHUTDOWN = "shutdown"
    ERROR = "error"


STATE_OF_PHASE: Final = {
    Phase.SCREEN: BotState.SCREENING,
    Phase.ANALYSIS: BotState.ANALYZING,
    Phase.BREAKOUT: BotState.TRADING,
    Phase.MONITORING: BotState.MONITORING,
    Phase.CLOSE_OUT: BotState.CLOSING,
    Phase.REPORT: BotState.CLOSING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPosition:
    """A position that the bot holds now."""

    trade_id: str
    broker: str
    symbol: str
    underlying: str
    side: Direction
    quantity: Decimal
    """Signed: negative is short."""
    entry_price: Decimal
    current_price: Decimal | None
    """Close of the last bar of the instrument itself; None where it has none (options)."""
    unrealized_pnl: Decimal | None
    """Dollars before fees of the exit; None without a current price."""
    stop_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingSignal:
    """A signal that waits for a person: `tbot confirm` or `tbot decline` with its trade's id."""

    trade_id: str
    symbol: str
    side: Direction
    price: Decimal
    """Of the underlying when the strategy signaled."""
    signaled_at: Instant
    lapses_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Realized:
    """Realised result after fees of this session at one broker, in dollars."""

    broker: str
    pnl: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLink:
    """How the connection to one broker is."""

    name: str
    connected: bool
    halted: bool
    latency_ms: float | None
    """Median; None where none was measured."""
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    state: str = "ok"
    """`ok`, `degraded` or `down`, as the watchdog finds it."""
    reason: str = ""
    """Why it is not ok."""
    heartbeat_age_seconds: float | None = None
    """Age of the last answer; None before the first."""
    clock_drift_seconds: float | None = None
    """The broker's clock less ours; None where it has none of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCircuit:
    """Requests that a broker has left unanswered so often in a row that they are left alone for a while."""

    broker: str
    endpoint: str
    """Address, or family of requests."""
    failures: int
    """In a row."""
    open_seconds: float
    """Until one of them is tried again."""
    problem: str
    """What the last failure said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OthersOrder:
    """An order that rests in the account and is not ours; left alone."""

    broker: str
    broker_order_id: str
    name: str
    """What whoever sent it calls it; empty where it has no name."""
    symbol: str
    side: str
    """`buy` or `sell`."""
    quantity: Decimal | None
    """Left to be filled when it was first seen; None where the broker does not tell."""
    price: Decimal | None
    """Limit, else stop; None where it has neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryResult:
    """The last canary of the day in hand: what was proved before the open."""

    day: date
    at: Instant
    """Wall clock."""
    passed: bool
    failures: tuple[str, ...]
    """What did not work, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BotStatus:
    """All of `output/status_bot.json`. Counts and results are those of the present session."""

    version: str
    pid: int
    written_at: Instant
    """Wall clock of the writer."""
    market_time: Instant | None
    """Of the last event; compressed or recorded in test mode."""
    mode: Mode
    test_mode: bool
    state: BotState
    state_reason: str
    session: str
    """Empty between sessions."""
    phase: Phase | None
    scheduled_start: Instant | None
    actual_start: Instant | None
    """Market time of the session's first event."""
    candidates: int
    signaled: int
    entered: int
    exited: int
    rejected: int
    waiting: tuple[WaitingSignal, ...]
    positions: tuple[OpenPosition, ...]
    realized: tuple[Realized, ...]
    realized_total: Decimal
    unrealized_total: Decimal
    """Over the positions that have a current price."""
    brokers: tuple[BrokerLink, ...]
    data_age_seconds: float | None
    """Market time since the last complete bars; None before the first."""
    last_errors: tuple[str, ...]
    """Newest last."""
    api_retries: int
    entries_suspended: str
    """Why no position is opened at present; empty where nothing is in the way."""
    defense_mode: bool
    kill_switch: bool
    journal_sequence: int
    circuits: tuple[OpenCircuit, ...] = ()
    canary: CanaryResult | None = None
    """None where none has run for the day in hand."""
    foreign_orders: tuple[OthersOrder, ...] = ()


class Trouble(StrEnum):
    """Why there is no present status."""

    MISSING = "missing"
    CORRUPT = "corrupt"
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReading:
    """What a reader found: the status, and in words what is wrong with it (empty where nothing is)."""

    status: BotStatus | None
    trouble: Trouble | None = None
    words: str = ""


def status_bytes(status: BotStatus) -> bytes:
    """Return the file's content; no word in it shows a secret."""
    plain = to_plain(status)
    text = text_of(plain, indent=1)
    if scrub(text) != text:
        text = text_of(scrubber().strings(plain), indent=1)
    return f"{text}\n".encode()


def write_status(records: OutputPaths, status: BotStatus) -> None:
    """Replace the status file.

    Raises:
        RecordsError: it could not be written; the old one is still there.
    """
    replace_file(records.status, status_bytes(status))


def read_status(path: Path, now: Instant, *, stale_seconds: float = _STALE_SECONDS) -> StatusReading:
    """Return what the status file says at wall clock `now`; a stale one is returned with a warning.

    A bot that has shut down writes no longer, and its last status is not stale.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        words = f"no status at {path}: the bot has not run here yet"
        return StatusReading(status=None, trouble=Trouble.MISSING, words=words)
    except OSError as error:
        words = f"the status at {path} cannot be read: {error.strerror}"
        return StatusReading(status=None, trouble=Trouble.CORRUPT, words=words)
    try:
        status = from_plain(BotStatus, json.loads(text))
    except (ValueError, RecursionError) as error:
        words = f"the status at {path} is not usable: {error}. The running bot replaces it within 5 s"
        return StatusReading(status=None, trouble=Trouble.CORRUPT, words=words)
    age = (now - status.written_at) / SECOND
    if status.state is BotState.SHUTDOWN or age <= stale_seconds:
        return StatusReading(status=status)
    words = f"the status is {age:.0f} s old (of {iso(status.written_at)}): process {status.pid} may be gone"
    return StatusReading(status=status, trouble=Trouble.STALE, words=words)


__all__ = [
    "STATE_OF_PHASE", "BotState", "BotStatus", "BrokerLink", "CanaryResult", "OpenCircuit", "OpenPosition",
    "OthersOrder", "Realized", "StatusReading", "Trouble", "WaitingSignal", "read_status", "status_bytes",
    "write_status",
]  # fmt: skip
