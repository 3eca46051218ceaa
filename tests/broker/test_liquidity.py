"""What taking liquidity costs, which shares can be borrowed, and what recorded quotes of puts do to orders."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.broker.matching import Venue
from tbot_bot.broker.venue_state import VenueRules
from tbot_bot.core.instruments import equity
from tbot_bot.core.options import PutSides
from tbot_bot.core.orders import Side
from tests.broker.venue_kit import PUT, T0, bar, fills, minute, names, order, the_fill, the_reason, whole_bar


class Facts:
    """Recorded facts, as a test wants them; `quotes` are (minute, bid, ask) and stand for five minutes."""

    def __init__(self, spread="0.04", borrow=None, quotes=()):
        self.spreads, self.borrow = Decimal(spread), borrow
        self.quotes = [(minute(n), PutSides(Decimal(bid), Decimal(ask))) for n, bid, ask in quotes]

    def spread(self, symbol, at):
        return self.spreads

    def to_borrow(self, symbol, at):
        return self.borrow

    def put_sides(self, instrument, since, until):
        standing = [sides for at, sides in self.quotes if since - minute(5) + T0 <= at <= since][-1:]
        return (*standing, *(sides for at, sides in self.quotes if since < at <= until))

    def puts_offered(self, underlying, spot, at, min_days):
        return ()


class FlatPricer:
    def price(self, instrument, spot, at):
        return 4.0


def trader(facts=None, cash="1000000", pricer=None, **rules):
    return Venue(broker="sim", cash=Decimal(cash), rules=VenueRules(**rules), facts=facts or Facts(), pricer=pricer)


def held(quantity="100", **options):
    """Return a venue that bought at 40 in minute 0, without paying for it."""
    found = trader(**options)
    rules, found.rules = found.rules, VenueRules()
    found.submit(order("entry", quantity=quantity), T0)
    assert fills(whole_bar(found, 0, bar(40, 40, 40, 40)))
    found.rules = rules
    return found


SPREAD = {"slippage_spread": Decimal("0.5")}
IMPACT = {"slippage_volume": Decimal("0.1")}


@pytest.mark.parametrize(
    ("rules", "quantity", "expected"),
    [
        ({}, "100", "40"),
        (SPREAD, "100", "40.02"),  # half of four cents
        (IMPACT, "100", "40.04"),  # a tenth of 1,000 shares: 0.1 x 0.01 x 40
        (IMPACT, "50", "40.01"),  # a twentieth: a quarter of it
        ({**SPREAD, **IMPACT, "slippage_bps": Decimal(1)}, "100", "40.07"),  # 0.02 + 0.04 + 0.004, rounded up once
    ],
)
def test_a_market_order_pays_what_the_rules_add_up_to(rules, quantity, expected):
    found = trader(**rules)
    found.submit(order("a", quantity=quantity), T0)
    fill = the_fill(whole_bar(found, 0, bar(40, 40, 40, 40, 1000)))
    assert fill.price == Decimal(expected)


def test_a_sale_gets_less_and_never_less_than_a_tick():
    found = held(**SPREAD)
    found.submit(order("exit", Side.SELL), minute(1))
    assert fills(whole_bar(found, 1, bar(40, 40, 40, 40, n=1))) == [("exit", "100", "39.98")]
    deep = held(slippage_spread=Decimal(10), facts=Facts(spread="9"))
    deep.submit(order("exit", Side.SELL), minute(1))
    assert the_fill(whole_bar(deep, 1, bar(40, 40, 40, 40, n=1))).price == Decimal("0.0001")


def test_impact_is_exact_where_a_decimal_would_not_be():
    """Two thirds of a bar: 0.09 x 4/9 x 40 is 1.60 to the last digit; rounded on the way it would be a cent more."""
    found = trader(slippage_volume=Decimal("0.09"), participation=Decimal(1))
    found.submit(order("a", quantity="2"), T0)
    assert the_fill(whole_bar(found, 0, bar(40, 40, 40, 40, 3))).price == Decimal("41.60")


def test_what_others_of_our_orders_took_counts_in_the_impact():
    found = trader(**IMPACT)
    for name in ("a", "b"):
        found.submit(order(name, quantity="50"), T0)
    assert fills(whole_bar(found, 0, bar(40, 40, 40, 40, 1000))) == [("a", "50", "40.01"), ("b", "50", "40.04")]


def test_a_stop_pays_and_a_limit_that_the_market_comes_to_does_not():
    found = held(**SPREAD)
    found.submit(order("stop", Side.SELL, "50", stop="39.00"), minute(1))
    found.submit(order("target", Side.SELL, "50", limit="41.00"), minute(1))
    both = fills(whole_bar(found, 1, bar(40, 41, 38, 40, n=1)))
    assert both == [("stop", "50", "38.98"), ("target", "50", "41.00")]


@pytest.mark.parametrize(("limit", "expected"), [("40.50", "40.02"), ("40.01", "40.01"), ("40.00", "40.00")])
def test_a_limit_better_than_the_market_pays_as_far_as_it_allows(limit, expected):
    found = trader(slippage_on_limits=True, **SPREAD)
    found.submit(order("a", limit=limit), T0)
    assert the_fill(whole_bar(found, 0, bar(40, 41, 39, 40))).price == Decimal(expected)


def test_limits_pay_nothing_unless_a_rule_says_so():
    found = trader(slippage_bps=Decimal(3))
    found.submit(order("a", limit="40.50"), T0)
    assert the_fill(whole_bar(found, 0, bar(40, 41, 39, 40))).price == 40


@given(
    price=st.integers(1, 50_000),
    quantity=st.integers(1, 900),
    volume=st.integers(1000, 10**6),
    bps=st.integers(0, 200),
    spread=st.integers(0, 300),
    impact=st.integers(0, 100),
    buys=st.booleans(),
)
def test_slippage_is_against_us_on_the_grid_and_as_exact_fractions_have_it(
    price, quantity, volume, bps, spread, impact, buys
):
    met = Decimal(price) / 100
    found = trader(
        participation=Decimal(1),
        slippage_bps=Decimal(bps) / 10,
        slippage_spread=Decimal(spread) / 100,
        slippage_volume=Decimal(impact) / 100,
        cash="1000000000",
    )
    side = Side.BUY if buys else Side.SELL_SHORT
    found.submit(order("a", side, str(quantity)), T0)
    paid = the_fill(whole_bar(found, 0, bar(float(met), float(met), float(met), float(met), volume))).price
    worse = Fraction(met) * Fraction(bps, 100_000) + Fraction(spread, 100) * Fraction(4, 100)
    worse += Fraction(impact, 100) * Fraction(quantity, volume) ** 2 * Fraction(met)
    exactly = Fraction(met) + (worse if buys else -worse)
    tick = equity("XYZ").tick(paid)
    assert paid % tick == 0
    if buys:
        assert 0 <= Fraction(paid) - exactly < Fraction(1, 100)
    elif exactly > Fraction(tick):
        assert 0 <= exactly - Fraction(paid) < Fraction(1, 100)


@pytest.mark.parametrize(
    ("borrow", "quantity", "reason"),
    [
        (None, "100", ""),
        ("100", "100", ""),
        ("0", "1", "no shares of XYZ to borrow"),
        ("99", "100", "100 shares of XYZ wanted, 99 to borrow"),
    ],
)
def test_a_short_sale_needs_shares_to_borrow(borrow, quantity, reason):
    found = trader(Facts(borrow=None if borrow is None else Decimal(borrow)))
    events = found.submit(order("short", Side.SELL_SHORT, quantity), T0)
    assert (the_reason(events) if reason else names(events)) == (reason or ["OrderAcknowledged"])


def test_what_is_short_and_what_is_asked_for_is_borrowed_already():
    found = trader(Facts(borrow=Decimal(150)))
    found.submit(order("a", Side.SELL_SHORT, "100"), T0)
    whole_bar(found, 0, bar(40, 40, 40, 40))
    assert names(found.submit(order("b", Side.SELL_SHORT, "30", limit="41"), minute(1))) == ["OrderAcknowledged"]
    assert "160 shares of XYZ wanted" in the_reason(found.submit(order("c", Side.SELL_SHORT, "30"), minute(1)))
    replaced = found.replace(order("d", Side.SELL_SHORT, "50", limit="41", replaces="b"), minute(1))
    assert names(replaced) == ["OrderReplaced", "OrderAcknowledged"], "what is replaced needs no shares any more"
    assert names(found.submit(order("cover", Side.BUY_TO_COVER, "100"), minute(1))) == ["OrderAcknowledged"]


def put(name, side=Side.BUY, quantity="2", **words):
    return order(name, side, quantity, instrument=PUT, **words)


def test_a_put_is_bought_at_the_recorded_ask_and_sold_at_the_recorded_bid():
    found = trader(Facts(quotes=[(0, "3.00", "3.20"), (1, "3.50", "3.65")]), pricer=FlatPricer())
    found.submit(put("entry"), T0)
    entry = the_fill(found.open_step(T0, {"XYZ": bar(40, 41, 39, 40)}))
    assert (entry.price, entry.modelled) == (Decimal("3.20"), False)
    assert found.account().equity == Decimal("999979.91"), "marked between bid and ask, less 9 cents of fees"
    found.range_step(minute(1), {})
    found.submit(put("exit", Side.SELL), minute(1))
    out = the_fill(whole_bar(found, 1, bar(40, 41, 39, 40, n=1)))
    assert (out.price, out.modelled) == (Decimal("3.50"), False)


def test_a_stop_within_a_bar_sells_a_put_at_the_worst_quote_of_that_bar():
    quotes = [(0, "3.00", "3.20"), (1, "2.90", "3.10"), (1.5, "2.50", "2.70"), (1.7, "0", "2.80"), (3, "1.00", "1.10")]
    found = trader(Facts(quotes=quotes), pricer=FlatPricer())
    found.submit(put("entry"), T0)
    whole_bar(found, 0, bar(40, 41, 39, 40))
    found.submit(put("stop", Side.SELL, stop="42.00", rising=True, watch="XYZ"), minute(1))
    assert fills(whole_bar(found, 1, bar(40, 43, 39, 40, n=1))) == [("stop", "2", "2.50")]


@pytest.mark.parametrize(("limit", "expected"), [("2.60", None), ("2.70", "2.70"), ("3.20", "3.10")])
def test_a_limit_on_a_put_fills_where_a_recorded_ask_comes_to_it(limit, expected):
    found = trader(Facts(quotes=[(1, "2.90", "3.10"), (1.5, "2.50", "2.70")]), pricer=FlatPricer())
    found.submit(put("entry", limit=limit), minute(1))
    got = fills(whole_bar(found, 1, bar(40, 41, 39, 40, n=1)))
    assert got == ([] if expected is None else [("entry", "2", expected)])


def test_a_put_that_nobody_bids_for_waits():
    found = trader(Facts(quotes=[(0, "3.00", "3.20"), (1, "0", "0.05"), (2, "0.02", "0.05")]), pricer=FlatPricer())
    found.submit(put("entry"), T0)
    whole_bar(found, 0, bar(40, 41, 39, 40))
    found.submit(put("exit", Side.SELL), minute(1))
    assert whole_bar(found, 1, bar(40, 41, 39, 40, n=1)) == []
    assert fills(whole_bar(found, 2, bar(40, 41, 39, 40, n=2))) == [("exit", "2", "0.02")]


def test_without_a_quote_that_stands_the_model_prices_a_put_and_says_so():
    found = trader(Facts(quotes=[(0, "3.00", "3.20")]), pricer=FlatPricer())
    found.submit(put("entry"), minute(6))
    fill = the_fill(whole_bar(found, 6, bar(40, 41, 39, 40, n=6)))
    assert (fill.price, fill.modelled) == (Decimal("4.04"), True)
