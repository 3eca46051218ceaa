"""How fast the ledger is booked and proven. Usage: `python benchmarks/bench_ledger.py [--entries 100000]`."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.ledger_kit import Days, Dice


def main() -> int:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    wanted = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as folder:
        days = Days(Path(folder))
        dice = Dice(days, seed=1)
        count = len(days.rows)
        dice.run(round(wanted / 1.35), days=250)
        count = len(days.rows)
        days.write()
        began = time.perf_counter()
        done = days.book()
        took = time.perf_counter() - began
        sys.stdout.write(f"{count} journal rows, {done.entries} entries booked in {took:.1f} s: ")
        sys.stdout.write(f"{done.entries / took:,.0f} entries a second\n")
        began = time.perf_counter()
        verdict = days.verdict()
        took = time.perf_counter() - began
        sys.stdout.write(f"verified {verdict.entries} entries, {verdict.lines} lines in {took:.1f} s: ")
        sys.stdout.write(f"{'sound' if verdict.sound else verdict.faults[:3]}\n")
        days.begin("one")
        dice.step()
        began = time.perf_counter()
        days.book()
        sys.stdout.write(f"one more order booked onto them in {1000 * (time.perf_counter() - began):.0f} ms\n")
        size = days.config.ledger.stat().st_size / 1e6
        sys.stdout.write(f"ledger {size:.0f} MB\n")
        days.close()
        return 0 if verdict.sound else 1


if __name__ == "__main__":
    sys.exit(main())
