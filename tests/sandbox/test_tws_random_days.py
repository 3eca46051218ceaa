"""Made-up hours of two ib_async clients that do whatever comes to mind, against what the venue knows in the end."""

import math
import random

import ib_async
import pytest

from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tests.sandbox.tws_kit import Floor, share

SYMBOLS = ("SYN01", "SYN02", "SYN03")
NEWS_TWICE_AND_SWAPPED = (
    FaultRule(kind=FaultKind.DUPLICATED, place="orders", chance=0.3),
    FaultRule(kind=FaultKind.REORDERED, place="orders", chance=0.2),
)


class Trader:
    """One client that places, changes and cancels by the throw of a die."""

    def __init__(self, floor, ib, dice):
        self.floor, self.ib, self.dice = floor, ib, dice
        self.contracts: list[ib_async.Contract] = []
        self.trades: list[ib_async.Trade] = []

    async def act(self):
        """Do one thing, and let the market go on for some seconds."""
        if not self.contracts:
            self.contracts = [await share(self.ib, symbol) for symbol in SYMBOLS]
        resting = [trade for trade in self.trades if trade.isActive() and trade.orderStatus.permId]
        what = self.dice.choice(("place", "place", "place", "bracket", "change", "cancel"))
        if what == "place":
            self._place(self._order())
        elif what == "bracket":
            contract, price = self._contract()
            for part in self.ib.bracketOrder("BUY", 10, *(round(price * each, 2) for each in (1.01, 1.002, 0.999))):
                self._place(part, contract)
        elif resting and what == "change":
            trade = self.dice.choice(resting)
            trade.order.totalQuantity += 1
            self.ib.client.placeOrder(trade.order.orderId, trade.contract, trade.order)
        elif resting:
            self.ib.cancelOrder(self.dice.choice(resting).order)
        await self.ib.reqCurrentTimeAsync()
        self.floor.step(self.dice.randint(1, 20))
        await self.floor.settle()

    def _contract(self):
        contract = self.dice.choice(self.contracts)
        return contract, self.floor.price(symbol=contract.symbol)

    def _order(self):
        _, price = self._contract()
        side, quantity = self.dice.choice(("BUY", "SELL")), self.dice.choice((1, 10, 700))
        near = round(price * self.dice.uniform(0.995, 1.005), 2)
        kinds = {
            "MKT": {},
            "LMT": {"lmtPrice": near, "tif": self.dice.choice(("DAY", "IOC", "GTC"))},
            "STP": {"auxPrice": near},
            "TRAIL": {"auxPrice": 0.05},
        }
        kind = self.dice.choice(list(kinds))
        return ib_async.Order(action=side, totalQuantity=quantity, orderType=kind, **kinds[kind])

    def _place(self, order, contract=None):
        self.trades.append(self.ib.placeOrder(contract or self.dice.choice(self.contracts), order))


def numbers(executions):
    """Return what executions say, in numbers that can be compared."""
    return sorted((each.permId, each.price, each.shares) for each in executions)


@pytest.mark.parametrize("rules", [(), NEWS_TWICE_AND_SWAPPED], ids=["orderly", "repeated and swapped"])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_clients_do_their_books_end_as_the_venues(seed, rules):
    dice = random.Random(seed)
    async with Floor(rules, cash=1_000_000) as floor:
        traders = [Trader(floor, await floor.connect(number), dice) for number in (1, 2)]
        for _ in range(40):
            await dice.choice(traders).act()
        floor.faults.set([], seed=1)
        observer = await floor.connect(9)
        truth = floor.truth()
        assert len(truth.fills) > 10
        told = [fill.execution for fill in await observer.reqExecutionsAsync()]
        known = {number: entry for entry in floor.gateway.book for number in entry.numbers}
        assert numbers(told) == sorted(
            (known[int(fill.client_order_id)].perm_id, float(fill.price), float(fill.quantity)) for fill in truth.fills
        )
        fees = [fill.commissionReport.commission for fill in observer.fills()]
        assert math.fsum(fees) == pytest.approx(float(truth.fees))
        held = {(each.contract.symbol, each.position, each.avgCost) for each in observer.positions()}
        assert held == {(symbol, float(quantity), float(price)) for symbol, quantity, price in truth.positions}
        resting = {(each.order.permId, each.remaining()) for each in await observer.reqAllOpenOrdersAsync()}
        assert resting == {
            (known[order.number].perm_id, float(order.remaining)) for order in truth.orders if order.phase.open
        }
        for trader in traders:
            heard = {fill.execution.execId for fill in trader.ib.fills()}
            own = {each.execId for each in told if each.clientId == trader.ib.client.clientId}
            assert heard <= own if rules else heard == own
