"""The thin shell around one session's engine: record, decide, record, act.

Every input gets a number. Market bars go onto the tape, all other inputs into the journal; what the engine
answers is journaled durably, in the same transaction as the inputs before it, and only then carried out.
A restart is an ordinary start: `replay` feeds the journal to a fresh engine and leaves what was decided but
perhaps not done for reconciliation.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from tbot_bot.config.error_handler import LogicError
from tbot_bot.config.scrub import scrub
from tbot_bot.core.commands import CancelOrder, Decided, Output, SubmitOrder
from tbot_bot.core.events import (
    AnswerLost,
    BarsClosed,
    CancelRejected,
    CodeTakenOver,
    ControlKind,
    ControlReceived,
    EntriesSuspended,
    Event,
    FillBusted,
    OrderCancelled,
    OrderRejected,
    PutQuotesRead,
)
from tbot_bot.core.identity import Leg, SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.files import JournalWriteFailed
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.journal.tape import TapeWriter
from tbot_bot.runtime.fingerprint import code_fingerprint
from tbot_bot.runtime.recovery import follow, repeat
from tbot_bot.trading.engine import Engine
from tbot_bot.trading.spec import SessionSpec

FLUSH_INPUTS: Final = 64
"""Journaled inputs that may wait for company before they are committed on their own."""
_REASON_MAX: Final = 600
"""Characters of the first difference that go into the journal and the alert."""


class Hands(Protocol):
    """Carries out commands; whatever comes of them are further events."""

    async def perform(self, output: Output) -> Sequence[Event]:
        """Do what `output` asks (nothing, for a decision) and return what is known at once."""
        ...


class Observer(Protocol):
    """Looks on: projections, status, progress. Must not raise."""

    has_read_journal: bool
    """True: it was built from the journal's rows, and a replay of them tells it nothing new."""

    def session(self, spec: SessionSpec) -> None:
        """A session began, or was recovered."""

    def event(self, session: SessionId, event: Event, /) -> None:
        """An input was taken."""

    def decided(self, session: SessionId, decided: Decided, /) -> None:
        """The engine answered, and the answer is in the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a replay found."""

    inputs: int
    owed: tuple[Output, ...]
    """Answers whose journaling was cut off, or that are new: they have never been carried out."""
    taken_over: str = ""
    """Why this code closes the session instead of going on with it; empty where it decides as the journal does."""


class SessionShell:
    """Drives one engine. Not for concurrent use: one task feeds it."""

    def __init__(
        self,
        *,
        spec: SessionSpec,
        journal: Journal,
        tape: TapeWriter,
        hands: Hands,
        observers: Sequence[Observer],
        wall_clock: Callable[[], int],
    ) -> None:
        """Build a fresh engine for `spec`; `wall_clock` stamps rows for people, in nanoseconds UTC."""
        self.engine = Engine(spec)
        self._id = spec.session
        self.session = str(spec.session)
        self.broken = ""
        """Why nothing can be journaled any more; empty while all is well."""
        self.doubted: dict[str, None] = {}
        """Orders of which the engine may believe what is not so, until somebody has looked them up."""
        self._journal, self._tape, self._hands = journal, tape, hands
        self._observers = tuple(observers)
        self._wall_clock = wall_clock
        self._number = 0
        self._pending: list[Entry] = []
        self._stop_told = False

    @property
    def ended(self) -> bool:
        """Return whether the session is over."""
        return self.engine.state.ended

    @property
    def at(self) -> Instant:
        """Return the market time of the last input."""
        return self.engine.state.at

    def begin(self) -> None:
        """Journal the session's specification, durably; before the first input."""
        spec = self.engine.spec
        self._journal.append([self._entry(spec, Kind.SESSION, spec.windows.screen_at, 0)])
        for observer in self._observers:
            observer.session(spec)

    async def take(self, event: Event) -> None:
        """Take one input and everything that follows from it at once."""
        waiting: deque[Event] = deque([event])
        refused: set[str] = set()
        while waiting:
            told = _without_secrets(waiting.popleft())
            if isinstance(told, CancelRejected):
                refused.add(told.client_order_id)
            for output in self._decide(told):
                if isinstance(output, CancelOrder) and output.client_order_id in refused:
                    waiting.append(self._not_asked_again(output))
                else:
                    waiting.extend(await self._act(output))
            if self.broken and not self._stop_told:
                self._stop_told = True
                waiting.append(stop_event(self.at, by="journal", why=self.broken))

    def _not_asked_again(self, cancel: CancelOrder) -> Event:
        """Leave an order whose cancel was refused just now to whoever looks it up.

        The same question at once has the same answer, and two such orders would have each other asked for ever.
        """
        reason = "its cancel was refused a moment ago: it is looked up first"
        return AnswerLost(at=self.at, client_order_id=cancel.client_order_id, reason=reason)

    async def carry_out(self, outputs: Iterable[Output]) -> None:
        """Do what a recovery found to be owed, and take what comes of it."""
        for output in outputs:
            for event in await self._act(output):
                await self.take(event)

    def finish(self) -> None:
        """Make the session's end durable.

        Raises:
            JournalWriteFailed: the journal broke on the way, or breaks now; what was held has been closed.
        """
        if not self.broken:
            self._commit([])
        if self.broken:
            raise JournalWriteFailed(
                f"the session could not be recorded to its end and was closed out ({self.broken})",
                where=self.session,
                mend="Make room on the disk, then compare orders and positions with the broker's.",
            )

    def flush(self) -> None:
        """Commit what waits, durably."""
        if self._pending and not self.broken:
            self._commit([])

    def replay(
        self, inputs: Iterable[tuple[int, Event]], decided: Mapping[int, Decided], others: str = ""
    ) -> Recovered:
        """Feed a session's journal to the fresh engine.

        `others` is the fingerprint of another code that has decided in this session (empty: there is none). Only
        where there is one may the engine decide differently: then this code takes the session over to close it.

        Raises:
            LogicError: the engine decides differently from what the journal holds, by the same code.
        """
        told = tuple(inputs)
        found = repeat(self.engine.spec, told, decided)
        if found.difference and not others:
            raise LogicError(
                f"input {found.inputs} gave other decisions than the journal holds",
                where=self.session,
                mend="The journal has changed since: see tbot replay.",
            )
        self._tell_again(told, decided)
        owed = found.owed
        if found.difference:
            self.engine.state = follow(self.engine.spec, told, decided).state
            owed = self._take_over(found.difference, others)
        else:
            self.engine = found.engine
            if owed:
                self._record(told[-1][1], owed)
        return Recovered(inputs=len(told), owed=owed, taken_over=found.difference)

    def _tell_again(self, told: Sequence[tuple[int, Event]], decided: Mapping[int, Decided]) -> None:
        """Tell the past to observers that cannot read it in the journal."""
        everyone = self._observers
        self._observers = tuple(observer for observer in everyone if not observer.has_read_journal)
        for observer in self._observers:
            observer.session(self.engine.spec)
        for number, event in told:
            self._number = number
            self._look_on(event)
            if number in decided:
                self._announce(decided[number])
        self._observers = everyone

    def _take_over(self, difference: str, others: str) -> tuple[Output, ...]:
        """Journal that this code closes what other code opened, and return what that asks for."""
        own = code_fingerprint()
        reason = f"code {own[:12]} recovers what code {others[:12]} began and decides differently: {difference}"
        event = CodeTakenOver(at=self.at, code_fingerprint=own, reason=reason[:_REASON_MAX])
        self._number += 1
        self._note_input(event)
        outputs = tuple(self.engine.handle(event))
        self._look_on(event)
        return self._record(event, outputs)

    def _decide(self, event: Event) -> tuple[Output, ...]:
        self._number += 1
        if not self.broken:
            self._note_input(event)
        outputs = tuple(self.engine.handle(event))
        self._look_on(event)
        if outputs:
            self._record(event, outputs)
        elif len(self._pending) >= FLUSH_INPUTS:
            self.flush()
        return outputs

    def _note_input(self, event: Event) -> None:
        if isinstance(event, BarsClosed):
            self.flush()  # a frame must never be on disk before the inputs that came before it
            try:
                self._tape.append(self._number, event.at, event.bars, backfill=event.backfill)
            except (JournalWriteFailed, OSError) as error:
                self._break(f"the market tape cannot be written: {error}")
        else:
            self._pending.append(self._entry(event, Kind.INPUT, event.at, self._number))

    def _record(self, event: Event, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        digest = self._tape.digest()
        decided = Decided(number=self._number, at=event.at, tape_digest=digest, outputs=outputs)
        if not self.broken:
            self._commit([self._entry(decided, Kind.COMMAND, event.at, self._number)])
        self._announce(decided)
        return outputs

    def _commit(self, entries: list[Entry]) -> None:
        waiting, self._pending = self._pending, []
        try:
            self._tape.sync()
            self._journal.append([*waiting, *entries])
        except (JournalWriteFailed, OSError) as error:
            self._break(str(error))

    def _break(self, reason: str) -> None:
        """Go on without a journal only to get out: entries end at once, exits are still sent."""
        self.broken = reason

    async def _act(self, output: Output) -> Sequence[Event]:
        """Do `output`, unless it could not be recorded and would open a position: that is refused at once."""
        if self.broken and isinstance(output, SubmitOrder):
            order_id = output.order.client_order_id
            if order_id.rpartition("-")[2].startswith(Leg.ENTRY):
                return [OrderRejected(at=self.at, client_order_id=order_id, reason=f"not recorded: {self.broken}")]
        return await self._hands.perform(output)

    def _entry(self, value: object, kind: Kind, at: int, number: int) -> Entry:
        return Entry.of(
            value, kind=kind, at=at, recorded_at=self._wall_clock(), session=self.session, input_number=number
        )

    def _look_on(self, event: Event) -> None:
        if isinstance(event, AnswerLost | CancelRejected):  # a refused cancel may mean that there is no such order
            self.doubted[event.client_order_id] = None
        for observer in self._observers:
            observer.event(self._id, event)

    def _announce(self, decided: Decided) -> None:
        for observer in self._observers:
            observer.decided(self._id, decided)


def _without_secrets(event: Event) -> Event:
    """Return `event` with its words scrubbed, before anything is decided or recorded: a replay is given the same."""
    match event:
        case OrderRejected() | CancelRejected() | AnswerLost() | OrderCancelled() | FillBusted() | EntriesSuspended():
            return replace(event, reason=scrub(event.reason))
        case ControlReceived():
            return replace(event, by=scrub(event.by), why=scrub(event.why))
        case PutQuotesRead():
            return replace(event, problem=scrub(event.problem))
        case _:
            return event


def stop_event(at: Instant, *, by: str, why: str, kill: bool = False) -> ControlReceived:
    """Return the request to stop safely (or to kill) as an event."""
    return ControlReceived(at=at, kind=ControlKind.KILL if kill else ControlKind.STOP, by=by, why=why)
