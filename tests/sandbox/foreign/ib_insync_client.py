"""A day with ib_insync at the sandbox's gateway: run by tools/judge_ib_insync.py, in an environment of its own.

Prints one JSON object of what the client saw; an assertion that fails ends it with a traceback and status 1.
"""

import json
import math
import sys

import ib_insync  # type: ignore[import-not-found] # must not be installed beside ib_async

PATIENCE = 20.0


def waits(ib, holds, what):
    """Let the client work until `holds`."""
    for _ in range(int(PATIENCE / 0.05)):
        if holds():
            return
        ib.sleep(0.05)
    raise AssertionError(f"did not happen: {what}")


def statuses(trades):
    return [trade.orderStatus.status for trade in trades]


def data(ib, contract):
    """Ask for everything that is known of the share."""
    [details] = ib.reqContractDetails(contract)
    assert details.minTick == 0.01
    bars = ib.reqHistoricalData(contract, "", "1 D", "1 min", "TRADES", useRTH=True, formatDate=2)
    days = ib.reqHistoricalData(contract, "", "1 M", "1 day", "TRADES", useRTH=True)
    assert len(bars) > 3
    assert len(days) > 15
    ticker = ib.reqMktData(contract, "225,236")
    live = ib.reqRealTimeBars(contract, 5, "TRADES", useRTH=False)
    waits(ib, lambda: ticker.bid > 0 and ticker.shortableShares > 0, "ticks")
    waits(ib, lambda: len(live) > 1, "real-time bars")
    ib.cancelMktData(contract)
    ib.cancelRealTimeBars(live)
    [vix] = ib.qualifyContracts(ib_insync.Index("VIX", "CBOE"))
    [index] = ib.reqTickers(vix)
    assert not math.isnan(index.last)
    assert ib.reqCurrentTime().year > 2000


def options(ib, contract, price):
    """Buy a put from the grid."""
    chain = next(one for one in ib.reqSecDefOptParams("SYN01", "", "STK", contract.conId) if one.exchange == "SMART")
    strike = min(chain.strikes, key=lambda each: abs(each - price))
    [put] = ib.qualifyContracts(ib_insync.Option("SYN01", chain.expirations[0], strike, "P", "SMART"))
    trade = ib.placeOrder(put, ib_insync.MarketOrder("BUY", 1))
    waits(ib, trade.isDone, "a put")
    assert trade.orderStatus.status == "Filled"


def orders(ib, contract, price):
    """Place, change, cancel, bracket, refuse."""
    bought = ib.placeOrder(contract, ib_insync.MarketOrder("BUY", 20, orderRef="insync"))
    waits(ib, lambda: bought.fills and bought.fills[-1].commissionReport.commission, "a fill with its cost")
    resting = ib.placeOrder(contract, ib_insync.LimitOrder("BUY", 5, round(price * 0.5, 2)))
    waits(ib, lambda: resting.orderStatus.status == "Submitted", "a resting order")
    resting.order.lmtPrice = round(price * 0.6, 2)
    ib.placeOrder(contract, resting.order)
    ib.cancelOrder(resting.order)
    waits(ib, lambda: resting.orderStatus.status == "Cancelled", "a cancel")
    parts = ib.bracketOrder("BUY", 5, round(price * 1.01, 2), round(price * 1.5, 2), round(price * 0.5, 2))
    trades = [ib.placeOrder(contract, part) for part in parts]
    waits(ib, lambda: statuses(trades) == ["Filled", "Submitted", "PreSubmitted"], "a bracket")
    ib.cancelOrder(parts[1])
    waits(ib, lambda: statuses(trades)[1:] == ["Cancelled", "Cancelled"], "the bracket's end")
    refused = ib.placeOrder(contract, ib_insync.MarketOrder("BUY", 1_000_000))
    waits(ib, refused.isDone, "a refusal")
    kept = ib.placeOrder(contract, ib_insync.LimitOrder("BUY", 1, 1.0, tif="GTC", orderRef="kept"))
    waits(ib, lambda: kept.orderStatus.status == "Submitted", "an order to keep")


def main(port):
    codes = []
    ib = ib_insync.IB()
    ib.errorEvent += lambda req_id, code, text, contract: codes.append(code)
    ib.connect("127.0.0.1", port, clientId=5, timeout=10)
    assert ib.client.serverVersion() == 176
    [contract] = ib.qualifyContracts(ib_insync.Stock("SYN01", "SMART", "USD"))
    [ticker] = ib.reqTickers(contract)
    price = ticker.marketPrice()
    data(ib, contract)
    orders(ib, contract, price)
    options(ib, contract, price)
    assert {201, 202} <= set(codes), codes
    ib.disconnect()
    ib.connect("127.0.0.1", port, clientId=5, timeout=10)
    [trade] = [one for one in ib.openTrades() if one.orderStatus.status != "Inactive"]  # refused ones look open to it
    assert trade.order.orderRef == "kept"
    assert ib.reqCompletedOrders(apiOnly=False)
    seen = {
        "fills": [
            [fill.execution.price, fill.execution.shares, fill.commissionReport.commission] for fill in ib.fills()
        ],
        "positions": sorted([one.contract.localSymbol.replace(" ", ""), one.position] for one in ib.positions()),
        "cash": next(float(value.value) for value in ib.accountSummary() if value.tag == "TotalCashValue"),
        "version": ib_insync.__version__,
    }
    ib.disconnect()
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
