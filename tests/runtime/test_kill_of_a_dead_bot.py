"""`tbot kill` over a bot that died with positions open: what is kept is protected, and two at once close once."""

import asyncio
import os
import subprocess
import sys

from tbot_bot.core.identity import Leg, OrderName
from tbot_bot.core.orders import BrokerOrderStatus
from tests.runtime.test_guard import ruin, wreck

__all__ = ["ruin", "wreck"]


def kill(ruin, *words):
    """Start the command."""
    command = [sys.executable, "-m", "tbot_bot.runtime.cli", "kill", "--why", "a test", *words]
    return subprocess.Popen(
        command, env={**os.environ, "TBOT_HOME": str(ruin.home)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def stops(ruin):
    """Return what rests of each symbol: (trigger, quantity)."""
    resting = [order.request for order in ruin.venue().open_orders()]
    return {order.instrument.symbol: (order.stop, order.quantity) for order in resting if order.stop is not None}


def test_a_position_that_is_kept_without_its_stop_gets_the_last_one_again(ruin):
    before, held = stops(ruin), ruin.held()
    broker = ruin.store()
    asyncio.run(broker.cancel(next(order_id for order_id in ruin.resting() if "AAA-stop" in order_id)))
    asyncio.run(broker.close())
    assert set(stops(ruin)) == {"BBB"}

    with kill(ruin, "--keep-positions") as process:
        said = process.communicate()[0].decode()

    assert process.returncode == 0, said
    assert ruin.held() == held
    assert stops(ruin) == before


def test_two_kills_at_once_close_everything_once(ruin):
    held = ruin.held()
    processes = [kill(ruin) for _ in range(2)]
    said = [process.communicate()[0].decode() for process in processes]

    assert ruin.held() == {}, said
    assert ruin.resting() == []
    sold = dict.fromkeys(held, 0)
    for order in ruin.venue().snapshot().orders:
        name = OrderName.parse(order.request.client_order_id)
        if name is not None and name.leg in {Leg.EXIT, Leg.DEAD_MAN, Leg.STOP}:
            filled = order.status is BrokerOrderStatus.FILLED
            sold[order.request.instrument.symbol] += order.request.quantity if filled else 0
    assert sold == held
    assert 0 in [process.returncode for process in processes], said
