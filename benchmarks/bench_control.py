"""Control: seconds from a flag's file to whoever obeys it, and from a stop flag to the last exit order.

Usage: python benchmarks/bench_control.py [--runs 5]
A runner trades the synthetic market fast until it holds some positions, is killed, and is started again on a
clock as slow as life, where the next bar is up to a minute away. Then a stop flag is written. All times come
from the file's own stamp and from the wall clock in the journal's rows.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tbot_bot.core.codec import loads
from tbot_bot.core.commands import Decided, SubmitOrder
from tbot_bot.core.events import ControlReceived
from tbot_bot.core.identity import Leg, OrderName
from tbot_bot.core.instants import SECOND, parse_iso
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import open_reader
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.requests import REHEARSAL_DAY, REHEARSAL_SEED

POSITIONS = 3
PATIENCE_SECONDS = 90
FAST = 400.0
BEGIN = parse_iso(f"{REHEARSAL_DAY.isoformat()}T13:24:00Z")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    noticed, sent, counts = [], [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as home:
            seen, last, count = one_run(Path(home))
        noticed.append(seen)
        sent.append(last)
        counts.append(count)
    print(f"runs {runs}, positions {min(counts)} to {max(counts)}, clock at real speed")
    print(f"flag to noticed: median {statistics.median(noticed):.2f} s, worst {max(noticed):.2f} s (target 2 s)")
    print(f"stop flag to all exit orders: median {statistics.median(sent):.2f} s, worst {max(sent):.2f} s (target 3 s)")


def one_run(home: Path) -> tuple[float, float, int]:
    """Return seconds to the notice, seconds to the last exit order, and how many exits there were."""
    fast = start(home, BEGIN, FAST)
    wait(lambda: len(status(home).get("positions", [])) >= POSITIONS)
    fast.send_signal(signal.SIGKILL)
    fast.wait()
    slow = start(home, parse_iso(status(home)["market_time"]), 1.0)
    try:
        wait(lambda: status(home).get("pid") == slow.pid and beat(home).get("pid") == slow.pid)
        time.sleep(0.5)
        held = len(status(home)["positions"])
        flag = ControlFolder(home / "control").write(Flag.STOP, by="bench", why="how long does it take")
        asked = flag.stat().st_mtime_ns
        wait(lambda: len(exits(home)) >= held)
    finally:
        slow.kill()
        slow.wait()
    rows = exits(home)
    assert len(rows) == held
    return (noticed_at(home) - asked) / SECOND, (max(rows) - asked) / SECOND, held


def start(home: Path, market: int, speed: float) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tbot_bot.runtime.main", "--session", f"{REHEARSAL_DAY.isoformat()}/open"]
    command += ["--home", str(home), "--anchor", f"{market}:{time.time_ns()}", "--speed", str(speed)]
    return subprocess.Popen([*command, "--seed", str(REHEARSAL_SEED), "--rehearsal"])


def status(home: Path) -> dict:  # type: ignore[type-arg]
    return read(home / "output" / "status_bot.json")


def beat(home: Path) -> dict:  # type: ignore[type-arg]
    return read(home / "control" / "runner.json")


def read(path: Path) -> dict:  # type: ignore[type-arg]
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    assert isinstance(found, dict)
    return found


def rows_of(home: Path, kind: Kind) -> list[tuple[int, object]]:
    with open_reader(home / "output" / "journal" / "tbot_paper.sqlite3") as journal:
        return [(row.recorded_at, loads(row.payload)) for row in journal.rows(kind=kind)]


def noticed_at(home: Path) -> int:
    return next(at for at, event in rows_of(home, Kind.INPUT) if isinstance(event, ControlReceived))


def exits(home: Path) -> list[int]:
    """Return when each exit order was journaled, which is just before it is sent."""
    found = []
    for at, decided in rows_of(home, Kind.COMMAND):
        for output in decided.outputs if isinstance(decided, Decided) else ():
            name = OrderName.parse(output.order.client_order_id) if isinstance(output, SubmitOrder) else None
            if name is not None and name.leg is Leg.EXIT:
                found.append(at)
    return found


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


if __name__ == "__main__":
    main()
