"""`tbot screen --live` over many symbols: seconds from exec to the verdicts, against `tbot sandbox` with its limits.

Usage: python benchmarks/bench_screen.py [--symbols 8000] [--runs 3]
The sandbox is a process of its own over made-up minute bars of two days, its limits of calls on; the fundamentals are
in the cache beforehand, as they are after a night. With --finnhub-alone Alpaca's keys are left out: what a screen costs
whose only source is one quote a call, 60 a minute.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tbot_bot.marketdata.fundamentals_cache import KnownFacts
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.live_sources import open_cache

BELLS = (datetime(2025, 9, 2, 13, 30, tzinfo=UTC), datetime(2025, 9, 3, 13, 30, tzinfo=UTC))
MINUTES = (0, 1, 2, 3, 4, 389)
PROGRAM = (sys.executable, "-c", "from tbot_bot.runtime.cli import main; raise SystemExit(main())")
TARGET = 60
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What one run of the command took and told."""

    seconds: float
    symbols: int
    passed: int
    ranked: int
    priced: dict[str, int]
    asked: dict[str, int]
    notes: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=8_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--finnhub-alone", action="store_true")
    given = parser.parse_args()
    symbols = [f"S{number:05}" for number in range(given.symbols)]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_bars(home / "bars.parquet", symbols)
        with open_cache(home) as cache:
            for symbol in symbols:
                cache.keep(facts_of(symbol))
        with sandbox(home / "bars.parquet") as settings:
            write_settings(home, settings, alpaca=not given.finnhub_alone)
            screens = [screened(home) for _ in range(given.runs)]
    last, took = screens[-1], [one.seconds for one in screens]
    priced = sum(last.priced.values())
    if not given.finnhub_alone:
        assert priced == last.symbols == given.symbols, (last.notes, priced, last.symbols)
        assert last.ranked > 0, last  # Finnhub tells no time, so its quotes are of the sandbox's day, not of ours
    print(f"symbols {given.symbols}, runs {given.runs}, priced {last.priced}, requests {last.asked}")
    print(f"passed {last.passed}, candidates {last.ranked}")
    print(f"exec to verdicts: median {statistics.median(took):.1f} s, longest {max(took):.1f} s, target {TARGET} s")
    for note in last.notes:
        print(f"note: {note}")


def write_bars(path: Path, symbols: list[str]) -> None:
    dice = random.Random(1)  # noqa: S311 - made-up prices
    rows = []
    for symbol in symbols:
        price = dice.uniform(4, 120)
        for bell in BELLS:
            for minute in MINUTES:
                price = round(price * (1 + dice.gauss(0, 0.004)), 2)
                rows.append((symbol, bell + timedelta(minutes=minute), price, dice.randrange(1_000, 90_000)))
    names, at, prices, volumes = zip(*rows, strict=True)
    columns = {"symbol": names, "ts": pa.array(at, pa.timestamp("us", tz="UTC"))}
    columns |= dict.fromkeys(("open", "high", "low", "close"), prices)
    pq.write_table(pa.table(columns | {"volume": pa.array(volumes, pa.int64())}), path)


def facts_of(symbol: str) -> KnownFacts:
    dice = random.Random(symbol)  # noqa: S311 - made-up figures
    cap, volume = Decimal(dice.randrange(10**9, 2 * 10**10)), Decimal(dice.randrange(10**5, 10**7))
    now = wall_now()
    return KnownFacts(
        symbol=symbol, market_cap=cap, average_volume=volume, facts_at=now, facts_source="finnhub", profile_at=now
    )


@contextmanager
def sandbox(bars: Path) -> Iterator[dict[str, str]]:
    ports = [word for name in ("--port-alpaca", "--port-finnhub", "--port-tws", "--admin-port") for word in (name, "0")]
    words = [
        "sandbox",
        "--json",
        *ports,
        "--data",
        str(bars),
        "--day",
        "2025-09-03",
        "--begin",
        "09:36",
        "--speed",
        "1",
    ]
    process = subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        text = ""
        for line in process.stdout:
            text += line
            if line == "}\n":
                break
        yield json.loads(text)["settings"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def write_settings(home: Path, settings: dict[str, str], *, alpaca: bool) -> None:
    broker = "ALPACA" if alpaca else "IBKR"
    names = [name for name in settings if name.startswith(("FINNHUB", broker))]
    (home / ".env").write_text("".join(f"{name}={settings[name]}\n" for name in names))
    (home / ".env").chmod(0o600)
    flags = f"ALPACA_ENABLED={'true' if alpaca else 'false'}\nIBKR_ENABLED={'false' if alpaca else 'true'}\n"
    (home / ".env_bot").write_text(f"TEST_MODE=false\nTOTAL_CAPITAL=1000000\n{flags}")


def screened(home: Path) -> Screened:
    began = time.perf_counter()
    words = ["screen", "--live", "--session", "mid", "--json"]
    done = subprocess.run(
        [*PROGRAM, *words], env={**os.environ, "TBOT_HOME": str(home)}, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    verdicts = told["sessions"][0]["verdicts"]
    return Screened(
        seconds=took,
        symbols=len(verdicts),
        passed=sum(one["passed"] for one in verdicts),
        ranked=sum(one["rank"] > 0 for one in verdicts),
        priced=told["priced"],
        asked=told["asked"],
        notes=told["notes"],
    )


if __name__ == "__main__":
    main()
