"""What a series of daily returns and a list of trades are worth, as figures. Pure Python, exact sums, no numpy.

Returns are fractions (0.01 is 1 %), one for each trading day with data. A year has 252 of them; the riskless rate is
taken as 0. A figure that is not defined (a Sharpe ratio of one day, a profit factor without a loss) is None.
Sharpe, Sortino, Calmar, CAGR, volatility and drawdown are those of empyrical; a test holds them together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

TRADING_DAYS_A_YEAR: Final = 252
_TWO: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """The deepest fall from a peak, measured at day ends."""

    depth: float
    """Fraction of the peak, positive."""
    dollars: float
    peak: date
    """Day at whose end (or, the day before the first, at whose beginning) the peak was reached."""
    trough: date
    recovered: date | None
    """First day that ended at the peak again; None: not yet."""
    days: int
    """Trading days from the peak to the recovery, or to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOutcome:
    """What the figures need to know of a trade that was entered."""

    day: date
    pnl: float
    """Dollars after fees."""
    minutes: float
    """Held so long."""
    traded: float
    """Dollars bought and sold, together."""
    held: tuple[int, int]
    """From entry to exit, nanoseconds UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOutcome:
    """What the figures need to know of a day."""

    day: date
    before: float
    """Dollars in all accounts."""
    after: float
    open_ns: int
    """Length of the regular session."""

    @property
    def ret(self) -> float:
        """Return the day's return as a fraction; 0 where nothing was there to lose."""
        return self.after / self.before - 1.0 if self.before > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFigures:
    """Over the trades that were entered."""

    trades: int
    wins: int
    losses: int
    win_rate: float | None
    pnl: float
    average_pnl: float | None
    average_minutes: float | None
    profit_factor: float | None
    """Dollars won over dollars lost."""
    expectancy: float | None
    """Average result over the average loss: what a trade brings for each dollar that a losing one costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The figures of one backtest. Fractions and ratios; money in dollars."""

    days: int
    trades: TradeFigures
    total_return: float | None
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    drawdown: Drawdown | None
    """None where no day ended below an earlier one."""
    exposure: float | None
    """Fraction of the sessions' time in which something was held."""
    turnover: float | None
    """Dollars bought and sold in a year, over the mean equity."""


def performance_of(days: Sequence[DayOutcome], trades: Sequence[TradeOutcome]) -> Performance:
    """Return the figures over `days` (in order) and `trades`."""
    returns = [day.ret for day in days]
    drawdown = deepest_drawdown(days)
    return Performance(
        days=len(days),
        trades=trade_figures(trades),
        total_return=days[-1].after / days[0].before - 1.0 if days and days[0].before > 0 else None,
        cagr=cagr(returns),
        volatility=volatility(returns),
        sharpe=sharpe(returns),
        sortino=sortino(returns),
        calmar=calmar(returns),
        drawdown=drawdown,
        exposure=_exposure(days, trades),
        turnover=_turnover(days, trades),
    )


def trade_figures(trades: Sequence[TradeOutcome]) -> TradeFigures:
    """Return the figures that need no days."""
    results = [trade.pnl for trade in trades]
    won, lost = [one for one in results if one > 0], [-one for one in results if one < 0]
    average = mean(results)
    loss = mean(lost)
    return TradeFigures(
        trades=len(results),
        wins=len(won),
        losses=len(lost),
        win_rate=len(won) / len(results) if results else None,
        pnl=math.fsum(results),
        average_pnl=average,
        average_minutes=mean([trade.minutes for trade in trades]),
        profit_factor=math.fsum(won) / math.fsum(lost) if lost else None,
        expectancy=average / loss if average is not None and loss else None,
    )


def mean(values: Sequence[float]) -> float | None:
    """Return the mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample's standard deviation (n - 1); None of fewer than two."""
    if len(values) < _TWO:
        return None
    middle = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def volatility(returns: Sequence[float]) -> float | None:
    """Return the standard deviation of `returns`, a year."""
    found = deviation(returns)
    return None if found is None else found * math.sqrt(TRADING_DAYS_A_YEAR)


def sharpe_a_day(returns: Sequence[float]) -> float | None:
    """Return mean over standard deviation, not annualised; None where nothing varies."""
    middle, spread = mean(returns), deviation(returns)
    return middle / spread if middle is not None and spread else None


def sharpe(returns: Sequence[float]) -> float | None:
    """Return the annualised Sharpe ratio."""
    found = sharpe_a_day(returns)
    return None if found is None else found * math.sqrt(TRADING_DAYS_A_YEAR)


def sortino(returns: Sequence[float]) -> float | None:
    """Return the annualised Sortino ratio: the mean over the root of the mean squared loss; None without a loss."""
    middle = mean(returns)
    if middle is None or len(returns) < _TWO:
        return None
    downside = math.sqrt(math.fsum(min(one, 0.0) ** 2 for one in returns) / len(returns))
    return middle / downside * math.sqrt(TRADING_DAYS_A_YEAR) if downside else None


def cagr(returns: Sequence[float]) -> float | None:
    """Return the yearly return that compounds to the whole."""
    if not returns:
        return None
    growth = math.prod(1.0 + one for one in returns)
    return growth ** (TRADING_DAYS_A_YEAR / len(returns)) - 1.0 if growth > 0 else -1.0


def calmar(returns: Sequence[float]) -> float | None:
    """Return CAGR over the deepest drawdown; None without one."""
    grown, depth = cagr(returns), drawdown_depth(returns)
    return grown / depth if grown is not None and depth > 0 else None


def drawdown_depth(returns: Sequence[float]) -> float:
    """Return the deepest fall from a peak as a positive fraction, the beginning counting as a peak."""
    value = peak = 1.0
    depth = 0.0
    for one in returns:
        value *= 1.0 + one
        peak = max(peak, value)
        depth = max(depth, 1.0 - value / peak)
    return depth


def deepest_drawdown(days: Sequence[DayOutcome]) -> Drawdown | None:
    """Return the deepest fall between day ends; the first of equal ones."""
    if not days:
        return None
    worth = [days[0].before, *(day.after for day in days)]
    named = [days[0].day, *(day.day for day in days)]
    peak = start = trough = 0
    depth = 0.0
    for place, value in enumerate(worth):
        if value > worth[peak]:
            peak = place
        fall = 1.0 - value / worth[peak] if worth[peak] > 0 else 0.0
        if fall > depth:
            depth, start, trough = fall, peak, place
    if not depth:
        return None
    back = next((place for place in range(trough, len(worth)) if worth[place] >= worth[start]), None)
    return Drawdown(
        depth=depth,
        dollars=worth[start] - worth[trough],
        peak=named[start],
        trough=named[trough],
        recovered=None if back is None else named[back],
        days=(len(worth) - 1 if back is None else back) - start,
    )


def _exposure(days: Sequence[DayOutcome], trades: Sequence[TradeOutcome]) -> float | None:
    whole = sum(day.open_ns for day in days)
    if not whole:
        return None
    held = until = 0
    for begin, end in sorted(trade.held for trade in trades):
        held += max(0, end - max(begin, until))
        until = max(until, end)
    return held / whole


def _turnover(days: Sequence[DayOutcome], trades: Sequence[TradeOutcome]) -> float | None:
    equity = mean([day.before for day in days])
    if not equity or equity < 0:
        return None
    years = len(days) / TRADING_DAYS_A_YEAR
    return math.fsum(trade.traded for trade in trades) / equity / years


__all__ = [
    "TRADING_DAYS_A_YEAR", "DayOutcome", "Drawdown", "Performance", "TradeFigures", "TradeOutcome", "cagr", "calmar",
    "deepest_drawdown", "deviation", "drawdown_depth", "mean", "performance_of", "sharpe", "sharpe_a_day", "sortino",
    "trade_figures", "volatility",
]  # fmt: skip
