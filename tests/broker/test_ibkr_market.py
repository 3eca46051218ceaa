"""The IBKR adapter's market data and its puts, over real sockets against the sandbox's gateway."""

from decimal import Decimal

import pytest

from tbot_bot.broker.ibkr_market import PutQuoteSource
from tbot_bot.core.commands import ReadPutQuotes
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable
from tbot_bot.core.instants import MINUTE, SECOND, Instant, later
from tbot_bot.core.instruments import OptionRight
from tbot_bot.core.orders import OrderRequest, OrderType, Side, StopTrigger
from tests.broker.ibkr_kit import ENTRY, STOP, SYMBOL, TRADE, Pit, fills, order


def asked(pit: Pit, *, symbol: str = SYMBOL, min_days: int = 7) -> ReadPutQuotes:
    at = pit.exchange.now()
    return ReadPutQuotes(trade_id=TRADE, broker="ibkr", underlying=symbol, spot=pit.price(), at=at, min_days=min_days)


async def test_puts_come_with_their_quotes_round_the_money_and_late_enough():
    async with Pit() as pit:
        source: PutQuoteSource = (await pit.connected()).market
        answer = await source.put_quotes(asked(pit))
        assert answer.problem == ""
        assert len({put.instrument.expiry for put in answer.quotes}) == 1
        strikes = [put.instrument.strike for put in answer.quotes]
        assert strikes == sorted(strikes)
        assert min(strikes) < pit.price() < max(strikes)
        for put in answer.quotes:
            assert put.instrument.expiry is not None
            assert (put.instrument.expiry.isoformat(), put.instrument.right) >= ("2025-09-09", OptionRight.PUT)
            known = pit.exchange.market.quote(put.instrument.symbol, pit.exchange.now())
            assert known is not None
            assert (put.quote.bid, put.quote.ask) == (known.bid, known.ask)


async def test_quotes_of_puts_are_new_each_time():
    async with Pit() as pit:
        market = (await pit.connected()).market
        await market.put_quotes(asked(pit))
        pit.step(1800)
        for put in (await market.put_quotes(asked(pit))).quotes:
            known = pit.exchange.market.quote(put.instrument.symbol, pit.exchange.now())
            assert known is not None
            assert (put.quote.bid, put.quote.ask) == (known.bid, known.ask)


async def test_where_there_are_no_puts_the_answer_says_why():
    async with Pit() as pit:
        market = (await pit.connected()).market
        far = await market.put_quotes(asked(pit, min_days=900))
        unknown = await market.put_quotes(asked(pit, symbol="NOPE"))
        assert (far.quotes, unknown.quotes) == ((), ())
        assert "no options" in far.problem
        assert "NOPE" in unknown.problem


async def test_a_put_is_bought_and_its_stop_watches_the_share():
    async with Pit() as pit:
        broker = await pit.connected()
        assert broker.capabilities.conditional_stops
        quotes = (await broker.market.put_quotes(asked(pit))).quotes
        put = min(quotes, key=lambda one: abs(one.instrument.strike - pit.price()))
        await broker.submit(order(ENTRY, quantity="2", limit=put.quote.ask, instrument=put.instrument))
        await pit.events(broker, lambda found: sum(one.quantity for one in fills(found)) == 2)
        [position] = await broker.positions()
        assert (position.instrument, position.quantity) == (put.instrument, Decimal(2))
        assert position.average_price <= put.quote.ask
        stop = OrderRequest(
            client_order_id=STOP,
            trade_id=TRADE,
            broker="ibkr",
            instrument=put.instrument,
            side=Side.SELL,
            quantity=Decimal(2),
            order_type=OrderType.STOP,
            stop=StopTrigger(symbol=SYMBOL, price=pit.price("1.05"), rising=True),
        )
        await broker.submit(stop)
        [resting] = await broker.open_orders()
        assert resting.client_order_id == STOP
        assert fills(broker.drain()) == []
        await broker.cancel(STOP)
        await pit.hears(lambda: pit.resting() == [])


async def test_an_imbalance_has_the_exchanges_sign_and_is_missing_where_none_is_published():
    async with Pit() as pit:
        market = (await pit.connected()).market
        pit.gateway.imbalances[SYMBOL] = (Decimal(125_000), Decimal("38.80"), Decimal(-42_000))
        found = await market.imbalance(SYMBOL)
        assert found is not None
        assert (found.imbalance, found.volume) == (Decimal(-42_000), Decimal(125_000))


async def test_imbalances_of_many_leave_out_what_is_not_published_or_not_known():
    async with Pit() as pit:
        market = (await pit.connected()).market
        pit.gateway.imbalances["SYN02"] = (Decimal(1000), Decimal("38.80"), Decimal(700))
        (found,) = await market.imbalances(("NOPE", "SYN02", SYMBOL))
        assert (found.symbol, found.shares, found.paired) == ("SYN02", Decimal(700), Decimal(1000))
        assert found.at == pit.exchange.now()


async def test_data_that_we_may_not_see_are_missing_with_the_gateways_reason():
    async with Pit() as pit:
        market = (await pit.connected()).market
        pit.gateway.not_subscribed = frozenset({SYMBOL})
        assert await market.quote(SYMBOL) is None
        assert "354" in market.why_missing(SYMBOL)


@pytest.mark.parametrize("cut", [False, True], ids=["1101", "cut"])
async def test_subscriptions_are_made_again_after_an_outage(cut):
    async with Pit() as pit:
        broker = await pit.connected()
        assert await broker.market.quote(SYMBOL) is not None
        if cut:
            pit.server.cut_all()
        else:
            pit.gateway.announce(1100)
        await pit.hears(lambda: not broker.link.is_up)
        if not cut:
            pit.gateway.announce(1101)
        await pit.hears(lambda: broker.link.is_up)
        pit.step(60)
        known = pit.exchange.market.quote(SYMBOL, pit.exchange.now())
        found = await broker.market.quote(SYMBOL)
        assert found is not None
        assert known is not None
        assert (found.bid, found.ask) == (known.bid, known.ask)


async def test_the_vix_and_what_can_be_borrowed_are_read():
    async with Pit() as pit:
        market = (await pit.connected()).market
        reading, borrow = await market.vix(), await market.borrow(SYMBOL)
        known = pit.exchange.market.source.vix_at(pit.exchange.now())
        assert reading is not None
        assert known is not None
        assert abs(reading.value - known.value) < Decimal("0.01")
        assert pit.exchange.now() - reading.known_at < 5 * MINUTE
        assert borrow.easy


async def test_minute_bars_are_the_markets_and_only_complete_ones():
    async with Pit() as pit:
        market = (await pit.connected()).market
        pit.step(30)  # half a minute into the sixth
        bell = pit.exchange.market.day.open_at
        bars = await market.minute_bars(SYMBOL, bell, pit.exchange.now())
        known = [
            one
            for count in range(1, 6)
            for one in pit.exchange.market.minute_bars(later(bell, count * MINUTE))
            if one.symbol == SYMBOL
        ]
        assert [(one.start, one.end) for one in bars] == [(one.start, one.end) for one in known]
        assert [one.close for one in bars] == pytest.approx([one.close for one in known])
        assert len(bars) == 5


async def test_a_share_that_nobody_knows_is_refused_and_a_closed_line_is_unavailable():
    async with Pit() as pit:
        broker = await pit.connected()
        with pytest.raises(BrokerRefused, match="NOPE"):
            await broker.market.quote("NOPE")
        await broker.close()
        with pytest.raises(BrokerUnavailable, match="closed"):
            await broker.market.minute_bars(SYMBOL, Instant(0), Instant(SECOND))
