"""Write the file with which IBC logs IB Gateway in by itself: IBKR_PAPER_USERNAME and the rest, from the settings.

    python tools/gateway_login.py FILE [--live]

FILE is IBC's config.ini; it holds a password in clear and is made readable by its owner alone. Without --live it is
the paper login. TBOT_HOME names the folder of the settings; default: the working directory.
"""

import sys
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import ConfigError, ConfigProblem, TbotError
from tbot_bot.config.settings import Settings, load_settings, tbot_home
from tbot_bot.runtime.cli_output import complain, status_of
from tbot_bot.runtime.files import write_atomically

_ASCII_END: Final = 126


def ibc_config(settings: Settings, *, live: bool) -> str:
    """Return the file's text.

    The names are those of IBC's own sample, resources/config.ini. Orders through the API are allowed, connections from
    other machines are not, nobody else's login ends the session, and an exit is sent even while data are missing.

    Raises:
        ConfigError: username or password is not set.
    """
    env, kind = settings.env, "LIVE" if live else "PAPER"
    user = env.ibkr_live_username if live else env.ibkr_paper_username
    password = (env.ibkr_live_password if live else env.ibkr_paper_password).get_secret_value()
    missing = [name for name, value in (("USERNAME", user), ("PASSWORD", password)) if not value]
    if missing:
        raise ConfigError(
            ConfigProblem(file=".env", variable=f"IBKR_{kind}_{name}", expected="the login of the gateway itself")
            for name in missing
        )
    values = {
        "IbLoginId": user,
        "IbPassword": password,
        "TradingMode": kind.lower(),
        "OverrideTwsApiPort": str(env.ibkr_live_port if live else env.ibkr_paper_port),
        "ReadOnlyApi": "no",
        "AcceptIncomingConnectionAction": "reject",
        "ExistingSessionDetectedAction": "primary",
        "AcceptNonBrokerageAccountWarning": "yes",
        "ExitAfterSecondFactorAuthenticationTimeout": "yes",
        "AllowBlindTrading": "yes",
    }
    lines = ["# Made by tools/gateway_login.py from the bot's settings; make it anew instead of changing it."]
    return "\n".join([*lines, *(f"{name}={escaped(value)}" for name, value in values.items())]) + "\n"


def escaped(value: str) -> str:
    """Return `value` as a Java properties file spells it: IBC reads backslashes as escapes and bytes as Latin-1."""
    text = "".join(_spelled(character) for character in value)
    return f"\\{text}" if text.startswith(" ") else text


def _spelled(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if " " <= character <= chr(_ASCII_END):
        return character
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


def main() -> int:
    """Read the settings, write the file; return the exit status."""
    words = [word for word in sys.argv[1:] if word != "--live"]
    if len(words) != 1 or words[0].startswith("-"):
        sys.stderr.write(__doc__ or "")
        return 0 if words in (["--help"], ["-h"]) else 2
    path = Path(words[0])
    try:
        text = ibc_config(load_settings(tbot_home(), defaults_if_absent=True), live="--live" in sys.argv)
        write_atomically(path, text.encode("ascii"))  # 0600, always
    except (TbotError, OSError) as error:
        complain(error)
        return status_of(error) if isinstance(error, TbotError) else 1
    sys.stdout.write(f"{path}: readable by you alone; it holds the gateway's password in clear\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
