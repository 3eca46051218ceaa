"""How long a kill takes at Alpaca and at Interactive Brokers, as the sandbox has them: over real sockets.

For each broker, through a running bot and with a dead one: from `tbot kill` to the exit order at the venue, and to flat
by the venue's own truth. One position under its stop; market orders fill within the sandbox's next tick (--speed).

    python benchmarks/bench_flatten_real.py --runs 5
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.support.terminal import CLI, REPOSITORY
from tests.support.trading_floor import Floor, protected

BROKERS: Final = ("alpaca", "ibkr")
PATIENCE_SECONDS: Final = 90.0


def one(broker: str, way: str, speed: float) -> tuple[float, float]:
    """Return the seconds to the exit order and to flat."""
    with tempfile.TemporaryDirectory() as folder:
        enabled = {f"{name.upper()}_ENABLED": str(name == broker).lower() for name in BROKERS}
        floor = Floor(
            Path(folder), speed=speed, begin="09:14", FRACTIONAL="false", OPEN_MONITORING_TIME="60m", **enabled
        )
        try:
            floor.start()
            floor.until(protected, broker)
            if way == "dead":
                floor.kill()
            return _killed(floor, broker)
        finally:
            floor.close()


def _killed(floor: Floor, broker: str) -> tuple[float, float]:
    command = [sys.executable, "-c", CLI, "kill", "--why", "a benchmark", "--wait", "60"]
    began = time.monotonic()
    asked = subprocess.Popen(
        command, env={**os.environ, "TBOT_HOME": str(floor.home)}, cwd=REPOSITORY, stdout=subprocess.DEVNULL
    )
    sent_at = 0.0
    while True:
        truth = floor.truth(broker)
        now = time.monotonic() - began
        labels = [order["ticket"]["label"] for order in truth["orders"]]
        if not sent_at and any("-exit" in label or "-deadman" in label for label in labels):
            sent_at = now
        if not truth["positions"]:
            if asked.wait(timeout=PATIENCE_SECONDS):
                raise SystemExit(f"tbot kill ended with status {asked.returncode}")
            return sent_at or now, now
        if now > PATIENCE_SECONDS:
            raise SystemExit(f"still open after {now:.0f} s: {truth['positions']}")
        time.sleep(0.02)


def main() -> None:
    """Measure each way at each broker and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--speed", type=float, default=60.0, help="market seconds per second")
    given = parser.parse_args()
    for broker in BROKERS:
        for way in ("running", "dead"):
            found = [one(broker, way, given.speed) for _ in range(given.runs)]
            for name, times in (("exit order", [sent for sent, _ in found]), ("flat", [flat for _, flat in found])):
                middle = statistics.median(times)
                print(
                    f"{broker:8} {way:8} {name:12} median {middle:6.2f} s   worst {max(times):6.2f} s"
                    f"   ({given.runs} runs)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
