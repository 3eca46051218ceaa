"""The bank behind the brokers: accounts, what was booked in them, and the one order we give it."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol

from tbot_bot.core.instants import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """One of the firm's own accounts, in dollars."""

    account_id: str
    available: Decimal
    """What may leave it now."""
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BankTransaction:
    """What the bank has booked, or is about to book, in one account."""

    transaction_id: str
    amount: Decimal
    """Dollars; negative where they left the account."""
    failed: bool
    """The bank has given it up: no money moved."""
    note: str
    counterparty_id: str
    created_at: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOrder:
    """Dollars from one own account to another, once for ever under its key."""

    source_account: str
    destination_account: str
    amount: Decimal
    note: str
    """Carries our own id of the transfer, by which it is found again."""
    idempotency_key: str


class Bank(Protocol):
    """A bank that moves money between the firm's own accounts.

    Reads raise `NetworkError` where no answer came. So does `transfer`, and then nothing is known of it.
    """

    async def accounts(self) -> tuple[BankAccount, ...]:
        """Return all own accounts."""
        ...

    async def account(self, account_id: str) -> BankAccount:
        """Return one own account as it is now."""
        ...

    async def transactions(self, account_id: str, since: date) -> tuple[BankTransaction, ...]:
        """Return what was booked in the account from the day `since` on."""
        ...

    async def transfer(self, order: TransferOrder) -> str:
        """Hand over `order` and return the bank's id of it (empty where it told none)."""
        ...
