"""A person's wish to have positions closed while the session goes on: files in `control/flatten/`.

The runner hands a wish to the engine and puts its file into `control/done/`; one for another session than the one
at work is set aside as stale and never obeyed.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.core.events import ControlKind, ControlReceived
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import BYTES_MAX, file_stamp, set_aside
from tbot_bot.runtime.files import write_atomically

FLATTEN: Final = "flatten"
Ask = Callable[[Callable[[Instant], ControlReceived]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten:
    """Close our positions, all of them or those at one broker or in one symbol (the underlying)."""

    session: str
    by: str
    why: str
    broker: str = ""
    symbol: str = ""


def leave(control: Path, wish: Flatten) -> Path:
    """Leave `wish` for the runner, whole or not at all, and return its file.

    Raises:
        OSError: it could not be written.
    """
    path = control / FLATTEN / f"{file_stamp(wall_now())}_{os.getpid()}.json"
    names = ("session", "by", "why", "broker", "symbol")
    write_atomically(path, json.dumps({name: getattr(wish, name) for name in names}))
    return path


def read(path: Path) -> Flatten:
    """Return what `leave` wrote, or a person with an editor.

    Raises:
        ValueError: it is no such wish; in words for people.
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
    names = ("session", "by", "why", "broker", "symbol")
    if not isinstance(data, dict) or not all(isinstance(data.get(name, ""), str) for name in names):
        raise ValueError('expected {"session": ..., "by": ..., "why": ..., "broker": ..., "symbol": ...}, all texts')
    if not data.get("session"):
        raise ValueError("no session is named")
    return Flatten(**{name: data.get(name, "") for name in names})


class FlattenDesk:
    """The runner's side: looks for wishes and hands them to the session, each once."""

    def __init__(self, control: Path, session: SessionId, ask: Ask, log: FilteringBoundLogger) -> None:
        """Nothing is looked at before `look`; `ask` takes a request to the session."""
        self._control, self._session, self._ask, self._log = control, session, ask, log
        self._handed: set[Path] = set()

    def look(self) -> None:
        """Hand over what has come, oldest first."""
        try:
            found = sorted(path for path in (self._control / FLATTEN).iterdir() if not path.name.startswith("."))
        except OSError:
            return  # nobody has left one yet
        for path in found:
            if path not in self._handed:
                self._handed.add(path)
                self._hand_over(path)

    def _hand_over(self, path: Path) -> None:
        try:
            wish = read(path)
        except (OSError, ValueError) as error:
            self._log.error("flatten_unreadable", file=path.name, problem=str(error))
            self._put_away(path, "unreadable_")
            return
        if wish.session != str(self._session):
            self._log.warning("flatten_stale", file=path.name, session=wish.session, by=wish.by)
            self._put_away(path, "stale_")
            return

        def take(at: Instant) -> ControlReceived:
            self._put_away(path, "")
            return ControlReceived(
                at=at, kind=ControlKind.FLATTEN, by=wish.by, why=wish.why, broker=wish.broker, symbol=wish.symbol
            )

        self._ask(take)

    def _put_away(self, path: Path, prefix: str) -> None:
        try:
            set_aside(self._control, path, prefix)
        except OSError as error:
            self._log.error("flatten_not_put_away", file=path.name, problem=str(error))


__all__ = ["FLATTEN", "Flatten", "FlattenDesk", "leave", "read"]
