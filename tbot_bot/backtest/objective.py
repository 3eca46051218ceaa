"""What a search may look for: the figures of a backtest of which more is better, their names and how they read."""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from tbot_bot.backtest.performance_metrics import Performance
from tbot_bot.backtest.summary_lines import dollars, percent, ratio

Show = Callable[[float | None], str]


class Objective(StrEnum):
    """What may be looked for; more is better in each."""

    SHARPE = "sharpe"
    SORTINO = "sortino"
    CALMAR = "calmar"
    PNL = "pnl"
    TOTAL_RETURN = "total_return"
    PROFIT_FACTOR = "profit_factor"
    EXPECTANCY = "expectancy"
    WIN_RATE = "win_rate"

    def of(self, found: Performance) -> float | None:
        """Return the figure; None where it is not defined."""
        return _OBJECTIVES[self](found)

    def merit(self, found: Performance) -> tuple[int, float, float]:
        """Return what orders performances, the best one greatest: by the figure, then by result.

        A ratio to losses or risk is not defined where there were none: with a gain it is beyond any bound and ranks
        first, without one it ranks last.
        """
        value, pnl = self.of(found), found.trades.pnl
        if value is not None:
            return 1, value, pnl
        return (2, pnl, pnl) if pnl > 0 else (0, pnl, pnl)


_OBJECTIVES: Final[dict[Objective, Callable[[Performance], float | None]]] = {
    Objective.SHARPE: lambda found: found.sharpe,
    Objective.SORTINO: lambda found: found.sortino,
    Objective.CALMAR: lambda found: found.calmar,
    Objective.PNL: lambda found: found.trades.pnl,
    Objective.TOTAL_RETURN: lambda found: found.total_return,
    Objective.PROFIT_FACTOR: lambda found: found.trades.profit_factor,
    Objective.EXPECTANCY: lambda found: found.trades.expectancy,
    Objective.WIN_RATE: lambda found: found.trades.win_rate,
}
WORDS: Final = {
    Objective.SHARPE: "Sharpe ratio",
    Objective.SORTINO: "Sortino ratio",
    Objective.CALMAR: "Calmar ratio",
    Objective.PNL: "result",
    Objective.TOTAL_RETURN: "total return",
    Objective.PROFIT_FACTOR: "profit factor",
    Objective.EXPECTANCY: "expectancy",
    Objective.WIN_RATE: "win rate",
}
HEADS: Final = {
    Objective.SHARPE: "Sharpe",
    Objective.SORTINO: "Sortino",
    Objective.CALMAR: "Calmar",
    Objective.PNL: "Result",
    Objective.TOTAL_RETURN: "Return",
    Objective.PROFIT_FACTOR: "Profit factor",
    Objective.EXPECTANCY: "Expectancy",
    Objective.WIN_RATE: "Won",
}
"""What stands above a column of it."""


def shown_as(objective: Objective) -> Show:
    """Return how values of `objective` are written."""
    match objective:
        case Objective.PNL:
            return dollars
        case Objective.TOTAL_RETURN | Objective.WIN_RATE:
            return percent
        case _:
            return ratio


__all__ = ["HEADS", "WORDS", "Objective", "Show", "shown_as"]
