"""What a live session's market answers when its sources fail, and that nothing keeps the session waiting."""

import asyncio
from decimal import Decimal

from tbot_bot.core.bars import Bar, Imbalance, VixReading
from tbot_bot.core.commands import ReadPutQuotes
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.events import ImbalancesRead, PutQuotesRead, VixRead
from tbot_bot.core.instants import MINUTE, Duration, Instant, later, minutes
from tbot_bot.marketdata.live_feed import Arrived, MinuteBook
from tbot_bot.runtime.live_market import LiveMarket, MarketSources

BELL = Instant(1_756_819_800 * 10**9)
NOW = later(BELL, minutes(3))


class Feed:
    """A vendor that streams nothing, and answers or fails as it is told."""

    def __init__(self, *, fails=0):
        self.arrived = asyncio.Event()
        self.wanted, self.asked, self.fails = (), [], fails

    def want(self, symbols):
        self.wanted = symbols

    def streamed_since(self, _):
        return None

    def heard_until(self, _):
        return None

    def take(self):
        return Arrived()

    async def bars(self, symbols, since, until):
        self.asked.append((symbols, since, until))
        if len(self.asked) <= self.fails:
            raise BrokerUnavailable("503")
        starts = range(since, until, MINUTE)
        return tuple(Bar(name, at, at + MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0) for name in symbols for at in starts)

    async def quotes(self, _):
        return ()


class Screener:
    """Screens nothing."""

    source = "nobody"

    async def screen(self):
        return ()


class Vix:
    """A source with one answer: a value, nothing, or an error."""

    def __init__(self, answer):
        self.answer = answer

    async def vix(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def market(feed, notes, *, vix=(), imbalances=None):
    """Return the market of one session over `feed`; a defect fails the test."""
    book = MinuteBook(bell=BELL, close=later(BELL, minutes(390)), span=Duration(MINUTE))
    sources = MarketSources(feed=feed, screener=Screener(), vix=vix, imbalances=imbalances)

    def report(where, error):
        raise AssertionError(where) from error

    return LiveMarket(sources, book, note=notes.append, report=report)


async def answer(one):
    """Return the next answered question."""
    async with asyncio.timeout(5):
        await one.inbox.arrived.wait()
    (make,) = one.inbox.take()
    return make(NOW)


def test_the_vix_comes_from_the_first_source_that_has_one_and_a_failing_source_is_noted():
    known = VixReading(Decimal("17.5"), BELL, "third")
    notes: list[str] = []

    async def ask():
        one = market(Feed(), notes, vix=(Vix(BrokerUnavailable("gateway down")), Vix(None), Vix(known)))
        assert one.vix(NOW) is None  # the session goes on; the answer is an event
        return await answer(one)

    assert asyncio.run(ask()) == VixRead(at=NOW, reading=known)
    assert notes == ["the VIX: gateway down"]


def test_without_any_source_there_is_no_vix_and_there_are_no_puts_and_both_are_said():
    request = ReadPutQuotes(at=BELL, trade_id="t", broker="alpaca", underlying="AAA", spot=Decimal(10), min_days=7)

    async def ask():
        one = market(Feed(), [])
        one.vix(NOW)
        read = await answer(one)
        one.put_quotes(request)
        return read, await answer(one)

    read, puts = asyncio.run(ask())
    assert read == VixRead(at=NOW, reading=None)
    assert puts == PutQuotesRead(at=NOW, trade_id="t", quotes=(), problem="alpaca quotes no puts here")


def test_missing_bars_are_asked_for_again_after_a_failure_and_never_twice_at_once(monkeypatch):
    monkeypatch.setattr("tbot_bot.runtime.live_market.RETRY_SECONDS", 0.0)
    feed, notes = Feed(fails=1), list[str]()

    async def ask():
        one = market(feed, notes)
        one.watch(("AAA", "BBB"), NOW)
        for _ in range(2):
            one.ask_for_missing(NOW)
            one.ask_for_missing(NOW)
            async with asyncio.timeout(5):
                await one.inbox.arrived.wait()
            one.inbox.take()
            await asyncio.sleep(0)
        return one.tell(NOW)

    told = asyncio.run(ask())
    assert feed.asked == [(("AAA", "BBB"), BELL, NOW)] * 2
    assert notes == ["bars could not be asked for: 503"]
    assert [bar.symbol for bar in told.now] == ["AAA", "BBB"]
    assert len(told.late) == 4


def test_auction_imbalances_of_what_is_followed_come_as_an_event_and_are_asked_for_once_at_a_time():
    told = Imbalance("AAA", NOW, Decimal(-700), Decimal(1000))
    asked: list[tuple[str, ...]] = []

    class Auction:
        async def imbalances(self, symbols):
            asked.append(symbols)
            await asyncio.sleep(0)
            return (told,)

    async def ask():
        one = market(Feed(), [], imbalances=Auction())
        one.watch(("AAA", "BBB"), NOW)
        one.read_imbalances()
        one.read_imbalances()
        return await answer(one)

    assert asyncio.run(ask()) == ImbalancesRead(at=NOW, imbalances=(told,))
    assert asked == [("AAA", "BBB")]
