"""Market data in to order out at Alpaca and Interactive Brokers, over real sockets and with the durable intent.

    python benchmarks/bench_quote_to_order.py --samples 200 --kills 5
    python benchmarks/bench_quote_to_order.py --samples 20 --kills 0 --speed 10 --silent

Sandbox and runner are processes of their own: the production feed, session, engine, journal file and adapter. Days
are made so that two of twenty shares break out each minute, and each entry is filled and protected. Measured on the
machine's monotonic clock (stamped_*.py): from the frame of the last bar of a minute going out of the sandbox to
the order coming in; from the minute being told to the engine to the order coming in; from the frame of an execution
going out to its protective stop coming in. Then the runner is killed with `kill -9` while it holds positions.

`--silent` adds a share that stops trading: where a vendor cannot say that a minute had no trade, the session waits
its grace of 2.5 seconds for the bar (at a speed that leaves a minute longer than that).
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.stamps import BAR, COMMITTED, EXECUTION, ORDER, RECONCILED, STARTED, TOLD
from tests.support.crafted_day import DAY, Prices, flat, write_day

REPOSITORY = Path(__file__).resolve().parent.parent
SANDBOX, RUNNER = (Path(__file__).resolve().with_name(f"stamped_{name}.py") for name in ("sandbox", "runner"))
FREE = ("--port-alpaca", "0", "--port-finnhub", "0", "--port-tws", "0", "--admin-port", "0", "--no-limits")
SYMBOLS = tuple(f"S{number:02d}" for number in range(20))
SILENT = "T00"
EACH_MINUTE = 2
BEGIN = "09:27"
FIRST_BREAKOUT = 4
PATIENCE_SECONDS = 120.0
KILL_EVERY_SECONDS = 7.0
HOLDING = 4
"""Entries that are made before the first kill."""
SETTINGS = {
    "TEST_MODE_VENUE": "broker_paper",
    "STRATEGY_OVERRIDE": "open",
    "UNIVERSE": ",".join((*SYMBOLS, SILENT)),
    "SHORT_TYPE_OPEN": "disabled",
    "OPEN_ANALYSIS_TIME": "3m",
    "OPEN_BREAKOUT_TIME": "12m",
    "OPEN_MONITORING_TIME": "1m",
    "FRACTIONAL": "false",
    "MAX_TRADES": "20",
    "WEIGHTS": ",".join(["0.05"] * 20),
    "MAX_OPEN_POSITIONS": "40",
    "MAX_CONCURRENT_TRADES_PER_BROKER": "40",
    "MAX_ORDERS_PER_MINUTE": "1000",
}
ENABLED = {
    "alpaca": {"ALPACA_ENABLED": "true", "IBKR_ENABLED": "false"},
    "ibkr": {
        "ALPACA_ENABLED": "false",
        "IBKR_ENABLED": "true",
        "ALPACA_PAPER_API_KEY": "",
        "ALPACA_PAPER_SECRET_KEY": "",
    },
}
NAMES = {"alpaca": "Alpaca", "ibkr": "Interactive Brokers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """One line of a file of stamps; times in monotonic nanoseconds."""

    what: str
    name: str
    at: int
    took: int


@dataclass(slots=True, kw_only=True)
class Found:
    """Milliseconds of every sample."""

    first: list[float] = field(default_factory=list)
    """Last bar of the minute out to the minute's first order in."""
    every: list[float] = field(default_factory=list)
    """The same, to each order."""
    decided: list[float] = field(default_factory=list)
    """Minute told to the engine to the minute's first order in."""
    committed: list[float] = field(default_factory=list)
    """The durable commit of an intent."""
    protected: list[float] = field(default_factory=list)
    """Execution frame out to its stop in."""
    waited: list[float] = field(default_factory=list)
    """Last bar of the minute out to the minute told to the engine."""
    unprotected: int = 0
    """Entries that were filled and never had a stop."""

    @property
    def samples(self) -> int:
        """Return how many entries were measured."""
        return len(self.every)


@dataclass(slots=True, kw_only=True)
class Recovery:
    """Seconds from `kill -9`."""

    reconciled: list[float] = field(default_factory=list)
    trading: list[float] = field(default_factory=list)
    """To the first minute that is told to the engine as news."""
    loaded: list[float] = field(default_factory=list)
    """To the new process's first line: the machine's part."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200, help="entries at each broker")
    parser.add_argument("--kills", type=int, default=5, help="at each broker")
    parser.add_argument("--speed", type=float, default=30.0, help="market seconds a second")
    parser.add_argument("--broker", choices=tuple(ENABLED), action="append", help="both, unless given")
    parser.add_argument("--silent", action="store_true", help="with a share that stops trading")
    given = parser.parse_args()
    for broker in given.broker or ENABLED:
        latency(broker, given.samples, given.speed, silent=given.silent)
        recovery(broker, given.kills, given.speed)


def latency(broker: str, samples: int, speed: float, *, silent: bool) -> None:
    found, sessions = Found(), 0
    while found.samples < samples and (found.samples or not sessions):
        with tempfile.TemporaryDirectory() as folder, sandbox(Path(folder), broker, speed, silent=silent) as floor:
            process = floor.start()
            process.wait(PATIENCE_SECONDS)
            measure(floor.stamps(), found)
        sessions += 1
    if not found.samples:
        sys.exit(f"no entry at {NAMES[broker]}: the machine is too busy for --speed {speed:g}; give a lower one")
    print(
        f"{NAMES[broker]}: {found.samples} entries in {sessions} sessions at {speed:g}x, "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    report("last bar of the minute out -> first order in", found.first)
    report("last bar of the minute out -> each of its orders in", found.every)
    report("  of it: last bar out -> minute told to the engine", found.waited)
    report("  of it: minute told -> first order in", found.decided)
    report("    of that: the intent's durable commit", found.committed)
    report("execution out -> protective stop in", found.protected)
    print(f"  filled entries without a stop: {found.unprotected}")


def report(what: str, samples: Sequence[float]) -> None:
    if len(samples) < 2:  # noqa: PLR2004 - quantiles need two
        print(f"  {what:52s} too few samples: {len(samples)}")
        return
    cuts = statistics.quantiles(samples, n=100, method="inclusive")
    print(
        f"  {what:52s} median {statistics.median(samples):7.1f} ms   p99 {cuts[98]:7.1f} ms   "
        f"max {max(samples):7.1f} ms   ({len(samples)})"
    )


def measure(stamps: Sequence[Stamp], found: Found) -> None:
    """Add one session's samples."""
    bars = sorted(stamp.at for stamp in stamps if stamp.what == BAR)
    told = sorted(stamp.at for stamp in stamps if stamp.what == TOLD)
    found.committed += [stamp.took / 1e6 for stamp in stamps if stamp.what == COMMITTED]
    orders = {stamp.name: stamp.at for stamp in stamps if stamp.what == ORDER}
    seen: set[int] = set()
    for name, at in sorted(orders.items(), key=lambda item: item[1]):
        minute = bisect_right(told, at) - 1
        if "-entry" not in name or minute < 0:
            continue
        decided = told[minute]
        out = bars[bisect_right(bars, decided) - 1]
        found.every.append((at - out) / 1e6)
        if decided not in seen:
            seen.add(decided)
            found.first.append((at - out) / 1e6)
            found.waited.append((decided - out) / 1e6)
            found.decided.append((at - decided) / 1e6)
    filled: dict[str, int] = {}
    for stamp in stamps:
        if stamp.what == EXECUTION and "-entry" in stamp.name:
            filled.setdefault(stamp.name.rpartition("-")[0], stamp.at)
    for trade, at in filled.items():
        stop = orders.get(f"{trade}-stop1")
        if stop is None:
            found.unprotected += 1
        else:
            found.protected.append((stop - at) / 1e6)


def recovery(broker: str, kills: int, speed: float) -> None:
    found = Recovery()
    if not kills:
        return
    while len(found.trading) < kills:
        before = len(found.trading)
        with tempfile.TemporaryDirectory() as folder, sandbox(Path(folder), broker, speed) as floor:
            killed_in_one_session(floor, found, kills - before)
        if len(found.trading) == before:
            sys.exit(f"{NAMES[broker]}: no runner came back in time; give a lower --speed")
    print(f"{NAMES[broker]}: kill -9 of a runner that holds positions, {len(found.trading)} times")
    for what, samples in (
        ("the new process's first line", found.loaded),
        ("reconciled with the broker", found.reconciled),
        ("trading again (a minute told as news)", found.trading),
    ):
        print(f"  kill -> {what:40s} median {statistics.median(samples):5.2f} s   max {max(samples):5.2f} s")


def killed_in_one_session(floor: "Floor", found: Recovery, kills: int) -> None:
    process = floor.start()
    if not floor.until(lambda stamps: sum(s.what == EXECUTION for s in stamps) >= HOLDING, process):
        return
    for _ in range(kills):
        process.send_signal(signal.SIGKILL)
        killed = time.monotonic_ns()
        process.wait()
        process = floor.start()
        if not floor.until(partial(has_happened, TOLD, killed), process):
            return
        stamps = floor.stamps()
        for what, samples in (
            (STARTED, found.loaded),
            (RECONCILED, found.reconciled),
            (TOLD, found.trading),
        ):
            at = after(stamps, what, killed)
            if at is None:
                sys.exit(f"the runner traded again without {what}: it was not recovering")
            samples.append((at - killed) / 1e9)


def has_happened(what: str, since: int, stamps: Sequence[Stamp]) -> bool:
    """Return whether `what` has happened after `since`."""
    return after(stamps, what, since) is not None


def after(stamps: Sequence[Stamp], what: str, since: int) -> int | None:
    """Return when `what` first happened after `since`."""
    return min((stamp.at for stamp in stamps if stamp.what == what and stamp.at > since), default=None)


@dataclass(slots=True, kw_only=True)
class Floor:
    """A sandbox that runs, and a home that points at it."""

    home: Path
    anchor: str
    speed: float
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the runner: the same command each time."""
        words = [str(RUNNER), str(self.home / "runner.stamps"), "--session", f"{DAY}/open", "--home", str(self.home)]
        words += ["--anchor", self.anchor, "--speed", str(self.speed)]
        with (self.home / "stderr.txt").open("ab") as errors:
            process = subprocess.Popen([sys.executable, *words], stderr=errors, cwd=REPOSITORY)
        self.processes.append(process)
        return process

    def stamps(self) -> list[Stamp]:
        """Return what sandbox and runner have stamped so far, in order."""
        found: list[Stamp] = []
        for path in self.home.glob("*.stamps"):
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [Stamp(**json.loads(line)) for line in lines if line.endswith("}")]
        return sorted(found, key=lambda stamp: stamp.at)

    def until(self, true: Callable[[Sequence[Stamp]], bool], process: "subprocess.Popen[bytes]") -> bool:
        """Wait until `true` of the stamps; False where the runner ends before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if true(self.stamps()):
                return True
            if process.poll() is not None:
                return False
            time.sleep(0.05)
        return False


@contextmanager
def sandbox(home: Path, broker: str, speed: float, *, silent: bool = False) -> Iterator[Floor]:
    """Give a floor for one session; the end of the block ends its processes."""
    days = {symbol: a_day(place) for place, symbol in enumerate(SYMBOLS)}
    days |= {SILENT: flat(40.0, FIRST_BREAKOUT - 1)} if silent else {}
    data = write_day(home / "bars.csv", days)
    words = [str(SANDBOX), str(home / "sandbox.stamps"), "--json", *FREE, "--data", str(data), "--day", DAY.isoformat()]
    words += ["--speed", str(speed), "--begin", BEGIN, "--cash", "1000000"]
    with (home / "sandbox.txt").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=errors, text=True, cwd=REPOSITORY
        )
    floor = Floor(home=home, anchor="", speed=speed)
    try:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line == "}\n":
                break
        told = json.loads(text)
        floor.anchor = told["anchor"]
        furnish(home, told["settings"] | SETTINGS | ENABLED[broker])
        yield floor
    finally:
        end(process)
        for one in floor.processes:
            end(one)


def end(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    """Kill a process that still runs."""
    if process.poll() is None:
        process.kill()
    process.wait()


def a_day(place: int) -> list[Prices]:
    """Return the day of the share that is `place`-th to break out."""
    quiet = FIRST_BREAKOUT + place // EACH_MINUTE
    return [*flat(50.0, quiet), (50.1, 51.7, 50.0, 51.6), *flat(51.6, 389 - quiet, width=0.1)]


def furnish(home: Path, values: dict[str, str]) -> None:
    """Make `home` a bot's home with these settings."""
    for name, template in ((".env", ".env.example"), (".env_bot", ".env_bot.template-test")):
        lines = (REPOSITORY / template).read_text(encoding="utf-8").splitlines()
        text = [f"{key}={values[key]}" if (key := line.partition("=")[0]) in values else line for line in lines]
        (home / name).write_text("\n".join(text) + "\n", encoding="utf-8")
        (home / name).chmod(0o600)
    (home / "VERSION.md").write_text((REPOSITORY / "VERSION.md").read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main()
