"""The status file while a session runs, written by the process that runs it."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tbot_bot.core.commands import BrokerHalted, Decided
from tbot_bot.core.events import EarlierToday, Event, LinkState
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.journal.store import JournalReader
from tbot_bot.reporting.atomic import RecordsError
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.status_builder import ProcessFacts, StatusBuilder
from tbot_bot.reporting.status_logger import BotState, BrokerLink, OpenCircuit, write_status
from tbot_bot.runtime.canary_told import canary_of
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.watchdog_bot import LinkBoard, LinkReading
from tbot_bot.trading.spec import SessionSpec

WRITE_AT_LEAST_EVERY: Final = 2 * SECOND
"""Real time; the spec asks for five seconds at most."""


class RunnerStatus:
    """Follows the session and keeps `status_bot.json` fresh: at each change, and at least every two seconds."""

    has_read_journal = False

    def __init__(
        self,
        records: OutputPaths,
        spec: SessionSpec,
        journal: JournalReader,
        *,
        version: str,
        complain: Callable[[str], None],
        links: LinkBoard | None = None,
    ) -> None:
        """`complain` hears of a status file that cannot be written; `links` says how the brokers are."""
        self._records, self._journal, self._version, self._complain = records, journal, version, complain
        self._builder = StatusBuilder(spec)
        self._canary = canary_of(journal, spec.day)
        self._links = links or LinkBoard()
        self._halted = {broker.name: broker.halted for broker in spec.brokers}
        self._changed = True
        self._broken = ""
        self._written_at = Instant(0)

    def session(self, spec: SessionSpec) -> None:
        """Begin anew with `spec`."""
        self._builder = StatusBuilder(spec)
        self._changed = True

    def event(self, _: SessionId, event: Event, /) -> None:
        """Take note of an input."""
        self._builder.feed(event)
        if isinstance(event, EarlierToday):
            self._halted |= {broker: True for broker, _ in event.halted if broker in self._halted}

    def decided(self, _: SessionId, decided: Decided, /) -> None:
        """Take note of an answer."""
        self._builder.feed(decided)
        for output in decided.outputs:
            if isinstance(output, BrokerHalted):
                self._halted[output.broker] = True
        self._changed = True

    def write(self, broken: str) -> None:
        """Write the file where something has changed or it has grown old; `broken`: why nothing can be journaled."""
        now = wall_now()
        self._changed = self._changed or broken != self._broken
        self._broken = broken
        if not self._changed and 0 <= now - self._written_at < WRITE_AT_LEAST_EVERY:
            return
        facts = ProcessFacts(
            version=self._version,
            pid=os.getpid(),
            written_at=now,
            journal_sequence=self._journal.head().seq,
            brokers=tuple(self._link(name, halted=halted) for name, halted in self._halted.items()),
            circuits=self._circuits(),
            canary=self._canary,
        )
        try:
            status = self._builder.build(facts)
            if broken:
                status = replace(status, state=BotState.ERROR, state_reason=broken)
            write_status(self._records, status)
        except RecordsError as error:
            self._complain(str(error))
            return
        self._changed, self._written_at = False, now

    def _circuits(self) -> tuple[OpenCircuit, ...]:
        return tuple(
            OpenCircuit(
                broker=name,
                endpoint=one.endpoint,
                failures=one.failures,
                open_seconds=round(one.open_seconds, 1),
                problem=one.problem,
            )
            for name, found in sorted(self._links.circuits.items())
            for one in found
        )

    def _link(self, name: str, *, halted: bool) -> BrokerLink:
        found = self._links.readings.get(name, LinkReading())
        return BrokerLink(
            name=name,
            connected=found.state is not LinkState.DOWN,
            halted=halted,
            latency_ms=_milliseconds(found.p50),
            latency_p95_ms=_milliseconds(found.p95),
            latency_p99_ms=_milliseconds(found.p99),
            state=found.state.value,
            reason=found.reason,
            heartbeat_age_seconds=None if found.silent is None else round(found.silent, 1),
            clock_drift_seconds=None if found.drift is None else round(found.drift / SECOND, 3),
        )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
