"""Measures the loops written by hand: python -m benchmarks.rivals.hand_worker FOLDER."""

import sys
from functools import partial
from pathlib import Path

import numba

from benchmarks.rivals.hand_rules import run_by_hand, table_of
from benchmarks.rivals.plan import Told, measured, peak_mib, read_columns, read_plan, tell


def main() -> None:
    folder = Path(sys.argv[1])
    plan, columns = read_plan(folder), read_columns(folder)
    for rule in plan.rules:
        wall, cpu, (rows, prices) = measured(plan.runs, partial(run_by_hand, rule, columns))
        told = Told(
            worker="hand",
            form="entries and exits",
            rule=rule.name,
            bars=plan.bars,
            wall=wall,
            cpu=cpu,
            peak_mib=peak_mib(),
            version=f"numba {numba.__version__}",
        )
        tell(told, folder, table_of(rows, prices))


if __name__ == "__main__":
    main()
