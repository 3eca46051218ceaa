"""A session told by hand: bars in, commands out, with a broker that answers as it is told."""

from dataclasses import fields, replace
from datetime import date
from decimal import Decimal

from tbot_bot.core.bars import Bar
from tbot_bot.core.commands import CancelOrder, ExitDecided, ReplaceOrder, SignalDropped, SubmitOrder
from tbot_bot.core.events import (
    AccountsRead,
    BarsClosed,
    CancelRejected,
    ControlReceived,
    EarlierToday,
    FillBusted,
    OrderAcknowledged,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    ScreenCompleted,
)
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import MINUTE, Instant, minutes, parse_iso
from tbot_bot.core.orders import Account, Capabilities, Fill, ShortType
from tbot_bot.core.policies import EntryOrder, Routing, SizingMode
from tbot_bot.core.screening import Verdict
from tbot_bot.strategy.strategy_meta import CloseParams, MidParams, OpenParams
from tbot_bot.trading.engine import Engine
from tbot_bot.trading.spec import (
    Allocation,
    BearishRules,
    BrokerSpec,
    FilterRules,
    RiskLimits,
    SessionSpec,
    Windows,
)

DAY = date(2025, 12, 2)
BELL = parse_iso("2025-12-02T14:30:00Z")
CAPABILITIES = Capabilities(real_orders=False, live=False)
STARTS = {StrategyName.OPEN: 0, StrategyName.MID: 60, StrategyName.CLOSE: 300}
ANALYSES = {StrategyName.OPEN: 20, StrategyName.MID: 10, StrategyName.CLOSE: 10}


def minute(number):
    """Return the instant `number` minutes after the opening bell."""
    return Instant(BELL + round(number * MINUTE))


def windows_of(strategy):
    start = STARTS[strategy]
    analysis_end = start + ANALYSES[strategy]
    return Windows(
        bell=BELL,
        screen_at=minute(start - 5),
        start=minute(start),
        analysis_end=minute(analysis_end),
        entry_end=minute(analysis_end + 10),
        monitoring=minutes(45 if strategy is StrategyName.MID else 30),
        hard_exit_at=minute(380),
        market_close=minute(390),
        bar_span=MINUTE,
    )


def params_of(strategy: StrategyName, windows: Windows):
    times = (windows.bell, windows.start, windows.analysis_end, windows.entry_end, windows.bar_span)
    match strategy:
        case StrategyName.OPEN:
            return OpenParams(*times, 0.02)
        case StrategyName.MID:
            return MidParams(*times, 0.02)
        case StrategyName.CLOSE:
            return CloseParams(*times, 0.01, 3.0)


def _changed(part, changes):
    """Return `part` with those of `changes` that name its fields, and take them out of `changes`."""
    own = {field.name: changes.pop(field.name) for field in fields(part) if field.name in changes}
    return replace(part, **own)


def spec_of(strategy=StrategyName.OPEN, **changes):
    """Return a specification with the product's defaults; `changes` name fields of it or of its parts."""
    windows = windows_of(strategy)
    allocation = _changed(
        Allocation(
            total_allocation=Decimal("0.02"),
            weights=tuple(map(Decimal, ("0.4", "0.2", "0.2", "0.2"))),
            max_trades=4,
            sizing_mode=SizingMode.NOTIONAL,
            fractional=True,
            entry_order=EntryOrder.MARKETABLE_LIMIT,
            max_slippage=Decimal("0.003"),
        ),
        changes,
    )
    limits = _changed(
        RiskLimits(
            disable_all_trades=False,
            kill_switch=False,
            max_risk_per_trade=Decimal("0.025"),
            daily_loss_limit=Decimal("0.05"),
            max_open_positions=5,
            max_concurrent_per_broker=3,
            max_order_notional=Decimal(100_000),
            max_orders_per_minute=30,
            price_collar=Decimal("0.05"),
            max_spread=Decimal("0.015"),
            min_volume=Decimal(1_000_000),
        ),
        changes,
    )
    bearish = _changed(
        BearishRules(
            short_type=ShortType.SHORT_SELL,
            inverse_by_symbol=(),
            inverse_by_sector=(("Technology", "INV"),),
            inverse_default="",
            put_min_days=7,
            put_max_spread=Decimal("0.05"),
            put_target_delta=Decimal("-0.5"),
        ),
        changes,
    )
    filters = _changed(
        FilterRules(
            adx_enabled=False,
            adx_max=25.0,
            bollinger_enabled=False,
            bollinger_deviations=2.0,
            vix_threshold=Decimal(15),
            imbalance_enabled=True,
        ),
        changes,
    )
    spec = SessionSpec(
        session=SessionId(day=DAY, strategy=strategy),
        day=DAY,
        strategy=strategy,
        mode=Mode.PAPER,
        test_mode=True,
        confirmation_required=False,
        windows=windows,
        params=params_of(strategy, windows),
        stop_fraction=Decimal("0.015") if strategy is StrategyName.MID else Decimal("0.02"),
        max_gap=Decimal("0.1"),
        brokers=(BrokerSpec(name="sim", capabilities=CAPABILITIES),),
        routing=Routing.EACH,
        allocation=allocation,
        limits=limits,
        bearish=bearish,
        filters=filters,
    )
    return replace(spec, **changes)


def verdict(symbol, rank, previous_close=None, **changes):
    base = Verdict(
        symbol=symbol,
        passed=True,
        rank=rank,
        score=Decimal(0),
        last_price=None,
        previous_close=None if previous_close is None else Decimal(previous_close),
        sector="Technology",
        fractionable=True,
        shortable=True,
        rules=(),
    )
    return replace(base, **changes)


def account(broker="sim", equity="500000", **changes):
    money = Decimal(equity)
    base = Account(broker=broker, equity=money, cash=money, buying_power=4 * money, settled_cash=money)
    return replace(base, **changes)


class Scenario:
    """One engine with its story: all outputs so far, and what the venue has been asked."""

    def __init__(self, spec=None, symbols=("AAA",), accounts=None, verdicts=None, earlier=None):
        self.spec = spec or spec_of()
        self.engine = Engine(self.spec)
        self.story = []
        self.executions = 0
        self.at = self.spec.windows.screen_at
        self.tell(AccountsRead(at=self.at, accounts=tuple(accounts or [account(b.name) for b in self.spec.brokers])))
        self.tell(earlier or EarlierToday(at=self.at, traded=(), open_trades=0))
        chosen = verdicts or tuple(verdict(symbol, rank) for rank, symbol in enumerate(symbols, start=1))
        self.tell(ScreenCompleted(at=self.at, source="hand", verdicts=tuple(chosen)))

    def tell(self, event):
        """Feed one event and return what the engine answered."""
        outputs = self.engine.handle(event)
        self.at = self.engine.state.at
        self.story += outputs
        return outputs

    def bars(self, number, *, backfill=False, volume=1000.0, **prices):
        """Close minute `number` (counted from the bell); a price is a close or (open, high, low, close)."""
        rows = []
        for symbol, price in sorted(prices.items()):
            open_, high, low, close = price if isinstance(price, tuple) else (price,) * 4
            rows.append(Bar(symbol, minute(number), minute(number + 1), open_, high, low, close, volume))
        return self.tell(BarsClosed(at=minute(number + 1), bars=tuple(rows), backfill=backfill))

    def range_of(self, low=99.0, high=101.0, symbols=("AAA",)):
        """Tell OPEN's twenty minutes of analysis."""
        for number in range(20):
            self.bars(number, **dict.fromkeys(symbols, (100.0, high, low, 100.0)))

    def of(self, kind):
        """Return all outputs of `kind` so far."""
        return [output for output in self.story if isinstance(output, kind)]

    def orders(self, leg=""):
        """Return the requests sent so far whose id names `leg`."""
        sent = [output.order for output in self.story if isinstance(output, SubmitOrder | ReplaceOrder)]
        return [order for order in sent if f"-{leg}" in order.client_order_id]

    def acknowledge(self, order):
        """Let the broker take `order` on."""
        if order.replaces is not None:
            return self.tell(OrderReplaced(at=self.at, client_order_id=order.replaces, by=order.client_order_id))
        return self.tell(OrderAcknowledged(at=self.at, client_order_id=order.client_order_id, broker_order_id="b"))

    def fill(self, order, price, quantity=None, fees="0"):
        """Execute `order` (all of it, where no quantity is given)."""
        self.executions += 1
        executed = Fill(
            execution_id=f"x{self.executions}",
            client_order_id=order.client_order_id,
            price=Decimal(str(price)),
            quantity=order.quantity if quantity is None else Decimal(str(quantity)),
            fees=Decimal(fees),
            transacted_at=self.at,
        )
        return self.tell(OrderFilled(at=self.at, fill=executed))

    def reject(self, order, reason="not today"):
        """Let the broker refuse `order` for good."""
        return self.tell(OrderRejected(at=self.at, client_order_id=order.client_order_id, reason=reason))

    def cancel(self, order):
        """Let the broker take `order` off."""
        return self.tell(OrderCancelled(at=self.at, client_order_id=order.client_order_id))

    def refuse_cancel(self, order):
        """Let the broker say that it will not cancel or replace `order`."""
        return self.tell(CancelRejected(at=self.at, client_order_id=order.client_order_id, reason="too late"))

    def bust(self, execution_id, order):
        """Let the broker undo an execution."""
        return self.tell(FillBusted(at=self.at, execution_id=execution_id, client_order_id=order.client_order_id))

    def control(self, kind, trade_id=""):
        """Let a person ask for something."""
        return self.tell(ControlReceived(at=self.at, kind=kind, by="test", why="rehearsal", trade_id=trade_id))

    def enter(self, price):
        """Take the first entry on, execute it whole at `price`, rest its stop; return both orders."""
        entry = self.orders("entry")[0]
        self.acknowledge(entry)
        self.fill(entry, price)
        stop = self.orders("stop")[0]
        self.acknowledge(stop)
        return entry, stop

    def cancels(self):
        """Return the ids whose cancel has been asked so far, in order."""
        return [command.client_order_id for command in self.of(CancelOrder)]

    def drops(self):
        """Return (broker, symbol, code) of every signal dropped so far."""
        return [(drop.broker, drop.symbol, drop.code) for drop in self.of(SignalDropped)]

    def exits(self):
        """Return the codes of the exits decided so far."""
        return [decided.code for decided in self.of(ExitDecided)]

    def held(self):
        """Return what the engine holds, over all trades."""
        return sum(self.engine.state.held(trade) for trade in self.engine.state.trades.values())

    def confirm_cancels(self):
        """Let the broker confirm every cancel that has been asked and is still open."""
        for command in self.of(CancelOrder):
            if self.engine.state.orders[command.client_order_id].is_open:
                self.tell(OrderCancelled(at=self.at, client_order_id=command.client_order_id))
