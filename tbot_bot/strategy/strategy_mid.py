# ruff: noqa: PLR1730 - kernels compile as they stand: branches, no calls, NaN compares false
"""MID: reversion to the day's volume-weighted average price.

A close far enough from VWAP signals back toward it. VWAP as the price of the day: Stephen Berkowitz,
Dennis Logue and Eugene Noser, The Total Cost of Transactions on the NYSE, Journal of Finance 43 (1988).
Its confirmations, ADX (Wilder 1978) and Bollinger bands (Bollinger 2001), are filters and not part of the step.
"""

from collections.abc import Sequence
from math import inf, nan
from typing import Final, NamedTuple

from tbot_bot.core.instants import MINUTE
from tbot_bot.strategy.strategy_meta import (
    BEARISH,
    LONG,
    NONE,
    MidParams,
    Tick,
    clock,
    fraction_problems,
    number,
    percent,
    signed_percent,
    window_problems,
)


class MidState(NamedTuple):
    """What MID remembers of one symbol on one day."""

    weighted: float
    """Sum of typical price x volume since the bell."""
    volume: float
    """Shares since the bell."""
    lowest: float
    """Smallest close / VWAP - 1 of the entry window up to the signal; +inf before the first."""
    highest: float
    """Largest close / VWAP - 1 of the entry window up to the signal; -inf before the first."""
    signal: int
    """Action code given, NONE before."""


def initial_state(_params: MidParams) -> MidState:
    """Return the state before the day's first price."""
    return MidState(0.0, 0.0, inf, -inf, NONE)


def step(params: MidParams, state: MidState, tick: Tick) -> tuple[MidState, int]:
    """Take one completed bar; return the new state and LONG, BEARISH or NONE.

    VWAP includes the bar itself and goes on after the signal and the window, since the exit needs it. A
    bar without volume leaves it as it is. A close exactly at the threshold signals.
    """
    bell, _analysis_start, analysis_end, entry_end, _bar_span, threshold = params
    start, end, _open, high, low, close, traded = tick
    if start < bell:
        return state, NONE
    weighted, volume, lowest, highest, signal = state
    typical = (high + low + close) / 3.0
    if traded > 0.0 and typical > 0.0:
        weighted += typical * traded
        volume += traded
    action = NONE
    if signal == NONE and end > analysis_end and end <= entry_end and weighted > 0.0:
        average = weighted / volume
        if close <= average * (1.0 - threshold):
            action = LONG
        elif close >= average * (1.0 + threshold):
            action = BEARISH
        signal = action
        deviation = close / average - 1.0
        if deviation < lowest:
            lowest = deviation
        if deviation > highest:
            highest = deviation
    return MidState(weighted, volume, lowest, highest, signal), action


def vwap(state: MidState) -> float:
    """Return the day's VWAP up to the last bar, in the quote currency; NaN before the first trade."""
    return state.weighted / state.volume if state.volume > 0.0 else nan


def explain(params: MidParams, state: MidState, tick: Tick, action: int) -> str:
    """Return why `step` answered `action` to `tick`; `state` is the one it returned."""
    if action == LONG:
        return _comparison(tick.close, "<=", vwap(state), 1.0 - params.vwap_threshold)
    if action == BEARISH:
        return _comparison(tick.close, ">=", vwap(state), 1.0 + params.vwap_threshold)
    return non_decision(params, state)


def non_decision(params: MidParams, state: MidState) -> str:
    """Return at the session's end why there was no signal, or how near it came."""
    if state.signal != NONE:
        return "signalled"
    if not state.volume > 0.0:
        return "VWAP undefined: no volume since the bell"
    if state.highest < state.lowest:
        return f"no bar between {clock(params.analysis_end)} and {clock(params.entry_end)}; VWAP {number(vwap(state))}"
    return (
        f"closes stayed between {signed_percent(state.lowest)} and {signed_percent(state.highest)} of VWAP, "
        f"{percent(params.vwap_threshold)} needed; VWAP {number(vwap(state))}"
    )


def describe(params: MidParams) -> str:
    """Return what MID does on this day, times in UTC."""
    return (
        f"MID averages from the bell at {clock(params.bell)} and from {clock(params.analysis_end)} to "
        f"{clock(params.entry_end)} trades back toward VWAP on the first close at least "
        f"{percent(params.vwap_threshold)} away from it"
    )


def score(_params: MidParams, state: MidState) -> float:
    """Return the signal's distance from VWAP as a fraction of VWAP; larger first, 0 without a signal."""
    if state.signal == LONG:
        return -state.lowest
    if state.signal == BEARISH:
        return state.highest
    return 0.0


def self_check(params: MidParams | None = None) -> list[str]:
    """Return problems of the rule on a known tape and, where given, of `params`; empty when all is well."""
    problems = [] if params is None else _params_problems(params)
    for closes, expected in _KNOWN:
        found = _signals(closes)
        if found != expected:
            problems.append(f"MID: closes {closes} around a VWAP of 100 gave {found}, expected {expected}")
    return problems


def _params_problems(params: MidParams) -> list[str]:
    return [
        *window_problems(params),
        *fraction_problems("vwap_threshold", params.vwap_threshold, zero_allowed=False),
    ]


def _comparison(close: float, sign: str, average: float, factor: float) -> str:
    return f"close {number(close)} {sign} VWAP {number(average)} x {number(factor)} = {number(average * factor)}"


# VWAP 100 over five minutes; the entry bars have no volume, so it stays there: triggers at 98 and 102.
_TAPE: Final = MidParams(0, 0, 5 * MINUTE, 8 * MINUTE, MINUTE, 0.02)
_KNOWN: Final = (
    ((98.01, 98.0, 90.0), (NONE, LONG, NONE)),
    ((101.99, 102.0, 110.0), (NONE, BEARISH, NONE)),
    ((98.01, 101.99, 100.0), (NONE, NONE, NONE)),
)


def _signals(closes: Sequence[float]) -> tuple[int, ...]:
    state = initial_state(_TAPE)
    actions = []
    for minute in range(5):
        state, action = step(_TAPE, state, _bar(minute, 100.0, 100.0))
        if action != NONE:
            actions.append(action)
    for minute, close in enumerate(closes, start=5):
        state, action = step(_TAPE, state, _bar(minute, close, 0.0))
        actions.append(action)
    return tuple(actions)


def _bar(minute: int, price: float, volume: float) -> Tick:
    return Tick(minute * MINUTE, (minute + 1) * MINUTE, price, price, price, price, volume)
