"""The places where the guard looks for orders of ours: the embedded venues of a day, and real accounts."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.errors import BrokerProblem
from tbot_bot.core.identity import OrderName, TradeName
from tbot_bot.core.instants import Instant
from tbot_bot.core.protocols import Broker
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.dead_man import venue_at
from tbot_bot.runtime.flattening import is_of_our_making
from tbot_bot.runtime.real_reach import reached, real_reach
from tbot_bot.runtime.runner_arguments import RunnerArguments


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedVenue:
    """One of them, connected."""

    broker: Broker
    ours: Callable[[str], bool]
    since: Instant
    """What is older belongs to days that are over."""


@asynccontextmanager
async def guarded_venues(
    home: Path, control: Path, request: RunnerArguments | None, tell: Callable[[str], None], *, looking: bool
) -> AsyncIterator[tuple[Sequence[GuardedVenue], Sequence[str]]]:
    """Give the venues of `request`'s day and the real accounts, and what keeps us from others.

    `looking`: nothing is going to be cancelled, and a runner may be alive.
    """
    found, problems = _embedded(request)
    try:
        reach = real_reach(home, control, request, everywhere=True)
        if reach is None:
            yield found, problems
            return
        now = wall_now if request is None else request.clock.now
        async with reached(reach, now=now, tell=tell, looking=looking) as (brokers, silent):
            real = [GuardedVenue(broker=one, ours=reach.ours(one.name), since=reach.since) for one in brokers]
            yield [*real, *found], [*silent, *problems]
    finally:
        for venue in found:
            await venue.broker.close()


def _embedded(request: RunnerArguments | None) -> tuple[list[GuardedVenue], list[str]]:
    found: list[GuardedVenue] = []
    unreadable: list[str] = []
    if request is None:
        return found, unreadable
    session = request.session
    for path in sorted(request.venue_folder.glob("*.sqlite3")):
        name = path.stem.rpartition("_")[0]
        try:
            broker = venue_at(path, name, None)
        except (TbotError, BrokerProblem) as error:
            unreadable.append(f"{path.name} cannot be opened: {error}")
            continue
        if broker is not None:
            found.append(GuardedVenue(broker=broker, ours=_ours(session.day, session.run, name), since=Instant(0)))
    return found, unreadable


def _ours(day: date, run: int, broker: str) -> Callable[[str], bool]:
    def of_the_day(trade: TradeName) -> bool:
        return (trade.session.day, trade.session.run, trade.broker) == (day, run, broker)

    return lambda order_id: OrderName.parse(order_id) is not None and is_of_our_making(order_id, of_the_day)


__all__ = ["GuardedVenue", "guarded_venues"]
