"""Reconciling a day with its brokers: ask each, compare, leave the report, and note in the ledger what was found.

Simulated accounts are read where the venue keeps them. A real account is asked for what it holds now, so only the last
day that traded there can be compared with it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tbot_bot.accounting.accounting_api import mark_day
from tbot_bot.accounting.accounting_config import BooksConfig
from tbot_bot.accounting.day_books import DayBooks, day_books
from tbot_bot.accounting.ledger_reader import Mark, open_ledger_reader
from tbot_bot.accounting.reconciliation import (
    BrokerReconciliation,
    Difference,
    LedgerSays,
    ToldByBroker,
    is_of_these,
    reconcile,
)
from tbot_bot.accounting.units import dollars_of
from tbot_bot.accounting.verify import books_at
from tbot_bot.broker.venue_store import venue_path
from tbot_bot.config.error_handler import BrokerError, JournalError, MachineError, TbotError
from tbot_bot.config.scrub import scrub
from tbot_bot.config.settings import Settings
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.errors import BrokerProblem
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.core.instants import Instant, later, seconds
from tbot_bot.core.protocols import Broker
from tbot_bot.journal.store import JournalReader, open_reader
from tbot_bot.reporting.atomic import replace_file
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.reporting.shapes import text_of, to_plain
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.dead_man import venue_at
from tbot_bot.runtime.foreign_watch import foreign_orders_of
from tbot_bot.runtime.ledger_desk import config_of

IBKR_CLIENT_ID: Final = 32_002
"""Beyond what `IBKR_CLIENT_ID` may be, and not the one that only knocks: a runner that is at work keeps its own."""
ALPACA: Final = "alpaca"
IBKR: Final = "ibkr"
SECONDS_MAX: Final = 60.0
"""Real time for one broker."""
_BEFORE_THE_BELL: Final = seconds(12 * 3_600)
FORM: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreached:
    """A broker that could not be compared at all, and why."""

    broker: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """A day's report, as it stands in `output/summaries/reconciliation_<mode>_<day>.json`."""

    form: int
    mode: Mode
    day: date
    at: Instant
    """When the brokers were asked, real time."""
    passed: bool
    """Every broker was asked, and nothing differs."""
    locked: bool
    """The ledger's day is locked."""
    brokers: tuple[BrokerReconciliation, ...]
    unreached: tuple[Unreached, ...]

    @property
    def differences(self) -> tuple[tuple[str, Difference], ...]:
        """Return each difference with its broker."""
        return tuple((one.broker, found) for one in self.brokers for found in one.differences)

    def lines(self) -> tuple[str, ...]:
        """Return what is wrong, in words; nothing where it passed."""
        found = [f"{broker}: {one.text}" for broker, one in self.differences]
        return (*found, *(f"{one.broker}: not compared: {one.why}" for one in self.unreached))


def last_day(records: OutputPaths) -> date:
    """Return the last day of which the journal has a session.

    Raises:
        JournalError: there is no journal, or no session in it.
    """
    with open_journal(records) as journal:
        return _last_day(journal, records)


def open_journal(records: OutputPaths) -> JournalReader:
    """Open the journal.

    Raises:
        JournalError: there is none, or it cannot be read.
    """
    if not records.journal.exists():
        mend = "`tbot run --rehearsal --once` makes one."
        raise JournalError(f"there is no {records.mode} journal yet", where=str(records.journal), mend=mend)
    return open_reader(records.journal)


def _last_day(journal: JournalReader, records: OutputPaths) -> date:
    days = [SessionId.parse(name).day for name in journal.sessions()]
    if not days:
        mend = "`tbot run` trades the next one."
        raise JournalError("there is no session in the journal", where=str(records.journal), mend=mend)
    return max(days)


async def reconcile_day(settings: Settings, records: OutputPaths, day: date) -> Reconciliation | None:
    """Compare `day`, write the report, and mark and lock the ledger's day; None: no session of that day.

    Raises:
        TbotError: journal or ledger cannot be read, or the settings are not those of these books.
        OSError: the report cannot be written.
    """
    with open_journal(records) as journal:
        books = day_books(journal, day)
        newest = _last_day(journal, records)
    if not books:
        return None
    if any(one.is_real for one in books.values()):
        _require_settings_of(settings, records, day, newest)
    config = config_of(records)
    ledger = _ledger(config, day, books)
    found: list[BrokerReconciliation] = []
    unreached: list[Unreached] = []
    for name, one in books.items():
        try:
            told = await asyncio.wait_for(_told(settings, records, one, day), SECONDS_MAX)
            found.append(reconcile(one, told, ledger.get(name)))
        except TimeoutError:
            unreached.append(Unreached(broker=name, why=f"no answer within {SECONDS_MAX:g} s"))
        except (TbotError, BrokerProblem) as problem:
            unreached.append(Unreached(broker=name, why=scrub(str(problem))))
    passed = not unreached and all(one.passed for one in found)
    locked = _note(config, day, settings, tuple(found), passed=passed)
    made = Reconciliation(
        form=FORM, mode=records.mode, day=day, at=wall_now(), passed=passed, locked=locked,
        brokers=tuple(found), unreached=tuple(unreached),
    )  # fmt: skip
    path = records.reconciliation(day)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{text_of(to_plain(made), indent=2)}\n".encode())
    return made


def _require_settings_of(settings: Settings, records: OutputPaths, day: date, newest: date) -> None:
    bot = settings.bot
    mine = records_for(settings.home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export)
    if mine.mode is not records.mode:
        mend = "Set TEST_MODE and FORCE_PAPER_EXPORT as they were on that day."
        raise BrokerError(f"the settings keep {mine.mode} books, and these are {records.mode} ones", mend=mend)
    if day != newest:
        mend = f"What {day.isoformat()} came to stands in {records.reconciliation(day).name}, if it was compared."
        raise BrokerError(
            f"a real account tells what it holds now, and {newest.isoformat()} has traded there since", mend=mend
        )


# --- what the brokers say ---------------------------------------------------------------------------------------------


async def _told(settings: Settings, records: OutputPaths, books: DayBooks, day: date) -> ToldByBroker:
    async with _opened(settings, records, books) as broker:
        if books.broker == IBKR and books.is_real:
            await _require_same_day(broker, day)
        since = Instant(0) if books.since is None else later(books.since, -_BEFORE_THE_BELL)
        orders = list(await broker.orders_since(since))
        untold = {*books.orders} - {one.client_order_id for one in orders}
        looked_up = [await broker.order_by_client_id(name) for name in sorted(untold)]
        orders += [one for one in looked_up if one is not None]
        return ToldByBroker(
            orders=orders,
            fills=[one for one in await broker.fills_since(since) if is_of_these(books, one.client_order_id)],
            foreign_orders=await foreign_orders_of(broker),
            positions=await broker.positions(),
            account=await broker.account(),
            charges_fees_later=books.is_real and books.broker == ALPACA,
        )


@asynccontextmanager
async def _opened(settings: Settings, records: OutputPaths, books: DayBooks) -> AsyncIterator[Broker]:
    broker = _broker(settings, records, books)
    try:
        if books.is_real:
            await broker.connect()
        yield broker
    finally:
        await broker.close()


def _broker(settings: Settings, records: OutputPaths, books: DayBooks) -> Broker:
    if books.is_real:
        from tbot_bot.runtime.live_brokers import live_broker  # noqa: PLC0415 - imports client libraries

        return live_broker(books.broker, settings, now=wall_now, note=lambda _: None, ibkr_client_id=IBKR_CLIENT_ID)
    session = books.sessions[-1]
    path = venue_of(records, session, books.broker)
    venue = venue_at(path, books.broker, None) if path.exists() else None
    if venue is None:
        mend = "A dry run keeps its account in memory; `tbot run` keeps it on disk."
        raise MachineError("the simulated account was not kept", where=str(path), mend=mend)
    return venue


def venue_of(records: OutputPaths, session: SessionId, broker: str) -> Path:
    """Return where the embedded venue of a session's day keeps its books."""
    folder = records.home / "output" / "venue" / f"{session.day.isoformat()}_{session.run}"
    return folder / venue_path(folder, broker, records.mode).name


async def _require_same_day(broker: Broker, day: date) -> None:
    """Refuse a day that the broker has forgotten.

    Raises:
        BrokerError: it is another day there.
    """
    there = await broker.clock()
    today = None if there is None else exchange_time(there).date()
    if today is not None and today != day:
        mend = "Look at its statement of that day."
        raise BrokerError(f"it tells executions and fees of {today.isoformat()} only", where=broker.name, mend=mend)


# --- the ledger -------------------------------------------------------------------------------------------------------


def _ledger(config: BooksConfig, day: date, books: Mapping[str, DayBooks]) -> Mapping[str, LedgerSays]:
    """Return what the ledger holds at each broker at the end of `day`; nothing where it does not know the day."""
    if not config.ledger.exists():
        return {}
    with open_ledger_reader(config.ledger) as ledger:
        if day not in ledger.days():
            return {}
        stored = list(ledger.entries())
        found: dict[str, LedgerSays] = {}
        for name, one in books.items():
            if config.mode is Mode.LIVE and not one.is_real:
                continue
            cash, positions = books_at(stored, ledger, day, name)
            held = {symbol: dollars_of(quantity) for symbol, quantity in positions.items()}
            found[name] = LedgerSays(cash=dollars_of(cash), positions=held)
        return found


def _note(
    config: BooksConfig, day: date, settings: Settings, found: tuple[BrokerReconciliation, ...], *, passed: bool
) -> bool:
    """Mark the ledger's day as reconciled, and lock it outside test mode; return whether it is locked."""
    if not config.ledger.exists():
        return False
    with open_ledger_reader(config.ledger) as ledger:
        state = ledger.days().get(day)
        number, _ = ledger.head()
    if state is None or not passed:
        return state is not None and state.locked
    who = "reconciliation"
    if state.reconciled_to < number and not state.locked:
        mark_day(config, day, Mark.RECONCILED, at=wall_now(), who=who, why=f"{len(found)} brokers agree")
    if state.locked or settings.bot.test_mode or not all(one.complete for one in found):
        return state.locked
    mark_day(config, day, Mark.LOCKED, at=wall_now(), who=who, why="the brokers agree with the books")
    return True


__all__ = ["Reconciliation", "Unreached", "last_day", "open_journal", "reconcile_day", "venue_of"]
