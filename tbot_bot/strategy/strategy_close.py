# ruff: noqa: C901, PLR0912, PLR0915, PLR1714, PLR1730, SIM109 - kernels compile as they stand: branches, no calls, NaN compares false
"""CLOSE: the last hour's momentum, or the fade of a move that is too large for the day.

The window's move r is measured in the day's own noise: z = r / (s x sqrt(minutes)), with s the sample
standard deviation (n - 1) of the one-minute returns from the bell to the window. A large |z| is faded when
the price comes back through the middle of the window's range; otherwise a day that has moved is followed
when the price breaks the window's edge on the day's side. The VIX requirement is a filter.

A return over a span other than one minute (bars of five minutes, or a hole in the tape) is divided by the
square root of its minutes before it enters s, which is exact for independent increments.

Lei Gao, Yufeng Han, Sophia Zhengzi Li and Guofu Zhou, Market Intraday Momentum, Journal of Financial
Economics 129 (2018); Steven Heston, Robert Korajczyk and Ronnie Sadka, Intraday Patterns in the
Cross-section of Stock Returns, Journal of Finance 65 (2010).
"""

from math import inf, nan, sqrt
from typing import Final, NamedTuple

from tbot_bot.core.instants import MINUTE
from tbot_bot.strategy.strategy_meta import (
    BEARISH,
    LONG,
    NONE,
    CloseParams,
    Tick,
    clock,
    fraction_problems,
    number,
    percent,
    signed_percent,
    window_problems,
)

UNPLANNED: Final = 0
"""The window is not over."""
FADE_LONG: Final = 1
"""It fell too far: buy when it comes back up through the middle."""
FADE_BEARISH: Final = 2
"""It rose too far: sell when it comes back down through the middle."""
FOLLOW_LONG: Final = 3
"""The day and the window rise: buy above the window's high."""
FOLLOW_BEARISH: Final = 4
"""The day and the window fall: sell below the window's low."""
NO_PLAN: Final = 5
"""Nothing to do today; `non_decision` says why."""


class CloseState(NamedTuple):
    """What CLOSE remembers of one symbol on one day; prices in the quote currency."""

    day_open: float
    """Open of the day's first bar; 0 before it."""
    previous: float
    """Price at which the last return ended."""
    previous_end: int
    """Instant at which the last return ended."""
    returns: int
    """Returns so far."""
    mean: float
    """Of the returns, per square root of a minute."""
    squares: float
    """Sum of squared distances from the mean (Welford)."""
    window_open: float
    window_high: float
    """-inf before the window's first bar."""
    window_low: float
    """+inf before the window's first bar."""
    window_close: float
    plan: int
    """What the entry window waits for, decided by the first bar after the analysis."""
    trigger: float
    """Price that the plan waits for; 0 without a plan."""
    nearest: float
    """Close nearest to the trigger, the window's close included, up to the signal."""
    signal: int
    """Action code given, NONE before."""


class Figures(NamedTuple):
    """The numbers CLOSE decides by; NaN where the tape does not define them."""

    move: float
    """r: the window's open to its close, as a fraction."""
    deviation: float
    """s: of one-minute returns before the window."""
    z: float
    day: float
    """d: the day's open to the window's close, as a fraction."""
    middle: float
    """Of the window's range."""


def initial_state(params: CloseParams) -> CloseState:
    """Return the state before the day's first price."""
    return CloseState(0.0, 0.0, params.bell, 0, 0.0, 0.0, 0.0, -inf, inf, 0.0, UNPLANNED, 0.0, 0.0, NONE)


def step(params: CloseParams, state: CloseState, tick: Tick) -> tuple[CloseState, int]:
    """Take one completed bar; return the new state and LONG, BEARISH or NONE.

    A fade signals at or past the middle, a breakout strictly past the edge. A bar that straddles the start
    of the window counts for neither side; without a defined z there is no signal of either kind.
    """
    bell, analysis_start, analysis_end, entry_end, bar_span, momentum_pct, fade_z = params
    start, end, open_, high, low, close, _volume = tick
    if start < bell or end > entry_end or state.signal != NONE or not close > 0.0:
        return state, NONE
    day, before, before_end, returns, mean, squares, w_open, w_high, w_low, w_close, plan, trigger, nearest, _ = state
    signal = NONE
    if day <= 0.0:
        day = before = open_
        before_end = start
    if end <= analysis_start:
        span = end - before_end
        if span >= bar_span and before > 0.0:
            change = close / before - 1.0
            if span != MINUTE:
                change = change / sqrt(span / MINUTE)
            returns += 1
            delta = change - mean
            mean += delta / returns
            squares += delta * (change - mean)
            before = close
            before_end = end
    elif end <= analysis_end:
        if start >= analysis_start:
            if w_high < w_low:
                w_open = open_
            if high > w_high:
                w_high = high
            if low < w_low:
                w_low = low
            w_close = close
    else:
        if plan == UNPLANNED:
            plan = NO_PLAN
            nearest = w_close
            deviation = sqrt(squares / (returns - 1)) if returns > 1 else 0.0
            if deviation > 0.0 and w_high >= w_low and w_open > 0.0:
                z = (w_close / w_open - 1.0) / (deviation * sqrt((analysis_end - analysis_start) / MINUTE))
                moved = w_close / day - 1.0
                middle = (w_high + w_low) / 2.0
                if z >= fade_z or z <= -fade_z:
                    trigger = middle
                    if z > 0.0 and w_close > middle:
                        plan = FADE_BEARISH
                    elif z < 0.0 and w_close < middle:
                        plan = FADE_LONG
                elif moved >= momentum_pct and z > 0.0:
                    plan = FOLLOW_LONG
                    trigger = w_high
                elif moved <= -momentum_pct and z < 0.0:
                    plan = FOLLOW_BEARISH
                    trigger = w_low
        if plan == FADE_LONG or plan == FOLLOW_LONG:
            if close > nearest:
                nearest = close
            if close > trigger or (close == trigger and plan == FADE_LONG):
                signal = LONG
        elif plan != NO_PLAN:
            if close < nearest:
                nearest = close
            if close < trigger or (close == trigger and plan == FADE_BEARISH):
                signal = BEARISH
    return CloseState(
        day, before, before_end, returns, mean, squares, w_open, w_high, w_low, w_close, plan, trigger, nearest, signal
    ), signal


def figures(params: CloseParams, state: CloseState) -> Figures:
    """Return the numbers behind the plan, computed as `step` does."""
    seen = state.window_high >= state.window_low and state.window_open > 0.0
    move = state.window_close / state.window_open - 1.0 if seen else nan
    deviation = sqrt(state.squares / (state.returns - 1)) if state.returns > 1 else 0.0
    minutes = (params.analysis_end - params.analysis_start) / MINUTE
    return Figures(
        move=move,
        deviation=deviation,
        z=move / (deviation * sqrt(minutes)) if deviation > 0.0 else nan,
        day=state.window_close / state.day_open - 1.0 if seen and state.day_open > 0.0 else nan,
        middle=(state.window_high + state.window_low) / 2.0 if seen else nan,
    )


def explain(params: CloseParams, state: CloseState, tick: Tick, action: int) -> str:
    """Return why `step` answered `action` to `tick`; `state` is the one it returned."""
    if action == NONE:
        return non_decision(params, state)
    close, trigger, why = number(tick.close), number(state.trigger), _why(params, state)
    if state.plan == FADE_LONG:
        return f"close {close} >= middle {trigger} of the window; fade: {why}"
    if state.plan == FADE_BEARISH:
        return f"close {close} <= middle {trigger} of the window; fade: {why}"
    if state.plan == FOLLOW_LONG:
        return f"close {close} > window high {trigger}; momentum: {why}"
    return f"close {close} < window low {trigger}; momentum: {why}"


def non_decision(params: CloseParams, state: CloseState) -> str:
    """Return at the session's end why there was no signal, or how near it came."""
    if state.signal != NONE:
        return "signalled"
    if state.window_high < state.window_low:
        return f"no bar between {clock(params.analysis_start)} and {clock(params.analysis_end)}"
    if state.returns < 2:  # noqa: PLR2004 - a deviation needs two returns
        return f"z undefined: {state.returns} returns between the bell and {clock(params.analysis_start)}"
    found = figures(params, state)
    if not found.deviation > 0.0:
        return "z undefined: the price did not vary before the window (s = 0)"
    why = _why(params, state)
    if state.plan == UNPLANNED:
        return f"no bar between {clock(params.analysis_end)} and {clock(params.entry_end)}; {why}"
    if state.plan == NO_PLAN:
        return _no_plan(params, state, found) + why
    kind = "fade" if state.plan in {FADE_LONG, FADE_BEARISH} else "momentum"
    gap = state.trigger / state.nearest - 1.0
    return (
        f"waited for {kind} at {number(state.trigger)}: nearest close {number(state.nearest)}, "
        f"{signed_percent(gap)} short of it; {why}"
    )


def describe(params: CloseParams) -> str:
    """Return what CLOSE does on this day, times in UTC."""
    return (
        f"CLOSE watches {clock(params.analysis_start)} to {clock(params.analysis_end)}; until "
        f"{clock(params.entry_end)} it fades a move of |z| >= {number(params.fade_z)} through the middle of the "
        f"window, or follows a day of {percent(params.momentum_pct)} or more past the window's edge"
    )


def score(params: CloseParams, state: CloseState) -> float:
    """Return the driving number as a multiple of its threshold, from 1 up; larger first, 0 without a signal.

    |z| / `fade_z` for a fade, |d| / `momentum_pct` for momentum, so that both kinds rank on one scale.
    """
    if state.signal == NONE:
        return 0.0
    found = figures(params, state)
    if state.plan in {FADE_LONG, FADE_BEARISH}:
        return abs(found.z) / params.fade_z
    return abs(found.day) / params.momentum_pct


def self_check(params: CloseParams | None = None) -> list[str]:
    """Return problems of the rule on a known tape and, where given, of `params`; empty when all is well."""
    problems = [] if params is None else _params_problems(params)
    for closes, expected in _KNOWN:
        found = _signals(closes)
        if found != expected:
            problems.append(f"CLOSE: known tape {closes} gave {found}, expected {expected}")
    return problems


def _params_problems(params: CloseParams) -> list[str]:
    return [
        *window_problems(params),
        *fraction_problems("momentum_pct", params.momentum_pct, zero_allowed=False),
        *([] if 0.0 < params.fade_z < inf else [f"fade_z {params.fade_z} is not a positive number"]),
    ]


def _why(params: CloseParams, state: CloseState) -> str:
    found = figures(params, state)
    return (
        f"z {found.z:+.4g} (fade from {number(params.fade_z)}), window {signed_percent(found.move)}, "
        f"minute deviation {percent(found.deviation)}, day {signed_percent(found.day)} "
        f"(momentum from {percent(params.momentum_pct)})"
    )


def _no_plan(params: CloseParams, state: CloseState, found: Figures) -> str:
    if abs(found.z) >= params.fade_z:
        return f"window closed at {number(state.window_close)}, already back at its middle {number(found.middle)}; "
    if abs(found.day) >= params.momentum_pct:
        return "window moved against the day; "
    return "day too quiet for momentum, window too quiet for a fade; "


# Ten returns of about +-0.1 %, then a window of two minutes, then two minutes of entries; bell at 0.
_TAPE: Final = CloseParams(0, 10 * MINUTE, 12 * MINUTE, 14 * MINUTE, MINUTE, 0.01, 3.0)
_KNOWN: Final = (
    # rises 1 % in the window (z about 7): sell at the middle, 100.5, not a hair above it
    (((100.0, 100.1) * 5, (100.0, 101.0), (100.51, 100.5)), (NONE, BEARISH)),
    (((100.0, 100.1) * 5, (100.0, 99.0), (99.49, 99.5)), (NONE, LONG)),
    # drifts up 1.9 % and the window adds a little (|z| below 3): buy above its high, not at it
    ((tuple(100.0 + 0.2 * i for i in range(10)), (101.8, 101.9), (101.9, 101.91)), (NONE, LONG)),
    ((tuple(100.0 - 0.2 * i for i in range(10)), (98.2, 98.1), (98.1, 98.09)), (NONE, BEARISH)),
    # a flat day has no z
    (((100.0,) * 10, (100.0, 105.0), (90.0, 110.0)), (NONE, NONE)),
)


def _signals(closes: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]) -> tuple[int, ...]:
    state = initial_state(_TAPE)
    actions = []
    day, window, entry = closes
    for minute, close in enumerate((*day, *window, *entry)):
        bar = Tick(minute * MINUTE, (minute + 1) * MINUTE, close, close, close, close, 100.0)
        state, action = step(_TAPE, state, bar)
        actions.append(action)
    return tuple(actions[-len(entry) :])
