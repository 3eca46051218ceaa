"""What the accountant says of their Manager.io business: its columns and its accounts' GUIDs, in one small file.

The file has sections in square brackets. Under the name of a tab stands the header that Manager's Batch Create copies
to the clipboard, pasted as it is, on one line with its tabs. `[columns]` names columns that are called otherwise than
known here. `[accounts]` has the ledger's accounts, each with the GUID that it has in that business.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from tbot_bot.accounting.ledger_files import LedgerError
from tbot_bot.accounting.ledger_reader import LedgerReader
from tbot_bot.accounting.ledger_schema import Account
from tbot_bot.accounting.manager_documents import Tab, is_bank

ACCOUNTS: Final = "accounts"
COLUMNS: Final = "columns"
BYTES_MAX: Final = 1_000_000
MEND: Final = "`tbot ledger export --to manager-mapping --out FILE` writes one to be filled in."


class Field:
    """What a document has to tell; the names of columns in Manager's own model."""

    DATE: Final = "Date"
    REFERENCE: Final = "Reference"
    NARRATION: Final = "Narration"
    DESCRIPTION: Final = "Description"
    RECEIVED_IN: Final = "ReceivedIn"
    PAID_FROM: Final = "PaidFrom"
    CREDIT_AMOUNT: Final = "CreditAmount"
    DEBIT_AMOUNT: Final = "DebitAmount"
    LINE_ACCOUNT: Final = "Lines.Account"
    LINE_TEXT: Final = "Lines.LineDescription"
    LINE_DEBIT: Final = "Lines.Debit"
    LINE_CREDIT: Final = "Lines.Credit"
    LINE_AMOUNT: Final = "Lines.Amount"


_F = Field
HEADERS: Final[Mapping[Tab, tuple[str, ...]]] = MappingProxyType(
    {
        Tab.JOURNAL: (
            _F.DATE, _F.REFERENCE, _F.NARRATION, _F.LINE_ACCOUNT, _F.LINE_TEXT, _F.LINE_DEBIT, _F.LINE_CREDIT,
        ),
        Tab.RECEIPT: (
            _F.DATE, _F.REFERENCE, _F.RECEIVED_IN, _F.DESCRIPTION, _F.LINE_ACCOUNT, _F.LINE_TEXT, _F.LINE_AMOUNT,
        ),
        Tab.PAYMENT: (
            _F.DATE, _F.REFERENCE, _F.PAID_FROM, _F.DESCRIPTION, _F.LINE_ACCOUNT, _F.LINE_TEXT, _F.LINE_AMOUNT,
        ),
        Tab.TRANSFER: (
            _F.DATE, _F.REFERENCE, _F.DESCRIPTION, _F.PAID_FROM, _F.CREDIT_AMOUNT, _F.RECEIVED_IN, _F.DEBIT_AMOUNT,
        ),
    }
)  # fmt: skip
"""The header of each tab where the accountant pastes none: by the vendor's model, not seen in the program."""
_MAY_LACK: Final = frozenset({_F.NARRATION, _F.DESCRIPTION, _F.LINE_TEXT})
"""Words for people; without a column for them they are left out. Everything else is needed."""
_ALSO_CALLED: Final = {
    "issuedate": _F.DATE,
    "lines.description": _F.LINE_TEXT,
}
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EXPLAINED: Final = """\
# What TradeBot has to know of your Manager.io business. Lines with # are remarks.
#
# Under each tab's name: the header of your version, one line, its columns separated by tabs. In Manager: the tab,
# Batch Create, Copy to clipboard; paste it over the line here. Columns that TradeBot does not know stay empty.
# Where a column that it needs has another name, say so under [columns]: tab, our name, its name, separated by tabs.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessMap:
    """Headers and accounts of one business."""

    headers: Mapping[Tab, tuple[str, ...]] = field(default_factory=lambda: HEADERS)
    meaning: Mapping[Tab, Mapping[str, str]] = field(default_factory=dict)
    """Our name of each column that has one."""
    accounts: Mapping[str, str] | None = None
    """GUID there by our account's name; None: our own GUIDs."""
    where: str = ""

    def guids(self, accounts: tuple[Account, ...]) -> dict[str, str]:
        """Return the GUID there by our GUID.

        Raises:
            LedgerError: some of `accounts` have none; all of them are named.
        """
        if self.accounts is None:
            return {one.guid: one.guid for one in accounts}
        lacking = [one.name for one in accounts if not self.accounts.get(one.name)]
        if lacking:
            raise LedgerError(
                f"no GUID for {', '.join(lacking)}", where=self.where,
                mend=f"Write each account under [{ACCOUNTS}] with the GUID that it has in Manager.",
            )  # fmt: skip
        return {one.guid: self.accounts[one.name] for one in accounts}

    def column(self, tab: Tab, name: str) -> str:
        """Return what the column `name` of a tab's header holds, as our name; empty where nothing of ours."""
        return self.meaning.get(tab, {}).get(name) or _known(tab, name)


OWN: Final = BusinessMap()
"""Default headers and the ledger's own GUIDs: right for the experimental file, unknown to any other business."""


def template(ledger: LedgerReader) -> str:
    """Return a mapping to be filled in: default headers, and this ledger's accounts without GUIDs."""
    parts = [_EXPLAINED]
    for tab, header in HEADERS.items():
        tabbed = "\t".join(header)
        parts.append(f"\n[{tab}]\n{tabbed}\n")
    parts.append(f"\n[{COLUMNS}]\n# {Tab.JOURNAL}\t{_F.NARRATION}\tNotes\n")
    parts.append(f"\n[{ACCOUNTS}]\n# Account of the ledger, a tab, the GUID of the account in Manager\n")
    for one in ledger.accounts():
        kind = "bank or cash account" if is_bank(one) else one.kind.value
        parts.append(f"# {one.title} ({kind})\n{one.name}\t\n")
    return "".join(parts)


def parse(text: str, where: str) -> BusinessMap:
    """Read a mapping.

    Raises:
        LedgerError: a line is none, or a header lacks columns; the line and what is missing are named.
    """
    headers: dict[Tab, tuple[str, ...]] = dict(HEADERS)
    columns: dict[Tab, dict[str, str]] = {}
    accounts: dict[str, str] = {}
    section, pasted = "", set[Tab]()
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line, spot = raw.rstrip(), f"{where}, line {number}"
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = _section(line[1:-1].strip(), spot)
        elif section == ACCOUNTS:
            _take_account(accounts, line, spot)
        elif section == COLUMNS:
            _take_column(columns, line, spot)
        elif section:
            tab = Tab(section)
            if tab in pasted:
                raise _wrong(f"a second header for {tab}", spot, "One line, its columns separated by tabs.")
            pasted.add(tab)
            headers[tab] = tuple(name.strip() for name in line.split("\t"))
        else:
            raise _wrong("a line before the first section", spot, MEND)
    made = BusinessMap(headers=headers, meaning=columns, accounts=accounts, where=where)
    _require_columns(made)
    return made


def _section(name: str, where: str) -> str:
    known = (*(tab.value for tab in Tab), COLUMNS, ACCOUNTS)
    if name not in known:
        raise _wrong(f"no section is called [{name}]", where, f"There are {', '.join(f'[{one}]' for one in known)}.")
    return name


def _take_account(accounts: dict[str, str], line: str, where: str) -> None:
    name, _, guid = line.strip().partition("\t") if "\t" in line else line.strip().partition(" ")
    name, guid = name.strip(), guid.strip()
    if guid and not _GUID.fullmatch(guid):
        raise _wrong(f"{guid!r} is no GUID", where, "It looks as 01234567-89ab-cdef-0123-456789abcdef.")
    if name in accounts:
        raise _wrong(f"{name} stands twice", where, "Leave one of them.")
    mine = str(uuid.UUID(guid)) if guid else ""
    if mine and mine in accounts.values():
        raise _wrong(f"the GUID of {name} is another account's as well", where, "Each account has its own.")
    accounts[name] = mine


def _take_column(columns: dict[Tab, dict[str, str]], line: str, where: str) -> None:
    parts = [part.strip() for part in line.split("\t") if part.strip()]
    mend = f"Write the tab, our name and its name, separated by tabs, as: {Tab.JOURNAL}, {_F.NARRATION}, Notes."
    if len(parts) != 3 or parts[0] not in set(Tab):  # noqa: PLR2004 - the three of `mend`
        raise _wrong("this names no column", where, mend)
    tab = Tab(parts[0])
    if parts[1] not in HEADERS[tab]:
        raise _wrong(f"{tab} have no {parts[1]}", where, f"They have {', '.join(HEADERS[tab])}.")
    columns.setdefault(tab, {})[parts[2]] = parts[1]


def _require_columns(made: BusinessMap) -> None:
    for tab, header in made.headers.items():
        told = [made.column(tab, name) for name in header]
        lacking = [name for name in HEADERS[tab] if name not in told and name not in _MAY_LACK]
        doubled = sorted({name for name in told if name and told.count(name) > 1})
        if lacking or doubled:
            what = f"lacks {', '.join(lacking)}" if lacking else f"has {', '.join(doubled)} twice"
            mend = f"Paste Manager's own header under [{tab}]; under [{COLUMNS}] say which columns have other names."
            raise _wrong(f"the header of {tab} {what}", made.where, mend)


def _known(tab: Tab, name: str) -> str:
    """Return which of our columns this one is by its name, whatever its case and spaces."""
    plain = "".join(name.split()).casefold()
    by_name = {one.casefold(): one for one in HEADERS[tab]}
    found = by_name.get(plain) or _ALSO_CALLED.get(plain, "")
    return found if found in HEADERS[tab] else ""


def _wrong(what: str, where: str, mend: str) -> LedgerError:
    return LedgerError(what, where=where, mend=mend)


__all__ = ["ACCOUNTS", "BYTES_MAX", "COLUMNS", "HEADERS", "MEND", "OWN", "BusinessMap", "Field", "parse", "template"]
