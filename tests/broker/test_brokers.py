"""One contract for every broker; here the simulated one, in memory and on disk. Then what is its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import apsw
import pytest

from tbot_bot.broker.broker_sim import Fault, Request, SimulatedBroker, VenueStore, venue_path
from tbot_bot.config.error_handler import BrokerError
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable
from tbot_bot.core.events import OrderAcknowledged
from tbot_bot.core.identity import Mode
from tbot_bot.core.orders import BrokerOrderStatus, Side
from tbot_bot.core.protocols import Broker
from tests.broker.venue_kit import T0, bar, fills, known, minute, names, order, venue

MakeBroker = Callable[..., SimulatedBroker]


@pytest.fixture(params=["memory", "store"])
def make(request, tmp_path: Path) -> MakeBroker:
    if request.param == "memory":
        return lambda **more: SimulatedBroker(venue(), **more)
    return lambda **more: SimulatedBroker(venue(), store=VenueStore(tmp_path / "v" / "sim.sqlite3"), **more)


@pytest.fixture
def broker(make: MakeBroker) -> SimulatedBroker:
    return make()


def one_bar(broker: SimulatedBroker, n: int, *prices: float):
    bars = {"XYZ": bar(*prices, n=n)}
    broker.step_open(minute(n), bars)
    while broker.step_range(minute(n + 1), bars):
        pass
    return broker.drain()


# --- the contract ----------------------------------------------------------------------------------------------------


def test_it_is_a_broker(broker):
    typed: Broker = broker
    assert typed.name == "sim"


async def test_a_new_account_has_its_cash_and_nothing_else(broker):
    await broker.connect()
    account = await broker.account()
    assert (account.equity, account.cash, account.buying_power) == (100000, 100000, 400000)
    assert await broker.positions() == ()
    assert await broker.open_orders() == ()
    assert await broker.order_by_client_id("never") is None


async def test_an_order_is_acknowledged_filled_and_found(broker):
    await broker.submit(order("a"))
    assert [o.client_order_id for o in await broker.open_orders()] == ["a"]
    events = one_bar(broker, 0, 40, 40, 40, 40)
    assert names(events) == ["OrderAcknowledged", "OrderFilled"]
    found = known(await broker.order_by_client_id("a"))
    assert (found.status, found.filled_quantity) == (BrokerOrderStatus.FILLED, Decimal(100))
    assert [fill.execution_id for fill in await broker.fills_since(T0)] == ["sim-x1"]
    (position,) = await broker.positions()
    assert (position.quantity, position.average_price) == (100, 40)


async def test_submitting_the_same_order_twice_buys_once(broker):
    await broker.submit(order("a"))
    with pytest.raises(BrokerRefused, match="must be unique"):
        await broker.submit(order("a"))
    assert fills(one_bar(broker, 0, 40, 40, 40, 40)) == [("a", "100", "40.0")]


async def test_what_is_refused_is_an_event(broker):
    await broker.submit(order("a", Side.SELL))
    await broker.cancel("a")
    assert names(broker.drain()) == ["OrderRejected", "CancelRejected"]


async def test_a_cancelled_order_does_not_fill(broker):
    await broker.submit(order("a"))
    await broker.cancel("a")
    assert names(one_bar(broker, 0, 40, 40, 40, 40)) == ["OrderAcknowledged", "OrderCancelled"]


async def test_a_replaced_stop_protects_at_its_new_price(broker):
    await broker.submit(order("a"))
    one_bar(broker, 0, 40, 40, 40, 40)
    await broker.submit(order("s1", Side.SELL, stop="38.00"))
    await broker.replace(order("s2", Side.SELL, stop="39.00", replaces="s1"))
    assert fills(one_bar(broker, 1, 40, 40, 37, 38)) == [("s2", "100", "39.00")]


async def test_the_stream_gives_what_came(broker):
    await broker.submit(order("a"))
    stream = broker.events()
    assert names([await anext(stream)]) == ["OrderAcknowledged"]
    assert broker.drain() == []


# --- faults ----------------------------------------------------------------------------------------------------------


class Script:
    def __init__(self, fault: Fault, *, repeat: int = 1) -> None:
        self.fault, self.repeat = fault, repeat

    def of_request(self, request, client_order_id):
        return Fault.NONE if request in {Request.READ, Request.CONNECT} else self.fault

    def of_events(self, events):
        return [event for event in events for _ in range(self.repeat)]


@pytest.mark.parametrize(("fault", "exists"), [(Fault.LOST_BEFORE, False), (Fault.LOST_AFTER, True)])
async def test_a_lost_answer_leaves_the_order_in_doubt_until_looked_up(make, fault, exists):
    broker = make(faults=Script(fault))
    with pytest.raises(BrokerUnavailable):
        await broker.submit(order("a"))
    assert (await broker.order_by_client_id("a") is not None) is exists


async def test_updates_may_repeat(make):
    broker = make(faults=Script(Fault.NONE, repeat=2))
    await broker.submit(order("a"))
    events = one_bar(broker, 0, 40, 40, 40, 40)
    assert names(events) == ["OrderAcknowledged"] * 2 + ["OrderFilled"] * 2
    assert len({event.fill.execution_id for event in events[2:]}) == 1
    assert len(await broker.fills_since(T0)) == 1


# --- the store -------------------------------------------------------------------------------------------------------


def stored(path: Path) -> SimulatedBroker:
    return SimulatedBroker(venue(), store=VenueStore(path))


async def test_a_new_process_finds_the_account_and_fills_what_rested(tmp_path):
    path = venue_path(tmp_path, "sim", Mode.PAPER)
    assert path.relative_to(tmp_path).as_posix() == "venue/sim_paper.sqlite3"
    first = stored(path)
    await first.submit(order("a"))
    one_bar(first, 0, 40, 40, 40, 40)
    await first.submit(order("stop", Side.SELL, stop="39.00"))
    before = await first.account()
    await first.close()

    second = stored(path)
    assert second.last_step == minute(1)
    assert await second.account() == before
    assert one_bar(second, 0, 38, 38, 38, 38) == []
    assert fills(one_bar(second, 1, 38, 38, 38, 38)) == [("stop", "100", "38.0")]


async def test_two_processes_taking_turns_see_one_account(tmp_path):
    one, two = stored(tmp_path / "v.sqlite3"), stored(tmp_path / "v.sqlite3")
    await one.submit(order("a"))
    with pytest.raises(BrokerRefused):
        await two.submit(order("a"))
    assert fills(one_bar(two, 0, 40, 40, 40, 40)) == [("a", "100", "40.0")]
    assert fills(one_bar(one, 0, 40, 40, 40, 40)) == [("a", "100", "40.0")]  # told to both, done once
    assert (await one.positions())[0].quantity == 100


async def test_a_store_that_cannot_write_leaves_no_order_and_no_event(tmp_path):
    store = VenueStore(tmp_path / "v.sqlite3")
    broker, database = SimulatedBroker(venue(), store=store), store._db
    database.execute("PRAGMA max_page_count = 1")  # no page can be added: the disk is full

    async def fill_the_disk():
        for count in range(200):
            await broker.submit(order(f"a{count}"))

    with pytest.raises(BrokerUnavailable, match="full"):
        await fill_the_disk()
    database.execute("PRAGMA max_page_count = 100000")
    told = {event.client_order_id for event in broker.drain() if isinstance(event, OrderAcknowledged)}
    assert told
    assert {o.client_order_id for o in await broker.open_orders()} == told


def test_a_file_that_is_no_venue_is_named(tmp_path):
    (tmp_path / "sim.sqlite3").write_text("not a database at all, but long enough to be looked at" * 40)
    with pytest.raises(BrokerError, match=r"sim\.sqlite3"):
        VenueStore(tmp_path / "sim.sqlite3")


def test_a_damaged_row_is_named(tmp_path):
    path = tmp_path / "sim.sqlite3"
    stored(path)
    apsw.Connection(str(path)).execute('UPDATE venue SET clock = \'{"_": "Nobody"}\'')
    with pytest.raises(BrokerError, match="damaged"):
        stored(path)


CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.broker.venue_kit import bar, minute, order, venue
from tbot_bot.broker.broker_sim import SimulatedBroker, VenueStore

async def main():
    broker = SimulatedBroker(venue(), store=VenueStore(Path(sys.argv[1])))
    await broker.submit(order("a"))
    if sys.argv[3] == "filled":
        broker.step_open(minute(0), {"XYZ": bar(40, 40, 40, 40)})
    print("ready", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@pytest.mark.parametrize("killed", ["submitted", "filled"])
async def test_a_killed_process_loses_no_order_and_repeats_no_fill(tmp_path, killed):
    path, here = tmp_path / "v.sqlite3", Path(__file__).parent
    child = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
        [sys.executable, "-c", CHILD, str(path), str(here), killed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(here.parent.parent)},
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()

    broker = stored(path)
    found = known(await broker.order_by_client_id("a"))
    assert found.status is (BrokerOrderStatus.FILLED if killed == "filled" else BrokerOrderStatus.WORKING)
    one_bar(broker, 0, 40, 40, 40, 40)
    one_bar(broker, 1, 41, 41, 41, 41)
    assert [(f.execution_id, f.price) for f in await broker.fills_since(T0)] == [("sim-x1", Decimal(40))]
    assert (await broker.positions())[0].quantity == 100
