"""Which instrument carries a signal at a broker, and what its protective stop watches."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from tbot_bot.core.instruments import Instrument, equity
from tbot_bot.core.money import ZERO
from tbot_bot.core.options import PutQuote
from tbot_bot.core.orders import Capabilities, Direction, ShortType, Side
from tbot_bot.core.screening import Verdict
from tbot_bot.trading.spec import BearishRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The instrument, the side that opens the trade, and the symbol whose price the stop watches."""

    instrument: Instrument
    side: Side
    watched: str
    stop_rises: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PutWanted:
    """A put has to be picked from the broker's chain first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """This broker cannot carry the signal."""

    code: str
    reason: str


Choice = Chosen | PutWanted | Unavailable


def choose(
    *,
    symbol: str,
    direction: Direction,
    verdict: Verdict,
    rules: BearishRules,
    capabilities: Capabilities,
    fractional: bool,
) -> Choice:
    """Return how a signal in `symbol` is traded at a broker of these `capabilities`."""
    in_fractions = fractional and capabilities.fractional
    if direction is Direction.LONG:
        share = equity(symbol, fractional=in_fractions and verdict.fractionable)
        return Chosen(instrument=share, side=Side.BUY, watched=symbol, stop_rises=False)
    match rules.short_type:
        case ShortType.DISABLED:
            return Unavailable(code="bearish_disabled", reason="bearish trades are disabled for this session")
        case ShortType.SHORT_SELL:
            if not capabilities.short:
                return Unavailable(code="no_short_selling", reason="the broker does not sell short")
            if not verdict.shortable:
                return Unavailable(code="not_shortable", reason=f"{symbol} is not easy to borrow")
            return Chosen(instrument=equity(symbol), side=Side.SELL_SHORT, watched=symbol, stop_rises=True)
        case ShortType.INVERSE_ETF:
            etf = inverse_etf(symbol, verdict.sector, rules)
            if not etf:
                sector = verdict.sector or "unknown"
                return Unavailable(code="no_inverse_etf", reason=f"no inverse ETF for {symbol}, sector {sector}")
            return Chosen(instrument=equity(etf, fractional=in_fractions), side=Side.BUY, watched=etf, stop_rises=False)
        case ShortType.LONG_PUT:
            return _put_wanted(capabilities)


def _put_wanted(capabilities: Capabilities) -> PutWanted | Unavailable:
    if not capabilities.options:
        return Unavailable(code="no_options", reason="the broker trades no options")
    if not capabilities.conditional_stops:
        reason = "the broker's stop on a put cannot watch the underlying"
        return Unavailable(code="no_conditional_stops", reason=reason)
    return PutWanted()


def inverse_etf(symbol: str, sector: str, rules: BearishRules) -> str:
    """Return the inverse ETF for `symbol`: by symbol, then by sector (any case), then the default; "" for none."""
    return inverse_etfs(rules)(symbol, sector)


def inverse_etfs(rules: BearishRules) -> Callable[[str, str], str]:
    """Return `inverse_etf` for these `rules`, by symbol and sector, for whoever asks it of many symbols."""
    # of equal names the first counts, of equal sectors the first with a fund
    by_symbol = dict(reversed(rules.inverse_by_symbol))
    by_sector = {name.lower(): etf for name, etf in reversed(rules.inverse_by_sector) if etf}

    def fund_of(symbol: str, sector: str) -> str:
        return by_symbol.get(symbol) or by_sector.get(sector.strip().lower(), rules.inverse_default)

    return fund_of


def choose_put(quotes: tuple[PutQuote, ...], spot: Decimal, rules: BearishRules) -> PutQuote | Unavailable:
    """Return the put to buy: nearest expiry, then delta nearest the target (strike nearest the money without deltas).

    `quotes` are puts that expire late enough. A spread wider than the limit is no market.
    """
    offered = [put for put in quotes if put.instrument.expiry is not None and put.quote.ask > ZERO]
    if not offered:
        return Unavailable(code="no_put", reason="no put is offered")
    nearest = min(put.instrument.expiry for put in offered if put.instrument.expiry is not None)
    in_expiry = [put for put in offered if put.instrument.expiry == nearest]
    tight = [put for put in in_expiry if _spread(put) <= rules.put_max_spread]
    if not tight:
        return Unavailable(
            code="put_spread", reason=f"every put of {nearest} is wider than {rules.put_max_spread} of its middle price"
        )
    with_delta = [put for put in tight if put.delta is not None]
    if with_delta:
        return min(
            with_delta,
            key=lambda put: (abs((put.delta or ZERO) - rules.put_target_delta), put.instrument.strike),
        )
    return min(tight, key=lambda put: (abs(put.instrument.strike - spot), put.instrument.strike))


def _spread(put: PutQuote) -> Decimal:
    """Return ask less bid as a fraction of the middle price."""
    return (put.quote.ask - put.quote.bid) / ((put.quote.ask + put.quote.bid) / 2)
