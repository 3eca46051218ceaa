"""The session runner: a child process for one session. A start and a restart are the same path.

It takes the runner's lock, opens the journal, recovers what the journal knows of the session, reconciles
with the venues, runs the engine until the session is flat and reported, and exits.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from tbot_bot import __version__
from tbot_bot.broker.broker_sim import VenueStore
from tbot_bot.config.error_handler import ConfigError, TbotError
from tbot_bot.config.inverse_etf import load_inverse_etf_map
from tbot_bot.config.named_files import blocked_symbols
from tbot_bot.config.settings import Settings, load_settings, settings_lines, taken_over
from tbot_bot.core.commands import RaiseAlert
from tbot_bot.core.errors import CredentialsRejected
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.core.instants import Duration
from tbot_bot.core.orders import Capabilities
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.files import JournalWriteFailed
from tbot_bot.journal.started import ProcessStarted
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.noted import ErrorRaised, Noted
from tbot_bot.reporting.process_log import process_log
from tbot_bot.reporting.projector import Projector
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.runtime.bootstrap import session_spec
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.clock_watch import ClockJump
from tbot_bot.runtime.control import POLL_SECONDS, ControlFolder, Flag
from tbot_bot.runtime.data_clock import DataClock
from tbot_bot.runtime.decisions import DecisionDesk
from tbot_bot.runtime.defense_mode import DefenseRoom, defended
from tbot_bot.runtime.earlier_today import earlier_today
from tbot_bot.runtime.fingerprint import code_fingerprint, settings_fingerprint
from tbot_bot.runtime.flatten_requests import FlattenDesk
from tbot_bot.runtime.heartbeat import Heart
from tbot_bot.runtime.kill_switch import Engagement, engage, engagement
from tbot_bot.runtime.last_resort import nothing_vanishes, scrubbed_output, watch_loop, watched
from tbot_bot.runtime.link_health import LinkLimits
from tbot_bot.runtime.locks import RUNNER_LOCK, AlreadyRunning, Lock
from tbot_bot.runtime.runner_arguments import RunnerArguments, RunnerExit
from tbot_bot.runtime.runner_status import RunnerStatus
from tbot_bot.runtime.schedule import plan_day, schedule_rules
from tbot_bot.runtime.session_progress import dead_man_reports
from tbot_bot.runtime.session_run import ClockPacer, Controls
from tbot_bot.runtime.session_setup import (
    Files,
    Workplace,
    journaled_spec,
    projector_from_file,
    replay_into,
)
from tbot_bot.runtime.session_sources import Room, SessionSources, session_sources
from tbot_bot.runtime.shell import SessionShell
from tbot_bot.runtime.watchdog_bot import LinkBoard
from tbot_bot.trading.spec import SessionSpec


class CodeReplaced(TbotError):
    """The code on disk is not the supervisor's: no session begins on it. One that is under way is closed instead."""

    code = "CODE_REPLACED"


class ClosedElsewhere(TbotError):
    """What this session held was closed while no runner was there: its engine must not be woken again."""

    code = "CLOSED_ELSEWHERE"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one session and return the exit status."""
    request = RunnerArguments.parse(argv)
    with scrubbed_output(stdout=True):
        return _end_of(request)


def _end_of(request: RunnerArguments) -> int:
    try:
        return asyncio.run(_run(request))
    except AlreadyRunning as error:
        sys.stderr.write(f"error: {error}\n")
        return RunnerExit.LOCKED
    except (ClosedElsewhere, CodeReplaced, ConfigError) as error:
        sys.stderr.write(f"error: {error}\n")
        return RunnerExit.CONFIGURATION
    except CredentialsRejected as error:
        sys.stderr.write(f"error: {error}\n")
        return RunnerExit.CREDENTIALS
    except TbotError as error:
        sys.stderr.write(f"error: {error}\n")
        return RunnerExit.FAILED


async def _run(request: RunnerArguments) -> int:
    overrides = dict(request.overrides)
    if request.rehearsal:
        overrides |= {"TEST_MODE": "true", "TEST_MODE_VENUE": "simulator"}
    if request.settings_given:
        settings = taken_over(request.home, sys.stdin.buffer.read())
    else:
        settings = load_settings(request.home, overrides, defaults_if_absent=request.rehearsal)
    control = request.home / settings.env.control_dir
    records = records_for(
        request.home, Mode.LIVE, test_mode=settings.bot.test_mode, force_paper_export=settings.bot.force_paper_export
    )
    with ExitStack() as stack:
        lock = Lock(control / RUNNER_LOCK)
        parent = os.getppid()
        await lock.take_when_free(lambda: os.getppid() != parent)  # nobody waits for an orphan
        stack.callback(lock.release)
        log = stack.enter_context(
            process_log(records, "runner", wall_now, retention_days=settings.bot.log_retention_days)
        )
        journal = stack.enter_context(Journal.open(records.journal, records.mode))

        def report(where: str, error: BaseException) -> None:
            log.error(where, error=str(error), exc_info=error)
            _record(journal, log, request.session, error)

        stack.enter_context(nothing_vanishes(report))
        watch_loop(asyncio.get_running_loop(), report)
        try:
            return await Runner(request, settings, records, journal, log, control).run()
        except Exception as error:  # whatever it is: on record, then the supervisor decides
            report("runner_failed", error)
            raise


def _record(journal: Journal, log: FilteringBoundLogger, session: SessionId, error: BaseException) -> None:
    """Journal what went wrong; the journal itself may be what failed, and the first error is the one to show."""
    failed = ErrorRaised.of(error, at=wall_now())
    entry = Entry.of(failed, kind=Kind.ERROR, at=failed.at, recorded_at=failed.at, session=str(session))
    try:
        journal.append([entry])
    except JournalWriteFailed as second:
        log.warning("error_not_journaled", error=str(second))


class Runner:
    """One session in this process."""

    def __init__(
        self,
        request: RunnerArguments,
        settings: Settings,
        records: OutputPaths,
        journal: Journal,
        log: FilteringBoundLogger,
        control: Path,
    ) -> None:
        """Compose; nothing is journaled before `run`."""
        self._request, self._settings, self._records = request, settings, records
        self._journal, self._log, self._control = journal, log, control

    async def run(self) -> int:
        """Recover or begin the session, run it to its end, and return the exit status."""
        request = self._request
        known = journaled_spec(self._journal, self._records, request.session)
        replaced = request.expects_fingerprint not in {"", code_fingerprint()}
        if replaced and known is None:
            mend = "Restart the supervisor after an upgrade; tools/sync_project.sh never changes code in place."
            raise CodeReplaced("this runner's code is not the supervisor's", where=str(request.session), mend=mend)
        engaged = engagement(request.home, self._control)
        if engaged is not None and (known is None or engaged.keep_positions):
            return RunnerExit.KILLED  # nothing begins, and what is to stay rests on its stops
        self._refuse_what_was_closed(known)
        room = Room(
            request=request,
            settings=self._settings,
            clock=request.clock,
            log=self._log,
            report=self._report,
            store=self._store,
        )
        async with session_sources(room) as sources:
            spec = known or self._new_spec(sources.bar_span, sources.capabilities)
            return await self._drive(sources, spec, begun=known is not None, replaced=replaced, engaged=engaged)

    async def _drive(
        self, sources: SessionSources, spec: SessionSpec, *, begun: bool, replaced: bool, engaged: Engagement | None
    ) -> int:
        request, bot, clock = self._request, self._settings.bot, self._request.clock
        files = Files(None, self._log)
        projecting = self._project_into(files)
        heart = Heart(self._control, str(request.session))
        data = DataClock(spec, clock)
        links = LinkBoard()
        status = RunnerStatus(
            self._records,
            spec,
            self._journal,
            version=__version__,
            complain=lambda problem: self._log.error("status_not_written", error=problem),
            links=links,
        )
        place = Workplace(
            records=self._records,
            journal=self._journal,
            brokers=sources.brokers,
            observers=(files, status, data),
            log=self._log,
            wall_clock=wall_now,
            engage=self._engage,
            link_limits=LinkLimits.of(bot, clock.speed),
            links=links,
        )
        controls = Controls([])
        desks = [desk(self._control, request.session, controls.ask, self._log) for desk in (DecisionDesk, FlattenDesk)]
        pacer = ClockPacer(clock, noticed=self._note_jump)
        earlier = earlier_today(self._journal, request.session, spec.windows.screen_at)
        with sources.session(place, spec, earlier=earlier, pacer=pacer, controls=controls) as (running, shell):

            def beat() -> None:
                due = data.due(ended=shell.ended)
                heart.beat(str(shell.engine.state.phase), shell.at, data_until=data.until, data_due=due)
                status.write(shell.broken)

            watcher = asyncio.create_task(watch(ControlFolder(self._control), controls, beat, *desks))
            # without it nobody sees a flag, and the pulse ends: the supervisor starts us again
            watched(watcher, "the runner's watch", self._report)
            on_signals(asyncio.get_running_loop(), controls)
            try:
                if not begun:
                    shell.begin()
                    await running.run()
                else:
                    await self._recover(shell, place)
                    if engaged is not None:
                        controls.stop(by=engaged.by, why=engaged.why, kill=True)
                    if replaced:
                        controls.stop(by="runner", why="the code was replaced in place: closing what is open")
                    await running.resume()
            finally:
                watcher.cancel()
                beat()
                await asyncio.wait({projecting})
                heart.stop()
            return RunnerExit.KILLED if shell.engine.state.killed else RunnerExit.DONE

    def _report(self, where: str, error: BaseException) -> None:
        self._log.error(where, error=str(error), exc_info=error)
        _record(self._journal, self._log, self._request.session, error)

    def _refuse_what_was_closed(self, known: SessionSpec | None) -> None:
        if known is not None and dead_man_reports(self._journal, self._request.session):
            what = "positions of this session were closed without its engine, which would close them again"
            raise ClosedElsewhere(what, where=str(self._request.session), mend="The rest is closed the same way.")

    async def _recover(self, shell: SessionShell, place: Workplace) -> None:
        """Replay the journal, and leave in it which code did so and whether it decides the same."""
        session = self._request.session
        found = replay_into(shell, place, session)
        self._log.info("recovered", inputs=found.inputs, owed=len(found.owed), at=shell.at, code=code_fingerprint())
        begun_by = shell.engine.spec.code_fingerprint
        started = ProcessStarted(
            at=wall_now(),
            process="runner",
            version=__version__,
            code_fingerprint=code_fingerprint(),
            settings_fingerprint=settings_fingerprint(settings_lines(self._settings)),
        )
        rows = [Entry.of(started, kind=Kind.START, at=shell.at, recorded_at=started.at, session=str(session))]
        if begun_by != started.code_fingerprint:
            ending = "decides differently and closes it" if found.taken_over else "decides the same and goes on"
            text = f"begun by code {begun_by[:12]}, recovered by code {started.code_fingerprint[:12]}, which {ending}"
            self._log.warning("code_changed", text=text, difference=found.taken_over)
            noted = Noted(at=shell.at, text=text)
            rows.append(Entry.of(noted, kind=Kind.NOTE, at=shell.at, recorded_at=started.at, session=str(session)))
        self._journal.append(rows)
        await shell.carry_out(output for output in found.owed if isinstance(output, RaiseAlert))
        if shell.engine.state.killed:  # it may have died before the latch
            self._engage(shell.engine.state.killed)

    def _engage(self, reason: str) -> None:
        """Latch the kill switch; the first reason stands."""
        _, problems = engage(self._request.home, self._control, by="runner", why=reason, source="engine")
        for problem in problems:
            self._log.error("kill_switch_not_latched", problem=problem)

    def _note_jump(self, jump: ClockJump) -> None:
        """Journal that the clock jumped; what the session makes of it is among its own inputs."""
        self._log.warning("clock_jumped", by=jump.by, text=str(jump))
        noted = Noted(at=jump.noticed_at, text=f"{self._request.session}: {jump}")
        try:
            self._journal.append([Entry.of(noted, kind=Kind.NOTE, at=noted.at, recorded_at=noted.at)])
        except JournalWriteFailed as error:  # the session finds out by itself, and closes
            self._log.warning("jump_not_journaled", error=str(error))

    def _project_into(self, files: Files) -> asyncio.Task[Projector]:
        """Read the journal's past into the files for people, beside the session: it must not wait for years of rows."""
        head, bot = self._journal.head().seq, self._settings.bot
        projecting = asyncio.create_task(asyncio.to_thread(projector_from_file, bot, self._records, head))

        def done(task: asyncio.Task[Projector]) -> None:
            problem = None if task.cancelled() else task.exception()
            if problem is not None:
                self._report("records_not_rebuilt", problem)
            elif not task.cancelled():
                files.ready(task.result())

        projecting.add_done_callback(done)
        return projecting

    def _new_spec(self, bar_span: Duration, capabilities: Mapping[str, Capabilities]) -> SessionSpec:
        settings, session = self._settings, self._request.session
        plan = plan_day(schedule_rules(settings.bot), session.day)
        planned = next((one for one in plan.due if one.strategy is session.strategy), None)
        if planned is None:
            reason = plan.closed or next(
                (one.skipped for one in plan.sessions if one.strategy is session.strategy), "not in the sequence"
            )
            raise TbotError(f"there is no such session: {reason}", where=str(session))
        own_map = settings.bot.inverse_etf_map
        spec = session_spec(
            settings.bot,
            planned,
            session=session,
            mode=self._records.mode,
            bar_span=bar_span,
            inverse=load_inverse_etf_map(None if own_map is None else settings.home / own_map),
            settings_fingerprint=settings_fingerprint(settings_lines(settings)),
            blocked=blocked_symbols(settings.home),
            capabilities=capabilities,
        )
        room = DefenseRoom(
            bot=settings.bot,
            records=self._records,
            journal=self._journal,
            control=self._control,
            warn=lambda title, text: self._log.warning("alert", severity="critical", title=title, text=text),
        )
        return defended(room, spec)

    def _store(self, broker: str) -> VenueStore:
        """Return where the embedded venue of `broker` keeps what it knows; each rehearsal of a day has its own."""
        return VenueStore(self._request.venue_folder / f"{broker}_{self._records.mode}.sqlite3")


class Desk(Protocol):
    """Takes what people leave in the control folder to the session."""

    def look(self) -> None:
        """Hand over what has come."""


async def watch(folder: ControlFolder, controls: Controls, beat: Callable[[], None], *desks: Desk) -> None:
    """Look for flags and answers and show the pulse, on the loop that decides: if that hangs, so does the pulse."""
    told: set[Flag] = set()
    while True:
        beat()
        for flag in (Flag.KILL, Flag.STOP):
            request = None if flag in told else folder.peek(flag)
            if request is not None:
                told.add(flag)
                controls.stop(by=request.by, why=request.why or flag.file_name, kill=flag is Flag.KILL)
        for desk in desks:
            desk.look()
        await asyncio.sleep(POLL_SECONDS)


def on_signals(loop: asyncio.AbstractEventLoop, controls: Controls) -> None:
    """SIGTERM and SIGINT stop the session safely; a second one ends the process and leaves protective stops."""
    seen: list[int] = []

    def stop(number: int) -> None:
        if seen:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        seen.append(number)
        controls.stop(by="signal", why=signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


if __name__ == "__main__":
    sys.exit(main())
