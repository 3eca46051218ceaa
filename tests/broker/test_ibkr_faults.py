"""The IBKR adapter where things go wrong: lost answers, repeated and swapped news, outages, restarts of the gateway."""

import asyncio

import pytest

from tbot_bot.broker.ibkr_access import DEADLINE_SECONDS_MAX
from tbot_bot.core.circuit import FAILURES_MAX
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.core.orders import BrokerOrderStatus, Side
from tbot_bot.runtime.vital_signs import BLIND_MAX
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tests.broker.ibkr_kit import ENTRY, STOP, STOP2, SYMBOL, TEN, Pit, fills, kinds, order


async def test_an_answer_lost_before_the_effect_leaves_an_order_that_is_definitely_not_there():
    async with Pit() as pit:
        broker = await pit.connected(deadline=0.5)
        pit.breaks_once(FaultKind.LOST_BEFORE, "placeOrder", lasts=0.1)
        with pytest.raises(BrokerUnavailable):
            await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        await pit.hears(lambda: broker.link.is_up)
        assert await broker.order_by_client_id(ENTRY) is None
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))  # the same id, for it never arrived
        assert pit.placed() == [ENTRY]


async def test_an_answer_lost_after_the_effect_leaves_one_order_that_is_adopted():
    async with Pit() as pit:
        broker = await pit.connected(deadline=0.5)
        pit.breaks_once(FaultKind.LOST_AFTER, "placeOrder", lasts=0.1)
        with pytest.raises(BrokerUnavailable):
            await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        await pit.hears(lambda: broker.link.is_up)
        found = await broker.order_by_client_id(ENTRY)
        assert found is not None
        assert (found.status, found.request) == (BrokerOrderStatus.WORKING, order(ENTRY, limit=pit.price("0.9")))
        assert pit.placed() == [ENTRY]


async def test_a_new_process_finds_the_order_of_the_one_that_died():
    async with Pit() as pit:
        first = await pit.connected()
        await first.submit(order(ENTRY))
        await pit.events(first, fills)
        await first.submit(order(STOP, Side.SELL, stop=pit.price("0.9")))
        await first.close()
        second = await pit.connected()
        entry, stop = await second.order_by_client_id(ENTRY), await second.order_by_client_id(STOP)
        assert entry is not None
        assert stop is not None
        assert (entry.status, entry.filled_quantity) == (BrokerOrderStatus.FILLED, TEN)
        assert stop.request == order(STOP, Side.SELL, stop=pit.price("0.9"))
        assert [one.client_order_id for one in await second.fills_since(Instant(0))] == [ENTRY]
        await second.cancel(STOP)
        assert kinds(await pit.events(second, lambda found: "OrderCancelled" in kinds(found)))[-1] == "OrderCancelled"


async def test_what_happened_while_the_line_was_cut_is_told_after_it():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("1.01")))
        broker.drain()
        pit.server.cut_all()
        pit.step(5)  # filled while nobody listens
        await pit.hears(lambda: not broker.link.is_up)
        with pytest.raises(BrokerUnavailable, match="hung up"):
            await broker.submit(order(STOP, limit=pit.price("0.9")))  # an order waits until the line has been seen to
        assert (await broker.account()).equity < 100_000  # a question asks for a new connection at once
        assert pit.placed() == [ENTRY]
        [fill] = fills(await pit.events(broker, fills))
        assert (fill.client_order_id, fill.quantity) == (ENTRY, TEN)


async def test_a_nightly_restart_of_the_gateway_is_survived_with_the_orders_in_place():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        broker.drain()
        pit.breaks_once(FaultKind.RESTART, "gateway", lasts=0.8)
        await pit.hears(lambda: not broker.link.is_up)
        await pit.hears(lambda: broker.link.is_up)
        assert [one.client_order_id for one in await broker.open_orders()] == [ENTRY]
        assert broker.drain() == []
        await broker.cancel(ENTRY)
        await pit.hears(lambda: pit.resting() == [])


async def test_a_gateway_that_starts_after_us_is_found():
    async with Pit() as pit:
        broker = pit.broker()
        pit.breaks(FaultRule(kind=FaultKind.MAINTENANCE))
        await pit.hears(lambda: pit.server._server is None)
        with pytest.raises(BrokerUnavailable, match="Is it running and logged in"):
            await broker.connect()
        pit.breaks()
        await pit.hears(lambda: broker.link.is_up)
        assert (await broker.account()).equity == 100_000


@pytest.mark.parametrize("restored", [1101, 1102])
async def test_while_the_gateway_has_lost_ib_nothing_is_known_and_then_everything_is_read_again(restored):
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("1.01")))
        broker.drain()
        pit.gateway.announce(1100)
        await pit.hears(lambda: not broker.link.is_up)
        with pytest.raises(BrokerUnavailable, match="1100"):
            await broker.submit(order(STOP))
        with pytest.raises(BrokerUnavailable, match="1100"):
            await broker.order_by_client_id(ENTRY)
        pit.step(5)
        pit.gateway.announce(restored)
        await pit.hears(lambda: broker.link.is_up)
        [fill] = fills(await pit.events(broker, fills))
        assert fill.client_order_id == ENTRY
        assert STOP not in pit.placed()


async def test_a_mute_gateway_is_given_up_and_the_connection_made_anew():
    async with Pit() as pit:
        broker = await pit.connected(deadline=0.3)
        pit.breaks_once(FaultKind.HALF_OPEN, "reqCurrentTime")
        with pytest.raises(BrokerUnavailable, match="no answer"):
            await broker.clock()
        pit.breaks()
        await pit.hears(lambda: broker.link.is_up)
        assert await broker.clock()


async def test_a_caller_that_gives_up_leaves_no_answer_behind_for_the_next(monkeypatch):
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        known, first = pit.gateway.open_entries, [True]
        monkeypatch.setattr(pit.gateway, "open_entries", lambda: [] if first and first.pop() else known())
        pit.breaks_once(FaultKind.LATENCY, "reqAllOpenOrders", lasts=0.3)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(broker.open_orders(), 0.05)
        assert [one.client_order_id for one in await broker.open_orders()] == [ENTRY]
        assert broker.link.is_up


async def test_repeated_news_are_told_once():
    async with Pit() as pit:
        pit.breaks(FaultRule(kind=FaultKind.DUPLICATED, place="orders"))
        broker = await pit.connected()
        await broker.submit(order(ENTRY))
        told = await pit.events(broker, fills)
        await asyncio.sleep(0.1)
        assert kinds([*told, *broker.drain()]) == ["OrderAcknowledged", "OrderFilled"]


async def test_swapped_news_lose_no_execution():
    async with Pit(cash=50_000_000) as pit:
        pit.breaks(
            FaultRule(kind=FaultKind.REORDERED, place="orders", chance=0.5),
            FaultRule(kind=FaultKind.DUPLICATED, place="orders", chance=0.3),
            FaultRule(kind=FaultKind.PARTIAL, fraction=0.05),
        )
        broker = await pit.connected(deadline=5.0)
        await broker.submit(order(ENTRY, quantity="300"))
        told = await pit.events(
            broker, lambda found: sum({one.execution_id: one.quantity for one in fills(found)}.values()) >= 300
        )
        last = {one.execution_id: one for one in fills(told)}
        assert sum(one.quantity for one in last.values()) == 300
        pit.breaks()
        known = {one.execution_id: one for one in await broker.fills_since(Instant(0))}
        assert set(known) == set(last)
        assert sum(one.fees for one in known.values()) == sum(
            one.fees for one in pit.exchange.desk("ibkr").truth().fills
        )


async def test_an_order_that_fills_while_it_is_replaced_is_not_followed_by_another():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("1.01")))
        pit.breaks_once(FaultKind.LATENCY, "cancelOrder", lasts=0.2)
        replacing = asyncio.create_task(broker.replace(order(STOP2, limit=pit.price("1.02"), replaces=ENTRY)))
        await asyncio.sleep(0.05)
        pit.step(5)  # the fill beats the cancel
        await replacing
        told = broker.drain()
        assert pit.placed() == [ENTRY]
        assert pit.held() == TEN
        assert [kind for kind in kinds(told) if kind != "AnswerLost"][-2:] == ["OrderRejected", "CancelRejected"]
        assert len(fills(told)) == 1


async def test_an_order_that_is_filled_in_part_while_it_is_replaced_is_not_followed_by_another():
    async with Pit() as pit:
        pit.breaks(FaultRule(kind=FaultKind.PARTIAL, fraction=0.05))
        broker = await pit.connected()
        await broker.submit(order(ENTRY, quantity="1000", limit=pit.price("1.01")))
        pit.breaks(
            FaultRule(kind=FaultKind.PARTIAL, fraction=0.05),
            FaultRule(kind=FaultKind.LATENCY, place="cancelOrder", times=1, seconds=0.2),
        )
        replacing = asyncio.create_task(
            broker.replace(order(STOP2, quantity="1000", limit=pit.price("1.02"), replaces=ENTRY))
        )
        await asyncio.sleep(0.05)
        pit.step(1)
        await replacing
        told = broker.drain()
        assert pit.placed() == [ENTRY]
        assert 0 < pit.held() < 1000
        assert sum(one.quantity for one in fills(told)) == pit.held()
        assert kinds(told)[-3:] == ["OrderCancelled", "OrderRejected", "CancelRejected"]


async def test_an_order_that_the_gateway_lists_no_longer_is_in_doubt_and_then_over(monkeypatch):
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        broker.drain()
        monkeypatch.setattr(pit.gateway, "open_entries", list)
        pit.server.cut_all()
        await pit.hears(lambda: not broker.link.is_up)
        await pit.hears(lambda: broker.link.is_up)
        assert kinds(broker.drain()) == ["AnswerLost"]
        found = await broker.order_by_client_id(ENTRY)
        assert found is not None
        assert (found.status, found.reason) == (BrokerOrderStatus.CANCELLED, "the gateway lists it no longer")


async def test_news_that_cannot_be_taken_in_are_read_again_over_a_new_connection(monkeypatch):
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("1.01")))
        broker.drain()
        monkeypatch.setattr(broker._desk, "_printed", lambda *_, **__: 1 / 0)
        pit.step(5)
        await pit.hears(lambda: not broker.link.is_up)
        monkeypatch.undo()
        await pit.hears(lambda: broker.link.is_up)
        assert len(fills(await pit.events(broker, fills))) == 1


async def test_an_order_number_that_was_used_is_changed_for_the_next():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        await broker.cancel(ENTRY)
        await pit.hears(lambda: pit.resting() == [])
        await broker.close()
        again = await pit.connected()
        again.link.ib.client._reqIdSeq = pit.gateway.book.next_order_id() - 1
        await again.contracts.of_stock(SYMBOL)  # takes a number of its own
        again.link.ib.client._reqIdSeq -= 1
        await again.submit(order(STOP, limit=pit.price("0.9")))
        assert kinds(again.drain()) == ["OrderAcknowledged"]
        assert pit.resting() == [STOP]


async def test_a_family_of_requests_that_gets_no_answers_is_left_alone_and_the_others_are_asked():
    async with Pit() as pit:
        broker = await pit.connected(deadline=0.05)
        pit.breaks(FaultRule(kind=FaultKind.LATENCY, place="reqContractDetails", seconds=30.0))
        for number in range(FAILURES_MAX):
            with pytest.raises(BrokerUnavailable, match="no answer from IB Gateway"):
                await broker.contracts.of_stock(f"AAA{number}")
        with pytest.raises(BrokerUnavailable, match=r"contracts: not asked for . s after 5 failures: no answer in"):
            await broker.contracts.of_stock("AAA9")
        (open_one,) = [one for one in broker.circuits() if one.open_seconds]
        assert (open_one.endpoint, open_one.failures) == ("contracts", FAILURES_MAX)
        broker.link.circuits.admit("account")  # nothing is held against it


async def test_a_gateway_without_a_word_on_orders_is_sent_no_opening_one_and_every_closing_one():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY))
        await pit.events(broker, fills)
        for _ in range(FAILURES_MAX):
            broker.link.circuits.failed("orders", "no word from IB Gateway in 2 s")
        with pytest.raises(BrokerRefused, match=r"orders: not asked for .* s after 5 failures: no word"):
            await broker.submit(order(f"{ENTRY[:-1]}2", limit=pit.price("0.9")))
        await broker.submit(order(STOP, Side.SELL, stop=pit.price("0.9")))
        assert pit.placed() == [ENTRY, STOP]
        await broker.submit(order(f"{ENTRY[:-1]}2", limit=pit.price("0.9")))  # the answer has closed the circuit
        assert pit.placed() == [ENTRY, STOP, f"{ENTRY[:-1]}2"]


async def test_a_mute_gateway_holds_an_order_up_for_one_deadline_and_a_quarter_at_most():
    """A session does nothing else meanwhile: two of them in a row must end before it counts as blind."""
    assert 2 * 1.25 * DEADLINE_SECONDS_MAX < BLIND_MAX / SECOND
    async with Pit() as pit:
        broker = await pit.connected(deadline=0.8)
        await broker.submit(order(ENTRY))
        await pit.events(broker, fills)
        pit.breaks(FaultRule(kind=FaultKind.LATENCY, place="placeOrder", seconds=30.0))  # and it hears nothing else
        began = asyncio.get_running_loop().time()
        with pytest.raises(BrokerUnavailable):
            await broker.submit(order(f"{ENTRY[:-1]}2", limit=pit.price("0.9")))
        assert asyncio.get_running_loop().time() - began < 1.5 * 0.8
