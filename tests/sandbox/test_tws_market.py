"""Contracts and market data over the TWS side of the sandbox, judged by ib_async over real sockets."""

import asyncio
import math
from datetime import UTC, datetime
from decimal import Decimal

import ib_async
import pytest

from tbot_bot.core.instants import SECOND, later, minutes
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tests.sandbox.tws_kit import SYMBOL, Floor, share


@pytest.fixture
async def floor():
    async with Floor() as made:
        yield made


async def put(ib, floor):
    """Return a qualified put near the share's price."""
    under = await share(ib)
    chains = await ib.reqSecDefOptParamsAsync(SYMBOL, "", "STK", under.conId)
    [chain] = [one for one in chains if one.exchange == "SMART"]
    strike = min(chain.strikes, key=lambda each: abs(each - floor.price()))
    [contract] = await ib.qualifyContractsAsync(ib_async.Option(SYMBOL, chain.expirations[0], strike, "P", "SMART"))
    return contract


async def refused(floor, ib, asked):
    """Return the code that a request was refused with; ib_async takes 321 for a warning and waits on for ever."""
    await floor.hears(lambda: asked.done() or ib.told(321))
    if asked.done():
        return asked.exception().code
    asked.cancel()
    return 321


# --- contracts --------------------------------------------------------------------------------------------------------


async def test_a_share_has_details_and_one_number_for_ever(floor):
    ib = await floor.connect()
    [details] = await ib.reqContractDetailsAsync(ib_async.Stock(SYMBOL, "SMART", "USD"))
    assert (details.contract.symbol, details.minTick, details.stockType) == (SYMBOL, 0.01, "COMMON")
    assert details.liquidHours.startswith("20250902:0930-20250902:1600;20250903:0930")
    [again] = await ib.reqContractDetailsAsync(ib_async.Contract(conId=details.contract.conId))
    assert again.contract.symbol == SYMBOL
    async with Floor() as other:
        assert (await share(await other.connect())).conId == details.contract.conId


async def test_a_put_is_found_on_the_grid_bought_and_held(floor):
    ib = await floor.connect()
    contract = await put(ib, floor)
    assert (contract.multiplier, contract.right, len(contract.localSymbol)) == ("100", "P", 21)
    trade = ib.placeOrder(contract, ib_async.MarketOrder("BUY", 1))
    await floor.until(trade.isDone)
    await floor.hears(ib.positions)
    [held] = ib.positions()
    assert (held.contract.conId, held.position) == (contract.conId, 1)
    assert held.avgCost == pytest.approx(trade.fills[0].execution.price * 100)


async def test_a_put_is_protected_by_an_order_that_waits_for_the_shares_price(floor):
    ib = await floor.connect()
    contract, under = await put(ib, floor), await share(ib)
    entry = ib.placeOrder(contract, ib_async.MarketOrder("BUY", 2))
    await floor.until(entry.isDone)
    rising, falling = floor.price("1.002"), floor.price("0.5")
    trades = []
    for price, is_more in ((rising, True), (falling, False)):
        stop = ib_async.MarketOrder("SELL", 1)
        stop.conditions = [ib_async.PriceCondition(isMore=is_more, price=price, conId=under.conId, exch="SMART")]
        trades.append(ib.placeOrder(contract, stop))
    await floor.hears(lambda: [trade.orderStatus.status for trade in trades] == ["PreSubmitted"] * 2)
    await floor.until(trades[0].isDone, span=5)
    assert floor.price() >= rising * 0.999
    assert trades[0].filled() == 1
    again = await floor.connect(8)
    [seen] = await again.reqAllOpenOrdersAsync()
    [condition] = seen.order.conditions
    assert (condition.price, condition.conId, condition.isMore) == (falling, under.conId, False)


async def test_conditions_that_are_not_offered_are_refused(floor):
    ib = await floor.connect()
    contract = await share(ib)
    at_noon: list[ib_async.OrderCondition] = [ib_async.TimeCondition()]
    for conditions in (at_noon, [ib_async.PriceCondition(conId=contract.conId)] * 2):
        order = ib_async.MarketOrder("BUY", 1)
        order.conditions = list(conditions)
        ib.placeOrder(contract, order)
    astray = ib_async.MarketOrder("BUY", 1)
    astray.conditions = [ib_async.PriceCondition(conId=1, price=5)]
    ib.placeOrder(contract, astray)
    await floor.hears(lambda: len(ib.told(321)) == 2 and ib.told(200))
    assert floor.truth().orders == ()


async def test_a_vague_option_is_many_and_cannot_be_ordered(floor):
    ib = await floor.connect()
    found = await ib.reqContractDetailsAsync(ib_async.Option(SYMBOL, exchange="SMART"))
    assert len(found) > 10
    ib.client.placeOrder(
        ib.client.getReqId(), ib_async.Option(SYMBOL, exchange="SMART"), ib_async.MarketOrder("BUY", 1)
    )
    await floor.hears(lambda: ib.told(200))


@pytest.mark.parametrize(
    ("contract", "code"),
    [
        (ib_async.Stock("NOPE", "SMART", "USD"), 200),
        (ib_async.Stock(SYMBOL, "SMART", "EUR"), 200),
        (ib_async.Stock(SYMBOL, "NOWHERE", "USD"), 200),
        (ib_async.Contract(conId=1), 200),
        (ib_async.Index("SPX", "CBOE"), 200),
        (ib_async.Contract(symbol=SYMBOL), 321),
    ],
)
async def test_a_contract_that_is_not_there_has_the_vendors_number(floor, contract, code):
    ib = await floor.connect()
    asked = asyncio.ensure_future(ib.reqContractDetailsAsync(contract))
    assert await refused(floor, ib, asked) == code


async def test_symbols_are_searched_and_price_rules_told(floor):
    ib = await floor.connect()
    found = await ib.reqMatchingSymbolsAsync("SYN0")
    assert [one.contract.symbol for one in found] == [f"SYN0{digit}" for digit in range(1, 10)]
    rules = await ib.reqMarketRuleAsync(26)
    assert [(rule.lowEdge, rule.increment) for rule in rules] == [(0, 0.0001), (1, 0.01)]


async def test_the_time_is_the_markets(floor):
    ib = await floor.connect()
    assert await ib.reqCurrentTimeAsync() == datetime(2025, 9, 2, 13, 35, tzinfo=UTC)


# --- ticks ------------------------------------------------------------------------------------------------------------


async def test_ticks_begin_with_what_is_known_and_follow_the_tape(floor):
    ib = await floor.connect()
    ticker = ib.reqMktData(await share(ib), "236")
    await floor.hears(lambda: ticker.shortableShares > 0)
    quote = floor.exchange.market.quote(SYMBOL, floor.exchange.now())
    assert (ticker.bid, ticker.ask) == (float(quote.bid), float(quote.ask))
    assert ticker.close == floor.exchange.market.source.previous_close(SYMBOL)
    assert (ticker.shortable, ticker.halted) == (3, 0)
    first, volume = ticker.last, ticker.volume
    await floor.until(lambda: ticker.last != first)
    assert ticker.volume > volume
    floor.exchange.halt(SYMBOL)
    await floor.hears(lambda: ticker.halted == 1)
    ib.cancelMktData(ticker.contract)
    await floor.settle()
    floor.step(60)
    assert (await ib.reqCurrentTimeAsync()).minute == 36
    assert ticker.halted == 1


async def test_a_snapshot_ends(floor):
    ib = await floor.connect()
    [ticker] = await ib.reqTickersAsync(await share(ib))
    assert ticker.marketPrice() == pytest.approx(floor.price(), abs=0.05)


async def test_options_have_quotes_and_the_vix_a_value(floor):
    ib = await floor.connect()
    option = ib.reqMktData(await put(ib, floor))
    [vix] = await ib.qualifyContractsAsync(ib_async.Index("VIX", "CBOE"))
    index = ib.reqMktData(vix)
    await floor.hears(lambda: option.ask > option.bid > 0 and not math.isnan(index.last))
    reading = floor.exchange.market.source.vix_at(floor.exchange.now())
    assert index.last == float(reading.value)


async def test_imbalances_are_told_shortly_before_the_close_or_when_set(floor):
    ib = await floor.connect()
    floor.gateway.imbalances["SYN02"] = (Decimal(125_000), Decimal("80.05"), Decimal(-42_000))
    given = ib.reqMktData(await share(ib, "SYN02"), "225")
    made = ib.reqMktData(await share(ib), "225")
    await floor.hears(lambda: given.auctionImbalance == -42_000)
    assert (given.auctionVolume, given.auctionPrice, given.regulatoryImbalance) == (125_000, 80.05, -42_000)
    await floor.hears(lambda: not math.isnan(made.bid))
    assert math.isnan(made.auctionImbalance)
    ib.cancelMktData(made.contract)
    floor.exchange.advance_to(later(floor.exchange.market.day.close_at, -minutes(5)))
    again = ib.reqMktData(made.contract, "225")
    await floor.hears(lambda: again.auctionVolume > 0)


async def test_data_needs_a_subscription_and_no_competing_session(floor):
    ib = await floor.connect()
    contract = await share(ib)
    floor.gateway.not_subscribed = frozenset({SYMBOL})
    ticker = ib.reqMktData(contract)
    await floor.hears(lambda: ib.told(354))
    assert math.isnan(ticker.bid)
    ib.cancelMktData(contract)
    ib.reqMarketDataType(3)
    ticker = ib.reqMktData(contract)
    await floor.hears(lambda: ticker.marketDataType == 3 and ticker.bid > 0)
    floor.gateway.competing_session = True
    ib.reqMktData(await share(ib, "SYN02"))
    await floor.hears(lambda: ib.told(10197))


# --- bars -------------------------------------------------------------------------------------------------------------


async def bars_of(ib, size="1 min", duration="1 D", shown="TRADES", contract=None, end="", form=2):
    return await ib.reqHistoricalDataAsync(contract or await share(ib), end, duration, size, shown, True, form)


async def test_minute_bars_are_the_markets_own(floor):
    ib = await floor.connect()
    bars = await bars_of(ib)
    known = floor.exchange.market.source.bars_until(SYMBOL, floor.exchange.now())
    assert [(b.open, b.high, b.low, b.close, b.volume) for b in bars] == [
        (b.open, b.high, b.low, b.close, b.volume) for b in known
    ]
    assert bars[0].date == datetime(2025, 9, 2, 13, 30, tzinfo=UTC)


async def test_larger_and_smaller_bars_hold_the_same_day(floor):
    ib = await floor.connect()
    [five] = await bars_of(ib, "5 mins")
    fine = await bars_of(ib, "30 secs")
    assert (five.high, five.low) == (max(b.high for b in fine), min(b.low for b in fine))
    assert five.volume == sum(b.volume for b in fine)
    assert len(fine) == 10


async def test_daily_bars_end_with_the_day_so_far(floor):
    ib = await floor.connect()
    bars = await bars_of(ib, "1 day", "1 M")
    closes = floor.exchange.market.source.daily_closes(SYMBOL)
    assert [b.close for b in bars[:-1]] == list(closes)
    assert bars[-1].date.isoformat() == "2025-09-02"
    assert bars[-2].date.isoformat() == "2025-08-29"
    assert [b.close for b in await bars_of(ib, "1 day", "1 M", end="20250829-21:00:00")] == list(closes)


async def test_a_view_of_the_past_knows_nothing_later(floor):
    ib = await floor.connect()
    bars = await bars_of(ib, end="20250902 09:32:00 US/Eastern", duration="120 S")
    assert [b.date.minute for b in bars] == [30, 31]
    days = await bars_of(ib, "1 day", "1 M", end="20250827-21:00:00")
    assert days[-1].date.isoformat() == "2025-08-27"
    floor.step(20)
    [unfinished] = (await bars_of(ib))[5:]
    ticks = floor.exchange.market.ticks(SYMBOL, floor.exchange.now()).values()
    assert unfinished.volume == sum(tick.volume for tick in ticks if tick.end <= floor.exchange.now())
    assert 0 < unfinished.volume < sum(tick.volume for tick in ticks)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"size": "7 mins"}, 321),
        ({"duration": "1 X"}, 321),
        ({"shown": "BID_ASK"}, 321),
        ({"end": "yesterday"}, 321),
        ({"end": "20200102-21:00:00"}, 162),
    ],
)
async def test_history_that_cannot_be_had_is_refused_by_number(floor, words, code):
    ib = await floor.connect()
    asked = asyncio.ensure_future(bars_of(ib, **words))
    assert await refused(floor, ib, asked) == code


async def test_the_vix_has_bars(floor):
    ib = await floor.connect()
    [vix] = await ib.qualifyContractsAsync(ib_async.Index("VIX", "CBOE"))
    [bar] = await bars_of(ib, "1 day", contract=vix)
    assert bar.close == float(floor.exchange.market.source.vix_at(floor.exchange.now()).value)


async def test_bars_kept_up_to_date_grow_with_the_market(floor):
    ib = await floor.connect()
    bars = await ib.reqHistoricalDataAsync(await share(ib), "", "1 D", "1 min", "TRADES", True, 2, keepUpToDate=True)
    count = len(bars)
    await floor.until(lambda: len(bars) == count + 2, span=20)
    assert bars[-1].close == floor.exchange.market.source.bars_until(SYMBOL, floor.exchange.now())[-1].close


async def test_five_second_bars_follow_without_a_gap_and_hold_what_was_traded(floor):
    ib = await floor.connect()
    bars = ib.reqRealTimeBars(await share(ib), 5, "TRADES", False)
    await ib.reqCurrentTimeAsync()
    await floor.until(lambda: len(bars) >= 11)
    starts = [int(bar.time.timestamp()) for bar in bars]
    assert starts == list(range(starts[0], starts[0] + 5 * len(bars), 5))
    market = floor.exchange.market
    for bar in bars:
        begin = int(bar.time.timestamp()) * SECOND
        ends = [begin + (second + 1) * SECOND for second in range(5)]
        trades = [trade for end in ends if (trade := market.trade(SYMBOL, end)) is not None]
        assert bar.volume == sum(trade.size for trade in trades)
        assert not trades or (bar.open_, bar.close) == (float(trades[0].price), float(trades[-1].price))


async def test_stale_and_crossed_quotes_come_from_the_plan():
    async with Floor([FaultRule(kind=FaultKind.CROSSED)]) as floor:
        ib = await floor.connect()
        ticker = ib.reqMktData(await share(ib))
        await floor.hears(lambda: ticker.bid > ticker.ask > 0)


async def test_the_vendors_clock_may_be_wrong():
    async with Floor([FaultRule(kind=FaultKind.SKEWED, seconds=90)]) as floor:
        ib = await floor.connect()
        assert (await ib.reqCurrentTimeAsync()).timestamp() == floor.exchange.now() // SECOND + 90
