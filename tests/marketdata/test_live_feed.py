"""The minute book's laws, Alpaca's words about the market, and the feed against the sandbox over a real socket."""

import asyncio
import json
import random
from decimal import Decimal

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.bars import Bar
from tbot_bot.core.errors import BrokerUnavailable, UnknownMessage
from tbot_bot.core.instants import MINUTE, Duration, Instant, later, minutes
from tbot_bot.marketdata.alpaca_feed import AlpacaFeed, FeedSurroundings, StreamAccess
from tbot_bot.marketdata.alpaca_feed_wire import StreamError, Subscription, bars_of, frame_of, quotes_of
from tbot_bot.marketdata.live_feed import MinuteBook
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tests.support.sandbox import SYMBOL, SandboxThread

BELL = Instant(1_756_819_800 * 10**9)
CLOSE = later(BELL, minutes(390))
SPAN = Duration(MINUTE)


def bar(symbol, minute, price=10.0):
    """Return the bar of the minute that ends so many minutes after the bell."""
    end = BELL + minute * MINUTE
    return Bar(symbol, end - MINUTE, end, price, price, price, price, 100.0)


def at(minute):
    return later(BELL, minute * MINUTE)


def book(*symbols):
    made = MinuteBook(bell=BELL, close=CLOSE, span=SPAN)
    made.want(symbols)
    return made


def test_a_minute_that_came_whole_is_told_at_its_end():
    one = book("AAA", "BBB")
    one.add([bar("BBB", 1), bar("AAA", 1)])
    one.streamed({"AAA": at(-1), "BBB": at(-1)}, at(1))
    told = one.tell(at(1))
    assert [each.symbol for each in told.now] == ["AAA", "BBB"]
    assert told.late == ()
    assert one.lacking(at(1)) == {}


def test_a_share_that_did_not_trade_keeps_nobody_waiting_beyond_the_grace():
    one = book("AAA", "BBB")
    one.add([bar("AAA", 1)])
    assert one.silent(at(1)) == ("BBB",)
    one.streamed({"AAA": at(-1), "BBB": at(-1)}, at(1))
    assert [each.symbol for each in one.tell(at(1)).now] == ["AAA"]


def test_a_bar_after_its_minute_was_told_is_late_and_one_before_a_told_bar_is_never_told():
    one = book("AAA")
    since = {"AAA": at(-1)}
    one.streamed(since, at(1))
    assert one.tell(at(1)).now == ()
    one.add([bar("AAA", 1)])  # after the grace
    one.add([bar("AAA", 2)])
    one.streamed(since, at(2))
    told = one.tell(at(2))
    assert ([each.end for each in told.late], [each.end for each in told.now]) == ([at(1)], [at(2)])
    one.add([bar("AAA", 1, price=99.0)])
    one.streamed(since, at(3))
    assert one.tell(at(3)) == type(told)()


def test_nothing_is_told_over_a_gap_until_somebody_has_filled_it():
    one = book("AAA")
    one.streamed({"AAA": at(-1)}, at(1))
    one.tell(at(1))
    one.add([bar("AAA", 4)])  # the stream broke after minute 1 and is back since the middle of minute 4
    again = {"AAA": Instant(at(3) + MINUTE // 2)}
    one.streamed(again, at(4))
    assert one.tell(at(4)).now == ()
    assert one.lacking(at(4)) == {at(1): ("AAA",)}
    one.add([bar("AAA", 2), bar("AAA", 3), bar("AAA", 4)])
    one.answered(["AAA"], at(4))
    told = one.tell(at(4))
    assert [each.end for each in told.late + told.now] == [at(2), at(3), at(4)]
    one.add([bar("AAA", 5)])
    one.streamed(again, at(5))
    assert [each.end for each in one.tell(at(5)).now] == [at(5)]


def test_a_late_start_lacks_everything_since_the_bell_and_a_recovery_what_the_engine_has_not_seen():
    late, recovered = book("AAA"), MinuteBook(bell=BELL, close=CLOSE, span=SPAN)
    recovered.want(["AAA", "BBB"], {"AAA": at(7)})
    assert late.lacking(at(9)) == {BELL: ("AAA",)}
    assert recovered.lacking(at(9)) == {at(7): ("AAA",), BELL: ("BBB",)}


def test_bars_outside_the_regular_session_and_of_strangers_are_nobodys_business():
    one = book("AAA")
    one.add([bar("AAA", 0), bar("AAA", 391), bar("ZZZ", 1)])
    one.answered(["AAA"], at(391))
    assert one.tell(at(391)) == type(one.tell(at(391)))()


@given(
    arrivals=st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 12), st.integers(0, 14)), max_size=60),
    breaks=st.dictionaries(st.integers(1, 12), st.sampled_from(["stream", "rest", "nothing"]), max_size=12),
)
def test_each_bar_is_told_at_most_once_and_each_symbols_bars_in_order(arrivals, breaks):
    one = book("A", "B")
    told = []
    for boundary in range(1, 15):
        one.add(bar(symbol, minute) for symbol, minute, when in arrivals if when == boundary)
        how = breaks.get(boundary, "stream")
        if how == "stream":
            one.streamed({"A": at(-1), "B": at(-1)}, at(boundary))
        elif how == "rest":
            one.answered(one.symbols, at(boundary))
        found = one.tell(at(boundary))
        assert all(each.end < at(boundary) for each in found.late)
        assert all(each.end == at(boundary) for each in found.now)
        told += [*found.late, *found.now]
    for symbol in "AB":
        ends = [each.end for each in told if each.symbol == symbol]
        assert ends == sorted(set(ends))


GOOD = {"T": "b", "S": "AAA", "o": 1.5, "h": 2, "l": 1.25, "c": 1.75, "v": 10, "t": "2025-09-02T13:30:00Z"}
QUOTE = {"T": "q", "S": "AAA", "bp": 1.23, "ap": 1.25, "bs": 3, "as": 4, "t": "2025-09-02T13:30:00.123456789Z"}


def test_a_frame_is_read_to_the_cent_and_the_nanosecond_and_what_is_broken_in_it_is_counted():
    broken = [{**GOOD, "h": 1}, {**GOOD, "o": "x"}, {**QUOTE, "t": "noon"}, {**GOOD, "v": -1}]
    found = frame_of(json.dumps([GOOD, QUOTE, *broken, {"T": "x"}]))
    assert found.bars == (Bar("AAA", BELL, BELL + MINUTE, 1.5, 2.0, 1.25, 1.75, 10.0),)
    assert [(str(one.bid), str(one.ask), one.at - BELL) for one in found.quotes] == [("1.23", "1.25", 123456789)]
    assert found.unread == len(broken)


def test_what_the_stream_says_of_itself_is_told_apart():
    said = [
        {"T": "error", "code": 405, "msg": "symbol limit exceeded"},
        {"T": "subscription", "bars": ["A"], "quotes": ["A", "B"]},
    ]
    assert frame_of(json.dumps(said)).said == (
        StreamError(code=405, text="symbol limit exceeded"), Subscription(symbols=frozenset("A")),
    )  # fmt: skip


@given(
    st.one_of(
        st.text(),
        st.binary(),
        st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps),
    )
)
def test_no_garbage_is_more_than_not_understood(text):
    try:
        frame_of(text)
    except UnknownMessage as error:
        assert str(error)  # noqa: PT017 - the only thing it may say


@pytest.mark.parametrize("read", [bars_of, quotes_of])
@pytest.mark.parametrize("value", [None, [], {"bars": 3, "quotes": 3}, "x"])
def test_an_answer_of_another_form_is_not_understood(read, value):
    with pytest.raises(UnknownMessage):
        read(value)


# --- against the sandbox ----------------------------------------------------------------------------------------------


DROPPED = FaultRule(kind=FaultKind.DROPPED, place="market_data", times=1)


class Rig:
    """The feed on a sandbox that a test steps by hand; REST by a stand-in for the broker's plumbing."""

    def __init__(self, *, limit=30):
        self.sandbox = SandboxThread("alpaca")
        self.notes: list[str] = []
        access = StreamAccess(url=self.sandbox.url("alpaca", "ws"), key="changeme", secret="changeme")
        around = FeedSurroundings(
            now=self.sandbox.exchange.now, monotonic=monotonic_seconds, dice=random.Random(1).random,
            note=self.notes.append, deadline_seconds=5.0,
        )  # fmt: skip
        self.feed = AlpacaFeed(access, self, around, symbols_max=limit)

    async def read(self, path, query=None, *, version="v2"):
        """Ask as `AlpacaRest` does."""

        def ask():
            url = f"{self.sandbox.url('alpaca')}/{version}{path}"
            keys = {"APCA-API-KEY-ID": "changeme", "APCA-API-SECRET-KEY": "changeme"}
            return requests.get(url, params=query, headers=keys, timeout=10)

        answer = await asyncio.to_thread(ask)
        if answer.status_code != 200:
            raise BrokerUnavailable(answer.text)
        return json.loads(answer.text, parse_float=Decimal)

    def readings(self):
        """Return no circuit: this stand-in has none."""
        return ()

    async def until(self, true):
        """Wait until `true` says so."""
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110 - what is waited for happens in another thread
                await asyncio.sleep(0.01)


@pytest.fixture
def rig():
    made = []

    def _rig(**words):
        made.append(Rig(**words))
        return made[-1]

    yield _rig
    for one in made:
        one.sandbox.close()


def test_bars_and_quotes_come_by_the_stream_and_the_same_bars_by_asking(rig):
    one = rig()

    async def listen():
        one.feed.want((SYMBOL,))
        one.feed.start()
        await one.until(lambda: one.feed.streamed_since(SYMBOL) is not None)
        one.sandbox.wait(minutes(3))
        bars, quotes = [], {}

        def came():
            found = one.feed.take()
            bars.extend(found.bars)
            quotes.update(found.quotes)
            return len(bars) == 3 and SYMBOL in quotes

        await one.until(came)
        now = one.sandbox.exchange.now()
        asked = await one.feed.bars((SYMBOL,), later(now, -minutes(3)), now)
        newest = await one.feed.quotes((SYMBOL,))
        await one.feed.close()
        return bars, asked, quotes[SYMBOL], newest

    bars, asked, quote, newest = asyncio.run(listen())
    assert tuple(bars) == asked
    assert [each.end - each.start for each in bars] == [MINUTE] * 3
    assert [one.at >= quote.at and 0 < one.bid < one.ask for one in newest] == [True]


def test_only_what_the_plan_allows_is_streamed_the_first_ones_first_and_a_change_is_followed(rig):
    one = rig(limit=2)

    async def listen():
        names = tuple(one.sandbox.exchange.market.symbols[:4])
        one.feed.want(names)
        one.feed.start()
        await one.until(lambda: one.feed.streamed_since(names[1]) is not None)
        first = [one.feed.streamed_since(name) is not None for name in names]
        one.feed.want(names[::-1])
        await one.until(lambda: one.feed.streamed_since(names[3]) and one.feed.streamed_since(names[0]) is None)
        second = [one.feed.streamed_since(name) is not None for name in names]
        await one.feed.close()
        return first, second

    assert asyncio.run(listen()) == ([True, True, False, False], [False, False, True, True])


def test_a_plan_that_streams_less_than_thought_is_asked_for_less(rig):
    one = rig(limit=64)

    async def listen():
        names = tuple(f"X{number:02}" for number in range(40))
        one.feed.want(names)
        one.feed.start()
        await one.until(lambda: one.feed.streamed_since(names[0]) is not None)
        await one.feed.close()

    asyncio.run(listen())
    assert any("fewer than 64" in note for note in one.notes)


def test_a_broken_connection_is_made_again_and_says_since_when_it_tells(rig):
    one = rig()

    async def listen():
        one.feed.want((SYMBOL,))
        one.feed.start()
        await one.until(lambda: one.feed.streamed_since(SYMBOL))
        before = one.feed.streamed_since(SYMBOL)
        one.sandbox.do(lambda: one.sandbox.exchange.faults.set([DROPPED], seed=1))
        one.sandbox.wait()
        await one.until(lambda: one.feed.streamed_since(SYMBOL) is None)
        one.sandbox.do(lambda: one.sandbox.exchange.faults.set([], seed=1))
        one.sandbox.wait(minutes(1))
        await one.until(lambda: one.feed.streamed_since(SYMBOL))
        after = one.feed.streamed_since(SYMBOL)
        await one.feed.close()
        return before, after

    before, after = asyncio.run(listen())
    assert after >= before + MINUTE
    assert any("no market data by the stream" in note for note in one.notes)


def test_refused_keys_leave_the_data_to_be_asked_for(rig):
    one = rig()

    async def listen():
        access = StreamAccess(url=one.sandbox.url("alpaca", "ws"), key="wrong", secret="wrong")
        around = one.feed._around
        feed = AlpacaFeed(access, one, around)
        feed.want((SYMBOL,))
        feed.start()
        await one.until(lambda: one.notes)
        asked = await feed.quotes((SYMBOL,))
        await feed.close()
        return asked

    assert asyncio.run(listen())
    assert "402 auth failed" in one.notes[0]
    assert "wrong" not in one.notes[0]


@pytest.mark.parametrize(("code", "halted"), [("2", True), ("H", True), ("P", True), ("3", False), ("T", False)])
def test_a_status_of_either_tape_tells_a_halt_or_its_end(code, halted):
    told = {"T": "s", "S": "AAA", "sc": code, "sm": "Words", "rc": "LUDP", "rm": "More", "t": "2025-09-02T13:35:00Z"}
    frame = frame_of(json.dumps([told]))
    assert [(one.symbol, one.halted, one.reason) for one in frame.halts] == [("AAA", halted, "Words, More")]


def test_a_status_about_something_else_is_no_halt_and_one_without_a_time_is_counted():
    quoting = {"T": "s", "S": "AAA", "sc": "Q", "sm": "Quotation Resumption", "t": "2025-09-02T13:35:00Z"}
    frame = frame_of(json.dumps([quoting, {"T": "s", "S": "AAA", "sc": "H"}]))
    assert (frame.halts, frame.unread) == ((), 1)
