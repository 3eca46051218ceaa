"""The one exit authority of each position: its protective stop, and how it is left.

A position is left in this order: rest of the entry cancelled, protective stop cancelled, and only when both
are confirmed gone a market order for what is still held. So an exit can never sell more than the position.
"""

from decimal import Decimal

from tbot_bot.core.bars import Bar
from tbot_bot.core.commands import ExitDecided, RaiseAlert, Severity, StopMoved, TradeOpened
from tbot_bot.core.identity import Leg, StrategyName
from tbot_bot.core.instruments import AssetClass, Instrument, Rounding, equity
from tbot_bot.core.money import ONE, ZERO
from tbot_bot.core.orders import Fill, OrderRequest, OrderType
from tbot_bot.core.trails import TrailingTrigger
from tbot_bot.strategy.exits import trail
from tbot_bot.strategy.strategy_meta import tick_of_bar
from tbot_bot.trading import trailing
from tbot_bot.trading.broker_health import is_frozen
from tbot_bot.trading.closing import finish
from tbot_bot.trading.gate import ApprovedOrder, Holding, approve_exit
from tbot_bot.trading.order_desk import cancel_open, request_for, submit
from tbot_bot.trading.orders_bot import Order, OrderState
from tbot_bot.trading.session_state import SessionState, Trade, TradeState

EXIT_FAILURES_BEFORE_ALARM = 3
"""Refused exits of one position after which a person is called; trying goes on."""


def leave(state: SessionState, trade: Trade, code: str, reason: str) -> None:
    """Decide to end `trade`; the first reason stands."""
    if trade.exit_code or trade.state is TradeState.CLOSED:
        return
    _decide(state, trade, code, reason, _last_price(state, trade))
    if trade.state is TradeState.OPEN:
        trade.state = TradeState.EXITING
    pursue(state, trade)


def pursue(state: SessionState, trade: Trade) -> None:
    """Take the next step of a decided exit, or of a trade that has become flat."""
    if trade.state is TradeState.CLOSED or trade.instrument is None:
        return
    held = state.held(trade)
    over = bool(trade.exit_code) or (held <= ZERO and not state.open_orders_of(trade, Leg.ENTRY))
    if not over or (held > ZERO and is_frozen(state, trade)):
        return
    cancel_open(state, trade, Leg.ENTRY)
    cancel_open(state, trade, Leg.STOP)
    if state.open_orders_of(trade, Leg.ENTRY) or state.open_orders_of(trade, Leg.STOP):
        return
    if held > ZERO:
        if not state.open_orders_of(trade, Leg.EXIT):
            _send_exit(state, trade, trade.instrument, held)
        return
    cancel_open(state, trade, Leg.EXIT)
    if not state.open_orders_of(trade, Leg.EXIT):
        finish(state, trade)


def on_entry_fill(state: SessionState, trade: Trade, fill: Fill) -> None:
    """Protect what an entry execution has bought."""
    if trade.entered_at is None:
        trade.entered_at = fill.transacted_at
        if trade.state is TradeState.ENTERING:
            trade.state = TradeState.OPEN
        trade.best = float(fill.price if _watches_itself(trade) else trade.signal.price)
        trade.stop_price = _initial_stop(state, trade)
        state.emit(TradeOpened(at=state.at, trade_id=trade.trade_id, price=fill.price, quantity=fill.quantity))
    if trade.exit_code:
        pursue(state, trade)
    else:
        protect(state, trade)


def on_bust(state: SessionState, trade: Trade, order: Order, execution_id: str) -> None:
    """Follow an execution that the broker undid: more or less is held than we thought."""
    if trade.state is TradeState.CLOSED:
        reopen(state, trade, order.request.client_order_id, f"execution {execution_id} was undone")
    elif not trade.exit_code:
        protect(state, trade)
    pursue(state, trade)


def reopen(state: SessionState, trade: Trade, client_order_id: str, what: str) -> None:
    """Take a trade up again that was over: `what` happened after its last order was gone."""
    state.anomaly(client_order_id, f"{what} after the trade was over")
    state.emit(
        RaiseAlert(
            severity=Severity.CRITICAL,
            title=f"{trade.symbol}: not as it ended",
            text=f"{trade.trade_id}: {what} after the end; closing what is held",
        )
    )
    trade.state = TradeState.EXITING
    trade.exit_code = trade.exit_code or "late_execution"


def on_stop_fill(state: SessionState, trade: Trade, order: Order) -> None:
    """Take note that the protective stop has fired."""
    if not trade.exit_code:
        trails = state.spec.strategy is StrategyName.OPEN
        stop = order.request.stop
        at_price = stop.price if stop is not None else ZERO
        reason = f"{trade.watched} passed the stop at {at_price}"
        if isinstance(stop, TrailingTrigger):
            at_price = trade.trailed_to or at_price
            reason = f"{trade.watched} passed the broker's trailing stop, last told at {at_price}"
        own = at_price if _watches_itself(trade) else ZERO
        _decide(state, trade, "trailing_stop" if trails else "stop", reason, own)
        trade.state = TradeState.EXITING
    if order.is_open and state.open_orders_of(trade, Leg.STOP) == [order]:
        return  # the rest of it is the exit; an order that replaces it would sell what it has sold
    pursue(state, trade)


def on_exit_refused(state: SessionState, trade: Trade, reason: str) -> None:
    """Count a refused exit; the next bar tries again."""
    trade.exit_failures += 1
    if trade.exit_failures == EXIT_FAILURES_BEFORE_ALARM:
        state.emit(
            RaiseAlert(
                severity=Severity.CRITICAL,
                title=f"{trade.symbol} cannot be closed",
                text=f"{trade.trade_id}: {trade.exit_failures} exit orders refused, the last because: {reason}",
            )
        )


def follow(state: SessionState, trade: Trade, bar: Bar) -> None:
    """Let OPEN's stop trail the price of the symbol that it watches; `bar` is complete and after the entry."""
    if trade.entered_at is None or bar.start < trade.entered_at:
        return
    if trailing.standing(state, trade) is not None:
        trailing.lags(state, trade)  # by the bars before this one: what it moves may not have been told yet
    fraction = float(state.spec.stop_fraction)
    trade.best, level = trail(trade.best, tick_of_bar(bar), fraction, trade.stop_rises)
    price = _on_grid(trade, level)
    better = price < trade.stop_price if trade.stop_rises else price > trade.stop_price
    if better:
        trade.stop_price = price
        protect(state, trade)


def on_trailed(state: SessionState, trade: Trade, order: Order, price: Decimal) -> None:
    """Take note of where the broker has moved its trailing stop to."""
    if trailing.on_told(state, trade, order, price):
        protect(state, trade)


def _decide(state: SessionState, trade: Trade, code: str, reason: str, price: Decimal) -> None:
    trade.exit_code, trade.exit_decision_price = code, price
    state.emit(ExitDecided(at=state.at, trade_id=trade.trade_id, code=code, reason=reason))


def protect(state: SessionState, trade: Trade) -> None:
    """Make a stop of the held quantity rest at the trade's stop price; nothing to do where it does already."""
    held = state.held(trade)
    if held <= ZERO or trade.instrument is None or is_frozen(state, trade):
        return
    resting = state.open_orders_of(trade, Leg.STOP)
    standing = [order for order in resting if _stands(order)]
    if resting and not standing:
        return  # its replacement was refused, and it may rest still: two stops could sell twice
    if len(standing) < len(resting):
        return  # the one before it has been replaced, and the broker has not said so: it is asked again when it has
    if any(order.state is OrderState.UNKNOWN for order in standing):
        return  # it is looked up first: what would take its place might find nothing there, or both of them resting
    current = standing[-1] if standing else None
    trigger = trailing.trigger(state, trade)
    if current is not None and trailing.same(current.request.stop, trigger) and current.remaining == held:
        return
    entry = state.orders_of(trade, Leg.ENTRY)[0].request
    request = request_for(
        trade,
        Leg.STOP,
        instrument=trade.instrument,
        side=entry.side.closing,
        quantity=held,
        order_type=OrderType.STOP,
        stop=trigger,
        replaces=None if current is None else current.request.client_order_id,
    )
    if not _send(state, trade, Leg.STOP, request):
        return
    trade.trailed_to = trigger.price if isinstance(trigger, TrailingTrigger) else ZERO
    state.emit(
        StopMoved(at=state.at, trade_id=trade.trade_id, watched=trade.watched, price=trade.stop_price, quantity=held)
    )


def _stands(order: Order) -> bool:
    return order.is_open and order.state is not OrderState.CANCEL_REQUESTED


def _send_exit(state: SessionState, trade: Trade, instrument: Instrument, held: Decimal) -> None:
    entry = state.orders_of(trade, Leg.ENTRY)[0].request
    request = request_for(
        trade,
        Leg.EXIT,
        instrument=instrument,
        side=entry.side.closing,
        quantity=held,
        order_type=OrderType.MARKET,
    )
    _send(state, trade, Leg.EXIT, request)


def _send(state: SessionState, trade: Trade, leg: Leg, request: OrderRequest) -> bool:
    """Send an order that leaves or protects the position, if the gate finds that it can do nothing else."""
    others = (
        order
        for kind in (Leg.STOP, Leg.EXIT)
        for order in state.open_orders_of(trade, kind)
        if order.request.client_order_id != request.replaces
    )
    entry = state.orders_of(trade, Leg.ENTRY)[0].request
    holding = Holding(
        opened_by=entry.side,
        quantity=state.held(trade),
        resting=sum((order.remaining for order in others), ZERO),
        symbol=entry.instrument.symbol,
    )
    approved = approve_exit(request, holding)
    if isinstance(approved, ApprovedOrder):
        submit(state, trade, leg, approved)
        trade.unsent.discard(leg)
        return True
    if leg in trade.unsent:
        return False  # told already, and tried again at each event
    trade.unsent.add(leg)
    state.anomaly(request.client_order_id, f"not sent: {approved}")
    state.emit(
        RaiseAlert(
            severity=Severity.CRITICAL,
            title=f"{trade.symbol}: an exit was not sent",
            text=f"{trade.trade_id}: {approved}; a person has to look at the position",
        )
    )
    return False


def _initial_stop(state: SessionState, trade: Trade) -> Decimal:
    fraction = state.spec.stop_fraction
    factor = ONE + fraction if trade.stop_rises else ONE - fraction
    return _on_grid(trade, float(Decimal(repr(trade.best)) * factor))


def _on_grid(trade: Trade, level: float) -> Decimal:
    """Return `level` on the watched symbol's tick grid, toward the price: the nearer stop protects more."""
    rounding = Rounding.DOWN if trade.stop_rises else Rounding.UP
    return equity(trade.watched).round_price(level, rounding)


def _watches_itself(trade: Trade) -> bool:
    return trade.instrument is not None and trade.watched == trade.instrument.symbol


def _last_price(state: SessionState, trade: Trade) -> Decimal:
    instrument = trade.instrument
    if instrument is None or instrument.asset_class is AssetClass.OPTION:
        return ZERO  # nobody quoted the put at this instant
    price = state.last_price.get(instrument.symbol)
    return ZERO if price is None else instrument.round_price(price)
