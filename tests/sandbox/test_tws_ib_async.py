"""Orders over the TWS side of the sandbox, judged by ib_async over real sockets."""

import ib_async
import pytest

from tests.sandbox.tws_kit import SYMBOL, Floor, share


@pytest.fixture
async def floor():
    async with Floor() as made:
        yield made


def buy(quantity=10, **words):
    return ib_async.MarketOrder("BUY", quantity, **words)


def statuses(trades):
    return [trade.orderStatus.status for trade in trades]


# --- one order -------------------------------------------------------------------------------------------------------


async def test_a_client_connects_places_an_order_and_sees_it_filled(floor):
    ib = await floor.connect()
    assert ib.client.serverVersion() == 176
    assert ib.managedAccounts() == [floor.gateway.account]
    contract = await share(ib)
    trade = ib.placeOrder(contract, buy(orderRef="first"))
    await floor.until(trade.isDone)
    [fill] = trade.fills
    [known] = floor.truth().fills
    assert trade.orderStatus.status == "Filled"
    assert trade.orderStatus.permId > 0
    assert (fill.execution.orderRef, fill.execution.side, fill.execution.shares) == ("first", "BOT", 10)
    assert fill.execution.price == float(known.price)
    assert fill.commissionReport.commission == float(known.fees)


async def test_the_commission_comes_last(floor):
    ib = await floor.connect()
    heard = []
    ib.execDetailsEvent += lambda trade, fill: heard.append("execution")
    ib.orderStatusEvent += lambda trade: heard.append(trade.orderStatus.status)
    ib.commissionReportEvent += lambda trade, fill, report: heard.append("commission")
    ib.placeOrder(await share(ib), buy())
    await floor.until(lambda: "commission" in heard)
    assert heard == ["Submitted", "execution", "Filled", "commission"]


async def test_a_limit_order_rests_takes_new_terms_and_is_cancelled(floor):
    ib = await floor.connect()
    contract = await share(ib)
    trade = ib.placeOrder(contract, ib_async.LimitOrder("BUY", 10, floor.price("0.9")))
    await floor.hears(lambda: trade.orderStatus.status == "Submitted")
    perm_id = trade.order.permId
    trade.order.lmtPrice, trade.order.totalQuantity = floor.price("0.91"), 12
    ib.placeOrder(contract, trade.order)
    await floor.hears(lambda: len(floor.gateway.desk.orders()) == 2)
    [resting] = floor.gateway.desk.open_orders()
    assert (float(resting.ticket.limit), resting.ticket.quantity) == (floor.price("0.91"), 12)
    await floor.hears(lambda: trade.orderStatus.remaining == 12)
    assert trade.order.permId == perm_id
    ib.cancelOrder(trade.order)
    await floor.hears(lambda: ib.told(202))
    assert trade.orderStatus.status == "Cancelled"
    assert floor.gateway.desk.open_orders() == ()


async def test_new_terms_that_the_market_meets_fill_the_same_order(floor):
    ib = await floor.connect()
    contract = await share(ib)
    trade = ib.placeOrder(contract, ib_async.LimitOrder("BUY", 10, floor.price("0.9")))
    await floor.hears(lambda: trade.orderStatus.status == "Submitted")
    trade.order.lmtPrice = floor.price("1.01")
    ib.placeOrder(contract, trade.order)
    await floor.until(trade.isDone)
    assert trade.filled() == 10
    assert len({fill.execution.orderId for fill in trade.fills}) == 1


async def test_stops_wait_presubmitted_and_fill_when_their_price_is_met(floor):
    ib = await floor.connect()
    contract = await share(ib)
    entry = ib.placeOrder(contract, ib_async.MarketOrder("SELL", 20))
    await floor.until(entry.isDone)
    near, far = floor.price("1.002"), floor.price("1.2")
    stop = ib.placeOrder(contract, ib_async.StopOrder("BUY", 10, near))
    stop_limit = ib.placeOrder(contract, ib_async.StopLimitOrder("BUY", 10, far, near))
    distant = ib.placeOrder(contract, ib_async.StopOrder("BUY", 10, far))
    trades = (stop, stop_limit, distant)
    await floor.hears(lambda: statuses(trades) == ["PreSubmitted"] * 3)
    await floor.until(lambda: stop.isDone() and stop_limit.isDone(), span=5)
    assert (stop.filled(), stop_limit.filled(), distant.filled()) == (10, 10, 0)
    assert stop.fills[0].execution.price >= near


async def test_a_percentage_trails_and_its_present_stop_is_told(floor):
    ib = await floor.connect()
    contract = await share(ib)
    order = ib_async.Order(action="BUY", totalQuantity=1, orderType="TRAIL", trailingPercent=5)
    placed = ib.placeOrder(contract, order)
    await floor.hears(lambda: placed.orderStatus.status == "PreSubmitted")
    again = await floor.connect(7 + 1)
    [seen] = await again.reqAllOpenOrdersAsync()
    [known] = floor.truth().orders
    assert seen.order.trailStopPrice == float(known.stop)
    assert seen.order.trailingPercent == 5


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (ib_async.MarketOrder("BUY", 0), 434),
        (ib_async.MarketOrder("BUY", 1.5), 10243),
        (ib_async.LimitOrder("BUY", 1, 10.001), 110),
        (ib_async.LimitOrder("BUY", 1, 0), 201),
        (ib_async.MarketOrder("BUY", 100_000), 201),
        (ib_async.Order(action="BUY", totalQuantity=1, orderType="REL"), 387),
        (ib_async.MarketOrder("BUY", 1, tif="GTD"), 321),
        (ib_async.MarketOrder("HOLD", 1), 321),
        (ib_async.MarketOrder("BUY", 1, account="changeme"), 321),
        (ib_async.MarketOrder("BUY", 1, parentId=99), 135),
    ],
)
async def test_a_bad_order_is_refused_under_the_vendors_number(floor, order, code):
    ib = await floor.connect()
    trade = ib.placeOrder(await share(ib), order)
    await floor.hears(lambda: ib.told(code))
    assert ib.told(code) == [trade.order.orderId]
    assert floor.truth().orders == ()


async def test_short_sales_need_shares_to_borrow(floor):
    floor.gateway.desk.set_rules(unborrowable=frozenset({SYMBOL}))
    ib = await floor.connect()
    trade = ib.placeOrder(await share(ib), ib_async.MarketOrder("SELL", 10))
    await floor.hears(lambda: ib.told(201))
    assert trade.orderStatus.status == "Cancelled"
    assert "not available for short sale" in trade.log[-1].message


async def test_an_order_before_the_bell_is_held_with_a_warning_and_fills_after_it():
    floor = Floor()
    await floor.server.start()
    try:
        floor.step(0)
        ib = await floor.connect()
        trade = ib.placeOrder(await share(ib), buy())
        await floor.hears(lambda: ib.told(399))
        assert not trade.isDone()
        floor.exchange.advance_to(floor.exchange.market.day.open_at)
        await floor.until(trade.isDone)
        assert trade.filled() == 10
    finally:
        await floor.__aexit__()


async def test_a_day_order_ends_with_the_day_and_one_until_cancelled_stays(floor):
    ib = await floor.connect()
    contract = await share(ib)
    for_the_day = ib.placeOrder(contract, ib_async.LimitOrder("BUY", 1, floor.price("0.5")))
    for_long = ib.placeOrder(contract, ib_async.LimitOrder("BUY", 1, floor.price("0.5"), tif="GTC"))
    await floor.hears(lambda: statuses((for_the_day, for_long)) == ["Submitted"] * 2)
    floor.exchange.advance_to(floor.exchange.market.day.close_at)
    await floor.hears(for_the_day.isDone)
    assert statuses((for_the_day, for_long))[0] == "Cancelled"
    assert not for_long.isDone()


@pytest.mark.parametrize(
    ("words", "status", "filled"),
    [
        ({"orderType": "LMT", "lmtPrice": 30, "tif": "IOC"}, "Cancelled", 0),
        ({"orderType": "MKT", "tif": "IOC"}, "Filled", 10),
        ({"orderType": "MKT", "tif": "FOK"}, "Filled", 10),
        ({"orderType": "LMT", "lmtPrice": 39.9, "outsideRth": True}, "Filled", 10),
        ({"orderType": "MOC"}, "Filled", 10),
    ],
)
async def test_how_long_an_order_works_is_as_it_says(floor, words, status, filled):
    ib = await floor.connect()
    trade = ib.placeOrder(await share(ib), ib_async.Order(action="BUY", totalQuantity=10, **words))
    await ib.reqCurrentTimeAsync()
    floor.step(60)
    if words["orderType"] == "MOC":
        await floor.settle()
        assert not trade.isDone()
        floor.exchange.advance_to(floor.exchange.market.day.close_at)
    await floor.hears(trade.isDone)
    assert (trade.orderStatus.status, trade.filled()) == (status, filled)


async def test_a_large_order_fills_in_parts_that_add_up(floor):
    ib = await floor.connect()
    trade = ib.placeOrder(await share(ib), buy(2000))
    seen = []
    ib.orderStatusEvent += lambda known: seen.append((known.orderStatus.filled, known.orderStatus.remaining))
    await floor.until(trade.isDone)
    assert {filled + remaining for filled, remaining in seen} == {2000}
    assert seen[-1] == (2000, 0)
    assert trade.order.totalQuantity == 2000
    parts = [(fill.execution.shares, fill.execution.cumQty) for fill in trade.fills]
    assert len(parts) > 1
    assert [total for _, total in parts] == [sum(shares for shares, _ in parts[: n + 1]) for n in range(len(parts))]
    value = sum(fill.execution.price * fill.execution.shares for fill in trade.fills)
    assert trade.orderStatus.avgFillPrice == pytest.approx(value / 2000)


async def test_a_quantity_that_is_changed_under_way_counts_what_is_filled_already(floor):
    ib = await floor.connect()
    contract = await share(ib)
    trade = ib.placeOrder(contract, ib_async.LimitOrder("BUY", 1500, floor.price("1.01")))
    await floor.until(lambda: trade.filled() > 0)
    assert not trade.isDone()
    trade.order.totalQuantity = 1600
    ib.placeOrder(contract, trade.order)
    await floor.until(trade.isDone)
    assert trade.filled() == 1600
    assert floor.truth().positions[0][1] == 1600


async def test_a_what_if_tells_the_margin_and_places_nothing(floor):
    ib = await floor.connect()
    state = await ib.whatIfOrderAsync(await share(ib), ib_async.LimitOrder("BUY", 10, 50))
    assert float(state.initMarginChange) == 250.0
    assert floor.truth().orders == ()


# --- several orders --------------------------------------------------------------------------------------------------


async def test_a_bracket_sleeps_until_its_parent_is_filled_and_one_leg_ends_the_other(floor):
    ib = await floor.connect()
    contract = await share(ib)
    parts = ib.bracketOrder("SELL", 10, floor.price("0.99"), floor.price("0.5"), floor.price("1.002"))
    trades = [ib.placeOrder(contract, part) for part in parts]
    await floor.hears(lambda: statuses(trades) == ["Submitted", "PreSubmitted", "PreSubmitted"])
    assert [trade.orderStatus.whyHeld for trade in trades] == ["", "child", "child"]
    await floor.until(trades[0].isDone)
    await floor.hears(lambda: statuses(trades) == ["Filled", "Submitted", "PreSubmitted"])
    await floor.until(trades[2].isDone, span=5)
    await floor.hears(trades[1].isDone)
    assert statuses(trades) == ["Filled", "Cancelled", "Filled"]
    assert ib.told(202) == [parts[1].orderId]
    assert floor.truth().positions == ()


async def test_nothing_leaves_before_the_last_part_says_transmit(floor):
    ib = await floor.connect()
    contract = await share(ib)
    parts = ib.bracketOrder("BUY", 10, floor.price("0.9"), floor.price("1.5"), floor.price("0.8"))
    ib.placeOrder(contract, parts[0])
    ib.placeOrder(contract, parts[1])
    assert (await ib.reqCurrentTimeAsync()).year == 2025
    assert floor.truth().orders == ()
    ib.placeOrder(contract, parts[2])
    await floor.hears(lambda: len(floor.truth().orders) == 3)


async def test_a_cancelled_parent_takes_its_children_with_it(floor):
    ib = await floor.connect()
    contract = await share(ib)
    parts = ib.bracketOrder("BUY", 10, floor.price("0.9"), floor.price("1.5"), floor.price("0.8"))
    trades = [ib.placeOrder(contract, part) for part in parts]
    await floor.hears(lambda: statuses(trades)[2] == "PreSubmitted")
    ib.cancelOrder(parts[0])
    await floor.hears(lambda: statuses(trades) == ["Cancelled"] * 3)


async def test_one_cancels_all(floor):
    ib = await floor.connect()
    contract = await share(ib)
    orders = [ib_async.LimitOrder("BUY", 10, floor.price("0.9")), ib_async.LimitOrder("BUY", 10, floor.price("1.01"))]
    trades = [ib.placeOrder(contract, order) for order in ib.oneCancelsAll(orders, "changeme", 1)]
    await floor.until(lambda: all(trade.isDone() for trade in trades))
    assert statuses(trades) == ["Cancelled", "Filled"]


async def test_order_ids_rise_and_a_used_one_is_refused(floor):
    ib = await floor.connect()
    contract = await share(ib)
    first = ib.placeOrder(contract, buy())
    await floor.until(first.isDone)
    ib.client.placeOrder(first.order.orderId, contract, buy())
    await floor.hears(lambda: ib.told(104))
    resting = ib.placeOrder(contract, ib_async.LimitOrder("BUY", 1, 1.0))
    await floor.hears(lambda: resting.orderStatus.status == "Submitted")
    ib.cancelOrder(resting.order)
    await floor.hears(resting.isDone)
    ib.client.placeOrder(resting.order.orderId, contract, buy())
    ib.client.placeOrder(1, contract, buy())
    await floor.hears(lambda: len(ib.told(103)) == 2)
    assert ib.told(103) == [resting.order.orderId, 1]
    assert len(floor.truth().orders) == 2
    ib.disconnect()
    again = await floor.connect()
    assert again.client.getReqId() > resting.order.orderId


async def test_cancels_of_what_is_not_there_or_over_have_numbers_of_their_own(floor):
    ib = await floor.connect()
    trade = ib.placeOrder(await share(ib), buy())
    await floor.until(trade.isDone)
    ib.client.cancelOrder(trade.order.orderId)
    ib.client.cancelOrder(4711)
    await floor.hears(lambda: ib.told(10148) and ib.told(10147))
    assert (ib.told(10148), ib.told(10147)) == ([trade.order.orderId], [4711])


async def test_the_same_reference_twice_is_taken_twice(floor):
    ib = await floor.connect()
    contract = await share(ib)
    trades = [ib.placeOrder(contract, buy(1, orderRef="twice")) for _ in range(2)]
    await floor.until(lambda: all(trade.isDone() for trade in trades))
    assert [order.ticket.label for order in floor.truth().orders] == ["twice", "twice"]
