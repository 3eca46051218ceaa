"""The ledger for Manager.io: tab-separated text for its Batch Create, and the bodies of its interface's forms.

Nothing here was tried with the program itself, which cannot be had for tests. What is written keeps to what its vendor
documents; what the vendor leaves open comes from the mapping (`manager_mapping`).
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Final

from tbot_bot.accounting.ledger_reader import LedgerReader
from tbot_bot.accounting.manager_documents import Document, DocumentLine, Tab, documents
from tbot_bot.accounting.manager_mapping import OWN, BusinessMap, Field
from tbot_bot.accounting.units import spelled

API: Final = "/api2"
_NO_NUMBER: Final = ""


def tab_file(tab: Tab) -> str:
    """Return the name of a tab's file."""
    return f"{tab}.tsv"


def tab_texts(ledger: LedgerReader, business: BusinessMap) -> dict[Tab, str]:
    """Return the text to be pasted for each tab; one row for each document, several lines of it in one cell.

    Raises:
        LedgerError: the mapping lacks an account.
    """
    guids = business.guids(ledger.accounts())
    texts = {tab: io.StringIO() for tab in Tab}
    writers = {tab: csv.writer(text, dialect="excel-tab", lineterminator="\n") for tab, text in texts.items()}
    for tab, writer in writers.items():
        writer.writerow(business.headers[tab])
    for document in documents(ledger):
        cells = _cells(document, guids)
        names = business.headers[document.tab]
        writers[document.tab].writerow([cells.get(business.column(document.tab, name), "") for name in names])
    return {tab: text.getvalue() for tab, text in texts.items()}


def _cells(document: Document, guids: Mapping[str, str]) -> dict[str, str]:
    found = {
        Field.DATE: document.day.isoformat(),
        Field.REFERENCE: document.reference,
        Field.NARRATION: document.text,
        Field.DESCRIPTION: document.text,
    }
    if document.tab is Tab.TRANSFER:
        money = spelled(document.amount)
        return found | {
            Field.PAID_FROM: guids[document.bank],
            Field.CREDIT_AMOUNT: money,
            Field.RECEIVED_IN: guids[document.into],
            Field.DEBIT_AMOUNT: money,
        }
    lines = document.lines
    found |= {
        Field.LINE_ACCOUNT: "\n".join(guids[line.account] for line in lines),
        Field.LINE_TEXT: "\n".join(line.text for line in lines) if any(line.text for line in lines) else "",
    }
    if document.tab is Tab.JOURNAL:
        debits, credits_ = zip(*(_debit_credit(line) for line in lines), strict=True)
        return found | {Field.LINE_DEBIT: "\n".join(debits), Field.LINE_CREDIT: "\n".join(credits_)}
    bank = Field.RECEIVED_IN if document.tab is Tab.RECEIPT else Field.PAID_FROM
    amounts = "\n".join(spelled(_amount_there(document, line)) for line in lines)
    return found | {bank: guids[document.bank], Field.LINE_AMOUNT: amounts}


def bodies(ledger: LedgerReader, business: BusinessMap = OWN) -> Iterator[tuple[Document, str]]:
    """Yield each document with the JSON text of its form; amounts are written digit by digit, never through binary.

    Raises:
        LedgerError: the mapping lacks an account.
    """
    guids = business.guids(ledger.accounts())
    for document in documents(ledger):
        yield document, body_of(document, guids)


def body_of(document: Document, guids: Mapping[str, str]) -> str:
    """Return the JSON text of a document's form."""
    head = [(Field.DATE, _text(document.day.isoformat())), (Field.REFERENCE, _text(document.reference))]
    if document.tab is Tab.TRANSFER:
        money = spelled(document.amount)
        return _object(
            *head,
            (Field.DESCRIPTION, _text(document.text)),
            (Field.PAID_FROM, _text(guids[document.bank])),
            (Field.CREDIT_AMOUNT, money),
            (Field.RECEIVED_IN, _text(guids[document.into])),
            (Field.DEBIT_AMOUNT, money),
        )
    lines = ", ".join(_line_body(document, line, guids) for line in document.lines)
    if document.tab is Tab.JOURNAL:
        return _object(*head, (Field.NARRATION, _text(document.text)), ("Lines", f"[{lines}]"))
    bank = Field.RECEIVED_IN if document.tab is Tab.RECEIPT else Field.PAID_FROM
    return _object(
        *head, (bank, _text(guids[document.bank])), (Field.DESCRIPTION, _text(document.text)), ("Lines", f"[{lines}]")
    )


def api_lines(ledger: LedgerReader) -> Iterator[str]:
    """Yield one line of JSON for each document, with the ledger's own account GUIDs; see `api_lines_by`."""
    yield from api_lines_by(ledger, OWN)


def api_lines_by(ledger: LedgerReader, business: BusinessMap) -> Iterator[str]:
    """Yield one line of JSON for each document: where it is posted to, and the body."""
    for document, body in bodies(ledger, business):
        yield _object(("post", _text(f"{API}/{document.tab.form}")), ("body", body))


def _line_body(document: Document, line: DocumentLine, guids: Mapping[str, str]) -> str:
    told = [("LineDescription", _text(line.text))] if line.text else []
    if document.tab is Tab.JOURNAL:
        debit, credit = _debit_credit(line)
        amount = ("Debit", debit) if debit else ("Credit", credit)
    else:
        amount = ("Amount", spelled(_amount_there(document, line)))
    return _object(("Account", _text(guids[line.account])), *told, amount)


def _amount_there(document: Document, line: DocumentLine) -> int:
    """Return a line's amount as a receipt or payment tells it: what the bank gets from it, or gives for it."""
    return -line.amount if document.tab is Tab.RECEIPT else line.amount


def _debit_credit(line: DocumentLine) -> tuple[str, str]:
    return (spelled(line.amount), _NO_NUMBER) if line.amount >= 0 else (_NO_NUMBER, spelled(-line.amount))


def _object(*fields: tuple[str, str]) -> str:
    """Return a JSON object of values that are JSON text already."""
    return "{" + ", ".join(f"{_text(name)}: {value}" for name, value in fields) + "}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


__all__ = ["API", "api_lines", "api_lines_by", "bodies", "body_of", "tab_file", "tab_texts"]
