"""A person's answers to signals that wait for one: files in `control/decisions/`, taken by the runner.

The runner hands an answer to the engine and then puts its file into `control/done/`; an answer for another
session than the one at work is set aside as stale and never obeyed.
"""

import json
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from tbot_bot.core.codec import loads
from tbot_bot.core.commands import ConfirmationAwaited, Decided, ReadPutQuotes, SignalDropped, TradeApproved
from tbot_bot.core.events import ControlKind, ControlReceived
from tbot_bot.core.identity import session_of_trade
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import plain
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import JournalReader
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import file_stamp
from tbot_bot.runtime.files import write_atomically
from tbot_bot.runtime.letters import LetterDesk, MakeEvent, StaleLetter, read_object

DECISIONS: Final = "decisions"


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
    data = read_object(path)
    asked, trade_id = data.get("decision"), data.get("id")
    if asked not in {ControlKind.CONFIRM.value, ControlKind.DECLINE.value} or not isinstance(trade_id, str):
        raise ValueError('expected {"decision": "confirm" or "decline", "id": ..., "by": ..., "why": ...}')
    by, why = str(data.get("by", "unknown")), str(data.get("why", ""))
    return Decision(kind=ControlKind(asked), trade_id=trade_id, by=by, why=why)


class DecisionDesk(LetterDesk):
    """The runner's side: answers for this session."""

    folder = DECISIONS
    word = "decision"

    def opened(self, path: Path) -> MakeEvent:
        """Return the answer as the session's input; see `LetterDesk.opened`."""
        decision = read(path)
        if session_of_trade(decision.trade_id) != self._session:
            raise StaleLetter(f"{decision.trade_id}, by {decision.by}")

        def make(at: Instant) -> ControlReceived:
            return ControlReceived(
                at=at, kind=decision.kind, by=decision.by, why=decision.why, trade_id=decision.trade_id
            )

        return make


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
