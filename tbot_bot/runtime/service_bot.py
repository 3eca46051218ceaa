"""The listener: waits for `control_start.txt`, runs a supervisor until it ends, and waits again."""

import argparse
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from tbot_bot.config.settings import tbot_home
from tbot_bot.runtime.background import control_path, is_at_work, say, supervisor_command, wait_until
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import POLL_SECONDS, ControlFolder, Flag
from tbot_bot.runtime.kill_switch import engage
from tbot_bot.runtime.locks import AlreadyRunning, Lock

SERVICE_LOCK: Final = "service.lock"


class Service:
    """One listener. A signal ends it: the first stops the bot safely, the second at once."""

    def __init__(self, home: Path, module: Sequence[str] = ()) -> None:
        """Nothing is looked at before `run`; `module` is for tests."""
        self._home: Final = home
        self._control: Final = control_path(home)
        self._folder: Final = ControlFolder(self._control)
        self._command: Final = supervisor_command(home, module=module)
        self._child: subprocess.Popen[bytes] | None = None
        self._over = False

    def run(self) -> int:
        """Listen until a signal ends it.

        Raises:
            AlreadyRunning: another listener is at it.
        """
        with Lock(self._control / SERVICE_LOCK):
            before = {number: signal.signal(number, self._signal) for number in (signal.SIGTERM, signal.SIGINT)}
            try:
                self._listen()
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
        return 0

    def _listen(self) -> None:
        if not is_at_work(self._control):
            for flag in self._folder.take_stale(wall_now()):
                say(f"a {flag.flag} flag from before the start was set aside (by {flag.by}: {flag.why or 'no reason'})")
        say(f"waiting for {Flag.START.file_name}")
        while not self._over:
            # whoever is at work takes the flags himself
            if not is_at_work(self._control) and self._asked():
                self._supervise()
            wait_until(lambda: self._over, POLL_SECONDS)

    def _asked(self) -> bool:
        """Take the flags of a bot at rest: a kill engages the switch, a stop has nothing to stop."""
        kill = self._folder.peek(Flag.KILL)
        if kill is not None:
            engage(self._home, self._control, by=kill.by, why=kill.why or kill.flag.file_name, source="flag")
            self._folder.take(Flag.KILL)
            say(f"the kill switch is engaged by {kill.by}: {kill.why or 'no reason given'}")
        if self._folder.take(Flag.STOP) is not None:
            say("a stop was asked for; the bot does not run")
        start = self._folder.take(Flag.START)
        if start is None:
            return False
        say(f"start asked for by {start.by}: {start.why or 'no reason given'}")
        return True

    def _supervise(self) -> None:
        try:
            self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own module
        except OSError as error:
            say(f"error: the bot could not be started: {error}")
            return
        say(f"the bot is started (pid {self._child.pid})")
        while (status := self._child.poll()) is None:
            if self._over and self._folder.peek(Flag.STOP) is None:  # set aside by a bot that was just starting
                self._folder.write(Flag.STOP, by="service_bot", why="the listener ends")
            threading.Event().wait(POLL_SECONDS)
        self._child = None
        self._folder.take(Flag.STOP)  # where the bot ended before it saw it
        say(f"the bot ended with status {status}; waiting for {Flag.START.file_name}")

    def _signal(self, number: int, _frame: FrameType | None) -> None:
        """Ask by the flag first: the service manager may have sent the same signal to the bot, and two mean haste."""
        again, self._over = self._over, True
        if self._child is None:
            return
        if again:
            self._child.send_signal(number)
        else:
            self._folder.write(Flag.STOP, by="service_bot", why=signal.Signals(number).name)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tbot_bot.runtime.service_bot",
        description="Wait for control/control_start.txt, run the bot until it ends, and wait again.",
        epilog="example: python -m tbot_bot.runtime.service_bot --home .",
        allow_abbrev=False,
    )
    parser.add_argument("--home", type=Path, default=None, help="the installation's folder (default: TBOT_HOME)")
    given = parser.parse_args(argv)
    try:
        return Service((given.home or tbot_home()).absolute()).run()
    except AlreadyRunning as error:
        say(f"error: a listener is {error.what}")
        return 4


if __name__ == "__main__":
    sys.exit(main())
