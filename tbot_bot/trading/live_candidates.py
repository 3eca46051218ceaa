"""The entry window opens: which candidates are live, and how each broker's budget is shared among them."""

from tbot_bot.core.commands import SharesFixed
from tbot_bot.trading import allocation
from tbot_bot.trading.best_signals import best_candidates
from tbot_bot.trading.session_state import SessionState
from tbot_bot.trading.symbol_states import SymbolStates


def fix_shares(state: SessionState, symbols: SymbolStates) -> bool:
    """Fix the shares of every broker whose account is known; return whether there is any share at all."""
    spec = state.spec
    live = [
        symbol
        for symbol in best_candidates(state)
        if symbol in symbols
        and state.last_seen.get(symbol, 0) > spec.windows.start
        and symbols.is_live(symbol)
        and symbol not in state.traded_earlier
    ]
    slots = spec.limits.max_open_positions - state.earlier_open_trades
    for broker in spec.brokers:
        account = state.accounts.get(broker.name)
        if account is None:
            continue
        fractions = allocation.shares(len(live), spec.allocation.max_trades, slots, spec.allocation.weights)
        state.shares[broker.name] = fractions
        state.emit(
            SharesFixed(
                at=state.at,
                broker=broker.name,
                float_equity=account.equity,
                budget=state.budgets[broker.name],
                live_candidates=len(live),
                shares=fractions,
            )
        )
    return any(state.shares.values())
