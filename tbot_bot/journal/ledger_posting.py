"""The row behind an entry that no execution brings: what a person, or a broker's statement, has the ledger book."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO


class PostingKind(StrEnum):
    """What can be posted."""

    INFRASTRUCTURE = "infrastructure"
    """A cost of running the bot, paid by the group."""
    FEE = "fee"
    DIVIDEND = "dividend"
    INTEREST = "interest"
    """Negative where it was paid."""
    BORROW_FEE = "borrow_fee"
    TIMEOUT_PENALTY = "timeout_penalty"
    FLOAT_IN = "float_in"
    """From the group, through the bank, to the broker."""
    FLOAT_OUT = "float_out"
    EXPIRY = "expiry"
    """Contracts that ended worthless."""
    ASSIGNMENT = "assignment"
    """Contracts that became shares at their strike: exercised where we held them, assigned where we owed them."""
    REVERSAL = "reversal"
    """Takes back the posting of this reference."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPosting:
    """One posting; the ledger's entry is made from it, so that the journal alone can give the ledger again."""

    at: Instant
    """Real time."""
    by: str
    why: str
    kind: PostingKind
    day: date
    """The day it is booked on."""
    reference: str
    """Of the document behind it. The same kind, broker and reference again is the same posting."""
    broker: str = ""
    amount: Decimal = ZERO
    """Dollars, positive; for an expiry or an assignment its fees."""
    instrument: str = ""
    """OCC symbol of the contracts."""
    quantity: Decimal = ZERO
    """Contracts, positive."""
    from_broker: bool = False
    """The fact comes from the broker's own statement, not from a person."""


__all__ = ["LedgerPosting", "PostingKind"]
