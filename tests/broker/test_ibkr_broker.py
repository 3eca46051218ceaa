"""The IBKR adapter's orders and account, over real sockets against the sandbox's gateway."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tbot_bot.broker.authorization import LiveAuthorization
from tbot_bot.broker.broker_ibkr import IbkrBroker
from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable, CredentialsRejected
from tbot_bot.core.events import CancelRejected, FillBusted, OrderCancelled, OrderFilled, OrderRejected, OrderReplaced
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.core.orders import BrokerOrderStatus, Side
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tbot_bot.sandbox.tws_codes import ORDER_MESSAGE
from tbot_bot.sandbox.tws_orders import CommissionReport, ExecutionDetails
from tbot_bot.sandbox.tws_replies import Problem
from tests.broker.ibkr_kit import CLIENT_ID, ENTRY, EXIT, SHARE, STOP, STOP2, TEN, Pit, fills, kinds, order


async def test_a_market_order_is_acknowledged_then_filled_with_the_venues_price_and_fees():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY))
        told = await pit.events(broker, fills)
        [known] = pit.exchange.desk("ibkr").truth().fills
        assert kinds(told) == ["OrderAcknowledged", "OrderFilled"]
        [fill] = fills(told)
        assert (fill.client_order_id, fill.quantity, fill.price, fill.fees) == (ENTRY, TEN, known.price, known.fees)
        assert fill.transacted_at == known.transacted_at // SECOND * SECOND
        assert await broker.fills_since(Instant(0)) == (fill,)
        assert await broker.fills_since(Instant(fill.transacted_at + 1)) == ()


async def test_account_positions_and_clock_are_the_venues():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY))
        [fill] = fills(await pit.events(broker, fills))
        account, [position] = await broker.account(), await broker.positions()
        truth = pit.exchange.desk("ibkr").account()
        assert (account.cash, account.buying_power) == (truth.cash, truth.buying_power.quantize(Decimal("0.01")))
        assert account.is_margin
        assert (position.instrument, position.quantity, position.average_price) == (SHARE, TEN, fill.price)
        assert abs(await broker.clock() - pit.exchange.now()) <= SECOND


async def test_a_large_order_is_filled_in_parts_that_add_up():
    async with Pit(cash=50_000_000) as pit:
        pit.breaks(FaultRule(kind=FaultKind.PARTIAL, fraction=0.05))
        broker = await pit.connected()
        await broker.submit(order(ENTRY, quantity="300"))
        told = await pit.events(broker, lambda found: sum(one.quantity for one in fills(found)) == 300)
        parts = fills(told)
        assert len(parts) > 1
        assert len({one.execution_id for one in parts}) == len(parts)
        found = await broker.order_by_client_id(ENTRY)
        assert found is not None
        assert (found.status, found.filled_quantity) == (BrokerOrderStatus.FILLED, Decimal(300))


async def test_a_cancel_is_confirmed_and_a_second_one_refused():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        await broker.cancel(ENTRY)
        told = await pit.events(broker, lambda found: any(isinstance(one, OrderCancelled) for one in found))
        assert kinds(told) == ["OrderAcknowledged", "OrderCancelled"]
        await broker.cancel(ENTRY)
        assert kinds(broker.drain()) == ["CancelRejected"]
        assert pit.resting() == []


async def test_a_cancel_of_what_nobody_knows_is_refused():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.cancel(ENTRY)
        [refused] = broker.drain()
        assert isinstance(refused, CancelRejected)
        assert refused.reason.startswith("IB has no order")


async def test_an_order_without_the_money_is_rejected_with_the_vendors_reason():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, quantity="1000000"))
        [rejected] = broker.drain()
        assert isinstance(rejected, OrderRejected)
        assert rejected.reason.startswith("201: Order rejected")
        found = await broker.order_by_client_id(ENTRY)
        assert found is not None
        assert (found.status, found.reason) == (BrokerOrderStatus.REJECTED, rejected.reason)


async def test_a_price_off_the_grid_is_rejected():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=Decimal("30.123")))
        [rejected] = broker.drain()
        assert isinstance(rejected, OrderRejected)
        assert "110" in rejected.reason


async def test_an_unknown_symbol_is_refused_and_never_sent():
    async with Pit() as pit:
        broker = await pit.connected()
        with pytest.raises(BrokerRefused, match="knows no NOPE"):
            await broker.submit(order(ENTRY, instrument=replace(SHARE, symbol="NOPE")))
        assert await broker.order_by_client_id(ENTRY) is None
        assert pit.placed() == []


async def test_the_same_id_is_never_sent_twice():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        with pytest.raises(BrokerRefused, match="must be unique"):
            await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        assert pit.placed() == [ENTRY]


async def test_a_stop_takes_the_place_of_another_under_its_own_name():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY))
        await pit.events(broker, fills)
        await broker.submit(order(STOP, Side.SELL, stop=pit.price("0.95")))
        await broker.replace(order(STOP2, Side.SELL, stop=pit.price("0.97"), replaces=STOP))
        told = broker.drain()
        assert kinds(told) == ["OrderAcknowledged", "OrderAcknowledged", "OrderReplaced"]
        assert isinstance(told[-1], OrderReplaced)
        assert (told[-1].client_order_id, told[-1].by) == (STOP, STOP2)
        [resting] = await broker.open_orders()
        assert (resting.client_order_id, resting.request.stop) == (
            STOP2,
            order(STOP2, Side.SELL, stop=pit.price("0.97")).stop,
        )


async def test_a_replacement_that_is_refused_leaves_the_old_order_told_as_gone():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        await broker.replace(order(STOP, limit=Decimal("30.123"), replaces=ENTRY))
        told = broker.drain()
        assert sorted(kinds(told)[1:]) == ["OrderCancelled", "OrderRejected"]
        assert pit.resting() == []


async def test_what_was_filled_already_is_not_replaced():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY))
        await pit.events(broker, fills)
        await broker.replace(order(STOP, limit=pit.price("0.9"), replaces=ENTRY))
        assert kinds(broker.drain()) == ["OrderRejected", "CancelRejected"]
        assert pit.placed() == [ENTRY]


async def test_a_short_sale_is_a_sale_and_its_cover_a_purchase():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, Side.SELL_SHORT))
        await pit.events(broker, fills)
        [position] = await broker.positions()
        assert position.quantity == -10
        await broker.submit(order(EXIT, Side.BUY_TO_COVER))
        await pit.events(broker, fills)
        assert await broker.positions() == ()


async def test_a_sale_or_a_cover_of_more_than_is_held_never_reaches_the_venue():
    async with Pit() as pit:
        broker = await pit.connected()
        with pytest.raises(BrokerRefused, match="0 held"):
            await broker.submit(order(EXIT, Side.BUY_TO_COVER))
        await broker.submit(order(ENTRY))
        await pit.events(broker, fills)
        with pytest.raises(BrokerRefused, match="10 held"):
            await broker.submit(order(EXIT, Side.SELL, "11"))
        assert pit.placed() == [ENTRY]
        assert await broker.order_by_client_id(EXIT) is None


async def test_a_warning_does_not_end_an_order():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        broker.drain()
        number = pit.gateway.open_entries()[0].asked.order_id
        pit.say(Problem(req_id=number, code=ORDER_MESSAGE, text="will not be placed until 09:30"))
        [resting] = await broker.open_orders()
        assert (resting.client_order_id, resting.status) == (ENTRY, BrokerOrderStatus.WORKING)
        assert broker.drain() == []
        await broker.cancel(ENTRY)
        await pit.hears(lambda: pit.resting() == [])


async def test_a_refused_cancel_sets_the_order_in_doubt_and_its_lookup_finds_it_working():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        broker.drain()
        number = pit.gateway.open_entries()[0].asked.order_id
        pit.say(Problem(req_id=number, code=10147, text="OrderId that needs to be cancelled is not found."))
        told = await pit.events(broker, lambda found: len(found) == 2)
        assert kinds(told) == ["CancelRejected", "AnswerLost"]
        found = await broker.order_by_client_id(ENTRY)
        assert found is not None
        assert found.status is BrokerOrderStatus.WORKING


async def test_a_code_that_nobody_knows_sets_the_order_in_doubt():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        broker.drain()
        number = pit.gateway.open_entries()[0].asked.order_id
        pit.say(Problem(req_id=number, code=19999, text="new in this release"))
        assert kinds(await pit.events(broker, bool)) == ["AnswerLost"]


async def test_an_execution_is_told_before_its_commission_when_that_is_late_and_again_with_it():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        broker.drain()
        pit.say(_execution(pit, "0000e0d5.00000063.01.01"))
        await pit.hears(lambda: len(broker._desk._queue) == 1)
        [early] = fills(broker.drain())
        assert (early.quantity, early.fees) == (Decimal(5), Decimal("1.00"))  # the fee table's minimum
        pit.say(CommissionReport(execution_id="0000e0d5.00000063.01.01", commission=Decimal("1.37")))
        await pit.hears(lambda: len(broker._desk._queue) == 1)
        [late] = fills(broker.drain())
        assert (late.execution_id, late.fees) == (early.execution_id, Decimal("1.37"))


async def test_a_correction_undoes_what_was_told_and_tells_what_holds():
    async with Pit() as pit:
        broker = await pit.connected()
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        broker.drain()
        first, second = "0000e0d5.00000063.01.01", "0000e0d5.00000063.01.02"
        pit.say(_execution(pit, first), CommissionReport(execution_id=first, commission=Decimal(1)))
        pit.say(_execution(pit, second, "34.50"), CommissionReport(execution_id=second, commission=Decimal(1)))
        pit.say(_execution(pit, first), CommissionReport(execution_id=first, commission=Decimal(1)))  # late: no news
        told = await pit.events(broker, lambda found: len(found) >= 3)
        assert kinds(told) == ["OrderFilled", "FillBusted", "OrderFilled"]
        assert isinstance(told[1], FillBusted)
        assert told[1].execution_id == first
        assert isinstance(told[2], OrderFilled)
        assert (told[2].fill.execution_id, told[2].fill.price) == (second, Decimal("34.50"))


async def test_orders_and_positions_of_others_are_seen_and_left_alone():
    async with Pit() as pit:
        stranger = await pit.connected(client_id=99)
        await stranger.submit(order("by hand", limit=pit.price("0.9")))
        await stranger.submit(order("bought elsewhere"))
        await pit.events(stranger, fills)
        broker = await pit.connected()
        assert broker.drain() == []
        assert [one.quantity for one in await broker.positions()] == [10]
        assert [one.client_order_id for one in await broker.open_orders()] == ["by hand"]
        await broker.cancel("by hand")
        [refused] = broker.drain()
        assert isinstance(refused, CancelRejected)
        assert "client id 99" in refused.reason
        assert pit.resting() == ["by hand"]


async def test_orders_without_a_reference_are_told_and_taken_off_the_buying_power_and_no_engine_sees_them():
    from ib_async import LimitOrder, MarketOrder, Order  # noqa: PLC0415 - heavy

    async with Pit() as pit:
        broker, stranger = await pit.connected(), await pit.connected(client_id=99)
        share = await stranger.contracts.of(SHARE)
        low = pit.price("0.5")
        asked = [
            LimitOrder("BUY", 30, float(low)),
            LimitOrder("SELL", 5, float(pit.price("1.5"))),
            MarketOrder("BUY", 2),
        ]
        asked += [Order(action="BUY", totalQuantity=4, orderType="STP", auxPrice=float(pit.price("2")))]
        for one in asked:
            stranger.link.ib.placeOrder(share, one)
        await pit.hears(lambda: len(pit.resting()) >= 4)
        await broker.submit(order(ENTRY, limit=pit.price("0.9")))
        pit.step(5)  # what was bought at the market rests no longer

        buy, sale, stop = await broker.foreign_orders()
        assert [one.name for one in (buy, sale, stop)] == ["", "", ""]
        assert len({one.broker_order_id for one in (buy, sale, stop)}) == 3
        assert (buy.buys, buy.quantity, buy.price) == (True, Decimal(30), low)
        assert (sale.buys, sale.quantity, sale.notional) == (False, Decimal(5), Decimal(0))
        assert (stop.buys, stop.quantity) == (True, Decimal(4))
        assert [one.client_order_id for one in await broker.open_orders()] == [ENTRY]
        venue = pit.exchange.desk("ibkr").account()
        told = await broker.account()
        assert told.buying_power == venue.buying_power - buy.notional - stop.notional
        assert (told.equity, told.cash, told.is_margin) == (venue.equity, venue.cash, True)
        assert len(pit.resting()) == 4


async def test_a_gateway_of_another_account_is_refused():
    async with Pit() as pit:
        with pytest.raises(CredentialsRejected, match="not to the account of the settings"):
            await pit.broker(account="DU9999999").connect()


async def test_a_client_id_in_use_says_so():
    async with Pit() as pit:
        await pit.connected()
        with pytest.raises(BrokerUnavailable, match="client id is already in use"):
            await pit.broker().connect()


async def test_a_live_client_needs_an_authorization():
    async with Pit() as pit:
        with pytest.raises(LogicError, match="without authorization"):
            IbkrBroker(pit.endpoint(), now=pit.exchange.now, live=True)
        permit = LiveAuthorization(test_mode=False, mode=Mode.LIVE)
        assert IbkrBroker(pit.endpoint(), now=pit.exchange.now, live=True, authorization=permit).capabilities.live


def _execution(pit: Pit, execution_id: str, price: str = "34.56") -> ExecutionDetails:
    [entry] = pit.gateway.open_entries()
    return ExecutionDetails(
        req_id=-1,
        order_id=entry.asked.order_id,
        contract=entry.listed.told(),
        execution_id=execution_id,
        time="20250902 13:35:07 UTC",
        account=pit.gateway.account,
        exchange="NASDAQ",
        side="BOT",
        shares=Decimal(5),
        price=Decimal(price),
        perm_id=entry.perm_id,
        client_id=CLIENT_ID,
        cumulative_quantity=Decimal(5),
        average_price=Decimal(price),
        order_ref=entry.asked.order_ref,
    )
