"""A person's wish to have positions closed while the session goes on: files in `control/flatten/`.

The runner hands a wish to the engine and puts its file into `control/done/`; one for another session than the one
at work is set aside as stale and never obeyed.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.core.events import ControlKind, ControlReceived
from tbot_bot.core.instants import Instant
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import file_stamp
from tbot_bot.runtime.files import write_atomically
from tbot_bot.runtime.letters import LetterDesk, MakeEvent, StaleLetter, read_object

FLATTEN: Final = "flatten"


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
    data = read_object(path)
    names = ("session", "by", "why", "broker", "symbol")
    given = {name: data.get(name, "") for name in names}
    texts = {name: value for name, value in given.items() if isinstance(value, str)}
    if texts != given:
        raise ValueError('expected {"session": ..., "by": ..., "why": ..., "broker": ..., "symbol": ...}, all texts')
    if not texts["session"]:
        raise ValueError("no session is named")
    return Flatten(**texts)


class FlattenDesk(LetterDesk):
    """The runner's side: wishes for this session."""

    folder = FLATTEN
    word = "flatten"

    def opened(self, path: Path) -> MakeEvent:
        """Return the wish as the session's input; see `LetterDesk.opened`."""
        wish = read(path)
        if wish.session != str(self._session):
            raise StaleLetter(f"{wish.session}, by {wish.by}")

        def make(at: Instant) -> ControlReceived:
            return ControlReceived(
                at=at, kind=ControlKind.FLATTEN, by=wish.by, why=wish.why, broker=wish.broker, symbol=wish.symbol
            )

        return make


__all__ = ["FLATTEN", "Flatten", "FlattenDesk", "leave", "read"]
