"""One seeded run: a sandbox, a bot's home, and a runner that is killed and started again until its session is over.

Both are processes of their own that speak over real sockets. They are forked from this one, which has loaded the
program already, so that a life of the runner begins in a moment; `cold` starts a new interpreter instead.
"""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tbot_bot.runtime.cli_sandbox import sandbox
from tests.crash import launcher
from tests.crash.plan import AT_RANDOM, Kill, Plan, bars_of

DAY: Final = "2025-12-02"
SESSION: Final = f"{DAY}/open"
SPEED: Final = 100.0
"""Market seconds a second."""
REPOSITORY: Final = Path(__file__).resolve().parent.parent.parent
_BELL: Final = datetime(2025, 12, 2, 14, 30, tzinfo=UTC)
_BEGIN: Final = "09:28:00"
_PRICES: Final = {"AAA": 50.0, "BBB": 30.0}
_PATIENCE_SECONDS: Final = 60.0
_LIVES_MAX: Final = 8
_QUICK: Final = {
    "TEST_MODE_VENUE": "broker_paper",
    "STRATEGY_OVERRIDE": "open",
    "UNIVERSE": "AAA,BBB",
    "SHORT_TYPE_OPEN": "disabled",
    "OPEN_ANALYSIS_TIME": "2m",
    "OPEN_BREAKOUT_TIME": "6m",
    "OPEN_MONITORING_TIME": "3m",
    "API_TIMEOUT": "3s",
}
SPENT: Final = 70
"""Exit status of a life that had to be ended because it did not end by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One process of the runner."""

    begun: float
    """Seconds since the epoch, as `ended`."""
    ended: float
    status: int
    """Negative: ended by that signal."""


def preload() -> None:
    """Load what sandbox and runner need, so that both can be forked."""
    for name in (
        "_strptime", "alpaca.common.rest", "anyio._backends._asyncio", "httpcore2", "httpx2", "ib_async", "msgpack",
        "pandas", "pyarrow.compute", "pyarrow.csv", "requests", "structlog", "truststore", "uvicorn.lifespan.off",
        "uvicorn.protocols.http.auto", "websockets.asyncio.client", "tbot_bot.broker.broker_alpaca",
        "tbot_bot.broker.broker_ibkr", "tbot_bot.marketdata.recorded_loader", "tbot_bot.marketdata.vix",
        "tbot_bot.runtime.market_source", "tbot_bot.runtime.screen_live", "tbot_bot.sandbox.server",
    ):  # fmt: skip
        try:
            __import__(name)
        except ImportError:
            continue  # only slower


class Scene:
    """The folder of one run and the processes in it."""

    def __init__(self, folder: Path, plan: Plan, *, broken: str = "", cold: bool = False, speed: float = SPEED) -> None:
        self.folder, self.plan, self.broken, self.cold, self.speed = folder, plan, broken, cold, speed
        self.log = folder / "lives.jsonl"
        self.lives: list[Life] = []
        folder.mkdir(parents=True, exist_ok=True)
        write_bars(folder / "bars.csv", plan)

    def play(self) -> None:
        """Live the session to its end, however often the runner dies, and keep what the venue says of it."""
        pid = self._start_sandbox()
        try:
            told = self._announced(pid)
            self._furnish(told["settings"])
            admin = f"http://127.0.0.1:{told['ports']['admin']}"
            rules = {"seed": self.plan.seed, "faults": list(self.plan.faults)}
            ask(f"{admin}/faults", method="PUT", body=json.dumps(rules))
            self._live(told["anchor"])
            time.sleep(0.05)  # what was on its way arrives
            (self.folder / "truth.json").write_text(ask(f"{admin}/truth"), encoding="utf-8")
            (self.folder / "struck.json").write_text(ask(f"{admin}/faults/struck"), encoding="utf-8")
        finally:
            end(pid)
        facts = {
            "anchor": told["anchor"],
            "speed": self.speed,
            "load": round(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), 2),
            "lives": [asdict(life) for life in self.lives],
            "plan": asdict(self.plan),
        }
        (self.folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")

    def _live(self, anchor: str) -> None:
        kills = list(self.plan.kills)
        while len(self.lives) < _LIVES_MAX:
            life = self._one_life(anchor, kills.pop(0) if kills else None)
            self.lives.append(life)
            if life.status in {0, 2, 5, 6, SPENT}:
                return

    def _one_life(self, anchor: str, kill: Kill | None) -> Life:
        argv = ["--session", SESSION, "--home", str(self.folder), "--anchor", anchor, "--speed", str(self.speed)]
        inside = None if kill is None or kill.point == AT_RANDOM else kill
        begun = time.time()
        pid = self._start_runner(inside, argv)
        due = begun + kill.seconds if kill is not None and kill.point == AT_RANDOM else None
        deadline = begun + _PATIENCE_SECONDS
        while True:
            ended, told = os.waitpid(pid, os.WNOHANG)
            now = time.time()
            if ended:
                return Life(begun=begun, ended=now, status=os.waitstatus_to_exitcode(told))
            if due is not None and now >= due:
                os.kill(pid, signal.SIGKILL)
                due = None
                launcher.Trap(self.log, None).note(f"killed {AT_RANDOM}")
            if now > deadline:
                os.kill(pid, signal.SIGUSR1)
                time.sleep(1.0)
                end(pid)
                return Life(begun=begun, ended=now, status=SPENT)
            time.sleep(0.005)

    def _start_runner(self, kill: Kill | None, argv: list[str]) -> int:
        errors = self.folder / "stderr.txt"
        if self.cold:
            orders = {"log": str(self.log), "kill": asdict(kill) if kill else None, "broken": self.broken}
            command = [sys.executable, "-m", "tests.crash.launcher", json.dumps(orders), *argv]
            with errors.open("ab") as file:
                return subprocess.Popen(command, stdout=file, stderr=file, cwd=REPOSITORY).pid
        return fork(lambda: launcher.launch(self.log, kill, self.broken, argv), errors)

    def _start_sandbox(self) -> int:
        def serve() -> int:
            return sandbox(
                data=self.folder / "bars.csv", day=_BELL.date(), vix=None, seed=self.plan.seed, speed=str(self.speed),
                begin=_BEGIN, cash=100_000, faults=None, no_limits=True, port_alpaca=0, port_finnhub=0, port_tws=0,
                admin_port=0, as_json=True,
            )  # fmt: skip

        return fork(serve, self.folder / "sandbox.txt")

    def _announced(self, pid: int):
        """Return what the sandbox says of itself, once it serves."""
        path, deadline = self.folder / "sandbox.txt", time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            if text.endswith("\n}\n"):
                return json.loads(text)
            if os.waitpid(pid, os.WNOHANG)[0]:
                break
            time.sleep(0.01)
        msg = f"the sandbox did not start: {text[-2000:]}"
        raise RuntimeError(msg)

    def _furnish(self, pointed: Mapping[str, str]) -> None:
        wanted = {**_QUICK, **self.plan.settings, **pointed}
        for name, template in ((".env", ".env.example"), (".env_bot", ".env_bot.template-test")):
            lines = (REPOSITORY / template).read_text(encoding="utf-8").splitlines()
            names = [line.partition("=")[0] for line in lines]
            text = [
                f"{name}={wanted[name]}" if name in wanted else line for name, line in zip(names, lines, strict=True)
            ]
            path = self.folder / name
            path.write_text("\n".join(text) + "\n", encoding="utf-8")
            path.chmod(0o600)
        (self.folder / "VERSION.md").write_text((REPOSITORY / "VERSION.md").read_text(encoding="utf-8"))


def write_bars(path: Path, plan: Plan) -> None:
    """Write the market day of `plan` as recorded bars."""
    rows = []
    for symbol, shape in plan.shapes.items():
        for minute, prices in enumerate(bars_of(shape, _PRICES[symbol])):
            start = _BELL + timedelta(minutes=minute)
            rows.append((f"{start:%Y-%m-%dT%H:%M:%SZ}", symbol, *(f"{price:.4f}" for price in prices), 200_000))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("timestamp", "symbol", "open", "high", "low", "close", "volume"))
    writer.writerows(sorted(rows))
    path.write_text(text.getvalue(), encoding="utf-8")


def fork(work: Callable[[], int], output: Path) -> int:
    """Do `work` in a child that ends with it, its words going to `output`; return the child's id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = SPENT
    try:
        handle = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        status = work()
    except BaseException:  # noqa: BLE001 - told, and the child ends here whatever it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def end(pid: int) -> None:
    """Kill a child and take its status."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def ask(url: str, *, method: str = "GET", body: str = "") -> str:
    """Return what the sandbox's operator endpoint answers."""
    request = urllib.request.Request(url, data=body.encode() or None, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - loopback
        found: str = answer.read().decode()
    return found
