"""The ledger in the form of other programs. A new form is one function and one line in `EXPORTERS`.

What needs more than the ledger itself (a mapping, a folder, other books) is put together in `runtime/ledger_export.py`.

Amounts are written as they are, to the last of nine decimals: what these programs add up is what the ledger adds up.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tbot_bot.accounting.audit_exports import (
    audit_csv_lines,
    audit_json_lines,
    dump_lines,
    position_lines,
    result_lines,
)
from tbot_bot.accounting.entries import LedgerEntry, LedgerLine, StoredEntry
from tbot_bot.accounting.ledger_reader import LedgerReader
from tbot_bot.accounting.ledger_schema import Account
from tbot_bot.accounting.manager_exporter import api_lines
from tbot_bot.accounting.tax_exports import tax_lot_lines
from tbot_bot.accounting.units import DECIMALS, spelled
from tbot_bot.core.instants import iso

CURRENCY: Final = "USD"
Write = Callable[[LedgerReader], Iterator[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """One form."""

    name: str
    help: str
    suffix: str
    write: Write
    """Yields the lines of the file, without their ends."""


def beancount_lines(ledger: LedgerReader) -> Iterator[str]:
    """Yield the ledger as a beancount file; positions stand at cost in dollars, lots in the metadata."""
    accounts = {one.guid: one for one in ledger.accounts()}
    entries = _by_day(ledger)
    yield f'option "title" "TradeBot {ledger.mode} ledger"'
    yield f'option "operating_currency" "{CURRENCY}"'
    yield 'option "tolerance_multiplier" "0"'
    first = entries[0].entry.day.isoformat() if entries else "1970-01-01"
    for account in accounts.values():
        yield ""
        yield f"{first} open {account.name} {CURRENCY}"
        yield f"  guid: {_quoted(account.guid)}"
    for stored in entries:
        entry = stored.entry
        yield ""
        yield f"{entry.day.isoformat()} * {_quoted(entry.template.value)} {_quoted(entry.text)}"
        for name, value in _facts(stored):
            yield f"  {name}: {_quoted(value)}"
        for number, line in enumerate(entry.lines, start=1):
            yield f"  {accounts[line.account].name}  {spelled(line.amount, DECIMALS)} {CURRENCY}"
            yield f"    guid: {_quoted(entry.line_guid(number))}"
            for name, value in _position(line):
                yield f"    {name}: {_quoted(value)}"


def hledger_lines(ledger: LedgerReader) -> Iterator[str]:
    """Yield the ledger as an hledger journal that passes its strict checks."""
    accounts = {one.guid: one for one in ledger.accounts()}
    yield f"; TradeBot {ledger.mode} ledger"
    yield f"commodity 1000.{'0' * DECIMALS} {CURRENCY}"
    for account in accounts.values():
        yield f"account {account.name}  ; type: {_letter(account)}"
    for stored in _by_day(ledger):
        entry = stored.entry
        yield ""
        yield f"{entry.day.isoformat()} * ({_plain(entry.confirmation, ')')}) {_plain(entry.text, ';|')}"
        for name, value in _facts(stored):
            yield f"    ; {name}: {_plain(value, ',')}"
        for line in entry.lines:
            told = ", ".join(f"{name}: {_plain(value, ',')}" for name, value in _position(line))
            amount = f"{spelled(line.amount, DECIMALS)} {CURRENCY}"
            yield f"    {accounts[line.account].name}  {amount}{f'  ; {told}' if told else ''}"


def _by_day(ledger: LedgerReader) -> list[StoredEntry]:
    return sorted(ledger.entries(), key=lambda stored: (stored.entry.day, stored.number))


def _facts(stored: StoredEntry) -> Iterator[tuple[str, str]]:
    entry: LedgerEntry = stored.entry
    yield "guid", entry.guid
    yield "number", str(stored.number)
    yield "time", iso(entry.at)
    yield "source", entry.source.value
    for name, value in (
        ("broker", entry.broker),
        ("trade", entry.trade_id),
        ("confirmation", entry.confirmation),
        ("strategy", entry.strategy),
        ("session", entry.session),
        ("reverses", entry.reverses),
    ):
        if value:
            yield name, value


def _position(line: LedgerLine) -> Iterator[tuple[str, str]]:
    if line.instrument:
        yield "instrument", line.instrument
        yield "quantity", spelled(line.quantity, 0)
        yield "lot", line.lot


def _letter(account: Account) -> str:
    """Return hledger's letter for the kind of account; cash is a kind of its own there."""
    if account.role.value == "cash":
        return "C"
    return {"asset": "A", "income": "R", "expense": "X", "equity": "E"}[account.kind.value]


def _quoted(text: str) -> str:
    """Return `text` as a beancount string."""
    clean = _plain(text, "").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{clean}"'


def _plain(text: str, without: str) -> str:
    """Return `text` on one line, without characters that would end what it stands in."""
    return "".join(" " if not one.isprintable() or one in without else one for one in text).strip()


EXPORTERS: Final[Mapping[str, Exporter]] = MappingProxyType(
    {
        one.name: one
        for one in (
            Exporter(name="beancount", help="a beancount file", suffix=".beancount", write=beancount_lines),
            Exporter(name="hledger", help="an hledger journal", suffix=".journal", write=hledger_lines),
            Exporter(name="manager-api", help="bodies for Manager.io's forms", suffix=".jsonl", write=api_lines),
            Exporter(name="audit-csv", help="every line of every entry", suffix=".csv", write=audit_csv_lines),
            Exporter(
                name="audit-json", help="the same, with accounts and marks", suffix=".json", write=audit_json_lines
            ),
            Exporter(name="results", help="profit and loss of each day", suffix=".csv", write=result_lines),
            Exporter(name="positions", help="what was held at each day's end", suffix=".csv", write=position_lines),
            Exporter(name="tax-lots", help="sales by lot, with wash sales", suffix=".csv", write=tax_lot_lines),
            Exporter(name="sqlite-dump", help="SQL that makes the ledger again", suffix=".sql", write=dump_lines),
        )
    }
)

__all__ = ["EXPORTERS", "Exporter", "beancount_lines", "hledger_lines"]
