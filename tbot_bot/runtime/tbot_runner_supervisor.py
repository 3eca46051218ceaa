"""The supervisor: plans each day, starts a runner for each session, watches it, and obeys the control folder.

It imports no strategy and keeps no trading state: what happened is in the journal, what is to come in the
plan, and the clock in `control/supervisor.json`, so that the next supervisor goes on where this one died.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from structlog.typing import FilteringBoundLogger

from tbot_bot import __version__
from tbot_bot.config.error_handler import ConfigError, ConfigProblem, TbotError
from tbot_bot.config.settings import Settings, load_settings, settings_lines
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Instant, iso, to_datetime
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.started import ProcessStarted
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.process_log import process_log
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.reporting.status_logger import BotState
from tbot_bot.runtime.build_check import build_check, check_line
from tbot_bot.runtime.clock import RealClock, RunClock, market_before, wall_now
from tbot_bot.runtime.control import POLL_SECONDS, ControlFolder, Flag
from tbot_bot.runtime.day_choice import (
    PRESTART_COMPRESSED_SECONDS,
    PRESTART_SECONDS,
    following_day,
    plan_of,
    take_up,
    without_idle_time,
)
from tbot_bot.runtime.fingerprint import code_fingerprint, settings_fingerprint
from tbot_bot.runtime.heartbeat import read_beat
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, AlreadyRunning, Lock
from tbot_bot.runtime.requests import RunRequest
from tbot_bot.runtime.restart_policy import RestartPolicy
from tbot_bot.runtime.runner_arguments import RUNNER_MODULE, RunnerArguments
from tbot_bot.runtime.runner_watch import EndKind, RunnerEnd, RunnerWatch, WatchLimits
from tbot_bot.runtime.schedule import PlannedSession, late, schedule_rules
from tbot_bot.runtime.sd_notify import SdNotify
from tbot_bot.runtime.session_progress import progress_of
from tbot_bot.runtime.supervisor_state import DayInHand, forget, save
from tbot_bot.runtime.supervisor_voice import Console, Voice

DONE: Final = 0
FAILED: Final = 1
BUILD_CHECK: Final = 3
KILLED: Final = 5
STATUS_BY_CODE: Final = {ConfigError.code: 2, AlreadyRunning.code: 4}


class Supervisor:
    """One supervisor process at work. Its judgements are pure functions elsewhere; this only carries them out."""

    def __init__(
        self,
        request: RunRequest,
        settings: Settings,
        records: OutputPaths,
        journal: Journal,
        log: FilteringBoundLogger,
        console: Console | None,
        out_today: Mapping[StrategyName, str],
    ) -> None:
        """Compose; nothing is started before `run`. `out_today`: strategies whose own check objects, and why."""
        self._request, self._settings, self._records = request, settings, records
        self._journal, self._log, self._out_today = journal, log, out_today
        self._voice = Voice(records, journal, log, console, test_mode=settings.bot.test_mode)
        self._control_path = request.home / settings.env.control_dir
        self._control = ControlFolder(self._control_path)
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._systemd = SdNotify()
        self._watch: RunnerWatch | None = None
        self._stop = asyncio.Event()
        self._stop_reason = ""
        self._killed = False
        self._reload = False
        self._failed = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Run day after day, or the one that was asked for, and return the exit status."""
        for flag in self._control.take_stale(wall_now()):
            self._voice.tell(
                f"a {flag.flag} flag from before the start was set aside (by {flag.by}: {flag.why or 'no reason'})"
            )
        self._on_signals()
        self._scheduler.start()
        hand, adopted, words = take_up(self._request, self._settings.bot, self._journal, self._control_path)
        save(self._control_path, hand)
        if words:
            self._voice.tell(words)
        self._systemd.ready(f"supervising {hand.day.isoformat()}")
        ticker = asyncio.create_task(self._tick())
        try:
            while True:
                await self._day(hand, adopted)
                adopted = 0
                if self._request.once or self._stop.is_set() or ticker.done():
                    break
                hand = following_day(hand, self._settings.bot, self._journal)
                save(self._control_path, hand)
        finally:
            ticker.cancel()
            self._scheduler.shutdown(wait=False)
            self._obey_flags()
            reason = self._stop_reason or "the day is over"
            self._systemd.stopping(reason)
            self._voice.status(BotState.HALTED if self._killed else BotState.SHUTDOWN, reason)
        return KILLED if self._killed else FAILED if self._failed else DONE

    # --- days ---------------------------------------------------------------------------------------------------------

    async def _day(self, hand: DayInHand, adopted: int) -> None:
        plan = plan_of(self._settings.bot, hand)
        if plan.closed:
            self._voice.tell(f"{plan.day.isoformat()} has no sessions: {plan.closed}")
        free_at = Instant(0)
        for planned in plan.sessions:
            session = SessionId(day=hand.day, strategy=planned.strategy, run=hand.run)
            if self._stop.is_set():
                return
            reason = planned.skipped or self._out_today.get(planned.strategy, "")
            if reason:
                self._voice.skip(session, planned, reason)
                continue
            done = progress_of(self._journal, session).ended_at
            if done is None:
                hand = without_idle_time(hand, planned, free_at, self._control_path)
                save(self._control_path, hand)
                await self._session(hand, session, planned, adopted)
                adopted = 0
                done = progress_of(self._journal, session).ended_at
            free_at = done or free_at
        if not self._stop.is_set():
            forget(self._control_path)

    # --- sessions -----------------------------------------------------------------------------------------------------

    async def _session(self, hand: DayInHand, session: SessionId, planned: PlannedSession, adopted: int) -> None:
        clock = hand.clock
        begun = progress_of(self._journal, session).begun
        if not adopted:
            too_late = "" if begun else late(schedule_rules(self._settings.bot), planned, clock.now())
            if too_late:
                self._voice.skip(session, planned, too_late)
                return
            self._voice.idle(f"{session} is due at {iso(planned.windows.start)}")
            await self._wake_for(planned, clock)
            if self._stop.is_set():
                return
        self._reload_settings()
        self._watch = RunnerWatch(
            command=self._command(hand, session),
            control=self._control_path,
            output=self._records.process_logs / "runner.out",
            ended=lambda: progress_of(self._journal, session).ended_at is not None,
            note=lambda text: self._voice.tell(f"{session}: {text}"),
            policy=RestartPolicy(),
            limits=WatchLimits(),
        )
        beat = read_beat(self._control_path)
        own = adopted if beat is None or beat.session == str(session) else 0
        end = await self._watch.run(own)
        self._voice.show(in_session=True)  # the runner's last word, before our own takes its place
        self._watch = None
        self._take_note(session, end)

    async def _wake_for(self, planned: PlannedSession, clock: RunClock) -> None:
        """Sleep until the session's runner has to be started; the calendar decides, the scheduler wakes."""
        real = isinstance(clock, RealClock)
        ahead = PRESTART_SECONDS if real else PRESTART_COMPRESSED_SECONDS
        at = clock.real_at(market_before(clock, planned.windows.screen_at, ahead))
        if at <= wall_now():
            return
        woken = asyncio.Event()
        job = self._scheduler.add_job(woken.set, "date", run_date=to_datetime(at))
        waits = [asyncio.create_task(event.wait()) for event in (woken, self._stop)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self._scheduler.get_job(job.id) is not None:
            job.remove()

    def _command(self, hand: DayInHand, session: SessionId) -> tuple[str, ...]:
        arguments = RunnerArguments(
            session=session,
            home=self._request.home,
            anchor=hand.anchor,
            speed=hand.speed,
            data=hand.data,
            vix=hand.vix,
            seed=hand.seed,
            rehearsal=hand.rehearsal,
            overrides=self._request.overrides,
            expects_fingerprint=code_fingerprint(),
        )
        return (sys.executable, "-m", RUNNER_MODULE, *arguments.argv())

    def _take_note(self, session: SessionId, end: RunnerEnd) -> None:
        match end.kind:
            case EndKind.DONE:
                self._log.info("session_done", session=str(session))
            case EndKind.KILLED:
                self._kill(end.detail or "the kill switch ended the session")
            case EndKind.GAVE_UP:
                self._voice.error(session, end.detail)
                self._control.latch(by="supervisor", why=end.detail)
                self._kill(end.detail)
            case _:
                self._voice.error(session, end.detail or str(end.kind.value))
                self._failed = True

    # --- control ------------------------------------------------------------------------------------------------------

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            if self._stop_reason and self._watch is not None:
                self._tasks.add(loop.create_task(self._watch.stop_now()))
                return
            self._control.write(Flag.STOP, by="signal", why=signal.Signals(number).name)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._ask_reload)

    def _ask_reload(self) -> None:
        self._reload = True
        self._voice.tell("settings are read again for the next session")

    def _reload_settings(self) -> None:
        if not self._reload:
            return
        self._reload = False
        try:
            self._settings = _settings_of(self._request)
        except ConfigError as error:
            self._voice.tell(f"the settings cannot be used, the old ones stay: {error}")

    async def _tick(self) -> None:
        """Look at the flags, show how things are, and tell systemd that we are alive."""
        fed_at = 0.0
        while True:
            self._look_at_flags()
            self._systemd.status(self._voice.show(in_session=self._watch is not None))
            now = asyncio.get_running_loop().time()
            if self._systemd.watchdog_every and now - fed_at >= self._systemd.watchdog_every:
                self._systemd.alive()
                fed_at = now
            await asyncio.sleep(POLL_SECONDS)

    def _look_at_flags(self) -> None:
        for flag in (Flag.KILL, Flag.STOP):
            request = None if self._stop_reason else self._control.peek(flag)
            if request is not None:
                self._stop_reason = f"{flag} asked by {request.by}: {request.why or 'no reason given'}"
                self._voice.tell(self._stop_reason)
                self._stop.set()
        if self._control.take(Flag.START) is not None:
            self._voice.tell("a start flag was found; the bot runs already")

    def _obey_flags(self) -> None:
        """Take the flags away that have been obeyed; a kill leaves its latch."""
        if self._control.take(Flag.KILL) is not None:
            self._kill(self._stop_reason)
        self._control.take(Flag.STOP)

    def _kill(self, reason: str) -> None:
        self._killed = True
        self._stop_reason = self._stop_reason or reason
        self._stop.set()


def run_supervisor(request: RunRequest, console: Console | None = None) -> int:
    """Supervise until stopped (or until the day is over) and return the exit status.

    Raises:
        ConfigError: the settings cannot be used.
        AlreadyRunning: another supervisor holds the lock.
        TbotError: the start is not possible for another reason; it says which.
    """
    settings = _settings_of(request)
    _refuse_what_is_not_built(settings)
    bot = settings.bot
    control = request.home / settings.env.control_dir
    with ExitStack() as stack:
        stack.enter_context(Lock(control / SUPERVISOR_LOCK))
        if console is not None:
            stack.callback(console.close)
        refused = _why_not(ControlFolder(control), console)
        if refused is not None:
            return refused
        report = build_check(request.home, settings)
        if not report.passed:
            for check in report.failures:
                _complain(console, check_line(check))
            return BUILD_CHECK
        records = records_for(
            request.home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export
        )
        journal = stack.enter_context(Journal.open(records.journal, records.mode))
        log = stack.enter_context(process_log(records, "supervisor", wall_now, retention_days=bot.log_retention_days))
        started = ProcessStarted(
            at=wall_now(),
            process="supervisor",
            version=__version__,
            code_fingerprint=code_fingerprint(),
            settings_fingerprint=settings_fingerprint(settings_lines(settings)),
        )
        journal.append([Entry.of(started, kind=Kind.START, at=started.at, recorded_at=started.at)])
        log.info("start", version=__version__, code=started.code_fingerprint, settings=started.settings_fingerprint)
        return asyncio.run(_run(request, settings, records, journal, log, console, report.skipped))


def _why_not(folder: ControlFolder, console: Console | None) -> int | None:
    """Return the exit status of a start that the kill switch forbids, None where it allows one."""
    folder.take(Flag.KILL)  # left while nobody ran: it latches now
    killed = folder.killed()
    if not killed:
        return None
    _complain(console, f"the kill switch is engaged {killed}; remove control/killed.json to trade again")
    return KILLED


def _complain(console: Console | None, text: str) -> None:
    """Say why there is no start, to whoever may be there to read it."""
    if console is not None:
        console.close()
    sys.stderr.write(f"error: {text}\n")


async def _run(
    request: RunRequest,
    settings: Settings,
    records: OutputPaths,
    journal: Journal,
    log: FilteringBoundLogger,
    console: Console | None,
    out_today: Mapping[StrategyName, str],
) -> int:
    return await Supervisor(request, settings, records, journal, log, console, out_today).run()


def _settings_of(request: RunRequest) -> Settings:
    overrides = dict(request.overrides)
    if request.rehearsal:
        overrides["TEST_MODE"] = "true"
    settings = load_settings(request.home, overrides, defaults_if_absent=request.rehearsal)
    embedded = {"--day": request.day, "--data": request.data, "--seed": request.seed, "--speed": request.speed}
    wrong = [name for name, value in embedded.items() if value is not None]
    if wrong and not settings.bot.test_mode:
        expected = f"TEST_MODE=true: {', '.join(wrong)} choose the embedded market"
        raise ConfigError([ConfigProblem(file="command line", expected=expected)])
    return settings


def _refuse_what_is_not_built(settings: Settings) -> None:
    """Stop a start that would need a broker's own adapter: there is none yet, and nothing stands in for it."""
    bot = settings.bot
    if not bot.test_mode or bot.test_mode_venue.value != "simulator":
        raise TbotError(
            "no adapter for a real broker is installed in this version",
            where="TEST_MODE",
            mend="Set TEST_MODE=true and TEST_MODE_VENUE=simulator.",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the supervisor without a console, for service managers and `start_bot`."""
    parser = argparse.ArgumentParser(prog="python -m tbot_bot.runtime.tbot_runner_supervisor", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(), help="TBOT_HOME; the working directory")
    parser.add_argument("--once", action="store_true", help="run the rest of today and end")
    parser.add_argument("--rehearsal", action="store_true", help="test mode on the synthetic market")
    given = parser.parse_args(argv)
    try:
        return run_supervisor(RunRequest(home=given.home, once=given.once, rehearsal=given.rehearsal))
    except TbotError as error:
        sys.stderr.write(f"error: {error}\n")
        return STATUS_BY_CODE.get(error.code, FAILED)


if __name__ == "__main__":
    sys.exit(main())
