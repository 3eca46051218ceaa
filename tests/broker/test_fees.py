"""Fees against examples worked out by hand."""

from datetime import date
from decimal import Decimal

import pytest

from tbot_bot.broker.fees import SECTION_31, commission_of, rate_at, regulatory_fees
from tbot_bot.core.instants import parse_iso
from tbot_bot.core.instruments import AssetClass
from tbot_bot.core.orders import Side
from tests.broker.venue_kit import PUT, T0, bar, order, venue, whole_bar

SHARE, OPTION = AssetClass.EQUITY, AssetClass.OPTION


@pytest.mark.parametrize(
    ("day", "kind", "sale", "quantity", "value", "expected"),
    [
        # 4,000 x 23.10 / 1e6 = 0.0924 -> 0.10; 100 x 0.000119 = 0.0119 -> 0.02
        ("2018-03-02", SHARE, True, "100", "4000", "0.12"),
        ("2018-03-02", SHARE, False, "100", "4000", "0"),
        # 1,000,000 x 13.00 / 1e6 = 13.00; 100,000 x 0.000119 = 11.90, capped at 5.95
        ("2018-05-22", SHARE, True, "100000", "1000000", "18.95"),
        # 1,000 x 0 = 0; 10 x 0.000166 -> 0.01
        ("2025-06-02", SHARE, True, "10", "1000", "0.01"),
        # 390 x 27.80 / 1e6 -> 0.02; 1 x 0.00279 -> 0.01; 1 x 0.03 = 0.03
        ("2024-07-01", OPTION, True, "1", "390", "0.06"),
        ("2024-07-01", OPTION, False, "1", "390", "0.03"),
    ],
)
def test_regulatory_fees_to_the_cent(day, kind, sale, quantity, value, expected):
    at = parse_iso(f"{day}T15:00:00Z")
    got = regulatory_fees(kind, sale=sale, quantity=Decimal(quantity), value=Decimal(value), at=at)
    assert got == Decimal(expected)


def test_a_rate_begins_on_its_day():
    assert rate_at(SECTION_31, date(2018, 5, 21)) == Decimal("23.10")
    assert rate_at(SECTION_31, date(2018, 5, 22)) == Decimal("13.00")
    assert rate_at(SECTION_31, date(1999, 1, 4)) == Decimal("17.40")


@pytest.mark.parametrize(
    ("kind", "quantity", "value", "expected"),
    [
        (SHARE, "100", "4000", "1.00"),  # 0.50, below the minimum
        (SHARE, "1000", "40000", "5.00"),
        (SHARE, "1", "50", "0.50"),  # one percent of the value goes before the minimum
        (SHARE, "1000", "200", "2.00"),
        (OPTION, "1", "390", "1.00"),
        (OPTION, "3", "1170", "1.95"),
    ],
)
def test_ibkr_commission_to_the_cent(kind, quantity, value, expected):
    assert commission_of("ibkr").of_order(kind, Decimal(quantity), Decimal(value)) == Decimal(expected)
    assert commission_of("alpaca").of_order(kind, Decimal(quantity), Decimal(value)) == 0


def test_a_minimum_commission_is_charged_once_per_order():
    trader = venue(broker="ibkr")
    trader.submit(order("a", quantity="300"), T0)
    for n in range(3):
        whole_bar(trader, n, bar(40, 40, 40, 40, 1000, n=n))
    assert [fill.fees for fill in trader.fills_since(T0)] == [Decimal("1.00"), Decimal("0.00"), Decimal("0.50")]


def test_fees_leave_the_cash():
    trader = venue()
    trader.submit(order("a"), T0)
    whole_bar(trader, 0, bar(40, 40, 40, 40))
    trader.submit(order("b", Side.SELL), T0)
    whole_bar(trader, 1, bar(41, 41, 41, 41, n=1))
    # 4,100 x 23.10 / 1e6 = 0.0947 -> 0.10; 0.0119 -> 0.02
    assert trader.books.cash == Decimal("100099.88")
    assert (trader.books.realized, trader.books.fees) == (Decimal(100), Decimal("0.12"))


def test_a_contract_moves_a_hundred_times_its_price():
    assert PUT.notional(Decimal("3.90"), Decimal(1)) == Decimal("390.00")
