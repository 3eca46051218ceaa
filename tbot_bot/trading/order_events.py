"""What the broker says of our orders, carried into orders and trades."""

from collections.abc import Mapping
from typing import Final

from tbot_bot.core.events import (
    AnswerLost,
    CancelRejected,
    FillBusted,
    OrderAcknowledged,
    OrderCancelled,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from tbot_bot.core.identity import Leg
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Fill
from tbot_bot.core.trails import StopTrailed
from tbot_bot.trading import exit_desk, protection
from tbot_bot.trading.order_desk import set_state
from tbot_bot.trading.orders_bot import Order, Trigger, apply_fill, bust
from tbot_bot.trading.session_state import SessionState, Trade, TradeState

TRIGGERS: Final[Mapping[type, Trigger]] = {
    OrderAcknowledged: Trigger.ACKNOWLEDGED,
    OrderCancelled: Trigger.CANCELLED,
    OrderReplaced: Trigger.REPLACED,
    OrderRejected: Trigger.REJECTED,
    CancelRejected: Trigger.CANCEL_REFUSED,
    OrderExpired: Trigger.EXPIRED,
    AnswerLost: Trigger.ANSWER_LOST,
}


def on_order_event(state: SessionState, event: OrderEvent) -> None:
    """Apply one broker event; what does not fit is an anomaly, never an exception."""
    match event:
        case OrderFilled():
            _on_fill(state, event.fill)
        case FillBusted():
            _on_bust(state, event)
        case StopTrailed():
            _on_trailed(state, event)
        case _:
            _on_status(state, event)


def _on_fill(state: SessionState, fill: Fill) -> None:
    order = state.orders.get(fill.client_order_id)
    if order is None:
        state.anomaly(fill.client_order_id, f"execution {fill.execution_id} of an order that is not of this session")
        return
    after, anomaly, is_new = apply_fill(order, fill)
    if anomaly:
        state.anomaly(fill.client_order_id, anomaly)
    state.orders[fill.client_order_id] = after
    if not is_new:
        return
    trade, leg = _trade_and_leg(state, after)
    if trade.state is TradeState.CLOSED:
        what = f"execution {fill.execution_id} of {fill.quantity} at {fill.price} came"
        exit_desk.reopen(state, trade, fill.client_order_id, what)
    match leg:
        case Leg.ENTRY:
            exit_desk.on_entry_fill(state, trade, fill)
        case Leg.STOP:
            exit_desk.on_stop_fill(state, trade, after)
        case Leg.EXIT | Leg.DEAD_MAN:
            exit_desk.pursue(state, trade)
        case Leg.CANARY:
            pass  # no session sends one


def _on_bust(state: SessionState, event: FillBusted) -> None:
    order = state.orders.get(event.client_order_id)
    if order is None:
        state.anomaly(event.client_order_id, f"bust of {event.execution_id}: the order is not of this session")
        return
    after, anomaly = bust(order, event.execution_id)
    state.orders[event.client_order_id] = after
    state.anomaly(event.client_order_id, anomaly or f"execution {event.execution_id} undone: {event.reason}")
    if after == order:
        return
    trade, _ = _trade_and_leg(state, after)
    exit_desk.on_bust(state, trade, after, event.execution_id)


def _on_trailed(state: SessionState, event: StopTrailed) -> None:
    order = state.orders.get(event.client_order_id)
    if order is None:
        state.anomaly(event.client_order_id, f"a stop moved to {event.price} that is not of this session")
        return
    trade, _ = _trade_and_leg(state, order)
    exit_desk.on_trailed(state, trade, order, event.price)


def _on_status(
    state: SessionState,
    event: OrderAcknowledged
    | OrderCancelled
    | OrderReplaced
    | OrderRejected
    | CancelRejected
    | OrderExpired
    | AnswerLost,
) -> None:
    order = set_state(state, event.client_order_id, TRIGGERS[type(event)])
    if order is None:
        return
    if isinstance(event, OrderReplaced):
        successor = set_state(state, event.by, Trigger.ACKNOWLEDGED)
        if successor is None:
            return
    trade, leg = _trade_and_leg(state, order)
    if order.is_open:
        return
    reason = getattr(event, "reason", "") or type(event).__name__
    match leg:
        case Leg.STOP:
            protection.on_stop_lost(state, trade, order, reason, refused=isinstance(event, OrderRejected))
            if isinstance(event, OrderReplaced) and not trade.exit_code:
                exit_desk.protect(state, trade)  # more may be held, or the price further on, than when it was asked
        case Leg.EXIT if state.held(trade) > ZERO:
            exit_desk.on_exit_refused(state, trade, reason)
            return  # the next bar tries again, not this instant
        case _:
            pass
    exit_desk.pursue(state, trade)


def _trade_and_leg(state: SessionState, order: Order) -> tuple[Trade, Leg]:
    trade = state.trades[order.request.trade_id]
    leg = next(leg for leg, order_id in trade.order_ids if order_id == order.request.client_order_id)
    return trade, leg
