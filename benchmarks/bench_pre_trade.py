"""How long the gate takes to approve or refuse an order: python benchmarks/bench_pre_trade.py [TIMES].

Target: both far below a millisecond, so that the checks are no part of the way from a quote to an order.
"""

import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter_ns
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from tbot_bot.core.commands import SubmitOrder, TradeApproved
from tbot_bot.trading.gate import approve_entry
from tests.support.scenario import Scenario, spec_of
from tests.trading.test_risk_bot import INTENT, LIMITS, VIEW

TIMES: Final = 20_000
DAYS: Final = 300
MICROSECOND: Final = 1_000


def gate(times: int) -> None:
    """Time the gate alone: all checks agree, and one objects."""
    refusing = replace(LIMITS, max_order_notional=Decimal(1))
    for name, limits in (("approval", LIMITS), ("rejection", refusing)):
        took = []
        for _ in range(times):
            began = perf_counter_ns()
            answer = approve_entry(INTENT, VIEW, limits)
            took.append(perf_counter_ns() - began)
            assert (answer.approved is None) == (name == "rejection")
        told(f"gate, {name}", took)


def decision() -> None:
    """Time the engine from the bar that brings a signal to the approved order or the recorded refusal."""
    for name, changes in (("approval", {}), ("rejection", {"max_order_notional": Decimal(1)})):
        took = []
        for _ in range(DAYS):
            day = Scenario(spec_of(**changes))
            day.range_of()
            began = perf_counter_ns()
            day.bars(20, AAA=103.41)
            took.append(perf_counter_ns() - began)
            sent = day.of(SubmitOrder)
            assert bool(day.of(TradeApproved)) == bool(sent) == (name == "approval")
        told(f"bar to {name}", took)


def told(what: str, nanoseconds: list[int]) -> None:
    """Print median and 99th percentile."""
    middle, high = median(nanoseconds) / MICROSECOND, quantiles(nanoseconds, n=100)[98] / MICROSECOND
    sys.stdout.write(f"{what:>18}: median {middle:8.1f} us, p99 {high:8.1f} us ({len(nanoseconds)} times)\n")


if __name__ == "__main__":
    gate(int(sys.argv[1]) if len(sys.argv) > 1 else TIMES)
    decision()
