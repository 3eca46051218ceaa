"""Making, cancelling and replacing orders: the only place where the engine asks anything of a broker."""

from decimal import Decimal

from tbot_bot.core.commands import CancelOrder, ReplaceOrder, SubmitOrder
from tbot_bot.core.identity import Leg, client_order_id
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.orders import OrderRequest, OrderType, Side, StopTrigger
from tbot_bot.trading.gate import ApprovedOrder
from tbot_bot.trading.orders_bot import Order, OrderState, Trigger, apply, new_order
from tbot_bot.trading.risk_bot import within_a_minute
from tbot_bot.trading.session_state import SessionState, Trade


def next_order_id(trade: Trade, leg: Leg) -> str:
    """Return the id that the next order of `leg` will have."""
    return client_order_id(trade.trade_id, leg, trade.attempts.get(leg, 0) + 1)


def request_for(
    trade: Trade,
    leg: Leg,
    *,
    instrument: Instrument,
    side: Side,
    quantity: Decimal,
    order_type: OrderType,
    limit_price: Decimal | None = None,
    stop: StopTrigger | None = None,
    replaces: str | None = None,
) -> OrderRequest:
    """Return the request for the next order of `leg`."""
    return OrderRequest(
        client_order_id=next_order_id(trade, leg),
        trade_id=trade.trade_id,
        broker=trade.broker,
        instrument=instrument,
        side=side,
        quantity=quantity,
        order_type=order_type,
        limit_price=limit_price,
        stop=stop,
        replaces=replaces,
    )


def submit(state: SessionState, trade: Trade, leg: Leg, approved: ApprovedOrder) -> None:
    """Place what the gate has approved, or put it in the place of the order that it replaces."""
    request = approved.request
    order, _ = apply(new_order(request, state.at), Trigger.SENT)
    state.orders[request.client_order_id] = order
    trade.order_ids.append((leg, request.client_order_id))
    trade.attempts[leg] = trade.attempts.get(leg, 0) + 1
    state.order_times = [*within_a_minute(state.order_times, state.at), state.at]
    if request.replaces is None:
        state.emit(SubmitOrder(order=request))
    else:
        set_state(state, request.replaces, Trigger.CANCEL_ASKED)
        state.emit(ReplaceOrder(order=request))


def cancel_open(state: SessionState, trade: Trade, leg: Leg) -> None:
    """Ask for the cancel of every order of `leg` that may still fill and has not been asked yet."""
    for order in state.open_orders_of(trade, leg):
        if order.state is not OrderState.CANCEL_REQUESTED:
            set_state(state, order.request.client_order_id, Trigger.CANCEL_ASKED)
            state.emit(CancelOrder(broker=trade.broker, client_order_id=order.request.client_order_id))


def set_state(state: SessionState, order_id: str, trigger: Trigger) -> Order | None:
    """Apply `trigger` to the order; an unknown order or a forbidden step is an anomaly (None, or unchanged)."""
    order = state.orders.get(order_id)
    if order is None:
        state.anomaly(order_id, f"{trigger} for an order that is not of this session")
        return None
    after, anomaly = apply(order, trigger)
    if anomaly:
        state.anomaly(order_id, anomaly)
    state.orders[order_id] = after
    return after
