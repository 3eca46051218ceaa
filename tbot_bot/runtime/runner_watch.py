"""One session's runner: start it, watch its pulse, end it when it is silent or blind, start it again.

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

from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.heartbeat import read_beat
from tbot_bot.runtime.locks import RUNNER_LOCK, holder
from tbot_bot.runtime.restart_policy import Crash, GiveUp, RestartPolicy, after_crash
from tbot_bot.runtime.runner_arguments import RunnerExit
from tbot_bot.runtime.vital_signs import Pulse, Signs, WatchLimits, complaint, judge, look

_POLL_SECONDS: Final = 0.05
LOST: Final = 255
"""Exit status of an adopted runner that went without ending its session; the real one went to init."""


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
        given: bytes = b"",
    ) -> None:
        """`output` takes what the runner prints, `given` is what it reads; `ended` asks whether the session is over."""
        self._command = tuple(command)
        self._control = control
        self._output = output
        self._ended = ended
        self._note = note
        self._policy = policy
        self._limits = limits
        self._given = given
        self._pid = 0
        self._stop_now = False
        self._signs = Signs(looked_at=monotonic_seconds())
        self._well = True

    @property
    def is_well(self) -> bool:
        """Return whether nothing is wrong with the runner; one that was lost is not well until the next has beaten."""
        return self._well

    @property
    def words(self) -> str:
        """Return where the runner stands, for people."""
        last = self._signs.last
        if not self._well:
            return "in session: the runner is silent or blind, and is recovered"
        return "in session: the runner starts" if last is None else f"{last.session}: {last.phase}"

    @property
    def pid(self) -> int:
        """Return the runner's process id, 0 where there is none at the moment."""
        return self._pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the runner, if there is one."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def stop_now(self) -> None:
        """End the runner as it stands; it is not started again.

        It gets no word in: asked politely it would first take its protective stops away in order to sell.
        """
        self._stop_now = True
        self.signal(signal.SIGKILL)

    def _is_told_to_stop(self) -> bool:
        return self._stop_now

    async def run(self, adopt: int = 0) -> RunnerEnd:
        """Return when the session needs no runner any more; `adopt` is the pid of one that runs already."""
        crashes: list[Crash] = []
        while True:
            code, why = await (self._follow_adopted(adopt) if adopt else self._follow_child())
            adopt, self._pid = 0, 0
            if self._is_told_to_stop():
                return RunnerEnd(kind=EndKind.STOPPED_NOW, detail=why, crashes=tuple(crashes))
            match code:
                case RunnerExit.DONE:
                    return RunnerEnd(kind=EndKind.DONE, crashes=tuple(crashes))
                case RunnerExit.CONFIGURATION | RunnerExit.CREDENTIALS:  # another start would end the same way
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
            if self._is_told_to_stop():
                return RunnerEnd(kind=EndKind.STOPPED_NOW, detail=why, crashes=tuple(crashes))

    async def _follow_child(self) -> tuple[int, str]:
        self._output.parent.mkdir(parents=True, exist_ok=True)
        with self._output.open("ab") as output:
            child = subprocess.Popen(  # noqa: ASYNC220, S603 - our own module; asyncio's would kill it with us
                self._command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._pid = child.pid
        if child.stdin is not None:
            with suppress(BrokenPipeError), child.stdin as pipe:  # who died already tells it by his status
                pipe.write(self._given)
        return await self._follow(child.pid, child.poll)

    async def _follow_adopted(self, pid: int) -> tuple[int, str]:
        self._pid = pid

        def poll() -> int | None:
            if holder(self._control / RUNNER_LOCK) is not None:
                return None
            return RunnerExit.DONE if self._ended() else LOST

        return await self._follow(pid, poll)

    async def _follow(self, pid: int, poll: Callable[[], int | None]) -> tuple[int, str]:
        self._signs = Signs(looked_at=monotonic_seconds())
        whose = pid
        while (code := poll()) is None:
            held_by = holder(self._control / RUNNER_LOCK)
            beat = read_beat(self._control)
            own = beat is not None and beat.pid == pid
            # a waiting runner lives as long as the one that it waits for
            at_work = pid if own or held_by is None else held_by
            if at_work != whose:
                whose, self._signs = at_work, Signs(looked_at=monotonic_seconds())
            heard = beat if beat is not None and beat.pid == whose else None
            self._signs = look(self._signs, heard, now=wall_now(), monotonic=monotonic_seconds(), limits=self._limits)
            pulse = judge(self._signs, self._limits)
            # after one that was lost, the next has to be heard first
            self._well = pulse is Pulse.FINE and (self._well or heard is not None)
            if pulse is not Pulse.FINE and whose == pid:
                why = complaint(self._signs, pulse)
                await self._end(pid, poll, politely=pulse is Pulse.SILENT)
                return LOST, f"runner {pid} {why} and was killed"
            await asyncio.sleep(_POLL_SECONDS)
        return code, f"runner {pid} ended with status {code}"

    async def _end(self, pid: int, poll: Callable[[], int | None], *, politely: bool) -> None:
        """End a runner. Not politely where SIGTERM would be obeyed: a blind one must not sell at prices of old."""
        steps = ((signal.SIGTERM, self._limits.terminate_seconds), (signal.SIGKILL, 5.0))
        for number, patience in steps if politely else steps[1:]:
            with suppress(ProcessLookupError, PermissionError):
                # the runner leads a group of its own; whatever it started goes with it
                os.killpg(pid, number)
            for _ in range(round(patience / _POLL_SECONDS)):
                if poll() is not None:
                    return
                await asyncio.sleep(_POLL_SECONDS)
