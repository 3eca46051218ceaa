"""What every way of running a session needs: its journal, tape, shell and files for people, wired together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.broker.broker_api import BrokerRouter
from tbot_bot.broker.broker_sim import SimulatedBroker
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import JournalError, LogicError
from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.commands import Decided, RaiseAlert
from tbot_bot.core.events import BarsClosed, EarlierToday, Event
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.core.protocols import Broker
from tbot_bot.journal.files import JournalWriteFailed
from tbot_bot.journal.session_log import read_session
from tbot_bot.journal.store import Journal, JournalReader, open_reader
from tbot_bot.journal.tape import TapeWriter
from tbot_bot.reporting.atomic import RecordsError
from tbot_bot.reporting.facts import Item, Level, LogFormat
from tbot_bot.reporting.projector import Projector, rebuild
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.runtime.embedded_market import EmbeddedMarket
from tbot_bot.runtime.fingerprint import code_fingerprint
from tbot_bot.runtime.hands import MarketAccess, SessionHands
from tbot_bot.runtime.link_health import LinkLimits
from tbot_bot.runtime.recovery import other_code
from tbot_bot.runtime.session_run import Controls, Pacer, SessionRun
from tbot_bot.runtime.shell import Observer, Recovered, SessionShell
from tbot_bot.runtime.watchdog_bot import LinkBoard
from tbot_bot.trading.spec import SessionSpec


class Files:
    """Keeps the files for people up to date; what cannot be written is logged and tried again, and stops nothing."""

    has_read_journal = True

    def __init__(self, projector: Projector | None, log: FilteringBoundLogger) -> None:
        """Feed `projector`; without one, keep what comes until `ready` brings it."""
        self._projector = projector
        self._log: Final = log
        self._waiting: list[tuple[SessionId, Item]] = []

    def ready(self, projector: Projector) -> None:
        """Take the projector that was still reading the journal, and tell it what it has missed."""
        self._projector = projector
        waiting, self._waiting = self._waiting, []
        for session, item in waiting:
            self._feed(session, item)

    def session(self, spec: SessionSpec) -> None:
        """Take note of a session's beginning."""
        self._feed(spec.session, spec)

    def event(self, session: SessionId, event: Event, /) -> None:
        """Take note of an input."""
        self._feed(session, event)

    def decided(self, session: SessionId, decided: Decided, /) -> None:
        """Take note of an answer."""
        self._feed(session, decided)

    def _feed(self, session: SessionId, item: Item) -> None:
        if self._projector is None:
            if not isinstance(item, BarsClosed):  # no file shows them
                self._waiting.append((session, item))
            return
        try:
            self._projector.feed(session, item)
        except RecordsError as error:
            self._log.error("records_not_written", error=str(error))


def projector_for(
    bot: BotSettings, journal: JournalReader, records: OutputPaths, *, until: int | None = None
) -> Projector:
    """Return the projector of this process, its files brought up to date with the journal (to row `until`)."""
    return rebuild(journal, records, LogFormat(bot.log_format.value), Level(bot.debug_log_level.value), until=until)


def projector_from_file(bot: BotSettings, records: OutputPaths, until: int) -> Projector:
    """Do the same over a connection of its own, for another thread: years of rows must not delay a recovery."""
    with open_reader(records.journal) as journal:
        return projector_for(bot, journal, records, until=until)


def _nothing(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What the sessions of one process share."""

    records: OutputPaths
    journal: Journal
    brokers: Mapping[str, Broker]
    observers: Sequence[Observer]
    log: FilteringBoundLogger
    wall_clock: Callable[[], int]
    link_limits: LinkLimits = LinkLimits()  # noqa: RUF009 - frozen
    links: LinkBoard = field(default_factory=LinkBoard)
    """Where the watchdog leaves how brokers and data are."""
    engage: Callable[[str], None] = _nothing
    """Latches the kill switch, with the reason; a dry run latches nothing."""


@contextmanager
def shell_of(
    place: Workplace, spec: SessionSpec, market: MarketAccess, *, now: Callable[[], Instant] | None = None
) -> Iterator[SessionShell]:
    """Give the shell of `spec` with its hands on `market` and its tape open; `now` is the session's own time."""
    with ExitStack() as stack:
        tape = TapeWriter(place.records.tape(spec.session), str(spec.session))
        stack.callback(_let_go, tape)

        def taken_at() -> Instant:
            return max(shell.at, spec.windows.screen_at if now is None else now())

        def alert(raised: RaiseAlert) -> None:
            place.log.warning("alert", severity=raised.severity.value, title=raised.title, text=raised.text)

        router = BrokerRouter(place.brokers.values())
        shell = SessionShell(
            spec=spec,
            journal=place.journal,
            tape=tape,
            hands=SessionHands(router=router, market=market, now=taken_at, alert=alert, engage=place.engage),
            observers=place.observers,
            wall_clock=place.wall_clock,
        )
        yield shell


@contextmanager
def session_of(
    place: Workplace,
    spec: SessionSpec,
    market: EmbeddedMarket,
    *,
    earlier: EarlierToday,
    pacer: Pacer,
    controls: Controls,
) -> Iterator[tuple[SessionRun, SessionShell]]:
    """Give the session of `spec` on the embedded market, wired and with its tape open; nothing is journaled yet.

    Raises:
        JournalWriteFailed: at the end: the session could not be recorded to its end, and was closed out.
        LogicError: a broker is not simulated, so nothing here could drive it.
    """
    venues = {name: broker for name, broker in place.brokers.items() if isinstance(broker, SimulatedBroker)}
    if len(venues) < len(place.brokers):
        raise LogicError("a real broker on the embedded market", where=str(spec.session))
    with shell_of(place, spec, market) as shell:
        run = SessionRun(
            shell=shell,
            market=market,
            brokers=venues,
            earlier=earlier,
            pacer=pacer,
            controls=controls,
            link_limits=place.link_limits,
            links=place.links,
        )
        yield run, shell
        shell.finish()


def _let_go(tape: TapeWriter) -> None:
    """Close `tape`; what it cannot save any more has been complained of, or belongs to no decision."""
    with suppress(JournalWriteFailed):
        tape.close()


def journaled_spec(journal: JournalReader, folder_of_tapes: OutputPaths, session: SessionId) -> SessionSpec | None:
    """Return what the journal says `session` was made of; None where it never began.

    Raises:
        JournalError: the row cannot be read as a specification.
    """
    if str(session) not in journal.sessions_of(session.day):
        return None
    payload = read_session(journal, folder_of_tapes.journal_folder, session).spec_payload
    if not payload:
        return None
    try:
        spec = loads(payload)
    except CodecError as error:
        raise JournalError(
            f"the first row of {session} cannot be read: {error}",
            where=str(journal.path),
            mend="Another version wrote it: start that version again until the session is over.",
        ) from error
    if not isinstance(spec, SessionSpec):
        raise JournalError(f"the first row of {session} holds a {type(spec).__name__}", where=str(journal.path))
    return spec


def replay_into(shell: SessionShell, place: Workplace, session: SessionId) -> Recovered:
    """Feed the journal of `session` to the fresh engine in `shell`.

    What is owed stays with the shell until it is asked to carry it out.

    Raises:
        JournalError: the record has a hole or cannot be read.
        LogicError: the engine decides differently from what the journal holds, by the same code.
    """
    record = read_session(place.journal, place.records.journal_folder, session)
    answers = {
        number: decided
        for number, decideds in record.decoded_commands().items()
        for decided in decideds
        if isinstance(decided, Decided)
    }
    inputs = ((number, event) for number, event in record.inputs if isinstance(event, Event))
    others = other_code(place.journal, shell.engine.spec, code_fingerprint())
    return shell.replay(inputs, answers, others)
