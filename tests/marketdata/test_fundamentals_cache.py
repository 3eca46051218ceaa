"""The cache of slow facts: kept through a kill, each with source and age, and no symbol keeps another waiting."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal

import pytest
from pydantic import SecretStr

from tbot_bot.config.error_handler import DataError
from tbot_bot.config.vendor_errors import VendorKeysRefused
from tbot_bot.core.backoff import Patience
from tbot_bot.core.instants import DAY, HOUR, MINUTE, SECOND, Duration, Instant, seconds
from tbot_bot.core.screen_sources import Listing
from tbot_bot.marketdata.finnhub import Finnhub, finnhub_vendor
from tbot_bot.marketdata.fundamentals_cache import FundamentalsCache, KnownFacts
from tbot_bot.marketdata.fundamentals_refresh import SILENT_MAX, refresh
from tbot_bot.marketdata.vendor_http import VendorHttp
from tests.support.sandbox import SandboxThread
from tests.support.vendor_stand_in import KEY, Free, Impatient, VendorStandIn, figures, profile

NOW = Instant(1_795_000_000 * SECOND)
PATIENCE = Patience(retries=1, deadline=seconds(2))


@pytest.fixture
def cache(tmp_path):
    with FundamentalsCache(tmp_path / "cache" / "fundamentals.sqlite3") as made:
        yield made


def usual(path, query):
    return 200, figures() if path == "/stock/metric" else profile()


async def refreshed(cache, url, symbols, *, now=NOW, key=KEY, turns=None):
    """Refresh `symbols` from the vendor at `url`, without waiting between calls."""
    vendor = finnhub_vendor(url, SecretStr(key))
    async with VendorHttp(vendor, turns or Free(), PATIENCE, Impatient()) as http:
        return await refresh(cache, Finnhub(http), symbols, now=lambda: now)


async def test_each_symbol_is_kept_with_source_and_age_in_dollars_and_shares(cache, tmp_path):
    with VendorStandIn(usual) as vendor:
        done = await refreshed(cache, vendor.url, ["AAA"])
    assert (done.wanted, done.done, done.failed, done.ended) == (1, 1, 0, "")
    with FundamentalsCache(tmp_path / "cache" / "fundamentals.sqlite3") as again:
        known = again.facts()["AAA"]
    assert known == KnownFacts(
        symbol="AAA", market_cap=Decimal(5_000_000_000), average_volume=Decimal(2_000_000), facts_at=NOW,
        facts_source="finnhub", sector="Technology", exchange="NEW YORK STOCK EXCHANGE, INC.", profile_at=NOW,
    )  # fmt: skip


async def test_the_next_nights_ask_one_call_a_symbol_and_the_profile_once_a_month(cache):
    with VendorStandIn(usual) as vendor:
        for night in range(31):
            await refreshed(cache, vendor.url, ["AAA"], now=Instant(NOW + night * DAY))
        again = await refreshed(cache, vendor.url, ["AAA"], now=Instant(NOW + 30 * DAY + HOUR))
    paths = [asked.path for asked in vendor.seen]
    assert (paths.count("/stock/metric"), paths.count("/stock/profile2")) == (31, 2)
    assert again.wanted == 0


async def test_a_symbol_that_fails_is_noted_and_asked_again_later_and_blocks_nobody(cache):
    def answer(path, query):
        return (500, {"error": "internal"}) if query["symbol"] == "BAD" else usual(path, query)

    with VendorStandIn(answer) as vendor:
        done = await refreshed(cache, vendor.url, ["AAA", "BAD", "CCC"])
        assert (done.done, done.failed) == (2, 1)
        bad = cache.facts_of("BAD")
        assert (bad.failures, bad.facts_at) == (1, None)
        assert "HTTP 500" in bad.failure
        assert cache.due(["BAD", "NEW"], Instant(NOW + 30 * MINUTE)) == ("NEW",)
        assert cache.due(["BAD", "NEW"], Instant(NOW + 61 * MINUTE)) == ("NEW", "BAD"), "those that fail come last"
        vendor.answer = usual
        await refreshed(cache, vendor.url, ["BAD"], now=Instant(NOW + 61 * MINUTE))
    assert (cache.facts_of("BAD").failures, cache.facts_of("BAD").failure) == (0, "")
    assert cache.facts_of("BAD").usable(Instant(NOW + 2 * HOUR))


async def test_old_figures_stay_when_a_symbol_fails_until_they_are_too_old_to_decide_by(cache):
    with VendorStandIn(usual) as vendor:
        await refreshed(cache, vendor.url, ["AAA"])
        vendor.answer = lambda path, query: (404, {"error": "gone"})
        await refreshed(cache, vendor.url, ["AAA"], now=Instant(NOW + DAY))
    known = cache.facts_of("AAA")
    assert (known.market_cap, known.facts_at, known.failures) == (Decimal(5_000_000_000), NOW, 1)
    assert known.usable(Instant(NOW + 7 * DAY))
    assert not known.usable(Instant(NOW + 7 * DAY + 1))


async def test_a_symbol_that_finnhub_does_not_know_has_no_figures_rather_than_zeros(cache):
    with VendorStandIn(lambda path, query: (200, {"metric": {}} if path == "/stock/metric" else {})) as vendor:
        done = await refreshed(cache, vendor.url, ["XXX"])
    known = cache.facts_of("XXX")
    assert (done.done, known.market_cap, known.average_volume, known.facts_at) == (1, None, None, NOW)


async def test_wrong_keys_are_one_clear_error_without_the_key(cache):
    with VendorStandIn(usual) as vendor, pytest.raises(VendorKeysRefused) as caught:
        await refreshed(cache, vendor.url, ["AAA", "BBB"], key="changeme-wrong-key-0815")
    assert len(vendor.seen) == 1
    told = str(caught.value)
    assert "the key is refused: HTTP 401" in told
    assert "FINNHUB_API_KEY" in told
    assert "0815" not in told + repr(caught.value) + repr(caught.value.__context__)
    assert cache.facts() == {}, "no symbol is to blame"


async def test_the_key_travels_in_a_header_and_never_in_an_address(cache):
    with VendorStandIn(usual) as vendor:
        await refreshed(cache, vendor.url, ["AAA"])
    assert {asked.headers["x-finnhub-token"] for asked in vendor.seen} == {KEY}
    assert not any(KEY in asked.raw for asked in vendor.seen)


async def test_a_vendor_that_is_away_ends_the_refresh_and_the_next_one_goes_on(cache):
    symbols = [f"S{number:02}" for number in range(30)]

    def tired(path, query):
        return usual(path, query) if query["symbol"] < "S05" else (0, None)

    with VendorStandIn(tired) as vendor:
        done = await refreshed(cache, vendor.url, symbols)
        assert done.done == 5
        assert done.failed == SILENT_MAX
        assert "finnhub answers nobody" in done.ended
        vendor.answer = usual
        done = await refreshed(cache, vendor.url, symbols, now=Instant(NOW + 2 * HOUR))
    assert (done.wanted, done.done) == (25, 25)


async def test_after_a_429_everybody_rests_as_long_as_the_vendor_says(cache):
    answers = iter([(429, {"error": "API limit reached."})])
    turns = Free()
    with VendorStandIn(lambda path, query: next(answers, None) or usual(path, query)) as vendor:
        vendor.extra = {"Retry-After": "17"}
        done = await refreshed(cache, vendor.url, ["AAA"], turns=turns)
    assert (done.done, done.failed) == (1, 0)
    assert turns.rests == [seconds(17)]


def test_a_list_of_assets_replaces_the_one_before(cache):
    one = Listing(symbol="AAA", exchange="NYSE", tradable=True, shortable=False, fractionable=True, source="alpaca")
    other = Listing(symbol="BBB", source="finnhub")
    cache.keep_listings([one, other], NOW)
    assert cache.listings() == ((one, other), NOW)
    cache.keep_listings([replace(other, symbol="CCC")], Instant(NOW + 5))
    assert cache.listings() == ((replace(other, symbol="CCC"),), NOW + 5)


def test_what_is_no_cache_or_a_later_version_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "f.sqlite3").write_bytes(b"something else altogether, and more of it " * 50)
    with pytest.raises(DataError, match=r"f\.sqlite3: cannot be used: .*may be deleted"):
        FundamentalsCache(tmp_path / "f.sqlite3")
    with FundamentalsCache(tmp_path / "g.sqlite3") as made:
        made._db.execute("PRAGMA user_version = 9")
    with pytest.raises(DataError, match=r"written by another version \(9\). Delete it"):
        FundamentalsCache(tmp_path / "g.sqlite3")


CHILD = """
import asyncio, sys
from pydantic import SecretStr
from tests.marketdata.test_fundamentals_cache import NOW, refreshed
from tbot_bot.marketdata.fundamentals_cache import FundamentalsCache
with FundamentalsCache(__import__("pathlib").Path(sys.argv[1])) as cache:
    asyncio.run(refreshed(cache, sys.argv[2], [f"S{n:03}" for n in range(200)]))
"""


def test_a_refresh_that_is_killed_goes_on_where_it_ended(tmp_path):
    path, symbols = tmp_path / "f.sqlite3", [f"S{number:03}" for number in range(200)]

    def slowly(at, query):
        time.sleep(0.005)
        return usual(at, query)

    with VendorStandIn(slowly) as vendor:
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path), vendor.url], cwd=os.getcwd())  # noqa: PTH109
        end = time.monotonic() + 30
        while len(vendor.seen) < 40 and time.monotonic() < end:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
        before = len(vendor.seen)
        with FundamentalsCache(path) as cache:
            kept = len(cache.facts())
            assert 10 <= kept < 200
            assert before - 2 * kept <= 2, "at most the symbol in hand was lost"
            done = asyncio.run(refreshed(cache, vendor.url, symbols))
            assert done.wanted == 200 - kept
            assert len(cache.facts()) == 200
    asked = [seen.query["symbol"] for seen in vendor.seen if seen.path == "/stock/metric"]
    assert len(asked) <= 201


def test_the_sandboxs_finnhub_fills_it_over_a_real_socket(tmp_path):
    sandbox = SandboxThread("finnhub")
    try:
        with FundamentalsCache(tmp_path / "f.sqlite3") as cache:
            url = f"{sandbox.url('finnhub')}/api/v1"
            done = asyncio.run(refreshed(cache, url, ["SYN01", "SYN02", "NOPE"], key="changeme"))
            known = cache.facts()
    finally:
        sandbox.close()
    assert done.done == 3
    assert known["SYN01"].sector
    assert Decimal(10**9) < (known["SYN01"].market_cap or 0) < Decimal(10**12)
    assert Decimal(10**5) < (known["SYN01"].average_volume or 0) < Decimal(10**9)
    assert known["NOPE"].market_cap is None


def test_the_pause_after_failures_grows_to_three_days_and_no_further():
    failed = KnownFacts(symbol="AAA", failed_at=NOW, failures=60)
    assert not failed.due(Instant(NOW + 3 * DAY - 1))
    assert failed.due(Instant(NOW + 3 * DAY))
    assert failed.due(Instant(NOW - 1)), "a clock that was set back keeps nobody waiting"
    assert KnownFacts(symbol="AAA", facts_at=NOW).due(Instant(NOW + Duration(20 * HOUR)))
