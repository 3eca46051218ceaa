"""Our engines beside a numba loop written by hand, backtesting.py and vectorbt: one run, one tape, the same rules.

Usage: python -m benchmarks.bench_rivals [--full] [--runs N] [--seed N] [--env DIR]
Default: 100 symbols x 60 days; --full: 500 symbols x 252 days (49 million bars; takes 10 GB and some minutes). Each
contestant has a process of its own. The rivals are installed once (rivals-requirements.txt) into an environment under
output/cache, or under DIR; where they cannot be had, one line says so and the rest is measured.
The trades are held against each other: equal entries are a condition, unequal ones end the run with an error.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.rivals.own import own_engine, rules_of
from benchmarks.rivals.plan import COLUMNS, ENTRY, LEFT, LEFT_AT, SIDE, Floats, Plan, Rule, Told, told_of, write_plan
from benchmarks.tape_of_arrays import tape_of_arrays

HERE: Final = Path(__file__).resolve().parent
REQUIREMENTS: Final = HERE / "rivals-requirements.txt"
ENVIRONMENTS: Final = HERE.parent / "output" / "cache"
PIP_SECONDS: Final = 900
WORKER_SECONDS: Final = 1800
CENT: Final = 0.0101
"""Our stops lie on the grid of cents, the others' do not."""
CLAIM: Final = 100.0
LEFT_OUT: Final = """\
What each leaves out
  array engine   nothing: screen, filters, ranking, sizing, limits, orders'
                 checks, volume caps, fees, records, all on one account that lives on
  signals alone  the first step of it: finds each symbol's first signal
  event engine   nothing; every bar of every symbol
  loop by hand   takes every signal with one share: no screen, filters, ranking,
                 sizing, shared account, limits, volume caps, cents, fees
  vectorbt       as the loop, which also makes its signals and planned exits: it
                 has no first signal of a session, no exit after a time or at
                 VWAP. Stops are its own, first in a bar, from the bar after the
                 entry on: it enters at the signal's close, on this tape the
                 next open
  backtesting.py as vectorbt; one symbol at a time; stops from the bar of the
                 entry on, trailed by hand in next()"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table."""

    told: Told
    trades: Floats | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--env", type=Path, default=ENVIRONMENTS)
    given = parser.parse_args()
    symbols, days = (500, 252) if given.full else (100, 60)
    python = environment(given.env)
    with tempfile.TemporaryDirectory(prefix="tbot-rivals-") as name:
        folder = Path(name)
        plan = prepare(folder, symbols, days, given.seed, given.runs)
        print(
            f"{symbols} symbols x {days} days, {plan.bars:,} bars, seed {plan.seed}; medians of {plan.runs}; "
            f"load {os.getloadavg()[0]:.1f}"
        )
        lines = list(contest(folder, python))
        for rule in plan.rules:
            show(rule, [line for line in lines if line.told.rule == rule.name])
        print(LEFT_OUT)
        if python is None:
            return
        print(f"\n{CLAIM:.0f} times as fast as any rival? (the smaller of the ratios of wall and CPU time)")
        for rule in plan.rules:
            judge(rule, [line for line in lines if line.told.rule == rule.name])


def environment(folder: Path) -> Path | None:
    """Return the interpreter of the rivals' environment, made in `folder` where it is not yet; None: not to be had."""
    text = f"{sys.version_info[:2]} {REQUIREMENTS.read_text(encoding='utf-8')}"
    place = folder / f"rivals-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    python, done = place / "bin" / "python", place / "complete"
    if done.exists() and python.exists():
        return python
    print(f"installing the rivals into {place.name} (a minute or so, once)")
    words = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--requirement", str(REQUIREMENTS)]
    try:
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([python, *words], check=True, timeout=PIP_SECONDS, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"the rivals are left out: they could not be installed ({type(error).__name__}; is there a network?)")
        return None
    done.touch()
    return python


def prepare(folder: Path, symbols: int, days: int, seed: int, runs: int) -> Plan:
    """Write the tape and the rules into `folder`."""
    arrays = tape_of_arrays(symbols, days, seed)
    for name in COLUMNS:
        np.save(folder / f"{name}.npy", getattr(arrays, name).reshape(symbols, -1))
    plan = Plan(symbols=symbols, days=days, seed=seed, runs=runs, rules=rules_of(own_engine(arrays)))
    write_plan(folder, plan)
    return plan


def contest(folder: Path, python: Path | None) -> Iterator[Line]:
    """Let one after the other run."""
    own = Path(sys.executable)
    yield from worker(own, "own_worker", folder, "array")
    yield from worker(own, "hand_worker", folder)
    yield from worker(own, "own_worker", folder, "event")
    if python is not None:
        yield from worker(python, "vectorbt_worker", folder)
        yield from worker(python, "backtesting_worker", folder)


def worker(python: Path, module: str, folder: Path, *words: str) -> Iterator[Line]:
    """Run one worker to its end, from the checkout so that it finds its own files.

    Raises:
        subprocess.SubprocessError: it failed, or took too long.
    """
    command = [str(python), "-m", f"benchmarks.rivals.{module}", str(folder), *words]
    quiet = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run(
        command, cwd=HERE.parent, env=quiet, check=True, text=True, stdout=subprocess.PIPE, timeout=WORKER_SECONDS
    )
    for text in done.stdout.splitlines():
        told = told_of(text)
        path = folder / f"{told.worker}-{told.rule}.npy"
        yield Line(told=told, trades=np.load(path) if told.form != "signals alone" else None)


def show(rule: Rule, lines: Sequence[Line]) -> None:
    """Print the table of one rule, the trades of each held against the loop's."""
    hand = one(lines, "hand")
    assert hand is not None
    assert hand.trades is not None
    kind = "trailing stop" if rule.trailing else "stop"
    print(f"\n{rule.name.upper()}: {rule.numbers[0]:g}, {kind} {rule.stop:g}, {rule.hold} minutes")
    print(f"{'':27}{'wall s':>8}{'CPU s':>8}{'M bars/s':>10}{'ours is':>12}{'MiB':>7}{'trades':>8}")
    ours = one(lines, "array", "whole")
    assert ours is not None
    for line in lines:
        told = line.told
        rate = told.bars / told.wall / 1e6
        count = "" if line.trades is None else f"{len(line.trades):,}"
        times = f"{times_as_fast(ours.told, told):,.3f} x"
        print(f"{title(told):27}{told.wall:8.4f}{told.cpu:8.4f}{rate:10,.2f}{times:>12}{told.peak_mib:7,.0f}{count:>8}")
    others = {line.told.worker: line for line in lines if line.trades is not None and line.told.worker != "hand"}
    for line in others.values():  # the ways of one rival were held against each other where they ran
        print(f"  {agreement(line, hand.trades)}")


def title(told: Told) -> str:
    names = {
        "array": f"array engine, {told.form}",
        "hand": "loop by hand, whole rule",
        "event": f"event engine, {counted(told.days, 'day')}",
        "vectorbt": f"vectorbt, {told.form}",
        "backtesting": f"backtesting.py, {counted(told.symbols, 'symbol')}",
    }
    return names[told.worker]


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


def times_as_fast(ours: Told, other: Told) -> float:
    """Return by which factor `ours` is as fast as `other`, by the clock."""
    return (other.wall / other.bars) / (ours.wall / ours.bars)


def surely_times_as_fast(ours: Told, other: Told) -> float:
    """Return the smaller of the factors by the clock and by the work of all threads."""
    return min(times_as_fast(ours, other), (other.cpu / other.bars) / (ours.cpu / ours.bars))


def agreement(line: Line, reference: Floats) -> str:
    """Return in words how far the trades of `line` are those of the loop.

    Raises:
        SystemExit: a rival enters elsewhere, or we enter where the rule gives no signal.
    """
    told, found = line.told, line.trades
    assert found is not None
    if told.symbols:
        reference = reference[reference[:, 0] < told.symbols]
    if told.days:
        reference = reference[reference[:, 1] < told.days]
    rows = {(trade[0], trade[1]): trade for trade in reference.tolist()}
    pairs = [(trade, rows.get((trade[0], trade[1]))) for trade in found.tolist()]
    same = [(a, b) for a, b in pairs if b is not None and (a[ENTRY], a[SIDE]) == (b[ENTRY], b[SIDE])]
    every = told.worker not in {"array", "event"}  # ours choose among the signals
    if len(same) != len(pairs) or (every and len(same) != len(reference)):
        sys.exit(
            f"{title(told)}: {len(pairs)} entries, {len(same)} of them the loop's {len(reference)}: not comparable"
        )
    left = sum(a[LEFT] == b[LEFT] and abs(a[LEFT_AT] - b[LEFT_AT]) < CENT for a, b in same)
    which = f"all {len(same):,}" if every else f"{len(same):,} of {len(reference):,}"
    return f"{told.worker}: {which} signals entered at the same bar, {left:,} left alike"


def judge(rule: Rule, lines: Sequence[Line]) -> None:
    """Say by how much we are faster than each rival at its fastest, and whether the claim holds."""
    whole, signals = one(lines, "array", "whole"), one(lines, "array", "signals alone")
    assert whole is not None
    assert signals is not None
    for name in ("vectorbt", "backtesting"):
        ways = [line.told for line in lines if line.told.worker == name]
        if not ways:
            continue
        best = min(ways, key=lambda told: min(told.wall, told.cpu) / told.bars)
        factor, alone = (surely_times_as_fast(one_of.told, best) for one_of in (whole, signals))
        verdict = "yes" if factor >= CLAIM else "no"
        print(f"  {rule.name.upper():5} {title(best):27} whole {factor:7.3g} x: {verdict}; signals {alone:7.4g} x")


def one(lines: Sequence[Line], worker: str, form: str | None = None) -> Line | None:
    found = [line for line in lines if line.told.worker == worker and form in {None, line.told.form}]
    return found[0] if found else None


if __name__ == "__main__":
    main()
