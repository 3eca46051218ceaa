"""What can go wrong between us and Alpaca, each fault of the sandbox over real sockets, and the rules of its orders."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest
from pydantic import SecretStr

from tbot_bot.broker.alpaca_access import AlpacaAccess, alpaca_access
from tbot_bot.broker.alpaca_http import Call, _rest
from tbot_bot.broker.alpaca_rest import NotAsked
from tbot_bot.broker.authorization import LiveAuthorization
from tbot_bot.broker.broker_alpaca import alpaca_broker
from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.error_handler import ConfigError, LogicError
from tbot_bot.config.settings import Settings, load_settings
from tbot_bot.core.circuit import FAILURES_MAX
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable, CredentialsRejected
from tbot_bot.core.events import (
    OrderAcknowledged,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import HOUR, SECOND, Instant
from tbot_bot.core.orders import Side
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tests.broker.contract.alpaca_floor import DEADLINE_SECONDS, AlpacaFloor
from tests.broker.contract.floor import Trader, kinds

BIG = "1000"
POST = "POST /v2/orders"
SINCE = Instant(0)


@pytest.fixture
async def floor() -> AsyncIterator[AlpacaFloor]:
    made = AlpacaFloor()
    try:
        await made.open()
        yield made
    finally:
        await made.close()


@pytest.fixture
def trader(floor: AlpacaFloor) -> Trader:
    return Trader(floor)


async def bought(trader: Trader, quantity: str = "10") -> None:
    await trader.submits(trader.order(quantity=quantity))
    await trader.filled("entry1", quantity)


def calls(floor: AlpacaFloor, place: str) -> int:
    """Return how often a rule struck there."""
    return sum(struck.place == place for struck in floor.sandbox.exchange.faults.struck)


# --- answers that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.STATUS_AFTER])
async def test_no_status_makes_us_post_twice(floor, trader, status, kind):
    floor.strikes(FaultRule(kind=kind, place=POST, status=status))
    with pytest.raises(BrokerUnavailable, match=str(status)):
        await trader.broker.submit(trader.order())
    assert calls(floor, POST) == 1
    assert len(floor.venue_orders()) == (kind is FaultKind.STATUS_AFTER)


@pytest.mark.parametrize("kind", [FaultKind.DROPPED, FaultKind.LATENCY])
async def test_an_answer_that_does_not_come_keeps_nobody_waiting(floor, trader, kind):
    floor.strikes(FaultRule(kind=kind, place=POST, seconds=30.0))
    begun, beats = time.monotonic(), 0
    asked = asyncio.create_task(trader.broker.submit(trader.order()))
    while not asked.done():
        await asyncio.sleep(0.01)
        beats += 1
    with pytest.raises(BrokerUnavailable):
        await asked
    assert time.monotonic() - begun < DEADLINE_SECONDS + 1
    if kind is FaultKind.LATENCY:
        assert beats > 30  # the loop went on meanwhile


async def test_not_there_is_no_answer_while_the_lost_request_may_still_arrive(floor, trader):
    floor.strikes(FaultRule(kind=FaultKind.DROPPED, place=POST, times=1))
    with pytest.raises(BrokerUnavailable):
        await trader.broker.submit(trader.order())
    with pytest.raises(BrokerUnavailable, match="on its way") as early:
        await trader.broker.order_by_client_id(trader.name("entry1"))
    assert early.value.retry_after is not None
    await asyncio.sleep(early.value.retry_after / SECOND + 0.1)
    assert await trader.broker.order_by_client_id(trader.name("entry1")) is None


async def test_a_retry_after_is_handed_on_and_data_rests_but_orders_do_not(floor, trader):
    floor.strikes(FaultRule(kind=FaultKind.STATUS, place="GET /v2/positions", status=429, seconds=2.0, times=1))
    with pytest.raises(BrokerUnavailable) as told:
        await trader.broker.positions()
    assert told.value.retry_after == 2 * SECOND
    begun = time.monotonic()
    await trader.broker.submit(trader.order())
    assert time.monotonic() - begun < 1
    await trader.broker.positions()
    assert time.monotonic() - begun > 1.5


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        (
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1445412490", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"},
            10,
        ),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1445412490", "Date": "today"}, None),
        ({"X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "1445412490"}, None),
        ({}, None),
    ],
)
def test_when_to_come_again_is_read_by_the_servers_own_clock(headers, expected):
    assert _rest(headers) == (None if expected is None else expected * SECOND)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/account", "GET /v2/account"),
        ("/account/activities/FILL", "GET /v2/account/activities/*"),
        ("/orders/61e69015-8549-4bfd-b9c3-01e75843f47d", "GET /v2/orders/*"),
        ("/orders:by_client_order_id", "GET /v2/orders:by_client_order_id"),
        ("/assets/SYN01", "GET /v2/assets/*"),
    ],
)
def test_an_endpoint_is_named_without_ids(path, name):
    assert Call(method="GET", path=path).name == name


async def test_an_endpoint_that_fails_is_left_alone_and_can_be_seen_while_exits_go_on(floor, trader):
    await bought(trader)
    floor.strikes(FaultRule(kind=FaultKind.STATUS, place="GET /v2/positions", status=503))
    for _ in range(FAILURES_MAX):
        with pytest.raises(BrokerUnavailable):
            await trader.broker.positions()
    with pytest.raises(NotAsked, match="not asked"):
        await trader.broker.positions()
    assert calls(floor, "GET /v2/positions") == FAILURES_MAX
    (reading,) = [circuit for circuit in floor.broker.circuits() if circuit.open_seconds]
    assert (reading.endpoint, reading.failures) == ("GET /v2/positions", FAILURES_MAX)

    floor.strikes(FaultRule(kind=FaultKind.STATUS, place=POST, status=503, times=FAILURES_MAX))
    for attempt in range(FAILURES_MAX):
        with pytest.raises(BrokerUnavailable):
            await trader.broker.submit(trader.order(f"entry{attempt + 2}"))
    with pytest.raises(BrokerRefused, match="not asked"):
        await trader.broker.submit(trader.order("entry9"))
    await trader.broker.submit(trader.order("exit1", Side.SELL))
    await trader.filled("exit1", "10")


async def test_maintenance_is_waited_for_and_everything_is_found_after_it(floor, trader):
    await trader.submits(trader.order())
    await trader.hears("entry1", OrderAcknowledged)
    floor.strikes(FaultRule(kind=FaultKind.MAINTENANCE))
    with pytest.raises(BrokerUnavailable):
        await trader.broker.account()
    await floor.pass_time()  # it fills, and its update is cut off
    floor.mends()
    await trader.hears("entry1", OrderFilled)
    assert trader.told("entry1") == 10
    await trader.until(lambda: floor.broker.streaming, "the stream")


# --- the stream ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FaultKind.DROPPED, FaultKind.HALF_OPEN])
async def test_a_fill_that_no_stream_tells_is_found(floor, trader, kind):
    await trader.submits(trader.order())
    floor.strikes(FaultRule(kind=kind, place="trade_updates", times=1))
    await trader.filled("entry1", "10")
    assert kinds(await trader.quiet()) == ["OrderAcknowledged", "OrderFilled"]


async def test_a_stream_that_is_dropped_again_and_again_loses_nothing(floor, trader):
    floor.strikes(FaultRule(kind=FaultKind.DROPPED, place="trade_updates", chance=0.5))
    for number in range(1, 4):
        await trader.submits(trader.order(f"entry{number}"))
        await trader.filled(f"entry{number}", "10")
    fills = [event.fill.execution_id for event in await trader.quiet() if isinstance(event, OrderFilled)]
    assert sorted(fills) == sorted({fill.execution_id for fill in await trader.broker.fills_since(SINCE)})


async def test_slow_updates_are_overtaken_by_look_ups_and_told_once(floor, trader):
    floor.strikes(FaultRule(kind=FaultKind.LATENCY, place="trade_updates", seconds=2.0))
    await bought(trader)
    await trader.quiet(2.5)
    assert [type(event) for event in trader.heard] == [OrderAcknowledged, OrderFilled]


async def test_without_any_stream_orders_are_looked_up(floor, trader):
    floor.broker._stream._address = replace(floor.broker._stream._address, secret="wrong")
    floor.strikes(FaultRule(kind=FaultKind.DROPPED, place="trade_updates", times=1))
    await trader.submits(trader.order())
    await trader.until(lambda: not floor.broker.streaming, "the end of the stream")
    floor.mends()
    await trader.filled("entry1", "10")
    assert not floor.broker.streaming
    assert any("unauthorized" in note for note in floor.notes)
    assert not any("changeme" in note or "wrong" in note for note in floor.notes)


# --- what the venue does with orders ---------------------------------------------------------------------------------


async def test_an_order_that_is_taken_in_and_then_rejected_is_told(floor, trader):
    floor.strikes(FaultRule(kind=FaultKind.REJECTED, place="order", times=1))
    await trader.submits(trader.order())
    told = await trader.hears("entry1", OrderRejected)
    assert isinstance(told, OrderRejected)
    assert told.reason


async def test_an_order_for_the_day_expires_with_it(floor, trader):
    await trader.submits(trader.order(limit="0.5"))
    await asyncio.to_thread(floor.sandbox.wait, 7 * HOUR)
    await trader.hears("entry1", OrderExpired)


async def test_a_stop_goes_before_the_rest_of_an_entry_that_is_in_its_way(floor, trader):
    floor.thin(thin=True)
    await trader.submits(trader.order(quantity=BIG))
    await trader.filled("entry1", "1")
    held = floor.venue_filled(trader.name("entry1"))
    assert held < Decimal(BIG)
    await trader.submits(trader.order("stop1", Side.SELL, str(held), stop="0.5"))
    await trader.hears("stop1", OrderAcknowledged)
    await trader.hears("entry1", OrderCancelled)
    (resting,) = await trader.broker.open_orders()
    assert resting.client_order_id == trader.name("stop1")
    assert any("remainder is cancelled" in note for note in floor.notes)


async def test_a_stop_over_fractions_changes_its_quantity_by_making_room(floor, trader):
    await bought(trader, "2.5")
    await trader.submits(trader.order("stop1", Side.SELL, "1.5", stop="0.5"))
    await trader.hears("stop1", OrderAcknowledged)
    await trader.replaces(trader.order("stop2", Side.SELL, "2.5", stop="0.6", replaces="stop1"))
    told = await trader.hears("stop1", OrderReplaced)
    assert isinstance(told, OrderReplaced)
    assert told.by == trader.name("stop2")
    (resting,) = await trader.broker.open_orders()
    assert resting.request.quantity == Decimal("2.5")
    assert kinds(trader.news("stop1")) == ["OrderAcknowledged", "OrderReplaced"]


@pytest.mark.parametrize("kind", [FaultKind.LOST_AFTER, FaultKind.LOST_BEFORE])
async def test_a_stop_that_made_room_in_vain_is_told_as_gone(floor, trader, kind):
    await bought(trader, "2.5")
    await trader.submits(trader.order("stop1", Side.SELL, "1.5", stop="0.5"))
    floor.strikes(FaultRule(kind=kind, place=POST, times=1))
    with pytest.raises(BrokerUnavailable):
        await trader.broker.replace(trader.order("stop2", Side.SELL, "2.5", stop="0.6", replaces="stop1"))
    await trader.hears("stop1", OrderCancelled)
    there = trader.name("stop2") in floor.venue_orders()
    assert there is (kind is FaultKind.LOST_AFTER)


async def test_a_replacement_that_is_refused_after_making_room_tells_both(floor, trader):
    await bought(trader, "2.5")
    await trader.submits(trader.order("stop1", Side.SELL, "1.5", stop="0.5"))
    await trader.replaces(trader.order("stop2", Side.SELL, "9.5", stop="0.6", replaces="stop1"))
    await trader.hears("stop2", OrderRejected)
    await trader.hears("stop1", OrderCancelled)


async def test_only_what_is_easy_to_borrow_is_sold_short(floor, trader):
    floor.sandbox.do(lambda: floor.sandbox.exchange.desk("alpaca").set_rules(unborrowable=frozenset({floor.symbol})))
    with pytest.raises(BrokerRefused, match="not easy to borrow"):
        await trader.broker.submit(trader.order(side=Side.SELL_SHORT))
    assert floor.venue_orders() == []


async def test_the_vendors_clock_may_be_wrong_and_is_told_as_it_is(floor):
    right = await floor.broker.clock()
    floor.strikes(FaultRule(kind=FaultKind.SKEWED, seconds=90.0))
    wrong = await floor.broker.clock()
    assert right is not None
    assert wrong is not None
    assert wrong - right == 90 * SECOND


async def test_a_halted_share_rests_until_it_trades_again(floor, trader):
    floor.strikes(FaultRule(kind=FaultKind.HALTED, symbols=(floor.symbol,)))
    await trader.submits(trader.order())
    await floor.pass_time()
    await trader.quiet()
    assert trader.told("entry1") == 0
    floor.mends()
    await trader.filled("entry1", "10")


async def test_the_market_is_shown_as_alpaca_shows_it_also_where_it_is_odd(floor):
    symbols = [asset.symbol for asset in await floor.broker.assets() if asset.tradable]
    found = await floor.broker.snapshots([*symbols, "NOBODY"])
    assert set(found) == set(symbols)
    shown, exchange = found[floor.symbol], floor.sandbox.exchange
    real = floor.sandbox.do(lambda: exchange.market.quote(floor.symbol, exchange.now()))
    assert real is not None
    assert shown.quote is not None
    assert (shown.quote.bid, shown.quote.ask, shown.quote.at) == (real.bid, real.ask, real.at)
    assert shown.trade is not None
    assert shown.trade.price > 0
    floor.strikes(FaultRule(kind=FaultKind.CROSSED))
    crossed = (await floor.broker.snapshots([floor.symbol]))[floor.symbol].quote
    assert crossed is not None
    assert crossed.bid > crossed.ask


# --- who may connect -------------------------------------------------------------------------------------------------


async def test_wrong_keys_stop_the_start(floor):
    stranger = floor.made(key="nobody")
    with pytest.raises(CredentialsRejected, match="ALPACA_"):
        await stranger.connect()
    await stranger.close()


async def test_nothing_that_is_shown_holds_a_key(floor):
    shown = repr(AlpacaAccess(trading_url="http://127.0.0.1:1", data_url="x", key="the-key", secret="the-secret"))
    assert "the-" not in shown
    assert "changeme" not in repr(floor.broker._rest) + repr(floor.broker._stream._address)


async def test_what_is_closed_leaves_nothing_running(floor):
    before = asyncio.all_tasks()
    other = floor.made()
    await other.connect()
    assert len(asyncio.all_tasks() - before) > 1
    await other.close()
    await other.close()
    assert asyncio.all_tasks() - before == set()


@pytest.fixture
def settings(tmp_path) -> Settings:
    return load_settings(tmp_path, defaults_if_absent=True)


KEYS = dict.fromkeys(("alpaca_paper_api_key", "alpaca_paper_secret_key"), SecretStr("changeme"))
PERMIT = LiveAuthorization(test_mode=False, mode=Mode.LIVE)


def test_test_mode_knows_the_paper_account_only(settings):
    assert settings.bot.test_mode
    access = alpaca_access(settings)
    assert access.trading_url == "https://paper-api.alpaca.markets"
    assert access.stream_url == "wss://paper-api.alpaca.markets/stream"
    with pytest.raises(LogicError, match="with a live authorization"):
        alpaca_access(settings, PERMIT)


def test_the_live_account_needs_live_mode_and_a_permit(settings):
    bot = settings.bot.model_copy(update={"test_mode": False, "alpaca_mode": BrokerMode.LIVE})
    live = replace(settings, bot=bot)
    with pytest.raises(LogicError, match="without a live authorization"):
        alpaca_access(live)
    assert alpaca_access(live, PERMIT).trading_url == "https://api.alpaca.markets"


async def test_the_settings_make_a_broker_that_trades_where_they_say(settings, floor):
    url, around = floor.sandbox.url("alpaca"), floor.broker._around
    env = settings.env.model_copy(update={"alpaca_paper_url": url, "alpaca_data_url": url} | KEYS)
    broker = alpaca_broker(replace(settings, env=env), around)
    assert (broker.capabilities.live, broker.capabilities.options, broker.capabilities.real_orders) == (
        False,
        False,
        True,
    )
    await broker.connect()
    assert broker.streaming
    await broker.close()
    bot = settings.bot.model_copy(update={"test_mode": False, "alpaca_mode": BrokerMode.LIVE})
    live = alpaca_broker(replace(settings, bot=bot), around, PERMIT)
    assert live.capabilities.live
    await live.close()


def test_the_paper_address_cannot_lead_to_the_live_account():
    with pytest.raises(ConfigError, match="paper-api"):
        AlpacaAccess(trading_url="https://API.alpaca.markets", data_url="", key="", secret="")
    with pytest.raises(ConfigError, match="http"):
        AlpacaAccess(trading_url="paper-api.alpaca.markets", data_url="", key="", secret="")
