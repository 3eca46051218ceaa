"""What the strategies have in common: the price update, the action codes, the parameters, a few words.

Times are integer nanoseconds UTC, prices are in the quote currency, percentages are fractions (0.02 = 2 %).
"""

from typing import Final, NamedTuple

from tbot_bot.core.bars import Bar
from tbot_bot.core.codec import record
from tbot_bot.core.instants import MINUTE, Instant, to_datetime
from tbot_bot.core.orders import Direction

NONE: Final = 0
LONG: Final = 1
BEARISH: Final = 2
EXIT_STOP: Final = 3
"""A protective or trailing stop was passed."""
EXIT_TARGET: Final = 4
"""The price the trade was made for was reached (MID: VWAP)."""
EXIT_TIME: Final = 5
"""The monitoring time is over, or the hard exit before the bell has come."""

DIRECTIONS: Final = {LONG: Direction.LONG, BEARISH: Direction.BEARISH}

# fewer minutes make the range an accident of when the symbol traded
MIN_COVERAGE: Final = 0.8


class Tick(NamedTuple):
    """A price update: a completed bar, or a trade or quote as a bar of one price (`start == end`)."""

    start: int
    """Nanoseconds UTC."""
    end: int
    """Nanoseconds UTC; nobody may know the bar before."""
    open: float
    high: float
    low: float
    close: float
    volume: float
    """Shares; 0 for a quote."""


@record
class OpenParams(NamedTuple):
    """One day of OPEN. A bar belongs to the analysis when it lies wholly inside its window."""

    bell: int
    """Opening bell of the day."""
    analysis_start: int
    analysis_end: int
    entry_end: int
    """Last instant at which a bar may end and still signal."""
    bar_span: int
    """Nanoseconds of one bar of the data."""
    buffer: float
    """Fraction beyond the range's edge that a close has to pass."""
    min_coverage: float = MIN_COVERAGE
    """Fraction of the window's time that bars have to cover."""


@record
class MidParams(NamedTuple):
    """One day of MID."""

    bell: int
    """Opening bell of the day; VWAP starts here."""
    analysis_start: int
    analysis_end: int
    entry_end: int
    bar_span: int
    vwap_threshold: float
    """Fraction away from VWAP at which a close signals."""


@record
class CloseParams(NamedTuple):
    """One day of CLOSE."""

    bell: int
    """Opening bell of the day; the day's move and the returns start here."""
    analysis_start: int
    analysis_end: int
    entry_end: int
    bar_span: int
    """Nanoseconds of one bar; a return is taken no more often than this."""
    momentum_pct: float
    """Smallest move of the day, as a fraction, that momentum follows."""
    fade_z: float
    """Size of z, in standard deviations, from which the window's move is faded."""


Params = OpenParams | MidParams | CloseParams


def tick_of_bar(bar: Bar) -> Tick:
    """Return `bar` without its symbol."""
    _, start, end, open_, high, low, close, volume = bar
    return Tick(start, end, open_, high, low, close, volume)


def tick_of_price(at: int, price: float, volume: float = 0.0) -> Tick:
    """Return a trade or a quote's price at `at` as a bar of one price."""
    return Tick(at, at, price, price, price, price, volume)


def window_problems(params: Params) -> list[str]:
    """Return what is wrong with the windows of `params`, in words; empty when they are in order."""
    problems = []
    if params.bell > params.analysis_start:
        problems.append(f"analysis starts at {clock(params.analysis_start)}, before the bell {clock(params.bell)}")
    if params.analysis_start >= params.analysis_end:
        problems.append(f"analysis ends at {clock(params.analysis_end)}, not after its start")
    if params.analysis_end >= params.entry_end:
        problems.append(f"entries end at {clock(params.entry_end)}, not after the analysis")
    if params.bar_span <= 0:
        problems.append(f"bar span {params.bar_span} ns is not positive")
    elif params.bar_span > params.analysis_end - params.analysis_start:
        problems.append(f"a bar of {minutes_text(params.bar_span)} min is longer than the analysis")
    return problems


def fraction_problems(name: str, value: float, *, zero_allowed: bool) -> list[str]:
    """Return what is wrong with a fraction that has to lie below 1; also catches NaN."""
    high_enough = value >= 0.0 if zero_allowed else value > 0.0
    return [] if high_enough and value < 1.0 else [f"{name} {value} is not a fraction between 0 and 1"]


def clock(at: int) -> str:
    """Return the time of day of `at` in UTC, `14:30Z`."""
    return f"{to_datetime(Instant(at)):%H:%M}Z"


def minutes_text(nanoseconds: int) -> str:
    """Return a duration in minutes, without superfluous digits."""
    return f"{nanoseconds / MINUTE:g}"


def number(value: float) -> str:
    """Return a price or ratio with eight significant digits."""
    return f"{value:.8g}"


def percent(value: float) -> str:
    """Return a fraction as a percentage: 0.0123 becomes `1.23 %`."""
    return f"{100.0 * value:.4g} %"


def signed_percent(value: float) -> str:
    """Return a signed fraction as a percentage: 0.0123 becomes `+1.23 %`."""
    return f"{100.0 * value:+.4g} %"
