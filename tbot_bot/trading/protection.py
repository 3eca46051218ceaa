"""The protection monitor: every open position has a live protective stop of its size, or somebody is called.

A stop lives once the broker has taken it on. One that is on its way is given time; one that the broker has taken
away is placed again; what stays unprotected is alarmed, and left if the broker will not have a stop at all.
"""

from decimal import Decimal
from typing import Final

from tbot_bot.core.commands import RaiseAlert, Severity
from tbot_bot.core.identity import Leg
from tbot_bot.core.instants import SECOND, iso
from tbot_bot.core.money import ZERO
from tbot_bot.core.trails import TrailingTrigger
from tbot_bot.trading import exit_desk, trailing
from tbot_bot.trading.orders_bot import Order, OrderState
from tbot_bot.trading.session_state import SessionState, Trade

ALARM_AFTER: Final = 5 * SECOND
"""Market time without a live stop after which a person is called; with a check every 5 s it is told within 10 s."""
REPAIRS_MAX: Final = 2
"""Stops that are placed again for one position; a broker that takes away a third one does not want to hold any."""
_NOT_YET: Final = frozenset({OrderState.INTENT, OrderState.SUBMITTING, OrderState.UNKNOWN})
"""An order of which the broker has not said that it works it."""


def is_protected(state: SessionState, trade: Trade) -> bool:
    """Return whether one live stop covers all that `trade` holds."""
    return _covered(state, trade) >= state.held(trade)


def unprotected(state: SessionState) -> list[Trade]:
    """Return the trades that hold something, are not being left, and have no live stop of their size."""
    return [trade for trade in state.active_trades() if _lacks(state, trade)]


def _lacks(state: SessionState, trade: Trade) -> bool:
    if trade.exit_code:
        return False
    held = state.held(trade)
    return held > ZERO and _covered(state, trade) < held


def _covered(state: SessionState, trade: Trade) -> Decimal:
    """Return the quantity that the largest live stop covers."""
    most = ZERO
    for order in state.open_orders_of(trade, Leg.STOP):
        if order.state not in _NOT_YET:
            most = max(most, order.remaining)
    return most


def note(state: SessionState) -> list[Trade]:
    """Take note of since when each position has been without a live stop; return those that are."""
    lacking = []
    for trade in state.active_trades():
        if not _lacks(state, trade):
            trade.unprotected_since, trade.unprotected_told = None, False
            continue
        lacking.append(trade)
        if trade.unprotected_since is None:
            trade.unprotected_since = state.at
    return lacking


def watch(state: SessionState) -> None:
    """Repair what is without a live stop, and call a person in time."""
    for trade in note(state):
        exit_desk.protect(state, trade)  # places one where none is on its way
        since = trade.unprotected_since
        if since is not None and state.at - since >= ALARM_AFTER and not trade.unprotected_told:
            trade.unprotected_told = True
            state.emit(
                RaiseAlert(
                    severity=Severity.CRITICAL,
                    title=f"{trade.symbol} is unprotected",
                    text=f"{trade.trade_id}: no live protective stop since {iso(since)}; none is confirmed",
                )
            )


def on_stop_lost(state: SessionState, trade: Trade, order: Order, reason: str, *, refused: bool) -> None:
    """React to a protective stop that the broker took away (it is placed again) or refused (the position is left).

    One that the broker was to move by itself is followed by one that we move, in either case.
    """
    if trade.exit_code or state.held(trade) <= ZERO:
        return
    trails = isinstance(order.request.stop, TrailingTrigger) and order.state is not OrderState.REPLACED
    if trails:
        what = "came to nothing" if refused else "was taken away"
        trailing.keep_here(state, trade, f"the stop that the broker should move {what}: {reason}")
    if trails and refused:
        exit_desk.protect(state, trade)  # it may have room for a plain one
        return
    if state.open_orders_of(trade, Leg.STOP):
        return
    again = not refused and trade.stop_repairs < REPAIRS_MAX
    state.emit(
        RaiseAlert(
            severity=Severity.WARNING if again else Severity.CRITICAL,
            title=f"{trade.symbol} is unprotected",
            text=f"{trade.trade_id}: the protective stop is gone ({reason}); "
            f"{'another one is placed' if again else 'the position is being closed'}",
        )
    )
    if again:
        trade.stop_repairs += 1
        exit_desk.protect(state, trade)
    else:
        exit_desk.leave(state, trade, "unprotected", f"protective stop gone: {reason}")


__all__ = ["is_protected", "note", "on_stop_lost", "unprotected", "watch"]
