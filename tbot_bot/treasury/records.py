"""The rows that transfers leave in the journal: authorized, then asked of the bank, then settled.

They are `control` rows, outside every session. What has been authorized and not settled is under way, and
whoever comes next goes on with it before anything else.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.trading.float_bot import RESERVE, RebalancePlan

_KEYS: Final = uuid.UUID("6f1f3d5e-6d0a-5c0b-9a37-0b1f2f6d7c11")
"""Namespace of the idempotency keys; another one would make the bank forget what it has done already."""


class Outcome(StrEnum):
    """How a transfer ended."""

    DONE = "done"
    REFUSED = "refused"
    """It definitely did not take place, and will not."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizedTransfer:
    """One transfer that a person has allowed, between the accounts that the file named at that moment."""

    transfer_id: str
    source: str
    destination: str
    source_account: str
    destination_account: str
    amount: Decimal
    """Dollars."""

    @property
    def idempotency_key(self) -> str:
        """Return the key under which the bank does this once: derived, so that every try has the same."""
        return str(uuid.uuid5(_KEYS, self.transfer_id))

    @property
    def note(self) -> str:
        """Return what the bank keeps with it, and by which it is found again."""
        return f"tbot float transfer {self.transfer_id}"


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class TransfersAuthorized:
    """A person allowed the transfers of a plan; nothing is asked of the bank before this is on record."""

    at: Instant
    """Real time."""
    authorization: str
    by: str
    why: str
    plan_id: str
    plan: RebalancePlan
    transfers: tuple[AuthorizedTransfer, ...]
    from_reserve: Decimal
    """What the person allowed the reserve to give at most; zero: nothing."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class TransferAsked:
    """The bank is about to be asked. Without a settlement behind it nobody knows whether it was."""

    at: Instant
    transfer_id: str
    idempotency_key: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSettled:
    """What became of a transfer, for good."""

    at: Instant
    transfer_id: str
    outcome: Outcome
    bank_id: str
    """The bank's own id of it; empty where it told none."""
    text: str


def authorization_of(
    plan: RebalancePlan, accounts: Mapping[str, str], *, at: Instant, by: str, why: str, from_reserve: Decimal
) -> TransfersAuthorized:
    """Return the row that allows `plan`; `accounts` are the bank's ids by name.

    Raises:
        ValueError: the plan takes more from the reserve than was allowed.
        KeyError: a side of a transfer has no account.
    """
    taken = sum((one.amount for one in plan.transfers if one.source == RESERVE), ZERO)
    if taken > from_reserve or any(one.destination == RESERVE for one in plan.transfers):
        msg = f"the plan moves the reserve by {taken} dollars, {from_reserve} are allowed"
        raise ValueError(msg)
    plan_id = plan.plan_id
    seed = "\0".join(("tbot-authorization-1", plan_id, str(int(at)), by, why, str(from_reserve)))
    authorization = f"fa-{plan.day:%Y%m%d}-{hashlib.sha256(seed.encode()).hexdigest()[:12]}"
    return TransfersAuthorized(
        at=at,
        authorization=authorization,
        by=by,
        why=why,
        plan_id=plan_id,
        plan=plan,
        transfers=tuple(
            AuthorizedTransfer(
                transfer_id=f"{authorization}-{number}",
                source=one.source,
                destination=one.destination,
                source_account=accounts[one.source],
                destination_account=accounts[one.destination],
                amount=one.amount,
            )
            for number, one in enumerate(plan.transfers, start=1)
        ),
        from_reserve=from_reserve,
    )


TransferRow = TransfersAuthorized | TransferAsked | TransferSettled
ROW_NAMES: Final = tuple(f'{{"_":"{row.__name__}"' for row in (TransfersAuthorized, TransferAsked, TransferSettled))
"""How the payloads begin, so that other rows need not be decoded."""

__all__ = [
    "ROW_NAMES",
    "AuthorizedTransfer",
    "Outcome",
    "TransferAsked",
    "TransferRow",
    "TransferSettled",
    "TransfersAuthorized",
    "authorization_of",
]
