"""The laws of folding, and the feed of Interactive Brokers against the sandbox's gateway over a real socket."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.broker.ibkr_stream import IbkrStream
from tbot_bot.core.bars import Bar
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.instants import MINUTE, SECOND, Instant, later, minutes
from tbot_bot.core.token_bucket import Limit
from tbot_bot.marketdata.five_seconds import PIECE, MinuteFold
from tbot_bot.marketdata.ibkr_feed import IbkrFeed
from tbot_bot.marketdata.live_feed import MinuteBook
from tbot_bot.runtime.clock import monotonic_seconds
from tests.broker.ibkr_kit import SYMBOL, Pit

BELL = Instant(1_756_819_800 * 10**9)
OTHER = "SYN02"


def piece(number, price=10.0, volume=100.0):
    """Return the five seconds that begin so many pieces after the bell."""
    start = BELL + number * PIECE
    return Bar("AAA", start, start + PIECE, price, price + 0.5, price - 0.5, price, volume)


def test_twelve_pieces_are_a_minute_and_those_without_trades_lend_it_no_price():
    fold = MinuteFold("AAA")
    told = [fold.add(piece(number, 10.0 + number, 0.0 if number in {0, 11} else 100.0)) for number in range(12)]
    assert told[:11] == [None] * 11
    assert told[11] == Bar("AAA", BELL, BELL + MINUTE, 11.0, 20.5, 10.5, 20.0, 1000.0)
    assert [fold.add(piece(number, volume=0.0)) for number in range(12, 24)] == [None] * 12
    assert (fold.since, fold.until) == (BELL, BELL + 2 * MINUTE)


@given(
    begin=st.integers(0, 30),
    lost=st.sets(st.integers(0, 120), max_size=4),
    repeated=st.sets(st.integers(0, 120), max_size=4),
)
def test_a_minute_is_told_exactly_where_none_of_its_pieces_is_missing(begin, lost, repeated):
    fold, told, since = MinuteFold("AAA"), [], {}
    for number in range(begin, 121):
        if number not in lost:
            told += [bar for _ in range(1 + (number in repeated)) if (bar := fold.add(piece(number))) is not None]
            since[number] = fold.since
    heard = [number for number in range(begin, 121) if number not in lost]
    whole = [first for first in range(0, 120, 12) if all(first + one in heard for one in range(12))]
    assert [bar.start for bar in told] == [BELL + first * PIECE for first in whole]
    assert all(bar.volume == 1200.0 for bar in told)
    for number in heard:  # what `since` promises is so
        begun = since[number]
        assert begun is not None
        gapless = range((begun - BELL) // PIECE, number)
        assert all(one in heard for one in gapless)


@asynccontextmanager
async def following(pit, *symbols, **words):
    """Give a feed that follows `symbols`, its broker, and what it noted."""
    broker = await pit.connected()
    notes: list[str] = []
    stream = IbkrStream(broker.link, broker.contracts, broker.market, pit.exchange.now)
    feed = IbkrFeed(stream, monotonic=monotonic_seconds, note=notes.append, **words)
    feed.start()
    feed.want(symbols)
    try:
        yield feed, broker, notes
    finally:
        await feed.close()


async def step(pit, times, span=5.0):
    for _ in range(times):
        pit.step(span)
        await asyncio.sleep(0.005)


async def heard(feed, pit, bars, enough):
    """Step by five seconds, and collect into `bars` until there are `enough`."""
    for _ in range(100):
        bars += feed.take().bars
        if len(bars) >= enough:
            return
        await step(pit, 1)
    raise AssertionError(f"these came: {bars}")


def known(pit, symbol, bar):
    """Return the market's own bar of that minute."""
    return next(one for one in pit.exchange.market.minute_bars(Instant(bar.end)) if one.symbol == symbol)


async def test_minutes_fold_to_the_markets_own_bars_and_quotes_come_along():
    async with Pit() as pit, following(pit, SYMBOL) as (feed, _, notes):
        await pit.hears(lambda: len(pit.gateway.clients) == 1 and feed.streamed_since(SYMBOL) is None)
        await asyncio.sleep(0.3)
        bars: list[Bar] = []
        await heard(feed, pit, bars, 2)
        for bar in bars[:2]:
            own = known(pit, SYMBOL, bar)
            assert (bar.start, bar.end, bar.close) == (own.start, own.end, own.close)
            assert own.low <= bar.low <= bar.open <= bar.high <= own.high
            assert bar.volume == pytest.approx(own.volume, abs=12)
        pit.step(5)
        quotes = {}
        for _ in range(100):
            quotes.update(feed.take().quotes)
            if quotes:
                break
            await asyncio.sleep(0.01)
        assert quotes[SYMBOL].bid < quotes[SYMBOL].ask
        assert notes == []


@pytest.mark.parametrize("code", [1101, 1102, None], ids=["1101: lost", "1102: kept", "the gateway restarts"])
async def test_after_an_outage_the_gap_is_seen_asked_for_and_the_stream_goes_on(code):
    async with Pit() as pit, following(pit, SYMBOL) as (feed, broker, notes):
        await asyncio.sleep(0.5)
        bars: list[Bar] = []
        await heard(feed, pit, bars, 1)
        first = feed.streamed_since(SYMBOL)
        if code is None:
            pit.server.cut_all()
        else:
            pit.gateway.announce(1100)
        await pit.hears(lambda: not broker.link.is_up)
        with pytest.raises(BrokerUnavailable):
            broker.link.ib  # noqa: B018 - what everybody who asks meanwhile is told
        await step(pit, 30)
        if code is not None:
            pit.gateway.announce(code)
        await pit.hears(lambda: broker.link.is_up)
        await asyncio.sleep(0.6)
        bars += feed.take().bars
        count = len(bars)
        await heard(feed, pit, bars, count + 2)
        begun = feed.streamed_since(SYMBOL)
        assert begun is not None
        assert begun > first
        gap = await feed.bars((SYMBOL,), Instant(bars[count - 1].end), begun)
        ends = [bar.end for bar in (*bars[:count], *gap, *bars[count:])]
        assert ends == list(range(ends[0], ends[-1] + MINUTE, MINUTE)), "no minute is missing, none comes twice"
        assert bool(notes) is (code != 1102)


async def test_more_symbols_than_lines_are_asked_for_and_the_first_ones_are_followed():
    async with Pit() as pit, following(pit, OTHER, SYMBOL, symbols_max=1) as (feed, _, _notes):
        await asyncio.sleep(0.5)
        await step(pit, 15)
        assert feed.streamed_since(OTHER) is not None
        assert feed.streamed_since(SYMBOL) is None
        feed.want((SYMBOL, OTHER))
        await asyncio.sleep(0.5)
        await step(pit, 15)
        assert feed.streamed_since(SYMBOL) is not None
        assert feed.streamed_since(OTHER) is None
        bell, now = pit.exchange.market.day.open_at, pit.exchange.now()
        told = await feed.bars((OTHER, SYMBOL), later(bell, minutes(1)), now)
        assert {bar.symbol for bar in told} == {OTHER, SYMBOL}
        assert min(bar.start for bar in told) == later(bell, minutes(1))


async def test_ibs_limit_of_new_subscriptions_is_kept_and_said():
    limits = (Limit(count=1, span=minutes(10)),)
    async with Pit() as pit, following(pit, OTHER, SYMBOL, beginnings=limits) as (feed, _, notes):
        await asyncio.sleep(0.8)
        await step(pit, 15)
        assert feed.streamed_since(OTHER) is not None
        assert feed.streamed_since(SYMBOL) is None
        assert len(notes) == 1
        assert "subscriptions in ten minutes" in notes[0]


async def test_a_share_that_ib_does_not_know_keeps_no_other_waiting():
    async with Pit() as pit, following(pit, "NOPE", SYMBOL) as (feed, _, notes):
        await asyncio.sleep(0.5)
        await step(pit, 15)
        assert feed.streamed_since(SYMBOL) is not None
        told = await feed.bars(("NOPE", SYMBOL), pit.exchange.market.day.open_at, pit.exchange.now())
        assert {bar.symbol for bar in told} == {SYMBOL}
        assert any("NOPE" in note for note in notes)


async def test_a_line_that_tells_nothing_of_a_minute_is_not_taken_for_a_quiet_market():
    async with Pit() as pit, following(pit, SYMBOL) as (feed, _, _notes):
        await asyncio.sleep(0.5)
        bars: list[Bar] = []
        await heard(feed, pit, bars, 1)
        end = Instant(bars[0].end)
        book = MinuteBook(bell=end, close=later(end, minutes(60)), span=minutes(1))
        book.want([SYMBOL])
        for ahead, lacking in ((0, {}), (1, {end: (SYMBOL,)})):
            until = later(end, minutes(ahead))
            heard_until = {SYMBOL: feed.heard_until(SYMBOL)}
            book.streamed({SYMBOL: feed.streamed_since(SYMBOL)}, until, heard_until)
            assert book.lacking(until) == lacking
        assert SECOND * 5 == PIECE
