"""Hash the dashboard's password (argon2id) into `.env`: it asks for it, or reads one line from a pipe.

    python tools/encrypt_password.py

TBOT_HOME names the folder of the settings; default: the working directory.
"""

import getpass
import os
import sys
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.settings import tbot_home
from tbot_bot.config.settings_bot import plan_set
from tbot_bot.runtime.cli_output import complain, status_of, user_name
from tbot_bot.runtime.settings_changes import apply, changing

CHARACTERS_MIN: Final = 12
# RFC 9106, section 4: the second recommended choice, for machines that have not two gigabytes to spare
ITERATIONS: Final = 3
LANES: Final = 4
MEMORY_KIB: Final = 64 * 1024
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32


def hashed(password: str) -> str:
    """Return the hash of `password` with a new salt, in PHC string form."""
    argon = Argon2id(
        salt=os.urandom(SALT_BYTES), length=HASH_BYTES, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return argon.derive_phc_encoded(password.encode())


def main() -> int:
    """Ask, hash, write; return the exit status."""
    if len(sys.argv) > 1:
        sys.stderr.write(__doc__ or "")
        return 0 if sys.argv[1] in {"--help", "-h"} else 2
    if sys.stdin.isatty():
        password = getpass.getpass("Password of the dashboard: ")
        if getpass.getpass("Once more: ") != password:
            complain("the two are not the same; nothing is changed")
            return 2
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < CHARACTERS_MIN:
        complain(f"a password needs at least {CHARACTERS_MIN} characters; nothing is changed")
        return 2
    home = tbot_home()
    try:
        with changing(home):
            apply(plan_set(home, [("ENCRYPTED_PASSWORD", hashed(password))]), by=user_name("encrypt_password"), why="")
    except (TbotError, OSError) as error:
        complain(error)
        return status_of(error) if isinstance(error, TbotError) else 1
    sys.stdout.write("the password's hash is in .env\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
