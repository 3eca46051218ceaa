"""What a rehearsal came to: the books of every broker, every fault with its alarm, the journal's own proofs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.calendar import exchange_time, new_york
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant, parse_iso
from tbot_bot.journal.store import open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.clock import CompressedClock
from tbot_bot.runtime.rehearsal import CASH_START, RehearsalRequest
from tbot_bot.runtime.rehearsal_audit import (
    BookLine,
    Heard,
    Journaled,
    compare,
    heard_after,
    read_accounts,
    read_journal,
    read_trades,
)
from tbot_bot.runtime.rehearsal_plan import Alarm, PlannedFault
from tbot_bot.runtime.replay import replay_day
from tbot_bot.sandbox.serving import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A fault that the sandbox says it has taken."""

    at: Instant
    """Market time."""
    vendor: str
    place: str
    kind: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLine:
    """One planned fault, and what came of it."""

    fault: str
    struck: int
    """How often; one that stands counts once."""
    alarm: str
    missed: tuple[str, ...]
    """Strikes after which nobody was told, or what was done all the same, in words."""

    @property
    def agrees(self) -> bool:
        """Return whether it was met, and heard of."""
        return self.struck > 0 and not self.missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be reported."""

    books: tuple[BookLine, ...]
    faults: tuple[FaultLine, ...]
    proofs: tuple[BookLine, ...]
    """Exit status, journal and replay."""
    orders: int
    executions: int
    trades: int
    alarms: int
    sessions: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Return whether nothing differs."""
        return not self.differing

    @property
    def differing(self) -> tuple[str, ...]:
        """Return what differs, in words."""
        sums = [
            f"{line.what}: {line.venue}, expected {line.ours}"
            for line in (*self.books, *self.proofs)
            if not line.agrees
        ]
        unmet = [f"{line.fault}: never met" for line in self.faults if not line.struck]
        return (*sums, *unmet, *(f"{line.fault}: {text}" for line in self.faults for text in line.missed))


def strikes_of(told: Json) -> tuple[Strike, ...]:
    """Read what `GET /faults/struck` says."""
    found = []
    for one in told if isinstance(told, list) else ():
        rule = one["rule"]
        found.append(
            Strike(
                at=parse_iso(one["at"]),
                vendor=one["vendor"],
                place=one["place"],
                kind=rule["kind"],
                status=int(rule.get("status", 503)),
            )
        )
    return tuple(found)


def judge_faults(
    planned: Sequence[PlannedFault], strikes: Sequence[Strike], ours: Journaled, clock: CompressedClock, day: date
) -> tuple[FaultLine, ...]:
    """Return each planned fault with what came of it; `clock` is the market's."""
    return tuple(
        _standing(one, ours, clock, day) if one.stands else _striking(one, strikes, ours, clock) for one in planned
    )


def _striking(one: PlannedFault, strikes: Sequence[Strike], ours: Journaled, clock: CompressedClock) -> FaultLine:
    rule = one.rule
    taken = [
        strike
        for strike in strikes
        if (strike.vendor, strike.place, strike.kind) == (rule.vendor, rule.place, rule.kind)
        and strike.status == rule.status
    ]
    missed = []
    if one.alarm is not Alarm.NONE:
        for strike in taken:
            at = int(clock.real_at(strike.at))
            if not _is_heard(ours, one, at, at):
                missed.append(f"no alarm ({one.alarm}) after {_clock(strike.at)}")
    return FaultLine(fault=one.name, struck=len(taken), alarm=one.alarm.value, missed=tuple(missed))


def _standing(one: PlannedFault, ours: Journaled, clock: CompressedClock, day: date) -> FaultLine:
    rule = one.rule
    assert rule.since is not None  # noqa: S101 - the plan's own
    assert rule.until is not None  # noqa: S101
    since, until = (new_york(day, at) for at in (rule.since, rule.until))
    missed: list[str] = []
    if one.alarm is not Alarm.NONE:
        first, last = int(clock.real_at(since)), int(clock.real_at(until))
        if not _is_heard(ours, one, first, last):
            missed = [f"no alarm ({one.alarm}) from {rule.since} to {rule.until}"]
    stood = int(any(since <= at < until for at in ours.told_at))
    return FaultLine(fault=one.name, struck=stood, alarm=one.alarm.value, missed=tuple(missed))


def _is_heard(ours: Journaled, one: PlannedFault, since: int, until: int) -> bool:
    if one.alarm is Alarm.LINK and ours.is_impaired(one.rule.vendor, since):
        return True
    return heard_after(_heard(ours, one.alarm), one.rule.vendor, since, until) is not None


def _heard(ours: Journaled, alarm: Alarm) -> Sequence[Heard]:
    link = [*ours.impaired, *ours.doubts]  # who meets an outage first is an order or the watchdog
    return {Alarm.DOUBT: ours.doubts, Alarm.REJECTED: ours.rejects, Alarm.LINK: link}.get(alarm, ())


def _clock(at: Instant) -> str:
    return exchange_time(at).strftime("%H:%M:%S")


def verdict_of(
    request: RehearsalRequest, planned: Sequence[PlannedFault], *, truth: Json, struck: Json, anchor: str, status: int
) -> Verdict:
    """Hold everything against everything; `status` is the supervisor's.

    Raises:
        JournalError: our own records cannot be read.
    """
    records = records_for(request.folder, Mode.LIVE, test_mode=True, force_paper_export=False)
    with open_reader(records.journal) as journal:
        ours = read_journal(journal)
        sessions = journal.sessions_of(request.day)
    trades = read_trades(records.trade_history_csv)
    accounts = read_accounts(truth)
    books = [line for account in accounts for line in compare(account, Decimal(CASH_START), ours, trades)]
    clock = CompressedClock.from_anchor(anchor, request.speed)
    return Verdict(
        books=tuple(books),
        faults=judge_faults(planned, strikes_of(struck), ours, clock, request.day),
        proofs=_proofs(request, records.journal, status, ours),
        orders=sum(len(account.orders) for account in accounts),
        executions=sum(account.fills for account in accounts),
        trades=len(trades),
        alarms=len(ours.doubts) + len(ours.rejects) + len(ours.impaired),
        sessions=tuple(sessions),
    )


def _proofs(request: RehearsalRequest, journal: Path, status: int, ours: Journaled) -> tuple[BookLine, ...]:
    report = verify(journal)
    try:
        replayed = replay_day(request.folder, request.day, Mode.PAPER).sessions
        differs = next((f"{one.session}: {one.difference}" for one in replayed if one.difference), "identical")
    except JournalError as error:  # no session was begun
        differs = str(error)
    return (
        BookLine(what="exit status of the supervisor", venue=str(status), ours="0"),
        BookLine(what="journal", venue="sound" if report.ok else report.problem or "damaged", ours="sound"),
        BookLine(what="replay", venue=differs, ours="identical"),
        BookLine(what="errors in the journal", venue=", ".join(ours.errors)[:300] or "none", ours="none"),
    )


__all__ = ["FaultLine", "Strike", "Verdict", "judge_faults", "strikes_of", "verdict_of"]
