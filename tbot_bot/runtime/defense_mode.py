"""Defense mode at work: judged before and after each session, journaled once, applied to the next specification.

The state lives in the journal; settings are never written. Whoever judges or decides holds `defense.lock`, so that
two processes that come to the same conclusion leave one row.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

from tbot_bot.assembly.session_parts import defense_rules
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal, JournalReader
from tbot_bot.reporting.atomic import RecordsError
from tbot_bot.reporting.disaster_log import defense_rows, write_disaster_log
from tbot_bot.reporting.noted import Noted
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.defense_history import Moment, history_of
from tbot_bot.runtime.locks import AlreadyRunning, Lock
from tbot_bot.trading.defense import Trigger
from tbot_bot.trading.defense_limits import NormalLimits, adjusted, limits_text, reduced
from tbot_bot.trading.defense_state import (
    SETTING,
    AdjustedLimit,
    DefenseChange,
    DefenseEntered,
    DefenseLeft,
    Judgement,
    Standing,
    change_of,
    judge,
    person_found,
    standing_of,
)
from tbot_bot.trading.spec import SessionSpec

DEFENSE_LOCK: Final = "defense.lock"
BY_ITSELF: Final = "tbot"
_PATIENCE_SECONDS: Final = 10.0
_EMBEDDED: Final = "sim"


class DefenseRefused(TbotError):
    """A person's decision that cannot be carried out; nothing was changed."""

    code = "DEFENSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefenseRoom:
    """What judging needs."""

    bot: BotSettings
    records: OutputPaths
    journal: Journal
    control: Path
    warn: Callable[[str, str], None]
    """Takes an alert's title and text, and what could not be written for people."""


class DefenseBook:
    """Follows the journal's rows of defense mode; asking again reads only what has come since."""

    def __init__(self, journal: JournalReader) -> None:
        """Nothing is read yet."""
        self._journal = journal
        self._read = 0
        self._standing = Standing()

    def standing(self) -> Standing:
        """Return what the rows come to by now.

        Raises:
            JournalError: they cannot be read.
        """
        head = self._journal.head().seq
        for row, change in defense_rows(self._journal, self._read):
            self._standing = self._standing.after(row, change)
            head = max(head, row)
        self._read = head
        return self._standing


def adjusted_limits(bot: BotSettings) -> tuple[AdjustedLimit, ...]:
    """Return the limits of `bot` as they are otherwise and in defense mode."""
    normal = NormalLimits(
        total_allocation=bot.total_allocation,
        max_risk_per_trade=bot.max_risk_per_trade,
        max_trades=bot.max_trades,
        max_concurrent_per_broker=bot.max_concurrent_trades_per_broker,
        max_open_positions=bot.max_open_positions,
    )
    return adjusted(normal, defense_rules(bot))


def in_defense(journal: JournalReader | None, bot: BotSettings) -> bool:
    """Return whether the bot defends itself now: floats are not scaled up then, and the reserve gives nothing.

    Raises:
        JournalError: its rows cannot be read.
    """
    return bot.defense_mode_active or (journal is not None and standing_of(defense_rows(journal)).active)


def records_of(home: Path, bot: BotSettings) -> OutputPaths:
    """Return the records that the bot of these settings writes: its journal is what is judged, and no other."""
    return records_for(home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export)


def moment_of(bot: BotSettings, journal: JournalReader) -> Moment:
    """Return what a person who asks now means: today; in test mode, where days are rehearsed, the last day."""
    if not bot.test_mode:
        return _moment(bot, exchange_time(wall_now()).date(), 1)
    sessions = journal.sessions()
    if not sessions:
        return _moment(bot, exchange_time(wall_now()).date(), 1)
    last = SessionId.parse(sessions[-1])
    return _moment(bot, last.day, last.run)


def look(bot: BotSettings, journal: JournalReader, moment: Moment) -> Judgement:
    """Return how things stand at `moment`; nothing is written.

    Raises:
        JournalError: the journal cannot be read.
    """
    standing = standing_of(defense_rows(journal))
    after = standing.disregard.get(Trigger.FLOAT_DRAWDOWN, 0)
    history = history_of(journal, replace(moment, since=standing.since, floats_after=after))
    return judge(history, standing, forced=bot.defense_mode_active)


def review(room: DefenseRoom, session: SessionId, *, at: Instant) -> Judgement:
    """Judge before or after `session`, journal what that changes, and return how things stand then.

    Raises:
        JournalError: the journal cannot be read or written.
        AlreadyRunning: another process has been at it for too long.
    """
    with _alone(room.control):
        judged = look(room.bot, room.journal, _moment(room.bot, session.day, session.run))
        change = change_of(judged, at=at, by=BY_ITSELF, limits=adjusted_limits(room.bot))
        return judged if change is None else _written(room, judged, change)


def defended(room: DefenseRoom, spec: SessionSpec) -> SessionSpec:
    """Return the specification of a session that is about to begin as defense mode wants it.

    Raises:
        JournalError, AlreadyRunning: see `review`.
    """
    judged = review(room, spec.session, at=spec.windows.screen_at)
    return reduced(spec, defense_rules(room.bot)) if judged.active else spec


def enter(room: DefenseRoom, *, by: str, why: str) -> Judgement:
    """Enter defense mode by a person's word; where it has a cause of its own already, nothing changes.

    Raises:
        DefenseRefused: without a reason.
        JournalError, AlreadyRunning: see `review`.
    """
    _require_reason(why, "enter")
    with _alone(room.control):
        judged = look(room.bot, room.journal, moment_of(room.bot, room.journal))
        if judged.standing.active and not judged.standing.by_setting_alone:
            return judged
        found = (*judged.holding, person_found(why.strip()))
        limits = adjusted_limits(room.bot)
        change = DefenseEntered(at=wall_now(), day=judged.day, by=by, why=why.strip(), triggers=found, limits=limits)
        return _written(room, judged, change)


def leave(room: DefenseRoom, *, by: str, why: str, anyway: bool) -> Judgement:
    """Leave defense mode by a person's word; `anyway`: although a trigger holds, which then looks ahead only.

    Raises:
        DefenseRefused: there is nothing to leave, the setting forces it, a trigger holds, or there is no reason.
        JournalError, AlreadyRunning: see `review`.
    """
    _require_reason(why, "leave")
    where = "tbot defense leave"
    with _alone(room.control):
        judged = look(room.bot, room.journal, moment_of(room.bot, room.journal))
        if judged.forced:
            mend = f'Take it back first: tbot config set {SETTING}=false --why "..."'
            raise DefenseRefused(f"{SETTING} is true, which forces defense mode", where=where, mend=mend)
        if not judged.standing.active:
            raise DefenseRefused("the bot is not in defense mode; there is nothing to leave", where=where)
        if judged.holding and not anyway:
            reasons = "; ".join(f"{found.trigger}: {found.text}" for found in judged.holding)
            mend = "It would be entered again at once. --anyway overrides that: a person's decision, on record."
            raise DefenseRefused(f"a trigger still holds: {reasons}", where=where, mend=mend)
        change = DefenseLeft(at=wall_now(), day=judged.day, by=by, why=why.strip(), overridden=judged.holding)
        return _written(room, judged, change)


def _moment(bot: BotSettings, day: date, run: int) -> Moment:
    embedded = bot.test_mode and bot.test_mode_venue.value == "simulator"
    return Moment(day=day, run=run, brokers=bot.enabled_brokers or (_EMBEDDED,), anew=embedded)


def _require_reason(why: str, command: str) -> None:
    if not why.strip():
        where = f"tbot defense {command}"
        raise DefenseRefused("a reason is needed", where=where, mend=f'Give one: {where} --why "..."')


def _written(room: DefenseRoom, judged: Judgement, change: DefenseChange) -> Judgement:
    """Journal `change`, tell people, and return what stands then."""
    now = wall_now()
    title, text = words_of(change)
    room.journal.append(
        [
            Entry.of(change, kind=Kind.CONTROL, at=change.at, recorded_at=now),
            Entry.of(Noted(at=change.at, text=f"{title}: {text}"), kind=Kind.NOTE, at=change.at, recorded_at=now),
        ]
    )
    room.warn(title, text)
    try:
        write_disaster_log(room.journal, room.records)
    except RecordsError as error:  # the next start writes it
        room.warn("the disaster log is behind", str(error))
    return replace(judged, standing=standing_of(defense_rows(room.journal)))


def words_of(change: DefenseChange) -> tuple[str, str]:
    """Return title and text of the alert that `change` is."""
    if isinstance(change, DefenseEntered):
        return "defense mode begins", f"{change.why} (by {change.by}); {limits_text(change.limits)}"
    over = "".join(f"; although {found.text}" for found in change.overridden)
    return "defense mode ends", f"{change.why} (by {change.by}){over}"


@contextmanager
def _alone(control: Path) -> Iterator[None]:
    """Keep others from judging meanwhile; they take a moment, so one waits for them.

    Raises:
        AlreadyRunning: they have been at it for too long.
    """
    until = monotonic_seconds() + _PATIENCE_SECONDS
    lock = Lock(control / DEFENSE_LOCK)
    while True:
        try:
            lock.take()
            break
        except AlreadyRunning:
            if monotonic_seconds() > until:
                raise
    try:
        yield
    finally:
        lock.release()


__all__ = [
    "DefenseBook",
    "DefenseRefused",
    "DefenseRoom",
    "adjusted_limits",
    "defended",
    "defense_rules",
    "enter",
    "in_defense",
    "leave",
    "look",
    "moment_of",
    "records_of",
    "review",
    "words_of",
]
