"""How long a kill takes with five positions at two simulated brokers, through the bot and without it.

For each way, over several runs: from the command to the last exit order at the venues, and to flat by the venues' own
books. A compressed clock (--speed) makes the wait for the next bar short; the rest is the bot's own time.

    python benchmarks/bench_flatten.py --runs 5
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tbot_bot.broker.broker_sim import SimulatedBroker, VenueStore
from tbot_bot.broker.matching import Venue
from tbot_bot.core.money import ZERO
from tests.support.crafted_day import DAY, breakout_up, write_day

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")
SETTINGS = (
    "STRATEGY_OVERRIDE=open",
    "ALPACA_ENABLED=true",
    "IBKR_ENABLED=true",
    "MAX_TRADES=5",
    "WEIGHTS=0.2,0.2,0.2,0.2,0.2",
    "MAX_RISK_PER_TRADE=0.02",
)
PATIENCE_SECONDS = 60.0


def books(home: Path) -> list[SimulatedBroker]:
    """Return the venues as their files tell them now."""
    return [
        SimulatedBroker(Venue(broker=path.stem.rpartition("_")[0], cash=ZERO), store=VenueStore(path))
        for path in sorted((home / "output" / "venue").glob("*/*.sqlite3"))
    ]


def look(home: Path) -> tuple[int, int]:
    """Return how many positions there are, and how many exits were ever sent."""
    positions = exits = 0
    for broker in books(home):
        venue = broker.venue
        positions += len(venue.positions())
        for position in SYMBOLS:
            trade = f"{DAY:%Y%m%d}-open-{broker.name}-{position}"
            exits += any(venue.order(f"{trade}-{leg}1") is not None for leg in ("exit", "deadman"))
    return positions, exits


def one(way: str, speed: float) -> tuple[float, float]:
    """Return the seconds to the last exit order and to flat."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / ".env").write_text("ENVIRONMENT=development\n", encoding="utf-8")
        (home / ".env_bot").write_text("TEST_MODE=true\n", encoding="utf-8")
        write_day(home / "bars.csv", {symbol: breakout_up() for symbol in SYMBOLS})
        env = {**os.environ, "TBOT_HOME": folder}
        begin = [sys.executable, "-m", "tbot_bot.runtime.cli"]
        words = ["run", "--once", "--rehearsal", "--day", str(DAY), "--data", "bars.csv", "--speed", str(speed)]
        for setting in SETTINGS:
            words += ["--set", setting]
        with (home / "out.txt").open("wb") as out:
            bot = subprocess.Popen([*begin, *words], cwd=home, env=env, stdout=out, stderr=out)
        try:
            return _killed(home, way, bot, [*begin, "kill", "--why", "a benchmark"], env)
        finally:
            bot.kill()
            bot.wait()
            with suppress(OSError, ValueError, KeyError):  # there is none left
                os.killpg(json.loads((home / "control" / "runner.json").read_text())["pid"], signal.SIGKILL)


def _killed(
    home: Path, way: str, bot: "subprocess.Popen[bytes]", command: Sequence[str], env: dict[str, str]
) -> tuple[float, float]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    held = 0
    while held < len(SYMBOLS):
        if time.monotonic() > deadline or bot.poll() is not None:
            raise SystemExit(f"{held} positions only:\n{(home / 'out.txt').read_text(encoding='utf-8')}")
        time.sleep(0.05)
        status = home / "output" / "status_bot.json"
        with suppress(OSError, ValueError):  # not written yet
            held = len(json.loads(status.read_text(encoding="utf-8")).get("positions", ()))
    if way == "dead":
        runner = json.loads((home / "control" / "runner.json").read_text(encoding="utf-8"))["pid"]
        bot.kill()
        os.killpg(runner, signal.SIGKILL)
        bot.wait()
    began = time.monotonic()
    asked = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    sent_at = 0.0
    while True:
        positions, exits = look(home)
        now = time.monotonic() - began
        if not sent_at and exits == len(SYMBOLS):
            sent_at = now
        if not positions:
            asked.wait(timeout=PATIENCE_SECONDS)
            return sent_at or now, now
        if now > PATIENCE_SECONDS:
            raise SystemExit(f"{positions} positions are still open after {now:.0f} s")
        time.sleep(0.01)


def main() -> None:
    """Measure both ways and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--speed", type=float, default=400.0, help="market seconds per second")
    given = parser.parse_args()
    for way in ("running", "dead"):
        found = [one(way, given.speed) for _ in range(given.runs)]
        for name, times in (("last exit order", [sent for sent, _ in found]), ("flat", [flat for _, flat in found])):
            times.sort()
            worst = times[min(len(times) - 1, round(0.99 * len(times)))]
            print(
                f"{way:8} {name:16} median {statistics.median(times):6.2f} s   p99 {worst:6.2f} s   ({given.runs} runs)"
            )


if __name__ == "__main__":
    main()
