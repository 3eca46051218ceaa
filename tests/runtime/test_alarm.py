"""The supervisor's alarm with a real scheduler, on a machine whose clock is set while it waits."""

import asyncio
import time
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from apscheduler.schedulers import base
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tbot_bot.core.instants import SECOND, later, seconds
from tbot_bot.runtime import clock as clock_module
from tbot_bot.runtime.alarm import Alarm
from tbot_bot.runtime.clock import wall_now

COMPARED_EVERY = 0.05


class Shift:
    """By how many seconds this machine's wall clock shows something else than it should."""

    seconds = 0.0


@pytest.fixture
def shift(monkeypatch):
    """Shift the wall clock of the bot and of APScheduler; the monotonic clock, by which both sleep, is the real one."""
    made = Shift()

    class Shifted(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(seconds=made.seconds)

    read = SimpleNamespace(
        time_ns=lambda: time.time_ns() + seconds(made.seconds), monotonic_ns=time.monotonic_ns, monotonic=time.monotonic
    )
    monkeypatch.setattr(clock_module, "time", read)
    monkeypatch.setattr(base, "datetime", Shifted)
    return made


async def slept(shift, wait, jumps):
    """Return real seconds until the alarm for `wait` seconds rang, and the jumps told; `jumps`: (real seconds, by)."""
    scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"misfire_grace_time": None})
    scheduler.start()
    alarm, told, began = Alarm(scheduler), [], time.monotonic()
    ringing = asyncio.create_task(alarm.until(later(wall_now(), seconds(wait)), asyncio.Event()))
    left = list(jumps)
    while not ringing.done():
        if left and time.monotonic() - began >= left[0][0]:
            shift.seconds += left.pop(0)[1]
        jump = alarm.compare()
        told += [] if jump is None else [round(jump.by / SECOND)]
        await asyncio.sleep(COMPARED_EVERY)
        assert time.monotonic() - began < 10, "it never rang"
    scheduler.shutdown(wait=False)
    assert alarm.due is None
    return time.monotonic() - began, told


@pytest.mark.parametrize(
    ("wait", "jumps", "rings_after"),
    [
        (0.5, [], 0.5),
        (-5, [], 0.0),
        (3600, [(0.2, 3700)], 0.2),  # the machine slept over the hour
        (1.0, [(0.2, -1.6)], 2.6),  # set back: not early
        (7200, [(0.1, -60), (0.3, 7300)], 0.3),
    ],
)
def test_it_rings_by_the_wall_clock_whatever_becomes_of_it(shift, wait, jumps, rings_after):
    after, told = asyncio.run(slept(shift, wait, jumps))
    assert rings_after <= after < rings_after + 1.0
    assert told == [round(by) for _, by in jumps]


def test_a_stop_ends_the_wait():
    async def stopped():
        scheduler = AsyncIOScheduler(timezone="UTC")
        scheduler.start()
        stop = asyncio.Event()
        waiting = asyncio.create_task(Alarm(scheduler).until(later(wall_now(), 3600 * SECOND), stop))
        await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait_for(waiting, 5)
        return scheduler.get_jobs()

    assert asyncio.run(stopped()) == []
