"""Drives all files for people from the journal's records: as they are journaled, or all at once.

Both ways feed the same records in the order of the rows, so they leave the same bytes. Bars are on the tape
and not in rows; nothing here looks at them. Files are written when something happened that people wait for
(a phase, a refusal, the end of a trade or a session, an error), not at each bar.
"""

from collections.abc import Callable, Iterable
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core import commands, events
from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.commands import Decided
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind, Row
from tbot_bot.journal.store import JournalReader
from tbot_bot.reporting import daily_summary, session_report, trade_logger
from tbot_bot.reporting.atomic import RecordsError, append_lines, replace_file, settle_log
from tbot_bot.reporting.day_report import DayReport, day_report_of
from tbot_bot.reporting.disaster_log import write_disaster_log
from tbot_bot.reporting.facts import Item, Level, LogFormat, Remark
from tbot_bot.reporting.noted import DeadManReport, ErrorRaised, Noted, SessionSkipped
from tbot_bot.reporting.report_router import LiveRecordsRefused, OutputPaths
from tbot_bot.reporting.story import Stories
from tbot_bot.reporting.unresolved import UnresolvedOrders, line_of
from tbot_bot.trading.spec import SessionSpec

_MOMENTS: Final = (
    commands.PhaseEntered, commands.SignalDropped, commands.TradeOpened, commands.TradeRecord, commands.SessionEnded,
)  # fmt: skip


class _Log:
    """A log that grows. Its first write compares it with all that was told; later ones only append."""

    def __init__(self, path: Path, head: bytes = b"") -> None:
        self._path: Final = path
        self._pending = bytearray(head)
        self._settled = False

    def tell(self, lines: bytes) -> None:
        self._pending += lines

    def write(self) -> None:
        if self._settled:
            append_lines(self._path, bytes(self._pending))
        elif self._pending:
            settle_log(self._path, bytes(self._pending))
            self._settled = True
        self._pending.clear()


class Projector:
    """Keeps the files of one mode. Feed it everything from the journal's first row on, in order."""

    def __init__(self, records: OutputPaths, log_format: LogFormat = LogFormat.JSON, level: Level = Level.INFO) -> None:
        """Begin with an empty journal; nothing is written before the first flush."""
        self._records: Final = records
        self._format: Final = log_format
        self._level: Final = level
        self._stories = Stories(records.mode)
        self._unresolved: dict[SessionId | None, UnresolvedOrders] = {}
        head = session_report.header(log_format)
        self._logs: Final = {name: _Log(records.session_log(name), head) for name in StrategyName}
        self._unresolved_log: Final = _Log(records.unresolved_log)
        self._history_dirty = True
        self._summary_dirty = True

    def feed(self, session: SessionId | None, item: Item) -> None:
        """Take in the next record and write the files if it is something that people wait for.

        Raises:
            LiveRecordsRefused: a session in test mode is fed to live records.
            RecordsError: see `flush`; the record is taken in nevertheless.
        """
        if self._take(session, item):
            self.flush()

    def feed_rows(self, rows: Iterable[Row]) -> None:
        """Take in rows of the journal and write the files once, at the end.

        Raises:
            JournalError: a row's payload cannot be read.
            LiveRecordsRefused, RecordsError: see `feed`.
        """
        for row in rows:
            item = item_of(row)
            if item is not None:
                self._take(SessionId.parse(row.session) if row.session else None, item)
        self.flush()

    def flush(self) -> None:
        """Bring every file up to date.

        Raises:
            RecordsError: a file could not be written (the others are); the next flush tries again.
        """
        failures: list[RecordsError] = []
        for log in (*self._logs.values(), self._unresolved_log):
            self._try(log.write, failures)
        if self._history_dirty and self._try(self._write_history, failures):
            self._history_dirty = False
        if self._summary_dirty and self._try(self._write_summary, failures):
            self._summary_dirty = False
        if failures:
            raise failures[0]

    def day_report(self, day: date, *, took_seconds: float | None = None) -> DayReport:
        """Return the end report of `day`; `took_seconds` of a real clock, where the caller measured it."""
        return day_report_of(self._stories, day, files=self._records.for_people(), took_seconds=took_seconds)

    def _take(self, session: SessionId | None, item: Item) -> bool:
        """Take in one record; return whether people wait for it."""
        if isinstance(item, events.BarsClosed):
            return False
        if isinstance(item, SessionSpec) and item.test_mode and self._records.mode is Mode.LIVE:
            raise LiveRecordsRefused(
                f"session {item.session} runs in test mode, its records would be live",
                mend="Build paths with `records_for`, from the settings that the session runs with.",
            )
        if isinstance(item, SessionSkipped):
            session = SessionId(day=item.day, strategy=item.strategy)
        follower = self._unresolved.setdefault(session, UnresolvedOrders(session))
        for line in follower.feed(item):
            self._unresolved_log.tell(line_of(line))
        if session is not None:
            facts = session_report.facts_of(item)
            self._logs[session.strategy].tell(session_report.lines_of(session, facts, self._format, self._level))
            changed = self._stories.feed(session, item)
            self._history_dirty = self._history_dirty or changed
            self._summary_dirty = True
        if isinstance(item, Decided):
            return any(isinstance(told, _MOMENTS) for told in item.outputs)
        return isinstance(item, SessionSpec | DeadManReport | ErrorRaised | SessionSkipped)

    def _write_history(self) -> None:
        rows = tuple(self._stories.rows())
        replace_file(self._records.trade_history_csv, trade_logger.csv_of(rows))
        replace_file(self._records.trade_history_json, trade_logger.json_of(rows))

    def _write_summary(self) -> None:
        replace_file(self._records.daily_summary, daily_summary.json_of(self._stories))

    @staticmethod
    def _try(write: Callable[[], None], failures: list[RecordsError]) -> bool:
        try:
            write()
        except RecordsError as error:
            failures.append(error)
            return False
        return True


def rebuild(
    journal: JournalReader,
    records: OutputPaths,
    log_format: LogFormat = LogFormat.JSON,
    level: Level = Level.INFO,
    *,
    until: int | None = None,
) -> Projector:
    """Write every file anew from the whole journal and return the projector, ready for what comes next.

    A process calls this at its start: files that are already right are not touched, damaged ones are mended.
    Rows after number `until` are left for the caller to feed.

    Raises:
        JournalError, LiveRecordsRefused, RecordsError: see `Projector.feed_rows`.
    """
    projector = Projector(records, log_format, level)
    rows = journal.rows()
    projector.feed_rows(rows if until is None else takewhile(lambda row: row.seq <= until, rows))
    write_disaster_log(journal, records)
    return projector


def item_of(row: Row) -> Item | None:
    """Return the record in `row`, as projections want it; None for rows that no file shows.

    Raises:
        JournalError: the payload is not the record that the row's kind promises.
    """
    if row.kind not in {Kind.SESSION, Kind.INPUT, Kind.COMMAND, Kind.ERROR, Kind.NOTE}:
        return None
    at = Instant(row.at)
    try:
        found = loads(row.payload)
    except CodecError as error:
        if row.kind in {Kind.ERROR, Kind.NOTE}:
            return Noted(at=at, text=row.payload)
        raise JournalError(f"row {row.seq} cannot be read: {error}", mend="Run `tbot journal verify`.") from None
    if row.kind in {Kind.ERROR, Kind.NOTE}:
        return found if isinstance(found, Remark) else Noted(at=at, text=row.payload)
    if row.kind is Kind.SESSION and isinstance(found, SessionSpec):
        return found
    if row.kind is Kind.COMMAND and isinstance(found, Decided):
        return found
    if row.kind is Kind.INPUT and isinstance(found, events.Event):
        return found
    raise JournalError(f"row {row.seq} of kind {row.kind} holds a {type(found).__name__}")


__all__ = ["Projector", "item_of", "rebuild"]
