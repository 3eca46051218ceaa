"""Rows of the journal as notices: what each kind of row means to a person who is not there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from tbot_bot.config.error_handler import ALERT_FROM
from tbot_bot.config.error_handler import Severity as ErrorSeverity
from tbot_bot.config.scrub import scrub
from tbot_bot.core import events
from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.commands import Decided, Severity
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.journal.alerts import AlertAsked
from tbot_bot.journal.chain import Kind, Row
from tbot_bot.journal.engaged import KillSwitchEngaged
from tbot_bot.journal.released import KillSwitchReleased
from tbot_bot.journal.started import ProcessStarted
from tbot_bot.journal.store import JournalReader
from tbot_bot.reporting.noted import DeadManReport, ErrorRaised, Noted, SessionSkipped
from tbot_bot.trading.defense_state import DefenseEntered, DefenseLeft
from tbot_bot.trading.notifier_bot import KILL_KEY, Notice, Topic, Wishes, notices_of, rejected

_QUIET_KINDS: Final = frozenset({Kind.SESSION, Kind.SETTINGS})
_REJECTED: Final = f'{{"_":"{events.OrderRejected.__name__}"'
_TELLING: Final = ('"RaiseAlert"', '"EngageKillSwitch"', '"BrokerHalted"', '"TradeOpened"', '"TradeRecord"',
                   '"SignalDropped"')  # fmt: skip
"""An answer without any of these tells nobody anything, and need not be decoded: most hold none."""
_BY_CODE: Final = (("BACKUP", Topic.BACKUP), ("CANARY", Topic.CANARY), ("RECONCIL", Topic.RECONCILIATION))
_REMARKS: Final = (
    ("the disk is low", Topic.NOTICE, Severity.WARNING),
    ("the disk has room again", Topic.NOTICE, Severity.INFO),
    ("housekeeping failed", Topic.NOTICE, Severity.WARNING),
    ("the settings cannot be used", Topic.NOTICE, Severity.WARNING),
    ("stop asked by", Topic.HALT, Severity.INFO),
)
"""Remarks of the supervisor that are worth telling, by how they begin."""
_TITLE_MAX: Final = 120
_Maker = Callable[[Topic, Severity, str, str, str], Notice]


@dataclass(slots=True, kw_only=True)
class Watch:
    """Reads rows in order. What it remembers of sessions under way it looks up again after a restart."""

    journal: JournalReader
    wishes: Wishes
    traded: set[date] = field(default_factory=set)
    """Days of which a session was seen and no summary told."""

    def notices(self, row: Row) -> Iterator[Notice]:
        """Yield what `row` holds for a person, without secrets."""
        for notice in self._notices(row):
            yield Notice(
                at=notice.at,
                seq=notice.seq,
                topic=notice.topic,
                severity=notice.severity,
                key=scrub(notice.key),
                title=scrub(" ".join(notice.title.split()))[:_TITLE_MAX],
                text=scrub(notice.text),
            )

    def _notices(self, row: Row) -> Iterator[Notice]:
        if row.session:
            self._note_day(row.session)
        if not _may_tell(row):
            return
        try:
            found = loads(row.payload)
        except CodecError:
            return  # of a newer version, or a text: it stands in the journal
        match found:
            case Decided():
                yield from notices_of(found, row.seq, self.wishes)
            case events.OrderRejected():
                yield rejected(found, row.seq)
            case ProcessStarted():
                notice = self._started(found, row)
                if notice is not None:
                    yield notice
            case _:
                notice = _remark(found, row)
                if notice is not None:
                    yield notice

    def _note_day(self, session: str) -> None:
        try:
            self.traded.add(SessionId.parse(session).day)
        except ValueError:
            return

    def _started(self, started: ProcessStarted, row: Row) -> Notice | None:
        """Return the notice of a supervisor's start, or of a runner's that is not its session's first."""
        if started.process == "supervisor":
            return Notice(
                at=started.at, seq=row.seq, topic=Topic.RESTART, severity=Severity.INFO, key=f"start:{row.seq}",
                title="the bot has started", text=f"version {started.version}, code {started.code_fingerprint[:12]}",
            )  # fmt: skip
        if started.process != "runner" or not row.session:
            return None
        starts = [one.seq for one in self.journal.rows(session=row.session, kind=Kind.START) if one.seq <= row.seq]
        if len(starts) < 2:  # noqa: PLR2004 - the first start of a session is no news
            return None
        return Notice(
            at=Instant(row.recorded_at), seq=row.seq, topic=Topic.RESTART, severity=Severity.WARNING,
            key=f"restart:{row.session}:{len(starts)}", title=f"the runner of {row.session} was started again",
            text=f"restart {len(starts) - 1}; it has recovered from the journal. Why: `tbot journal tail`",
        )  # fmt: skip


def _may_tell(row: Row) -> bool:
    if row.kind in _QUIET_KINDS:
        return False
    if row.kind is Kind.INPUT:
        return row.payload.startswith(_REJECTED)
    if row.kind is Kind.COMMAND:
        return any(name in row.payload for name in _TELLING)
    return True


def _remark(found: object, row: Row) -> Notice | None:  # noqa: C901 - one case for each kind of remark
    about = f"{row.session}: " if row.session else ""

    def notice(topic: Topic, severity: Severity, key: str, title: str, text: str) -> Notice:
        at = Instant(row.recorded_at)
        return Notice(at=at, seq=row.seq, topic=topic, severity=severity, key=key, title=f"{about}{title}", text=text)

    match found:
        case AlertAsked():
            topic, severity = _topic(found.topic), _severity(found.severity)
            return notice(topic, severity, f"{topic}:{found.title}:{found.text}", found.title, found.text)
        case ErrorRaised():
            return _error(found, notice)
        case KillSwitchEngaged():
            return notice(Topic.KILL, Severity.CRITICAL, KILL_KEY, "the kill switch is engaged",
                          f"by {found.by} ({found.source}): {found.why}")  # fmt: skip
        case KillSwitchReleased():
            return notice(Topic.KILL, Severity.INFO, f"release:{row.seq}", "the kill switch is released",
                          f"by {found.by}: {found.why}; it had been engaged {found.engaged}")  # fmt: skip
        case DefenseEntered():
            limits = ", ".join(f"{one.name} {one.normal} to {one.adjusted}" for one in found.limits)
            return notice(Topic.DEFENSE, Severity.CRITICAL, f"defense:{row.seq}", "defense mode begins",
                          f"by {found.by}: {found.why}. Limits: {limits or 'as they were'}")  # fmt: skip
        case DefenseLeft():
            return notice(Topic.DEFENSE, Severity.INFO, f"defense:{row.seq}", "defense mode ends",
                          f"by {found.by}: {found.why}")  # fmt: skip
        case DeadManReport():
            closed = " ".join(trade.trade_id for trade in found.trades) or "no trade"
            left = f". LEFT for a person: {'; '.join(found.left)}" if found.left else ", nothing is left"
            return notice(Topic.WATCHDOG, Severity.CRITICAL, f"dead_man:{row.seq}", "closed without a runner",
                          f"{found.why}; cancelled {len(found.cancelled)} orders, closed {closed}{left}")  # fmt: skip
        case SessionSkipped():
            return notice(Topic.NOTICE, Severity.INFO, f"skipped:{found.day}:{found.strategy}",
                          f"session {found.strategy} of {found.day} does not take place", found.reason)  # fmt: skip
        case Noted():
            known = next((one for one in _REMARKS if found.text.startswith(one[0])), None)
            if known is None:
                return None
            head, _, rest = found.text.partition(":")
            return notice(known[1], known[2], f"{known[1]}:{found.text}", head, rest.strip() or found.text)
        case _:
            return None


def _error(found: ErrorRaised, notice: _Maker) -> Notice | None:
    known = found.severity in set(ErrorSeverity)
    if known and not ErrorSeverity(found.severity).at_least(ALERT_FROM):
        return None
    loud = Severity.CRITICAL if found.severity == ErrorSeverity.CRITICAL else Severity.WARNING
    topic = next((topic for words, topic in _BY_CODE if found.code.startswith(words)), Topic.ERROR)
    broker = f" at {found.broker}" if found.broker else ""
    where = f"{found.where}: " if found.where else ""
    title = f"{found.error_class}{broker}: {found.text.partition(chr(10))[0][:80]}"
    return notice(topic, loud, f"error:{found.code}:{where}{found.text}", title, f"{found.code}. {where}{found.text}")


def _topic(name: str) -> Topic:
    return Topic(name) if name in set(Topic) else Topic.NOTICE


def _severity(name: str) -> Severity:
    return Severity(name) if name in set(Severity) else Severity.WARNING


__all__ = ["Watch"]
