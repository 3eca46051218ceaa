"""Laws that hold over any sequence of orders and bars."""

from collections import defaultdict
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.broker.broker_sim import SimulatedBroker
from tbot_bot.broker.venue_state import VenueState
from tbot_bot.core.codec import dumps, loads
from tbot_bot.core.errors import BrokerRefused
from tbot_bot.core.events import OrderFilled
from tbot_bot.core.instruments import equity
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import BrokerOrderStatus, Side
from tests.broker.venue_kit import bar, minute, order, venue

CENTS = st.integers(min_value=3500, max_value=4500)
STEP = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from(("submit", "submit", "submit", "replace", "cancel")),
            st.sampled_from((Side.BUY, Side.SELL, Side.SELL, Side.SELL_SHORT, Side.BUY_TO_COVER, Side.BUY_TO_COVER)),
            st.sampled_from((10, 30, 50, 100, 250)),
            st.sampled_from(("market", "limit", "stop")),
            CENTS,
            st.integers(min_value=0, max_value=9),
            st.sampled_from(("before", "between", "after")),
        ),
        min_size=1,
        max_size=4,
    ),
    st.tuples(CENTS, CENTS, CENTS, CENTS),
    st.sampled_from((0, 500, 2000, 10**6)),
    st.sampled_from(("XYZ", "ABC")),
)


def ask(trader, action, number, symbol, at):
    verb, side, quantity, kind, cents, target, _ = action
    price = f"{Decimal(cents) / 100:.2f}"
    request = order(
        f"id{number}",
        side,
        str(quantity),
        limit=price if kind == "limit" else None,
        stop=price if kind == "stop" else None,
        instrument=equity(symbol),
        replaces=f"id{target}" if verb == "replace" else None,
    )
    if verb == "cancel":
        return trader.cancel(f"id{target}", at)
    try:
        return trader.replace(request, at) if verb == "replace" else trader.submit(request, at)
    except BrokerRefused:
        return []


def play(trader, steps, *, first=0, swap=None):
    """Drive the venue through `steps`; `swap` may return another venue to go on with after each step."""
    events = []
    for n, (actions, cents, volume, symbol) in enumerate(steps, start=first):
        o, c = cents[0] / 100, cents[3] / 100
        bars = {symbol: bar(o, max(cents) / 100, min(cents) / 100, c, volume, symbol=symbol, n=n)}

        def told(when, at, trader, *, n=n, actions=actions):
            for k, action in enumerate(actions):
                if action[6] == when:
                    yield from ask(trader, action, n * 4 + k, ("XYZ", "ABC")[action[5] % 2], at)

        events += told("before", minute(n), trader)
        events += trader.open_step(minute(n), bars)
        if swap is not None:
            trader = swap(trader)
        events += told("between", minute(n), trader)
        events += trader.range_step(minute(n + 1), bars)
        events += told("after", minute(n + 1), trader)
        while more := trader.range_step(minute(n + 1), bars):
            events += more
        if swap is not None:
            trader = swap(trader)
    return trader, events


def buys_of(trader):
    return {o.request.client_order_id: o.request for o in trader.snapshot().orders}


@given(st.lists(STEP, min_size=3, max_size=10))
@settings(max_examples=300)
def test_the_books_follow_from_the_fills(steps):
    trader, events = play(venue(slippage_bps=Decimal(2)), steps)
    fills = [event.fill for event in events if isinstance(event, OrderFilled)]
    requests = buys_of(trader)
    cash = Decimal(100000)
    held: defaultdict[str, Decimal] = defaultdict(Decimal)
    per_order: defaultdict[str, Decimal] = defaultdict(Decimal)
    for fill in fills:
        request = requests[fill.client_order_id]
        sign = 1 if request.side.buys else -1
        cash -= sign * fill.price * fill.quantity + fill.fees
        held[request.instrument.symbol] += sign * fill.quantity
        per_order[fill.client_order_id] += fill.quantity
        if request.side is Side.SELL:
            assert held[request.instrument.symbol] >= 0
        if request.side is Side.BUY_TO_COVER:
            assert held[request.instrument.symbol] <= 0
    books = trader.books
    cost = sum((holding.cost for holding in books.holdings.values()), ZERO)

    assert trader.fills_since(minute(-1)) == tuple(fills)
    assert len({fill.execution_id for fill in fills}) == len(fills)
    assert books.cash == cash
    assert books.cash == 100000 + books.realized - books.fees - cost
    assert {p.instrument.symbol: p.quantity for p in trader.positions()} == {s: q for s, q in held.items() if q}
    for order_id, quantity in per_order.items():
        assert quantity <= requests[order_id].quantity
        assert trader.order(order_id).filled_quantity == quantity
        assert (trader.order(order_id).status is BrokerOrderStatus.FILLED) == (quantity == requests[order_id].quantity)


@given(st.lists(STEP, min_size=3, max_size=10))
@settings(max_examples=200)
def test_fills_lie_within_the_prices_of_the_day_and_its_share_of_volume(steps):
    _, events = play(venue(), steps)
    fills = [event.fill for event in events if isinstance(event, OrderFilled)]
    prices = [Decimal(c) / 100 for _, cents, _, _ in steps for c in cents]

    assert all(min(prices) <= fill.price <= max(prices) for fill in fills)
    assert sum((fill.quantity for fill in fills), ZERO) <= sum(volume for _, _, volume, _ in steps) / Decimal(10)


@given(st.lists(STEP, min_size=3, max_size=10))
@settings(max_examples=200)
def test_a_restored_venue_goes_on_identically(steps):
    def reborn(trader):
        twin = venue()
        state = loads(dumps(trader.snapshot()))
        assert isinstance(state, VenueState)
        twin.restore(state)
        return twin

    whole, events = play(venue(), steps)
    parts, same = play(venue(), steps, swap=reborn)

    assert events == same
    assert whole.snapshot().orders == parts.snapshot().orders
    assert whole.account() == parts.account()


@given(st.lists(STEP, max_size=5))
@settings(max_examples=40)
def test_steps_told_again_change_nothing(steps):
    trader, _ = play(venue(), steps)
    before = trader.snapshot()
    trader.close_bar()
    for n, (_, cents, volume, symbol) in enumerate(steps):
        bars = {
            symbol: bar(cents[0] / 100, max(cents) / 100, min(cents) / 100, cents[3] / 100, volume, symbol=symbol, n=n)
        }
        assert trader.open_step(minute(n), bars) == []
        assert trader.range_step(minute(n + 1), bars) == []

    assert trader.snapshot().executions == before.executions


async def test_draining_twice_repeats_nothing():
    broker = SimulatedBroker(venue())
    await broker.submit(order("a"))
    assert [type(event).__name__ for event in broker.drain()] == ["OrderAcknowledged"]
    assert broker.drain() == []
