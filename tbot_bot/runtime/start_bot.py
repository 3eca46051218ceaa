"""Start the bot in the background, for cron and for `tbot start`. Where it runs already, nothing happens."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tbot_bot.config.settings import tbot_home
from tbot_bot.runtime.background import (
    Background,
    control_path,
    say,
    supervisor_command,
    supervisor_pid,
    wait_until,
)

PATIENCE_SECONDS: Final = 10.0
_ALREADY: Final = 4
_WORDS: Final = {
    2: "the settings cannot be used; `tbot check` names every line",
    3: "the build check failed; `tbot check` says what and how to mend it",
    5: "the kill switch is engaged; `tbot check` says by whom",
}


def start(
    home: Path,
    once: bool = False,  # noqa: FBT001, FBT002 - the one word that a caller may add
    *,
    foreground: bool = False,
    rehearsal: bool = False,
    module: Sequence[str] = (),
    patience: float = PATIENCE_SECONDS,
) -> int:
    """Start a supervisor for `home`, say how that went, and return the exit status: 0 where it runs (or ran `once`).

    `foreground`: become the supervisor instead of starting one. `module` is for tests.
    """
    home = home.absolute()
    control = control_path(home)
    if (pid := supervisor_pid(control)) is not None:
        say(f"the bot runs already (pid {pid or 'unknown'})")
        return 0
    command = supervisor_command(home, once=once, rehearsal=rehearsal, module=module)
    if foreground:
        os.execv(command[0], command)  # noqa: S606 - our own module
    try:
        begun = Background.start(command, home, control)
    except OSError as error:
        say(f"error: the bot could not be started: {error}")
        return 1
    wait_until(lambda: begun.ready or begun.ended is not None, patience)
    return _result(begun, patience)


def _result(begun: Background, patience: float) -> int:
    status = begun.ended
    if status is None:
        late = "" if begun.ready else f"; it is not ready after {patience:.0f} s, look at {begun.output}"
        say(f"the bot is started (pid {begun.process.pid}){late}")
        return 0
    if status == 0:
        say("the bot ran and has nothing left to do today")
        return 0
    if status == _ALREADY and (pid := supervisor_pid(begun.control)) is not None:
        say(f"the bot runs already (pid {pid or 'unknown'})")  # two starts at once: the other was first
        return 0
    why = begun.complaint() or _WORDS.get(status, f"it ended with status {status}; look at {begun.output.parent}")
    say(f"the bot did not start: {why}")
    return status if status > 0 else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tbot_bot.runtime.start_bot",
        description="Start the bot in the background. Where it runs already this says so and exits 0.",
        epilog="example: python -m tbot_bot.runtime.start_bot --once",
        allow_abbrev=False,
    )
    parser.add_argument("--home", type=Path, default=None, help="the installation's folder (default: TBOT_HOME)")
    parser.add_argument("--once", action="store_true", help="run the rest of today, then exit")
    parser.add_argument("--rehearsal", action="store_true", help="test mode on the built-in market")
    parser.add_argument("--foreground", action="store_true", help="become the bot instead of starting it")
    given = parser.parse_args(argv)
    home = given.home or tbot_home()
    return start(home, given.once, foreground=given.foreground, rehearsal=given.rehearsal)


if __name__ == "__main__":
    sys.exit(main())
