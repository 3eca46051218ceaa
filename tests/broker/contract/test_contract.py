"""The contract of `core.protocols.Broker`, kept by every adapter: the same tests before the simulator and the vendors.

What a venue does is told at least once and in order per order; what was asked is done once, whatever answer is lost.
"""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable
from tbot_bot.core.events import (
    CancelRejected,
    FillBusted,
    OrderAcknowledged,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from tbot_bot.core.foreign_orders import ForeignOrder, ListsForeignOrders
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import BrokerOrder, BrokerOrderStatus, Side
from tbot_bot.core.protocols import Broker
from tests.broker.contract.floor import Asked, Floor, Trader, kinds

BIG = "1000"
"""Shares that a thin venue cannot fill at once."""


async def bought(trader: Trader, quantity: str = "10") -> None:
    """Hold something, and have heard of it."""
    await trader.submits(trader.order(quantity=quantity))
    await trader.filled("entry1", quantity)


async def looked_up(trader: Trader, leg: str) -> BrokerOrder | None:
    """Return what the broker knows, as soon as it says so for certain."""
    for _ in range(100):
        try:
            return await trader.broker.order_by_client_id(trader.name(leg))
        except BrokerUnavailable:
            await asyncio.sleep(0.1)
    raise AssertionError("nothing certain is said of the order")


# --- what is there ---------------------------------------------------------------------------------------------------


async def test_a_new_account_has_its_cash_and_nothing_else(trader):
    account = await trader.broker.account()
    assert (account.broker, account.equity, account.cash) == (trader.broker.name, 100000, 100000)
    assert await trader.broker.positions() == ()
    assert await trader.broker.open_orders() == ()
    assert await trader.broker.fills_since(Instant(0)) == ()
    assert await trader.broker.order_by_client_id(trader.name("entry1")) is None


async def test_the_clock_tells_the_venues_time(trader):
    before = await trader.broker.clock()
    await trader.floor.pass_time()
    after = await trader.broker.clock()
    assert before is not None
    assert after is not None
    assert before < after


# --- a life without accidents -----------------------------------------------------------------------------------------


async def test_an_order_is_acknowledged_filled_and_found(trader):
    await bought(trader)
    assert kinds(trader.news("entry1")) == ["OrderAcknowledged", "OrderFilled"]
    found = await trader.broker.order_by_client_id(trader.name("entry1"))
    assert found is not None
    assert (found.status, found.filled_quantity, found.request.side) == (BrokerOrderStatus.FILLED, 10, Side.BUY)
    (fill,) = await trader.broker.fills_since(Instant(0))
    (told,) = {event.fill for event in trader.heard if isinstance(event, OrderFilled)}
    assert fill == told
    (position,) = await trader.broker.positions()
    assert (position.instrument.symbol, position.quantity, position.average_price) == (
        trader.floor.symbol,
        10,
        fill.price,
    )
    account = await trader.broker.account()
    assert abs(account.cash - (100000 - 10 * fill.price - fill.fees)) < Decimal("0.01")


async def test_a_resting_order_can_be_cancelled(trader):
    await trader.submits(trader.order(limit="0.5"))
    await trader.hears("entry1", OrderAcknowledged)
    (resting,) = await trader.broker.open_orders()
    assert (resting.client_order_id, resting.status) == (trader.name("entry1"), BrokerOrderStatus.WORKING)
    await trader.broker.cancel(trader.name("entry1"))
    await trader.hears("entry1", OrderCancelled)
    await trader.floor.pass_time()
    assert await trader.broker.open_orders() == ()
    assert kinds(await trader.quiet()) == ["OrderAcknowledged", "OrderCancelled"]


async def test_a_part_is_filled_and_the_rest_cancelled(trader):
    trader.floor.thin(thin=True)
    await trader.submits(trader.order(quantity=BIG))
    await trader.filled("entry1", "1")
    assert trader.told("entry1") < Decimal(BIG)
    await trader.broker.cancel(trader.name("entry1"))
    await trader.hears("entry1", OrderCancelled)
    done = trader.floor.venue_filled(trader.name("entry1"))
    assert trader.told("entry1") == done
    assert kinds(trader.news("entry1")) == ["OrderAcknowledged", "OrderFilled", "OrderCancelled"]
    fills = await trader.broker.fills_since(Instant(0))
    assert sum(fill.quantity for fill in fills) == done
    (position,) = await trader.broker.positions()
    assert position.quantity == done


async def test_a_stop_that_is_reached_sells_what_is_held(trader):
    await bought(trader)
    await trader.submits(trader.order("stop1", Side.SELL, stop="1.2"))
    await trader.filled("stop1", "10")
    assert await trader.broker.positions() == ()


@pytest.mark.parametrize("quantity", ["10", "2.5"])
async def test_a_stop_is_replaced_by_a_tighter_one(trader, quantity):
    if Decimal(quantity) % 1 and not trader.broker.capabilities.fractional:
        pytest.skip("this broker trades whole shares")
    await bought(trader, quantity)
    await trader.submits(trader.order("stop1", Side.SELL, quantity, stop="0.5"))
    await trader.hears("stop1", OrderAcknowledged)
    await trader.replaces(trader.order("stop2", Side.SELL, quantity, stop="0.6", replaces="stop1"))
    told = await trader.hears("stop1", OrderReplaced)
    assert isinstance(told, OrderReplaced)
    assert told.by == trader.name("stop2")
    (resting,) = await trader.broker.open_orders()
    assert (resting.client_order_id, resting.request.quantity) == (trader.name("stop2"), Decimal(quantity))


async def test_a_stop_follows_a_quantity_that_grew(trader):
    await bought(trader, "10")
    await trader.submits(trader.order("stop1", Side.SELL, "4", stop="0.5"))
    await trader.hears("stop1", OrderAcknowledged)
    await trader.replaces(trader.order("stop2", Side.SELL, "10", stop="0.5", replaces="stop1"))
    await trader.hears("stop1", OrderReplaced)
    (resting,) = await trader.broker.open_orders()
    assert resting.request.quantity == 10


async def test_a_short_sale_is_covered(trader):
    await trader.submits(trader.order(side=Side.SELL_SHORT))
    await trader.filled("entry1", "10")
    (position,) = await trader.broker.positions()
    assert position.quantity == -10
    await trader.submits(trader.order("exit1", Side.BUY_TO_COVER))
    await trader.filled("exit1", "10")
    assert await trader.broker.positions() == ()


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_what_nobody_holds_cannot_be_sold(trader):
    await bought(trader)
    await trader.submits(trader.order("exit1", Side.SELL, "11"))
    await trader.hears("exit1", OrderRejected)
    (position,) = await trader.broker.positions()
    assert position.quantity == 10


async def test_what_nobody_can_pay_for_is_rejected(trader):
    await trader.submits(trader.order(quantity="1000000"))
    await trader.hears("entry1", OrderRejected)
    assert await trader.broker.open_orders() == ()


async def test_a_client_order_id_is_accepted_once(trader):
    await bought(trader)
    with pytest.raises(BrokerRefused, match="must be unique"):
        await trader.broker.submit(trader.order())
    await trader.floor.pass_time()
    (position,) = await trader.broker.positions()
    assert position.quantity == 10
    assert trader.floor.venue_orders().count(trader.name("entry1")) == 1


async def test_a_cancel_that_comes_too_late_is_refused(trader):
    await bought(trader)
    await trader.broker.cancel(trader.name("entry1"))
    await trader.hears("entry1", CancelRejected)
    await trader.broker.cancel(trader.name("entry9"))
    await trader.hears("entry9", CancelRejected)


async def test_nothing_takes_the_place_of_an_order_that_is_over(trader):
    await bought(trader, "10")
    await trader.submits(trader.order("stop1", Side.SELL, stop="0.5"))
    await trader.broker.cancel(trader.name("stop1"))
    await trader.hears("stop1", OrderCancelled)
    await trader.replaces(trader.order("stop2", Side.SELL, stop="0.6", replaces="stop1"))
    await trader.hears("stop2", OrderRejected)
    assert await trader.broker.open_orders() == ()


# --- lost answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_order_whose_answer_is_lost_is_sent_again_only_if_it_is_not_there(trader, after):
    trader.floor.breaks(Asked.SUBMIT, after=after)
    with pytest.raises(BrokerUnavailable):
        await trader.broker.submit(trader.order())
    found = await looked_up(trader, "entry1")
    assert (found is not None) is after
    if found is None:
        await trader.broker.submit(trader.order())
    await trader.filled("entry1", "10")
    assert trader.floor.venue_orders() == [trader.name("entry1")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_cancel_whose_answer_is_lost_can_be_asked_again(trader, after):
    await trader.submits(trader.order(limit="0.5"))
    await trader.hears("entry1", OrderAcknowledged)
    trader.floor.breaks(Asked.CANCEL, after=after)
    with pytest.raises(BrokerUnavailable):
        await trader.broker.cancel(trader.name("entry1"))
    found = await looked_up(trader, "entry1")
    assert found is not None
    assert found.status.open is not after
    if found.status.open:
        await trader.broker.cancel(trader.name("entry1"))
    await trader.hears("entry1", OrderCancelled)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_replacement_whose_answer_is_lost_leaves_one_stop(trader, after):
    await bought(trader)
    await trader.submits(trader.order("stop1", Side.SELL, stop="0.5"))
    await trader.hears("stop1", OrderAcknowledged)
    tighter = trader.order("stop2", Side.SELL, stop="0.6", replaces="stop1")
    trader.floor.breaks(Asked.REPLACE, after=after)
    with pytest.raises(BrokerUnavailable):
        await trader.broker.replace(tighter)
    found = await looked_up(trader, "stop2")
    assert (found is not None) is after
    if found is None:
        await trader.broker.replace(tighter)
    await trader.hears("stop1", OrderReplaced)
    (resting,) = await trader.broker.open_orders()
    assert resting.client_order_id == trader.name("stop2")


async def test_a_broker_that_is_away_says_so_and_comes_back(trader):
    trader.floor.breaks(Asked.READ, after=False)
    for read in (trader.broker.account, trader.broker.positions, trader.broker.open_orders, trader.broker.clock):
        with pytest.raises(BrokerUnavailable):
            await read()
    with pytest.raises(BrokerUnavailable):
        await trader.broker.fills_since(Instant(0))
    with pytest.raises(BrokerUnavailable):
        await trader.broker.order_by_client_id(trader.name("entry1"))
    trader.floor.mends()
    assert (await trader.broker.account()).cash == 100000


# --- disorder ---------------------------------------------------------------------------------------------------------


async def test_news_that_come_twice_and_mixed_up_tell_the_same_story(trader):
    trader.floor.thin(thin=True)
    await trader.submits(trader.order(quantity=BIG))
    await trader.filled("entry1", "1")
    trader.floor.thin(thin=False)
    trader.floor.disorder()
    await trader.filled("entry1", BIG)
    assert trader.told("entry1") == Decimal(BIG)
    await trader.submits(trader.order("stop1", Side.SELL, BIG, stop="0.5"))
    await trader.hears("stop1", OrderAcknowledged)
    await trader.broker.cancel(trader.name("stop1"))
    await trader.hears("stop1", OrderCancelled)
    assert kinds(trader.news("entry1")) == ["OrderAcknowledged", "OrderFilled"]
    assert kinds(trader.news("stop1")) == ["OrderAcknowledged", "OrderCancelled"]


async def test_another_process_finds_all_that_happened(trader):
    await trader.submits(trader.order())
    await trader.submits(trader.order("entry2", limit="0.5"))
    old = set(await trader.quiet())
    await trader.floor.pass_time()
    broker = await trader.floor.reborn()
    trader.heard.clear()
    await trader.floor.pass_time()
    filled = await broker.order_by_client_id(trader.name("entry1"))
    resting = await broker.order_by_client_id(trader.name("entry2"))
    assert filled is not None
    assert resting is not None
    assert (filled.status, resting.status) == (BrokerOrderStatus.FILLED, BrokerOrderStatus.WORKING)
    (fill,) = await broker.fills_since(Instant(0))
    assert fill.client_order_id == trader.name("entry1")
    told = {event.fill.execution_id for event in (*old, *await trader.quiet()) if isinstance(event, OrderFilled)}
    assert told <= {fill.execution_id}
    await broker.cancel(trader.name("entry2"))
    await trader.hears("entry2", OrderCancelled)


async def test_what_is_not_ours_is_seen_and_left_alone(trader):
    needs(trader.floor, "foreign")
    theirs = await trader.floor.buys_by_hand(Decimal(3), resting=False)
    (position,) = await trader.broker.positions()
    assert position.quantity == 3
    assert [event for event in await trader.quiet() if isinstance(event, OrderFilled)] == []
    assert theirs in trader.floor.venue_orders()


async def test_an_order_that_is_not_ours_goes_on_resting(trader):
    needs(trader.floor, "foreign")
    theirs = await trader.floor.buys_by_hand(Decimal(3), resting=True)
    assert [order.client_order_id for order in await trader.broker.open_orders()] == [theirs]
    await bought(trader)
    assert [order.client_order_id for order in await trader.broker.open_orders()] == [theirs]


async def others_at(broker: Broker) -> tuple[ForeignOrder, ...]:
    """Return the orders of others, which every adapter has to tell."""
    assert isinstance(broker, ListsForeignOrders)
    return await broker.foreign_orders()


async def test_orders_of_others_are_told_apart_from_ours_and_counted_by_what_they_may_take(trader):
    needs(trader.floor, "foreign")
    assert await others_at(trader.broker) == ()
    before = (await trader.broker.account()).buying_power
    theirs = await trader.floor.buys_by_hand(Decimal(3), resting=True)
    after = (await trader.broker.account()).buying_power
    await trader.submits(trader.order(limit="0.4"))
    await trader.hears("entry1", OrderAcknowledged)
    (one,) = await others_at(trader.broker)
    assert (one.broker, one.name, one.buys, one.quantity) == (trader.broker.name, theirs, True, Decimal(3))
    assert one.instrument.symbol == trader.floor.symbol
    assert one.price is not None
    assert one.notional == 3 * one.price
    assert before - after >= one.notional > 0
    await trader.broker.cancel(trader.name("entry1"))
    await trader.hears("entry1", OrderCancelled)
    again = await trader.floor.reborn()
    assert await others_at(again) == (one,)


async def test_an_execution_can_be_undone(trader):
    needs(trader.floor, "bust")
    await bought(trader)
    (fill,) = await trader.broker.fills_since(Instant(0))
    trader.floor.busts(fill.execution_id)
    told = await trader.hears("entry1", FillBusted)
    assert isinstance(told, FillBusted)
    assert (told.execution_id, told.reason) == (fill.execution_id, "TRADE_BUST")
    assert await trader.broker.fills_since(Instant(0)) == ()
    assert await trader.broker.positions() == ()


async def test_events_can_be_awaited_instead_of_drained(trader):
    await trader.submits(replace(trader.order(limit="0.5")))
    async with asyncio.timeout(10):
        first = await anext(trader.broker.events())
    assert (type(first), first.client_order_id) == (OrderAcknowledged, trader.name("entry1"))


def needs(floor: Floor, what: str) -> None:
    """Skip where the venue has no means for it."""
    if what in floor.cannot:
        pytest.skip(f"{type(floor).__name__} has no means for: {what}")
