"""Start of the daemon: seconds from exec to READY on the simulator venue, resident memory, stop flag to flat.

Usage: python benchmarks/bench_start.py [--runs 5]
READY is what systemd would hear: the script listens on a datagram socket of its own. Memory needs Linux.
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    starts, memories, stops = [], [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as home:
            ready, memory, stopped = one_run(Path(home))
        starts.append(ready)
        memories.append(memory)
        stops.append(stopped)
    print(f"runs {runs}")
    print(f"start to READY: median {statistics.median(starts):.2f} s (target 1.5 s)")
    print(f"supervisor's resident memory: median {statistics.median(memories):.1f} MiB (target 64 MiB)")
    print(f"SIGTERM while waiting for a session to exit: median {statistics.median(stops):.2f} s")


def one_run(home: Path) -> tuple[float, float, float]:
    address = str(home / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(30)
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "tbot_bot.runtime.tbot_runner_supervisor", "--home", str(home), "--rehearsal"],
            env={**os.environ, "NOTIFY_SOCKET": address},
        )
        while b"READY=1" not in listener.recv(4096):
            pass
        ready = time.perf_counter() - began
    memory = rss_mib(process.pid)
    asked = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    process.wait()
    return ready, memory, time.perf_counter() - asked


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError("no VmRSS")


if __name__ == "__main__":
    main()
