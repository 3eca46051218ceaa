"""The ledger put together: which books an installation keeps, and what the other rooms lend to them."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from tbot_bot.accounting.accounting_api import Booked, book, mark_day
from tbot_bot.accounting.accounting_config import Backup, BooksConfig, no_backup
from tbot_bot.accounting.entries import StoredEntry
from tbot_bot.accounting.ledger_reader import Balance, DayState, LedgerReader, Mark, open_ledger_reader
from tbot_bot.accounting.units import spelled
from tbot_bot.accounting.verify import Reach, Verdict, verify
from tbot_bot.config.choices import LedgerExportMode
from tbot_bot.config.error_handler import JournalError, TbotError
from tbot_bot.config.settings import Settings
from tbot_bot.core.codec import Json
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import iso
from tbot_bot.journal.store import JournalReader, open_reader
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.ledger_statements import statements


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """A ledger at one moment, for people."""

    path: Path
    mode: Mode
    entries: int
    booked_to: int
    journal_head: int
    """The journal's last row."""
    balances: tuple[Balance, ...]
    days: tuple[DayState, ...]


def config_of(records: OutputPaths, backup: Backup = no_backup) -> BooksConfig:
    """Return what the books beside `records` are made with."""
    return BooksConfig(mode=records.mode, ledger=records.ledger, journal=records.journal, backup=backup)


def books_of(home: Path, mode: Mode, settings: Settings | None = None) -> BooksConfig:
    """Return the books of `mode` below `home`; with `settings` that hold a key, each writing is backed up before."""
    return config_of(records := records_for(home, mode, test_mode=False), _backup_with(settings, records))


def _backup_with(settings: Settings | None, records: OutputPaths) -> Backup:
    """Return what backs the ledger up; nothing does without a key to seal it with."""
    from tbot_bot.runtime import backup_job  # noqa: PLC0415 - looking needs none

    if settings is None or not backup_job.wanted(settings):
        return no_backup

    def back_up(_: Path) -> None:
        from tbot_bot.reporting.auto_backup import back_up_ledger, room_of  # noqa: PLC0415 - heavy

        back_up_ledger(room_of(settings, records, wall_now))

    return back_up


def require_journal(config: BooksConfig) -> None:
    """Refuse where there is no journal.

    Raises:
        JournalError: there is none.
    """
    if not config.journal.exists():
        mend = "`tbot run --rehearsal --once` makes one."
        raise JournalError(f"there is no {config.mode} journal yet", where=str(config.journal), mend=mend)


def book_now(config: BooksConfig) -> Booked:
    """Book what the journal has beyond the last booking.

    Raises:
        TbotError: see `accounting_api.book`.
    """
    require_journal(config)
    return book(config, at=wall_now())


def book_after_day(settings: Settings, records: OutputPaths, journal: JournalReader, log: FilteringBoundLogger) -> None:
    """Book a day that ran in this process, unless the owner keeps no books; a failure is told, the day is over."""
    if settings.bot.ledger_export_mode is LedgerExportMode.OFF or records.mode is Mode.BACKTEST:
        return
    try:
        done = book(config_of(records, _backup_with(settings, records)), at=wall_now(), journal=journal)
    except TbotError as error:
        log.error("not_booked", error=str(error))  # noqa: TRY400 - the words say it all
        return
    for one in done.not_booked:
        log.warning("row_not_booked", row=one.journal_seq, session=one.session, why=one.why)
    log.info("booked", entries=done.entries, journal_row=done.journal_seq)
    from tbot_bot.runtime.ledger_export import try_after_day  # noqa: PLC0415 - once a day

    try_after_day(config_of(records), log)


def closing_lines(config: BooksConfig) -> tuple[str, ...]:
    """Return what the end of a day tells of the books: where they are and whether they balance; nothing without any."""
    if not config.ledger.exists():
        return ()
    try:
        view = look(config)
    except TbotError as error:
        return (f"ledger: {error}",)
    off = sum(one.amount for one in view.balances)
    return (f"ledger {config.ledger.name}: {view.entries} entries, trial balance {spelled(off)}",)


def look(config: BooksConfig) -> LedgerView:
    """Return the ledger as it stands.

    Raises:
        LedgerError, JournalError: one of them cannot be read.
    """
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger_reader(config.ledger))
        head = 0
        if config.journal.exists():
            head = stack.enter_context(open_reader(config.journal)).head().seq
        number, _ = ledger.head()
        return LedgerView(
            path=config.ledger,
            mode=ledger.mode,
            entries=number,
            booked_to=ledger.booked_to(),
            journal_head=head,
            balances=ledger.balances(),
            days=tuple(ledger.days().values()),
        )


def prove(config: BooksConfig, reach: Reach | None = None) -> Verdict:
    """Compute the ledger again from the journal and compare.

    Raises:
        LedgerError, JournalError: one of them cannot be read.
    """
    require_journal(config)
    with open_ledger_reader(config.ledger) as ledger, open_reader(config.journal) as journal:
        return verify(ledger, journal, statements(config), reach)


def lock_day(
    config: BooksConfig, day: date, *, who: str, why: str, reopen: bool = False, decommission: bool = False
) -> DayState:
    """Lock `day`, open it again, or close it for good; return how it stands then.

    Raises:
        LedgerError: there is no ledger, it cannot be written, or the day is closed for good.
    """
    mark = Mark.REOPENED if reopen else Mark.DECOMMISSIONED if decommission else Mark.LOCKED
    mark_day(config, day, mark, at=wall_now(), who=who, why=why)
    with open_ledger_reader(config.ledger) as ledger:
        return ledger.days()[day]


def entry_json(stored: StoredEntry, ledger: LedgerReader) -> dict[str, Json]:
    """Return an entry with everything that it carries, for programs."""
    entry, state = stored.entry, ledger.days()[stored.entry.day]
    names = {one.guid: one.name for one in ledger.accounts()}
    lines: list[Json] = [
        {
            "guid": entry.line_guid(number),
            "account": names[line.account],
            "account_guid": line.account,
            "amount": spelled(line.amount),
            "instrument": line.instrument,
            "quantity": spelled(line.quantity, 0),
            "lot": line.lot,
        }
        for number, line in enumerate(entry.lines, start=1)
    ]
    return {
        "number": stored.number,
        "guid": entry.guid,
        "at": iso(entry.at),
        "day": entry.day.isoformat(),
        "template": entry.template.value,
        "text": entry.text,
        "trade_id": entry.trade_id,
        "confirmation": entry.confirmation,
        "strategy": entry.strategy,
        "source": entry.source.value,
        "broker": entry.broker,
        "session": entry.session,
        "reverses": entry.reverses,
        "journal_row": entry.journal_seq,
        "end_of_day_synced": stored.number <= state.synced_to,
        "reconciliation_passed": stored.number <= state.reconciled_to,
        "locked": state.locked,
        "lines": lines,
    }


__all__ = [
    "LedgerView",
    "book_now",
    "books_of",
    "config_of",
    "entry_json",
    "lock_day",
    "look",
    "prove",
    "require_journal",
]
