"""Bars per second of the event engine: whole recorded days through journal, engine, venue and records.

Usage: python benchmarks/bench_event_engine.py [--data DATA.parquet --first DAY --last DAY --vix FILE]
Without data ten synthetic days are run. Prints the median over days; reading the data is counted apart.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path

from tbot_bot.config.settings import load_settings
from tbot_bot.core.calendar import trading_days
from tbot_bot.core.identity import Mode
from tbot_bot.core.market_day import MarketDay
from tbot_bot.journal.store import Journal
from tbot_bot.reporting.process_log import process_log
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.bootstrap import market_day_of, simulated_brokers
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.day_loop import run_day
from tbot_bot.runtime.schedule import plan_day, schedule_rules
from tbot_bot.runtime.session_setup import Files, Workplace, projector_for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--first", default="2025-09-02")
    parser.add_argument("--last", default="2025-09-15")
    parser.add_argument("--vix", type=Path)
    given = parser.parse_args()
    rates, loads, bars_all, seconds_all = [], [], 0, 0.0
    for day in trading_days(date.fromisoformat(given.first), date.fromisoformat(given.last)):
        with tempfile.TemporaryDirectory() as home:
            began = time.perf_counter()
            market = market_day_of(day, data=given.data, vix=given.vix, seed=1)
            loaded = time.perf_counter()
            asyncio.run(one_day(Path(home), day, market))
            took = time.perf_counter() - loaded
        bars = sum(len(piece.bars) for piece in market.slices())
        rates.append(bars / took)
        loads.append(loaded - began)
        bars_all, seconds_all = bars_all + bars, seconds_all + took
    print(f"days {len(rates)}, bars {bars_all:,}")
    print(f"event engine: median {statistics.median(rates):,.0f} bars/s, over all {bars_all / seconds_all:,.0f} bars/s")
    print(f"reading or making a day: median {statistics.median(loads):.3f} s")


async def one_day(home: Path, day: date, market: MarketDay) -> None:
    settings = load_settings(home, {"TEST_MODE": "true"}, defaults_if_absent=True)
    records = records_for(home, Mode.PAPER, test_mode=True)
    with Journal.open(records.journal, records.mode) as journal, process_log(records, "bench", wall_now) as log:
        place = Workplace(
            records=records,
            journal=journal,
            brokers=simulated_brokers(settings.bot, market),
            observers=(Files(projector_for(settings.bot, journal, records), log),),
            log=log,
            wall_clock=wall_now,
        )
        plan = plan_day(schedule_rules(settings.bot), day)
        await run_day(place, settings, plan, market, run=1, speed=None)


if __name__ == "__main__":
    main()
