"""The ledger as a `.manager` file. EXPERIMENTAL: nobody has opened one of these in Manager.io yet.

Such a file is a SQLite database; its table `Objects` holds every object of a business, each with a key, the GUID of its
type, and protobuf content. The vendor publishes no format. Types and field numbers are those that unrelated public
tools agree on; a version of the program may want others. For the accountant's work use the tab-separated export.
"""

import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

import apsw

from tbot_bot.accounting.ledger_files import write_failure
from tbot_bot.accounting.ledger_reader import LedgerReader
from tbot_bot.accounting.ledger_schema import Account, AccountKind
from tbot_bot.accounting.manager_documents import Document, DocumentLine, Tab, documents, is_bank
from tbot_bot.accounting.units import dollars_of
from tbot_bot.core.identity import Mode

_TYPES: Final = {
    "business": "38cf4712-6e95-4ce1-b53a-bff03edad273",
    "currency": "39dde4fc-7af8-44cc-8572-3b1ff4cfb918",
    "bank": "1408c33b-6284-4f50-9e31-48cbea21f3cf",
    "balance_sheet": "6ef13e42-ad89-4d42-9480-546e0c04a411",
    "profit_and_loss": "26b9e4a5-ce10-4f30-94c7-23a1ca4428f9",
    Tab.JOURNAL: "5ea52bc4-90ae-4e4a-aec4-ef1224b279ad",
    Tab.RECEIPT: "7662b887-c8d8-486e-98fd-f9dbcd41c6dc",
    Tab.PAYMENT: "79f99d26-e43a-4ecb-a9c9-0774601a9b2e",
    Tab.TRANSFER: "dea4f923-c498-4504-b3ef-30be3c33175e",
}
_GROUPS: Final = {
    AccountKind.ASSET: uuid.UUID("4c05c221-ca57-4c7c-be62-115669302ed4"),
    AccountKind.EQUITY: uuid.UUID("9275ff4c-4cff-41d0-b7b5-f31c783f03d8"),
    AccountKind.INCOME: uuid.UUID("95713fac-30d3-42e4-b536-dd7bc4f7a80e"),
    AccountKind.EXPENSE: uuid.UUID("fd003045-876e-439e-b923-1904453f5c30"),
}
"""The built-in groups that accounts stand under."""
_TABLES: Final = """
CREATE TABLE Objects (Key TEXT PRIMARY KEY, ContentType TEXT, Content BLOB, Timestamp INTEGER);
CREATE TABLE Blobs (Key TEXT PRIMARY KEY, Name TEXT, ContentType TEXT, Content BLOB);
CREATE TABLE Changes (Id INTEGER PRIMARY KEY, Key TEXT, Content BLOB, Timestamp INTEGER);
"""
_EPOCH: Final = date(1970, 1, 1)
_VARINT, _FIXED64, _BYTES = 0, 1, 2
_LOW_BITS, _MORE = 0x7F, 0x80
_LOW64: Final = (1 << 64) - 1

Value = str | int | date | Decimal | uuid.UUID | list["Message"]
Message = list[tuple[int, Value]]
"""(field number, value), in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerObject:
    """One row of `Objects`."""

    key: uuid.UUID
    kind: uuid.UUID
    content: bytes


def encoded(message: Message) -> bytes:
    """Return a message as protobuf-net writes it: GUIDs, decimals and dates as its `bcl` types."""
    return b"".join(_field(number, value) for number, value in message)


def _field(number: int, value: Value) -> bytes:
    match value:
        case str():
            return _tagged(number, value.encode())
        case int():
            return _varint(number << 3 | _VARINT) + _varint(value)
        case date():
            days = (value - _EPOCH).days  # bcl.DateTime: a zigzag value; scale 0, days, is left out
            return _tagged(number, _varint(1 << 3 | _VARINT) + _varint(days << 1 ^ days >> 63))
        case Decimal():
            return _tagged(number, _decimal(value))
        case uuid.UUID():
            raw = value.bytes_le  # the byte order of .NET
            return _tagged(number, _fixed(1, raw[:8]) + _fixed(2, raw[8:]))
        case list():
            return b"".join(_tagged(number, encoded(one)) for one in value)


def _decimal(value: Decimal) -> bytes:
    """Return bcl.Decimal: 1 the low 64 bits, 2 the high 32 ones, 3 scale and sign; what is zero is left out."""
    sign, digits, exponent = value.as_tuple()
    whole = int("".join(map(str, digits)))
    scale = -int(exponent)
    if scale < 0:
        whole, scale = whole * 10**-scale, 0
    numbers = ((1, whole & _LOW64), (2, whole >> 64), (3, scale << 1 | sign))
    return b"".join(_varint(number << 3 | _VARINT) + _varint(one) for number, one in numbers if one)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > _LOW_BITS:
        made.append(value & _LOW_BITS | _MORE)
        value >>= 7
    made.append(value)
    return bytes(made)


def _fixed(number: int, raw: bytes) -> bytes:
    return _varint(number << 3 | _FIXED64) + raw


def _tagged(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def manager_objects(ledger: LedgerReader) -> Iterator[ManagerObject]:
    """Yield the objects of a business that is this ledger."""
    title = f"TradeBot {ledger.mode} ledger"
    yield _object(_TYPES["business"], "business", [(1, title)])
    yield _object(_TYPES["currency"], "currency", [(2, "US dollar"), (3, "USD"), (5, 2)])
    for account in ledger.accounts():
        yield _account(account)
    for document in documents(ledger):
        yield _object(document.guid, document.tab, _document(document))


def write_manager_file(path: Path, ledger: LedgerReader) -> int:
    """Write the file whole, in the place of an older one; return how many objects it holds.

    Raises:
        LedgerError: it could not be written. The older one is untouched.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        try:
            count = _fill(draft, manager_objects(ledger), ledger.mode)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except (apsw.Error, OSError) as error:
        raise write_failure(path, error) from error
    return count


def _fill(path: Path, found: Iterable[ManagerObject], mode: Mode) -> int:
    connection = apsw.Connection(str(path))
    try:
        connection.execute("PRAGMA journal_mode = OFF").fetchall()
        connection.execute(f"PRAGMA synchronous = FULL; BEGIN; {_TABLES}")
        # the program's own is a time of change; ours is none, so that the same ledger gives the same file
        rows = [(str(one.key), str(one.kind), one.content, 0) for one in found]
        connection.executemany("INSERT INTO Objects VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
    except apsw.ConstraintError as error:
        raise AssertionError(f"two objects of the {mode} ledger have one key") from error
    finally:
        connection.close()
    return len(rows)


def _object(key: str, kind: str, message: Message) -> ManagerObject:
    return ManagerObject(key=uuid.UUID(key), kind=uuid.UUID(_TYPES[kind]), content=encoded(message))


def _account(account: Account) -> ManagerObject:
    """Return an account; only its name and group are told, since the field of the code differs by kind and version."""
    if is_bank(account):
        return _object(account.guid, "bank", [(1, account.name)])
    group = (3, _GROUPS[account.kind])
    on_balance_sheet = account.kind in {AccountKind.ASSET, AccountKind.EQUITY}
    return _object(account.guid, "balance_sheet" if on_balance_sheet else "profit_and_loss", [(1, account.name), group])


def _document(document: Document) -> Message:
    day, reference = document.day, document.reference
    if document.tab is Tab.TRANSFER:
        money = dollars_of(document.amount)
        return [
            (1, day), (2, uuid.UUID(document.bank)), (3, uuid.UUID(document.into)), (6, reference), (8, money),
            (9, money),
        ]  # fmt: skip
    if document.tab is Tab.JOURNAL:
        return [(1, day), (2, reference), (3, document.text), (14, [_journal_line(one) for one in document.lines])]
    sign = -1 if document.tab is Tab.RECEIPT else 1
    lines: list[Message] = [
        [
            (2, uuid.UUID(one.account)),
            (15, f"{document.text} ({one.text})" if one.text else document.text),
            (18, dollars_of(sign * one.amount)),
        ]
        for one in document.lines
    ]
    return [(1, day), (2, reference), (7, uuid.UUID(document.bank)), (11, lines)]


def _journal_line(line: DocumentLine) -> Message:
    told: Message = [(12, line.text)] if line.text else []
    side = 13 if line.amount >= 0 else 14
    return [(1, uuid.UUID(line.account)), *told, (side, dollars_of(abs(line.amount)))]


__all__ = ["ManagerObject", "encoded", "manager_objects", "write_manager_file"]
