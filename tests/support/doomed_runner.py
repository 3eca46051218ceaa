"""A process that holds the runner's lock and a position at a real broker's adapter, until it is killed.

python -m tests.support.doomed_runner HOME BROKER [short]: buys (or sells short), lets a stop rest under what it holds
and an entry in another symbol beside it, prints `open`, and waits to be killed.
"""

import asyncio
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

from tbot_bot.config.settings import load_settings
from tbot_bot.core.identity import Leg, SessionId, StrategyName, client_order_id, trade_id
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import OrderRequest, OrderType, Side, StopTrigger
from tbot_bot.core.protocols import Broker
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.heartbeat import Heart
from tbot_bot.runtime.live_brokers import live_broker
from tbot_bot.runtime.locks import RUNNER_LOCK, Lock
from tbot_bot.runtime.runner_arguments import RunnerArguments
from tbot_bot.runtime.session_brokers import SessionBrokers

DAY: Final = date(2025, 9, 2)
SESSION: Final = SessionId(day=DAY, strategy=StrategyName.OPEN)
HELD, WAITING, SHORTED = "SYN01", "SYN02", "SYN03"
QUANTITY: Final = Decimal(10)


def order(broker: str, symbol: str, leg: Leg, side: Side, *, limit: str = "", stop: str = "") -> OrderRequest:
    """Return an order as the engine names it."""
    trade = trade_id(SESSION, broker, symbol)
    return OrderRequest(
        client_order_id=client_order_id(trade, leg, 1),
        trade_id=trade,
        broker=broker,
        instrument=equity(symbol),
        side=side,
        quantity=QUANTITY,
        order_type=OrderType.LIMIT if limit else OrderType.STOP if stop else OrderType.MARKET,
        limit_price=Decimal(limit) if limit else None,
        stop=StopTrigger(symbol=symbol, price=Decimal(stop), rising=side.buys) if stop else None,
    )


async def trade(broker: Broker, *, short: bool) -> None:
    """Hold a position under a stop, and have an entry rest."""
    await broker.connect()
    symbol = SHORTED if short else HELD
    entry = order(broker.name, symbol, Leg.ENTRY, Side.SELL_SHORT if short else Side.BUY)
    await broker.submit(entry)
    for _ in range(300):
        if sum(fill.quantity for fill in await broker.fills_since(Instant(0))) == QUANTITY:
            break
        await asyncio.sleep(0.1)
    side, stop = (Side.BUY_TO_COVER, "9999") if short else (Side.SELL, "1")
    await broker.submit(order(broker.name, symbol, Leg.STOP, side, stop=stop))
    await broker.submit(order(broker.name, WAITING, Leg.ENTRY, Side.BUY, limit="1"))


async def main(home: Path, name: str, *, short: bool) -> None:
    settings = load_settings(home)
    control = home / settings.env.control_dir
    with Lock(control / RUNNER_LOCK):
        request = RunnerArguments(session=SESSION, home=home)
        SessionBrokers.of(request, settings.env, settings.bot).save(control)
        broker = live_broker(name, settings, now=wall_now, note=lambda _: None)
        await trade(broker, short=short)
        Heart(control, str(SESSION)).beat("monitoring", wall_now())
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], short="short" in sys.argv[3:]))
