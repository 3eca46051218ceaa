"""The figures of a backtest as words and numbers for people, on the terminal and on the page."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tbot_bot.backtest.performance_metrics import Drawdown, Performance
from tbot_bot.backtest.resampling import Figures

NONE: Final = "not defined"
_SMALL: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureRow:
    """One figure: what it is called, how it reads, and which interval belongs to it."""

    name: str
    value: str
    interval: str = ""
    show: Callable[[float], str] = str

    def range_of(self, figures: Figures) -> str:
        """Return the interval in words; empty where there is none."""
        found = figures.interval(self.interval) if self.interval else None
        return "" if found is None else f"{self.show(found.low)} to {self.show(found.high)}"


def figure_rows(found: Performance) -> list[FigureRow]:
    """Return every figure, in the order in which to read them."""
    trades, fall = found.trades, found.drawdown
    duration = NONE if trades.average_minutes is None else f"{trades.average_minutes:.1f} minutes"
    whole = f"{trades.trades:,} ({trades.wins:,} won, {trades.losses:,} lost)"
    depth = "none" if fall is None else f"{percent(fall.depth)} ({dollars(fall.dollars)})"
    return [
        FigureRow(name="Result after fees", value=dollars(trades.pnl), interval="pnl", show=dollars),
        FigureRow(name="Total return", value=percent(found.total_return), interval="total_return", show=percent),
        FigureRow(name="CAGR", value=percent(found.cagr), interval="cagr", show=percent),
        FigureRow(name="Trading days", value=f"{found.days:,}"),
        FigureRow(name="Trades", value=whole),
        FigureRow(name="Win rate", value=percent(trades.win_rate), interval="win_rate", show=percent),
        FigureRow(name="Average result", value=dollars(trades.average_pnl), interval="average_pnl", show=dollars),
        FigureRow(name="Average duration", value=duration),
        FigureRow(name="Profit factor", value=ratio(trades.profit_factor), interval="profit_factor", show=ratio),
        FigureRow(name="Expectancy", value=ratio(trades.expectancy), interval="expectancy", show=ratio),
        FigureRow(name="Sharpe ratio", value=ratio(found.sharpe), interval="sharpe", show=ratio),
        FigureRow(name="Sortino ratio", value=ratio(found.sortino), interval="sortino", show=ratio),
        FigureRow(name="Calmar ratio", value=ratio(found.calmar), interval="calmar", show=ratio),
        FigureRow(name="Volatility a year", value=percent(found.volatility), interval="volatility", show=percent),
        FigureRow(name="Maximum drawdown", value=depth, interval="max_drawdown", show=percent),
        FigureRow(name="Drawdown lasted", value=_lasted(fall)),
        FigureRow(name="Exposure", value=percent(found.exposure)),
        FigureRow(name="Turnover a year", value="" if found.turnover is None else f"{found.turnover:,.1f} x equity"),
    ]


def _lasted(fall: Drawdown | None) -> str:
    if fall is None:
        return "none"
    end = f"made good {fall.recovered.isoformat()}" if fall.recovered else "not made good"
    return f"{fall.peak.isoformat()} to {fall.trough.isoformat()}, {end}, {fall.days:,} days"


def dollars(amount: float | None) -> str:
    """Return an amount as `-$1,234.50`."""
    if amount is None:
        return NONE
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def percent(fraction: float | None) -> str:
    """Return a fraction as `12.34 %`, with more decimals where two would show nothing."""
    if fraction is None:
        return NONE
    decimals = 4 if 0 < abs(fraction) < _SMALL else 2
    return f"{fraction * 100:,.{decimals}f} %"


def ratio(value: float | None) -> str:
    """Return a ratio with two decimals."""
    return NONE if value is None else f"{value:,.2f}"


__all__ = ["NONE", "FigureRow", "dollars", "figure_rows", "percent", "ratio"]
