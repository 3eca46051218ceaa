"""Letters to a running session: small JSON files that a person leaves in a folder below `control/`.

The runner hands each to the session once and puts its file into `control/done/`; what cannot be read, or is meant
for another session than the one at work, is set aside and never obeyed.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.config.error_handler import Severity, TbotError
from tbot_bot.core.events import ControlReceived
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.runtime.control import BYTES_MAX, set_aside

MakeEvent = Callable[[Instant], ControlReceived]
"""Gives the session's input at the market time at which it is taken."""
Ask = Callable[[MakeEvent], None]


class StaleLetter(TbotError):
    """The letter is meant for another session than the one at work."""

    code = "STALE"
    severity = Severity.WARNING


def read_object(path: Path) -> dict[str, object]:
    """Return the JSON object in the file at `path`.

    Raises:
        ValueError: it holds something else, or too much; in words for people.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(BYTES_MAX + 1)
    if len(raw) > BYTES_MAX:
        raise ValueError(f"more than {BYTES_MAX} bytes")
    try:
        data = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of error for any malformed text
    return data


class LetterDesk(ABC):
    """The runner's side of one folder: looks for letters and hands them to the session, each once."""

    folder: ClassVar[str]
    """Below `control/`."""
    word: ClassVar[str]
    """What the log calls a letter."""

    def __init__(self, control: Path, session: SessionId, ask: Ask, log: FilteringBoundLogger) -> None:
        """Nothing is looked at before `look`; `ask` takes a request to the session."""
        self._control: Final = control
        self._session: Final = session
        self._ask, self._log = ask, log
        self._handed: set[Path] = set()

    @abstractmethod
    def opened(self, path: Path) -> MakeEvent:
        """Return what the letter asks of this session.

        Raises:
            StaleLetter: it is meant for another one; the words say which.
            ValueError: it is no such letter; in words for people.
            OSError: it cannot be read.
        """

    def look(self) -> None:
        """Hand over what has come, oldest first."""
        try:
            found = sorted(path for path in (self._control / self.folder).iterdir() if not path.name.startswith("."))
        except OSError:
            return  # nobody has left one yet
        for path in found:
            if path not in self._handed:
                self._handed.add(path)
                self._hand_over(path)

    def _hand_over(self, path: Path) -> None:
        try:
            make = self.opened(path)
        except StaleLetter as stale:
            self._log.warning(f"{self.word}_stale", file=path.name, meant=str(stale))
            self._put_away(path, "stale_")
            return
        except (OSError, ValueError) as error:
            self._log.error(f"{self.word}_unreadable", file=path.name, problem=str(error))
            self._put_away(path, "unreadable_")
            return

        def take(at: Instant) -> ControlReceived:
            self._put_away(path, "")
            return make(at)

        self._ask(take)

    def _put_away(self, path: Path, prefix: str) -> None:
        try:
            set_aside(self._control, path, prefix)
        except OSError as error:
            self._log.error(f"{self.word}_not_put_away", file=path.name, problem=str(error))


__all__ = ["Ask", "LetterDesk", "MakeEvent", "StaleLetter", "read_object"]
