"""What each completed step of the market means for the trades that are under way: target, time, trailing stop."""

from tbot_bot.core.bars import Bar
from tbot_bot.core.events import BarsClosed
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import MINUTE
from tbot_bot.core.orders import Direction
from tbot_bot.strategy.exits import vwap_reached
from tbot_bot.trading import exit_desk, protection
from tbot_bot.trading.session_state import SessionState, Trade, TradeState
from tbot_bot.trading.symbol_states import SymbolStates

_ENTERED = frozenset({TradeState.OPEN, TradeState.EXITING})


def watch_trades(state: SessionState, symbols: SymbolStates, event: BarsClosed) -> None:
    """Hold the bars of `event` against every trade that is entered, or being left."""
    if not state.trades:
        return
    bars: dict[str, list[Bar]] = {}
    for bar in event.bars:
        bars.setdefault(bar.symbol, []).append(bar)
    for trade in state.active_trades():
        if trade.exit_code:
            exit_desk.pursue(state, trade)
        elif trade.state in _ENTERED:
            _watch(state, symbols, trade, bars)
    protection.watch(state)


def _watch(state: SessionState, symbols: SymbolStates, trade: Trade, bars: dict[str, list[Bar]]) -> None:
    entered = trade.entered_at
    if entered is None:
        return
    if state.spec.strategy is StrategyName.MID:
        vwap = symbols.vwap(trade.symbol)
        falling = trade.direction is Direction.BEARISH
        for bar in bars.get(trade.symbol, ()):
            if bar.start >= entered and vwap_reached(bar.low, bar.high, vwap, falling):
                reason = f"{trade.symbol} traded {bar.low:.8g} to {bar.high:.8g}, VWAP {vwap:.8g}"
                exit_desk.leave(state, trade, "target", reason)
                return
    monitoring = state.spec.windows.monitoring
    if state.at >= entered + monitoring:
        exit_desk.leave(state, trade, "time", f"{monitoring // MINUTE} minutes since entry are over")
        return
    if state.spec.strategy is StrategyName.OPEN:
        for bar in bars.get(trade.watched, ()):
            exit_desk.follow(state, trade, bar)
    exit_desk.protect(state, trade)
