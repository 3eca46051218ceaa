"""A person's answers to signals that wait for one: files in `control/decisions/`, taken by the runner.

The runner hands an answer to the engine and then puts its file into `control/done/`; an answer for another
session than the one at work is set aside as stale and never obeyed.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.core.codec import loads
from tbot_bot.core.commands import ConfirmationAwaited, Decided, ReadPutQuotes, SignalDropped, TradeApproved
from tbot_bot.core.events import ControlKind, ControlReceived
from tbot_bot.core.identity import SessionId, session_of_trade
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import plain
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import JournalReader
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import BYTES_MAX, file_stamp, set_aside
from tbot_bot.runtime.files import write_atomically

DECISIONS: Final = "decisions"
Ask = Callable[[Callable[[Instant], ControlReceived]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Yes or no to one waiting signal."""

    kind: ControlKind
    """`CONFIRM` or `DECLINE`."""
    trade_id: str
    by: str
    why: str = ""


def leave(control: Path, decision: Decision) -> Path:
    """Leave `decision` for the runner, whole or not at all, and return its file.

    Raises:
        OSError: it could not be written.
    """
    path = control / DECISIONS / f"{file_stamp(wall_now())}_{decision.kind}_{os.getpid()}.json"
    content = {"decision": decision.kind.value, "id": decision.trade_id, "by": decision.by, "why": decision.why}
    write_atomically(path, json.dumps(content))
    return path


def read(path: Path) -> Decision:
    """Return what `leave` wrote, or a person with an editor.

    Raises:
        ValueError: it is no such decision; in words for people.
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
    asked, trade_id = data.get("decision"), data.get("id")
    if asked not in {ControlKind.CONFIRM.value, ControlKind.DECLINE.value} or not isinstance(trade_id, str):
        raise ValueError('expected {"decision": "confirm" or "decline", "id": ..., "by": ..., "why": ...}')
    by, why = str(data.get("by", "unknown")), str(data.get("why", ""))
    return Decision(kind=ControlKind(asked), trade_id=trade_id, by=by, why=why)


class DecisionDesk:
    """The runner's side: looks for answers and hands them to the session, each once."""

    def __init__(self, control: Path, session: SessionId, ask: Ask, log: FilteringBoundLogger) -> None:
        """Nothing is looked at before `look`; `ask` takes a request to the session."""
        self._control, self._session, self._ask, self._log = control, session, ask, log
        self._handed: set[Path] = set()

    def look(self) -> None:
        """Hand over what has come, oldest first."""
        try:
            found = sorted(path for path in (self._control / DECISIONS).iterdir() if not path.name.startswith("."))
        except OSError:
            return  # nobody has left one yet
        for path in found:
            if path not in self._handed:
                self._handed.add(path)
                self._hand_over(path)

    def _hand_over(self, path: Path) -> None:
        try:
            decision = read(path)
        except (OSError, ValueError) as error:
            self._log.error("decision_unreadable", file=path.name, problem=str(error))
            self._put_away(path, "unreadable_")
            return
        if session_of_trade(decision.trade_id) != self._session:
            self._log.warning("decision_stale", file=path.name, trade_id=decision.trade_id, by=decision.by)
            self._put_away(path, "stale_")
            return

        def take(at: Instant) -> ControlReceived:
            self._put_away(path, "")
            return ControlReceived(
                at=at, kind=decision.kind, by=decision.by, why=decision.why, trade_id=decision.trade_id
            )

        self._ask(take)

    def _put_away(self, path: Path, prefix: str) -> None:
        try:
            set_aside(self._control, path, prefix)
        except OSError as error:
            self._log.error("decision_not_put_away", file=path.name, problem=str(error))


class Stand(Enum):
    """Where a trade stands, as far as a person's answer goes."""

    UNKNOWN = "unknown"
    WAITS = "waits"
    GOES_AHEAD = "goes ahead"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What the journal says became of a signal."""

    stand: Stand
    words: str = ""


def fate_of(journal: JournalReader, trade_id: str) -> Fate:
    """Return what became of the signal behind `trade_id`.

    Raises:
        JournalError: the journal is damaged.
        CodecError: a row cannot be read.
    """
    fate = Fate(stand=Stand.UNKNOWN)
    session = session_of_trade(trade_id)
    for row in () if session is None else journal.rows(session=str(session), kind=Kind.COMMAND):
        decided = loads(row.payload)
        for output in decided.outputs if isinstance(decided, Decided) else ():
            match output:
                case ConfirmationAwaited() if output.trade_id == trade_id:
                    fate = Fate(stand=Stand.WAITS)
                case ReadPutQuotes() if output.trade_id == trade_id:
                    fate = Fate(stand=Stand.GOES_AHEAD, words="the puts on offer are asked for")
                case TradeApproved() if output.trade_id == trade_id:
                    words = f"an order for {plain(output.quantity)} {output.instrument} went to {output.broker}"
                    fate = Fate(stand=Stand.GOES_AHEAD, words=words)
                case SignalDropped() if output.trade_id == trade_id:
                    fate = Fate(stand=Stand.DROPPED, words=f"{output.code}: {output.reason}")
                case _:
                    pass
    return fate


__all__ = ["DECISIONS", "Decision", "DecisionDesk", "Fate", "Stand", "fate_of", "leave", "read"]
