"""The guard: an independent dead-man's switch over supervisor and runner, as a process with connections of its own.

When both have been silent for `GUARD_TIMEOUT` while something of ours is open at a broker, it takes the runner's
lock (so that no runner can start meanwhile), engages the kill latch, and does what `GUARD_POLICY` says: close
everything by the dead-man path, or cancel the entries and leave positions under their stops. It needs no engine, no
journal and no sound settings. What it did stands in `control/guard.json`, so that no guard does it twice.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final, Self

from tbot_bot.config.choices import GuardPolicy
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import ConfigError, JournalError, TbotError
from tbot_bot.config.scrub import scrub
from tbot_bot.config.settings import load_settings
from tbot_bot.core.errors import BrokerProblem
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import SECOND, iso
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal, journal_path
from tbot_bot.reporting.noted import Noted
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.runtime.background import control_path
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.dead_man import SECONDS_MAX, Work
from tbot_bot.runtime.dead_man_run import pending
from tbot_bot.runtime.files import write_atomically
from tbot_bot.runtime.guard_book import Book, cancel_entries, read_book
from tbot_bot.runtime.guard_signs import (
    GUARD_FILE,
    Deed,
    LifeSigns,
    Silence,
    last_deed,
    life_signs,
    silent_by_the_clock,
)
from tbot_bot.runtime.guard_venues import GuardedVenue, guarded_venues
from tbot_bot.runtime.heartbeat import read_beat
from tbot_bot.runtime.kill_switch import engage, engagement
from tbot_bot.runtime.locks import RUNNER_LOCK, AlreadyRunning, Lock, holder
from tbot_bot.runtime.runner_arguments import RunnerArguments
from tbot_bot.runtime.session_brokers import session_brokers
from tbot_bot.runtime.supervisor_state import DayInHand, saved

GUARD_LOCK: Final = "guard.lock"
DONE: Final = 0
FAILED: Final = 1
KILLED: Final = 5
TRIES_MAX: Final = 3
"""How often what could not be closed is tried again."""
_KILL_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.5
_AGAIN_SECONDS: Final = 20.0
"""Between two looks at real brokers where nothing of ours was open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRules:
    """When the guard acts and how."""

    timeout_seconds: float
    policy: GuardPolicy
    problem: str = ""
    """Why these are not the owner's settings; empty where they are."""

    @classmethod
    def of(cls, home: Path) -> Self:
        """Read the owner's; where the settings cannot be used, the built-in ones guard all the same."""
        try:
            bot, problem = load_settings(home, defaults_if_absent=True).bot, ""
        except (ConfigError, OSError) as error:
            bot, problem = BotSettings(), f"the settings cannot be used, the built-in ones guard: {error}"
        return cls(timeout_seconds=bot.guard_timeout / SECOND, policy=bot.guard_policy, problem=problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the guard sees at one look."""

    signs: LifeSigns
    silent_seconds: float
    books: tuple[Book, ...] = ()
    problems: tuple[str, ...] = ()
    """Brokers that gave no answer."""

    @property
    def is_open(self) -> bool:
        """Return whether something of ours is open anywhere."""
        return any(book.is_open for book in self.books)

    def words(self) -> str:
        """Return what is open."""
        held = [str(trade) for book in self.books for trade in book.held]
        return "; ".join([*held, *(order_id for book in self.books for order_id in book.entries)]) or "nothing"


class Guard:
    """Guards one installation."""

    def __init__(self, home: Path, rules: GuardRules, tell: Callable[[str], None]) -> None:
        """`tell` hears in words what happens."""
        self._home, self._rules = home, rules
        self._hearer = tell
        self._control = control_path(home)
        self._folder = ControlFolder(self._control)
        self._stop = asyncio.Event()
        self._said = ""
        self._look_at = float("-inf")
        """When the brokers are asked again: a bot that has ended is silent for days, and a vendor counts requests."""

    def _tell(self, text: str) -> None:
        self._hearer(scrub(text))

    # --- looking ------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Guard until SIGTERM or SIGINT.

        Raises:
            AlreadyRunning: another guard is at work here.
        """
        with Lock(self._control / GUARD_LOCK):
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop.set)
            timeout, policy = self._rules.timeout_seconds, self._rules.policy
            self._tell(f"guarding: {policy} after {timeout:g} s of silence while something is open")
            silence = Silence(looked_at=monotonic_seconds())
            while not self._stop.is_set():
                silence = silence.look(life_signs(self._control), monotonic_seconds())
                if silence.signs is not None and (silence.seconds >= timeout or self._was_interrupted(silence.signs)):
                    await self._mind(silence.signs, silence.seconds)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), min(_POLL_SECONDS, timeout / 10))
            return DONE

    async def once(self) -> int:
        """Look once, by the machine's time, and act where it has to be; 5: it has acted, 1: something is left.

        Raises:
            AlreadyRunning: another guard is at work here.
        """
        with Lock(self._control / GUARD_LOCK):
            signs = life_signs(self._control)
            silent = silent_by_the_clock(signs, wall_now())
            if silent < self._rules.timeout_seconds:
                self._tell(f"the bot was heard of {silent:.0f} s ago")
                return DONE
            return await self._mind(signs, silent)

    async def sight(self) -> Sight:
        """Return what can be seen now, without doing anything."""
        signs = life_signs(self._control)
        return await self._look(signs, silent_by_the_clock(signs, wall_now()))

    def _was_interrupted(self, signs: LifeSigns) -> bool:
        """Return whether a guard before this one died over its work, and nobody has lived since."""
        deed = last_deed(self._control)
        return deed is not None and deed.state == "acting" and deed.runner == signs.runner and not signs.supervisor

    async def _look(self, signs: LifeSigns, silent: float) -> Sight:
        books: list[Book] = []
        problems: list[str] = []
        async with self._venues(looking=True) as (venues, unreadable):
            problems += unreadable
            for venue in venues:
                try:
                    books.append(await read_book(venue.broker, venue.ours, venue.since))
                except BrokerProblem as problem:
                    problems.append(f"{venue.broker.name} gives no answer: {problem}")
        return Sight(signs=signs, silent_seconds=silent, books=tuple(books), problems=tuple(problems))

    async def _mind(self, signs: LifeSigns, silent: float) -> int:
        """Act where something is open that nobody minds, and nobody has minded it in our stead before."""
        deed = last_deed(self._control)
        mine = deed if deed is not None and deed.runner == signs.runner else None
        if mine is not None and (mine.state == "done" or (mine.state == "left" and mine.tries >= TRIES_MAX)):
            self._say_once(f"a guard has acted already ({mine.at}): {mine.outcome}")
            return DONE if mine.state == "done" else FAILED
        if monotonic_seconds() < self._look_at:
            return DONE
        sight = await self._look(signs, silent)
        self._look_at = monotonic_seconds() + (_AGAIN_SECONDS if session_brokers(self._control) is not None else 0.0)
        if not sight.is_open:
            trouble = "; ".join(sight.problems)
            self._say_once(trouble or "the bot is silent, and nothing of ours is open")
            return FAILED if trouble else DONE
        killed = engagement(self._home, self._control)
        if killed is not None and killed.keep_positions and not any(book.entries for book in sight.books):
            self._say_once(f"the positions are kept under their stops, {killed.words}")
            return DONE
        return await self._act(sight, tries=1 if mine is None else mine.tries + (mine.state == "left"))

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._tell(text)

    # --- acting -------------------------------------------------------------------------------------------------------

    async def _act(self, sight: Sight, *, tries: int) -> int:
        lock = Lock(self._control / RUNNER_LOCK)
        try:
            await self._take(lock)
        except AlreadyRunning as error:
            self._say_once(f"not acting: the runner's lock is held by process {error.pid or 'unknown'}")
            return FAILED
        try:
            if life_signs(self._control) != sight.signs:
                self._tell("not acting: somebody came back")
                return DONE
            return await self._work(sight, tries)
        finally:
            lock.release()

    async def _take(self, lock: Lock) -> None:
        """Take the runner's lock; a runner that hangs on to it, silent beyond all patience, is ended first."""
        try:
            lock.take()
        except AlreadyRunning as error:
            beat = read_beat(self._control)
            hangs = error.pid and beat is not None and beat.pid == error.pid and pending(self._control) is None
            if not hangs or error.pid is None:
                raise  # the dead-man path is at work, or a runner that starts
            self._tell(f"runner {error.pid} holds its lock and is silent: ending it")
            with suppress(ProcessLookupError, PermissionError):
                if holder(self._control / RUNNER_LOCK) == error.pid:
                    os.kill(error.pid, signal.SIGKILL)
            deadline = monotonic_seconds() + _KILL_SECONDS
            await lock.take_when_free(lambda: monotonic_seconds() > deadline)

    async def _work(self, sight: Sight, tries: int) -> int:
        policy = self._rules.policy
        why = f"supervisor and runner were silent for {sight.silent_seconds:.0f} s with {sight.words()}"
        self._said = ""
        self._tell(f"acting ({policy}): {why}")
        deed = Deed(runner=sight.signs.runner, state="acting", policy=policy, at=iso(wall_now()), why=why, tries=tries)
        self._attempt(f"control/{GUARD_FILE}", lambda: deed.save(self._control))
        _, problems = engage(self._home, self._control, by="guard", why=why, source="guard")  # nothing trades again
        for problem in problems:
            self._tell(problem)
        if sight.signs.supervisor:  # it hangs; should it wake, it must not begin again
            self._attempt("the kill flag", lambda: self._folder.write(Flag.KILL, by="guard", why=why))
        left: Sequence[str]
        try:
            done, left = await (self._flatten(why) if policy is GuardPolicy.FLATTEN else self._cancel())
        except Exception as error:  # noqa: BLE001 - whatever it is: it is said, and tried again
            done, left = "the guard failed", (f"{type(error).__name__}: {error}",)
        outcome = f"{done}; LEFT: {'; '.join(left)}" if left else done
        over = replace(deed, state="left" if left else "done", outcome=scrub(outcome))
        self._attempt(f"control/{GUARD_FILE}", lambda: over.save(self._control))
        self._attempt("output/shutdown_flag.json", lambda: self._shutdown_flag(why, outcome))
        self._journal(f"guard, {policy}: {why}; {outcome}")
        self._tell(outcome)
        return FAILED if left else KILLED

    async def _flatten(self, why: str) -> tuple[str, tuple[str, ...]]:
        request = self._request()
        if request is None:
            return "nothing was done", ("no day to close: neither control/supervisor.json nor a venue's folder",)
        deadline = monotonic_seconds() + SECONDS_MAX
        work = Work(
            request=request,
            control=self._control,
            why=f"guard: {why}",
            tell=self._tell,
            deadline=deadline,
            everywhere=True,
        )
        await work.close_all()
        return "everything of ours was closed" if not work.left else "not all could be closed", tuple(work.left)

    async def _cancel(self) -> tuple[str, tuple[str, ...]]:
        """Cancel entries; positions stay under their stops, and one without a stop is for a person."""
        cancelled: list[str] = []
        left: list[str] = []
        bare: list[str] = []
        async with self._venues(looking=False) as (venues, unreadable):
            left += unreadable
            for venue in venues:
                broker = venue.broker
                try:
                    cancelled += await cancel_entries(broker, venue.ours)
                    book = await read_book(broker, venue.ours, venue.since)
                except BrokerProblem as problem:
                    left.append(f"{broker.name} gives no answer: {problem}")
                    continue
                left += [f"{order_id} still rests" for order_id in book.entries]
                bare += [str(trade) for trade in book.held if not trade.protected]
        words = ", ".join(cancelled) or "none was there"
        alarm = f"; A PERSON HAS TO LOOK AT {'; '.join(bare)}" if bare else ""
        return f"entries cancelled: {words}; positions stay under their stops{alarm}", tuple(left)

    def _attempt(self, what: str, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            self._tell(f"{what} could not be written: {error}")

    def _shutdown_flag(self, why: str, outcome: str) -> None:
        path = OutputPaths(home=self._home, mode=Mode.PAPER).shutdown_flag
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"at": iso(wall_now()), "by": "guard", "reason": scrub(why), "summary": scrub(outcome)}
        write_atomically(path, json.dumps(content, indent=1))

    def _journal(self, text: str) -> None:
        """Journal what was done, in each journal that there is; where that fails it has at least been printed."""
        now = wall_now()
        noted = Noted(at=now, text=scrub(text))
        for mode in (Mode.PAPER, Mode.LIVE):
            path = journal_path(self._home / "output" / "journal", mode)
            if not path.exists():
                continue
            try:
                with Journal.open(path, mode) as journal:
                    journal.append([Entry.of(noted, kind=Kind.NOTE, at=now, recorded_at=now)])
            except (JournalError, TbotError, OSError) as error:
                self._tell(f"not journaled: {error}")

    # --- where our orders are -----------------------------------------------------------------------------------------

    def _hand(self) -> DayInHand | None:
        """Return the day that the supervisor had in hand; without its word, the last one that was traded here."""
        hand = saved(self._control)
        if hand is not None:
            return hand
        word = session_brokers(self._control)
        if word is not None:
            given = word.request
            return DayInHand(day=word.session.day, run=word.session.run, anchor=given.anchor, speed=given.speed)
        folders = [path.name for path in (self._home / "output" / "venue").glob("*_*") if path.is_dir()]
        days = []
        for name in folders:
            day, _, run = name.rpartition("_")
            with suppress(ValueError):
                days.append((date.fromisoformat(day), int(run)))
        return DayInHand(day=max(days)[0], run=max(days)[1]) if days else None

    def _request(self) -> RunnerArguments | None:
        hand = self._hand()
        if hand is None:
            return None
        beat = read_beat(self._control)
        session = SessionId(day=hand.day, strategy=StrategyName.OPEN, run=hand.run)
        if beat is not None:
            with suppress(ValueError):
                session = SessionId.parse(beat.session)
        if (session.day, session.run) != (hand.day, hand.run):
            session = SessionId(day=hand.day, strategy=StrategyName.OPEN, run=hand.run)
        return RunnerArguments(
            session=session,
            home=self._home,
            anchor=hand.anchor,
            speed=hand.speed,
            data=hand.data,
            vix=hand.vix,
            seed=hand.seed,
            rehearsal=hand.rehearsal,
        )

    @asynccontextmanager
    async def _venues(self, *, looking: bool) -> AsyncIterator[tuple[Sequence[GuardedVenue], Sequence[str]]]:
        """Give the venues of the day in hand and the real accounts, over connections of our own."""
        async with guarded_venues(self._home, self._control, self._request(), self._tell, looking=looking) as found:
            yield found


__all__ = ["GUARD_LOCK", "Guard", "GuardRules", "Sight"]
