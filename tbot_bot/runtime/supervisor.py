"""The supervisor at work: plans each day, starts a runner for each session, watches it, obeys the control folder.

It imports no strategy and keeps no trading state: what happened is in the journal, what is to come in the
plan, and the clock in `control/supervisor.json`, so that the next supervisor goes on where this one died.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from structlog.typing import FilteringBoundLogger

from tbot_bot.config.error_handler import JournalError, TbotError
from tbot_bot.config.settings import Settings, handed_over
from tbot_bot.core.codec import CodecError
from tbot_bot.core.identity import SessionId, StrategyName
from tbot_bot.core.instants import Instant, iso, seconds
from tbot_bot.journal.store import Journal
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.status_logger import BotState
from tbot_bot.runtime.alarm import Alarm
from tbot_bot.runtime.canary_keeper import CanaryKeeper
from tbot_bot.runtime.clock import RealClock, RunClock, market_before, monotonic_seconds, wall_now
from tbot_bot.runtime.control import POLL_SECONDS, ControlFolder, Flag
from tbot_bot.runtime.day_choice import (
    PRESTART_COMPRESSED_SECONDS,
    PRESTART_SECONDS,
    following_day,
    plan_of,
    take_up,
    without_idle_time,
)
from tbot_bot.runtime.dead_man_run import Pending, close_everything
from tbot_bot.runtime.defense_review import judge_defense
from tbot_bot.runtime.fingerprint import code_fingerprint
from tbot_bot.runtime.heartbeat import read_beat
from tbot_bot.runtime.housekeeping import Housekeeping
from tbot_bot.runtime.kill_switch_desk import KillDesk
from tbot_bot.runtime.last_resort import watch_loop, watched
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, touch
from tbot_bot.runtime.requests import RunRequest
from tbot_bot.runtime.restart_policy import RestartPolicy
from tbot_bot.runtime.runner_arguments import RUNNER_MODULE, RunnerArguments
from tbot_bot.runtime.runner_watch import EndKind, RunnerEnd, RunnerWatch
from tbot_bot.runtime.schedule import PlannedSession, late, schedule_rules
from tbot_bot.runtime.sd_notify import SdNotify
from tbot_bot.runtime.session_progress import progress_of
from tbot_bot.runtime.supervisor_facts import Outcome
from tbot_bot.runtime.supervisor_state import DayInHand, forget, save
from tbot_bot.runtime.supervisor_voice import Console, Voice
from tbot_bot.runtime.vital_signs import WatchLimits

DONE: Final = 0
FAILED: Final = 1
KILLED: Final = 5
INTERRUPTED: Final = 130
"""Stopped as safely as by SIGTERM, but by SIGINT: a script around us must not go on as if the day were done."""
OVERDUE_MAX: Final = seconds(30)
"""Real time by which a session may be woken too late; beyond it systemd hears nothing more from us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workroom:
    """What one supervisor works with."""

    request: RunRequest
    settings: Settings
    read_settings: Callable[[], Settings]
    """Reads them again, for the next session; raises TbotError."""
    records: OutputPaths
    journal: Journal
    log: FilteringBoundLogger
    console: Console | None
    out_today: Mapping[StrategyName, str]
    """Strategies whose own check objects, and why."""
    limits: WatchLimits


class Supervisor:
    """One supervisor process at work. Its judgements are pure functions elsewhere; this only carries them out."""

    def __init__(self, room: Workroom) -> None:
        """Compose; nothing is started before `run`."""
        self._request, self._settings, self._records = room.request, room.settings, room.records
        self._journal, self._log, self._out_today = room.journal, room.log, room.out_today
        self._read_settings = room.read_settings
        test_mode = room.settings.bot.test_mode
        self._voice = Voice(room.records, room.journal, room.log, room.console, test_mode=test_mode)
        self._voice.defense_forced = room.settings.bot.defense_mode_active
        self._control_path = room.request.home / room.settings.env.control_dir
        self._control = ControlFolder(self._control_path)
        self._kill_desk = KillDesk(room.request.home, self._control_path, room.log)
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._house = Housekeeping(
            bot=room.settings.bot, records=room.records, control=self._control_path, log=room.log,
            tell=self._voice.tell, fail=self._voice.trouble,
        )  # fmt: skip
        self._book = self._house.book
        self._canary = CanaryKeeper(room.records, room.journal, room.log, self._voice.trouble, self._voice.canary_ran)
        self._alarm = Alarm(self._scheduler)
        self._systemd = SdNotify()
        self._fed_at = 0.0
        self._limits = room.limits
        self._watch: RunnerWatch | None = None
        self._stop = asyncio.Event()
        self._stop_reason = ""
        self._killed = self._interrupted = self._signalled = self._failed = False
        self._asked_to_reload = False

    async def run(self) -> int:
        """Run day after day, or the one that was asked for, and return the exit status."""
        for flag in self._control.take_stale(wall_now()):
            self._voice.tell(
                f"a {flag.flag} flag from before the start was set aside (by {flag.by}: {flag.why or 'no reason'})"
            )
        self._on_signals()
        self._scheduler.start()
        self._house.start(self._scheduler, self._settings)
        hand, adopted, words = take_up(self._request, self._settings.bot, self._journal, self._control_path)
        save(self._control_path, hand)
        if words:
            self._voice.tell(words)
        self._systemd.ready(f"supervising {hand.day.isoformat()}")
        watch_loop(asyncio.get_running_loop(), self._voice.trouble)
        ticker = watched(asyncio.create_task(self._tick()), "the supervisor's loop", self._voice.trouble)
        try:
            while True:
                await self._day(hand, adopted)
                adopted = 0
                if self._request.once or self._stop.is_set() or ticker.done():
                    break
                hand = following_day(hand, self._settings.bot, self._journal)
                save(self._control_path, hand)
        except (CodecError, JournalError) as error:
            self._kill(self._kill_desk.lose(error, self._watch))
        finally:
            ticker.cancel()
            self._scheduler.shutdown(wait=False)
            await self._house.close(hurried=self._stop.is_set())
            self._obey_flags()
            if self._killed:
                self._voice.tell(await self._kill_desk.see_to_it(self._stop_reason))
            reason = self._stop_reason or "the day is over"
            self._systemd.stopping(reason)
            self._voice.status(BotState.HALTED if self._killed else BotState.SHUTDOWN, reason)
        if self._killed or self._failed:
            return KILLED if self._killed else FAILED
        return INTERRUPTED if self._interrupted else DONE

    # --- days ---------------------------------------------------------------------------------------------------------

    async def _day(self, hand: DayInHand, adopted: int) -> None:
        plan = plan_of(self._settings.bot, hand)
        if plan.closed:
            self._voice.tell(f"{plan.day.isoformat()} has no sessions: {plan.closed}")
        self._book.day_begins(plan, hand.clock)
        self._voice.canary_ran(hand.day)
        free_at = Instant(0)
        for planned in plan.sessions:
            session = SessionId(day=hand.day, strategy=planned.strategy, run=hand.run)
            if self._stop.is_set():
                return
            reason = planned.skipped or self._out_today.get(planned.strategy, "")
            if reason:
                self._voice.skip(session, planned, reason)
                self._book.session_over(planned.strategy, Outcome.SKIPPED)
                continue
            done = progress_of(self._journal, session).ended_at
            if done is None:
                hand = without_idle_time(hand, planned, free_at, self._control_path)
                save(self._control_path, hand)
                await self._session(hand, session, planned, adopted)
                adopted = 0
                done = progress_of(self._journal, session).ended_at
            if done is not None:
                self._book.session_over(planned.strategy, Outcome.DONE)
            free_at = done or free_at
        if not self._stop.is_set():
            await self._house.end_day(self._settings, self._journal, hand.day)
            forget(self._control_path)

    # --- sessions -----------------------------------------------------------------------------------------------------

    async def _session(self, hand: DayInHand, session: SessionId, planned: PlannedSession, adopted: int) -> None:
        clock = hand.clock
        self._book.clock_set(clock)
        begun = progress_of(self._journal, session).begun
        if not adopted:
            if not begun:
                self._canary.expect(self._settings, hand, planned.windows.screen_at)
            await self._wake_for(session, planned, clock)
            if self._stop.is_set():
                return
            # judged when we are awake: the machine may have slept longer than we asked for
            too_late = "" if begun else late(schedule_rules(self._settings.bot), planned, clock.now())
            if too_late:
                self._voice.skip(session, planned, too_late)
                self._book.session_over(planned.strategy, Outcome.MISSED)
                return
            if not begun and (why_not := await self._canary.objection(self._settings, hand)):
                self._voice.skip(session, planned, why_not)
                self._book.session_over(planned.strategy, Outcome.SKIPPED)
                return
        self._reload_settings()
        self._voice.defense_forced = self._settings.bot.defense_mode_active
        self._book.session_begins(planned.strategy)
        command = self._command(hand, session)
        self._watch = RunnerWatch(
            command=command,
            control=self._control_path,
            output=self._records.process_logs / "runner.out",
            ended=lambda: progress_of(self._journal, session).ended_at is not None,
            note=lambda text: self._restarted(session, text),
            policy=RestartPolicy(),
            limits=self._limits,
            given=handed_over(self._settings),
        )
        beat = read_beat(self._control_path)
        own = adopted if beat is None or beat.session == str(session) else 0
        end = await self._watch.run(own)
        self._voice.show(in_session=True)  # the runner's last word, before our own takes its place
        self._watch = None
        self._take_note(session, end)
        if end.kind in {EndKind.GAVE_UP, EndKind.CONFIGURATION}:
            await self._close_without_runner(session, command, end.detail)
        await judge_defense(
            session, bot=self._settings.bot, records=self._records, journal=self._journal,
            control=self._control_path, voice=self._voice,
        )  # fmt: skip

    def _restarted(self, session: SessionId, text: str) -> None:
        self._book.runner_restarted()
        self._voice.tell(f"{session}: {text}")

    async def _wake_for(self, session: SessionId, planned: PlannedSession, clock: RunClock) -> None:
        """Sleep until the session's runner has to be started; the calendar decides, the scheduler wakes."""
        real = isinstance(clock, RealClock)
        ahead = PRESTART_SECONDS if real else PRESTART_COMPRESSED_SECONDS
        at = clock.real_at(market_before(clock, planned.windows.screen_at, ahead))
        if wall_now() < at:
            self._voice.idle(f"{session} is due at {iso(planned.windows.start)}")
        await self._alarm.until(at, self._stop)

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
            settings_given=True,
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
                self._kill_desk.latch(end.detail)  # first: whatever comes, nothing trades again
                self._book.session_over(session.strategy, Outcome.FAILED)
                self._voice.error(session, end.detail)
                self._kill(end.detail)
            case _:
                self._book.session_over(session.strategy, Outcome.FAILED)
                self._voice.error(session, end.detail or str(end.kind.value))
                self._failed = True

    async def _close_without_runner(self, session: SessionId, command: Sequence[str], why: str) -> None:
        """Cancel and close what is ours through the brokers, by a process that needs no engine."""
        try:
            progress = progress_of(self._journal, session)
            if not progress.begun or progress.ended_at is not None:
                return  # nothing was ever ordered, or all is closed
        except (JournalError, CodecError) as error:
            self._log.error("journal_unreadable", error=str(error))
        self._voice.tell(f"{session}: closing everything without a runner")
        what = Pending(session=str(session), why=why, argv=tuple(command[command.index(RUNNER_MODULE) + 1 :]))
        outcome = await close_everything(what, self._control_path, self._records.process_logs / "dead_man.out")
        self._voice.error(session, f"closed without a runner: {outcome.words}")
        if not outcome.flat:
            self._kill_desk.latch(f"{session} could not be closed: {outcome.words}")
            self._kill(outcome.words)

    # --- control ------------------------------------------------------------------------------------------------------

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            self._interrupted = self._interrupted or number == signal.SIGINT
            again, self._signalled = self._signalled, True
            if again and self._watch is not None:
                self._watch.stop_now()
                return
            if self._control.peek(Flag.STOP) is None:  # who asked first is who is named
                self._stop_by_signal(signal.Signals(number).name, self._watch)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def _stop_by_signal(self, name: str, watch: RunnerWatch | None) -> None:
        if self._voice.attempt("the stop flag", lambda: self._control.write(Flag.STOP, by="signal", why=name)):
            return
        self._stop_reason = self._stop_reason or f"stop asked by signal: {name}"  # no room for a flag
        self._stop.set()
        if watch is not None:
            watch.signal(signal.SIGTERM)

    def _reload_settings(self) -> None:
        """Read the settings again, for the next session; those that cannot be used leave the old ones in force."""
        try:
            self._settings = self._read_settings()
        except TbotError as error:
            self._voice.tell(f"the settings cannot be used, the old ones stay: {error}")
            return
        self._house.alerts.renew(self._settings)
        if self._asked_to_reload:
            self._voice.tell("the settings are read again; they are in force from the next session on")
        self._asked_to_reload = False

    def _on_hangup(self) -> None:
        self._asked_to_reload = True
        self._reload_settings()

    async def _tick(self) -> None:
        """Look at the flags, show how things are, and tell systemd that we are alive."""
        while True:
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - whatever it is: the next turn must look at the flags again
                self._voice.trouble("the supervisor's loop", error)
            await asyncio.sleep(POLL_SECONDS)

    def _turn(self) -> None:
        self._look_at_flags()
        jump = self._alarm.compare()
        if jump is not None:
            self._voice.tell(str(jump))
        words = self._voice.show(in_session=self._watch is not None)
        self._systemd.status(words if self._watch is None else self._watch.words)
        self._feed_watchdog()
        self._book.loop_turned()
        touch(self._control_path / SUPERVISOR_LOCK)

    def _feed_watchdog(self) -> None:
        """Ping systemd as long as all is well: the runner's loop turns, its data moves, no session is overslept."""
        overslept = self._alarm.due is not None and wall_now() - self._alarm.due > OVERDUE_MAX
        if overslept or (self._watch is not None and not self._watch.is_well):
            return
        now = monotonic_seconds()
        if self._systemd.watchdog_every and now - self._fed_at >= self._systemd.watchdog_every:
            self._systemd.alive()
            self._book.watchdog_fed()
            self._fed_at = now

    def _look_at_flags(self) -> None:
        for flag in (Flag.KILL, Flag.STOP):
            request = None if self._stop_reason else self._control.peek(flag)
            if request is not None:
                self._stop_reason = f"{flag} asked by {request.by}: {request.why or 'no reason given'}"
                self._voice.tell(self._stop_reason)
                self._stop.set()
        start = self._control.peek(Flag.START)
        if start is not None and self._voice.attempt("the start flag", lambda: self._control.take(Flag.START)):
            self._voice.tell("a start flag was found; the bot runs already")

    def _obey_flags(self) -> None:
        """Take the flags away that have been obeyed; a kill leaves its latch."""
        if self._kill_desk.is_asked(self._control):
            self._kill(self._stop_reason)
        for flag in (Flag.KILL, Flag.STOP):  # a kill flag that has to stay is obeyed by the next start
            self._voice.attempt(f"the {flag} flag", partial(self._control.take, flag))

    def _kill(self, reason: str) -> None:
        self._killed = True
        self._stop_reason = self._stop_reason or reason
        self._stop.set()
