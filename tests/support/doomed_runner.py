"""A process that holds the runner's lock and a position at a real broker's adapter, until it is killed.

python -m tests.support.doomed_runner HOME BROKER [short | put STRIKE]: buys shares or puts (or sells short), lets a
stop rest under what it holds and an entry in another symbol beside it, prints `open`, and waits to be killed.
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
from tbot_bot.core.instruments import Instrument, equity, put_option
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
EXPIRY: Final = date(2025, 9, 12)


def order(broker: str, what: Instrument, leg: Leg, side: Side, *, limit: str = "", stop: str = "") -> OrderRequest:
    """Return an order as the engine names it; a put is protected by its share's price."""
    symbol = what.underlying or what.symbol
    trade, rising = trade_id(SESSION, broker, symbol), side.buys or what.underlying != ""
    return OrderRequest(
        client_order_id=client_order_id(trade, leg, 1),
        trade_id=trade,
        broker=broker,
        instrument=what,
        side=side,
        quantity=QUANTITY,
        order_type=OrderType.LIMIT if limit else OrderType.STOP if stop else OrderType.MARKET,
        limit_price=Decimal(limit) if limit else None,
        stop=StopTrigger(symbol=symbol, price=Decimal(stop), rising=rising) if stop else None,
    )


async def trade(broker: Broker, kind: str, strike: str) -> None:
    """Hold a position under a stop, and have an entry rest."""
    await broker.connect()
    short = kind == "short"
    what = put_option(HELD, EXPIRY, Decimal(strike)) if kind == "put" else equity(SHORTED if short else HELD)
    entry = order(broker.name, what, Leg.ENTRY, Side.SELL_SHORT if short else Side.BUY)
    await broker.submit(entry)
    for _ in range(300):
        fills = await broker.fills_since(Instant(0))  # at IB those of others, too
        if sum(fill.quantity for fill in fills if fill.client_order_id == entry.client_order_id) == QUANTITY:
            break
        await asyncio.sleep(0.1)
    side, stop = (Side.BUY_TO_COVER if short else Side.SELL), ("1" if kind == "long" else "9999")
    await broker.submit(order(broker.name, what, Leg.STOP, side, stop=stop))
    await broker.submit(order(broker.name, equity(WAITING), Leg.ENTRY, Side.BUY, limit="1"))


async def main(home: Path, name: str, kind: str = "long", strike: str = "") -> None:
    settings = load_settings(home)
    control = home / settings.env.control_dir
    with Lock(control / RUNNER_LOCK):
        request = RunnerArguments(session=SESSION, home=home)
        SessionBrokers.of(request, settings.env, settings.bot).save(control)
        broker = live_broker(name, settings, now=wall_now, note=lambda _: None)
        await trade(broker, kind, strike)
        Heart(control, str(SESSION)).beat("monitoring", wall_now())
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
