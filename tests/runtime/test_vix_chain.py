"""Where a live session reads the VIX: vendors on sockets of this machine, a gateway of the sandbox, a recorded file."""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from decimal import Decimal

import pytest

from tbot_bot.config.settings import load_settings
from tbot_bot.core.bars import VixReading
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.instants import DAY, HOUR, SECOND, Instant, later
from tbot_bot.marketdata.vix_quotes import yahoo_reading
from tbot_bot.runtime.vix_chain import BACK_SECONDS, VixChain, vix_chain
from tests.broker.ibkr_kit import Pit
from tests.support.vendor_stand_in import KEY, VendorStandIn

NOW = Instant(1_756_831_800 * 10**9)
SINCE = NOW // SECOND - 40


def chart(price, at=SINCE):
    return {"chart": {"result": [{"meta": {"symbol": "^VIX", "regularMarketPrice": price, "regularMarketTime": at}}]}}


class Street:
    """Yahoo and Finnhub, each with one answer."""

    def __init__(self, stack, home, *, yahoo, finnhub):
        self.notes: list[str] = []
        self.yahoo = stack.enter_context(VendorStandIn(lambda _path, _query: yahoo, open=True))
        self.finnhub = stack.enter_context(VendorStandIn(lambda _path, _query: finnhub))
        self.home = home

    async def read(self, *, source="auto", brokers=None, recorded=None, times=1):
        """Return the last of so many readings."""
        places = {
            "YAHOO_URL": self.yahoo.url,
            "FINNHUB_URL": self.finnhub.url,
            "FINNHUB_API_KEY": KEY,
            "VIX_SOURCE": source,
        }
        for name, words in (
            (".env", ("YAHOO_URL", "FINNHUB_URL", "FINNHUB_API_KEY")),
            (".env_bot", ("VIX_SOURCE",)),
        ):
            (self.home / name).write_text("".join(f"{word}={places[word]}\n" for word in words))
            (self.home / name).chmod(0o600)
        settings = load_settings(self.home, {}, defaults_if_absent=True)
        async with AsyncExitStack() as stack:
            chain = await vix_chain(
                settings, brokers or {}, recorded=recorded, now=lambda: NOW, note=self.notes.append, stack=stack
            )
            return [await chain.vix() for _ in range(times)][-1]


@pytest.fixture
def street(tmp_path):
    with ExitStack() as stack:
        yield lambda **words: Street(stack, tmp_path, **words)


def test_yahoo_is_asked_first_where_no_gateway_is_and_its_value_carries_its_time(street):
    one = street(yahoo=(200, chart(17.42)), finnhub=(200, {"c": 18, "t": SINCE}))
    assert asyncio.run(one.read()) == VixReading(Decimal("17.42"), Instant(SINCE * SECOND), "yahoo")
    assert [asked.path for asked in one.yahoo.seen] == ["/v8/finance/chart/%5EVIX"]
    assert one.finnhub.seen == []
    assert one.notes == []


def test_a_source_that_fails_is_passed_over_said_and_asked_last_for_a_while(street):
    one = street(yahoo=(500, {}), finnhub=(200, {"c": 18.5, "t": SINCE}))
    found = asyncio.run(one.read(times=2))
    assert found == VixReading(Decimal("18.5"), Instant(SINCE * SECOND), "finnhub")
    assert len(one.notes) == 1
    assert "yahoo" in one.notes[0]
    assert len(one.yahoo.seen) == 2, "one reading with one retry; the second reading began at finnhub"
    assert len(one.finnhub.seen) == 2
    assert KEY not in "".join(one.notes)


@pytest.mark.parametrize(
    ("yahoo", "why"),
    [
        ((200, chart(17.0, SINCE - 2 * DAY // SECOND)), "48 h old"),
        ((200, chart(0)), "has none"),
        ((200, {"chart": {"result": None, "error": {}}}), "has none"),
        ((200, b"<html>"), "no JSON"),
        ((200, chart(9000)), "no value of the VIX"),
    ],
    ids=["old", "zero", "nothing", "a page", "nonsense"],
)
def test_what_is_no_value_of_the_last_day_is_missing_and_then_the_vix_is_missing(street, yahoo, why):
    one = street(yahoo=yahoo, finnhub=(200, {"c": 0, "t": 0}))
    assert asyncio.run(one.read()) is None
    assert why in one.notes[0]
    assert "finnhub" in one.notes[1]
    assert one.notes[-1] == "the VIX is missing: no source has one"


def test_a_named_source_is_asked_alone(street):
    one = street(yahoo=(200, chart(17.42)), finnhub=(200, {"c": 18, "t": SINCE}))
    found = asyncio.run(one.read(source="finnhub"))
    assert found is not None
    assert found.source == "finnhub"
    assert one.yahoo.seen == []


def test_a_recorded_file_is_the_last_resort_and_tells_only_what_was_known(street, tmp_path):
    file = tmp_path / "vix.csv"
    file.write_text("date,open,high,low,close\n2025-08-29,15.0,15.5,14.5,15.2\n2025-09-02,16.5,19.0,16.0,18.9\n")
    one = street(yahoo=(500, {}), finnhub=(403, {"error": "You don't have access to this resource."}))
    found = asyncio.run(one.read(recorded=file))
    assert found is not None
    assert found.value == Decimal("16.5")
    assert found.known_at < NOW


async def test_the_gateway_goes_before_all_others_and_yahoo_takes_over_when_it_is_down(street):
    one = street(yahoo=(200, chart(17.42)), finnhub=(500, {}))
    async with Pit() as pit:
        broker = await pit.connected()
        await one.read(brokers={"ibkr": broker})
        assert one.yahoo.seen == []
        await broker.close()
        found = await one.read(brokers={"ibkr": broker})
        assert found is not None
        assert found.source == "yahoo"
        assert "ibkr" in one.notes[-1]


class Scripted:
    """A source that fails until it is mended."""

    def __init__(self, name, reading):
        self.name, self.reading = name, reading
        self.asked = 0

    async def vix(self):
        self.asked += 1
        if self.reading == "mute":
            await asyncio.sleep(3600)
        if self.reading is None:
            raise BrokerUnavailable("away")
        return self.reading


async def test_a_mute_source_does_not_keep_the_answer_and_a_mended_one_is_first_again():
    now = [0.0]
    first, second = Scripted("first", "mute"), Scripted("second", VixReading(Decimal(20), NOW, "second"))
    notes: list[str] = []
    chain = VixChain([first, second], now=lambda: later(NOW, HOUR), note=notes.append, monotonic=lambda: now[0],
                     ask_seconds=0.05)  # fmt: skip
    assert await chain.vix() == second.reading
    assert "no answer within 0.05 s" in notes[0]
    first.reading = VixReading(Decimal(21), NOW, "first")
    assert await chain.vix() == second.reading, "not trusted again at once"
    now[0] += BACK_SECONDS + 1
    assert await chain.vix() == first.reading


def test_a_value_from_a_moment_ahead_of_the_session_is_dated_by_the_session():
    told = yahoo_reading(chart(17, SINCE + 400), NOW)
    assert told is not None
    assert told.known_at == NOW
