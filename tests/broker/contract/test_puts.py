"""Long puts under the contract: bought, protected by a stop that watches the share, and sold to close, once."""

from datetime import date
from decimal import Decimal

from tbot_bot.core.events import OrderAcknowledged, OrderCancelled, OrderReplaced
from tbot_bot.core.instruments import put_option
from tbot_bot.core.orders import BrokerOrderStatus, OrderRequest, OrderType, Side, StopTrigger
from tests.broker.contract.floor import Trader, kinds

CONTRACTS = Decimal(2)


def put_order(trader: Trader, leg: str, side: Side = Side.BUY, *, stop: str = "", replaces: str = "") -> OrderRequest:
    """Return an order for puts at the money; `stop` is a factor of the share's present price."""
    share = trader.floor.price()
    expiry = date(2018, 4, 20) if trader.broker.name == "sim" else date(2025, 9, 12)
    kind = OrderType.STOP if stop else OrderType.MARKET
    trigger = StopTrigger(symbol=trader.floor.symbol, price=round(share * Decimal(stop or 1), 2), rising=True)
    return OrderRequest(
        client_order_id=trader.name(leg),
        trade_id=trader.name(leg).rpartition("-")[0],
        broker=trader.broker.name,
        instrument=put_option(trader.floor.symbol, expiry, Decimal(5) * (share // 5)),
        side=side,
        quantity=CONTRACTS,
        order_type=kind,
        stop=trigger if stop else None,
        replaces=trader.name(replaces) if replaces else None,
    )


async def holds_puts(trader: Trader) -> None:
    await trader.submits(put_order(trader, "entry1"))
    await trader.filled("entry1", "2")


async def test_a_put_is_bought_held_and_sold_to_close(trader):
    await holds_puts(trader)
    (position,) = await trader.broker.positions()
    wanted = put_order(trader, "entry1").instrument
    assert (position.instrument.symbol, position.quantity) == (wanted.symbol, CONTRACTS)
    await trader.submits(put_order(trader, "exit1", Side.SELL))
    await trader.filled("exit1", "2")
    assert await trader.broker.positions() == ()


async def test_a_puts_stop_rests_until_the_share_is_there_and_can_be_taken_off(trader):
    await holds_puts(trader)
    await trader.submits(put_order(trader, "stop1", Side.SELL, stop="1.5"))
    await trader.hears("stop1", OrderAcknowledged)
    await trader.floor.pass_time()
    (resting,) = await trader.broker.open_orders()
    assert (resting.client_order_id, resting.status) == (trader.name("stop1"), BrokerOrderStatus.WORKING)
    await trader.broker.cancel(trader.name("stop1"))
    await trader.hears("stop1", OrderCancelled)
    found = await trader.broker.order_by_client_id(trader.name("stop1"))
    assert found is not None
    assert found.status is BrokerOrderStatus.CANCELLED
    assert kinds(await trader.quiet())[-2:] == ["OrderAcknowledged", "OrderCancelled"]


async def test_a_puts_stop_that_the_share_has_reached_sells_once(trader):
    await holds_puts(trader)
    await trader.submits(put_order(trader, "stop1", Side.SELL, stop="0.9"))
    await trader.filled("stop1", "2")
    await trader.floor.pass_time()
    assert trader.floor.venue_orders().count(trader.name("stop1")) == 1
    assert await trader.broker.positions() == ()


async def test_a_puts_stop_is_moved_and_the_moved_one_sells(trader):
    await holds_puts(trader)
    await trader.submits(put_order(trader, "stop1", Side.SELL, stop="1.5"))
    await trader.hears("stop1", OrderAcknowledged)
    await trader.replaces(put_order(trader, "stop2", Side.SELL, stop="0.9", replaces="stop1"))
    await trader.hears("stop1", OrderReplaced)
    await trader.filled("stop2", "2")
    assert trader.told("stop1") == 0
    assert await trader.broker.positions() == ()
