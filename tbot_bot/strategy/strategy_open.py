# ruff: noqa: C901, PLR0912, PLR1730 - kernels compile as they stand: branches, no calls, NaN compares false
"""OPEN: opening range breakout.

The range is the high and low of the analysis window; a close beyond it by the buffer signals in its
direction. Toby Crabel, Day Trading with Short Term Price Patterns and Opening Range Breakout (1990);
Carlo Zarattini and Andrew Aziz, Can Day Trading Really Be Profitable? (2023).
"""

from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple

from tbot_bot.core.instants import MINUTE
from tbot_bot.strategy.strategy_meta import (
    BEARISH,
    LONG,
    NONE,
    OpenParams,
    Tick,
    clock,
    fraction_problems,
    minutes_text,
    number,
    percent,
    window_problems,
)


class OpenState(NamedTuple):
    """What OPEN remembers of one symbol on one day; prices in the quote currency."""

    high: float
    """Of the range; -inf before its first bar."""
    low: float
    """Of the range; +inf before its first bar."""
    covered: int
    """Nanoseconds of the analysis window for which there was a bar or a trade."""
    covered_until: int
    """Instant up to which time has been counted, so that nothing counts twice."""
    highest: float
    """Highest close of the entry window up to the signal; -inf before the first."""
    lowest: float
    """Lowest close of the entry window up to the signal; +inf before the first."""
    signal: int
    """Action code given, NONE before."""


def initial_state(params: OpenParams) -> OpenState:
    """Return the state before the day's first price."""
    return OpenState(-inf, inf, 0, params.analysis_start, -inf, inf, NONE)


def step(params: OpenParams, state: OpenState, tick: Tick) -> tuple[OpenState, int]:
    """Take one completed bar; return the new state and LONG, BEARISH or NONE.

    A trade (a bar of one price) covers the whole bar span it falls into. The close has to be strictly
    beyond the buffered edge. A day whose range is covered too thinly never signals.
    """
    _bell, analysis_start, analysis_end, entry_end, bar_span, buffer, min_coverage = params
    start, end, _open, high, low, close, _volume = tick
    if start < analysis_start or end > entry_end:
        return state, NONE
    range_high, range_low, covered, covered_until, highest, lowest, signal = state
    if end <= analysis_end:
        if high > range_high:
            range_high = high
        if low < range_low:
            range_low = low
        if start == end:
            start = analysis_start + (start - analysis_start) // bar_span * bar_span
            end = start + bar_span
            if end > analysis_end:
                end = analysis_end
        if start < covered_until:
            start = covered_until
        if end > start:
            covered += end - start
            covered_until = end
        return OpenState(range_high, range_low, covered, covered_until, highest, lowest, signal), NONE
    if signal != NONE or covered <= 0 or covered < min_coverage * (analysis_end - analysis_start):
        return state, NONE
    action = NONE
    if close > range_high * (1.0 + buffer):
        action = LONG
    elif close < range_low * (1.0 - buffer):
        action = BEARISH
    elif close <= highest and close >= lowest:
        return state, NONE
    if close > highest:
        highest = close
    if close < lowest:
        lowest = close
    return OpenState(range_high, range_low, covered, covered_until, highest, lowest, action), action


def explain(params: OpenParams, _state: OpenState, tick: Tick, action: int) -> str:
    """Return why `step` answered `action` to `tick`; `_state` is the one it returned."""
    if action == LONG:
        return _comparison(tick.close, ">", "high", _state.high, 1.0 + params.buffer)
    if action == BEARISH:
        return _comparison(tick.close, "<", "low", _state.low, 1.0 - params.buffer)
    return non_decision(params, _state)


def non_decision(params: OpenParams, state: OpenState) -> str:
    """Return at the session's end why there was no signal, or how near it came."""
    window = params.analysis_end - params.analysis_start
    if state.signal != NONE:
        return "signalled"
    if state.covered <= 0 or state.covered < params.min_coverage * window:
        return (
            f"range too thin: {minutes_text(state.covered)} of {minutes_text(window)} min have bars, "
            f"{percent(params.min_coverage)} needed"
        )
    if state.highest < state.lowest:
        return (
            f"no bar between {clock(params.analysis_end)} and {clock(params.entry_end)}; "
            f"range {number(state.low)} to {number(state.high)}"
        )
    up = state.high * (1.0 + params.buffer)
    down = state.low * (1.0 - params.buffer)
    return (
        f"highest close {number(state.highest)} is {percent(up / state.highest - 1.0)} below {number(up)}, "
        f"lowest close {number(state.lowest)} is {percent(1.0 - down / state.lowest)} above {number(down)}"
    )


def describe(params: OpenParams) -> str:
    """Return what OPEN does on this day, times in UTC."""
    return (
        f"OPEN measures the range from {clock(params.analysis_start)} to {clock(params.analysis_end)} and until "
        f"{clock(params.entry_end)} follows the first close more than {percent(params.buffer)} beyond it; "
        f"symbols with bars in less than {percent(params.min_coverage)} of the range are dropped"
    )


def score(params: OpenParams, state: OpenState) -> float:
    """Return how far the signal's close lies beyond its trigger, as a fraction of the trigger; larger first.

    0 without a signal.
    """
    if state.signal == LONG:
        return state.highest / (state.high * (1.0 + params.buffer)) - 1.0
    if state.signal == BEARISH:
        return 1.0 - state.lowest / (state.low * (1.0 - params.buffer))
    return 0.0


def self_check(params: OpenParams | None = None) -> list[str]:
    """Return problems of the rule on a known tape and, where given, of `params`; empty when all is well."""
    problems = [] if params is None else _params_problems(params)
    for closes, expected in _KNOWN:
        found = _signals(closes)
        if found != expected:
            problems.append(f"OPEN: closes {closes} after the known range gave {found}, expected {expected}")
    return problems


def _params_problems(params: OpenParams) -> list[str]:
    return [
        *window_problems(params),
        *fraction_problems("buffer", params.buffer, zero_allowed=True),
        *([] if 0.0 < params.min_coverage <= 1.0 else [f"min_coverage {params.min_coverage} is not in (0, 1]"]),
    ]


def _comparison(close: float, sign: str, edge: str, level: float, factor: float) -> str:
    return f"close {number(close)} {sign} range {edge} {number(level)} x {number(factor)} = {number(level * factor)}"


# Range 99 to 101 over five minutes, buffer 1 %: triggers at 102.01 and 98.01.
_TAPE: Final = OpenParams(0, 0, 5 * MINUTE, 8 * MINUTE, MINUTE, 0.01)
_KNOWN: Final = (
    ((102.0, 102.02, 110.0), (NONE, LONG, NONE)),
    ((98.1, 98.0, 110.0), (NONE, BEARISH, NONE)),
    ((102.0, 98.1, 100.0), (NONE, NONE, NONE)),
)


def _signals(closes: Sequence[float]) -> tuple[int, ...]:
    state = initial_state(_TAPE)
    actions = []
    for minute in range(5):
        state, action = step(_TAPE, state, _bar(minute, 100.0, 101.0, 99.0))
        if action != NONE:
            actions.append(action)
    for minute, close in enumerate(closes, start=5):
        state, action = step(_TAPE, state, _bar(minute, close, close, close))
        actions.append(action)
    return tuple(actions)


def _bar(minute: int, close: float, high: float, low: float) -> Tick:
    return Tick(minute * MINUTE, (minute + 1) * MINUTE, close, high, low, close, 100.0)
