"""Seal, open, re-key and edit `.env_bot`: the commands of `tbot config` by the build document's name.

    python tools/encrypt_env_bot.py encrypt|decrypt|rotate|edit [OPTION]...

TBOT_HOME names the folder of the settings; default: the working directory.
"""

import sys
from typing import Final

from tbot_bot.runtime.cli import main

_COMMANDS: Final = ("encrypt", "decrypt", "rotate", "edit")

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in _COMMANDS:  # noqa: PLR2004 - the program and its first word
        sys.stderr.write(__doc__ or "")
        sys.exit(0 if sys.argv[1:2] in (["--help"], ["-h"]) else 2)
    sys.exit(main(["config", *sys.argv[1:]]))
