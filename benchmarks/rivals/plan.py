"""What the workers of `bench_rivals.py` are given and what they tell, as files; nothing here is of the bot.

A folder holds the arrays (`open.npy` and so on: symbols x minutes, day after day) and `plan.json`. A worker writes its
trades beside them (`<worker>-<rule>.npy`) and prints one line of JSON for each thing that it has measured.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
R = TypeVar("R")

MINUTES: Final = 390
_LONG_ENOUGH: Final = 0.5
"""Seconds."""
_OFTEN: Final = 50
COLUMNS: Final = ("open", "high", "low", "close", "volume")
ENTRY, SIDE, LEFT, ENTERED_AT, LEFT_AT = 2, 3, 4, 5, 6
"""Columns of a table of trades, after symbol and day: row of the entry and side (1, -1), row of the exit, prices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. Minutes count from the opening bell, fractions are fractions."""

    name: str
    kind: int
    """0: breakout from a range, 1: distance from VWAP, 2: the end of the day."""
    numbers: tuple[float, float]
    """What signals: buffer; threshold; momentum and fade."""
    stop: float
    trailing: bool
    hold: int
    """Minutes after which a trade is left."""
    last: int
    """Minute at which every trade is left."""
    windows: tuple[tuple[int, int, int], ...]
    """By day: begin and end of the analysis, end of the entries; zeros where there is no session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of the benchmark."""

    symbols: int
    days: int
    seed: int
    runs: int
    rules: tuple[Rule, ...]

    @property
    def bars(self) -> int:
        return self.symbols * self.days * MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a worker has measured of one rule."""

    worker: str
    form: str
    """Which of its ways to run a rule."""
    rule: str
    bars: int
    wall: float
    """Median seconds."""
    cpu: float
    """Median seconds of all its threads."""
    peak_mib: float
    """Of the process so far."""
    version: str = ""
    symbols: int = 0
    days: int = 0
    """How many of the first symbols, or which many of the days, it ran; 0: all."""


def write_plan(folder: Path, plan: Plan) -> None:
    (folder / "plan.json").write_text(json.dumps(asdict(plan)), encoding="utf-8")


def read_plan(folder: Path) -> Plan:
    found = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    rules = tuple(
        Rule(
            name=one["name"],
            kind=one["kind"],
            numbers=(one["numbers"][0], one["numbers"][1]),
            stop=one["stop"],
            trailing=one["trailing"],
            hold=one["hold"],
            last=one["last"],
            windows=tuple((begin, measured, end) for begin, measured, end in one["windows"]),
        )
        for one in found["rules"]
    )
    return Plan(symbols=found["symbols"], days=found["days"], seed=found["seed"], runs=found["runs"], rules=rules)


def read_columns(folder: Path, symbols: int | None = None) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return open, high, low, close and volume of the first `symbols`, in memory."""
    open_, high, low, close, volume = (
        np.array(np.load(folder / f"{name}.npy", mmap_mode="r")[:symbols]) for name in COLUMNS
    )
    return open_, high, low, close, volume


def measured(runs: int, work: Callable[[], R], *, warm: bool = True) -> tuple[float, float, R]:
    """Return median seconds of the wall and of all threads, and the result; a first run compiles and warms.

    What is quick is run more often than `runs`: a pause of the machine would be all that one sees.
    """
    if warm:
        work()
    wall: list[float] = []
    cpu: list[float] = []
    while len(wall) < runs or (sum(wall) < _LONG_ENOUGH and len(wall) < _OFTEN):
        began, worked = time.perf_counter(), time.process_time()
        result = work()
        cpu.append(time.process_time() - worked)
        wall.append(time.perf_counter() - began)
    return float(np.median(wall)), float(np.median(cpu)), result


def peak_mib() -> float:
    """Return the most memory that this program has held, in MiB.

    Linux counts in `ru_maxrss` what the process held before it became this program: its parent's memory.
    """
    status = Path("/proc/self/status")
    if status.exists():
        [kib] = [
            line.split()[1] for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
        ]
        return int(kib) / 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


def told_of(line: str) -> Told:
    """Return what a worker printed."""
    found = json.loads(line)
    return Told(**found)


def tell(told: Told, folder: Path, trades: "Floats | None" = None) -> None:
    """Hand over what was measured, and the trades that it found."""
    if trades is not None:
        np.save(folder / f"{told.worker}-{told.rule}.npy", trades)
    sys.stdout.write(json.dumps(asdict(told)) + "\n")
    sys.stdout.flush()
