"""The figures of a backtest as words and numbers for people, on the terminal and on the page."""

from typing import Final

from tbot_bot.backtest.performance_metrics import Performance

NONE: Final = "not defined"
_SMALL: Final = 0.001


def summary_lines(found: Performance) -> list[tuple[str, str]]:
    """Return (name, value) of every figure, in the order in which to read them."""
    trades, fall = found.trades, found.drawdown
    return [
        ("Result after fees", dollars(trades.pnl)),
        ("Total return", percent(found.total_return)),
        ("CAGR", percent(found.cagr)),
        ("Trading days", f"{found.days:,}"),
        ("Trades", f"{trades.trades:,} ({trades.wins:,} won, {trades.losses:,} lost)"),
        ("Win rate", percent(trades.win_rate)),
        ("Average result", dollars(trades.average_pnl)),
        ("Average duration", NONE if trades.average_minutes is None else f"{trades.average_minutes:.1f} minutes"),
        ("Profit factor", ratio(trades.profit_factor)),
        ("Expectancy", ratio(trades.expectancy)),
        ("Sharpe ratio", ratio(found.sharpe)),
        ("Sortino ratio", ratio(found.sortino)),
        ("Calmar ratio", ratio(found.calmar)),
        ("Volatility a year", percent(found.volatility)),
        ("Maximum drawdown", "none" if fall is None else f"{percent(fall.depth)} ({dollars(fall.dollars)})"),
        (
            "Drawdown",
            "none"
            if fall is None
            else f"{fall.peak.isoformat()} to {fall.trough.isoformat()}, "
            + (f"made good {fall.recovered.isoformat()}" if fall.recovered else "not made good")
            + f" ({fall.days} trading days)",
        ),
        ("Exposure", percent(found.exposure)),
        ("Turnover a year", ratio(found.turnover)),
    ]


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


__all__ = ["NONE", "dollars", "percent", "ratio", "summary_lines"]
