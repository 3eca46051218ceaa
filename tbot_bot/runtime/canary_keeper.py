"""The supervisor's hand on the canary: one run before the first session of a day, and no session after a failure.

The journal has the last word: when a person runs `tbot canary` again and it passes, the sessions still to come trade.
"""

import asyncio
import sys
from collections.abc import Callable
from datetime import date
from typing import Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.config.error_handler import Severity, TbotError
from tbot_bot.config.settings import Settings, handed_over
from tbot_bot.core.instants import Instant, later, minutes
from tbot_bot.journal.canary import last_canary
from tbot_bot.journal.store import JournalReader
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.runtime.canary_job import MODULE
from tbot_bot.runtime.clock import RealClock, wall_now
from tbot_bot.runtime.market_source import is_embedded
from tbot_bot.runtime.supervisor_state import DayInHand

AHEAD: Final = minutes(15)
"""Before the first screen on a real clock: time to mend what failed."""
SECONDS_MAX: Final = 120.0
_LOOK_SECONDS: Final = 5.0
_TEXT_MAX: Final = 1_000


class CanaryFailed(TbotError):
    """Something that trading depends on did not work before the open; no session of the day begins."""

    code = "CANARY"
    severity = Severity.ERROR


class CanaryKeeper:
    """All methods belong to the supervisor's loop."""

    def __init__(
        self,
        records: OutputPaths,
        journal: JournalReader,
        log: FilteringBoundLogger,
        fail: Callable[[str, BaseException], None],
        ran: Callable[[date], None] = lambda _: None,
    ) -> None:
        """`fail` journals an error and alerts; `ran` hears of whose day there may be a new result."""
        self._records, self._journal, self._log, self._fail, self._ran = records, journal, log, fail, ran
        self._tried: set[tuple[date, int]] = set()
        self._turn = asyncio.Lock()
        self._early: asyncio.Task[None] | None = None

    def expect(self, settings: Settings, hand: DayInHand, screen_at: Instant) -> None:
        """Have the canary run in time before the screen, whoever waits meanwhile."""
        if (hand.day, hand.run) not in self._tried and self._early is None:
            self._early = asyncio.create_task(self._in_time(settings, hand, later(screen_at, -AHEAD)))

    async def objection(self, settings: Settings, hand: DayInHand) -> str:
        """Return why no session may begin; empty where the last canary of the day passed."""
        if self._early is not None:
            if (hand.day, hand.run) not in self._tried:  # it waits, and there is no more time
                self._early.cancel()
            await asyncio.wait([self._early])
            self._early = None
        await self._prove(settings, hand)
        self._ran(hand.day)  # also where a person has run one
        try:
            last = last_canary(self._journal, hand.day)
        except TbotError as error:
            return f"the canary's word cannot be read: {error}"
        again = "`tbot canary` tries again"
        if last is None:
            return f"no canary has passed; {again}"
        return "" if last.passed else f"the canary failed ({'; '.join(last.failures)[:_TEXT_MAX]}); {again}"

    async def _in_time(self, settings: Settings, hand: DayInHand, at: Instant) -> None:
        while isinstance(hand.clock, RealClock) and wall_now() < at:  # noqa: ASYNC110 - the machine may sleep, too
            await asyncio.sleep(_LOOK_SECONDS)
        await self._prove(settings, hand)

    async def _prove(self, settings: Settings, hand: DayInHand) -> None:
        async with self._turn:
            if (hand.day, hand.run) in self._tried:
                return
            self._tried.add((hand.day, hand.run))
            await self._run(settings, hand)
            self._ran(hand.day)

    async def _run(self, settings: Settings, hand: DayInHand) -> None:
        quick = is_embedded(settings.bot) or not isinstance(hand.clock, RealClock)
        records, pipe = self._records, asyncio.subprocess.PIPE
        words = [sys.executable, "-m", MODULE, "--home", str(records.home), "--mode", records.mode.value]
        words += ["--day", hand.day.isoformat(), "--run", str(hand.run), *(["--quick"] if quick else [])]
        mend = "No session of the day begins. Mend it, then run `tbot canary`; see docs/daily-proof.md."
        try:
            process = await asyncio.create_subprocess_exec(
                *words, cwd=records.home, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
            )
        except OSError as error:
            self._fail("canary", error)
            return
        try:
            told, _ = await asyncio.wait_for(process.communicate(handed_over(settings)), SECONDS_MAX)
        except TimeoutError:
            process.kill()
            await process.wait()
            self._fail("canary", CanaryFailed(f"no result within {SECONDS_MAX:g} s", mend=mend))
            return
        except asyncio.CancelledError:
            process.kill()
            raise
        text = told.decode(errors="replace").strip()[-_TEXT_MAX:]
        self._log.info("canary", status=process.returncode, told=text)
        if process.returncode:
            self._fail("canary", CanaryFailed(text or f"it ended with status {process.returncode}", mend=mend))


__all__ = ["CanaryFailed", "CanaryKeeper"]
