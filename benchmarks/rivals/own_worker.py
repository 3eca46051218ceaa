"""Measures our engines: python -m benchmarks.rivals.own_worker FOLDER array|event."""

import sys
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.rivals.own import FIRST, LAST, own_engine, own_setting, rules_of, table_of_trades
from benchmarks.rivals.plan import Plan, Told, measured, peak_mib, read_plan, tell
from benchmarks.tape_of_arrays import tape_of_arrays
from tbot_bot import __version__
from tbot_bot.backtest.array_engine import ArrayEngine
from tbot_bot.backtest.event_engine import run_event_engine
from tbot_bot.core.identity import StrategyName

EVENT_BARS: Final = 160_000
"""The event engine runs the first days that hold about as many."""
EVENT_RUNS: Final = 3


def main() -> None:
    folder, which = Path(sys.argv[1]), sys.argv[2]
    plan = read_plan(folder)
    engine = own_engine(tape_of_arrays(plan.symbols, plan.days, plan.seed))
    assert rules_of(engine) == plan.rules
    run = array if which == "array" else event
    for rule in plan.rules:
        run(folder, plan, engine, StrategyName(rule.name))


def array(folder: Path, plan: Plan, engine: ArrayEngine, name: StrategyName) -> None:
    setting = own_setting(name)
    scan = engine.scan_of(setting, name, engine.days)
    assert scan is not None
    wall, cpu, _ = measured(plan.runs, scan)
    tell(_told(name, "array", "signals alone", plan.bars, wall, cpu), folder)
    wall, cpu, found = measured(plan.runs, partial(engine.run, setting, FIRST, LAST))
    trades = table_of_trades(engine.arrays, found.trades)
    tell(_told(name, "array", "whole", plan.bars, wall, cpu), folder, trades)


def event(folder: Path, plan: Plan, engine: ArrayEngine, name: StrategyName) -> None:
    setting, days = own_setting(name), engine.days[: max(1, EVENT_BARS * plan.days // plan.bars)]
    wall, cpu, found = measured(min(plan.runs, EVENT_RUNS), lambda: run_event_engine(setting, iter(days)), warm=False)
    bars = sum(day.bars for day in found.days)
    trades = table_of_trades(engine.arrays, found.trades)
    tell(_told(name, "event", "whole", bars, wall, cpu, days=len(days)), folder, trades)


def _told(name: StrategyName, worker: str, form: str, bars: int, wall: float, cpu: float, days: int = 0) -> Told:
    return Told(
        worker=worker,
        form=form,
        rule=name.value,
        bars=bars,
        wall=wall,
        cpu=cpu,
        peak_mib=peak_mib(),
        version=__version__,
        days=days,
    )


if __name__ == "__main__":
    main()
