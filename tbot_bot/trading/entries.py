"""From a signal to an entry order: confirmation, instrument, size, checks."""

from dataclasses import replace
from decimal import Decimal

from tbot_bot.core.commands import (
    CheckAnswered,
    ConfirmationAwaited,
    Phase,
    ReadPutQuotes,
    SignalDropped,
    TradeApproved,
)
from tbot_bot.core.events import PutQuotesRead
from tbot_bot.core.identity import Leg, trade_id
from tbot_bot.core.instruments import Instrument, Rounding
from tbot_bot.core.money import ONE, ZERO
from tbot_bot.core.options import PutQuote
from tbot_bot.core.orders import Account, Direction, OrderRequest, OrderType, Side
from tbot_bot.core.policies import EntryOrder, Routing
from tbot_bot.core.screening import Outcome
from tbot_bot.trading import allocation, broker_health, sizing
from tbot_bot.trading.gate import approve_entry
from tbot_bot.trading.instrument_choice import Chosen, PutWanted, Unavailable, choose, choose_put
from tbot_bot.trading.order_desk import request_for, submit
from tbot_bot.trading.risk_bot import Intent, RiskView, within_a_minute
from tbot_bot.trading.session_state import SessionState, Signal, Trade, TradeState
from tbot_bot.trading.spec import BrokerSpec


def route(state: SessionState, signal: Signal) -> None:
    """Offer `signal` to the brokers that the routing names."""
    for broker in state.spec.brokers:
        if broker.name not in state.accounts:
            drop(state, signal, broker.name, "no_account", "the broker's account could not be read")
            continue
        closed = broker_health.why_no_entries(state, broker.name)
        if state.spec.routing is Routing.FIRST and closed:
            drop(state, signal, broker.name, "broker_halted", closed)
            continue
        choice = _choice_at(state, signal, broker)
        if isinstance(choice, Unavailable):
            drop(state, signal, broker.name, choice.code, choice.reason)
            continue
        _begin(state, signal, broker.name)
        if state.spec.routing is Routing.FIRST:
            return


def drop(
    state: SessionState,
    signal: Signal,
    broker: str,
    code: str,
    reason: str,
    checks: tuple[CheckAnswered, ...] = (),
) -> None:
    """Record that `signal` becomes no order at `broker` (at none, where empty)."""
    state.emit(
        SignalDropped(
            at=state.at,
            trade_id=trade_id(state.spec.session, broker or "all", signal.symbol),
            broker=broker,
            symbol=signal.symbol,
            direction=signal.direction,
            code=code,
            reason=reason,
            checks=checks,
        )
    )


def confirm(state: SessionState, trade: Trade) -> None:
    """Let a signal that waited for a person go ahead, at today's prices and under today's limits."""
    if trade.state is TradeState.AWAITING_CONFIRMATION:
        _proceed(state, trade)


def abandon(state: SessionState, trade: Trade, code: str, reason: str) -> None:
    """End a trade that has no order yet."""
    trade.state = TradeState.CLOSED
    drop(state, trade.signal, trade.broker, code, reason)


def on_put_quotes(state: SessionState, event: PutQuotesRead) -> None:
    """Pick a put from the answer and place the entry, or drop the signal."""
    trade = state.trades.get(event.trade_id)
    if trade is None or trade.state is not TradeState.AWAITING_QUOTES:
        state.anomaly("", f"put quotes for {event.trade_id}, which does not wait for any")
        return
    if event.problem:
        abandon(state, trade, "no_put", event.problem)
        return
    picked = choose_put(event.quotes, trade.signal.price, state.spec.bearish)
    if isinstance(picked, Unavailable):
        abandon(state, trade, picked.code, picked.reason)
        return
    state.quotes[picked.instrument.symbol] = picked.quote
    trade.watched, trade.stop_rises = trade.symbol, True
    _place_entry(state, trade, picked.instrument, Side.BUY, picked)


def _choice_at(state: SessionState, signal: Signal, broker: BrokerSpec) -> Chosen | PutWanted | Unavailable:
    return choose(
        symbol=signal.symbol,
        direction=signal.direction,
        verdict=state.verdicts[signal.symbol],
        rules=state.spec.bearish,
        capabilities=broker.capabilities,
        fractional=state.spec.allocation.fractional,
    )


def _begin(state: SessionState, signal: Signal, broker: str) -> None:
    trade = Trade(
        trade_id=trade_id(state.spec.session, broker, signal.symbol),
        broker=broker,
        symbol=signal.symbol,
        direction=signal.direction,
        signal_at=signal.at,
        signal=signal,
        state=TradeState.AWAITING_CONFIRMATION,
        short_type=state.spec.bearish.short_type if signal.direction is Direction.BEARISH else None,
    )
    state.trades[trade.trade_id] = trade
    if state.spec.confirmation_required:
        lapses_at = state.spec.windows.entry_end
        state.emit(ConfirmationAwaited(at=state.at, trade_id=trade.trade_id, symbol=trade.symbol, lapses_at=lapses_at))
        return
    _proceed(state, trade)


def _proceed(state: SessionState, trade: Trade) -> None:
    broker = _broker_spec(state, trade.broker)
    choice = _choice_at(state, trade.signal, broker)
    match choice:
        case Unavailable():
            abandon(state, trade, choice.code, choice.reason)
        case PutWanted():
            trade.state = TradeState.AWAITING_QUOTES
            state.emit(
                ReadPutQuotes(
                    trade_id=trade.trade_id,
                    broker=trade.broker,
                    underlying=trade.symbol,
                    spot=trade.signal.price,
                    at=state.at,
                    min_days=state.spec.bearish.put_min_days,
                )
            )
        case Chosen():
            trade.watched, trade.stop_rises = choice.watched, choice.stop_rises
            _place_entry(state, trade, choice.instrument, choice.side, None)


def _place_entry(state: SessionState, trade: Trade, instrument: Instrument, side: Side, put: PutQuote | None) -> None:
    price = put.quote.ask if put else _last(state, instrument)
    slip = state.spec.allocation.max_slippage
    toward, factor = (Rounding.UP, ONE + slip) if side.buys else (Rounding.DOWN, ONE - slip)
    limit = instrument.round_price(price * factor, toward)
    worst = max(limit, price)
    fractions = state.shares.get(trade.broker, ())
    taken = state.approved(trade.broker)
    allotted = ZERO
    if taken < len(fractions):
        allotted = allocation.allotment(state.budgets[trade.broker], fractions[taken])
    account = _account(state, trade.broker)
    quantity = sizing.quantity_for(
        mode=state.spec.allocation.sizing_mode,
        allotted=allotted,
        instrument=instrument,
        worst_price=worst,
        stop_distance=worst if put else worst * state.spec.stop_fraction,
        notional_cap=state.spec.limits.max_risk_per_trade * account.equity,
    )
    is_market = state.spec.allocation.entry_order is EntryOrder.MARKET
    request = request_for(
        trade,
        Leg.ENTRY,
        instrument=instrument,
        side=side,
        quantity=quantity,
        order_type=OrderType.MARKET if is_market else OrderType.LIMIT,
        limit_price=None if is_market else limit,
    )
    intent = Intent(
        order=request,
        symbol=trade.symbol,
        worst_price=worst,
        notional=instrument.notional(worst, quantity),
        allotted=allotted,
    )
    asked = approve_entry(intent, _view(state, trade, account, request, price, put), state.spec.limits)
    if asked.approved is None:
        trade.state = TradeState.CLOSED
        first = asked.objections[0]
        drop(state, trade.signal, trade.broker, first.rule, first.reason, asked.answers)
        return
    trade.state, trade.instrument, trade.decision_price, trade.allotted = (
        TradeState.ENTERING,
        instrument,
        price,
        allotted,
    )
    state.emit(
        TradeApproved(
            at=state.at,
            trade_id=trade.trade_id,
            broker=trade.broker,
            symbol=trade.symbol,
            instrument=instrument.symbol,
            direction=trade.direction,
            short_type=trade.short_type,
            quantity=quantity,
            decision_price=price,
            allotted=allotted,
            checks=asked.answers,
        )
    )
    known = state.approved_since_mark.get(trade.broker, ZERO)
    state.approved_since_mark[trade.broker] = known + intent.notional
    submit(state, trade, Leg.ENTRY, asked.approved)


def _view(
    state: SessionState, trade: Trade, account: Account, order: OrderRequest, price: Decimal, put: PutQuote | None
) -> RiskView:
    instrument, side = order.instrument, order.side
    broker = _broker_spec(state, trade.broker)
    verdict = state.verdicts[trade.symbol]
    quote = put.quote if put else state.quotes.get(instrument.symbol)
    seen = max(state.last_seen.get(instrument.symbol, 0), 0 if quote is None else quote.at)
    return RiskView(
        at=state.at,
        mode=state.spec.mode,
        test_mode=state.spec.test_mode,
        phase=_entry_phase(state),
        entries_off=broker_health.entries_off(state),
        broker_halted=broker_health.why_no_entries(state, trade.broker),
        capabilities=broker.capabilities,
        tradable=all(rule.outcome is not Outcome.FAILED for rule in verdict.rules if rule.rule == "tradable"),
        symbol_halt=broker_health.symbol_halt(state, trade.broker, instrument.symbol, trade.symbol),
        known_order_ids=frozenset(state.orders),
        blocked=trade.symbol in state.spec.limits.blocked_symbols or trade.symbol in state.traded_earlier,
        session_trades=state.approved(trade.broker),
        session_trades_max=len(state.shares.get(trade.broker, ())),
        broker_positions=state.slots_used(trade.broker),
        all_positions=state.slots_used() + state.earlier_open_trades,
        budget=state.budgets.get(trade.broker, ZERO),
        committed=state.committed(trade.broker),
        account=account,
        last_trade=price,
        price_age=state.at - seen,
        bar_span=state.spec.windows.bar_span,
        quote=quote,
        average_volume=_average_volume(state, trade.symbol),
        orders_last_minute=len(within_a_minute(state.order_times, state.at)),
        opposite_orders=_opposite_orders(state, trade, instrument, side),
    )


def _account(state: SessionState, broker: str) -> Account:
    """Return the account as last read, less what has been approved since: the broker may not know of it yet."""
    account = state.marks.get(broker) or state.accounts[broker]
    spent = state.approved_since_mark.get(broker, ZERO)
    return replace(
        account, buying_power=account.buying_power - spent, settled_cash=max(account.settled_cash - spent, ZERO)
    )


def _entry_phase(state: SessionState) -> Phase:
    """Return the session's phase; an answer that came for the window's very last bar still counts as within it."""
    in_time = state.phase is Phase.MONITORING and state.at <= state.spec.windows.entry_end
    return Phase.BREAKOUT if in_time else state.phase


def _opposite_orders(state: SessionState, trade: Trade, instrument: Instrument, side: Side) -> int:
    return sum(
        1
        for order in state.orders.values()
        if order.is_open
        and order.request.trade_id != trade.trade_id
        and order.request.instrument.symbol == instrument.symbol
        and order.request.side.buys is not side.buys
        and order.request.broker == trade.broker
    )


def _average_volume(state: SessionState, symbol: str) -> Decimal | None:
    return state.verdicts[symbol].average_volume


def _broker_spec(state: SessionState, name: str) -> BrokerSpec:
    return next(broker for broker in state.spec.brokers if broker.name == name)


def _last(state: SessionState, instrument: Instrument) -> Decimal:
    price = state.last_price.get(instrument.symbol)
    return ZERO if price is None else instrument.round_price(price)
