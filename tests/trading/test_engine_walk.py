"""Random days against a misbehaving venue: what holds at every step, and that nothing but the past decides."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.core.commands import ReplaceOrder, SubmitOrder, TradeRecord, TrailKeptHere
from tbot_bot.core.events import BarsClosed, ControlKind
from tbot_bot.core.identity import CLIENT_ORDER_ID_MAX, Leg, StrategyName
from tbot_bot.core.orders import OrderRequest, OrderType
from tbot_bot.core.policies import Routing, SizingMode
from tbot_bot.core.trails import TrailingTrigger
from tbot_bot.trading.engine import Engine
from tbot_bot.trading.orders_bot import OrderState
from tbot_bot.trading.spec import BrokerSpec
from tests.support.adversary import Adversary, Oversold
from tests.support.scenario import CAPABILITIES, STARTS, minute, spec_of

SEEDS = st.integers(0, 10**9)


def spec_for(seed):
    """Return a session of OPEN or MID at one or two brokers, its policies drawn from `seed`."""
    dice = Random(seed)
    names = ("one", "two")[: dice.randint(1, 2)]
    strategy = dice.choice((StrategyName.OPEN, StrategyName.MID))
    can = replace(CAPABILITIES, trailing_stops=seed % 2 == 1)
    spec = spec_of(
        strategy,
        brokers=tuple(BrokerSpec(name=name, capabilities=can) for name in names),
        routing=dice.choice(tuple(Routing)),
        sizing_mode=dice.choice(tuple(SizingMode)),
        fractional=dice.random() < 0.5,
        max_open_positions=dice.randint(1, 5),
        max_concurrent_per_broker=dice.randint(1, 3),
        max_orders_per_minute=dice.randint(4, 30),
    )
    return replace(spec, windows=replace(spec.windows, hard_exit_at=minute(STARTS[strategy] + 70)))


def walk(seed, check=lambda day: None):
    """Tell a whole day: rough until the hard exit, then a calm venue that lets everything end."""
    day = Adversary(spec_for(seed), seed)
    start = STARTS[day.spec.strategy]
    stop_at = day.random.randint(start + 20, start + 140)
    for number in range(start, start + 80):
        rough = number - start >= 20 or day.spec.strategy is StrategyName.MID
        day.step(number, jumps=0.03 if rough else 0.004)
        if number == stop_at:
            day.ask(day.random.choice((ControlKind.STOP, ControlKind.KILL)))
        check(day)
    day.calm = True
    for number in range(start + 80, start + 86):
        day.step(number, jumps=0.0)
        check(day)
    day.deliver(everything=True)
    return day


def assert_invariants(day):
    state, limits = day.engine.state, day.spec.limits
    for trade in state.trades.values():
        held = state.held(trade)
        assert held >= 0
        standing = [
            order.remaining
            for order in state.open_orders_of(trade, Leg.STOP)
            if order.state is not OrderState.CANCEL_REQUESTED
        ]
        exits = sum((order.remaining for order in state.open_orders_of(trade, Leg.EXIT)), Decimal(0))
        # a stop and the one that replaces it are known in any order; their sum is held against truth by the venue
        assert max(standing, default=Decimal(0)) + exits <= held
        assert len(state.orders_of(trade, Leg.ENTRY)) <= 1
        if not day.news and held > 0 and not trade.exit_code:
            assert state.open_orders_of(trade, Leg.STOP), f"{trade.trade_id} is unprotected"
    assert state.slots_used() <= limits.max_open_positions
    for broker in day.spec.brokers:
        assert state.slots_used(broker.name) <= limits.max_concurrent_per_broker
        assert state.committed(broker.name) <= state.budgets[broker.name]
        assert state.approved(broker.name) <= len(state.shares.get(broker.name, (1,) * 9))


def requests(day) -> list[OrderRequest]:
    outputs = [output for _, answer in day.told for output in answer]
    return [output.order for output in outputs if isinstance(output, SubmitOrder | ReplaceOrder)]


@settings(max_examples=60)
@given(SEEDS)
def test_whatever_the_venue_does_no_limit_is_passed_and_nothing_is_oversold_or_unprotected(seed):
    day = walk(seed, assert_invariants)
    sent = requests(day)

    assert max(Counter(order.client_order_id for order in sent).values(), default=1) == 1
    assert all(len(order.client_order_id) <= CLIENT_ORDER_ID_MAX for order in sent)
    for order in sent:
        if order.order_type is OrderType.LIMIT and order.limit_price is not None:
            account = day.engine.state.accounts[order.broker]
            cap = day.spec.limits.max_risk_per_trade * account.equity
            assert order.instrument.notional(order.limit_price, order.quantity) <= cap


@settings(max_examples=40)
@given(SEEDS)
def test_every_day_ends_flat_here_and_at_the_venue_with_equal_books(seed):
    day = walk(seed)
    state = day.engine.state

    assert state.ended
    assert set(day.positions.values()) <= {Decimal(0)}
    assert day.resting == {}
    assert all(state.held(trade) == 0 for trade in state.trades.values())
    last = {
        output.trade_id: output.pnl for _, answer in day.told for output in answer if isinstance(output, TradeRecord)
    }
    assert sum(state.realized.values(), Decimal(0)) == sum(last.values(), Decimal(0))


@settings(max_examples=15)
@given(SEEDS)
def test_a_new_engine_fed_the_same_events_answers_the_same(seed):
    day = walk(seed)
    again = Engine(day.spec)

    for event, answer in day.told:
        assert again.handle(event) == answer
    assert again.state == day.engine.state


@settings(max_examples=15)
@given(SEEDS, st.integers(0, 100))
def test_no_answer_depends_on_bars_that_come_after_it(seed, percent):
    told = walk(seed).told
    cut = len(told) * percent // 100
    other = Engine(spec_for(seed))
    answers = []
    for number, (event, _) in enumerate(told):
        if number >= cut and isinstance(event, BarsClosed):
            changed = tuple(bar._replace(high=bar.high * 2, close=bar.close * 2) for bar in event.bars)
            answers.append(other.handle(BarsClosed(at=event.at, bars=changed, backfill=event.backfill)))
        else:
            answers.append(other.handle(event))

    assert answers[:cut] == [answer for _, answer in told[:cut]]


def test_the_walk_reaches_entries_stops_replacements_refusals_and_exits():
    legs: Counter[str] = Counter()
    for seed in range(12):
        day = walk(seed)
        legs.update(leg for order in requests(day) for leg in Leg if f"-{leg}" in order.client_order_id)
        legs["trailing"] += sum(isinstance(order.stop, TrailingTrigger) for order in requests(day))
        told = [output for _, answer in day.told for output in answer]
        legs["kept here"] += sum(isinstance(output, TrailKeptHere) for output in told)
        legs["replaced"] += sum(order.replaces is not None for order in requests(day))
        legs["rejected"] += sum(order.state is OrderState.REJECTED for order in day.engine.state.orders.values())

    assert min(legs[kind] for kind in (Leg.ENTRY, Leg.STOP, Leg.EXIT, "replaced", "rejected")) >= 10
    assert min(legs["trailing"], legs["kept here"]) >= 4


def test_the_venue_notices_an_engine_that_sells_too_much():
    day = Adversary(spec_of(), 0)
    order = replace(requests(walk(0))[0], client_order_id="t-exit1", trade_id="t")
    with pytest.raises(Oversold):
        day.tell_venue(SubmitOrder(order=order))
