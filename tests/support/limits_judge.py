"""Random days with a rough venue, marks, halts and restarts, and a judge of the risk part's limits.

What is judged are the orders that left and the venue's own books, not what the engine believes.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

from tbot_bot.core.commands import BrokerHalted, EngageKillSwitch, Output, ReplaceOrder, SharesFixed, SubmitOrder
from tbot_bot.core.events import AccountsMarked, AccountsRead, ControlKind
from tbot_bot.core.identity import Leg, StrategyName
from tbot_bot.core.instants import MINUTE, Instant
from tbot_bot.core.orders import Account, OrderRequest
from tbot_bot.core.policies import EntryOrder, Routing, SizingMode
from tbot_bot.trading.spec import BrokerSpec, SessionSpec
from tbot_bot.trading.takeover import leg_of
from tests.support.adversary import Adversary
from tests.support.scenario import CAPABILITIES, STARTS, minute, spec_of

NAMES = ("one", "two", "three")


def spec_for(seed: int) -> SessionSpec:
    """Return a session whose limits are tight enough to be met, drawn from `seed`."""
    dice = Random(seed)
    strategy = dice.choice((StrategyName.OPEN, StrategyName.MID))
    spec: SessionSpec = spec_of(
        strategy,
        brokers=tuple(BrokerSpec(name=name, capabilities=CAPABILITIES) for name in NAMES[: dice.randint(1, 3)]),
        routing=dice.choice(tuple(Routing)),
        sizing_mode=dice.choice(tuple(SizingMode)),
        entry_order=dice.choice(tuple(EntryOrder)),
        fractional=dice.random() < 0.5,
        total_allocation=Decimal(dice.choice(("0.02", "0.2", "0.9"))),
        max_risk_per_trade=Decimal(dice.choice(("0.01", "0.1", "1"))),
        max_order_notional=Decimal(dice.choice((5_000, 50_000, 10**9))),
        # tight: a few per cent of a position already reach it
        daily_loss_limit=Decimal(dice.choice(("0.00002", "0.0005", "0.05"))),
        max_open_positions=dice.randint(1, 5),
        max_concurrent_per_broker=dice.randint(1, 3),
        max_orders_per_minute=dice.randint(2, 30),
        weights=tuple(map(Decimal, dice.choice((("0.4", "0.2", "0.2", "0.2"), ("0.7", "0.1", "0.1", "0.1"))))),
    )
    return replace(spec, windows=replace(spec.windows, hard_exit_at=minute(STARTS[strategy] + 70)))


@dataclass
class Judge:
    """Reads the story and holds every order that left against the limits, by its own count."""

    spec: SessionSpec
    read: int = 0
    accounts: dict[str, Account] = field(default_factory=dict)
    budgets: dict[str, Decimal] = field(default_factory=dict)
    entered: dict[str, list[OrderRequest]] = field(default_factory=dict)
    since_mark: dict[str, Decimal] = field(default_factory=dict)
    times: list[Instant] = field(default_factory=list)
    out: set[str] = field(default_factory=set)
    places: dict[str, int] = field(default_factory=dict)
    killed: bool = False
    seen: Counter[str] = field(default_factory=Counter)

    def look(self, day: Adversary) -> None:
        """Judge everything that was told since the last look, then the venue's books."""
        for event, answer in day.told[self.read :]:
            if isinstance(event, AccountsRead | AccountsMarked):
                for account in event.accounts:
                    self.accounts[account.broker] = account
                    self.since_mark[account.broker] = Decimal(0)
                    if isinstance(event, AccountsRead):
                        self.budgets[account.broker] = self.spec.allocation.total_allocation * account.equity
            for output in answer:
                self._output(output, event.at)
        self.read = len(day.told)
        self._books(day)

    def _output(self, output: Output, at: Instant) -> None:
        match output:
            case SubmitOrder(order=order) | ReplaceOrder(order=order):
                if leg_of(order.client_order_id) is Leg.ENTRY:
                    self._entry(order, at)
                self.times.append(at)
            case SharesFixed():
                self.places[output.broker] = len(output.shares)
            case BrokerHalted():
                self.out.add(output.broker)
                self.seen["halted"] += 1
            case EngageKillSwitch():
                self.killed = True
                self.seen["killed"] += 1
            case _:
                pass

    def _entry(self, order: OrderRequest, at: Instant) -> None:
        limits, broker = self.spec.limits, order.broker
        worst = order.limit_price
        assert not self.killed
        assert broker not in self.out
        assert at <= self.spec.windows.entry_end
        mine = self.entered.setdefault(broker, [])
        mine.append(order)
        self.seen["entries"] += 1
        assert len(mine) <= min(self.places[broker], self.spec.allocation.max_trades)
        recent = [time for time in self.times if at - time < MINUTE]
        assert len(recent) < limits.max_orders_per_minute
        if worst is None:
            return  # a market order; its worst price is not in the request
        notional = order.instrument.notional(worst, order.quantity)
        self.since_mark[broker] += notional
        account = self.accounts[broker]
        assert notional <= limits.max_risk_per_trade * account.equity
        assert notional <= limits.max_order_notional
        assert self.since_mark[broker] <= account.buying_power
        if self.spec.allocation.sizing_mode is SizingMode.NOTIONAL:
            spent = sum((one.instrument.notional(one.limit_price or worst, one.quantity) for one in mine), Decimal(0))
            assert spent <= self.budgets[broker]

    def _books(self, day: Adversary) -> None:
        """Positions at the venue, and entries that may still become one."""
        opening = {order.request.trade_id for order in day.resting.values() if order.opens}
        places = {trade for trade, quantity in day.positions.items() if quantity > 0} | opening
        brokers = Counter(day.engine.state.trades[trade].broker for trade in places)
        assert len(places) <= self.spec.limits.max_open_positions
        assert max(brokers.values(), default=0) <= self.spec.limits.max_concurrent_per_broker
        assert all(quantity >= 0 for quantity in day.positions.values())


def live(seed: int) -> tuple[Adversary, Judge]:
    """Live through a day with marks, restarts and perhaps a stop; judge it at every step."""
    day = Adversary(spec_for(seed), seed)
    judge = Judge(day.spec)
    start = STARTS[day.spec.strategy]
    stop_at = day.random.randint(start + 15, start + 200)
    for number in range(start, start + 80):
        rough = number - start >= 20 or day.spec.strategy is StrategyName.MID
        day.step(number, jumps=0.03 if rough else 0.004)
        if day.random.random() < 0.7:
            day.mark()
        if number == stop_at:
            day.ask(day.random.choice((ControlKind.STOP, ControlKind.KILL)))
        if day.random.random() < 0.04:
            day.restart()
            judge.seen["restarts"] += 1
        judge.look(day)
    day.calm = True
    for number in range(start + 80, start + 88):
        day.step(number, jumps=0.0)
        judge.look(day)
    day.deliver(everything=True)
    return day, judge
