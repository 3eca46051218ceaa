"""Random clients on random days: whatever is asked, the books balance and the news tells the truth."""

from datetime import date
from decimal import Decimal

import pytest

from tbot_bot.core.instants import later, minutes, seconds
from tbot_bot.marketdata.dice import Dice
from tbot_bot.marketdata.synthetic import SyntheticMarket
from tbot_bot.sandbox.alpaca_book import AlpacaBook
from tbot_bot.sandbox.alpaca_requests import AlpacaError
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.tickets import NewsKind, Order, OrderNews, Phase

SOURCE = SyntheticMarket(3, date(2025, 9, 2))
SYMBOLS = ("SYN01", "SYN02", "SYN03")
CASH = Decimal(20_000)
STEPS = 150


class RandomClient:
    """Asks for orders of every kind, changes and cancels them, and hears the news."""

    def __init__(self, seed):
        market = SandboxMarket(SOURCE, seed=seed)
        self.exchange = Exchange(market, accounts={"alpaca": CASH})
        self.exchange.advance_to(later(market.day.open_at, minutes(2)))
        self.book = AlpacaBook(self.exchange)
        self.dice = Dice(seed)
        self.news: list[OrderNews] = []
        self.book.desk.subscribe(self.news.append)
        self.exchange.faults.set(
            (
                FaultRule(kind=FaultKind.REJECTED, place="order", chance=0.05),
                FaultRule(kind=FaultKind.PARTIAL, fraction=0.3),
            ),
            seed=seed,
        )
        self.refusals = 0

    def pick(self, *things):
        return things[int(self.dice.uniform(0, len(things)))]

    def price(self, symbol, low, high):
        now = self.exchange.market.price(symbol, self.exchange.now())
        assert now is not None
        return str(round(float(now) * self.dice.uniform(low, high), 2))

    def step(self):
        try:
            self.pick(self.place, self.place, self.change, self.cancel)()
        except AlpacaError:
            self.refusals += 1
        self.exchange.advance_to(later(self.exchange.now(), seconds(self.pick(0, 1, 7, 45))))

    def place(self):
        symbol, kind = self.pick(*SYMBOLS), self.pick("market", "limit", "stop", "stop_limit", "trailing_stop")
        order_class = self.pick("simple", "simple", "bracket", "oto", "oco")
        body = {
            "symbol": symbol,
            "qty": self.pick("1", "20", "150", "0.5"),
            "side": self.pick("buy", "buy", "sell"),
            "type": kind,
            "time_in_force": self.pick("day", "day", "gtc", "ioc", "fok"),
            "order_class": order_class,
        }
        if "limit" in kind:
            body["limit_price"] = self.price(symbol, 0.995, 1.005)
        if kind in {"stop", "stop_limit"}:
            body["stop_price"] = self.price(symbol, 0.995, 1.005)
        if kind == "trailing_stop":
            body["trail_percent"] = self.pick("0.1", "0.5")
        if order_class in {"bracket", "oco"}:
            body["take_profit"] = {"limit_price": self.price(symbol, 1.001, 1.01)}
        if order_class != "simple":
            body["stop_loss"] = {"stop_price": self.price(symbol, 0.99, 0.999)}
        self.book.place(body)

    def some_order(self) -> Order | None:
        orders = self.book.desk.open_orders() or self.book.desk.orders()
        return self.pick(*orders) if orders else None

    def change(self):
        order = self.some_order()
        if order is not None:
            symbol = order.ticket.instrument.symbol
            body = {"limit_price": self.price(symbol, 0.99, 1.01)} if order.ticket.limit else {"qty": "7"}
            self.book.change(order, body)

    def cancel(self):
        order = self.some_order()
        if order is not None:
            self.book.cancel(order)

    def check(self):
        """Hold the books against the executions, and the news against the orders."""
        desk = self.book.desk
        fills, truth = desk.fills(), desk.truth()
        cash, held = CASH, dict.fromkeys(SYMBOLS, Decimal(0))
        for fill in fills:
            ticket = self.book.current(int(fill.client_order_id)).ticket
            sign = 1 if ticket.buys else -1
            cash -= fill.price * fill.quantity * sign + fill.fees
            held[ticket.instrument.symbol] += fill.quantity * sign
        assert truth.cash == cash
        assert {symbol: quantity for symbol, quantity, _ in truth.positions} == {s: q for s, q in held.items() if q}
        assert len({fill.execution_id for fill in fills}) == len(fills)
        assert [news.fill for news in self.news if news.fill] == list(fills)
        for order in desk.orders():
            told = [news for news in self.news if news.order.number == order.number]
            assert order.filled == sum(news.fill.quantity for news in told if news.fill)
            assert 0 <= order.filled <= order.ticket.quantity
            assert (order.phase is Phase.FILLED) == (order.filled == order.ticket.quantity)
            assert (order.ended_at is None) == order.phase.open
            if order.phase is not Phase.HELD:
                assert told[-1].order.phase is order.phase
            endings = [news.kind for news in told if not news.order.phase.open and news.kind is not NewsKind.CHANGED]
            assert len(endings) == (not order.phase.open)
            self.book.shape(order, nested=True)
        assert all(news.at <= later_news.at for news, later_news in zip(self.news, self.news[1:], strict=False))


@pytest.mark.parametrize("seed", range(6))
def test_a_random_day_keeps_exact_books(seed):
    client = RandomClient(seed)
    for _ in range(STEPS):
        client.step()
        client.check()
    client.exchange.advance_to(client.exchange.market.day.close_at)
    client.check()
    assert all(order.ticket.lifetime.value == "gtc" for order in client.book.desk.open_orders())
    assert len(client.book.desk.fills()) > 10
    assert 0 < client.refusals < STEPS


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_random_days_keep_exact_books(seed):
    client = RandomClient(seed)
    for _ in range(STEPS):
        client.step()
    client.check()


def test_a_random_day_comes_out_the_same_again():
    truths = []
    for _ in range(2):
        client = RandomClient(9)
        for _ in range(60):
            client.step()
        truths.append(client.exchange.truth())
    assert truths[0] == truths[1]
