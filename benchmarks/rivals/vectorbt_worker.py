"""Measures vectorbt: python -m benchmarks.rivals.vectorbt_worker FOLDER, in the rivals' environment.

Signals and planned exits are made by the compiled loop, as its guides advise, and count; the simulation with its stops
is vectorbt's. Three ways: the documented `Portfolio.from_signals`, and the kernel beneath it called straight with
plain 2-D arrays, in numba and in Rust, each in the order of memory that suits it.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
import vectorbt  # type: ignore[import-not-found]
from numpy.typing import NDArray
from vectorbt.portfolio import dispatch  # type: ignore[import-not-found]

from benchmarks.rivals.hand_rules import run_by_hand
from benchmarks.rivals.plan import MINUTES, Floats, Plan, Rule, Told, measured, peak_mib, read_columns, read_plan, tell

Columns = tuple[Floats, Floats, Floats, Floats, Floats]
Booleans = NDArray[np.bool_]
Records = NDArray[np.void]
CASH: Final = 1e6


class Ready:
    """The data as one of the ways likes them: time x symbols, of which each column or each row lies together."""

    def __init__(self, plan: Plan, columns: Columns, *, by_rows: bool) -> None:
        self.plan, self.columns, self.by_rows = plan, columns, by_rows
        self.open, self.high, self.low, self.close = (self.turned(column) for column in columns[:4])

    def turned(self, column: Floats) -> Floats:
        return np.ascontiguousarray(column.T) if self.by_rows else column.T

    def signals(self, rule: Rule) -> tuple[Booleans, Booleans, Booleans]:
        """Return where to buy, where to sell short and where to leave: each at the close of a bar."""
        rows, _ = run_by_hand(rule, self.columns, stops=False)
        order: Literal["C", "F"] = "C" if self.by_rows else "F"
        buy, short, leave = (np.zeros(self.close.shape, np.bool_, order=order) for _ in range(3))
        symbol, day = np.nonzero(rows[:, :, 0] >= 0)
        entry, side, left = rows[symbol, day].T
        buy[entry[side > 0] - 1, symbol[side > 0]] = True
        short[entry[side < 0] - 1, symbol[side < 0]] = True
        leave[left - 1, symbol] = True
        return buy, short, leave


def by_portfolio(ready: Ready, rule: Rule) -> Records:
    buy, short, leave = ready.signals(rule)
    portfolio = vectorbt.Portfolio.from_signals(
        ready.close,
        buy,
        leave,
        short_entries=short,
        short_exits=leave,
        open=ready.open,
        high=ready.high,
        low=ready.low,
        size=1.0,
        init_cash=CASH,
        sl_stop=rule.stop,
        sl_trail=rule.trailing,
        max_orders=2 * ready.plan.symbols * ready.plan.days,
        freq="1min",
        engine="numba",
    )
    records: Records = portfolio.order_records
    return records


def by_kernel(ready: Ready, rule: Rule, engine: str) -> Records:
    buy, short, leave = ready.signals(rule)
    symbols = ready.plan.symbols
    sequence = np.empty((0, 0), np.int64) if engine == "numba" else np.zeros(ready.close.shape, np.int64)
    found, _ = dispatch.simulate_from_signals(
        ready.close.shape,
        np.ones(symbols, np.int64),
        np.full(symbols, CASH),
        sequence,
        long_entries=buy,
        long_exits=leave,
        short_entries=short,
        short_exits=leave,
        size=np.asarray(1.0),
        open=ready.open,
        high=ready.high,
        low=ready.low,
        close=ready.close,
        sl_stop=np.asarray(rule.stop),
        sl_trail=np.asarray(rule.trailing),
        max_orders=2 * symbols * ready.plan.days,
        engine=engine,
    )
    records: Records = found
    return records


def table_of_orders(records: Records, closes: Floats) -> Floats:
    """Return pairs of orders as trades; an order at the close of a bar is one at the next open, a stop is its bar's."""
    records = records[np.lexsort((records["idx"], records["col"]))]
    entry, left = records[::2], records[1::2]
    assert len(entry) == len(left)
    assert (entry["col"] == left["col"]).all()
    entered = entry["idx"] + 1
    at_close = left["price"] == closes[left["col"], left["idx"]]
    columns = (
        entry["col"],
        entered // MINUTES,
        entered,
        np.where(entry["side"] == 0, 1, -1),
        left["idx"] + at_close,
        entry["price"],
        left["price"],
    )
    return np.column_stack(columns).astype(np.float64)


def main() -> None:
    folder = Path(sys.argv[1])
    plan, columns = read_plan(folder), read_columns(folder)
    ways: tuple[tuple[str, bool, Callable[[Ready, Rule], Records]], ...] = (
        ("kernel, Rust", True, partial(by_kernel, engine="rust")),
        ("from_signals", True, by_portfolio),
        ("kernel, numba", False, partial(by_kernel, engine="numba")),
    )
    tables: dict[str, Floats] = {}
    for form, by_rows, way in ways:
        ready = Ready(plan, columns, by_rows=by_rows)
        for rule in plan.rules:
            wall, cpu, records = measured(plan.runs, partial(way, ready, rule))
            table = table_of_orders(records, columns[3])
            assert np.array_equal(tables.setdefault(rule.name, table), table), f"{form} trades otherwise"
            told = Told(
                worker="vectorbt",
                form=form,
                rule=rule.name,
                bars=plan.bars,
                wall=wall,
                cpu=cpu,
                peak_mib=peak_mib(),
                version=vectorbt.__version__,
            )
            tell(told, folder, table)
    assert "tbot_bot" not in sys.modules


if __name__ == "__main__":
    main()
