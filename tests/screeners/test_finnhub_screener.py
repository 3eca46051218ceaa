"""The live screen: sources in turn, a shortlist for a slow one, and a verdict that says number, source and time."""

from datetime import date
from decimal import Decimal

import pytest
from pydantic import SecretStr

from tbot_bot.config.vendor_errors import VendorKeysRefused
from tbot_bot.core.backoff import Patience
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import DAY, HOUR, Duration, parse_iso, seconds
from tbot_bot.core.screen_sources import Listing, Prices, Reading
from tbot_bot.core.screening import Fundamentals, Outcome
from tbot_bot.marketdata.alpaca_data import AlpacaSnapshots, alpaca_vendor
from tbot_bot.marketdata.finnhub import Finnhub, finnhub_vendor
from tbot_bot.marketdata.vendor_http import VendorHttp
from tbot_bot.screeners.finnhub_screener import CachedFacts, gather, screen, worth_asking
from tbot_bot.screeners.rules import ScreenRules
from tests.support.sandbox import SandboxThread
from tests.support.vendor_stand_in import KEY, Free, Impatient, VendorStandIn

TUESDAY = date(2025, 9, 9)
AT = parse_iso("2025-09-09T14:00:00Z")
RULES = ScreenRules(
    min_price=Decimal(5),
    max_price=Decimal(100),
    min_volume=Decimal(1_000_000),
    max_gap=Decimal("0.10"),
    min_market_cap=Decimal(2_000_000_000),
    max_market_cap=Decimal(10_000_000_000),
    max_candidates=2,
    fractions=True,
    test_mode=False,
)


def listing(symbol, **changes):
    return Listing(**({"symbol": symbol, "exchange": "NYSE", "tradable": True, "shortable": True,
                       "fractionable": True, "source": "alpaca"} | changes))  # fmt: skip


def facts(symbol, volume=2_000_000, cap=5_000_000_000, age=3 * HOUR, usable=True):
    known = Fundamentals(symbol=symbol, market_cap=cap and Decimal(cap), average_volume=Decimal(volume), sector="Tech")
    return CachedFacts(facts=known, source="finnhub", age=Duration(age), usable=usable)


def reading(symbol, price="50", before="49", source="fake", **more):
    return Reading(symbol=symbol, source=source, price=price and Decimal(price), priced_at=AT,
                   previous_close=before and Decimal(before), **more)  # fmt: skip


class Source:
    """Tells what it has, up to a failure."""

    def __init__(self, name, has, *, trouble="", symbols_max=None):
        self.name, self.has, self.trouble, self.symbols_max = name, has, trouble, symbols_max
        self.asked: tuple[str, ...] = ()

    async def prices(self, symbols, day, progress):
        self.asked = symbols
        readings = {symbol: reading(symbol, source=self.name) for symbol in symbols if symbol in self.has}
        refused = {} if self.trouble else {one: f"{self.name} lacks it" for one in symbols if one not in readings}
        return Prices(readings=readings, refused=refused, trouble=self.trouble)


def markets(*symbols):
    return {symbol: listing(symbol) for symbol in symbols}


async def gathered(listings, known, *sources, rules=(RULES,)):
    return await gather(listings, known, sources, day=TUESDAY, at=AT, worth=worth_asking(known, rules))


async def judged(symbol="AAA", strategy=StrategyName.OPEN, rules=RULES, **world):
    """Return the verdict on one symbol; `world` has its listing, facts and reading."""
    told = world.get("reading", reading(symbol))

    class One(Source):
        async def prices(self, symbols, day, progress):
            return Prices(readings={symbol: told} if told else {}, refused={} if told else {symbol: "fake lacks it"})

    known = {symbol: world["facts"]} if "facts" in world else {symbol: facts(symbol)}
    known = {name: one for name, one in known.items() if one}
    listings = {symbol: world["listing"]} if "listing" in world else markets(symbol)
    return screen(await gathered(listings, known, One("fake", {})), strategy, rules)[0]


def detail(verdict, rule):
    return next((one.outcome, one.detail) for one in verdict.rules if one.rule == rule)


# --- verdicts


async def test_each_rule_says_its_number_its_limits_its_source_and_when():
    verdict = await judged()
    assert verdict.passed
    assert [f"{one.rule}: {one.detail}" for one in verdict.rules] == [
        "price: 50 in [5, 100]; fake at 14:00:00 UTC",
        "market_cap: 5000000000 in [2000000000, 10000000000]; finnhub, 3 h old",
        "average_volume: 2000000 >= 1000000; finnhub, 3 h old",
        "gap: 0.0204 of 49, limit 0.1; fake at 14:00:00 UTC",
        "tradable: alpaca NYSE",
        "block_list: not on it",
    ]


@pytest.mark.parametrize(
    ("world", "rule", "words"),
    [
        ({"facts": None}, "market_cap", "never fetched"),
        ({"facts": facts("AAA", age=9 * DAY, usable=False)}, "market_cap", "9 d ago, which is too old to decide by"),
        ({"facts": facts("AAA", cap=None)}, "market_cap", "finnhub does not know it"),
        ({"reading": None}, "price", "fake lacks it"),
        ({"reading": reading("AAA", before=None)}, "gap", "has none of the trading day before"),
        ({"listing": listing("AAA", tradable=False)}, "tradable", "not tradable by alpaca NYSE"),
        ({"listing": listing("AAA", fractionable=False)}, "tradable", "not fractionable by alpaca NYSE"),
    ],
)
async def test_what_is_missing_fails_with_real_money_and_says_why(world, rule, words):
    verdict = await judged(**world)
    assert not verdict.passed
    outcome, told = detail(verdict, rule)
    assert outcome is Outcome.FAILED
    assert words in told


async def test_what_nobody_says_about_tradability_is_asked_with_the_order():
    verdict = await judged(listing=listing("AAA", tradable=None, fractionable=None, source="finnhub", exchange="XNYS"))
    assert verdict.passed
    assert detail(verdict, "tradable")[0] is Outcome.SKIPPED


async def test_a_symbol_of_the_universe_that_nobody_lists_fails_and_is_told():
    found = await gathered(markets("AAA"), {"AAA": facts("AAA")}, Source("fake", {"AAA"}))
    rules = ScreenRules(**{name: getattr(RULES, name) for name in RULES.__slots__} | {"universe": ("AAA", "ZZZ")})
    verdicts = screen(found, StrategyName.OPEN, rules)
    assert [(one.symbol, one.passed) for one in verdicts] == [("AAA", True), ("ZZZ", False)]
    assert detail(verdicts[1], "tradable")[1] == "not tradable by any list of assets"


async def test_ranks_follow_each_sessions_own_measure_and_are_cut_at_the_maximum():
    told = {
        "GAP": reading("GAP", "53", "50", day_open=Decimal(53), day_vwap=Decimal(53), day_volume=Decimal(10)),
        "FAR": reading("FAR", "50", "50", day_open=Decimal(50), day_vwap=Decimal(45), day_volume=Decimal(10)),
        "MOVE": reading("MOVE", "51", "51", day_open=Decimal(48), day_vwap=Decimal(51), day_volume=Decimal(10**7)),
    }

    class All(Source):
        async def prices(self, symbols, day, progress):
            return Prices(readings=told)

    found = await gathered(markets(*told), {symbol: facts(symbol) for symbol in told}, All("fake", {}))
    first = {
        strategy: next(one.symbol for one in screen(found, strategy, RULES) if one.rank == 1)
        for strategy in StrategyName
    }
    assert first == {StrategyName.OPEN: "GAP", StrategyName.MID: "FAR", StrategyName.CLOSE: "MOVE"}
    assert sorted(one.rank for one in screen(found, StrategyName.OPEN, RULES)) == [0, 1, 2]


async def test_of_two_like_gaps_open_prefers_the_one_with_more_volume_and_takes_a_gap_without_any():
    told = {
        "QUIET": reading("QUIET", "53", "50", day_volume=Decimal(10)),
        "BUSY": reading("BUSY", "53", "50", day_volume=Decimal(10**6)),
        "UNTOLD": reading("UNTOLD", "54", "50"),
    }

    class All(Source):
        async def prices(self, symbols, day, progress):
            return Prices(readings=told)

    found = await gathered(markets(*told), {symbol: facts(symbol) for symbol in told}, All("fake", {}))
    scores = {one.symbol: one.score for one in screen(found, StrategyName.OPEN, RULES)}
    assert scores["BUSY"] > scores["QUIET"] > 0
    assert scores["UNTOLD"] == Decimal("0.08")


# --- sources


async def test_a_source_that_fails_is_followed_by_the_next_for_what_is_left_and_that_is_told():
    first = Source("first", {"AAA"}, trouble="HTTP 503")
    second = Source("second", {"BBB", "CCC"})
    known = {symbol: facts(symbol) for symbol in ("AAA", "BBB", "CCC")}
    found = await gathered(markets("AAA", "BBB", "CCC"), known, first, second)
    assert {symbol: one.source for symbol, one in found.readings.items()} == {
        "AAA": "first", "BBB": "second", "CCC": "second"
    }  # fmt: skip
    assert set(second.asked) == {"BBB", "CCC"}
    assert [str(one) for one in found.switches] == ["first failed with 2 symbols to go, second is asked: HTTP 503"]


async def test_what_a_sound_source_does_not_know_is_not_asked_elsewhere():
    second = Source("second", {"BBB"})
    found = await gathered(markets("AAA", "BBB"), {}, Source("first", {"AAA"}), second)
    assert second.asked == ()
    assert found.unpriced == {"BBB": "first lacks it"}


async def test_a_slow_source_gets_a_shortlist_of_what_has_a_chance_most_traded_first():
    known = {"BIG": facts("BIG", 9_000_000), "MID": facts("MID", 3_000_000), "LOW": facts("LOW", 2_000_000),
             "THIN": facts("THIN", 1_000), "OLD": facts("OLD", usable=False)}  # fmt: skip
    slow = Source("slow", set(known), symbols_max=2)
    found = await gathered(markets(*known), known, slow)
    assert slow.asked == ("BIG", "MID")
    assert found.unpriced["LOW"] == "not asked: slow tells 2 in time"


async def test_when_all_fail_nothing_passes_and_each_symbol_says_whom_it_waited_for():
    first, second = Source("first", set(), trouble="HTTP 503"), Source("second", set(), trouble="no answer")
    found = await gathered(markets("AAA"), {"AAA": facts("AAA")}, first, second)
    verdict = screen(found, StrategyName.OPEN, RULES)[0]
    assert detail(verdict, "price") == (Outcome.FAILED, "second failed: no answer")
    assert str(found.switches[-1]) == "second failed with 1 symbols to go, nobody is left to ask: no answer"


async def test_what_may_not_be_traded_is_not_priced():
    source = Source("fake", {"AAA"})
    await gathered({"AAA": listing("AAA"), "BBB": listing("BBB", tradable=False)}, {}, source)
    assert source.asked == ("AAA",)


# --- over real sockets


def snapshot_of(symbol):
    return {"latestTrade": {"t": "2025-09-09T14:00:00Z", "p": 50}, "dailyBar": {"t": "2025-09-09T04:00:00Z", "c": 50}}


async def asked(url, symbols, *, key=KEY, per_call=4):
    vendor = alpaca_vendor(url, key, "changeme")
    async with VendorHttp(vendor, Free(), Patience(retries=1, deadline=seconds(2)), Impatient()) as http:
        return await AlpacaSnapshots(http, per_call=per_call).prices(tuple(symbols), TUESDAY, lambda _: None)


async def test_one_bad_symbol_costs_a_batch_nothing_but_itself():
    symbols = [f"S{number:02}" for number in range(18)]

    def answer(path, query):
        batch = query["symbols"].split(",")
        if "S09" in batch:
            return 400, {"message": "code=400, message=invalid symbol: S09"}
        return 200, {symbol: snapshot_of(symbol) for symbol in batch}

    with VendorStandIn(answer) as vendor:
        found = await asked(vendor.url, symbols)
    assert sorted(found.readings) == [symbol for symbol in symbols if symbol != "S09"]
    assert list(found.refused) == ["S09"]
    assert not found.trouble
    assert max(len(one.query["symbols"].split(",")) for one in vendor.seen) == 4


async def test_a_call_that_fails_in_the_middle_leaves_the_rest_to_others():
    def answer(path, query):
        if "S04" in query["symbols"]:
            return 503, {"message": "try again"}
        return 200, {symbol: snapshot_of(symbol) for symbol in query["symbols"].split(",")}

    with VendorStandIn(answer) as vendor:
        found = await asked(vendor.url, [f"S{number:02}" for number in range(40)])
    assert "HTTP 503" in found.trouble
    assert 0 < len(found.readings) < 40
    assert "S04" not in {*found.readings, *found.refused}


async def test_keys_that_alpaca_refuses_are_one_error_without_them():
    with VendorStandIn(lambda path, query: (200, {})) as vendor, pytest.raises(VendorKeysRefused) as caught:
        await asked(vendor.url, [f"S{number:02}" for number in range(40)], key="changeme-wrong-0815")
    assert "ALPACA_" in str(caught.value)
    assert "0815" not in str(caught.value)


async def test_the_sandboxs_alpaca_and_finnhub_tell_the_same_prices():
    sandbox = SandboxThread("alpaca", "finnhub")
    day = sandbox.exchange.market.day.day
    symbols, patience = ("SYN01", "SYN02", "NOPE"), Patience(retries=1, deadline=seconds(5))
    try:
        alpaca = alpaca_vendor(sandbox.url("alpaca"), "changeme", "changeme")
        async with VendorHttp(alpaca, Free(), patience, Impatient()) as http:
            snapshots = await AlpacaSnapshots(http).prices(symbols, day, lambda _: None)
        finnhub = finnhub_vendor(f"{sandbox.url('finnhub')}/api/v1", SecretStr("changeme"))
        async with VendorHttp(finnhub, Free(), patience, Impatient()) as http:
            quotes = await Finnhub(http).prices(symbols, day, lambda _: None)
    finally:
        sandbox.close()
    assert set(snapshots.readings) == set(quotes.readings) == {"SYN01", "SYN02"}
    assert set(snapshots.refused) == set(quotes.refused) == {"NOPE"}
    for symbol in ("SYN01", "SYN02"):
        one, other = snapshots.readings[symbol], quotes.readings[symbol]
        assert one.previous_close == other.previous_close is not None
        assert one.price is not None
        assert other.price is not None
        assert abs(one.price / other.price - 1) < Decimal("0.01")
