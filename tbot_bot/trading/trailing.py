"""Who moves the trailing stop of a position: the broker where it can, else we.

Beside a stop that the broker moves runs the level at which a stop of ours would stand, from complete bars. Where the
broker cannot move this one exactly as the strategy wants, refuses it, loses it, or leaves it clearly behind that
level, the position gets a stop of ours for the rest of its life, at the best level known, in the place of the other.
"""

from decimal import Decimal
from typing import Final

from tbot_bot.core.commands import StopMoved, TrailKeptHere
from tbot_bot.core.identity import Leg, StrategyName
from tbot_bot.core.instruments import AssetClass
from tbot_bot.core.money import ONE, ZERO
from tbot_bot.core.orders import StopTrigger
from tbot_bot.core.trails import TrailingTrigger
from tbot_bot.trading.orders_bot import Order, OrderState
from tbot_bot.trading.session_state import SessionState, Trade

LAG_MAX: Final = Decimal("0.25")
"""Of the stop's distance: so far a broker's stop may stand behind ours. Brokers count other trades than bars do."""
PERCENT_STEP: Final = Decimal("0.01")
"""The finest percentage that is asked of a broker."""


def trigger(state: SessionState, trade: Trade) -> StopTrigger:
    """Return when the protective stop of `trade` shall wake, and by whom it is moved meanwhile."""
    ours = StopTrigger(symbol=trade.watched, price=trade.stop_price, rising=trade.stop_rises)
    if state.spec.strategy is not StrategyName.OPEN or trade.trail_kept_here or not _broker_can(state, trade):
        return ours
    why = _why_not(state, trade)
    if why:
        keep_here(state, trade, why)
        return ours
    return TrailingTrigger(
        symbol=ours.symbol, price=ours.price, rising=ours.rising, trail=state.spec.stop_fraction.normalize()
    )


def same(resting: StopTrigger | None, wanted: StopTrigger) -> bool:
    """Return whether `resting` need not make room for `wanted`; where a broker's own stop stands is its business."""
    if isinstance(resting, TrailingTrigger) and isinstance(wanted, TrailingTrigger):
        return resting.trail == wanted.trail
    return resting == wanted


def keep_here(state: SessionState, trade: Trade, reason: str) -> None:
    """Let no broker move the stop of `trade` any more; the first reason stands."""
    if not trade.trail_kept_here:
        trade.trail_kept_here = reason
        state.emit(TrailKeptHere(at=state.at, trade_id=trade.trade_id, reason=reason))


def is_behind(state: SessionState, trade: Trade) -> bool:
    """Return whether the broker's stop protects clearly less than a stop at the trade's own level would."""
    if trade.trailed_to <= ZERO:
        return False
    behind = trade.trailed_to - trade.stop_price if trade.stop_rises else trade.stop_price - trade.trailed_to
    return behind > LAG_MAX * state.spec.stop_fraction * trade.stop_price


def on_told(state: SessionState, trade: Trade, order: Order, price: Decimal) -> bool:
    """Take note of where the broker has moved a stop to; return whether it must make room for one of ours."""
    current = standing(state, trade)
    if current != order or trade.exit_code or price == trade.trailed_to:
        return False
    trade.trailed_to = price
    if price < trade.stop_price if trade.stop_rises else price > trade.stop_price:
        trade.stop_price = price
    state.emit(
        StopMoved(at=state.at, trade_id=trade.trade_id, watched=trade.watched, price=price, quantity=order.remaining)
    )
    return lags(state, trade)


def lags(state: SessionState, trade: Trade) -> bool:
    """Return whether the broker's stop is behind; if so, it is trusted no longer."""
    if not is_behind(state, trade):
        return False
    keep_here(state, trade, f"the broker's stop stands at {trade.trailed_to}, and should at {trade.stop_price}")
    return True


def standing(state: SessionState, trade: Trade) -> Order | None:
    """Return the stop that the broker moves; None where there is none, or it is being taken off."""
    resting = [one for one in state.open_orders_of(trade, Leg.STOP) if one.state is not OrderState.CANCEL_REQUESTED]
    current = resting[-1] if resting else None
    return current if current is not None and isinstance(current.request.stop, TrailingTrigger) else None


def _broker_can(state: SessionState, trade: Trade) -> bool:
    return any(one.name == trade.broker and one.capabilities.trailing_stops for one in state.spec.brokers)


def _why_not(state: SessionState, trade: Trade) -> str:
    """Return why the broker cannot move this stop exactly as the strategy wants; empty where it can."""
    windows, instrument = state.spec.windows, trade.instrument
    if instrument is None or instrument.asset_class is not AssetClass.EQUITY or trade.watched != instrument.symbol:
        return f"it watches {trade.watched}, and the broker moves stops by the price of what they sell only"
    if any(order.request.quantity % ONE for order in state.orders_of(trade, Leg.ENTRY)) or state.held(trade) % ONE:
        return "the broker moves stops on whole shares only"
    if state.spec.stop_fraction * 100 % PERCENT_STEP:
        return f"the broker takes hundredths of a percent, not {state.spec.stop_fraction * 100:f}"
    if not windows.bell <= state.at < windows.market_close:
        return "the broker moves stops in regular hours only"
    return ""


__all__ = ["LAG_MAX", "PERCENT_STEP", "is_behind", "keep_here", "lags", "on_told", "same", "standing", "trigger"]
