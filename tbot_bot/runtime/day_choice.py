"""Which day a supervisor runs, and on which clock: its own choice, or what the one before it left."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.core.calendar import exchange_time, next_trading_day
from tbot_bot.core.instants import SECOND, Instant, later
from tbot_bot.journal.store import JournalReader
from tbot_bot.runtime.clock import CompressedClock, wall_now
from tbot_bot.runtime.earlier_today import next_run
from tbot_bot.runtime.locks import RUNNER_LOCK, holder
from tbot_bot.runtime.market_source import is_embedded
from tbot_bot.runtime.requests import REHEARSAL_DAY, REHEARSAL_SEED, REHEARSAL_SPEED, RunRequest
from tbot_bot.runtime.schedule import DayPlan, PlannedSession, plan_day, schedule_rules
from tbot_bot.runtime.supervisor_state import DayInHand, saved

PRESTART_SECONDS: Final = 60.0
"""Real time between a runner's start and its screen: a process takes a while to come up."""
PRESTART_COMPRESSED_SECONDS: Final = 2.5


def plan_of(bot: BotSettings, hand: DayInHand) -> DayPlan:
    """Return the sessions of the day in hand."""
    return plan_day(schedule_rules(bot), hand.day)


def take_up(request: RunRequest, bot: BotSettings, journal: JournalReader, control: Path) -> tuple[DayInHand, int, str]:
    """Return the day to run, the pid of a runner that is at work on it already (0: none), and what to say of it."""
    running = holder(control / RUNNER_LOCK) or 0
    before = saved(control)
    if before is not None and running:
        return before, running, f"adopting runner {running}, which goes on with {before.day.isoformat()}"
    if before is not None and not before.rehearsal and _unfinished(request, bot, before):
        return before, 0, f"taking up {before.day.isoformat()} again"
    return first_day(request, bot, journal), 0, ""


def first_day(request: RunRequest, bot: BotSettings, journal: JournalReader) -> DayInHand:
    """Return the day that a fresh start begins with: today on the real clock, or as `request` says when embedded."""
    today = exchange_time(wall_now()).date()
    if not bot.test_mode:
        return DayInHand(day=today, run=1)
    if not is_embedded(bot):
        return DayInHand(day=today, run=next_run(journal, today))
    day = request.day or (REHEARSAL_DAY if request.rehearsal else today)
    speed = request.speed or (REHEARSAL_SPEED if request.rehearsal else float(bot.time_compression))
    hand = DayInHand(
        day=day,
        run=next_run(journal, day),
        speed=speed,
        data=request.data,
        vix=request.vix,
        seed=REHEARSAL_SEED if request.rehearsal and request.seed is None else request.seed,
        rehearsal=request.rehearsal,
    )
    return hand.on(CompressedClock.starting_at(_beginning(request, bot, hand), speed))


def following_day(hand: DayInHand, bot: BotSettings, journal: JournalReader) -> DayInHand:
    """Return the next trading day on the same clock."""
    day = next_trading_day(hand.day)
    return replace(hand, day=day, run=next_run(journal, day) if bot.test_mode else 1)


def without_idle_time(hand: DayInHand, planned: PlannedSession, free_at: Instant, control: Path) -> DayInHand:
    """Return a rehearsal's day on a clock that begins shortly before its next session: nobody waits for noon.

    `free_at` is when the session before it ended: market time never goes back behind it by more than the time
    that a process takes to start.
    """
    if not hand.rehearsal or holder(control / RUNNER_LOCK) is not None:
        return hand
    begin = max(planned.windows.screen_at, free_at)
    ahead = round(PRESTART_COMPRESSED_SECONDS / 2 * hand.speed * SECOND)
    return hand.on(CompressedClock.starting_at(later(begin, -ahead), hand.speed))


def _beginning(request: RunRequest, bot: BotSettings, hand: DayInHand) -> Instant:
    """Return the market time at which a compressed day begins: now, or shortly before a chosen day's sessions."""
    due = plan_of(bot, hand).due
    if not due or (request.day is None and not hand.rehearsal):
        return wall_now()
    return later(due[0].windows.screen_at, -round(PRESTART_COMPRESSED_SECONDS * hand.speed * SECOND))


def _unfinished(request: RunRequest, bot: BotSettings, hand: DayInHand) -> bool:
    due = plan_of(bot, hand).due
    over = due[-1].windows.market_close if due else Instant(0)
    same = (hand.data, hand.vix, hand.seed) == (request.data, request.vix, request.seed)
    return same and request.day in {None, hand.day} and hand.clock.now() < over
