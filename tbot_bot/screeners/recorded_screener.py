"""The screener over a day of recorded or synthetic data: the same rules, and only what was known at the time."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from tbot_bot.core.bars import Bar
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.money import ONE, ZERO, exact
from tbot_bot.core.screening import Outcome, RuleOutcome, Verdict
from tbot_bot.screeners.rules import Known, ScreenRules, as_decimal, judge, passes, ranked

_SCORE_DIGITS: Final = Decimal("0.000001")


class Tally(NamedTuple):
    """A symbol's day so far, as far as ranking looks at it; all zero before its first bar."""

    weighted: float
    """Sum of typical price x volume."""
    volume: float
    opened: float
    """Open of the first bar."""
    closed: float
    """Close of the last one."""


TallyOf = Callable[[str, Instant], Tally]


@dataclass(frozen=True, slots=True)
class RecordedScreener:
    """The screener of one session over embedded data."""

    strategy: StrategyName
    rules: ScreenRules
    tally_of: TallyOf | None = None
    """Who adds up the bars of a symbol where it is not done here; the sums must be those of `tally_push`."""

    def screen(self, day: MarketDay, at: Instant) -> tuple[Verdict, ...]:
        """Return the verdict on each symbol of `day` from what was known at `at`, sorted by symbol."""
        return screen(day, self.strategy, self.rules, at, self.tally_of)


def screen(
    day: MarketDay, strategy: StrategyName, rules: ScreenRules, at: Instant, tally_of: TallyOf | None = None
) -> tuple[Verdict, ...]:
    """Return the verdict on every symbol as of `at`, sorted by symbol; the best `max_candidates` have a rank.

    OPEN ranks by the gap times one and the relative volume so far (which is nothing before the bell: the data tell no
    volume of before), MID by distance from VWAP, CLOSE by the day's move times relative volume; ties by average
    volume, then by symbol. The live screener scores by the same rules.
    """
    wanted = rules.universe or day.symbols
    symbols = sorted(symbol for symbol in wanted if symbol not in rules.excluded)
    present = frozenset(day.symbols)
    tallied = tally_of or (lambda symbol, when: tally(day.bars_until(symbol, when)))
    judged = [
        _judge(day, strategy, rules, symbol, at, tallied) if symbol in present else _absent(symbol)
        for symbol in symbols
    ]
    return ranked(judged, rules.max_candidates)


def tally_push(
    weighted: float, volume: float, high: float, low: float, close: float, traded: float
) -> tuple[float, float]:
    """Add a bar to both sums; runs as it stands and compiled."""
    return weighted + (high + low + close) / 3.0 * traded, volume + traded


def tally(bars: tuple[Bar, ...]) -> Tally:
    """Return what `bars` come to."""
    if not bars:
        return Tally(0.0, 0.0, 0.0, 0.0)
    weighted = volume = 0.0
    for bar in bars:
        weighted, volume = tally_push(weighted, volume, bar.high, bar.low, bar.close, bar.volume)
    return Tally(weighted, volume, bars[0].open, bars[-1].close)


def _judge(
    day: MarketDay, strategy: StrategyName, rules: ScreenRules, symbol: str, at: Instant, tally_of: TallyOf
) -> Verdict:
    facts = day.fundamentals(symbol)
    last = as_decimal(day.last_price(symbol, at))
    previous = as_decimal(day.previous_close(symbol))
    average = facts.average_volume if facts is not None and facts.average_volume is not None else None
    known = Known(
        symbol=symbol,
        price=last if last is not None else previous,
        priced_today=last is not None,
        previous_close=previous,
        market_cap=None if facts is None else facts.market_cap,
        average_volume=average if average is not None else as_decimal(day.average_volume(symbol)),
    )
    outcomes = judge(known, rules)
    return Verdict(
        symbol=symbol,
        passed=passes(outcomes),
        rank=0,
        score=_score(strategy, known, tally_of, at),
        last_price=known.price,
        previous_close=previous,
        sector="" if facts is None else facts.sector,
        fractionable=True,
        shortable=True,
        rules=outcomes,
        average_volume=known.average_volume,
    )


def _absent(symbol: str) -> Verdict:
    outcome = RuleOutcome(rule="data", outcome=Outcome.FAILED, detail="in UNIVERSE, but the data have no such symbol")
    return Verdict(
        symbol=symbol,
        passed=False,
        rank=0,
        score=ZERO,
        last_price=None,
        previous_close=None,
        sector="",
        fractionable=False,
        shortable=False,
        rules=(outcome,),
    )


def _score(strategy: StrategyName, known: Known, tally_of: TallyOf, at: Instant) -> Decimal:
    match strategy:
        case StrategyName.OPEN:
            return _gap(known, tally_of(known.symbol, at))
        case StrategyName.MID:
            return _decimal(from_vwap(tally_of(known.symbol, at)))
        case StrategyName.CLOSE:
            average = known.average_volume
            return _decimal(move(tally_of(known.symbol, at), None if average is None else float(average)))


def _gap(known: Known, so_far: Tally) -> Decimal:
    if not known.priced_today or known.price is None or known.previous_close is None:
        return ZERO
    average, relative = known.average_volume, ZERO
    if average is not None and average > ZERO and so_far.volume > 0.0:
        relative = exact(repr(so_far.volume)) / average
    return (abs(known.price / known.previous_close - ONE) * (ONE + relative)).quantize(_SCORE_DIGITS)


def from_vwap(known: Tally) -> float:
    """Return how far the last close is from VWAP, as a fraction of it; 0 before the first trade."""
    if known.volume <= 0.0:
        return 0.0
    return abs(known.closed / (known.weighted / known.volume) - 1.0)


def move(known: Tally, average_volume: float | None) -> float:
    """Return the day's move so far times relative volume, where that is known; 0 before the first bar."""
    if known.opened <= 0.0:
        return 0.0
    moved = abs(known.closed / known.opened - 1.0)
    if average_volume is None or average_volume <= 0.0:
        return moved
    return moved * known.volume / average_volume


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number)).quantize(_SCORE_DIGITS)
