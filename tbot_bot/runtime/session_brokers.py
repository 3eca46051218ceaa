"""Which real accounts the last session traded at, as its runner leaves word before it connects.

Whoever has to close its positions without it cannot ask the settings alone: they may be broken by then, or be changed
for the next session. No secret stands in the record; keys come from `.env`, as ever.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.env import EnvSettings
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.core.identity import SessionId
from tbot_bot.runtime.files import write_atomically
from tbot_bot.runtime.runner_arguments import RunnerArguments

BROKERS_FILE: Final = "session_brokers.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBrokers:
    """The accounts of one session, and of those before it on the same day."""

    session: SessionId
    test_mode: bool
    modes: tuple[tuple[str, BrokerMode], ...]
    """By broker: which of its accounts is traded; in test mode always the paper one."""
    ibkr_client_id: int
    """IB lets nobody else cancel what was placed under it."""
    argv: tuple[str, ...] = field(default=())
    """The runner's arguments."""

    @classmethod
    def of(cls, request: RunnerArguments, env: EnvSettings, bot: BotSettings) -> "SessionBrokers":
        """Return what a runner with these settings is about to connect to."""
        modes = {"alpaca": bot.alpaca_mode, "ibkr": bot.ibkr_mode}
        if bot.test_mode:
            modes = dict.fromkeys(modes, BrokerMode.PAPER)
        return cls(
            session=request.session,
            test_mode=bot.test_mode,
            modes=tuple((name, modes[name]) for name in bot.enabled_brokers if name in modes),
            ibkr_client_id=env.ibkr_client_id,
            argv=request.argv(),
        )

    @property
    def request(self) -> RunnerArguments:
        """Return the runner's arguments."""
        return RunnerArguments.parse(self.argv)

    def is_of_day(self, session: SessionId) -> bool:
        """Return whether `session` belongs to the same day and run."""
        return (self.session.day, self.session.run) == (session.day, session.run)

    def save(self, control: Path) -> None:
        """Leave it in the control folder, whole or not at all; accounts of the same day's earlier sessions stay in it.

        Raises:
            OSError: it could not be written.
        """
        before = session_brokers(control)
        modes = dict(self.modes)
        if before is not None and before.is_of_day(self.session) and before.test_mode is self.test_mode:
            modes = dict(before.modes) | modes
        whole = replace(self, modes=tuple(modes.items()))
        content = {
            "session": str(whole.session),
            "test_mode": whole.test_mode,
            "modes": dict(whole.modes),
            "ibkr_client_id": whole.ibkr_client_id,
            "argv": whole.argv,
        }
        write_atomically(control / BROKERS_FILE, json.dumps(content, indent=1))


def session_brokers(control: Path) -> SessionBrokers | None:
    """Return what the last runner left; None where there is nothing that can be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, SystemExit):  # argparse exits
        data = json.loads((control / BROKERS_FILE).read_text(encoding="utf-8"))
        found = SessionBrokers(
            session=SessionId.parse(data["session"]),
            test_mode=bool(data["test_mode"]),
            modes=tuple((str(name), BrokerMode(mode)) for name, mode in data["modes"].items()),
            ibkr_client_id=int(data["ibkr_client_id"]),
            argv=tuple(str(word) for word in data["argv"]),
        )
        return found if found.request.session == found.session else None
    return None


__all__ = ["BROKERS_FILE", "SessionBrokers", "session_brokers"]
