"""The chart of accounts, as data: one for live books, one for simulated ones.

A broker's accounts are made from the templates when the broker is first booked. Names are paths of words without
blanks, so that beancount and hledger read them as they are; `title` is what people read. The SQL mirror is
`tradebot_ledger_schema.sql`; a test compares them.
"""

import re
import uuid
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

from tbot_bot.core.identity import Mode

NAMESPACE: Final = uuid.UUID("3c6e1f0a-9a51-5d0e-8a44-7f1f4b6f2d10")
"""Of every GUID in a ledger; another one would make new books of old facts."""
_NOT_IN_NAMES: Final = re.compile("[^A-Za-z0-9-]+")


class AccountKind(StrEnum):
    """The four kinds of accounts in these books."""

    ASSET = "asset"
    INCOME = "income"
    EXPENSE = "expense"
    EQUITY = "equity"


class Role(StrEnum):
    """What an account is for; templates of entries name accounts by it."""

    BANK_INJECTION = "bank_injection"
    BANK_RETURNED = "bank_returned"
    CASH = "cash"
    EQUITIES = "equities"
    GAINS = "gains"
    DIVIDENDS = "dividends"
    INTEREST = "interest"
    FEES = "fees"
    BORROW = "borrow"
    SLIPPAGE = "slippage"
    TIMEOUTS = "timeouts"
    INFRASTRUCTURE = "infrastructure"
    CAPITAL = "capital"
    ALLOCATION = "allocation"
    OPENING = "opening"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTemplate:
    """An account of the chart; with `{broker}` in its name, one for each broker."""

    role: Role
    kind: AccountKind
    live: str
    """Empty where live books have no such account."""
    paper: str
    title: str

    @property
    def per_broker(self) -> bool:
        """Return whether each broker has its own."""
        return "{broker}" in self.paper


def _account(role: Role, kind: AccountKind, live: str, paper: str, title: str) -> AccountTemplate:
    return AccountTemplate(role=role, kind=kind, live=live, paper=paper, title=title)


_A, _I, _X, _Q = AccountKind.ASSET, AccountKind.INCOME, AccountKind.EXPENSE, AccountKind.EQUITY
CHART: Final = (
    _account(
        Role.BANK_INJECTION, _A, "Assets:Bank:Float-Injection", "Assets:Simulated-Bank:Float-Injection",
        "Float injection from the group",
    ),
    _account(
        Role.BANK_RETURNED, _A, "Assets:Bank:Float-Returned", "Assets:Simulated-Bank:Float-Returned",
        "Float returned to the group",
    ),
    _account(Role.CASH, _A, "Assets:{broker}:Cash", "Assets:Simulated-{broker}:Cash", "Cash at the broker"),
    _account(
        Role.EQUITIES, _A, "Assets:{broker}:Equities", "Assets:Simulated-{broker}:Equities",
        "Positions at cost; short ones are negative",
    ),
    _account(
        Role.GAINS, _I, "Income:Realized-Gains:{broker}", "Income:Simulated-Realized-Gains:{broker}",
        "Realized gains as decided, slippage apart",
    ),
    _account(
        Role.DIVIDENDS, _I, "Income:Dividends:{broker}", "Income:Simulated-Dividends:{broker}", "Dividends"
    ),
    _account(
        Role.INTEREST, _I, "Income:Interest:{broker}", "Income:Simulated-Interest:{broker}", "Interest on cash"
    ),
    _account(
        Role.FEES, _X, "Expenses:Broker-Fees:{broker}", "Expenses:Simulated-Broker-Fees:{broker}",
        "Commissions and regulatory fees",
    ),
    _account(
        Role.BORROW, _X, "Expenses:Borrow-Fees:{broker}", "Expenses:Simulated-Borrow-Fees:{broker}",
        "Fees for borrowed shares",
    ),
    _account(
        Role.SLIPPAGE, _X, "Expenses:Slippage-Execution-Losses", "Expenses:Simulated-Slippage-Execution-Losses",
        "Slippage and execution losses",
    ),
    _account(
        Role.TIMEOUTS, _X, "Expenses:API-Timeout-Penalties", "Expenses:Simulated-API-Timeout-Penalties",
        "API timeout penalties",
    ),
    _account(
        Role.INFRASTRUCTURE, _X, "Expenses:Bot-Infrastructure-Costs", "Expenses:Simulated-Platform-Access-Charges",
        "Bot infrastructure costs; simulated platform access charges",
    ),
    _account(
        Role.CAPITAL, _Q, "Equity:Capital-Float-Ledger", "Equity:Simulated-Capital-Float", "Capital float"
    ),
    _account(
        Role.ALLOCATION, _Q, "Equity:Daily-Float-Allocation-History", "Equity:Simulated-Daily-Float-Allocation-History",
        "Daily float allocation history",
    ),
    _account(
        Role.OPENING, _Q, "Equity:Opening-Balance", "Equity:Opening-Equity-for-Scenario",
        "Opening balance; opening equity for a scenario",
    ),
    _account(Role.RESET, _Q, "", "Equity:Reset-Marker", "What resets of simulated accounts took away or gave"),
)  # fmt: skip
"""In the order in which reports show them."""
_MADE: Final[dict[str, "Account"]] = {}
"""Every account that this process has named, by GUID."""
_BY_ROLE: Final = {template.role: template for template in CHART}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account of one ledger."""

    guid: str
    role: Role
    kind: AccountKind
    broker: str
    """Empty where it is not a broker's."""
    name: str
    title: str


@cache
def account(mode: Mode, role: Role, broker: str = "") -> Account:
    """Return the account of `role`, at `broker` where each broker has its own.

    Raises:
        ValueError: live books have no such account, or a backtest asks for books.
    """
    template = _BY_ROLE[role]
    if mode is Mode.BACKTEST or (mode is Mode.LIVE and not template.live):
        msg = f"{mode} books have no account for {role}"
        raise ValueError(msg)
    if template.per_broker != bool(broker):
        msg = f"the account for {role} is {'one of a broker' if template.per_broker else 'not one of a broker'}"
        raise ValueError(msg)
    name = (template.live if mode is Mode.LIVE else template.paper).format(broker=name_part(broker))
    made = Account(
        guid=str(uuid.uuid5(NAMESPACE, f"account/{mode}/{role}/{broker}")),
        role=role,
        kind=template.kind,
        broker=broker,
        name=name,
        title=template.title,
    )
    _MADE[made.guid] = made
    return made


def account_made(guid: str) -> Account:
    """Return the account that `account` has given this GUID.

    Raises:
        KeyError: it has not: no template makes lines with such a GUID.
    """
    return _MADE[guid]


def name_part(broker: str) -> str:
    """Return a broker's name as a word of account names: `alpaca` is `Alpaca`."""
    word = _NOT_IN_NAMES.sub("-", broker).strip("-")
    return f"{word[:1].upper()}{word[1:]}" if word else ""


def chart_order(one: Account) -> tuple[int, str]:
    """Return a sort key: the chart's order, then the broker's name."""
    return next(number for number, template in enumerate(CHART) if template.role is one.role), one.broker


__all__ = [
    "CHART",
    "NAMESPACE",
    "Account",
    "AccountKind",
    "AccountTemplate",
    "Role",
    "account",
    "chart_order",
    "name_part",
]
