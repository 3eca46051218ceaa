"""Measures backtesting.py: python -m benchmarks.rivals.backtesting_worker FOLDER, in the rivals' environment.

Its quickest use: signals and planned exits are made by the compiled loop beforehand, `next` looks them up in plain
lists and touches the broker only while a trade is on; there is one `Backtest` for each symbol, as there must be.
"""

import sys
import warnings
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy, __version__  # type: ignore[import-not-found]

from benchmarks.rivals.hand_rules import run_by_hand
from benchmarks.rivals.plan import MINUTES, Floats, Rule, Told, measured, peak_mib, read_columns, read_plan, tell

Columns = tuple[Floats, Floats, Floats, Floats, Floats]
BARS: Final = 100_000
"""It runs as many symbols as hold about these: its time is a bar's time, whatever the number of symbols."""
RUNS: Final = 3
CASH: Final = 1e6


class LookedUp(Strategy):  # type: ignore[misc]  # there are no types
    """The rule of one symbol; what the class holds is of the symbol that is being run."""

    sides: ClassVar[list[int]] = []
    leaves: ClassVar[list[int]] = []
    high: ClassVar[list[float]] = []
    low: ClassVar[list[float]] = []
    close: ClassVar[list[float]] = []
    stop: ClassVar[float] = 0.0
    trailing: ClassVar[bool] = False

    def init(self) -> None:
        self.at, self.until, self.best = 1, -1, 0.0

    def next(self) -> None:
        at = self.at
        self.at = at + 1
        side = self.sides[at]
        if side:
            self.best, self.until = self.close[at], self.leaves[at]
            stop = self.best * (1.0 - side * self.stop)
            (self.buy if side > 0 else self.sell)(size=1, sl=stop)
        elif at <= self.until and self.trades:
            [trade] = self.trades
            if at == self.until:
                trade.close()
            elif self.trailing and trade.is_long and self.high[at] > self.best:
                self.best = self.high[at]
                trade.sl = self.best * (1.0 - self.stop)
            elif self.trailing and trade.is_short and self.low[at] < self.best:
                self.best = self.low[at]
                trade.sl = self.best * (1.0 + self.stop)


def main() -> None:
    folder = Path(sys.argv[1])
    plan = read_plan(folder)
    symbols = min(plan.symbols, max(1, BARS // (plan.days * MINUTES)))
    columns = read_columns(folder, symbols)
    warnings.filterwarnings("ignore", message="Data index is not datetime")
    names = ("Open", "High", "Low", "Close", "Volume")
    tests = [
        Backtest(
            pd.DataFrame({name: column[row] for name, column in zip(names, columns, strict=True)}), LookedUp, cash=CASH
        )
        for row in range(symbols)
    ]
    for rule in plan.rules:
        run_by_hand(rule, columns, stops=False)  # compiles
        wall, cpu, trades = measured(min(plan.runs, RUNS), partial(run, rule, columns, tests), warm=False)
        told = Told(
            worker="backtesting",
            form="signals looked up",
            rule=rule.name,
            bars=symbols * plan.days * MINUTES,
            wall=wall,
            cpu=cpu,
            peak_mib=peak_mib(),
            version=__version__,
            symbols=symbols,
        )
        tell(told, folder, trades)
    assert "tbot_bot" not in sys.modules


def run(rule: Rule, columns: Columns, tests: list[Backtest]) -> Floats:
    rows, _ = run_by_hand(rule, columns, stops=False)
    LookedUp.stop, LookedUp.trailing = rule.stop, rule.trailing
    found = []
    for symbol, test in enumerate(tests):
        signals = rows[symbol][rows[symbol, :, 0] >= 0]
        LookedUp.sides, LookedUp.leaves = [0] * columns[0].shape[1], [0] * columns[0].shape[1]
        for entry, side, left in signals.tolist():
            LookedUp.sides[entry - 1], LookedUp.leaves[entry - 1] = side, left - 1
        LookedUp.high, LookedUp.low, LookedUp.close = (column[symbol].tolist() for column in columns[1:4])
        trades = test.run()["_trades"]
        entered = trades["EntryBar"].to_numpy()
        side = np.sign(trades["Size"].to_numpy())
        prices = (trades["EntryPrice"].to_numpy(), trades["ExitPrice"].to_numpy())
        columns_of = (np.full(len(trades), symbol), entered // MINUTES, entered, side, trades["ExitBar"].to_numpy())
        found.append(np.column_stack((*columns_of, *prices)).astype(np.float64))
    return np.concatenate(found)


if __name__ == "__main__":
    main()
