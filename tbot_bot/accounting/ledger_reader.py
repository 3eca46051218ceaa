"""Reading a ledger while others may write it: entries, lots, balances, days. A method reads one state of the file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

from tbot_bot.accounting.entries import LedgerEntry, LedgerLine, Source, StoredEntry, Template, genesis
from tbot_bot.accounting.ledger_files import LedgerError, connect, failure
from tbot_bot.accounting.ledger_schema import Account, AccountKind, Role, chart_order
from tbot_bot.accounting.lots import Lot
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant

BUSY_SECONDS: Final = 10.0
ENTRY_COLUMNS: Final = (
    "number, guid, at, day, template, source, broker, trade_id, confirmation, strategy, session, journal_seq, reverses,"
    " text, previous_hash, hash"
)
_PAGE: Final = 2_000
Value = int | str | bytes


class Mark(StrEnum):
    """What can be found of a day."""

    SYNCED = "synced"
    """All that the journal knew of it at its end is booked."""
    RECONCILED = "reconciled"
    """Cash and positions were what the brokers said."""
    LOCKED = "locked"
    REOPENED = "reopened"
    DECOMMISSIONED = "decommissioned"
    """Closed for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayMark:
    """One mark."""

    number: int
    day: date
    mark: Mark
    last_entry: int
    """Number of the ledger's last entry when it was made: entries of the day up to it are meant."""
    final_at: Instant
    """Time of the day's last entry; 0 where it has none."""
    at: Instant
    """Real time of the mark."""
    who: str
    why: str
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DayState:
    """How a day stands."""

    day: date
    entries: int
    locked: bool
    status: str
    """ACTIVE, or DECOMMISSIONED where it is closed for good."""
    final_at: Instant
    synced_to: int
    """Entries of the day up to this number are synced; 0: none."""
    reconciled_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What an account holds, in units."""

    account: Account
    amount: int


class LedgerReader:
    """Reads a ledger while others write it."""

    def __init__(self, path: Path, connection: apsw.Connection, mode: Mode) -> None:
        """Take over `connection`; use `open_ledger_reader` or `Ledger.open`."""
        self.path: Final = path
        self.mode: Final = mode
        self._connection = connection

    def __enter__(self) -> Self:
        """Return itself; the end of the block closes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self._connection.close()

    def head(self) -> tuple[int, bytes]:
        """Return number and hash of the last entry; 0 and the genesis where there is none."""
        for number, digest in self._ask("SELECT number, hash FROM entries ORDER BY number DESC LIMIT 1"):
            return int(number), _bytes(digest)
        return 0, genesis(self.mode)

    def booked_to(self) -> int:
        """Return the journal's row up to which everything is booked."""
        return int(self._ask("SELECT coalesce(max(journal_seq), 0) FROM bookings")[0][0])

    def has(self, guid: str) -> bool:
        """Return whether the entry is there."""
        return bool(self._ask("SELECT 1 FROM entries WHERE guid = ?", guid))

    def entry(self, guid: str) -> LedgerEntry | None:
        """Return the entry; None where it is not there."""
        query = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE guid = ?"  # noqa: S608 - names are constants
        return next((stored.entry for stored in self._with_lines(self._ask(query, guid))), None)

    def amount_on(self, account: str) -> int:
        """Return what the account with this GUID holds, in units."""
        return int(self._ask("SELECT coalesce(sum(amount), 0) FROM lines WHERE account = ?", account)[0][0])

    def entries(self, *, day: date | None = None, after: int = 0, trade_id: str = "") -> Iterator[StoredEntry]:
        """Yield the entries above number `after` in order, of one day or trade where asked."""
        where: list[str] = ["number > ?"]
        values: list[Value] = []
        if day is not None:
            where, values = [*where, "day = ?"], [*values, day.isoformat()]
        if trade_id:
            where, values = [*where, "trade_id = ?"], [*values, trade_id]
        query = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE {' AND '.join(where)} ORDER BY number LIMIT {_PAGE}"  # noqa: S608 - names are constants
        while True:
            page = self._ask(query, after, *values)
            yield from self._with_lines(page)
            if len(page) < _PAGE:
                return
            after = int(page[-1][0])

    def moves(self, broker: str, instrument: str) -> list[LedgerEntry]:
        """Return the entries that moved `instrument` at `broker`, oldest first."""
        query = (
            f"SELECT {ENTRY_COLUMNS} FROM entries WHERE broker = ? AND number IN"  # noqa: S608 - names are constants
            " (SELECT entry FROM lines WHERE instrument = ?) ORDER BY number"
        )
        return [stored.entry for stored in self._with_lines(self._ask(query, broker, instrument))]

    def venues(self) -> dict[str, str]:
        """Return the account behind each broker as its last opening or reset names it."""
        query = "SELECT broker, confirmation FROM entries WHERE template IN ('opening', 'reset') ORDER BY number"
        return {str(broker): str(confirmation) for broker, confirmation in self._ask(query)}

    def open_lots(self) -> list[Lot]:
        """Return what is held, oldest first."""
        query = (
            "WITH open AS (SELECT lot, sum(quantity) AS quantity, sum(amount) AS cost FROM lines WHERE lot <> ''"
            " GROUP BY lot HAVING sum(quantity) <> 0)"
            " SELECT open.lot, entries.broker, lines.instrument, open.quantity, open.cost, lines.quantity, lines.amount"
            " FROM open JOIN lines ON lines.guid = open.lot JOIN entries ON entries.number = lines.entry"
            " ORDER BY lines.entry, lines.number"
        )
        return [
            Lot(
                guid=str(guid), broker=str(broker), instrument=str(instrument), quantity=int(quantity), cost=int(cost),
                opened_quantity=int(opened), opened_cost=int(opened_cost),
            )
            for guid, broker, instrument, quantity, cost, opened, opened_cost in self._ask(query)
        ]  # fmt: skip

    def accounts(self) -> tuple[Account, ...]:
        """Return every account that was ever booked on, in the chart's order."""
        query = "SELECT guid, role, kind, broker, name, title FROM accounts"
        found = [
            Account(
                guid=str(guid), role=Role(str(role)), kind=AccountKind(str(kind)), broker=str(broker), name=str(name),
                title=str(title),
            )
            for guid, role, kind, broker, name, title in self._ask(query)
        ]  # fmt: skip
        return tuple(sorted(found, key=chart_order))

    def balances(self) -> tuple[Balance, ...]:
        """Return the trial balance: what each account holds."""
        sums = {
            str(guid): int(amount) for guid, amount in self._ask("SELECT account, sum(amount) FROM lines GROUP BY 1")
        }
        return tuple(Balance(account=one, amount=sums.get(one.guid, 0)) for one in self.accounts())

    def marks(self) -> Iterator[DayMark]:
        """Yield what was found of the days, in order."""
        query = (
            "SELECT number, day, mark, last_entry, final_at, at, who, why, previous_hash, hash FROM marks"
            " ORDER BY number"
        )
        for number, day, mark, last, final_at, at, who, why, previous, digest in self._ask(query):
            yield DayMark(
                number=int(number), day=date.fromisoformat(str(day)), mark=Mark(str(mark)), last_entry=int(last),
                final_at=Instant(int(final_at)), at=Instant(int(at)), who=str(who), why=str(why),
                previous_hash=_bytes(previous), hash=_bytes(digest),
            )  # fmt: skip

    def days(self) -> Mapping[date, DayState]:
        """Return how each day stands that has entries or marks, by day."""
        counts = {
            date.fromisoformat(str(day)): (int(count), int(last))
            for day, count, last in self._ask("SELECT day, count(*), max(at) FROM entries GROUP BY day")
        }
        marks: dict[date, list[DayMark]] = {}
        for mark in self.marks():
            marks.setdefault(mark.day, []).append(mark)
        return {day: _state(day, counts.get(day, (0, 0)), marks.get(day, [])) for day in sorted({*counts, *marks})}

    def dump(self) -> Iterator[str]:
        """Yield the SQL that makes tables and rows again, then what guards them."""
        query = "SELECT type, name, sql FROM sqlite_master WHERE sql <> '' ORDER BY rowid"
        made = [(str(kind), str(name), str(sql)) for kind, name, sql in self._ask(query)]
        tables = [name for kind, name, _ in made if kind == "table"]
        yield from (f"{sql};" for kind, _, sql in made if kind == "table")
        for table in tables:
            for row in self._ask(f"SELECT * FROM {table}"):  # noqa: S608 - a table's own name
                values = ", ".join(apsw.format_sql_value(value) for value in row)
                yield f"INSERT INTO {table} VALUES ({values});"  # noqa: S608 - each value is quoted
        yield from (f"{sql};" for kind, _, sql in made if kind != "table")

    def _with_lines(self, page: Sequence[tuple[Value, ...]]) -> Iterator[StoredEntry]:
        if not page:
            return
        lines: dict[int, list[LedgerLine]] = {}
        query = (
            "SELECT entry, account, amount, instrument, quantity, lot FROM lines WHERE entry BETWEEN ? AND ?"
            " ORDER BY entry, number"
        )
        numbers = [int(row[0]) for row in page]
        for entry, guid, amount, instrument, quantity, lot in self._ask(query, min(numbers), max(numbers)):
            line = LedgerLine(
                account=str(guid), amount=int(amount), instrument=str(instrument), quantity=int(quantity), lot=str(lot)
            )
            lines.setdefault(int(entry), []).append(line)
        for row in page:
            yield self._entry(row, tuple(lines.get(int(row[0]), ())))

    def _entry(self, row: tuple[Value, ...], lines: tuple[LedgerLine, ...]) -> StoredEntry:
        (
            number, guid, at, day, template, source, broker, trade_id, confirmation, strategy, session, seq, reverses,
            text, previous, digest,
        ) = row  # fmt: skip
        try:
            entry = LedgerEntry(
                guid=str(guid), at=Instant(int(at)), day=date.fromisoformat(str(day)), template=Template(str(template)),
                source=Source(str(source)), broker=str(broker), trade_id=str(trade_id), confirmation=str(confirmation),
                strategy=str(strategy), session=str(session), journal_seq=int(seq), reverses=str(reverses),
                text=str(text), lines=lines,
            )  # fmt: skip
        except ValueError as error:
            mend = "`tbot ledger verify` compares it with the journal."
            raise LedgerError(
                f"entry {int(number)} cannot be read: {error}", where=str(self.path), mend=mend
            ) from error
        return StoredEntry(number=int(number), entry=entry, previous_hash=_bytes(previous), hash=_bytes(digest))

    def _ask(self, query: str, *values: Value) -> list[tuple[Value, ...]]:
        try:
            return list(self._connection.execute(query, values))
        except apsw.Error as error:
            raise failure(self.path, error) from error


def open_ledger_reader(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> LedgerReader:
    """Open the ledger at `path` for reading only.

    Raises:
        LedgerError: there is none, or it cannot be trusted.
    """
    connection, mode = connect(path, writable=False, busy_seconds=busy_seconds)
    return LedgerReader(path, connection, mode)


def _state(day: date, counted: tuple[int, int], marks: Sequence[DayMark]) -> DayState:
    locks = [mark for mark in marks if mark.mark in {Mark.LOCKED, Mark.REOPENED, Mark.DECOMMISSIONED}]
    last = locks[-1].mark if locks else Mark.REOPENED
    return DayState(
        day=day,
        entries=counted[0],
        locked=last is not Mark.REOPENED,
        status="DECOMMISSIONED" if last is Mark.DECOMMISSIONED else "ACTIVE",
        final_at=Instant(counted[1]),
        synced_to=max((mark.last_entry for mark in marks if mark.mark is Mark.SYNCED), default=0),
        reconciled_to=max((mark.last_entry for mark in marks if mark.mark is Mark.RECONCILED), default=0),
    )


def _bytes(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    msg = f"bytes expected, not {value!r}"
    raise TypeError(msg)


__all__ = [
    "BUSY_SECONDS", "ENTRY_COLUMNS", "Balance", "DayMark", "DayState", "LedgerReader", "Mark", "Value",
    "open_ledger_reader",
]  # fmt: skip
