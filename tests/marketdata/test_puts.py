"""The put model against the textbook, against parity and against the calendar."""

import itertools
from datetime import date
from decimal import Decimal
from math import exp, log, sqrt
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.bars import VixReading
from tbot_bot.core.calendar import CLOSING_BELL, new_york
from tbot_bot.core.instants import DAY, Instant, parse_iso
from tbot_bot.core.instruments import equity, put_option
from tbot_bot.core.money import CENT
from tbot_bot.marketdata.puts import PutMarket, delta_of, next_expiry, price_put, strikes_around, volatility_of

EXPIRY = date(2026, 1, 16)
EXPIRES_AT = new_york(EXPIRY, CLOSING_BELL)
NORMAL = NormalDist()

SPOTS = st.floats(1.0, 500.0)
STRIKES = st.decimals(Decimal(1), Decimal(500), places=2)
YEARS = st.floats(0.003, 2.0)
VOLATILITIES = st.floats(0.05, 1.5)


def put(strike):
    return put_option("AAA", EXPIRY, Decimal(strike))


def years_before(years):
    return Instant(EXPIRES_AT - round(years * 365 * DAY))


def call_price(spot, strike, years, volatility):
    """Return the call's price, by the formula as it stands in the paper (no interest)."""
    spread = volatility * sqrt(years)
    high = (log(spot / strike) + volatility**2 * years / 2) / spread
    return spot * NORMAL.cdf(high) - strike * NORMAL.cdf(high - spread)


@pytest.mark.parametrize(
    ("spot", "strike", "rate", "volatility", "years", "expected", "digits"),
    [
        # at the money for a year: spot x (2 N(sigma / 2) - 1)
        (100.0, 100.0, 0.0, 0.2, 1.0, 7.965567, 6),
        # J. Hull, Options, Futures, and Other Derivatives, example of the Black-Scholes-Merton chapter: 0.81
        (42.0, 40.0, 0.10, 0.2, 0.5, 0.81, 2),
        # E. Haug, The Complete Guide to Option Pricing Formulas, the call's example 2.1334 by parity: 4.0870 at 65
        (60.0, 65.0, 0.08, 0.30, 0.25, 2.1334 - 60.0 + 65.0 * exp(-0.02), 4),
    ],
)
def test_textbook_values(spot, strike, rate, volatility, years, expected, digits):
    # an interest rate discounts the strike and changes nothing else
    discounted = Decimal(repr(strike * exp(-rate * years)))
    found = price_put(put(discounted), spot, years_before(years), volatility)
    assert round(found, digits) == round(expected, digits)


def test_textbook_delta():
    assert round(delta_of(put(100), 100.0, years_before(1.0), 0.2), 6) == round(NORMAL.cdf(0.1) - 1.0, 6) == -0.460172


@given(spot=SPOTS, strike=STRIKES, years=YEARS, volatility=VOLATILITIES)
def test_put_call_parity(spot, strike, years, volatility):
    at = years_before(years)
    exact_years = (EXPIRES_AT - at) / (365 * DAY)
    call = call_price(spot, float(strike), exact_years, volatility)
    found = price_put(put(strike), spot, at, volatility)
    assert call - found == pytest.approx(spot - float(strike), abs=1e-7 * max(spot, float(strike)))


@given(spot=SPOTS, strike=STRIKES, years=YEARS, volatility=VOLATILITIES)
def test_a_put_is_worth_its_exercise_and_at_most_its_strike(spot, strike, years, volatility):
    found = price_put(put(strike), spot, years_before(years), volatility)
    assert max(float(strike) - spot, 0.0) - 1e-9 * float(strike) <= found + 1e-9 <= float(strike) + 2e-9
    assert -1.0 <= delta_of(put(strike), spot, years_before(years), volatility) <= 0.0


@given(strike=STRIKES, years=YEARS, volatility=VOLATILITIES, spots=st.lists(SPOTS, min_size=2, max_size=5))
def test_price_falls_and_delta_rises_with_the_spot(strike, years, volatility, spots):
    at = years_before(years)
    deltas = [delta_of(put(strike), spot, at, volatility) for spot in sorted(spots)]
    prices = [price_put(put(strike), spot, at, volatility) for spot in sorted(spots)]
    assert deltas == sorted(deltas)
    assert all(later <= earlier + 1e-9 * float(strike) for earlier, later in itertools.pairwise(prices))


@pytest.mark.parametrize("later", [0, 1, DAY])
@pytest.mark.parametrize(("spot", "worth", "delta"), [(90.0, 10.0, -1.0), (100.0, 0.0, 0.0), (110.0, 0.0, 0.0)])
def test_from_expiry_on_only_exercise_counts(later, spot, worth, delta):
    at = Instant(EXPIRES_AT + later)
    assert price_put(put(100), spot, at, 0.3) == worth
    assert delta_of(put(100), spot, at, 0.3) == delta


def test_time_is_worth_something_until_the_bell():
    assert price_put(put(100), 100.0, Instant(EXPIRES_AT - 60 * 10**9), 0.3) > 0.0
    assert price_put(put(100), 90.0, years_before(1.0), 0.0) == 10.0


def test_a_share_is_no_option():
    with pytest.raises(ValueError, match="AAA has no expiry"):
        price_put(equity("AAA"), 100.0, EXPIRES_AT, 0.3)


@pytest.mark.parametrize(
    ("today", "min_days", "expiry"),
    [
        ("2025-09-02", 7, "2025-09-12"),  # Tuesday
        ("2025-09-05", 0, "2025-09-05"),  # a Friday, today
        ("2025-09-05", 7, "2025-09-12"),
        ("2025-09-06", 0, "2025-09-12"),  # Saturday
        ("2026-03-25", 7, "2026-04-02"),  # Good Friday: Thursday instead
        ("2026-03-26", 7, "2026-04-02"),
        ("2026-03-27", 7, "2026-04-10"),  # that Thursday would be too early
        ("2025-06-25", 7, "2025-07-03"),  # Independence Day on a Friday
        ("2025-12-19", 7, "2025-12-26"),
        ("2025-12-26", 1, "2026-01-02"),  # over the year's end
    ],
)
def test_expiries(today, min_days, expiry):
    assert next_expiry(parse_iso(f"{today}T15:00:00Z"), min_days) == date.fromisoformat(expiry)


def test_the_day_of_an_expiry_is_new_yorks():
    late_thursday = parse_iso("2025-09-05T02:00:00Z")  # 22:00 in New York
    assert next_expiry(late_thursday, 8) == date(2025, 9, 12)


@pytest.mark.parametrize(
    ("spot", "low", "high", "step"),
    [
        ("24.99", "22.0", "28.0", "0.5"),
        ("25", "19", "31", "1"),
        ("199.99", "194", "206", "1"),
        ("200", "185.0", "215.0", "2.5"),
        ("1.10", "0.5", "4.0", "0.5"),  # no strike at or below zero
    ],
)
def test_strikes_stand_on_the_grid(spot, low, high, step):
    strikes = strikes_around(Decimal(spot))
    assert (strikes[0], strikes[-1]) == (Decimal(low), Decimal(high))
    assert {after - before for before, after in itertools.pairwise(strikes)} == {Decimal(step)}


def test_a_chain_is_quoted_round_the_model_and_says_so():
    at = parse_iso("2025-09-02T15:00:00Z")
    chain = PutMarket().chain(underlying="SYN01", spot=Decimal("48.30"), at=at, min_days=7, volatility=0.4)
    assert [offer.instrument.strike for offer in chain] == [Decimal(strike) for strike in range(42, 55)]
    assert {offer.instrument.expiry for offer in chain} == {date(2025, 9, 12)}
    assert chain[0].instrument.symbol == "SYN01250912P00042000"
    for offer in chain:
        model = Decimal(repr(price_put(offer.instrument, 48.30, at, 0.4)))
        assert offer.quote.modelled
        assert 0 <= offer.quote.bid < model < offer.quote.ask
        assert offer.quote.ask - offer.quote.bid <= 2 * max(CENT, model * Decimal("0.01")) + 2 * CENT
    deltas = [offer.delta for offer in chain if offer.delta is not None]
    assert deltas == sorted(deltas, reverse=True)
    assert len(deltas) == len(chain)


def reading(value):
    return VixReading(Decimal(value), parse_iso("2025-09-02T13:30:00Z"), "test")


@pytest.mark.parametrize(
    ("vix", "realised", "expected"),
    [(None, None, None), ("20", None, 0.2), (None, 0.35, 0.35), ("20", 0.35, 0.35), ("40", 0.35, 0.4)],
)
def test_the_larger_volatility_counts(vix, realised, expected):
    assert volatility_of(None if vix is None else reading(vix), realised) == expected
