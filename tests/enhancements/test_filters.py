from decimal import Decimal
from math import nan

import pytest

from tbot_bot.core import codec
from tbot_bot.core.bars import VixReading
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import DAY, MINUTE, Instant
from tbot_bot.core.orders import Direction
from tbot_bot.enhancements.adx_filter import adx_filter
from tbot_bot.enhancements.bollinger_confluence import bollinger_confluence
from tbot_bot.enhancements.filters import (
    FILTERS,
    FilterAnswer,
    FilterName,
    FilterVerdict,
    OnMissing,
    allow,
    ask,
    filters_for,
)
from tbot_bot.enhancements.imbalance_scanner_ibkr import imbalance_scanner_ibkr
from tbot_bot.enhancements.market_quality import spread, volume
from tbot_bot.enhancements.ticker_blocklist import ticker_blocklist
from tbot_bot.enhancements.vix_gatekeeper import vix_gatekeeper

LONG, BEARISH = Direction.LONG, Direction.BEARISH
NOON = Instant(1_700_000_000 * 1_000_000_000)


def vix(value: str, age: int = 0) -> FilterAnswer:
    reading = VixReading(Decimal(value), Instant(NOON - age), "yahoo")
    return vix_gatekeeper(reading, Decimal(15), NOON)


def imbalance(direction, shares, paired=1_000.0, minutes_before=30):
    bell = Instant(NOON + minutes_before * MINUTE)
    return imbalance_scanner_ibkr(
        direction=direction, imbalance=shares, auction_volume=paired, at=NOON, closing_bell=bell
    )


def spread_of(bid, ask_, *, test_mode=False):
    low, high = (None if side is None else Decimal(side) for side in (bid, ask_))
    return spread(low, high, Decimal(100), Decimal("0.015"), test_mode=test_mode)


def test_adx_at_the_maximum_passes_and_above_it_blocks():
    assert adx_filter(25.0, 25.0).verdict is FilterVerdict.ALLOW
    assert adx_filter(25.1, 25.0).blocks
    assert adx_filter(25.1, 25.0).reason == "ADX 25.1 > 25"


def test_a_close_at_the_band_of_its_side_passes_and_inside_it_blocks():
    assert not bollinger_confluence(LONG, 49.0, 49.0, 51.0).blocks
    assert bollinger_confluence(LONG, 49.01, 49.0, 51.0).blocks
    assert bollinger_confluence(LONG, 51.0, 49.0, 51.0).blocks
    assert not bollinger_confluence(BEARISH, 51.0, 49.0, 51.0).blocks
    assert bollinger_confluence(BEARISH, 50.99, 49.0, 51.0).blocks
    assert bollinger_confluence(BEARISH, 50.99, 49.0, 51.0).reason == "close 50.99 < upper band 51"


def test_vix_at_the_threshold_blocks_and_above_it_passes():
    assert vix("15").blocks
    assert not vix("15.01").blocks
    assert vix("15.01").reason == "VIX 15.01 from yahoo, 0.0 h old: > 15"


def test_a_vix_reading_counts_for_a_day_and_not_a_nanosecond_longer():
    assert not vix("30", DAY).missing
    assert vix("30", DAY + 1).missing
    assert vix("30", DAY + 1).blocks


def test_a_vix_reading_from_the_future_or_not_a_number_is_missing():
    assert vix("30", -1).missing
    assert vix("NaN").missing


def test_an_opposing_imbalance_of_half_the_paired_shares_blocks():
    assert imbalance(LONG, -500.0).blocks
    assert not imbalance(LONG, -499.0).blocks
    assert not imbalance(LONG, 5_000.0).blocks
    assert imbalance(BEARISH, 500.0).blocks
    assert not imbalance(BEARISH, -5_000.0).blocks


def test_an_auction_without_pairs_or_imbalance_opposes_nobody():
    assert not imbalance(LONG, 0.0, 0.0).blocks
    assert imbalance(LONG, -1.0, 0.0).blocks


def test_imbalances_count_from_half_an_hour_before_the_bell():
    assert imbalance(LONG, -5_000.0, minutes_before=30).blocks
    assert imbalance(LONG, -5_000.0, minutes_before=31).verdict is FilterVerdict.SKIPPED


def test_the_blocklist_knows_today_s_trades_and_the_operator_s_list():
    assert ticker_blocklist("SPY", ("SPY",), ()).reason == "SPY was already traded today"
    assert ticker_blocklist("SPY", (), ("SPY",)).reason == "SPY is on the operator's block list"
    assert not ticker_blocklist("SPY", ("SPYG",), ("QQQ",)).blocks


def test_a_spread_at_the_limit_passes_and_above_it_blocks():
    assert not spread_of("99.00", "100.50").blocks
    assert spread_of("99.00", "100.51").blocks
    assert spread_of("99.00", "100.51").reason == "spread 1.51 (99.00 to 100.51) > 0.015 x 100 = 1.500"


def test_volume_at_the_threshold_passes_and_below_it_blocks():
    assert not volume(Decimal(1_000_000), Decimal(1_000_000), test_mode=False).blocks
    assert volume(Decimal(999_999), Decimal(1_000_000), test_mode=False).blocks


def test_in_test_mode_spread_and_volume_are_skipped_and_say_so():
    for answer in (spread_of(None, None, test_mode=True), volume(None, Decimal(1), test_mode=True)):
        assert answer.verdict is FilterVerdict.SKIPPED
        assert answer.reason.startswith("test mode")


# The product's table, written a second time: what a filter answers when its datum is missing.
@pytest.mark.parametrize(
    ("answer", "blocks"),
    [
        (adx_filter(None, 25.0), False),
        (adx_filter(nan, 25.0), False),
        (bollinger_confluence(LONG, 50.0, None, 51.0), False),
        (bollinger_confluence(LONG, 50.0, 49.0, nan), False),
        (vix_gatekeeper(None, Decimal(15), NOON), True),
        (imbalance(LONG, None), False),
        (imbalance(LONG, nan), False),
        (imbalance(LONG, -1.0, None), False),
        (spread_of(None, "100"), True),
        (spread_of("100", None), True),
        (spread_of("0", "100"), True),
        (spread_of("101", "100"), True),
        (volume(None, Decimal(1), test_mode=False), True),
    ],
)
def test_missing_data_means_what_the_table_says(answer, blocks):
    assert answer.missing
    assert answer.blocks is blocks
    assert answer.error == ""


TABLE = """
ticker_blocklist        open mid close   never_missing
vix_gatekeeper          close            block
adx_filter              mid              allow_and_warn
bollinger_confluence    mid              allow_and_warn
imbalance_scanner_ibkr  close            allow_and_warn
volume                  open mid close   block
spread                  open mid close   block
"""


def test_the_table_of_filters_is_the_product_s():
    rows = [line.split() for line in TABLE.strip().splitlines()]

    assert [[name, *rule.applies_to, rule.on_missing] for name, rule in FILTERS.items()] == rows


def test_imbalances_are_asked_for_at_ibkr_only():
    assert FilterName.IMBALANCE in filters_for(StrategyName.CLOSE, ibkr=True)
    assert FilterName.IMBALANCE not in filters_for(StrategyName.CLOSE, ibkr=False)
    assert filters_for(StrategyName.OPEN, ibkr=True) == (
        FilterName.TICKER_BLOCKLIST,
        FilterName.VOLUME,
        FilterName.SPREAD,
    )


def broken() -> FilterAnswer:
    raise ZeroDivisionError("no shares")


@pytest.mark.parametrize(
    ("on_missing", "verdict"),
    [
        (OnMissing.ALLOW_AND_WARN, FilterVerdict.ALLOW),
        (OnMissing.BLOCK, FilterVerdict.BLOCK),
        (OnMissing.NEVER_MISSING, FilterVerdict.BLOCK),
    ],
)
def test_a_filter_that_raises_answers_as_without_data_and_keeps_the_error(on_missing, verdict):
    answer = ask(broken, FilterName.SPREAD, on_missing)

    assert (answer.verdict, answer.missing, answer.name) == (verdict, True, FilterName.SPREAD)
    assert answer.error == "ZeroDivisionError: no shares"


def test_a_filter_that_answers_is_not_touched():
    answer = allow(FilterName.ADX, "fine")

    assert ask(lambda: answer, FilterName.ADX, OnMissing.BLOCK) is answer


def test_answers_travel_through_the_journal_unchanged():
    answer = ask(broken, FilterName.VIX_GATEKEEPER, OnMissing.BLOCK)

    assert codec.loads(codec.dumps(answer)) == answer
