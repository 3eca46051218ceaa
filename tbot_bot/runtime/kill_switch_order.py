"""What `tbot kill` does: latch first, let a bot that obeys close, end one that does not, then see to it itself.

None of it needs settings, a journal or an engine. The bot gets its chance because it closes best: it knows its
own orders. But it is believed only as far as its heartbeat and its phase show that it obeys, and whatever it did
is looked at once more by `kill_switch_path`, over connections of its own.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tbot_bot.config.env import EnvSettings
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.status_logger import read_status
from tbot_bot.runtime.background import control_path, supervisor_pid, wait_until
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.heartbeat import Beat, read_beat
from tbot_bot.runtime.kill_switch import engage
from tbot_bot.runtime.kill_switch_flag import ShutdownFlag, read_flag, write_flag
from tbot_bot.runtime.kill_switch_run import Carried, carry_out_now
from tbot_bot.runtime.locks import RUNNER_LOCK, holder

WAIT_SECONDS: Final = 120.0
OWN_SECONDS_MIN: Final = 60.0
"""Real time that closing without the bot gets at least, however long the bot was waited for."""
_DYING_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_CLOSING: Final = frozenset({"close_out", "report", "closing without an engine"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a bot is believed, in real seconds."""

    silent: float = 5.0
    """Without a new heartbeat of whoever holds the runner's lock."""
    disobedient: float = 5.0
    """In a phase that is not closing."""
    idle: float = 10.0
    """With a supervisor and no runner."""
    wait: float = WAIT_SECONDS
    """For everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What came of it."""

    flag: ShutdownFlag
    took_over: str = ""
    """Why the bot was ended by force; empty where it obeyed, or none ran."""


def control_of(home: Path) -> tuple[Path, str]:
    """Return the control folder, and what could not be read on the way to it."""
    try:
        return control_path(home), ""
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the settings: closing must go on
        return home / EnvSettings().control_dir, f"the settings cannot be read: {error}"


def kill(
    home: Path,
    *,
    by: str,
    why: str,
    keep_positions: bool = False,
    patience: Patience | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Killed:
    """Engage the kill switch, have everything closed, and return what came of it. Raises nothing of its own."""
    limits = patience or Patience()
    began, deadline = wall_now(), monotonic_seconds() + limits.wait
    control, trouble = control_of(home)
    tell("engaging the kill switch")
    engaged, problems = engage(home, control, by=by, why=why, source="cli", keep_positions=keep_positions)
    folder = ControlFolder(control)
    problems = (*filter(None, (trouble,)), *problems)
    over = ""
    if keep_positions:
        over = "its positions are to stay" if _is_alive(control) else ""
    else:
        try:
            folder.write(Flag.KILL, by=by, why=why)
            over = _Watch(home, control, limits, deadline, tell).run()
        except OSError as error:  # then the bot cannot be asked
            problems = (*problems, f"the flag could not be written: {error.strerror or error}")
            over = "it could not be asked" if _is_alive(control) else ""
    if over:
        tell(f"ending the bot: {over}")
        problems = (*problems, *_end(control))
    told = read_flag(home)
    if told is None or not told.done or told.written_at < began or over or told.keep_positions != keep_positions:
        still_alive = _is_alive(control)
        tell("looking at the venues")
        left_seconds = max(deadline - monotonic_seconds(), 1.0 if still_alive else OWN_SECONDS_MIN)
        words = ["--by", by, "--why", why, *(["--keep-positions"] if keep_positions else [])]
        carried = carry_out_now(home, control, words, seconds=left_seconds)
        told = carried.flag or _own_words(home, carried, by=by, why=why, keep=keep_positions, at=engaged.at or began)
    with suppress(OSError):
        folder.take(Flag.KILL)  # where nobody was left to take it
    return Killed(flag=_with(told, problems), took_over=over)


def _with(flag: ShutdownFlag, problems: tuple[str, ...]) -> ShutdownFlag:
    return replace(flag, problems=(*problems, *flag.problems))


def _own_words(home: Path, carried: Carried, *, by: str, why: str, keep: bool, at: Instant) -> ShutdownFlag:
    """Return, and leave, what is known where the path itself could say nothing."""
    flag = ShutdownFlag(
        reason=why,
        by=by,
        source="cli",
        at=at,
        written_at=wall_now(),
        keep_positions=keep,
        done=carried.done,
        left=() if carried.done else (carried.words,),
    )
    with suppress(OSError):  # the caller says it as well
        write_flag(home, flag)
    return flag


def _is_alive(control: Path) -> bool:
    return supervisor_pid(control) is not None or holder(control / RUNNER_LOCK) is not None


class _Watch:
    """Looks at a bot that was told to kill, until it is gone or believed no longer."""

    def __init__(
        self, home: Path, control: Path, limits: Patience, deadline: float, tell: Callable[[str], None]
    ) -> None:
        self._home, self._control, self._limits = home, control, limits
        self._deadline, self._tell = deadline, tell
        now = monotonic_seconds()
        self._heard_at = self._obeyed_at = self._runner_at = now
        self._last: Beat | None = None

    def run(self) -> str:
        """Return why the bot has to be ended, empty where it is gone, or still closing at the deadline."""
        while _is_alive(self._control):
            why = self._look()
            if why:
                return why
            if monotonic_seconds() >= self._deadline:
                return ""
            wait_until(lambda: not _is_alive(self._control), _POLL_SECONDS)
        return ""

    def _look(self) -> str:
        now = monotonic_seconds()
        runner = holder(self._control / RUNNER_LOCK)
        if runner is None:
            self._heard_at = self._obeyed_at = now
            self._tell("the supervisor ends")
            idle = now - self._runner_at
            return f"its supervisor does not end within {idle:.0f} s" if idle > self._limits.idle else ""
        self._runner_at = now
        beat = read_beat(self._control)
        if beat is not None and beat != self._last and beat.pid == runner:
            self._last, self._heard_at = beat, now
            if beat.phase in _CLOSING:
                self._obeyed_at = now
        if now - self._heard_at > self._limits.silent:
            return f"no heartbeat for {now - self._heard_at:.0f} s"
        if now - self._obeyed_at > self._limits.disobedient and now - self._heard_at < self._limits.disobedient:
            return f"it does not close, {now - self._obeyed_at:.0f} s after it was asked"
        self._tell(f"the bot closes; {self._open()}")
        return ""

    def _open(self) -> str:
        status = read_status(OutputPaths(home=self._home, mode=Mode.PAPER).status, wall_now()).status
        return "its status cannot be read" if status is None else f"{len(status.positions)} positions are open"


def _end(control: Path) -> tuple[str, ...]:
    """End supervisor and runner, the one that would start the other first; return what would not end."""
    problems = []
    pid = supervisor_pid(control)
    if pid:
        with suppress(ProcessLookupError, PermissionError):  # whether it died is looked at
            os.kill(pid, signal.SIGKILL)
        if not wait_until(lambda: supervisor_pid(control) is None, _DYING_SECONDS):
            problems.append(f"the supervisor (pid {pid}) does not die")
    runner = holder(control / RUNNER_LOCK)
    if runner:
        try:
            os.killpg(runner, signal.SIGKILL)  # it leads a group of its own
        except (ProcessLookupError, PermissionError):
            with suppress(ProcessLookupError, PermissionError):  # whether it died is looked at
                os.kill(runner, signal.SIGKILL)
        if not wait_until(lambda: holder(control / RUNNER_LOCK) is None, _DYING_SECONDS):
            problems.append(f"the runner (pid {runner}) does not die")
    return tuple(problems)


__all__ = ["Killed", "Patience", "control_of", "kill"]
