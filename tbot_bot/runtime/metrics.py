"""The bot's present state as Prometheus metrics, gathered anew at each scrape.

What is told is what `status_bot.json` tells (the same typed reading), what the supervisor knows of itself, the
runner's pulse, the control folder, the journal's errors and the disk. Labels are brokers, strategies' outcomes,
states and error classes: few and known. No order, trade, symbol or account is ever one. A fact that is not known
at present has no sample, so that an alert can tell "none" from "unknown". Only loaded where `METRICS_PORT` asks.
"""

import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, StateSetMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tbot_bot import __version__
from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.core.money import ZERO
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import JournalReader, open_reader
from tbot_bot.reporting.noted import ErrorRaised
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.status_logger import BotState, BotStatus, read_status
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.heartbeat import Beat, age_seconds, read_beat
from tbot_bot.runtime.kill_switch import engaged
from tbot_bot.runtime.locks import RUNNER_LOCK, holder
from tbot_bot.runtime.supervisor_facts import FactBook, Outcome, SupervisorFacts

ERROR_CLASSES: Final = ("BrokerError", "ConfigError", "DataError", "JournalError", "LogicError", "NetworkError")
"""Told from the first scrape on, with zero: a rate needs a sample from before the first error."""
OTHER: Final = "other"
_CLASSES_MAX: Final = 32
_READER_BUSY_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSources:
    """Where the figures come from."""

    home: Path
    control: Path
    records: OutputPaths
    book: FactBook
    code: str
    """Fingerprint of the running code."""


class ErrorTally:
    """Counts the journal's error rows by class, from the head at its own start on."""

    def __init__(self, journal: JournalReader) -> None:
        """Count nothing that is in the journal already."""
        self._journal: Final = journal
        self.sequence = journal.head().seq
        self.classes: Counter[str] = Counter(dict.fromkeys(ERROR_CLASSES, 0))

    def refresh(self) -> None:
        """Read what has been added.

        Raises:
            JournalError: the journal cannot be read.
        """
        until = self._journal.head().seq
        for row in self._journal.rows(after=self.sequence, kind=Kind.ERROR):
            self.classes[self._class_of(row.payload)] += 1
            self.sequence = row.seq
        self.sequence = max(self.sequence, until)

    def _class_of(self, payload: str) -> str:
        try:
            found = loads(payload)
        except CodecError:
            return OTHER
        name = found.error_class if isinstance(found, ErrorRaised) else OTHER
        return name if name in self.classes or len(self.classes) < _CLASSES_MAX else OTHER


class BotCollector(Collector):
    """Gathers all families; scrapes may come from several threads."""

    def __init__(self, sources: MetricSources) -> None:
        """Count errors from here on; a journal that cannot be read now is tried again at each scrape."""
        self._sources: Final = sources
        self._lock: Final = threading.Lock()
        self._open: Final = ExitStack()
        self._errors: ErrorTally | None = None
        self._read_journal()

    def close(self) -> None:
        """Let go of the journal."""
        with self._lock:
            self._open.close()
            self._errors = None

    def collect(self) -> Iterable[Metric]:
        """Return the families of this moment."""
        with self._lock:
            return tuple(self._families(wall_now()))

    def _families(self, now: Instant) -> Iterator[Metric]:
        sources = self._sources
        reading = read_status(sources.records.status, now)
        status = reading.status
        yield InfoMetricFamily(
            "tbot_build",
            "Version and code of the running supervisor, and the mode of its records.",
            {"version": __version__, "code": sources.code, "mode": sources.records.mode.value},
        )
        yield from supervisor_families(sources.book.facts, now)
        yield from runner_families(read_beat(sources.control), now, alive=holder(sources.control / RUNNER_LOCK))
        yield from control_families(sources.home, ControlFolder(sources.control))
        yield from self._journal_families()
        yield from disk_families(sources.home)
        yield gauge("tbot_status_readable", "Whether output/status_bot.json is there and whole.", status is not None)
        if status is not None:
            yield from status_families(status, now)

    def _journal_families(self) -> Iterator[Metric]:
        errors = self._read_journal()
        text = "Whether the journal could be read at this scrape."
        yield gauge("tbot_journal_readable", text, value=errors is not None)
        if errors is None:
            return
        yield gauge("tbot_journal_sequence", "Number of the journal's last row.", errors.sequence)
        text = "Errors written to the journal since the supervisor's start, by class."
        told = CounterMetricFamily("tbot_errors", text, labels=["error_class"])
        for name, count in sorted(errors.classes.items()):
            told.add_metric([name], count)
        yield told

    def _read_journal(self) -> ErrorTally | None:
        """Return what the journal tells, None where it cannot be read: whoever works with it reports why."""
        try:
            if self._errors is None:
                path = self._sources.records.journal
                reader = self._open.enter_context(open_reader(path, busy_seconds=_READER_BUSY_SECONDS))
                self._errors = ErrorTally(reader)
            self._errors.refresh()
        except JournalError:
            return None
        return self._errors


def registry_of(collector: BotCollector) -> CollectorRegistry:
    """Return a registry of our own: the bot's families, and memory, CPU and open files of the process (Linux)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


def gauge(name: str, text: str, value: float | bool | None) -> GaugeMetricFamily:  # noqa: FBT001 - a figure like others
    """Return a family of one sample without labels, or of none where nothing is known."""
    return GaugeMetricFamily(name, text, value=None if value is None else float(value))


def counter(name: str, text: str, value: int) -> CounterMetricFamily:
    """Return a counter of one sample; `name` without its `_total`."""
    return CounterMetricFamily(name, text, value=value)


def by_label(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    """Return a family with one sample for each value of `label`."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def supervisor_families(facts: SupervisorFacts, now: Instant) -> Iterator[Metric]:
    """Yield what the supervisor knows of itself and of its day."""
    yield gauge("tbot_supervisor_uptime_seconds", "Time since the supervisor started.", _age(facts.started_at, now))
    text = "Time since the supervisor's loop came round; it does so four times a second."
    yield gauge("tbot_supervisor_loop_age_seconds", text, _age(facts.loop_at, now))
    text = "Time since systemd's watchdog was fed; no sample where systemd does not ask for it."
    yield gauge("tbot_watchdog_age_seconds", text, _age(facts.watchdog_at, now))
    yield counter(
        "tbot_runner_restarts",
        "Runners that had to be started again since the supervisor's start.",
        facts.runner_restarts,
    )
    planned = 0 if facts.plan is None else len(facts.plan.due)
    sessions = {"planned": float(planned), **{outcome.value: float(facts.count(outcome)) for outcome in Outcome}}
    text = "Sessions of the trading day in hand: planned, and what became of them."
    yield by_label("tbot_sessions", text, "outcome", sessions)
    upcoming = facts.next_session
    at = None if upcoming is None or facts.clock is None else facts.clock.real_at(upcoming.windows.start) / SECOND
    text = "When the next session of the day in hand starts, by the machine's clock; no sample where there is none."
    yield gauge("tbot_next_session_start_timestamp_seconds", text, at)
    text = "Whether the exchange is open, by the clock the bot trades on."
    yield gauge("tbot_market_open", text, facts.market_open)
    rotated = None if facts.rotated_at is None else facts.rotated_at / SECOND
    text = "When the logs were last rotated without a failure; no sample before the first time."
    yield gauge("tbot_log_rotation_timestamp_seconds", text, rotated)


def runner_families(beat: Beat | None, now: Instant, *, alive: int | None) -> Iterator[Metric]:
    """Yield how the session's runner is; `alive` is who holds its lock, None where nobody does."""
    yield gauge("tbot_runner_running", "Whether a session's runner is at work.", alive is not None)
    age = None if beat is None or alive is None else max(age_seconds(beat, now), 0.0)
    text = "Time since the running runner's decision loop came round; no sample where none runs."
    yield gauge("tbot_runner_heartbeat_age_seconds", text, age)
    due = None if beat is None or alive is None or not beat.data_due else max((now - beat.data_due) / SECOND, 0.0)
    text = "Time since market data should have come, by the machine's clock; no sample where none is needed."
    yield gauge("tbot_data_overdue_seconds", text, due)


def control_families(home: Path, control: ControlFolder) -> Iterator[Metric]:
    """Yield what people have asked for."""
    text = "Whether the kill switch is engaged: nothing trades until it is lifted."
    yield gauge("tbot_kill_switch_engaged", text, bool(engaged(home, control.folder)))
    pending = {flag.value: float(control.peek(flag) is not None) for flag in Flag}
    yield by_label("tbot_control_flag_pending", "Whether a control flag waits to be obeyed.", "flag", pending)


def disk_families(home: Path) -> Iterator[Metric]:
    """Yield how much room the disk of the home folder has."""
    try:
        free: int | None = shutil.disk_usage(home).free
    except OSError:
        free = None
    yield gauge("tbot_disk_free_bytes", "Room on the disk of the bot's home folder.", free)


def status_families(status: BotStatus, now: Instant) -> Iterator[Metric]:
    """Yield what the status file tells."""
    yield StateSetMetricFamily(
        "tbot_state", "What the bot does now.", {state.value: state is status.state for state in BotState}
    )
    yield gauge("tbot_status_age_seconds", "Time since the status file was written.", _age(status.written_at, now))
    yield gauge("tbot_test_mode", "Whether the bot runs in test mode, without real money.", status.test_mode)
    yield gauge("tbot_defense_mode", "Whether defense mode is on: fewer and smaller trades.", status.defense_mode)
    text = "Whether something keeps the session from opening positions."
    yield gauge("tbot_entries_suspended", text, bool(status.entries_suspended))
    text = "Market time since the session's last complete bars; no sample before the first."
    yield gauge("tbot_data_age_seconds", text, status.data_age_seconds)
    yield gauge("tbot_candidates", "Symbols that the present session watches.", status.candidates)
    each = "of the present session; begins anew with each session."
    yield counter("tbot_signals", f"Signals {each}", status.signaled)
    yield counter("tbot_entries", f"Positions opened {each}", status.entered)
    yield counter("tbot_exits", f"Positions closed {each}", status.exited)
    yield counter("tbot_rejections", f"Signals and orders refused {each}", status.rejected)
    yield counter("tbot_api_retries", f"Repeated broker and data requests {each}", status.api_retries)
    yield from broker_families(status)


def broker_families(status: BotStatus) -> Iterator[Metric]:
    """Yield positions, results and connections by broker."""
    realized = {one.broker: float(one.pnl) for one in status.realized}
    names = sorted({*realized, *(one.name for one in status.brokers), *(one.broker for one in status.positions)})
    held = Counter(position.broker for position in status.positions)
    yield by_label(
        "tbot_positions_open", "Positions that the bot holds now.", "broker", {name: held[name] for name in names}
    )
    unrealized = {
        name: float(sum((one.unrealized_pnl or ZERO for one in status.positions if one.broker == name), ZERO))
        for name in names
    }
    text = "Result before fees of the open positions that have a price."
    yield by_label("tbot_unrealized_profit_usd", text, "broker", unrealized)
    text = "Result after fees of the present session's closed positions."
    yield by_label("tbot_realized_profit_usd", text, "broker", {name: realized.get(name, 0.0) for name in names})
    connected = {one.name: float(one.connected) for one in status.brokers}
    yield by_label("tbot_broker_connected", "Whether the broker's connection is up.", "broker", connected)
    halted = {one.name: float(one.halted) for one in status.brokers}
    yield by_label("tbot_broker_halted", "Whether trading at the broker is halted.", "broker", halted)
    latency = {one.name: one.latency_ms / 1000 for one in status.brokers if one.latency_ms is not None}
    text = "Median time the broker took to answer; no sample where none was measured."
    yield by_label("tbot_broker_latency_seconds", text, "broker", latency)
    slow = {one.name: one.latency_p95_ms / 1000 for one in status.brokers if one.latency_p95_ms is not None}
    text = "Time that 95 of 100 answers of the broker did not exceed."
    yield by_label("tbot_broker_latency_p95_seconds", text, "broker", slow)
    slowest = {one.name: one.latency_p99_ms / 1000 for one in status.brokers if one.latency_p99_ms is not None}
    text = "Time that 99 of 100 answers of the broker did not exceed."
    yield by_label("tbot_broker_latency_p99_seconds", text, "broker", slowest)
    impaired = {one.name: float(one.state != "ok") for one in status.brokers}
    text = "Whether the watchdog finds the broker degraded or down: no entries there."
    yield by_label("tbot_broker_impaired", text, "broker", impaired)
    ages = {one.name: one.heartbeat_age_seconds for one in status.brokers if one.heartbeat_age_seconds is not None}
    text = "Age of the broker's last answer; no sample before the first."
    yield by_label("tbot_broker_heartbeat_age_seconds", text, "broker", ages)


def _age(at: Instant | None, now: Instant) -> float | None:
    """Return seconds from `at` to `now`; a clock that was set back makes no negative age."""
    return None if at is None else max((now - at) / SECOND, 0.0)
