"""The session runner: resident memory with 45 symbols, and seconds from `kill -9` to trading again.

Usage: python benchmarks/bench_runner.py [--runs 5]
A synthetic day of 45 symbols at 60 market seconds a second; the runner is killed in the entry window each time.
Memory is VmRSS of the process after it has taken bars for a while (Linux only).
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

from tbot_bot.core.instants import parse_iso

SPEED = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    recoveries, memories, cpus = [], [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            recovery, memory, cpu = one_run(Path(folder))
        recoveries.append(recovery)
        memories.append(memory)
        cpus.append(cpu)
    print(f"runs {runs}")
    print(f"kill -9 to reconciled and trading again: median {statistics.median(recoveries):.2f} s (target 3 s)")
    print(f"runner's resident memory, 45 symbols: median {statistics.median(memories):.1f} MiB (target 90 MiB)")
    print(
        f"processor share at {SPEED:.0f}x: median {statistics.median(cpus):.1%} of a core (real time: a {SPEED:.0f}th)"
    )


def one_run(home: Path) -> tuple[float, float, float]:
    anchor = f"{parse_iso('2025-09-02T13:45:00Z')}:{time.time_ns()}"
    first = start(home, anchor)
    wait(home, first, lambda beat: beat["phase"] == "breakout")
    time.sleep(1.0)
    before = cpu_seconds(first.pid)
    time.sleep(2.0)
    share = (cpu_seconds(first.pid) - before) / 2.0
    memory = rss_mib(first.pid)
    first.send_signal(signal.SIGKILL)
    killed = time.perf_counter()
    first.wait()
    second = start(home, anchor)
    reached = json.loads((home / "control" / "runner.json").read_text())["market_time"]
    wait(home, second, lambda beat: beat["market_time"] > reached)
    recovery = time.perf_counter() - killed
    second.kill()
    second.wait()
    return recovery, memory, share


def start(home: Path, anchor: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tbot_bot.runtime.main", "--session", "2025-09-02/open", "--home", str(home)]
    command += ["--anchor", anchor, "--speed", str(SPEED), "--seed", "20250902", "--rehearsal"]
    return subprocess.Popen(command)


def wait(home: Path, process: subprocess.Popen[bytes], reached: Callable[[dict[str, str]], bool]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            beat = json.loads((home / "control" / "runner.json").read_text())
        except (FileNotFoundError, ValueError):
            beat = {"pid": 0}
        if beat["pid"] == process.pid and reached(beat):
            return
        assert process.poll() is None, "the runner ended early"
        time.sleep(0.005)
    raise TimeoutError("the runner did not get there")


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError("no VmRSS")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


if __name__ == "__main__":
    main()
