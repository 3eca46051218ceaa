"""Stop the bot safely: no new entries, every position closed, reports written; then wait for its end."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tbot_bot.config.settings import tbot_home
from tbot_bot.runtime.background import control_path, is_at_work, say, supervisor_pid, wait_until
from tbot_bot.runtime.control import ControlFolder, Flag

WAIT_SECONDS: Final = 120.0


def stop(home: Path, by: str, why: str = "", wait: float = WAIT_SECONDS) -> int:
    """Leave the stop flag, wait up to `wait` seconds for the bot's end, and return the exit status.

    A runner without a supervisor is waited for, too: it sees the same flag.
    """
    control = control_path(home)
    if not is_at_work(control):
        say("the bot does not run")
        return 0
    pid = supervisor_pid(control)
    folder = ControlFolder(control)
    try:
        folder.write(Flag.STOP, by=by, why=why)
    except OSError as error:
        say(f"error: the stop flag could not be written in {control}: {error.strerror}. Send SIGTERM to pid {pid}.")
        return 1
    say(f"the bot {f'(pid {pid}) ' if pid else ''}is asked to stop")

    def ended() -> bool:
        if not is_at_work(control):
            return True
        if folder.peek(Flag.STOP) is None:  # set aside by a supervisor that was just starting: ask again
            folder.write(Flag.STOP, by=by, why=why)
        return False

    if not wait_until(ended, wait):
        say(f"it is still closing after {wait:.0f} s; `tbot status` shows how far it is")
        return 1
    folder.take(Flag.STOP)  # where nobody was left to take it
    say("the bot has stopped")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tbot_bot.runtime.stop_bot",
        description="Stop the bot safely and wait for its end.",
        epilog='example: python -m tbot_bot.runtime.stop_bot --why "maintenance"',
        allow_abbrev=False,
    )
    parser.add_argument("--home", type=Path, default=None, help="the installation's folder (default: TBOT_HOME)")
    parser.add_argument("--why", default="", help="the reason, for the journal")
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, metavar="SECONDS", help="how long to wait")
    given = parser.parse_args(argv)
    return stop(given.home or tbot_home(), _who(), given.why, given.wait)


def _who() -> str:
    try:
        return f"{getpass.getuser()} (stop_bot)"
    except (OSError, KeyError):  # a user without a name
        return "stop_bot"


if __name__ == "__main__":
    sys.exit(main())
