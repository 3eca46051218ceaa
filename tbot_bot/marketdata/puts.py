"""Modelled puts, for data without option prices: Black-Scholes on the larger of two volatilities.

Every quote made here is marked as modelled. F. Black and M. Scholes, The Pricing of Options and Corporate
Liabilities, Journal of Political Economy 81 (1973), without dividends and with an interest rate of zero.
"""

from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from math import erf, log, sqrt
from typing import Final

from tbot_bot.core.bars import Quote, VixReading
from tbot_bot.core.calendar import CLOSING_BELL, exchange_time, is_trading_day, new_york
from tbot_bot.core.instants import DAY, Instant
from tbot_bot.core.instruments import Instrument, Rounding, put_option
from tbot_bot.core.money import CENT, ZERO, exact
from tbot_bot.core.options import PutQuote

HALF_SPREAD_FRACTION: Final = Decimal("0.01")
"""Half the modelled spread, as a fraction of the premium; at least a cent."""
STRIKES_EACH_SIDE: Final = 6
_FRIDAY: Final = 4
_YEAR: Final = 365 * DAY
_CONTRACTS: Final = Decimal(100)
"""Size shown on both sides; a model knows no depth."""
_GRID: Final = ((Decimal(25), Decimal("0.5")), (Decimal(200), Decimal(1)))
_WIDE_STEP: Final = Decimal("2.5")
_DELTA_STEP: Final = Decimal("0.0001")


def volatility_of(vix: VixReading | None, realised: float | None) -> float | None:
    """Return the larger of VIX / 100 and the stock's own annualised volatility; None where neither is known."""
    known = [value for value in (None if vix is None else float(vix.value) / 100.0, realised) if value is not None]
    return max(known, default=None)


def price_put(instrument: Instrument, spot: float, at: Instant, volatility: float) -> float:
    """Return the premium in dollars per share at `spot`; the intrinsic value from expiry (16:00 New York) on.

    Raises:
        ValueError: `instrument` has no expiry.
    """
    return _premium(float(instrument.strike), spot, _years_left(instrument, at), volatility)


def _premium(strike: float, spot: float, years: float, volatility: float) -> float:
    if years <= 0.0 or volatility <= 0.0 or spot <= 0.0:
        return max(strike - spot, 0.0)
    d1, d2 = _d(spot, strike, years, volatility)
    return strike * _normal(-d2) - spot * _normal(-d1)


def delta_of(instrument: Instrument, spot: float, at: Instant, volatility: float) -> float:
    """Return the put's delta, -1 to 0."""
    return _delta(float(instrument.strike), spot, _years_left(instrument, at), volatility)


def _delta(strike: float, spot: float, years: float, volatility: float) -> float:
    if years <= 0.0 or volatility <= 0.0 or spot <= 0.0:
        return -1.0 if spot < strike else 0.0
    return _normal(_d(spot, strike, years, volatility)[0]) - 1.0


class PutMarket:
    """Makes chains: Fridays (Thursday where Friday is a holiday), strikes on the usual grid round the spot."""

    def chain(
        self, *, underlying: str, spot: Decimal, at: Instant, min_days: int, volatility: float
    ) -> tuple[PutQuote, ...]:
        """Return the puts of the nearest expiry at least `min_days` calendar days away, by strike."""
        return _chain(underlying, spot, at, min_days, volatility)


@lru_cache(maxsize=4096)
def _chain(underlying: str, spot: Decimal, at: Instant, min_days: int, volatility: float) -> tuple[PutQuote, ...]:
    """Make a chain; backtests ask for the same ones again with each set of parameters."""
    expiry = next_expiry(at, min_days)
    years, price = _years_until(expiry, at), float(spot)
    puts = (put_option(underlying, expiry, strike) for strike in strikes_around(spot))
    return tuple(_offer(put, price, at, years, volatility) for put in puts)


def next_expiry(at: Instant, min_days: int) -> date:
    """Return the first weekly expiry at least `min_days` calendar days after the New York day of `at`."""
    day = exchange_time(at).date() + timedelta(days=min_days)
    while True:
        friday = day + timedelta(days=(_FRIDAY - day.weekday()) % 7)
        expiry = friday if is_trading_day(friday) else friday - timedelta(days=1)
        if expiry >= day:
            return expiry
        day = friday + timedelta(days=1)


def strikes_around(spot: Decimal) -> tuple[Decimal, ...]:
    """Return strikes on the grid of equity options: 0.5 below 25 dollars, 1 up to 200, 2.5 above (modelled)."""
    step = next((step for limit, step in _GRID if spot < limit), _WIDE_STEP)
    middle = (spot / step).to_integral_value() * step
    wanted = (middle + step * place for place in range(-STRIKES_EACH_SIDE, STRIKES_EACH_SIDE + 1))
    return tuple(strike for strike in wanted if strike > ZERO)


def _offer(put: Instrument, spot: float, at: Instant, years: float, volatility: float) -> PutQuote:
    strike = float(put.strike)
    middle = exact(repr(_premium(strike, spot, years, volatility)))
    half = max(CENT, middle * HALF_SPREAD_FRACTION)
    bid = max(put.round_price(middle - half, Rounding.DOWN), ZERO)
    ask = put.round_price(middle + half, Rounding.UP)
    quote = Quote(put.symbol, at, bid, ask, _CONTRACTS, _CONTRACTS, modelled=True)
    delta = Decimal(repr(_delta(strike, spot, years, volatility))).quantize(_DELTA_STEP)
    return PutQuote(instrument=put, quote=quote, delta=delta)


def _years_left(instrument: Instrument, at: Instant) -> float:
    if instrument.expiry is None:
        msg = f"{instrument.symbol} has no expiry"
        raise ValueError(msg)
    return _years_until(instrument.expiry, at)


def _years_until(expiry: date, at: Instant) -> float:
    return (_expires_at(expiry) - at) / _YEAR


@lru_cache(maxsize=1024)
def _expires_at(day: date) -> Instant:
    return new_york(day, CLOSING_BELL)


def _d(spot: float, strike: float, years: float, volatility: float) -> tuple[float, float]:
    deviation = volatility * sqrt(years)
    d1 = (log(spot / strike) + 0.5 * volatility * volatility * years) / deviation
    return d1, d1 - deviation


def _normal(x: float) -> float:
    return 0.5 * (1.0 + erf(x / sqrt(2.0)))
