"""Releases lie beside each other and a link names the one in force; what runs stays in the one it was started from.

A process that was started through the link would load the modules that it has not imported yet, and start its
runners, from whatever release the link names by then.
"""

import os
import sys
from pathlib import Path


def stay_in_release() -> None:
    """Become the same program by the interpreter's own path, where it was started through a link to its folder."""
    started = Path(sys.executable)
    own = started.parent.resolve() / started.name  # the interpreter itself may be a link, and is the environment's mark
    if sys.prefix == sys.base_prefix or own == started or not own.exists():
        return
    os.execv(own, (str(own), *sys.orig_argv[1:]))  # noqa: S606 - this very program
