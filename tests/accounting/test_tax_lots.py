"""Wash sales and holding periods, by worked examples of the tax authority.

Source: Internal Revenue Service, Publication 550, Investment Income and Expenses, chapter 4 (Holding Period; Wash
Sales; Short Sales). The examples' numbers, in our own words. What a replacement is not, when a part of one purchase is
sold: Revenue Ruling 56-602.
"""

import csv
from datetime import date

import pytest

from tbot_bot.accounting.ledger_files import LedgerError
from tbot_bot.accounting.tax_exports import identical_of, tax_lot_lines_by
from tbot_bot.accounting.tax_lots import held_over_a_year
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Side
from tests.support.ledger_kit import D, Days


@pytest.fixture
def lots(tmp_path):
    """Return what books (day, side, quantity, whole price, symbol, fees) and gives the table of tax lots."""

    def _lots(*trades, identical=None):
        days = Days(tmp_path, real=True)
        for number, (day, side, quantity, money, *rest) in enumerate(trades, start=1):
            symbol, fees = [*rest, "M", "0"][0], [*rest, "0"][1] if len(rest) > 1 else "0"
            days.begin("one", day=date.fromisoformat(day), run=number)
            days.trade("one", equity(symbol), side, quantity, D(money) / D(quantity), fees=fees)
        days.book()
        with days.reader() as ledger:
            rows = list(csv.DictReader(tax_lot_lines_by(ledger, identical or {})))
        days.close()
        return rows

    return _lots


def told(row, *names):
    return tuple(row[name] for name in names)


def test_a_loss_is_not_deducted_when_the_same_shares_are_bought_back_and_goes_into_their_basis(lots):
    # 100 shares for 1,000, sold for 750; within 30 days 100 of the same for 800: their basis is 1,050
    sold, held = lots(
        ("2025-02-03", Side.BUY, 100, 1000), ("2025-03-03", Side.SELL, 100, 750), ("2025-03-20", Side.BUY, 100, 800)
    )
    assert told(sold, "gain", "wash_sale", "washed_quantity", "disallowed_loss", "taxable_gain") == (
        "-250.00", "yes", "100", "250.00", "0.00",
    )  # fmt: skip
    assert told(held, "state", "basis", "replaces_washed", "washed_loss_in_basis") == (
        "open",
        "1050.00",
        "yes",
        "250.00",
    )
    # the days for which the sold ones were held count for those that replaced them
    assert held["held_since"] == "2025-02-20"


def test_less_bought_than_sold_washes_a_part_and_splits_it_by_shares(lots):
    # 100 in September for 5,000; 50 on 21 December for 2,750; 25 on 28 December for 1,125; the 100 sold on 4 January
    # for 4,000 (here a day earlier each, which are trading days): 750 of the 1,000 are not deducted;
    # the bases become 3,250 and 1,375
    sold, first, second = lots(
        ("2019-09-24", Side.BUY, 100, 5000), ("2019-12-20", Side.BUY, 50, 2750), ("2019-12-27", Side.BUY, 25, 1125),
        ("2020-01-03", Side.SELL, 100, 4000),
    )  # fmt: skip
    assert told(sold, "gain", "washed_quantity", "disallowed_loss", "taxable_gain") == (
        "-1000.00", "75", "750.00", "-250.00",
    )  # fmt: skip
    assert told(first, "quantity", "basis") == ("50", "3250.00")
    assert told(second, "quantity", "basis") == ("25", "1375.00")


@pytest.mark.parametrize(("bought", "washed"), [("2025-04-02", "yes"), ("2025-04-03", "no")])
def test_the_thirtieth_day_after_the_sale_counts_and_the_next_does_not(lots, bought, washed):
    sold, _ = lots(("2025-02-03", Side.BUY, 10, 100), ("2025-03-03", Side.SELL, 10, 90), (bought, Side.BUY, 10, 80))
    assert sold["wash_sale"] == washed


@pytest.mark.parametrize(("bought", "washed"), [("2025-02-03", "yes"), ("2025-01-31", "no")])
def test_the_thirtieth_day_before_the_sale_counts_as_well(lots, bought, washed):
    sold, _ = lots(("2025-01-02", Side.BUY, 10, 100), (bought, Side.BUY, 10, 80), ("2025-03-05", Side.SELL, 10, 90))
    assert sold["wash_sale"] == washed


def test_more_bought_back_than_sold_washes_no_more_than_was_sold(lots):
    sold, replaced, rest = lots(
        ("2025-02-03", Side.BUY, 10, 100), ("2025-03-03", Side.SELL, 10, 90), ("2025-03-04", Side.BUY, 30, 240)
    )
    assert told(sold, "washed_quantity", "disallowed_loss") == ("10", "10.00")
    assert told(replaced, "quantity", "basis", "replaces_washed") == ("10", "90.00", "yes")
    assert told(rest, "quantity", "basis", "replaces_washed") == ("20", "160.00", "no")


def test_a_washed_loss_counts_when_what_replaced_it_is_sold(lots):
    first, second = lots(
        ("2025-02-03", Side.BUY, 10, 100), ("2025-03-03", Side.SELL, 10, 90), ("2025-03-04", Side.BUY, 10, 95),
        ("2025-06-02", Side.SELL, 10, 100),
    )  # fmt: skip
    assert told(first, "taxable_gain") == ("0.00",)
    assert told(second, "basis", "gain", "taxable_gain", "wash_sale") == ("105.00", "-5.00", "-5.00", "no")


def test_selling_a_part_of_one_purchase_washes_nothing(lots):
    sold, held = lots(("2025-03-03", Side.BUY, 100, 1000), ("2025-03-10", Side.SELL, 60, 540))
    assert told(sold, "gain", "wash_sale", "taxable_gain") == ("-60.00", "no", "-60.00")
    assert told(held, "quantity", "basis") == ("40", "400.00")


def test_a_gain_is_never_washed(lots):
    sold, _ = lots(
        ("2025-02-03", Side.BUY, 10, 100), ("2025-03-03", Side.SELL, 10, 110), ("2025-03-04", Side.BUY, 10, 95)
    )
    assert told(sold, "wash_sale", "taxable_gain", "disallowed_loss") == ("no", "10.00", "0.00")


@pytest.mark.parametrize(("listed", "washed"), [("SPY, VOO # one index", "yes"), ("", "no")])
def test_what_is_listed_as_identical_replaces_and_what_is_not_does_not(lots, listed, washed):
    sold, _ = lots(
        ("2025-02-03", Side.BUY, 10, 100, "SPY"), ("2025-03-03", Side.SELL, 10, 90, "SPY"),
        ("2025-03-04", Side.BUY, 10, 95, "VOO"), identical=identical_of(listed, "list"),
    )  # fmt: skip
    assert sold["wash_sale"] == washed


def test_a_short_sale_closed_at_a_loss_is_washed_by_another_short_sale(lots):
    closed, held = lots(
        ("2025-03-03", Side.SELL_SHORT, 10, 100), ("2025-03-10", Side.BUY_TO_COVER, 10, 120),
        ("2025-03-12", Side.SELL_SHORT, 10, 110),
    )  # fmt: skip
    assert told(closed, "position", "proceeds", "basis", "gain", "wash_sale", "term") == (
        "short", "100.00", "120.00", "-20.00", "yes", "short",
    )  # fmt: skip
    assert told(held, "proceeds", "basis", "washed_loss_in_basis") == ("110.00", "20.00", "20.00")


def test_fees_are_in_basis_and_proceeds(lots):
    (sold,) = lots(("2025-03-03", Side.BUY, 10, 100, "M", "1.5"), ("2025-03-10", Side.SELL, 10, 120, "M", "0.25"))
    assert told(sold, "proceeds", "basis", "gain") == ("119.75", "101.50", "18.25")


def test_a_year_and_a_day_is_long_term(lots):
    # bought on 4 February, sold on 4 February of the next year: not more than a year; on the 5th it is
    assert not held_over_a_year(date(2019, 2, 4), date(2020, 2, 4))
    assert held_over_a_year(date(2019, 2, 4), date(2020, 2, 5))
    assert not held_over_a_year(date(2024, 2, 29), date(2025, 2, 28))
    assert held_over_a_year(date(2024, 2, 29), date(2025, 3, 1))
    (sold,) = lots(("2024-02-05", Side.BUY, 10, 100), ("2025-02-06", Side.SELL, 10, 120))
    assert sold["term"] == "long"


@pytest.mark.parametrize(("text", "says"), [("SPY", "no group"), ("A, B\nB, C", "line 2: B stands in two groups")])
def test_a_list_of_identical_symbols_that_is_none_is_refused(text, says):
    with pytest.raises(LedgerError, match=says):
        identical_of(text, "list")
