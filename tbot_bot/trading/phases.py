"""The phases of a session and the instants at which they begin."""

from collections.abc import Callable
from typing import Final

from tbot_bot.core.commands import Phase, PhaseEntered
from tbot_bot.core.identity import Leg
from tbot_bot.core.instants import Instant
from tbot_bot.trading import entries, order_desk
from tbot_bot.trading.session_state import SessionState, TradeState
from tbot_bot.trading.spec import Windows

OnEnter = Callable[[Phase], None]

_NEXT: Final[dict[Phase, tuple[Phase, Callable[[Windows], Instant], str]]] = {
    Phase.SCREEN: (Phase.ANALYSIS, lambda windows: windows.start, "the session's start"),
    Phase.ANALYSIS: (Phase.BREAKOUT, lambda windows: windows.analysis_end, "the analysis is complete"),
    Phase.BREAKOUT: (Phase.MONITORING, lambda windows: windows.entry_end, "the entry window is over"),
}
_OVER: Final = frozenset({Phase.CLOSE_OUT, Phase.REPORT})


def advance(state: SessionState, on_enter: OnEnter, *, inclusive: bool) -> None:
    """Enter every phase whose time has come at `state.at`.

    A phase owns the bars that end after its beginning, up to and including its end: so before a step of the
    market a boundary has to be passed (`inclusive` false), after it reaching it is enough (true).
    """
    while (following := _NEXT.get(state.phase)) is not None:
        phase, begins, reason = following
        boundary = begins(state.spec.windows)
        if state.at < boundary or (state.at == boundary and not inclusive):
            break
        enter(state, on_enter, phase, reason)
    _after_entry_window(state)
    if state.at >= state.spec.windows.hard_exit_at and state.phase not in _OVER:
        stop(state, on_enter, "hard_exit", "the hard exit before the bell has come")


def enter(state: SessionState, on_enter: OnEnter, phase: Phase, reason: str) -> None:
    """Move to `phase` and do what its beginning asks for."""
    state.phase = phase
    state.emit(PhaseEntered(at=state.at, phase=phase, reason=reason))
    on_enter(phase)


def stop(state: SessionState, on_enter: OnEnter, code: str, reason: str) -> None:
    """Leave the ordinary course: no new entries, everything is closed. The first reason stands."""
    if state.phase in _OVER:
        return
    state.stop_code, state.stop_reason = code, reason
    enter(state, on_enter, Phase.CLOSE_OUT, reason)


def _after_entry_window(state: SessionState) -> None:
    """Cancel what is left of entries, and let waiting signals lapse.

    An order decided on the window's last bar can meet no price before the next bar, so orders have until then.
    """
    windows = state.spec.windows
    if state.at <= windows.entry_end:
        return
    lapsed = state.at >= windows.entry_end + windows.bar_span
    if lapsed and state.vix_waiting:
        waiting, state.vix_waiting = state.vix_waiting, []
        for signal in waiting:
            entries.drop(state, signal, "", "vix_gatekeeper", "no VIX came in the entry window")
    for trade in state.active_trades():
        if trade.state is TradeState.AWAITING_CONFIRMATION:
            entries.abandon(state, trade, "confirmation_lapsed", "nobody confirmed it in the entry window")
        elif lapsed and trade.state is TradeState.AWAITING_QUOTES:
            entries.abandon(state, trade, "no_put", "no quotes of puts came in the entry window")
        elif lapsed:
            order_desk.cancel_open(state, trade, Leg.ENTRY)
