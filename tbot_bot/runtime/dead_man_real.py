"""The dead-man path at real brokers: each account by itself, so that one that is silent keeps no other waiting."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.errors import BrokerProblem
from tbot_bot.core.identity import Mode, OrderName, SessionId, TradeName
from tbot_bot.core.money import plain
from tbot_bot.core.protocols import Broker
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.flattening import DOUBTS, Flattener
from tbot_bot.runtime.known_trades import Known
from tbot_bot.runtime.real_reach import RealReach, adapter, connected, real_reach

if TYPE_CHECKING:
    from tbot_bot.runtime.dead_man import Work

SETTLE_SECONDS: Final = 3.0
"""What a dead runner had sent may still be on its way: it is over only when nothing has come for so long."""
_PAUSES: Final = (0.25, 1.5)
"""Between looks: at first, and where it takes long; a vendor counts the requests."""
_QUICK_LOOKS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The work at one account."""

    session: SessionId
    """Under which it is journaled."""
    mode: Mode
    flattener: Flattener


async def close_at_real_brokers(work: "Work") -> list[Done]:
    """Close what is ours at every real account that can be reached; what cannot goes to `work.left`."""
    try:
        reach = real_reach(work.request.home, work.control, work.request, everywhere=work.everywhere)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the settings: the embedded venues come next
        work.left.append(f"it cannot be told which brokers are to be reached: {type(error).__name__}: {error}")
        return []
    if reach is None:
        return []
    for remark in reach.remarks:
        work.tell(remark)
    work.left += reach.problems
    known = work.known(reach.session)
    found = await asyncio.gather(*(_close_at(work, reach, name, known) for name in reach.brokers))
    return [done for done in found if done is not None]


async def _close_at(work: "Work", reach: RealReach, name: str, known: Known | None) -> Done | None:
    try:
        broker = adapter(reach, name, now=work.request.clock.now, tell=work.tell, looking=False)
    except TbotError as error:
        work.left.append(f"{name} cannot be reached: {error}")
        return None
    try:
        work.tell(f"{name}: looking for what is ours")
        why = await connected(broker, work.late)
        if why:
            work.left.append(why)
            return None
        return await _flat(work, reach, broker, known)
    finally:
        await broker.close()


async def _flat(work: "Work", reach: RealReach, broker: Broker, known: Known | None) -> Done:
    """Step until nothing of ours rests or is held, and nothing more has come for a while."""
    ours = reach.ours(broker.name)

    def meant(order_id: str) -> bool:
        name = OrderName.parse(order_id)
        return name is not None and work.is_meant(name.trade) and ours(order_id)

    flattener = work.hands(broker, ours=meant, since=reach.since, tell=work.tell, doubts=DOUBTS)
    looks, quiet_since = 0, None
    while True:
        is_flat, now = await flattener.step(), monotonic_seconds()
        quiet_since = None if not is_flat else now if quiet_since is None else quiet_since
        if (quiet_since is not None and now - quiet_since >= SETTLE_SECONDS) or work.late():
            break
        looks += 1
        await asyncio.sleep(_PAUSES[looks > _QUICK_LOOKS])
    if quiet_since is None and flattener.problem:
        work.left.append(flattener.problem)
    elif known is not None:
        work.left += await _forgotten(work, broker, flattener, known)
    return Done(session=reach.session, mode=reach.mode, flattener=flattener)


async def _forgotten(work: "Work", broker: Broker, flattener: Flattener, known: Known) -> list[str]:
    """Return what the journal has as open, and the broker, which holds some of it, tells no order of any more."""
    names = {trade_id: TradeName.parse(trade_id) for trade_id in known.open - known.told - flattener.trades.keys()}
    ours = {
        trade_id: name
        for trade_id, name in names.items()
        if name is not None and name.broker == broker.name and work.is_meant(trade_id)
    }
    if not ours:
        return []
    try:
        positions = await broker.positions()
    except BrokerProblem as problem:
        return [
            f"{trade_id}: the journal has it open, and {broker.name} gives no answer: {problem}" for trade_id in ours
        ]
    return [
        f"{trade_id}: the journal has it open, {broker.name} holds {plain(position.quantity)} "
        f"{position.instrument.symbol} and tells none of its orders (IB tells those of the day only): see to it by hand"
        for trade_id, name in ours.items()
        for position in positions
        if name.symbol in {position.instrument.symbol, position.instrument.underlying}
    ]


__all__ = ["SETTLE_SECONDS", "Done", "close_at_real_brokers"]
