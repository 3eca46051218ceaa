"""What the journal knows that defense mode is judged by: results, floats, moves of money, kills.

Of each session the latest run counts, as in the files for people; of the day that is judged its own run, because
a rehearsal knows nothing of the rehearsals before it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from typing import Final

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.commands import EngageKillSwitch, Output, TradeRecord
from tbot_bot.core.events import AccountsRead
from tbot_bot.core.identity import SessionId, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.engaged import KillSwitchEngaged
from tbot_bot.journal.released import KillSwitchReleased
from tbot_bot.journal.session_log import decided_in
from tbot_bot.journal.store import JournalReader, Row
from tbot_bot.reporting.noted import DeadManReport
from tbot_bot.trading.defense import (
    KILL_DAYS,
    WIN_RATE_DAYS,
    FloatRead,
    History,
    KillEngaged,
    MoneyMoved,
    ReserveRead,
    TradeClosed,
    first_of_trading_days,
)
from tbot_bot.trading.float_bot import RESERVE
from tbot_bot.treasury.records import ROW_NAMES, Outcome, TransfersAuthorized, TransferSettled

_TELLING: Final = tuple(f'"{kind.__name__}"' for kind in (TradeRecord, EngageKillSwitch))
"""In a payload that is worth reading: most rows hold neither."""
_DEAD_MAN: Final = f'"{DeadManReport.__name__}"'
_READING: Final = f'{{"_":"{AccountsRead.__name__}"'
_ENGAGED: Final = f'{{"_":"{KillSwitchEngaged.__name__}"'
_RELEASED: Final = f'{{"_":"{KillSwitchReleased.__name__}"'
_INPUTS_MAX: Final = 64
"""Inputs of a session among which its reading must be: it is the first, unless somebody had a request before."""
_SESSIONS_BACK: Final = 120
"""Sessions that are looked through for the last reading of a broker, newest first: two months."""
_UNCLOSED: Final = "unclosed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is judged, and how far back."""

    day: date
    """New York's."""
    run: int = 1
    brokers: tuple[str, ...] = ()
    since: int = 0
    """Row of the entry into defense mode: all that came after it belongs to the history; 0: it is not in it."""
    anew: bool = False
    """Accounts are opened anew each day, as the embedded ones of test mode are."""
    floats_after: int = 0
    """Readings up to this row do not count."""
    reserve: tuple[ReserveRead, ...] = ()
    """Nothing in the journal tells them yet."""


@dataclass(slots=True)
class _Told:
    """What sessions said, by session."""

    trades: dict[str, tuple[str, TradeClosed]] = field(default_factory=dict)
    """By trade: (session, its last record)."""
    kills: list[tuple[SessionId, int]] = field(default_factory=list)
    """(session, row)."""


def history_of(journal: JournalReader, moment: Moment) -> History:
    """Return the history up to `moment`.

    Raises:
        JournalError: the journal cannot be read.
        NotATradingDay: the calendar does not reach so far back.
    """
    try:
        return _history_of(journal, moment)
    except CodecError as error:
        mend = "If a newer version wrote it, start that version again; else run `tbot journal verify`."
        raise JournalError(f"a row cannot be read: {error}", where=str(journal.path), mend=mend) from error


def _history_of(journal: JournalReader, moment: Moment) -> History:
    first = min(moment.day - timedelta(days=WIN_RATE_DAYS - 1), first_of_trading_days(moment.day, KILL_DAYS))
    days = (first + timedelta(days=offset) for offset in range((moment.day - first).days + 1))
    names = dict.fromkeys(name for day in days for name in journal.sessions_of(day))
    floats, read_in = _floats(journal, moment)
    names.update(dict.fromkeys(read_in))
    if moment.since:
        names.update(dict.fromkeys(row.session for row in journal.rows(moment.since, kind=Kind.SESSION)))
    counted = _counted(names, moment)
    told = _Told()
    for name in names:
        _read_session(journal, SessionId.parse(name), told)
    return History(
        day=moment.day,
        brokers=moment.brokers,
        trades=tuple(trade for session, trade in told.trades.values() if session in counted),
        floats=floats,
        reserve=moment.reserve,
        moves=tuple(_moves(journal)),
        kills=tuple(_kills(journal, told.kills, counted)),
    )


def _counted(names: Iterable[str], moment: Moment) -> frozenset[str]:
    latest: dict[tuple[date, StrategyName], SessionId] = {}
    for name in names:
        session = SessionId.parse(name)
        if session.day == moment.day and session.run != moment.run:
            continue
        known = latest.get((session.day, session.strategy))
        if known is None or known.run < session.run:
            latest[session.day, session.strategy] = session
    return frozenset(map(str, latest.values()))


def _read_session(journal: JournalReader, session: SessionId, told: _Told) -> None:
    name = str(session)
    for row in journal.rows(session=name, kind=Kind.COMMAND):
        if any(mark in row.payload for mark in _TELLING):
            decided = decided_in(row)
            _take(session, row, () if decided is None else decided.outputs, told)
    for row in journal.rows(session=name, kind=Kind.ERROR):
        report = loads(row.payload) if _DEAD_MAN in row.payload else None
        if isinstance(report, DeadManReport):
            _take(session, row, report.trades, told)


def _take(session: SessionId, row: Row, outputs: Sequence[Output], told: _Told) -> None:
    for output in outputs:
        if isinstance(output, EngageKillSwitch):
            told.kills.append((session, row.seq))
        elif isinstance(output, TradeRecord) and output.entered_at is not None and output.error_code != _UNCLOSED:
            told.trades[output.trade_id] = (
                str(session),
                TradeClosed(
                    row=row.seq,
                    at=output.at,
                    day=exchange_time(output.at).date(),
                    trade_id=output.trade_id,
                    session=str(session),
                    broker=output.broker,
                    pnl=output.pnl,
                ),
            )


def _floats(journal: JournalReader, moment: Moment) -> tuple[tuple[FloatRead, ...], tuple[str, ...]]:
    """Return the first and the last reading of each broker, and the sessions of the last: their results come after."""
    if moment.anew:
        own = (SessionId.parse(name) for name in journal.sessions_of(moment.day))
        names = [str(session) for session in own if session.run == moment.run]
        found = tuple(read for name in names for read in _readings(journal, name, moment))
        return found, tuple(names)
    sessions = journal.sessions()
    first = _one_of_each(journal, sessions, moment)
    last = _one_of_each(journal, tuple(islice(reversed(sessions), _SESSIONS_BACK)), moment)
    reads = {read.row: read for _, read in (*first, *last)}
    return tuple(reads.values()), tuple(name for name, _ in last)


def _one_of_each(journal: JournalReader, names: Sequence[str], moment: Moment) -> list[tuple[str, FloatRead]]:
    """Return the reading of each broker that comes first in `names`."""
    found: dict[str, tuple[str, FloatRead]] = {}
    for name in names:
        for read in _readings(journal, name, moment):
            found.setdefault(read.broker, (name, read))
        if len(found) == len(moment.brokers):
            break
    return list(found.values())


def _readings(journal: JournalReader, name: str, moment: Moment) -> Iterator[FloatRead]:
    """Yield what was read when session `name` began, of the brokers that matter."""
    for row in islice(journal.rows(session=name, kind=Kind.INPUT), _INPUTS_MAX):
        read = loads(row.payload) if row.payload.startswith(_READING) else None
        if isinstance(read, AccountsRead):
            if row.seq > moment.floats_after:
                for account in read.accounts:
                    if account.broker in moment.brokers:
                        yield FloatRead(row=row.seq, broker=account.broker, equity=account.equity)
            return


def _moves(journal: JournalReader) -> Iterator[MoneyMoved]:
    """Yield the transfers that were carried out; each was allowed by somebody, for a reason on record."""
    allowed: dict[str, TransfersAuthorized] = {}
    for row in journal.rows(session="", kind=Kind.CONTROL):
        found = loads(row.payload) if row.payload.startswith(ROW_NAMES) else None
        if isinstance(found, TransfersAuthorized):
            allowed.update({one.transfer_id: found for one in found.transfers})
        elif isinstance(found, TransferSettled) and found.outcome is Outcome.DONE and found.transfer_id in allowed:
            authorization = allowed[found.transfer_id]
            one = next(part for part in authorization.transfers if part.transfer_id == found.transfer_id)
            cause, day = f"{authorization.by}: {authorization.why}", exchange_time(found.at).date()
            for name, amount in ((one.source, -one.amount), (one.destination, one.amount)):
                yield MoneyMoved(row=row.seq, name="" if name == RESERVE else name, amount=amount, day=day, cause=cause)


def _kills(
    journal: JournalReader, engaged: Sequence[tuple[SessionId, int]], counted: frozenset[str]
) -> Iterator[KillEngaged]:
    """Yield each engagement once, however many sessions of a day say it.

    A session says it on its day. What was engaged outside a session counts on its own day, in New York, or on the day
    of its release where the journal knows only of that.
    """
    releases: list[tuple[int, Instant]] = []
    outside: dict[int, tuple[int, Instant]] = {}
    for line in journal.rows(session="", kind=Kind.CONTROL):
        if not line.payload.startswith((_RELEASED, _ENGAGED)):
            continue
        found = loads(line.payload)
        if isinstance(found, KillSwitchReleased):
            releases.append((line.seq, found.at))
        elif isinstance(found, KillSwitchEngaged):
            outside.setdefault(len(releases), (line.seq, found.at))
    said = {(sum(seq < row for seq, _ in releases), session.day): (session, row) for session, row in engaged}
    for session, row in said.values():
        if str(session) in counted:
            yield KillEngaged(row=row, day=session.day)
    spoken = {number for number, _ in said}
    for number, (seq, at) in {**dict(enumerate(releases)), **outside}.items():
        if number not in spoken:
            yield KillEngaged(row=seq, day=exchange_time(at).date())


__all__ = ["Moment", "history_of"]
