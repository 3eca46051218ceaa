"""One session as the engine saw it: journaled inputs and the tape's bars in one order, and the answers.

This is what recovery and `tbot replay` feed to a fresh engine. It decides nothing; it refuses a record
with a hole, because an engine that misses an input would be somewhere else.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.bars import Bar
from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.commands import Decided
from tbot_bot.core.events import BarsClosed
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind, Row
from tbot_bot.journal.store import JournalReader
from tbot_bot.journal.tape import TapeReader, tape_path

BarsMaker = Callable[[Instant, tuple[Bar, ...], bool], object]
_VERIFY: Final = "Run `tbot journal verify`, then restore the last good backup."
_VERSION: Final = "If a newer version wrote it, start that version again; else run `tbot journal verify`."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """What the journal holds of one session."""

    session: SessionId
    spec_payload: str
    """Canonical JSON of what the session was made of (its first row of kind `session`); empty where none."""
    inputs: Iterator[tuple[int, object]]
    """(number, event) in order from 1 without gaps; to be used once.

    Raises `JournalError` where an input is missing, doubled or unreadable.
    """
    commands: Mapping[int, tuple[str, ...]]
    """Canonical JSON of what the engine answered, by number of the input: compare it with `codec.dumps`."""
    tape: TapeReader | None
    """None where the session has no tape. Knows its dropped bytes and digest when `inputs` is used up."""

    def decoded_commands(self) -> dict[int, tuple[object, ...]]:
        """Return the answers as records.

        Raises:
            JournalError: one cannot be read.
        """
        return {
            number: tuple(_decode(payload, number, self.session) for payload in payloads)
            for number, payloads in self.commands.items()
        }


def read_session(
    journal: JournalReader, folder: Path, session: SessionId, bars_closed: BarsMaker | None = None
) -> SessionRecord:
    """Return the record of `session`; `folder` is `output/journal`, where the tapes are.

    `bars_closed` makes an event of a tape's frame; without it that is `BarsClosed`.

    Raises:
        JournalError: the journal knows no such session, or cannot be read.
    """
    name = str(session)
    rows = list(journal.rows(session=name))
    if not rows:
        known = ", ".join(journal.sessions_of(session.day)) or "none"
        raise JournalError(f"no session {name}; of that day there are: {known}", where=str(journal.path))
    commands: dict[int, tuple[str, ...]] = {}
    inputs: list[tuple[int, str]] = []
    spec = ""
    for row in rows:
        match row.kind:
            case Kind.INPUT:
                inputs.append((row.input_number, row.payload))
            case Kind.COMMAND:
                commands[row.input_number] = (*commands.get(row.input_number, ()), row.payload)
            case Kind.SESSION if not spec:
                spec = row.payload
            case _:
                pass
    path = tape_path(folder, journal.mode, session)
    tape = TapeReader(path) if path.exists() else None
    last = max(commands, default=0)
    return SessionRecord(
        session=session,
        spec_payload=spec,
        inputs=_merged(session, inputs, tape, bars_closed or _bars_closed, last),
        commands=commands,
        tape=tape,
    )


def _merged(
    session: SessionId, inputs: list[tuple[int, str]], tape: TapeReader | None, make: BarsMaker, last: int
) -> Iterator[tuple[int, object]]:
    rows = ((number, _decode(payload, number, session)) for number, payload in inputs)
    frames = ((number, make(Instant(at), bars, backfill)) for number, at, bars, backfill in tape or ())
    expected = 1
    for number, event in merge(rows, frames, key=itemgetter(0)):
        if number != expected:
            what = f"input {expected} is missing" if number > expected else f"input {number} is there twice"
            raise JournalError(what, where=str(session), mend=_VERIFY)
        yield number, event
        expected += 1
    if expected <= last:
        raise JournalError(f"input {expected} is missing, though it was answered", where=str(session), mend=_VERIFY)


def _decode(payload: str, number: int, session: SessionId) -> object:
    try:
        return loads(payload)
    except CodecError as error:
        raise JournalError(f"input {number} cannot be read: {error}", where=str(session), mend=_VERSION) from error


def decided_in(row: Row) -> Decided | None:
    """Return the answer that a row of kind `command` holds; None where it is none.

    Raises:
        JournalError: it cannot be read, as where a newer version wrote it.
    """
    try:
        found = loads(row.payload)
    except CodecError as error:
        what = f"row {row.seq} cannot be read: {error}"
        raise JournalError(what, where=row.session, mend=_VERSION) from error
    return found if isinstance(found, Decided) else None


def _bars_closed(at: Instant, bars: tuple[Bar, ...], backfill: bool) -> BarsClosed:  # noqa: FBT001 - a factory
    return BarsClosed(at=at, bars=bars, backfill=backfill)


__all__ = ["BarsMaker", "SessionRecord", "decided_in", "read_session"]
