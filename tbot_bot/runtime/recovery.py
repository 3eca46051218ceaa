"""A journaled session through this program's engine: does it decide the same, and what is the first difference?

Recovery and `tbot replay` ask the same question here. Where other code has taken a session over, what came before
that was decided by code that is gone: it is followed, and only what came after is compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.codec import CodecError, dumps, loads
from tbot_bot.core.commands import Decided, Output
from tbot_bot.core.events import CodeTakenOver, Event
from tbot_bot.core.instants import iso
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.started import ProcessStarted
from tbot_bot.journal.store import JournalReader
from tbot_bot.trading.engine import Engine
from tbot_bot.trading.spec import SessionSpec
from tbot_bot.trading.takeover import Follower

Told = Sequence[tuple[int, Event]]
"""The inputs of a session by number, from 1 without gaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first output that two answers to one input do not share."""

    number: int
    """Of the input."""
    event: Event
    then: Output | None
    """What the journal holds; None: nothing, or no more."""
    now: Output | None

    @property
    def words(self) -> str:
        """Return it with both sides as the journal writes them."""
        was, now = ("nothing" if one is None else dumps(one) for one in (self.then, self.now))
        return f"input {self.number} at {iso(self.event.at)}: journal says {was}, replay says {now}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """How far the engine came."""

    engine: Engine
    """As it stands after the last input, or after the one where it differs."""
    inputs: int
    """Number of the last input that was fed."""
    followed: int
    """Inputs before the last takeover: followed, not compared."""
    owed: tuple[Output, ...] = ()
    """Answers to the very last input, which the journal holds none to: its writing was cut off."""
    first: Difference | None = None
    """The first difference; None where every answer is identical."""

    @property
    def difference(self) -> str:
        """Return the first difference in words; empty where every answer is identical."""
        return "" if self.first is None else self.first.words


def repeat(spec: SessionSpec, told: Told, decided: Mapping[int, Decided]) -> Repeated:
    """Feed the inputs to a fresh engine and compare its answers with those that the journal holds."""
    engine, followed = Engine(spec), _taken_over_at(told) - 1
    if followed >= 0:
        engine.state = follow(spec, told[:followed], decided).state
    followed = max(followed, 0)
    outputs: tuple[Output, ...] = ()
    last = told[-1][0] if told else 0
    for number, event in told[followed:]:
        outputs = tuple(engine.handle(event))
        known = decided.get(number)
        if known is None and outputs and number == last:
            return Repeated(engine=engine, inputs=number, followed=followed, owed=outputs)
        if (known is None and outputs) or (
            known is not None and dumps(replace(known, outputs=outputs)) != dumps(known)
        ):
            first = first_difference(number, event, known, outputs)
            return Repeated(engine=engine, inputs=number, followed=followed, first=first)
    return Repeated(engine=engine, inputs=last, followed=followed)


def follow(spec: SessionSpec, told: Told, decided: Mapping[int, Decided]) -> Follower:
    """Return the session's state as the journal tells it, whatever this code would have done."""
    follower = Follower(spec)
    for number, event in told:
        known = decided.get(number)
        follower.follow(event, () if known is None else known.outputs)
    return follower


def first_difference(number: int, event: Event, known: Decided | None, outputs: Sequence[Output]) -> Difference | None:
    """Return the first difference between two answers to one input; None where they are identical."""
    for then, now in zip_longest(() if known is None else known.outputs, outputs):
        if then is None or now is None or dumps(then) != dumps(now):
            return Difference(number=number, event=event, then=then, now=now)
    return None


def other_code(journal: JournalReader, spec: SessionSpec, own: str) -> str:
    """Return the fingerprint of another code than `own` that has decided in this session; empty where there is none."""
    codes = [spec.code_fingerprint]
    for row in journal.rows(session=str(spec.session), kind=Kind.START):
        try:
            started = loads(row.payload)
        except CodecError as error:
            mend = "A newer version wrote it: start that version again."
            raise JournalError(f"row {row.seq} cannot be read: {error}", where=str(journal.path), mend=mend) from error
        if isinstance(started, ProcessStarted):
            codes.append(started.code_fingerprint)
    return next((code for code in reversed(codes) if code and code != own), "")


def _taken_over_at(told: Told) -> int:
    """Return the number of the last takeover, 0 where there was none."""
    return next((number for number, event in reversed(told) if isinstance(event, CodeTakenOver)), 0)
