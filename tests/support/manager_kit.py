"""Readers of what is made for Manager.io, written from the notes on its forms alone: no code is shared."""

import csv
import io
import json
import sqlite3
import uuid
from datetime import date, timedelta
from decimal import Decimal

BANK = "1408c33b-6284-4f50-9e31-48cbea21f3cf"
ACCOUNTS = {BANK, "6ef13e42-ad89-4d42-9480-546e0c04a411", "26b9e4a5-ce10-4f30-94c7-23a1ca4428f9"}
JOURNAL = "5ea52bc4-90ae-4e4a-aec4-ef1224b279ad"
RECEIPT = "7662b887-c8d8-486e-98fd-f9dbcd41c6dc"
PAYMENT = "79f99d26-e43a-4ecb-a9c9-0774601a9b2e"
TRANSFER = "dea4f923-c498-4504-b3ef-30be3c33175e"


def add(totals, account, amount):
    totals[account] = totals.get(account, Decimal(0)) + amount


def totals_of_forms(posted):
    """Return what (form, body) pairs do to each account; refuses a journal entry that is off, as Manager does not."""
    totals: dict[str, Decimal] = {}
    for form, body in posted:
        if form == "journal-entry-form":
            off = Decimal(0)
            for line in body["Lines"]:
                amount = Decimal(line.get("Debit", 0)) - Decimal(line.get("Credit", 0))
                off += amount
                add(totals, line["Account"], amount)
            assert off == 0, body
        elif form == "inter-account-transfer-form":
            assert body["CreditAmount"] == body["DebitAmount"] > 0
            add(totals, body["PaidFrom"], -body["CreditAmount"])
            add(totals, body["ReceivedIn"], body["DebitAmount"])
        else:
            bank, sign = (body["ReceivedIn"], 1) if form == "receipt-form" else (body["PaidFrom"], -1)
            for line in body["Lines"]:
                add(totals, line["Account"], -sign * line["Amount"])
                add(totals, bank, sign * line["Amount"])
    return totals


def forms_in(text):
    """Return (form, body) of each line of an export of bodies; numbers come exactly."""
    found = []
    for line in text.splitlines():
        read = json.loads(line, parse_float=Decimal, parse_int=Decimal)
        found.append((read["post"].removeprefix("/api2/"), read["body"]))
    return found


def forms_of_tabs(texts):
    """Return the same of the tab-separated texts, by tab."""
    singular = {
        "journal-entries": "journal-entry-form", "receipts": "receipt-form", "payments": "payment-form",
        "inter-account-transfers": "inter-account-transfer-form",
    }  # fmt: skip
    found = []
    for tab, text in texts.items():
        for row in csv.DictReader(io.StringIO(text), dialect="excel-tab"):
            body: dict[str, object] = {name: value for name, value in row.items() if not name.startswith("Lines.")}
            for name in ("CreditAmount", "DebitAmount"):
                if name in row:
                    body[name] = Decimal(row[name])
            columns = {name.removeprefix("Lines."): row[name].split("\n") for name in row if name.startswith("Lines.")}
            lines = []
            for number in range(len(columns.get("Account", ()))):
                line: dict[str, object] = {"Account": columns["Account"][number]}
                for name in ("Debit", "Credit", "Amount"):
                    if name in columns and columns[name][number]:
                        line[name] = Decimal(columns[name][number])
                lines.append(line)
            if lines:
                body["Lines"] = lines
            found.append((singular[tab], body))
    return found


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """Return (number, value) of a protobuf message: int, 8 bytes or bytes."""
    at, found = 0, []
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        value: int | bytes
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = data[at : at + 8], at + 8
        elif kind == 2:
            size, at = varint(data, at)
            assert at + size <= len(data)
            value, at = data[at : at + size], at + size
        else:
            raise AssertionError(f"wire type {kind}")
        found.append((tag >> 3, value))
    return found


def guid(data):
    parts = dict(fields(data))
    return str(uuid.UUID(bytes_le=parts[1] + parts[2]))


def decimal(data):
    parts = dict(fields(data))
    whole = parts.get(1, 0) | parts.get(2, 0) << 64
    sign_scale = parts.get(3, 0)
    number = Decimal(whole).scaleb(-(sign_scale >> 1))
    return -number if sign_scale & 1 else number


def day(data):
    parts = dict(fields(data))
    raw = parts.get(1, 0)
    assert 2 not in parts
    return date(1970, 1, 1) + timedelta(days=(raw >> 1) ^ -(raw & 1))


def effects(kind, told):
    """Yield (account, amount) of one document, debits positive."""
    head = dict(told)
    if kind == TRANSFER:
        yield guid(head[2]), -decimal(head[8])
        yield guid(head[3]), decimal(head[9])
        return
    for raw in (value for number, value in told if number == (14 if kind == JOURNAL else 11)):
        line = dict(fields(raw))
        if kind == JOURNAL:
            yield guid(line[1]), decimal(line[13]) if 13 in line else -decimal(line[14])
        else:
            amount = decimal(line[18]) if kind == RECEIPT else -decimal(line[18])
            yield guid(line[2]), -amount
            yield guid(head[7]), amount


def read_manager_file(path):
    """Return (totals by account GUID, names by account GUID, days, references)."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = connection.execute("SELECT Key, ContentType, Content FROM Objects").fetchall()
    connection.close()
    names, days, references = {}, [], []
    totals: dict[str, Decimal] = {}
    for key, kind, content in rows:
        told = fields(content)
        if kind in ACCOUNTS:
            names[key] = dict(told)[1].decode()
        if kind in {JOURNAL, RECEIPT, PAYMENT, TRANSFER}:
            head = dict(told)
            days.append(day(head[1]))
            references.append(head[6 if kind == TRANSFER else 2].decode())
            for account, amount in effects(kind, told):
                add(totals, account, amount)
    return totals, names, days, references
