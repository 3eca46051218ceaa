"""How many random days no limit of the risk part is passed in: python benchmarks/random_histories.py [DAYS] [SEED].

Each day is a session of OPEN or MID at one to three brokers with limits drawn from the seed, against a venue that
refuses, fills in parts, repeats and reorders its news, with marks of the accounts and restarts of the engine. A
limit that is passed ends the run with the seed of the day.
"""

import sys
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.limits_judge import live

DAYS: Final = 2000


def main() -> int:
    """Live through the days and print what they held."""
    days = int(sys.argv[1]) if len(sys.argv) > 1 else DAYS
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1  # noqa: PLR2004 - the second word
    seen: Counter[str] = Counter()
    began = perf_counter()
    for seed in range(first, first + days):
        try:
            day, judge = live(seed)
            assert day.engine.state.ended
        except AssertionError:
            sys.stderr.write(f"a limit was passed on the day of seed {seed}\n")
            raise
        seen.update(judge.seen)
        seen["events"] += len(day.told)
    took = perf_counter() - began
    what = ", ".join(f"{count} {name}" for name, count in sorted(seen.items()))
    sys.stdout.write(f"{days} random days in {took:.1f} s, no limit passed: {what}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
