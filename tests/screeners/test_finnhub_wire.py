"""What Finnhub and Alpaca say: their own samples read right, zero is missing, days by date, no JSON does any harm."""

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.config.vendor_errors import VendorNotUnderstood
from tbot_bot.core.instants import parse_iso
from tbot_bot.marketdata.alpaca_data import assets_of, snapshots_of
from tbot_bot.marketdata.finnhub import figures_of, listings_of, profile_of, quote_of
from tests.support.vendor_stand_in import asset

TUESDAY, MONDAY = date(2025, 9, 9), date(2025, 9, 8)


def read(text):
    return json.loads(text, parse_float=Decimal)


def bar(day, close, **more):
    return {"t": f"{day}T04:00:00Z", "o": 10, "h": 12, "l": 9, "c": close, "v": 1000, "n": 5, "vw": 10.5} | more


def snapshot(trade=None, daily=None, before=None):
    told = {"latestTrade": trade and {"t": trade[0], "p": trade[1], "s": 1, "x": "Q"}, "dailyBar": daily,
            "prevDailyBar": before}  # fmt: skip
    value = read(json.dumps({"AAA": {name: one for name, one in told.items() if one}}))
    return snapshots_of(value, TUESDAY)["AAA"]


def test_the_vendors_own_samples():
    quote = quote_of("AAPL", date(2020, 2, 25), read(
        '{"c": 261.74, "h": 263.31, "l": 260.68, "o": 261.07, "pc": 259.45, "t": 1582641000}'
    ))  # fmt: skip
    assert quote is not None
    assert (quote.price, quote.previous_close, quote.day_open) == (
        Decimal("261.74"), Decimal("259.45"), Decimal("261.07")
    )  # fmt: skip
    found = figures_of(read('{"metric": {"10DayAverageTradingVolume": 32.50147, "beta": 1.2989}, "symbol": "AAPL"}'))
    assert (found.market_cap, found.average_volume) == (None, Decimal(32501470))
    told = profile_of(read(
        '{"currency": "USD", "exchange": "NASDAQ/NMS (GLOBAL MARKET)", "marketCapitalization": 1415993,'
        ' "finnhubIndustry": "Technology"}'
    ))  # fmt: skip
    assert (told.market_cap, told.sector) == (Decimal(1_415_993_000_000), "Technology")


def test_a_market_cap_in_another_currency_is_none():
    assert profile_of({"currency": "JPY", "marketCapitalization": 5, "finnhubIndustry": "Autos"}).market_cap is None


@pytest.mark.parametrize("told", [{}, {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}])
def test_a_quote_of_zeros_is_an_unknown_symbol(told):
    assert quote_of("XXX", TUESDAY, told) is None


def test_a_quote_of_the_day_before_is_the_previous_close_and_no_price_of_today():
    monday_evening = parse_iso("2025-09-08T20:00:00Z") // 10**9
    quote = quote_of("AAA", TUESDAY, {"c": 50, "o": 49, "pc": 48, "t": monday_evening})
    assert quote is not None
    assert (quote.price, quote.previous_close, quote.day_open) == (None, Decimal(50), None)


def test_shares_and_funds_of_exchanges_are_listed_and_the_counter_is_not():
    rows = [{"symbol": "AAPL", "type": "Common Stock", "mic": "XNGS"}, {"symbol": "SPY", "type": "ETP", "mic": "ARCX"},
            {"symbol": "UPOW", "type": "Common Stock", "mic": "OTCM"}, {"symbol": "W", "type": "Equity WRT",
             "mic": "XNAS"}]  # fmt: skip
    assert [one.symbol for one in listings_of(rows)] == ["AAPL", "SPY"]


def test_assets_are_what_the_broker_trades():
    rows = [asset("AAA"), asset("OTCX", exchange="OTC"), asset("HALT", tradable=False),
            asset("OLD", status="inactive"), asset("WHOLE", fractionable=False, shortable=False)]  # fmt: skip
    found = {one.symbol: (one.tradable, one.shortable, one.fractionable) for one in assets_of(rows)}
    assert found == {
        "AAA": (True, True, True), "HALT": (False, True, True), "OLD": (False, True, True),
        "WHOLE": (True, False, False),
    }  # fmt: skip


def test_in_the_session_the_day_is_the_daily_bar_and_the_close_the_one_before():
    told = snapshot(("2025-09-09T15:00:00.123456789Z", 51.5), bar(TUESDAY, 51), bar(MONDAY, 50))
    assert (told.price, told.previous_close, told.day_vwap) == (Decimal("51.5"), Decimal(50), Decimal("10.5"))


def test_before_the_bell_the_daily_bar_is_still_that_of_the_day_before():
    told = snapshot(("2025-09-09T12:00:00Z", 51.5), bar(MONDAY, 50), bar("2025-09-05", 49))
    assert (told.price, told.previous_close, told.day_open) == (Decimal("51.5"), Decimal(50), None)


def test_without_a_trade_today_there_is_no_price_and_an_old_close_is_no_previous_one():
    told = snapshot(("2025-09-08T19:00:00Z", 49.9), bar(MONDAY, 50))
    assert (told.price, told.previous_close) == (None, Decimal(50))
    told = snapshot(("2025-09-04T19:00:00Z", 49.9), bar("2025-09-04", 50), bar("2025-09-03", 50))
    assert (told.price, told.previous_close) == (None, None)


def test_after_a_weekend_the_day_before_is_friday():
    value = read(json.dumps({"AAA": {"dailyBar": bar("2025-09-05", 50)}}))
    assert snapshots_of(value, MONDAY)["AAA"].previous_close == Decimal(50)


numbers = st.one_of(
    st.integers(-(10**30), 10**30),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from([Decimal("1E+999999"), 0]),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=12)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["c", "o", "pc", "t", "p", "v", "vw", "metric", "marketCapitalization", "symbol", "AAA",
                             "latestTrade", "dailyBar", "prevDailyBar", "currency", "3MonthAverageTradingVolume"]),
            inner, max_size=6,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@given(value=anything)
def test_no_json_whatever_does_more_than_not_be_understood(value):
    readers = (
        lambda told: quote_of("AAA", TUESDAY, told),
        lambda told: snapshots_of(told, TUESDAY),
        figures_of,
        profile_of,
        listings_of,
        assets_of,
    )
    for reader in readers:
        try:
            reader(value)
        except VendorNotUnderstood as error:
            assert len(str(error)) < 200  # noqa: PT017 - either it is read, or it says that in a line
