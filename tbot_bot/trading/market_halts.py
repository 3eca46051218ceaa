"""Halts of trading: a halted share gets no entry, and what is held in it keeps its protection.

Nothing can be sold while trading is stopped, so nothing is: the stop rests, and orders that leave rest at the venue.
What is left of an entry is taken off, since the price at which trading goes on is anybody's guess. No broker is sure
to tell that trading goes on after a line was down, but a bar that began after the halt proves it.
"""

from collections.abc import Iterable

from tbot_bot.core.bars import Bar
from tbot_bot.core.commands import RaiseAlert, Severity
from tbot_bot.core.halts import HaltsTold
from tbot_bot.core.identity import Leg
from tbot_bot.core.instants import iso
from tbot_bot.core.money import ZERO
from tbot_bot.trading.order_desk import cancel_open
from tbot_bot.trading.session_state import SessionState, Trade


def remember(state: SessionState, event: HaltsTold) -> None:
    """Take note of `event`; nothing is decided."""
    for one in event.halts:
        if one.halted:
            state.market_halts.setdefault(one.symbol, one)
        else:
            state.market_halts.pop(one.symbol, None)


def on_halts(state: SessionState, event: HaltsTold) -> None:
    """Take note of `event`, take entries off, and tell people what they hold in a halted share."""
    before = frozenset(state.market_halts)
    remember(state, event)
    for symbol in sorted(frozenset(state.market_halts) - before):
        for trade in state.active_trades():
            if _concerns(trade, symbol):
                cancel_open(state, trade, Leg.ENTRY)
                if state.held(trade) > ZERO:
                    _alert(state, trade, symbol)


def believe_bars(state: SessionState, bars: Iterable[Bar]) -> None:
    """Believe that trading goes on where a bar began after the halt."""
    if not state.market_halts:
        return
    for bar in bars:
        halt = state.market_halts.get(bar.symbol)
        if halt is not None and bar.start > halt.at:
            del state.market_halts[bar.symbol]


def why_halted(state: SessionState, *symbols: str) -> str:
    """Return why trading in one of `symbols` is stopped; empty where it goes on."""
    for symbol in symbols:
        halt = state.market_halts.get(symbol)
        if halt is not None:
            reason = f" ({halt.reason})" if halt.reason else ""
            return f"trading in {symbol} stopped at {iso(halt.at)}{reason}"
    return ""


def _concerns(trade: Trade, symbol: str) -> bool:
    traded = "" if trade.instrument is None else trade.instrument.symbol
    return symbol in {trade.symbol, trade.watched, traded}


def _alert(state: SessionState, trade: Trade, symbol: str) -> None:
    text = f"{trade.trade_id}: {why_halted(state, symbol)}; its stop stays, and can sell only when trading goes on"
    state.emit(RaiseAlert(severity=Severity.WARNING, title=f"{symbol}: trading stopped", text=text))


__all__ = ["believe_bars", "on_halts", "remember", "why_halted"]
