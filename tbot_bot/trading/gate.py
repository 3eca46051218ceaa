"""The one gate between a wish and an order: whatever leaves for a broker is an `ApprovedOrder`, made only here.

There are two ways through. An order that opens something has to be agreed to by every pre-trade check. An order
that protects or leaves a position is asked only whether it can do nothing else: no limit keeps anybody from
getting out, but nothing may turn a position around under the name of an exit.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.commands import CheckAnswered
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import OrderRequest, Side
from tbot_bot.trading.risk_bot import Intent, RiskView, check
from tbot_bot.trading.spec import RiskLimits

_SEAL: Final = object()


@dataclass(frozen=True, slots=True)
class ApprovedOrder:
    """An order that has passed the gate. Nothing but the gate can make one."""

    request: OrderRequest
    seal: object

    def __post_init__(self) -> None:
        """Refuse to be made elsewhere."""
        if self.seal is not _SEAL:
            raise LogicError("only the gate approves orders", where="tbot_bot/trading/gate.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the checks say to an order that would open a position."""

    approved: ApprovedOrder | None
    """None: at least one of `answers` objects."""
    answers: tuple[CheckAnswered, ...]
    """Every objection and every check that was skipped."""

    @property
    def objections(self) -> tuple[CheckAnswered, ...]:
        """The objections, in asking order."""
        return tuple(answer for answer in self.answers if answer.objection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What an order that leaves a position is held against."""

    opened_by: Side
    """Side of the entry."""
    quantity: Decimal
    """What is held, of the instrument of the entry; never negative."""
    resting: Decimal
    """What other orders that leave it may still execute; the one that is being replaced does not count."""
    symbol: str


def approve_entry(intent: Intent, view: RiskView, limits: RiskLimits) -> Entry:
    """Ask every pre-trade check and approve the order where none objects."""
    answers = check(intent, view, limits)
    refused = any(answer.objection for answer in answers)
    return Entry(approved=None if refused else ApprovedOrder(intent.order, _SEAL), answers=answers)


def approve_exit(request: OrderRequest, holding: Holding) -> ApprovedOrder | str:
    """Approve an order that leaves (or protects) what is held; else return why it could do something else."""
    if request.instrument.symbol != holding.symbol:
        return f"an exit in {request.instrument.symbol} of a position in {holding.symbol}"
    if request.side is not holding.opened_by.closing:
        return f"{request.side} does not close what {holding.opened_by} has opened"
    if request.quantity <= ZERO:
        return f"an exit of {request.quantity}"
    if request.quantity + holding.resting > holding.quantity:
        return (
            f"an exit of {request.quantity} beside {holding.resting} resting, of a position of {holding.quantity}: "
            "it could turn the position around"
        )
    return ApprovedOrder(request, _SEAL)


__all__ = ["ApprovedOrder", "Entry", "Holding", "approve_entry", "approve_exit"]
