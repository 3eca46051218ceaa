"""What a person may ask of a running session: kill, stop, close some positions, confirm or decline a signal.

The kill switch itself is pulled by `losses.kill`, whoever asks. Its latch, and what closes everything where no
session can, are no part of the engine: see `runtime/kill_switch.py`.
"""

from collections.abc import Callable
from typing import Final

from tbot_bot.core.events import ControlKind, ControlReceived
from tbot_bot.trading import entries, losses
from tbot_bot.trading.session_state import SessionState, Trade, TradeState

FLATTEN: Final = "flatten"
"""Exit code of a position that a person had closed while the session goes on."""
Leave = Callable[[Trade, str, str], None]
"""Ends a trade with a code and a reason, whatever its state."""


def on_control(state: SessionState, event: ControlReceived, stop: losses.Stop, leave: Leave) -> None:
    """Do what is asked for; what nothing can be done about is an anomaly."""
    trade = state.trades.get(event.trade_id)
    asked = f"{event.by}: {event.why}"
    match event.kind:
        case ControlKind.STOP:
            stop("stop_request", asked)
        case ControlKind.KILL:
            losses.kill(state, stop, asked)
        case ControlKind.FLATTEN:
            for each in state.active_trades():
                if is_meant(each, event):
                    leave(each, FLATTEN, asked)
        case ControlKind.CONFIRM if trade is not None and trade.state is TradeState.AWAITING_CONFIRMATION:
            entries.confirm(state, trade)
        case ControlKind.DECLINE if trade is not None and trade.state is TradeState.AWAITING_CONFIRMATION:
            entries.abandon(state, trade, "declined", f"declined by {asked}")
        case _:
            state.anomaly("", f"{event.kind} for {event.trade_id or 'no trade'}, which does not wait for it")


def is_meant(trade: Trade, event: ControlReceived) -> bool:
    """Return whether `trade` is at the broker and in the symbol that `event` names; empty names all."""
    return event.broker in {"", trade.broker} and event.symbol in {"", trade.symbol}


__all__ = ["FLATTEN", "is_meant", "on_control"]
