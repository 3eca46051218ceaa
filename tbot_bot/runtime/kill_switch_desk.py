"""The supervisor's side of the kill switch: latch it, and have the venues looked at when all is over."""

from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.kill_switch import engage, engagement
from tbot_bot.runtime.kill_switch_run import carry_out
from tbot_bot.runtime.runner_watch import RunnerWatch


class KillDesk:
    """Pulls the switch for one supervisor, and sees to it that nothing is left open."""

    def __init__(self, home: Path, control: Path, log: FilteringBoundLogger) -> None:
        """Nothing is done before `latch`."""
        self._home: Final = home
        self._control: Final = control
        self._log: Final = log

    def latch(self, why: str, *, by: str = "supervisor", source: str = "supervisor") -> None:
        """Engage the kill switch; the first reason stands. What cannot be written is logged."""
        _, problems = engage(self._home, self._control, by=by, why=why, source=source)
        for problem in problems:
            self._log.error("kill_switch_not_latched", problem=problem)

    def is_asked(self, folder: ControlFolder) -> bool:
        """Return whether a flag asks for it, and engage it if so; the flag stays for who takes it."""
        asked = folder.peek(Flag.KILL)
        if asked is not None:
            self.latch(asked.why or asked.flag.file_name, by=asked.by, source="flag")
        return asked is not None

    def lose(self, error: Exception, watch: RunnerWatch | None) -> str:
        """Engage it because a critical part is lost, end the runner that has nobody to answer to, and return why."""
        why = f"the journal is lost: {error}"
        self.latch(why)
        if watch is not None:
            watch.stop_now()
        return why

    async def see_to_it(self, why: str) -> str:
        """Have a process without an engine look at the venues, whatever a runner said, and close what is left.

        Returns what came of it, in words.
        """
        engaged = engagement(self._home, self._control)
        keep = ["--keep-positions"] if engaged is not None and engaged.keep_positions else []
        carried = await carry_out(self._home, self._control, ["--why", why, *keep])
        return f"the kill switch: {carried.words}"


__all__ = ["KillDesk"]
