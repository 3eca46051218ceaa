"""What the shell offers when a person presses tab: strategies, days and sessions of the journal, settings.

A completion never fails aloud: whatever cannot be read offers nothing.
"""

from collections.abc import Iterable

from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.identity import Mode, StrategyName


def strategies(incomplete: str) -> list[str]:
    """Return the strategies whose name begins so."""
    return _beginning(incomplete, (name.value for name in StrategyName))


def days(incomplete: str) -> list[str]:
    """Return the trading days in the journals, latest first."""
    return _beginning(incomplete, sorted({session.partition("/")[0] for session in _sessions()}, reverse=True))


def sessions(incomplete: str) -> list[str]:
    """Return the sessions in the journals, latest first."""
    return _beginning(incomplete, reversed(_sessions()))


def kinds(incomplete: str) -> list[str]:
    """Return the kinds of rows."""
    from tbot_bot.journal.chain import Kind  # noqa: PLC0415 - each tab is a process of its own

    return _beginning(incomplete, (kind.value for kind in Kind))


def assignments(incomplete: str) -> list[str]:
    """Return the settings of `.env_bot` as `NAME=`, and `NAME=default` once the name is whole."""
    from tbot_bot.config.env_bot import BotSettings  # noqa: PLC0415
    from tbot_bot.config.model import variables  # noqa: PLC0415

    known = variables(BotSettings)
    name, equals, _ = incomplete.partition("=")
    if equals:
        default = BotSettings()
        whole = [
            f"{name}={found.kind.render(getattr(default, found.attribute))}" for found in known if found.name == name
        ]
        return _beginning(incomplete, whole)
    return _beginning(incomplete, (f"{found.name}=" for found in known))


def setting_names(incomplete: str) -> list[str]:
    """Return the names of the settings of `.env_bot`."""
    from tbot_bot.config.env_bot import BotSettings  # noqa: PLC0415
    from tbot_bot.config.model import variables  # noqa: PLC0415

    return _beginning(incomplete, (found.name for found in variables(BotSettings)))


def _sessions() -> list[str]:
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.journal.store import open_reader  # noqa: PLC0415
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415

    found: list[str] = []
    for mode in (Mode.PAPER, Mode.LIVE):
        path = records_for(tbot_home(), mode, test_mode=False).journal
        try:
            if path.exists():
                with open_reader(path) as journal:
                    found += journal.sessions()
        except (TbotError, OSError):
            continue  # a damaged journal is told of by the command itself
    return sorted(set(found))


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
