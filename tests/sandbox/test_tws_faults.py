"""What breaks at the TWS side on purpose, as ib_async sees it, and what the venue knows meanwhile."""

import asyncio

import ib_async
import pytest

from tbot_bot.config.error_handler import LogicError
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tbot_bot.sandbox.tws_server import TwsServer
from tests.sandbox.tws_kit import Floor, share


def rule(kind, place="placeOrder", **words):
    return FaultRule(kind=kind, vendor="ibkr", place=place, **words)


def buy(quantity=10, **words):
    return ib_async.MarketOrder("BUY", quantity, **words)


async def placed(floor, ib):
    """Place an order through a gateway that may be broken."""
    return ib.placeOrder(await share(ib), buy(orderRef="under fault"))


async def test_while_the_line_is_down_the_market_goes_on_and_its_news_come_later():
    async with Floor() as floor:
        ib = await floor.connect()
        contract = await share(ib)
        trade = ib.placeOrder(contract, ib_async.LimitOrder("BUY", 10, floor.price("1.01")))
        await floor.hears(lambda: trade.orderStatus.status == "Submitted")
        floor.gateway.announce(1100)
        await floor.until(lambda: floor.truth().fills)
        await floor.hears(lambda: ib.told(1100))
        assert not trade.fills
        late = ib.placeOrder(contract, buy())
        await floor.hears(lambda: ib.told(504) == [late.order.orderId])
        floor.gateway.announce(1102)
        await floor.hears(trade.isDone)
        assert trade.fills[0].commissionReport.commission > 0
        assert len(floor.truth().orders) == 1


@pytest.mark.parametrize(("code", "goes_on"), [(1102, True), (1101, False)])
async def test_subscriptions_end_where_the_data_was_lost(code, goes_on):
    async with Floor() as floor:
        ib = await floor.connect()
        ticker = ib.reqMktData(await share(ib))
        await floor.hears(lambda: ticker.last > 0)
        floor.gateway.announce(1100)
        floor.gateway.announce(code)
        await floor.hears(lambda: ib.told(code))
        before = ticker.volume
        floor.step(30)
        await ib.reqCurrentTimeAsync()
        assert (ticker.volume > before) is goes_on


async def test_data_farms_break_and_heal_without_ending_anything():
    async with Floor() as floor:
        ib = await floor.connect()
        assert {code for _, code in ib.codes} == {2104, 2106, 2158}
        for code in (2103, 2104, 2105, 2106):
            floor.gateway.announce(code)
        await floor.hears(lambda: len(ib.told(2106)) == 2 and ib.told(2103) and ib.told(2105))
        assert ib.isConnected()


@pytest.mark.parametrize(("kind", "back"), [(FaultKind.DROPPED, 1102), (FaultKind.LOST_AFTER, 1101)])
async def test_the_plan_cuts_and_mends_the_line(kind, back):
    async with Floor() as floor:
        ib = await floor.connect()
        floor.faults.set([rule(kind, "line"), rule(FaultKind.DROPPED, "data_farm")], seed=1)
        await floor.hears(lambda: ib.told(1100) and ib.told(2103))
        assert not floor.gateway.linked
        floor.faults.set([], seed=1)
        await floor.hears(lambda: ib.told(back) and len(ib.told(2106)) == 2)
        assert floor.gateway.linked
        assert len(ib.told(1100)) == 1


async def test_the_plan_gives_the_data_to_another_session():
    async with Floor([rule(FaultKind.REJECTED, "data_session")]) as floor:
        ib = await floor.connect()
        contract = await share(ib)
        await floor.hears(lambda: floor.gateway.competing_session)
        ib.reqMktData(contract)
        await floor.hears(lambda: ib.told(10197))


async def test_a_lost_order_leaves_no_trace_and_a_lost_answer_leaves_the_order():
    for kind, orders in ((FaultKind.LOST_BEFORE, 0), (FaultKind.LOST_AFTER, 1)):
        async with Floor([rule(kind, times=1, seconds=0.05)]) as floor:
            ib = await floor.connect()
            trade = await placed(floor, ib)
            await floor.hears(lambda ib=ib: not ib.isConnected())
            assert not trade.fills
            assert len(floor.truth().orders) == orders
            again = await floor.connect()
            assert [one.order.orderRef for one in again.openTrades()] == ["under fault"] * orders


async def test_a_dropped_connection_is_seen_and_a_half_open_one_is_not():
    async with Floor([rule(FaultKind.DROPPED, times=1)]) as floor:
        ib = await floor.connect()
        await placed(floor, ib)
        await floor.hears(lambda: not ib.isConnected())
        assert floor.truth().orders == ()
    async with Floor([rule(FaultKind.HALF_OPEN, "orders", skip=2)]) as floor:
        ib = await floor.connect()
        trade = await placed(floor, ib)
        await floor.hears(lambda: trade.orderStatus.status == "Submitted")
        await floor.until(lambda: floor.truth().fills)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ib.reqCurrentTimeAsync(), 0.2)
        assert ib.isConnected()
        assert not trade.fills


async def test_repeated_news_changes_nothing_for_a_careful_client():
    async with Floor([rule(FaultKind.DUPLICATED, "orders")]) as floor:
        ib = await floor.connect()
        trade = await placed(floor, ib)
        await floor.until(lambda: trade.isDone() and trade.fills and trade.fills[0].commissionReport.commission)
        assert len(trade.fills) == 1
        assert len(floor.faults.struck) >= 6


async def test_a_status_may_overtake_its_execution():
    async with Floor([rule(FaultKind.REORDERED, "orders", skip=2, times=1)]) as floor:
        ib = await floor.connect()
        heard = []
        ib.execDetailsEvent += lambda trade, fill: heard.append("execution")
        ib.openOrderEvent += lambda trade: heard.append("order")
        trade = await placed(floor, ib)
        await floor.until(lambda: trade.isDone() and trade.fills)
        assert heard == ["order", "order", "execution"]


async def test_late_news_arrive_late():
    async with Floor([rule(FaultKind.LATENCY, "orders", seconds=0.2)]) as floor:
        ib = await floor.connect()
        trade = await placed(floor, ib)
        await ib.reqCurrentTimeAsync()
        assert trade.orderStatus.status == "PendingSubmit"
        await floor.hears(lambda: trade.orderStatus.status == "Submitted")


async def test_a_planned_rejection_looks_like_the_vendors():
    async with Floor([rule(FaultKind.REJECTED, skip=1)]) as floor:
        ib = await floor.connect()
        fine, refused = await placed(floor, ib), await placed(floor, ib)
        await floor.until(fine.isDone)
        assert (ib.told(201), refused.orderStatus.status) == ([refused.order.orderId], "Cancelled")
        completed = await ib.reqCompletedOrdersAsync(apiOnly=True)
        assert sorted(one.orderStatus.status for one in completed) == ["Filled", "Inactive"]
        assert len(floor.truth().orders) == 1


async def test_the_nightly_restart_cuts_everyone_and_takes_them_back_with_their_orders():
    async with Floor() as floor:
        ib = await floor.connect()
        trade = ib.placeOrder(await share(ib), ib_async.LimitOrder("BUY", 1, 1.0, tif="GTC"))
        await floor.hears(lambda: trade.orderStatus.status == "Submitted")
        every_night = rule(FaultKind.RESTART, "gateway", seconds=0.3)
        floor.faults.set([every_night], seed=1)
        await floor.hears(lambda: not ib.isConnected())
        with pytest.raises(ConnectionRefusedError):
            await floor.connect()
        await asyncio.sleep(0.4)
        again = await floor.connect()
        assert [one.order.permId for one in again.openTrades()] == [trade.order.permId]
        floor.faults.set([], seed=1)
        await asyncio.sleep(0.3)
        assert again.isConnected()
        floor.faults.set([every_night], seed=1)
        await floor.hears(lambda: not again.isConnected())


async def test_no_connection_is_taken_during_maintenance():
    async with Floor() as floor:
        ib = await floor.connect()
        floor.faults.set([rule(FaultKind.MAINTENANCE, "gateway")], seed=1)
        await floor.hears(lambda: not ib.isConnected())
        with pytest.raises(ConnectionRefusedError):
            await floor.connect()
        floor.faults.set([], seed=1)
        await asyncio.sleep(0.3)
        assert (await floor.connect()).isConnected()


async def test_the_gateway_listens_on_this_machine_only():
    async with Floor() as floor:
        with pytest.raises(LogicError, match="this machine only"):
            TwsServer(floor.gateway, host="0.0.0.0")  # noqa: S104 - that is what is refused
