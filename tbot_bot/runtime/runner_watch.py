"""One session's runner: start it, watch its pulse, end it when it is silent, start it again.

A runner is a process group of its own and outlives us; one that runs already (after our own restart) is
adopted: we cannot wait for it, but its lock, its pulse and the journal tell as much.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from tbot_bot.core.instants import Duration, Instant, seconds
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.heartbeat import SILENCE_MAX, Beat, age_seconds, is_fresh, read_beat
from tbot_bot.runtime.locks import RUNNER_LOCK, holder
from tbot_bot.runtime.restart_policy import Crash, GiveUp, RestartPolicy, after_crash
from tbot_bot.runtime.runner_arguments import RunnerExit

_POLL_SECONDS: Final = 0.05
STARTUP_MAX: Final = seconds(30)
LOST: Final = 255
"""Exit status of an adopted runner that went without ending its session; the real one went to init."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLimits:
    """How patient we are, in real time."""

    silence_max: Duration = SILENCE_MAX
    startup_max: Duration = STARTUP_MAX
    """From the start, or from when the runner before it let go of the lock, to the first beat."""
    terminate_seconds: float = 5.0
    """From SIGTERM to SIGKILL for a silent runner."""


class Pulse(Enum):
    """What we make of a runner that has not ended."""

    FINE = "fine"
    WAITING = "waiting"
    """For the lock that the runner of the session before it holds."""
    SILENT = "silent"


def judge(
    *, now: Instant, pid: int, alive_from: Instant, lock_holder: int | None, beat: Beat | None, limits: WatchLimits
) -> Pulse:
    """Return how the runner `pid` is at the machine's time `now`.

    `alive_from` is when it was started, or when it was last seen waiting.
    """
    if beat is not None and beat.pid == pid:
        return Pulse.FINE if is_fresh(beat, now, limits.silence_max) else Pulse.SILENT
    if lock_holder is not None and lock_holder != pid:
        return Pulse.WAITING
    return Pulse.FINE if now - alive_from <= limits.startup_max else Pulse.SILENT


class EndKind(Enum):
    """How a session's supervision ended."""

    DONE = "done"
    STOPPED_NOW = "stopped now"
    """By a second SIGTERM: whatever is open rests on its protective stops."""
    CONFIGURATION = "configuration"
    KILLED = "killed"
    GAVE_UP = "gave up"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerEnd:
    """The end of a session's supervision."""

    kind: EndKind
    detail: str = ""
    crashes: tuple[Crash, ...] = ()


class RunnerWatch:
    """Supervises the runner of one session."""

    def __init__(
        self,
        *,
        command: Sequence[str],
        control: Path,
        output: Path,
        ended: Callable[[], bool],
        note: Callable[[str], None],
        policy: RestartPolicy,
        limits: WatchLimits,
    ) -> None:
        """`output` takes what the runner prints; `ended` asks the journal whether the session is over."""
        self._command = tuple(command)
        self._control = control
        self._output = output
        self._ended = ended
        self._note = note
        self._policy = policy
        self._limits = limits
        self._pid = 0
        self._stop_now = False

    @property
    def pid(self) -> int:
        """Return the runner's process id, 0 where there is none at the moment."""
        return self._pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the runner, if there is one."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    async def stop_now(self) -> None:
        """End the runner without waiting for exits; it is not started again."""
        self._stop_now = True
        # one asks for a safe stop, the second for an immediate one
        self.signal(signal.SIGTERM)
        await asyncio.sleep(_POLL_SECONDS * 4)
        self.signal(signal.SIGTERM)

    async def run(self, adopt: int = 0) -> RunnerEnd:
        """Return when the session needs no runner any more; `adopt` is the pid of one that runs already."""
        crashes: list[Crash] = []
        while True:
            code, why = await (self._follow_adopted(adopt) if adopt else self._follow_child())
            adopt, self._pid = 0, 0
            if self._stop_now:
                return RunnerEnd(kind=EndKind.STOPPED_NOW, detail=why, crashes=tuple(crashes))
            match code:
                case RunnerExit.DONE:
                    return RunnerEnd(kind=EndKind.DONE, crashes=tuple(crashes))
                case RunnerExit.CONFIGURATION:
                    return RunnerEnd(kind=EndKind.CONFIGURATION, detail=why, crashes=tuple(crashes))
                case RunnerExit.KILLED:
                    return RunnerEnd(kind=EndKind.KILLED, detail=why, crashes=tuple(crashes))
                case _:
                    crashes.append(Crash(exit_code=code, why=why))
            what = after_crash(self._policy, crashes)
            if isinstance(what, GiveUp):
                return RunnerEnd(kind=EndKind.GAVE_UP, detail=what.reason, crashes=tuple(crashes))
            self._note(f"{why}; starting it again (restart {len(crashes)})")
            await asyncio.sleep(what.delay_seconds)

    async def _follow_child(self) -> tuple[int, str]:
        self._output.parent.mkdir(parents=True, exist_ok=True)
        with self._output.open("ab") as output:
            child = subprocess.Popen(  # noqa: ASYNC220, S603 - our own module; asyncio's would kill it with us
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._pid = child.pid
        return await self._follow(child.pid, child.poll)

    async def _follow_adopted(self, pid: int) -> tuple[int, str]:
        self._pid = pid

        def poll() -> int | None:
            if holder(self._control / RUNNER_LOCK) is not None:
                return None
            return RunnerExit.DONE if self._ended() else LOST

        return await self._follow(pid, poll)

    async def _follow(self, pid: int, poll: Callable[[], int | None]) -> tuple[int, str]:
        alive_from = wall_now()
        while (code := poll()) is None:
            now = wall_now()
            beat = read_beat(self._control)
            pulse = judge(
                now=now,
                pid=pid,
                alive_from=alive_from,
                lock_holder=holder(self._control / RUNNER_LOCK),
                beat=beat,
                limits=self._limits,
            )
            if pulse is Pulse.SILENT:
                heard = f"for {age_seconds(beat, now):.0f} s" if beat and beat.pid == pid else "since its start"
                await self._end(pid, poll)
                return LOST, f"runner {pid} was silent {heard} and was killed"
            if pulse is Pulse.WAITING:
                alive_from = now
            await asyncio.sleep(_POLL_SECONDS)
        return code, f"runner {pid} ended with status {code}"

    async def _end(self, pid: int, poll: Callable[[], int | None]) -> None:
        for number, patience in ((signal.SIGTERM, self._limits.terminate_seconds), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError, PermissionError):
                # the runner leads a group of its own; whatever it started goes with it
                os.killpg(pid, number)
            for _ in range(round(patience / _POLL_SECONDS)):
                if poll() is not None:
                    return
                await asyncio.sleep(_POLL_SECONDS)
