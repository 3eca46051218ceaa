"""The ledger for auditors and spreadsheets: every line, results by day, positions at each day's end, a dump.

Amounts are dollars, never rounded; a debit is positive. The first row names the columns.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final

from tbot_bot.accounting.entries import StoredEntry
from tbot_bot.accounting.ledger_files import APPLICATION_ID, SCHEMA_VERSION
from tbot_bot.accounting.ledger_reader import DayState, LedgerReader
from tbot_bot.accounting.ledger_schema import Role
from tbot_bot.accounting.units import spelled
from tbot_bot.core.instants import iso

AUDIT_COLUMNS: Final = (
    "entry", "entry_guid", "time", "day", "template", "source", "broker", "trade_id", "confirmation", "strategy",
    "session", "journal_row", "reverses", "text", "hash", "end_of_day_synced", "reconciliation_passed", "locked",
    "line", "line_guid", "account", "account_guid", "amount", "instrument", "quantity", "lot",
)  # fmt: skip
_FORMULA: Final = re.compile(r"[=+@\t\r]|-(?![\d.]+$)")
"""What spreadsheets run; a negative number is none."""
RESULTS: Final = {
    Role.GAINS: "gains_as_decided",
    Role.SLIPPAGE: "slippage",
    Role.FEES: "broker_fees",
    Role.BORROW: "borrow_fees",
    Role.DIVIDENDS: "dividends",
    Role.INTEREST: "interest",
    Role.TIMEOUTS: "timeout_penalties",
    Role.INFRASTRUCTURE: "infrastructure",
}
"""Columns of the results, each what it added to the result: an expense is negative."""


def csv_line(cells: Iterable[str]) -> str:
    """Return one row; a cell that a spreadsheet would take for a formula is kept from it by an apostrophe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([f"'{one}" if _FORMULA.match(one) else one for one in cells])
    return text.getvalue()


def audit_csv_lines(ledger: LedgerReader) -> Iterator[str]:
    """Yield one row for each line of each entry, with everything that the ledger holds of it."""
    yield csv_line(AUDIT_COLUMNS)
    for cells in _audit_rows(ledger):
        yield csv_line(cells)


def audit_json_lines(ledger: LedgerReader) -> Iterator[str]:
    """Yield one JSON object: accounts, entries with their lines and hashes, and what was found of the days."""
    accounts = [
        {"guid": one.guid, "name": one.name, "kind": one.kind.value, "broker": one.broker, "title": one.title}
        for one in ledger.accounts()
    ]
    names = {one.guid: one.name for one in ledger.accounts()}
    days = ledger.days()
    yield "{"
    yield f'"ledger": {_json(ledger.path.name)}, "mode": {_json(ledger.mode.value)}, "unit": "USD",'
    yield f'"accounts": {_json(accounts)},'
    yield '"entries": ['
    before = ""
    for stored in ledger.entries():
        if before:
            yield f"{before},"
        before = _entry_json(stored, days[stored.entry.day], names)
    if before:
        yield before
    yield "],"
    marks = [
        {
            "day": one.day.isoformat(), "mark": one.mark.value, "last_entry": one.last_entry, "at": iso(one.at),
            "who": one.who, "why": one.why, "hash": one.hash.hex(),
        }
        for one in ledger.marks()
    ]  # fmt: skip
    yield f'"marks": {_json(marks)}'
    yield "}"


def _entry_json(stored: StoredEntry, state: DayState, names: dict[str, str]) -> str:
    head = dict(zip(AUDIT_COLUMNS[:18], _entry_cells(stored, state), strict=True))
    lines = [
        dict(zip(AUDIT_COLUMNS[18:], _line_cells(stored, number, names), strict=True))
        for number in range(1, len(stored.entry.lines) + 1)
    ]
    return _json(head | {"previous_hash": stored.previous_hash.hex(), "lines": lines})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _audit_rows(ledger: LedgerReader) -> Iterator[list[str]]:
    names = {one.guid: one.name for one in ledger.accounts()}
    days = ledger.days()
    for stored in ledger.entries():
        head = _entry_cells(stored, days[stored.entry.day])
        for number in range(1, len(stored.entry.lines) + 1):
            yield [*head, *_line_cells(stored, number, names)]


def _entry_cells(stored: StoredEntry, state: DayState) -> list[str]:
    entry = stored.entry
    return [
        str(stored.number), entry.guid, iso(entry.at), entry.day.isoformat(), entry.template.value, entry.source.value,
        entry.broker, entry.trade_id, entry.confirmation, entry.strategy, entry.session, str(entry.journal_seq),
        entry.reverses, entry.text, stored.hash.hex(), _yes(stored.number <= state.synced_to),
        _yes(stored.number <= state.reconciled_to), _yes(state.locked),
    ]  # fmt: skip


def _line_cells(stored: StoredEntry, number: int, names: dict[str, str]) -> list[str]:
    entry, line = stored.entry, stored.entry.lines[number - 1]
    return [
        str(number), entry.line_guid(number), names[line.account], line.account, spelled(line.amount), line.instrument,
        spelled(line.quantity, 0) if line.instrument else "", line.lot,
    ]  # fmt: skip


def _yes(value: object) -> str:
    return "true" if value else "false"


def result_lines(ledger: LedgerReader) -> Iterator[str]:
    """Yield the result of each day and broker; the last column adds up over all days."""
    yield csv_line(("day", "broker", *RESULTS.values(), "result", "result_so_far"))
    accounts = {one.guid: one for one in ledger.accounts()}
    sums: dict[tuple[date, str], dict[Role, int]] = {}
    for stored in ledger.entries():
        for line in stored.entry.lines:
            role = accounts[line.account].role
            if role in RESULTS:
                of_day = sums.setdefault((stored.entry.day, stored.entry.broker), {})
                of_day[role] = of_day.get(role, 0) - line.amount
    so_far = 0
    for (day, broker), parts in sorted(sums.items()):
        result = sum(parts.values())
        so_far += result
        cells = [spelled(parts.get(role, 0)) for role in RESULTS]
        yield csv_line((day.isoformat(), broker, *cells, spelled(result), spelled(so_far)))


def position_lines(ledger: LedgerReader) -> Iterator[str]:
    """Yield what was held at the end of each day that has entries: quantity and cost by broker and instrument."""
    yield csv_line(("day", "broker", "instrument", "quantity", "cost"))
    held: dict[tuple[str, str], tuple[int, int]] = {}
    by_day: dict[date, list[StoredEntry]] = {}
    for stored in ledger.entries():
        by_day.setdefault(stored.entry.day, []).append(stored)
    for day in sorted(by_day):
        for stored in by_day[day]:
            for line in stored.entry.lines:
                if line.instrument:
                    key = stored.entry.broker, line.instrument
                    quantity, cost = held.get(key, (0, 0))
                    held[key] = quantity + line.quantity, cost + line.amount
        held = {key: values for key, values in held.items() if any(values)}
        for (broker, instrument), (quantity, cost) in sorted(held.items()):
            yield csv_line((day.isoformat(), broker, instrument, spelled(quantity, 0), spelled(cost)))


def dump_lines(ledger: LedgerReader) -> Iterator[str]:
    """Yield SQL that makes the whole ledger again: `sqlite3 copy.sqlite3 < dump.sql`."""
    yield "BEGIN;"
    yield from ledger.dump()
    yield f"PRAGMA application_id = {APPLICATION_ID};"
    yield f"PRAGMA user_version = {SCHEMA_VERSION};"
    yield "COMMIT;"


__all__ = [
    "AUDIT_COLUMNS",
    "RESULTS",
    "audit_csv_lines",
    "audit_json_lines",
    "csv_line",
    "dump_lines",
    "position_lines",
    "result_lines",
]
