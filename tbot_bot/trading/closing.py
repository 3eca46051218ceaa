"""The end of a trade: its record, and its result."""

from decimal import Decimal
from typing import Final

from tbot_bot.core.commands import RaiseAlert, Severity, TradeRecord
from tbot_bot.core.identity import Leg
from tbot_bot.core.money import ZERO, to_cents
from tbot_bot.core.orders import Fill
from tbot_bot.trading.orders_bot import OrderState
from tbot_bot.trading.session_state import SessionState, Trade, TradeState

_OUT = (Leg.STOP, Leg.EXIT)
AVERAGE_DECIMALS: Final = 6
"""Digits of an average price shown to people; results are computed from the executions themselves."""


def finish(state: SessionState, trade: Trade, *, unclosed: bool = False) -> None:
    """Record `trade` as over; `unclosed`: the day's data ended while it was held."""
    bought, sold = state.fills_of(trade, (Leg.ENTRY,)), state.fills_of(trade, _OUT)
    instrument = trade.instrument
    if instrument is None:
        trade.state = TradeState.CLOSED
        return
    entry = state.orders_of(trade, Leg.ENTRY)[0]
    sign = 1 if entry.request.side.buys else -1
    fees = sum((fill.fees for fill in (*bought, *sold)), ZERO)
    gross = ZERO if unclosed else sign * instrument.multiplier * (_value(sold) - _value(bought))
    pnl = to_cents(gross - fees)
    size = _quantity(bought)
    error = _error_code(state, trade, size, entry.request.quantity, unclosed=unclosed)
    state.emit(
        TradeRecord(
            at=sold[-1].transacted_at if sold else state.at,
            entered_at=trade.entered_at,
            trade_id=trade.trade_id,
            strategy=state.spec.strategy,
            ticker=trade.symbol,
            underlying=instrument.underlying or instrument.symbol,
            side=trade.direction,
            instrument=instrument.symbol,
            size=size,
            entry_price=_average(bought),
            exit_price=_average(sold),
            pnl=pnl,
            fees=to_cents(fees),
            slippage=to_cents(
                sign
                * instrument.multiplier
                * (_worse(bought, trade.decision_price) - _worse(sold, trade.exit_decision_price))
            ),
            exit_reason=trade.exit_code or ("unfilled" if size <= ZERO else "closed"),
            broker=trade.broker,
            mode=state.spec.mode,
            session_id=str(state.spec.session),
            tags=(*state.spec.tags, *(("MODELLED_PRICE",) if any(fill.modelled for fill in bought) else ())),
            error_code=error,
            signal_to_order_ns=entry.created_at - trade.signal_at,
            order_to_fill_ns=(bought[0].transacted_at - entry.created_at) if bought else 0,
        )
    )
    trade.state = TradeState.CLOSED
    if error == "oversold":
        state.emit(
            RaiseAlert(
                severity=Severity.CRITICAL,
                title=f"{trade.symbol}: closed for more than was held",
                text=f"{trade.trade_id}: {-state.held(trade)} too many; the account has to be looked at by a person",
            )
        )
    if not unclosed:
        state.realized[trade.broker] = state.realized.get(trade.broker, ZERO) + pnl - trade.booked
        trade.booked = pnl
        state.results_changed = True


def close_the_books(state: SessionState) -> None:
    """Record every trade as over because no more data will come, and call a person where one is still held."""
    for trade in state.active_trades():
        if state.held(trade) > ZERO:
            state.emit(
                RaiseAlert(
                    severity=Severity.CRITICAL,
                    title=f"{trade.symbol} is still held",
                    text=f"{trade.trade_id}: the market's data ended before the position could be closed",
                )
            )
    for trade in state.active_trades():
        finish(state, trade, unclosed=state.held(trade) > ZERO)


def _error_code(state: SessionState, trade: Trade, size: Decimal, asked: Decimal, *, unclosed: bool) -> str:
    if unclosed:
        return "unclosed"
    if state.held(trade) < ZERO:
        return "oversold"
    if size > ZERO:
        return "partial" if size < asked else ""
    entry = state.orders_of(trade, Leg.ENTRY)[0]
    return "rejected" if entry.state is OrderState.REJECTED else "unfilled"


def _quantity(fills: list[Fill]) -> Decimal:
    return sum((fill.quantity for fill in fills), ZERO)


def _value(fills: list[Fill]) -> Decimal:
    return sum((fill.price * fill.quantity for fill in fills), ZERO)


def _average(fills: list[Fill]) -> Decimal | None:
    quantity = _quantity(fills)
    return round(_value(fills) / quantity, AVERAGE_DECIMALS) if quantity > ZERO else None


def _worse(fills: list[Fill], decided: Decimal) -> Decimal:
    """Return how much more was paid (or got, for an exit) than at the price decided; zero where none was known."""
    return _value(fills) - decided * _quantity(fills) if decided > ZERO else ZERO
