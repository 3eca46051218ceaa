"""The screener over a day of recorded or synthetic data: the same rules, and only what was known at the time."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tbot_bot.core.bars import Bar
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.money import ZERO
from tbot_bot.core.screening import Outcome, RuleOutcome, Verdict
from tbot_bot.screeners.rules import Known, ScreenRules, as_decimal, judge, passes, ranked

_SCORE_DIGITS: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class RecordedScreener:
    """The screener of one session over embedded data."""

    strategy: StrategyName
    rules: ScreenRules

    def screen(self, day: MarketDay, at: Instant) -> tuple[Verdict, ...]:
        """Return the verdict on each symbol of `day` from what was known at `at`, sorted by symbol."""
        return screen(day, self.strategy, self.rules, at)


def screen(day: MarketDay, strategy: StrategyName, rules: ScreenRules, at: Instant) -> tuple[Verdict, ...]:
    """Return the verdict on every symbol as of `at`, sorted by symbol; the best `max_candidates` have a rank.

    OPEN ranks by gap (nothing else has moved before the bell), MID by distance from VWAP, CLOSE by the day's move
    times relative volume; ties by average volume, then by symbol.
    """
    wanted = rules.universe or day.symbols
    symbols = sorted(symbol for symbol in wanted if symbol not in rules.excluded)
    present = frozenset(day.symbols)
    judged = [_judge(day, strategy, rules, symbol, at) if symbol in present else _absent(symbol) for symbol in symbols]
    return ranked(judged, rules.max_candidates)


def _judge(day: MarketDay, strategy: StrategyName, rules: ScreenRules, symbol: str, at: Instant) -> Verdict:
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
        score=_score(strategy, known, day.bars_until(symbol, at)),
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


def _score(strategy: StrategyName, known: Known, bars: tuple[Bar, ...]) -> Decimal:
    match strategy:
        case StrategyName.OPEN:
            return _gap(known)
        case StrategyName.MID:
            return _from_vwap(bars)
        case StrategyName.CLOSE:
            return _move(bars, known.average_volume)


def _gap(known: Known) -> Decimal:
    if not known.priced_today or known.price is None or known.previous_close is None:
        return ZERO
    return abs(known.price / known.previous_close - 1).quantize(_SCORE_DIGITS)


def _from_vwap(bars: tuple[Bar, ...]) -> Decimal:
    weighted = volume = 0.0
    for bar in bars:
        weighted += (bar.high + bar.low + bar.close) / 3.0 * bar.volume
        volume += bar.volume
    if volume <= 0.0:
        return ZERO
    return _decimal(abs(bars[-1].close / (weighted / volume) - 1.0))


def _move(bars: tuple[Bar, ...], average_volume: Decimal | None) -> Decimal:
    if not bars:
        return ZERO
    move = abs(bars[-1].close / bars[0].open - 1.0)
    if average_volume is None or average_volume <= ZERO:
        return _decimal(move)
    traded = 0.0
    for bar in bars:
        traded += bar.volume
    return _decimal(move * traded / float(average_volume))


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number)).quantize(_SCORE_DIGITS)
