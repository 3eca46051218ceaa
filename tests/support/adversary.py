"""A venue that misbehaves by a seed, and a market that walks at random, around one engine.

What it may do: refuse, fill in parts, acknowledge late, tell twice, mix up the news of different orders, let a
trailing stop stand anywhere. What no venue does: tell an order's end before its executions, or sell more than it holds
for us.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

from tbot_bot.core.bars import Bar
from tbot_bot.core.commands import CancelOrder, Output, ReplaceOrder, SubmitOrder
from tbot_bot.core.events import (
    AccountsMarked,
    AccountsRead,
    BarsClosed,
    CancelRejected,
    ControlKind,
    ControlReceived,
    EarlierToday,
    Event,
    OrderAcknowledged,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    ScreenCompleted,
)
from tbot_bot.core.orders import Fill, OrderRequest, OrderType
from tbot_bot.core.trails import StopTrailed, TrailingTrigger
from tbot_bot.trading.engine import Engine
from tbot_bot.trading.spec import SessionSpec
from tests.support.scenario import account, minute, verdict


class Oversold(AssertionError):
    """The engine asked the venue to sell more than it holds for the trade."""


@dataclass
class Resting:
    """An order as the venue knows it."""

    request: OrderRequest
    left: Decimal

    @property
    def opens(self) -> bool:
        """Return whether its executions add to the trade's position."""
        return "-entry" in self.request.client_order_id


@dataclass
class Adversary:
    """One session against a venue and a market drawn from `seed`."""

    spec: SessionSpec
    seed: int
    symbols: tuple[str, ...] = ("AAA", "BBB", "CCC", "DDD")
    calm: bool = False
    """True: the venue does at once what it is asked."""
    told: list[tuple[Event, list[Output]]] = field(default_factory=list)
    news: list[Event] = field(default_factory=list)
    resting: dict[str, Resting] = field(default_factory=dict)
    positions: dict[str, Decimal] = field(default_factory=dict)
    """Quantity held per trade, without sign."""
    flows: dict[str, Decimal] = field(default_factory=dict)
    """Dollars that executions have brought in (or taken, negative) per broker, fees included."""
    holdings: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """Signed quantity per broker and symbol."""
    known: set[str] = field(default_factory=set)
    executions: int = 0

    def __post_init__(self) -> None:
        """Tell everything that comes before the first bar."""
        self.random = Random(self.seed)
        self.engine = Engine(self.spec)
        self.prices = dict.fromkeys(self.symbols, 100.0)
        at = self.spec.windows.screen_at
        accounts = tuple(account(broker.name) for broker in self.spec.brokers)
        self.tell(AccountsRead(at=at, accounts=accounts))
        self.tell(EarlierToday(at=at, traded=(), open_trades=0))
        verdicts = tuple(verdict(symbol, rank) for rank, symbol in enumerate(self.symbols, start=1))
        self.tell(ScreenCompleted(at=at, source="hand", verdicts=verdicts))

    def tell(self, event: Event) -> None:
        """Feed one event and let the venue take the engine's commands."""
        outputs = self.engine.handle(event)
        self.told.append((event, outputs))
        for output in outputs:
            self.tell_venue(output)

    def tell_venue(self, output: Output) -> None:
        """Let the venue take what is meant for it."""
        match output:
            case SubmitOrder():
                self._submit(output.order)
            case ReplaceOrder():
                self._replace(output.order)
            case CancelOrder():
                self._cancel(output.client_order_id)
            case _:
                pass

    def step(self, number: int, *, jumps: float) -> None:
        """Close minute `number`, every price moved by up to `jumps` as a fraction, and let the venue act."""
        rows = []
        for symbol in self.symbols:
            before = self.prices[symbol]
            after = round(before * (1 + self.random.uniform(-jumps, jumps)), 2)
            self.prices[symbol] = after
            low, high = min(before, after), max(before, after)
            rows.append(Bar(symbol, minute(number), minute(number + 1), before, high, low, after, 1000.0))
        self.tell(BarsClosed(at=minute(number + 1), bars=tuple(rows)))
        self._trade()
        self.deliver(everything=self.calm or self.random.random() < 0.6)

    def equity(self, broker: str) -> Decimal:
        """Return what the account is worth at the last prices, by the venue's own books."""
        held = ((symbol, quantity) for (name, symbol), quantity in self.holdings.items() if name == broker)
        worth = sum((quantity * Decimal(str(self.prices[symbol])) for symbol, quantity in held), Decimal(0))
        started: Decimal = account(broker).equity
        return started + self.flows.get(broker, Decimal(0)) + worth

    def mark(self) -> None:
        """Tell what every account is worth; its buying power is what it was less what was bought."""
        names = [broker.name for broker in self.spec.brokers]
        spent = {name: max(-self.flows.get(name, Decimal(0)), Decimal(0)) for name in names}
        accounts = tuple(
            replace(account(name), equity=self.equity(name), buying_power=account(name).buying_power - spent[name])
            for name in names
        )
        self.tell(AccountsMarked(at=self.engine.state.at, accounts=accounts))

    def restart(self) -> None:
        """Let the engine die and a fresh one come up from what was recorded."""
        fresh = Engine(self.spec)
        for event, answer in self.told:
            assert fresh.handle(event) == answer
        self.engine = fresh

    def ask(self, kind: ControlKind) -> None:
        """Let a person stop or kill the session."""
        self.tell(ControlReceived(at=self.engine.state.at, kind=kind, by="test", why="walk"))

    def deliver(self, *, everything: bool) -> None:
        """Tell the news, those of different orders in any order, some of them twice."""
        while self.news and (everything or self.random.random() < 0.7):
            index = self.random.randrange(len(self.news))
            about = _order_of(self.news[index])
            index = next(place for place, event in enumerate(self.news) if _order_of(event) == about)
            event = self.news.pop(index)
            if not self.calm and self.random.random() < 0.1:
                self.news.append(event)
            at = max(self.engine.state.at, event.at)
            self.tell(replace(event, at=at))  # type: ignore[type-var]  # news are dataclasses, bars are not news

    def _chance(self, share: float) -> bool:
        return not self.calm and self.random.random() < share

    def _hear(self, event: Event) -> None:
        self.news.append(event)

    def _submit(self, order: OrderRequest) -> None:
        at, order_id = self.engine.state.at, order.client_order_id
        assert order_id not in self.known, f"{order_id} was sent twice"
        self.known.add(order_id)
        if "-entry" not in order_id and self._sells(order.trade_id) + order.quantity > self._position(order.trade_id):
            raise Oversold(order_id)
        if self._chance(0.15):
            self._hear(OrderRejected(at=at, client_order_id=order_id, reason="by chance"))
            return
        self.resting[order_id] = Resting(order, order.quantity)
        if self._chance(0.2):
            self._execute(order_id)  # its execution outruns the acknowledgement
        self._hear(OrderAcknowledged(at=at, client_order_id=order_id, broker_order_id="b"))

    def _replace(self, order: OrderRequest) -> None:
        at, old = self.engine.state.at, order.replaces or ""
        assert order.client_order_id not in self.known, f"{order.client_order_id} was sent twice"
        self.known.add(order.client_order_id)
        others = self._sells(order.trade_id) - (self.resting[old].left if old in self.resting else 0)
        too_much = others + order.quantity > self._position(order.trade_id)
        if old not in self.resting or too_much or self._chance(0.15):
            self._hear(OrderRejected(at=at, client_order_id=order.client_order_id, reason="cannot be replaced"))
            self._hear(CancelRejected(at=at, client_order_id=old, reason="cannot be replaced"))
            return
        del self.resting[old]
        self.resting[order.client_order_id] = Resting(order, order.quantity)
        self._hear(OrderReplaced(at=at, client_order_id=old, by=order.client_order_id))

    def _cancel(self, order_id: str) -> None:
        at = self.engine.state.at
        if order_id not in self.resting or self._chance(0.15):
            self._hear(CancelRejected(at=at, client_order_id=order_id, reason="too late"))
            return
        del self.resting[order_id]
        self._hear(OrderCancelled(at=at, client_order_id=order_id))

    def _trade(self) -> None:
        for order_id, order in tuple(self.resting.items()):
            kind = order.request.order_type
            self._trail(order.request)
            share = {OrderType.MARKET: 1.0, OrderType.LIMIT: 0.6, OrderType.STOP: 0.12}[kind]
            if (self.calm and kind is OrderType.MARKET) or self._chance(share):
                self._execute(order_id)

    def _trail(self, request: OrderRequest) -> None:
        """Tell where the stop that the venue moves stands: as it should, or not at all, or anywhere."""
        stop = request.stop
        if not isinstance(stop, TrailingTrigger) or self._chance(0.5):
            return
        assert request.quantity % 1 == 0, "a vendor moves stops on whole shares only"
        factor = 1 + float(stop.trail) if stop.rising else 1 - float(stop.trail)
        away = self.random.uniform(0.97, 1.03) if self._chance(0.3) else 1.0
        level = round(Decimal(self.prices[stop.symbol] * factor * away), 2)
        self._hear(StopTrailed(at=self.engine.state.at, client_order_id=request.client_order_id, price=level))

    def _execute(self, order_id: str) -> None:
        order = self.resting[order_id]
        step = order.request.instrument.quantity_step
        part = order.left
        if self._chance(0.5):
            part = min(order.left, max(step, (order.left / self.random.randint(2, 5)) // step * step))
        order.left -= part
        if order.left <= 0:
            del self.resting[order_id]
        trade = order.request.trade_id
        self.positions[trade] = self._position(trade) + (part if order.opens else -part)
        self.executions += 1
        request, price = order.request, Decimal(str(self.prices[order.request.instrument.symbol]))
        signed = part if request.side.buys else -part
        place = (request.broker, request.instrument.symbol)
        self.holdings[place] = self.holdings.get(place, Decimal(0)) + signed
        self.flows[request.broker] = self.flows.get(request.broker, Decimal(0)) - signed * price - Decimal("0.01")
        fill = Fill(
            execution_id=f"x{self.executions}",
            client_order_id=order_id,
            price=price,
            quantity=part,
            fees=Decimal("0.01"),
            transacted_at=self.engine.state.at,
        )
        self._hear(OrderFilled(at=self.engine.state.at, fill=fill))

    def _position(self, trade: str) -> Decimal:
        return self.positions.get(trade, Decimal(0))

    def _sells(self, trade: str) -> Decimal:
        mine = [order.left for order in self.resting.values() if order.request.trade_id == trade and not order.opens]
        return sum(mine, Decimal(0))


def _order_of(event: Event) -> str:
    if isinstance(event, OrderFilled):
        return event.fill.client_order_id
    return str(getattr(event, "client_order_id", ""))
