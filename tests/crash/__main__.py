"""The crash proof at the command line.

    make crash-test                          20 runs from seed 1
    make crash-test RUNS=1000 SEED=1         the long form: seeds 1 to 1000
    python -m tests.crash --runs 1 --seed 17 --keep

Exit status 0: every run was clean; 1: something was found (the folder of a failed run is kept).
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.crash.many import Orders, runs_of
from tests.crash.report import Run, figures_of, plain, table

BROKEN = ("intent-after-send", "random-ids", "blind-retry")


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description="Kill the runner at every step.")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next ones count up")
    parser.add_argument("--jobs", type=int, default=6, help="runs at a time; most of each is waiting")
    parser.add_argument("--folder", type=Path, help="for the runs' files; else a temporary one")
    parser.add_argument("--keep", action="store_true", help="keep the files of clean runs, too")
    parser.add_argument("--cold", action="store_true", help="start a new interpreter for each life of the runner")
    parser.add_argument("--broken", choices=BROKEN, default="", help="a build that the judge must catch")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="tbot-crash-"))
    orders = Orders(folder=folder, broken=asked.broken, cold=asked.cold, keep=asked.keep)
    folder.mkdir(parents=True, exist_ok=True)
    done: list[Run] = []
    say = sys.stderr if asked.json else sys.stdout
    begun = time.monotonic()
    seeds = range(asked.seed, asked.seed + asked.runs)
    for _, run in runs_of([(seed, orders) for seed in seeds], jobs=max(min(asked.jobs, asked.runs), 1)):
        done.append(run)
        with (folder / "runs.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(run)) + "\n")
        for finding in run.verdict.findings:
            say.write(f"seed {run.seed}: {finding.kind}: {finding.text}\n")
        if run.failed:
            again = f"python -m tests.crash --runs 1 --seed {run.seed} --keep"
            say.write(f"seed {run.seed}: files in {run.folder}; to repeat: {again}\n")
        if run.failed or len(done) % 10 == 0:
            kills = sum(len(one.verdict.kills) for one in done)
            failed = sum(one.failed for one in done)
            took = time.monotonic() - begun
            say.write(f"{len(done)} of {asked.runs} runs, {kills} kills, {failed} failed, {took:.0f} s\n")
            say.flush()
    figures = figures_of(done)
    sys.stdout.write(json.dumps(plain(figures), indent=1) + "\n" if asked.json else f"\n{table(figures)}\n")
    if not figures.failed and not asked.keep and asked.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return int(bool(figures.failed))


if __name__ == "__main__":
    sys.exit(main())
