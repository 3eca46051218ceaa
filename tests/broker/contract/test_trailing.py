"""Stops that the broker moves under the contract: they rest, follow, never go back, sell once, and outlive us."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tbot_bot.core.events import OrderAcknowledged, OrderCancelled, OrderRejected, OrderReplaced
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import BrokerOrderStatus, OrderRequest, OrderType, Side, StopTrigger
from tbot_bot.core.trails import TOLD_STEP, StopTrailed, TrailingTrigger
from tbot_bot.runtime.flattening import Flattener, Keeper
from tests.broker.contract.floor import Floor, Trader

NEAR, FAR = Decimal("0.001"), Decimal("0.02")
"""Distances that the sandbox's share does, and does not, come back by within minutes."""


@pytest.fixture
def trader(floor: Floor) -> Trader:
    """Return somebody who trades at a broker that moves stops."""
    if not floor.broker.capabilities.trailing_stops:
        pytest.skip("this broker moves no stops: the engine replaces them")
    return Trader(floor)


def trailing(
    trader: Trader, leg: str = "stop1", quantity: str = "10", trail: Decimal = FAR, **how: str
) -> OrderRequest:
    """Return a stop that sells, and that the broker moves; it begins at its distance from the present price."""
    fixed = trader.order(leg, Side.SELL, quantity, stop=str(1 - trail), **how)
    assert fixed.stop is not None
    stop = fixed.stop
    return replace(fixed, stop=TrailingTrigger(symbol=stop.symbol, price=stop.price, rising=stop.rising, trail=trail))


async def held(trader: Trader, quantity: str = "10") -> None:
    await trader.submits(trader.order(quantity=quantity))
    await trader.filled("entry1", quantity)


async def protected(trader: Trader, quantity: str = "10", trail: Decimal = FAR) -> None:
    """Hold shares under a stop that the broker moves."""
    await held(trader, quantity)
    await trader.submits(trailing(trader, quantity=quantity, trail=trail))
    await trader.hears("stop1", OrderAcknowledged)


def levels(trader: Trader, leg: str = "stop1") -> list[Decimal]:
    """Return where the broker said that its stop stands."""
    return [event.price for event in trader.news(leg) if isinstance(event, StopTrailed)]


async def risen(trader: Trader, leg: str = "stop1") -> Decimal:
    """Let time pass until the market has moved the stop up far enough to be told; return where it stands."""
    begin = trader.floor.venue_stop(trader.name(leg))
    for _ in range(60):
        await trader.floor.pass_time()
        now = trader.floor.venue_stop(trader.name(leg))
        if now - begin >= 2 * TOLD_STEP * FAR * now:
            break
    assert now > begin
    await trader.broker.open_orders()
    await trader.until(lambda: levels(trader, leg)[-1:] > [begin], "where the stop stands")
    assert now - TOLD_STEP * FAR * now <= levels(trader, leg)[-1] <= now
    return now


async def test_a_stop_rests_at_the_strategys_distance_and_is_found_as_one_that_trails(trader):
    await protected(trader)
    (resting,) = await trader.broker.open_orders()
    stop = resting.request.stop

    assert isinstance(stop, TrailingTrigger)
    assert (stop.trail, stop.rising, resting.request.quantity) == (FAR, False, 10)
    assert resting.request.order_type is OrderType.STOP
    assert stop.price == trader.floor.venue_stop(trader.name("stop1"))
    assert abs(stop.price - trader.floor.price() * (1 - FAR)) <= Decimal("0.02")


async def test_it_goes_up_with_the_market_never_down_and_sells_all_once(trader):
    await protected(trader, trail=NEAR)
    seen = []
    for number in range(90):
        await trader.floor.pass_time()
        seen.append(trader.floor.venue_stop(trader.name("stop1")))
        if trader.floor.venue_filled(trader.name("stop1")):
            break
        if number % 4 == 0:  # one broker tells each move, the other is asked
            await trader.broker.open_orders()
    await trader.until(lambda: trader.told("stop1") == 10, "its execution")
    told = levels(trader)

    assert seen == sorted(seen)
    assert len(told) >= 3
    assert told == sorted(set(told))
    assert told[-1] <= seen[-1]
    assert await trader.broker.positions() == ()
    assert trader.floor.venue_filled(trader.name("stop1")) == 10


async def test_it_follows_a_quantity_that_grew_and_is_no_further_off_for_it(trader):
    await held(trader)
    await trader.submits(trailing(trader, quantity="4"))
    await trader.hears("stop1", OrderAcknowledged)
    stood = await risen(trader)
    wanted = trailing(trader, "stop2", replaces="stop1")
    assert wanted.stop is not None
    await trader.replaces(replace(wanted, stop=replace(wanted.stop, price=stood)))
    told = await trader.hears("stop1", OrderReplaced)
    (resting,) = await trader.broker.open_orders()

    assert isinstance(told, OrderReplaced)
    assert told.by == trader.name("stop2")
    assert (resting.client_order_id, resting.request.quantity) == (trader.name("stop2"), 10)
    assert trader.floor.venue_stop(trader.name("stop2")) >= stood
    assert isinstance(resting.request.stop, TrailingTrigger)


async def test_a_plain_stop_takes_its_place_and_then_stays(trader):
    await protected(trader)
    plain = trader.order("stop2", Side.SELL, stop="0.97", replaces="stop1")
    assert plain.stop is not None
    await trader.replaces(plain)
    await trader.hears("stop1", OrderReplaced)
    for _ in range(8):
        await trader.floor.pass_time()
    (resting,) = await trader.broker.open_orders()

    assert type(resting.request.stop) is StopTrigger
    assert resting.client_order_id == trader.name("stop2")
    assert trader.floor.venue_stop(trader.name("stop2")) == plain.stop.price


async def test_a_process_that_comes_up_finds_it_where_it_stands_and_hears_of_it_again(trader):
    await protected(trader)
    stood = await risen(trader)
    await trader.floor.reborn()
    trader.heard.clear()
    found = await trader.broker.order_by_client_id(trader.name("stop1"))

    assert found is not None
    assert found.status is BrokerOrderStatus.WORKING
    assert isinstance(found.request.stop, TrailingTrigger)
    assert (found.request.stop.trail, found.request.stop.price) == (FAR, stood)
    await trader.broker.open_orders()
    await trader.hears("stop1", StopTrailed)
    assert levels(trader) == [stood]


async def test_fractions_are_not_asked_of_it(trader):
    if not trader.broker.capabilities.fractional:
        pytest.skip("this broker trades whole shares")
    await held(trader, "2.5")
    await trader.submits(trailing(trader, quantity="2.5"))
    await trader.hears("stop1", OrderRejected)
    assert trader.floor.venue_orders() == [trader.name("entry1")]


async def test_it_covers_a_short_sale_from_above(trader):
    await trader.submits(trader.order(side=Side.SELL_SHORT))
    await trader.filled("entry1", "10")
    fixed = trader.order("stop1", Side.BUY_TO_COVER, stop="1.02")
    assert fixed.stop is not None
    stop = TrailingTrigger(symbol=fixed.stop.symbol, price=fixed.stop.price, rising=True, trail=FAR)
    await trader.submits(replace(fixed, stop=stop))
    await trader.hears("stop1", OrderAcknowledged)
    (resting,) = await trader.broker.open_orders()

    assert resting.request.stop is not None
    assert resting.request.stop.rising
    assert trader.floor.venue_stop(trader.name("stop1")) > trader.floor.price()


async def test_flattening_takes_it_off_and_sells_what_is_held_once(trader):
    await protected(trader)
    flattener = Flattener(trader.broker, ours=lambda _: True, since=Instant(0), tell=lambda _: None, doubts=3)
    for _ in range(60):
        if await flattener.step():
            break
        await trader.floor.pass_time()

    assert await trader.broker.positions() == ()
    assert await trader.broker.open_orders() == ()
    assert trader.floor.venue_filled(trader.name("stop1")) == 0


async def test_the_guard_puts_a_lost_one_back_where_it_stood_as_one_that_stays(trader):
    await protected(trader)
    stood = await risen(trader)
    await trader.broker.cancel(trader.name("stop1"))
    await trader.hears("stop1", OrderCancelled)
    await trader.floor.reborn()
    keeper = Keeper(trader.broker, ours=lambda _: True, since=Instant(0), tell=lambda _: None, doubts=3)
    for _ in range(20):
        if await keeper.step():
            break
        await trader.floor.pass_time()
    (resting,) = await trader.broker.open_orders()

    assert type(resting.request.stop) is StopTrigger
    assert (resting.request.stop.price, resting.request.quantity) == (stood, 10)
