"""The TWS side of the sandbox, judged by ib_async over real sockets."""

import ib_async

from tests.sandbox.tws_kit import Floor, share


async def test_a_client_connects_places_an_order_and_sees_it_filled():
    async with Floor() as floor:
        ib = await floor.connect()
        assert ib.client.serverVersion() == 176
        assert ib.managedAccounts() == [floor.gateway.account]
        contract = await share(ib)
        trade = ib.placeOrder(contract, ib_async.MarketOrder("BUY", 10, orderRef="first"))
        await floor.until(trade.isDone)
        [fill] = trade.fills
        [known] = floor.truth().fills
        assert trade.orderStatus.status == "Filled"
        assert trade.orderStatus.permId > 0
        assert (fill.execution.orderRef, fill.execution.side, fill.execution.shares) == ("first", "BOT", 10)
        assert fill.execution.price == float(known.price)
        assert fill.commissionReport.commission == float(known.fees)
