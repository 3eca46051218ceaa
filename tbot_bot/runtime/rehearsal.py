"""A whole day as it would be at real brokers, with everything going wrong: sandbox, supervisor and runner.

The sandbox is a process of its own, and so is the supervisor, which starts its runners as on any day: production
adapters, real sockets, a real journal. The only difference is the clock, which the sandbox gives (`supervisor.json`
hands it over, as one supervisor does to the next). The folder of the rehearsal is a home of its own and is kept.
"""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import MachineError
from tbot_bot.config.templates import templates
from tbot_bot.runtime.clock import CompressedClock
from tbot_bot.runtime.files import write_atomically
from tbot_bot.runtime.rehearsal_plan import Scene
from tbot_bot.runtime.supervisor_state import DayInHand, save
from tbot_bot.sandbox.serving import Json

CASH_START: Final = 100_000
"""Dollars in each account."""
_CLI: Final = "from tbot_bot.runtime.cli import main; raise SystemExit(main())"
_SUPERVISOR: Final = "tbot_bot.runtime.tbot_runner_supervisor"
_UP_SECONDS: Final = 15.0
"""Real time before the first screen, on a busy machine: supervisor, knock at the brokers, canary, runner."""
_OPENING: Final = time(9, 30)
_SCREEN: Final = time(9, 25)
_ANSWER_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.5
_FREE_PORTS: Final = ("--port-alpaca", "0", "--port-finnhub", "0", "--port-tws", "0", "--admin-port", "0")
_KEYS: Final = {"APCA-API-KEY-ID": "changeme", "APCA-API-SECRET-KEY": "changeme"}

_BOT: Final[Mapping[str, str]] = {
    "TEST_MODE": "true",
    "TEST_MODE_VENUE": "broker_paper",
    "ALPACA_ENABLED": "true",
    "IBKR_ENABLED": "true",
    "ROUTING": "each",
    "API_TIMEOUT": "4",
    "TOTAL_CAPITAL": "400000",
    "MAX_TRADES": "8",
    "WEIGHTS": ",".join(["0.125"] * 8),
    "MAX_OPEN_POSITIONS": "20",
    "MAX_CONCURRENT_TRADES_PER_BROKER": "10",
    "MAX_PRICE": "100000",
    "SCREENER_MAX_CANDIDATES": "25",
    "STRAT_OPEN_BUFFER": "0.0005",
    "STRAT_MID_VWAP_THRESHOLD": "0.002",
    "ADX_FILTER_ENABLED": "false",
    "BOLLINGER_FILTER_ENABLED": "false",
    "STRAT_CLOSE_VIX_THRESHOLD": "0",
    "CLOSE_MOMENTUM_PCT": "0.002",
    **{f"SHORT_TYPE_{name}": "ShortSell" for name in ("OPEN", "MID", "CLOSE")},
    **{f"MIN_MARKET_CAP_{name}": "0" for name in ("OPEN", "MID", "CLOSE")},
    **{f"MAX_MARKET_CAP_{name}": "100000000000000" for name in ("OPEN", "MID", "CLOSE")},
    **{f"MAX_GAP_PCT_{name}": "1" for name in ("OPEN", "MID", "CLOSE")},
}
"""A desk that trades often: a rehearsal without orders would prove nothing."""
_SHORT: Final[Mapping[str, str]] = {
    "STRATEGY_OVERRIDE": "open",
    "OPEN_ANALYSIS_TIME": "2m",
    "OPEN_BREAKOUT_TIME": "5m",
    "OPEN_MONITORING_TIME": "2m",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalRequest:
    """What is rehearsed."""

    folder: Path
    day: date
    data: Path | None = None
    vix: Path | None = None
    seed: int | None = None
    speed: float = 60.0
    short: bool = False
    """One short OPEN session instead of the whole day."""
    overrides: tuple[tuple[str, str], ...] = ()

    @property
    def settings(self) -> Mapping[str, str]:
        """Return what stands in `.env_bot`."""
        return {**_BOT, **(_SHORT if self.short else {}), **dict(self.overrides)}

    @property
    def scene(self) -> Scene:
        """Return where the OPEN session's windows lie."""
        analysis, breakout = (2, 5) if self.short else (20, 10)
        return Scene(
            day=self.day,
            entries=_after(self.day, _OPENING, timedelta(minutes=analysis)),
            exits=_after(self.day, _OPENING, timedelta(minutes=analysis + breakout)),
        )

    @property
    def begin(self) -> str:
        """Return the New York time at which the sandbox's clock starts."""
        return _after(self.day, _SCREEN, timedelta(seconds=-_UP_SECONDS * self.speed)).strftime("%H:%M")


def _after(day: date, at: time, span: timedelta) -> time:
    return (datetime.combine(day, at) + span).time()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxProcess:
    """A sandbox that runs."""

    admin: int
    """Port of the operator's endpoint."""
    alpaca: int
    anchor: str
    """Of the market's clock."""
    settings: Mapping[str, str]
    """Lines for `.env`."""

    def ask(self, method: str, path: str, body: Json = None) -> Json:
        """Return what the operator's endpoint answers.

        Raises:
            MachineError: it does not, or refuses.
        """
        return _asked(self.admin, method, path, body, {})

    def symbols(self) -> list[str]:
        """Return what is traded, sorted."""
        told = _asked(self.alpaca, "GET", "/v2/assets", None, _KEYS)
        listed = told if isinstance(told, list) else []
        return sorted(str(one["symbol"]) for one in listed if isinstance(one, dict))


def _asked(port: int, method: str, path: str, body: Json, headers: Mapping[str, str]) -> Json:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        line.request(method, path, body=None if body is None else json.dumps(body), headers=dict(headers))
        answer = line.getresponse()
        text = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise MachineError(f"the sandbox gives no answer: {error}", where=path) from None
    finally:
        line.close()
    if answer.status != http.client.OK:
        raise MachineError(f"the sandbox answers {answer.status}: {text[:200]}", where=path)
    told: Json = json.loads(text)
    return told


@contextmanager
def sandbox(request: RehearsalRequest) -> Iterator[SandboxProcess]:
    """Give a sandbox in a process of its own; the end of the block ends it.

    Raises:
        MachineError: it does not start; its own words are in `sandbox.log`.
    """
    words = ["sandbox", "--json", *_FREE_PORTS, "--speed", f"{request.speed:g}", "--begin", request.begin]
    words += ["--day", request.day.isoformat(), "--cash", str(CASH_START)]
    for name, value in (("--data", request.data), ("--vix", request.vix), ("--seed", request.seed)):
        words += [] if value is None else [name, str(value)]
    log = request.folder / "sandbox.log"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-c", _CLI, *words], stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        found = _announced(process)
        if found is None:
            process.wait(_STOP_SECONDS)
            what = log.read_text(encoding="utf-8").strip() or "it ended without a word"
            raise MachineError(f"the sandbox does not start: {what[-500:]}", where=str(log))
        yield found
    finally:
        _end(process)


def _announced(process: "subprocess.Popen[str]") -> SandboxProcess | None:
    text = ""
    for line in process.stdout or ():
        text += line
        if line == "}\n":
            told = json.loads(text)
            ports, settings = told["ports"], {str(name): str(value) for name, value in told["settings"].items()}
            return SandboxProcess(
                admin=int(ports["admin"]), alpaca=int(ports["alpaca"]), anchor=str(told["anchor"]), settings=settings
            )
    return None


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.communicate()


def furnish(request: RehearsalRequest, venue: SandboxProcess) -> None:
    """Make the folder a bot's home that trades at `venue`, by its clock."""
    for name, template, values in (
        (".env", ".env.example", venue.settings),
        (".env_bot", ".env_bot.template-test", request.settings),
    ):
        lines = templates()[template].splitlines()
        known = {line.partition("=")[0] for line in lines}
        strange = sorted(set(values) - known)
        if strange:
            raise MachineError(
                f"no such settings: {', '.join(strange)}", where=name, mend="`tbot config show` has all."
            )
        told = [f"{key}={values[key]}" if (key := line.partition("=")[0]) in values else line for line in lines]
        path = request.folder / name
        write_atomically(path, "\n".join(told) + "\n")
        path.chmod(0o600)
    control = request.folder / "control"
    control.mkdir(exist_ok=True)
    save(control, DayInHand(day=request.day, run=1, anchor=venue.anchor, speed=request.speed))


def supervise(request: RehearsalRequest, look: Callable[[], None]) -> int:
    """Run the supervisor over the day and return its exit status; `look` is called while it is at work."""
    words = [sys.executable, "-m", _SUPERVISOR, "--home", str(request.folder), "--once"]
    with (request.folder / "supervisor.out").open("w", encoding="utf-8") as output:
        process = subprocess.Popen(  # noqa: S603 - our own module
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, text=True
        )
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):  # it still runs: look, then wait on
                    return process.wait(_POLL_SECONDS)
                look()
        finally:
            if process.poll() is None:  # we were interrupted: it closes what is open first
                process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):  # then it is ended below
                    process.wait(_STOP_SECONDS)
            _end(process)


def real_time_of(anchor: str, speed: float) -> CompressedClock:
    """Return the market's clock, which tells the machine's time of a market time."""
    return CompressedClock.from_anchor(anchor, speed)


__all__ = ["CASH_START", "RehearsalRequest", "SandboxProcess", "furnish", "real_time_of", "sandbox", "supervise"]
