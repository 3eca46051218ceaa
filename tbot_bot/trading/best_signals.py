"""Which candidates and signals are good enough to trade on: all of them, but in defense mode only the better half.

It is decided by what is known at that instant: a signal's candidate must be in the better half of the screener's
ranking, and of several such signals at one instant the better half by score may trade; halves are rounded up.
"""

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal

from tbot_bot.core.money import ONE
from tbot_bot.trading.session_state import SessionState, Signal


def best_candidates(state: SessionState) -> Sequence[str]:
    """Return the candidates that may signal, best rank first: all but in defense mode."""
    return state.candidates[: _best_of(len(state.candidates), state.spec.allocation.best_signals)]


def outranked(state: SessionState, signals: Sequence[Signal]) -> dict[str, str]:
    """Return those of one instant's `signals` (best score first) that are not among the best: symbol to reason."""
    share = state.spec.allocation.best_signals
    return {} if share >= ONE else dict(_outranked(state, signals, share))


def _outranked(state: SessionState, signals: Sequence[Signal], share: Decimal) -> Iterator[tuple[str, str]]:
    best = set(best_candidates(state))
    ranked = [signal for signal in signals if signal.symbol in best]
    kept = _best_of(len(ranked), share)
    for signal in signals:
        if signal.symbol not in best:
            reason = f"not among the best {len(best)} of {len(state.candidates)} candidates"
            yield signal.symbol, f"defense mode: {reason}"
    for place, signal in enumerate(ranked[kept:], start=kept + 1):
        reason = f"score {signal.score:.4f} is number {place} of {len(ranked)} at one instant, {kept} may trade"
        yield signal.symbol, f"defense mode: {reason}"


def _best_of(count: int, share: Decimal) -> int:
    return math.ceil(count * share)


__all__ = ["best_candidates", "outranked"]
