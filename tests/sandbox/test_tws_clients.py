"""Reconnects, several clients and the account over the sandbox's TWS side, judged by ib_async over real sockets."""

from decimal import Decimal

import ib_async
import pytest

from tbot_bot.core.instruments import equity
from tbot_bot.sandbox.tickets import Kind, Ticket
from tests.sandbox.tws_kit import SYMBOL, Floor, share


@pytest.fixture
async def floor():
    async with Floor() as made:
        yield made


def buy(quantity=10, **words):
    return ib_async.MarketOrder("BUY", quantity, **words)


# --- who sees what ---------------------------------------------------------------------------------------------------


async def test_an_order_survives_its_client_and_is_found_again(floor):
    ib = await floor.connect()
    contract = await share(ib)
    resting = ib.placeOrder(contract, ib_async.LimitOrder("BUY", 10, floor.price("0.5"), orderRef="resting"))
    ib.placeOrder(contract, buy(3, orderRef="filled meanwhile"))
    await floor.hears(lambda: len(floor.gateway.desk.open_orders()) == 2)
    ib.disconnect()
    await floor.until(lambda: len(floor.truth().fills) == 1)
    again = await floor.connect()
    [trade] = again.openTrades()
    assert (trade.order.orderRef, trade.order.orderId) == ("resting", resting.order.orderId)
    [fill] = again.fills()
    assert (fill.execution.orderRef, fill.execution.shares) == ("filled meanwhile", 3)
    assert fill.commissionReport.commission == float(floor.truth().fills[0].fees)
    [completed] = await again.reqCompletedOrdersAsync(apiOnly=False)
    assert (completed.order.orderRef, completed.orderStatus.status) == ("filled meanwhile", "Filled")
    again.cancelOrder(trade.order)
    await floor.hears(trade.isDone)


async def test_two_clients_have_ids_and_news_of_their_own_and_one_account(floor):
    one, two = await floor.connect(1), await floor.connect(2)
    contract = await share(one)
    mine = one.placeOrder(contract, ib_async.LimitOrder("BUY", 5, floor.price("0.5")))
    await floor.hears(lambda: mine.orderStatus.status == "Submitted")
    assert await two.reqOpenOrdersAsync() == []
    [seen] = await two.reqAllOpenOrdersAsync()
    assert (seen.order.clientId, seen.order.permId) == (1, mine.order.permId)
    bought = two.placeOrder(contract, buy(2))
    await floor.until(bought.isDone)
    await floor.hears(lambda: one.positions() and one.positions()[0].position == 2)
    assert one.fills() == []
    assert len(await one.reqExecutionsAsync()) == 1
    assert await one.reqExecutionsAsync(ib_async.ExecutionFilter(clientId=1)) == []
    one.reqGlobalCancel()
    await floor.hears(mine.isDone)


async def test_a_client_id_is_taken_once_at_a_time(floor):
    await floor.connect(3)
    with pytest.raises((ConnectionError, TimeoutError)):
        await floor.connect(3, patience=0.5)
    assert floor.clients[1].told(326) == [-1]
    assert (await floor.connect(4)).isConnected()


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ({}, 2),
        ({"side": "SELL"}, 1),
        ({"symbol": "SYN02"}, 0),
        ({"secType": "OPT"}, 0),
        ({"clientId": 7, "acctCode": "DU0000000"}, 2),
        ({"time": "20250902-13:30:00"}, 2),
        ({"time": "20250902 15:00:00 US/Eastern"}, 0),
    ],
)
async def test_executions_are_filtered(floor, words, count):
    ib = await floor.connect()
    contract = await share(ib)
    for order in (buy(10), ib_async.MarketOrder("SELL", 4)):
        trade = ib.placeOrder(contract, order)
        await floor.until(trade.isDone)
    assert len(await ib.reqExecutionsAsync(ib_async.ExecutionFilter(**words))) == count


async def test_an_order_by_hand_is_seen_but_is_nobodys(floor):
    ticket = Ticket(instrument=equity(SYMBOL), buys=True, quantity=Decimal(5), kind=Kind.LIMIT, limit=Decimal(1))
    floor.gateway.desk.place(ticket)
    ib = await floor.connect()
    assert ib.openTrades() == []
    [trade] = await ib.reqAllOpenOrdersAsync()
    assert (trade.order.clientId, trade.order.totalQuantity, trade.order.lmtPrice) == (0, 5, 1)
    assert trade.order.orderId < 0


# --- the account -----------------------------------------------------------------------------------------------------


async def test_what_the_client_saw_is_what_the_venue_knows(floor):
    ib = await floor.connect()
    first, second = await share(ib), await share(ib, "SYN02")
    orders = [(first, buy(30)), (second, ib_async.MarketOrder("SELL", 20)), (first, ib_async.MarketOrder("SELL", 10))]
    for contract, order in orders:
        trade = ib.placeOrder(contract, order)
        await floor.until(trade.isDone)
    await floor.hears(lambda: len(ib.positions()) == 2 and ib.positions()[0].position == 20)
    truth = floor.truth()
    seen = {(p.contract.symbol, p.position, p.avgCost) for p in ib.positions()}
    assert seen == {(symbol, float(held), float(price)) for symbol, held, price in truth.positions}
    assert [(f.execution.price, f.execution.shares) for f in ib.fills()] == [
        (float(fill.price), float(fill.quantity)) for fill in truth.fills
    ]
    assert sum(f.commissionReport.commission for f in ib.fills()) == pytest.approx(float(truth.fees))
    summary = {value.tag: value.value for value in await ib.accountSummaryAsync()}
    assert float(summary["TotalCashValue"]) == pytest.approx(float(truth.cash), abs=0.005)
    assert float(summary["NetLiquidation"]) == pytest.approx(float(truth.equity), abs=0.005)
    assert float(summary["BuyingPower"]) == pytest.approx(float(truth.buying_power), abs=0.005)
    assert [item.position for item in ib.portfolio()] == [20, -20]


async def test_a_closed_position_leaves_the_clients_books_and_its_profit_is_told(floor):
    ib = await floor.connect()
    contract = await share(ib)
    for order in (buy(30), ib_async.MarketOrder("SELL", 30)):
        trade = ib.placeOrder(contract, order)
        await floor.until(trade.isDone)
    await floor.hears(lambda: not ib.positions() and not ib.portfolio())
    bought, sold = ib.fills()
    gain = (sold.execution.price - bought.execution.price) * 30 - sold.commissionReport.commission
    assert sold.commissionReport.realizedPNL == pytest.approx(gain)
    values = {value.tag: value.value for value in ib.accountValues() if value.tag == "RealizedPnL"}
    assert float(values["RealizedPnL"]) == pytest.approx(gain, abs=0.005)
