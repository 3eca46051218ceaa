"""Damaged settings files: how many are refused, and how many of the refusals name the damaged line.

Usage: python benchmarks/fuzz_settings.py [--files 2500] [--seed 1]
The files are made from the templates, see tests/support/mutations.py. Exit status 1: a file was accepted that had to
be refused (or the reverse), a message shows a secret, or does not name its line where there is one.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.mutations import Outcome, corpus, judged


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        outcomes = [judged(mutation, Path(home)) for mutation in corpus(chosen.files, chosen.seed)]
    seconds = time.perf_counter() - began
    refused = [outcome for outcome in outcomes if outcome.refused]
    named = [outcome for outcome in refused if outcome.names_its_line]
    without_line = [outcome for outcome in refused if not outcome.mutation.lines]
    wrong = [outcome for outcome in outcomes if problem_of(outcome)]
    print(f"files {len(outcomes)}, seed {chosen.seed}, {seconds:.1f} s")
    print(f"refused {len(refused)}")
    print(f"refused with the damaged line named {len(named)} ({len(named) / max(1, len(refused)):.1%})")
    for kind, count in Counter(outcome.mutation.kind for outcome in without_line).items():
        print(f"refused without a line to name {count}: {kind}")
    with_line = len(refused) - len(without_line)
    print(f"of those that have a line {len(named)} of {with_line} ({len(named) / max(1, with_line):.1%})")
    for kind, count in Counter(outcome.mutation.kind for outcome in outcomes if not outcome.refused).items():
        print(f"accepted {count}: {kind}")
    for outcome in wrong:
        print(f"WRONG {outcome.mutation.kind}, line {outcome.mutation.lines}: {problem_of(outcome)}")
    return 1 if wrong else 0


def problem_of(outcome: Outcome) -> str:
    """Return what should not be; empty: nothing."""
    if not outcome.as_declared:
        return f"should be {outcome.mutation.verdict.value}: {outcome.message or 'accepted'}"
    if outcome.tells_a_secret:
        return "the message shows a secret"
    if outcome.refused and outcome.mutation.lines and not outcome.names_its_line:
        return f"the line is not named: {outcome.message}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
