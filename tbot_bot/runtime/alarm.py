"""Wakes the supervisor when a session is due by the machine's clock, whatever becomes of that clock meanwhile.

APScheduler turns a date into a span once, and waits for it by the monotonic clock: after a suspend or a step of
the wall clock it would wake late, or early. So the clocks are compared, and after a jump it has to look again.
"""

import asyncio

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tbot_bot.core.instants import Instant, to_datetime
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.clock_watch import ClockJump, ClockWatch


class Alarm:
    """One date at a time in the scheduler's book; `compare` has to be called every second or so."""

    def __init__(self, scheduler: AsyncIOScheduler, watch: ClockWatch | None = None) -> None:
        """Have `scheduler`, which runs already, do the waking."""
        self._scheduler, self._watch = scheduler, watch or ClockWatch()
        self.due: Instant | None = None
        """The machine's time that is waited for."""

    def compare(self) -> ClockJump | None:
        """Return the jump of the machine's clock since the last call; everything waiting is judged anew after one."""
        jump = self._watch.look()
        if jump is not None:
            self._scheduler.wakeup()
        return jump

    async def until(self, at: Instant, stop: asyncio.Event) -> None:
        """Return when the machine's clock shows `at` or later, or when `stop` is set."""
        self.due = at
        try:
            while wall_now() < at and not stop.is_set():
                await self._sleep(at, stop)
        finally:
            self.due = None

    async def _sleep(self, at: Instant, stop: asyncio.Event) -> None:
        woken = asyncio.Event()

        async def wake() -> None:  # a plain function would be called in a thread, where no event may be set
            woken.set()

        job = self._scheduler.add_job(wake, "date", run_date=to_datetime(at))
        waits = [asyncio.create_task(event.wait()) for event in (woken, stop)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            if self._scheduler.get_job(job.id) is not None:
                job.remove()
