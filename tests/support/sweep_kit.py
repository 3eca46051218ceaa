"""Sweeps for tests: some days of random bars, and `tbot backtest` as a user types it, in a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from tbot_bot.backtest.model import BacktestRequest, EngineChoice
from tbot_bot.core.calendar import trading_day, trading_days
from tests.support.rehearsal import SENSITIVE, random_walks, write_csv

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FIRST = date(2025, 12, 1)
MANY = "OPEN_TRAILING_STOP_PCT=0.001:0.024:0.001"
"""So many sets that a sweep of them can be met in the middle."""
GRID = ("STRAT_OPEN_BUFFER=0.001:0.003:0.001", "OPEN_TRAILING_STOP_PCT=0.005,0.02")
FIXED = {name: value for name, value in SENSITIVE.items() if name != "STRAT_OPEN_BUFFER"}
RESULTS = {"results.parquet", "daily_returns.parquet", "report.html", "sweep.json"}


def days_of(count: int) -> list[date]:
    """Return the first `count` trading days of December 2025."""
    return list(trading_days(FIRST, date(2025, 12, 31)))[:count]


def write_days(path: Path, count: int, *, symbols: int = 3, changed_from: date | None = None) -> Path:
    """Write random bars of `count` days; `changed_from`: other ones from that day on."""
    rows = []
    for number, day in enumerate(days_of(count)):
        seed = number + (1000 if changed_from is not None and day >= changed_from else 0)
        bell = datetime.fromtimestamp(trading_day(day).open_at / 1e9, UTC)
        part = write_csv(path.with_suffix(".part"), near_one_price(random_walks(seed, symbols=symbols)), bell)
        head, *lines = part.read_text().splitlines()
        rows += lines
        part.unlink()
    path.write_text("\n".join([head, *rows, ""]))
    return path


def near_one_price(walks):
    """Return the walks moved so that each symbol begins every day at the same price, without gaps overnight."""
    moved = {}
    for place, (symbol, rows) in enumerate(walks.items()):
        times = (30 + 10 * place) / rows[0][1]
        moved[symbol] = [
            (minute, *(round(price * times, 2) for price in prices), volume) for minute, *prices, volume in rows
        ]
    return moved


def request_for(home: Path, data: Path, count: int, **settings: str) -> BacktestRequest:
    """Return a request over the first `count` days by the event engine, which has nothing to compile."""
    return BacktestRequest(
        home=home,
        data=data,
        first=FIRST,
        last=days_of(count)[-1],
        overrides=tuple({**FIXED, **settings}.items()),
        engine=EngineChoice.EVENT,
        cache=home / "cache",
    )


def words_for(command: str, data: Path, count: int, *more: object, texts: Sequence[str] = GRID) -> list[str]:
    """Return the words of a sweep or a walk-forward over the first `count` days by the event engine."""
    days = ["--start", FIRST.isoformat(), "--end", days_of(count)[-1].isoformat()]
    grid = [word for text in texts for word in ("--grid", text)]
    fixed = [word for name, value in FIXED.items() for word in ("--set", f"{name}={value}")]
    return [
        "backtest",
        command,
        *grid,
        *fixed,
        *days,
        "--data",
        str(data),
        "--engine",
        "event",
        "--accept-data",
        *map(str, more),
    ]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "TBOT_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}


def started(home: Path, words: list[str]) -> subprocess.Popen[str]:
    """Start `tbot` in a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tbot_bot.runtime.cli", *words], cwd=home, env=environment(home), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def tbot(home: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run `tbot` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tbot_bot.runtime.cli", *words], cwd=home, env=environment(home), text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


def done_lines(folder: Path) -> int:
    """Return how many tasks of the unfinished sweep that will be at `folder` are on record."""
    log = folder.parent / f".{folder.name}.sweep" / "done.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def wait_until(met, seconds: float = 60.0) -> None:
    """Return once `met` says so; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


def children_of(pid: int) -> list[int]:
    """Return the processes that `pid` has started."""
    told = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in told.splitlines()]
    return [child for child, parent in pairs if parent == pid]


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return every file of `folder`."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def summary_of(folder: Path, name: str = "sweep.json"):
    return json.loads((folder / name).read_text())
