"""The life of an order, as one table.

Only this module assigns an order's state. What the table does not allow is reported as an anomaly and
changes nothing, except that an execution always counts: the broker's fills are facts, whatever we think
the order's state was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Fill, OrderRequest


class OrderState(StrEnum):
    """Where an order stands, as far as we know."""

    INTENT = "intent"
    """Approved and about to be journaled; not yet handed to anyone."""
    SUBMITTING = "submitting"
    """In the journal and perhaps at the broker."""
    WORKING = "working"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    """The answer was lost: neither retried nor forgotten, but looked up."""


class Trigger(StrEnum):
    """What can happen to an order, ours and the broker's doings alike."""

    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    FILLED_PARTLY = "filled_partly"
    FILLED_FULLY = "filled_fully"
    CANCEL_ASKED = "cancel_asked"
    CANCEL_REFUSED = "cancel_refused"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ANSWER_LOST = "answer_lost"


OPEN_STATES: Final = frozenset(
    {
        OrderState.INTENT,
        OrderState.SUBMITTING,
        OrderState.WORKING,
        OrderState.PARTIALLY_FILLED,
        OrderState.CANCEL_REQUESTED,
        OrderState.UNKNOWN,
    }
)
"""States in which the order may still fill."""

_S, _T = OrderState, Trigger
_AT_THE_BROKER: Final[Mapping[Trigger, OrderState]] = {
    _T.FILLED_PARTLY: _S.PARTIALLY_FILLED,
    _T.FILLED_FULLY: _S.FILLED,
    _T.CANCEL_ASKED: _S.CANCEL_REQUESTED,
    _T.CANCELLED: _S.CANCELLED,
    _T.REPLACED: _S.REPLACED,
    _T.EXPIRED: _S.EXPIRED,
}
TRANSITIONS: Final[Mapping[OrderState, Mapping[Trigger, OrderState]]] = {
    _S.INTENT: {_T.SENT: _S.SUBMITTING},
    _S.SUBMITTING: {
        **_AT_THE_BROKER,  # a fill or a cancel may outrun the acknowledgement
        _T.ACKNOWLEDGED: _S.WORKING,
        _T.REJECTED: _S.REJECTED,
        _T.ANSWER_LOST: _S.UNKNOWN,
    },
    _S.UNKNOWN: {
        **_AT_THE_BROKER,
        _T.SENT: _S.SUBMITTING,  # looked up, definitely not there, sent again under the same id
        _T.ACKNOWLEDGED: _S.WORKING,
        _T.REJECTED: _S.REJECTED,
        _T.ANSWER_LOST: _S.UNKNOWN,
    },
    _S.WORKING: {
        **_AT_THE_BROKER,
        _T.ACKNOWLEDGED: _S.WORKING,  # events come at least once
        _T.REJECTED: _S.REJECTED,  # some brokers accept first and refuse a moment later
        _T.CANCEL_REFUSED: _S.WORKING,
        _T.ANSWER_LOST: _S.WORKING,  # the lost answer was to a cancel or a replace
    },
    _S.PARTIALLY_FILLED: {
        **_AT_THE_BROKER,
        _T.ACKNOWLEDGED: _S.PARTIALLY_FILLED,
        _T.CANCEL_REFUSED: _S.PARTIALLY_FILLED,
        _T.ANSWER_LOST: _S.PARTIALLY_FILLED,
    },
    _S.CANCEL_REQUESTED: {
        **_AT_THE_BROKER,
        _T.FILLED_PARTLY: _S.CANCEL_REQUESTED,
        _T.ACKNOWLEDGED: _S.CANCEL_REQUESTED,
        _T.CANCEL_REFUSED: _S.WORKING,
        _T.REJECTED: _S.REJECTED,
        _T.ANSWER_LOST: _S.CANCEL_REQUESTED,
    },
    _S.FILLED: {
        _T.ACKNOWLEDGED: _S.FILLED,
        _T.FILLED_PARTLY: _S.FILLED,  # after a bust has made room
        _T.FILLED_FULLY: _S.FILLED,
        _T.CANCEL_REFUSED: _S.FILLED,
        _T.ANSWER_LOST: _S.FILLED,
    },
    _S.CANCELLED: {
        _T.ACKNOWLEDGED: _S.CANCELLED,
        _T.FILLED_PARTLY: _S.CANCELLED,  # a late print is still ours
        _T.FILLED_FULLY: _S.FILLED,
        _T.CANCEL_REFUSED: _S.CANCELLED,
        _T.CANCELLED: _S.CANCELLED,
        _T.ANSWER_LOST: _S.CANCELLED,
    },
    _S.REPLACED: {
        _T.ACKNOWLEDGED: _S.REPLACED,
        _T.FILLED_PARTLY: _S.REPLACED,
        _T.FILLED_FULLY: _S.FILLED,
        _T.CANCEL_REFUSED: _S.REPLACED,
        _T.CANCELLED: _S.REPLACED,
        _T.REPLACED: _S.REPLACED,
        _T.ANSWER_LOST: _S.REPLACED,
    },
    _S.REJECTED: {_T.REJECTED: _S.REJECTED},
    _S.EXPIRED: {
        _T.ACKNOWLEDGED: _S.EXPIRED,
        _T.FILLED_PARTLY: _S.EXPIRED,
        _T.FILLED_FULLY: _S.FILLED,
        _T.CANCEL_REFUSED: _S.EXPIRED,
        _T.CANCELLED: _S.EXPIRED,
        _T.EXPIRED: _S.EXPIRED,
        _T.ANSWER_LOST: _S.EXPIRED,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order with its executions; how much of it is filled is their sum."""

    request: OrderRequest
    created_at: Instant
    state: OrderState = OrderState.INTENT
    fills: tuple[Fill, ...] = ()
    busted: tuple[str, ...] = ()
    """Execution ids that the broker has undone: if reported again they stay undone."""

    @property
    def filled_quantity(self) -> Decimal:
        """Shares or contracts executed so far."""
        total = ZERO
        for fill in self.fills:
            total += fill.quantity
        return total

    @property
    def remaining(self) -> Decimal:
        """Shares or contracts not executed; never negative."""
        return max(self.request.quantity - self.filled_quantity, ZERO)

    @property
    def is_open(self) -> bool:
        """Return whether the order may still fill."""
        return self.state in OPEN_STATES


def new_order(request: OrderRequest, at: Instant) -> Order:
    """Return the intent to place `request`."""
    return Order(request=request, created_at=at)


def apply(order: Order, trigger: Trigger) -> tuple[Order, str]:
    """Return `order` after `trigger`, and an anomaly in words where the table has no such row ("" else)."""
    after = TRANSITIONS[order.state].get(trigger)
    if after is None:
        return order, f"{trigger} while {order.state}"
    if trigger is Trigger.CANCEL_REFUSED and after is OrderState.WORKING and order.fills:
        after = OrderState.PARTIALLY_FILLED
    return (order if after is order.state else replace(order, state=after)), ""


def apply_fill(order: Order, fill: Fill) -> tuple[Order, str, bool]:
    """Return `order` with `fill` booked, an anomaly in words ("" if none), and whether the fill was new.

    A fill seen before changes nothing but what it cost: a broker may tell that later. A fill that the table does not
    expect, or that exceeds the order, is booked all the same and reported.
    """
    if fill.execution_id in order.busted:
        return order, "", False
    if any(known.execution_id == fill.execution_id for known in order.fills):
        charged = (
            replace(known, fees=fill.fees) if known.execution_id == fill.execution_id else known
            for known in order.fills
        )
        return replace(order, fills=tuple(charged)), "", False
    booked = replace(order, fills=(*order.fills, fill))
    excess = booked.filled_quantity - order.request.quantity
    trigger = Trigger.FILLED_PARTLY if excess < ZERO else Trigger.FILLED_FULLY
    after, anomaly = apply(booked, trigger)
    if anomaly:
        return after, f"execution {fill.execution_id}: {anomaly}", True
    if excess > ZERO:
        return after, f"execution {fill.execution_id} exceeds the order by {excess}", True
    return after, "", True


def bust(order: Order, execution_id: str) -> tuple[Order, str]:
    """Return `order` without the execution that the broker undid, and an anomaly in words ("" if none)."""
    if execution_id in order.busted:
        return order, ""
    rest = tuple(fill for fill in order.fills if fill.execution_id != execution_id)
    undone = replace(order, fills=rest, busted=(*order.busted, execution_id))
    if len(rest) == len(order.fills):
        return undone, f"bust of the unknown execution {execution_id}"
    return undone, ""
