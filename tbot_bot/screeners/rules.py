"""The screening rules: small functions over what is known of one symbol, each with its missing-data words."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Final

from tbot_bot.core.money import ONE, ZERO, plain, spelled
from tbot_bot.core.screening import Outcome, RuleOutcome, Verdict

_RATIO_DIGITS: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenRules:
    """Limits of one session's screen. Fractions, dollars, shares."""

    min_price: Decimal
    max_price: Decimal
    min_volume: Decimal
    """Average daily shares; not asked in test mode."""
    max_gap: Decimal
    """Largest |price / previous close - 1|."""
    min_market_cap: Decimal
    max_market_cap: Decimal
    max_candidates: int
    universe: tuple[str, ...] = ()
    """Symbols to look at; empty: all there are."""
    excluded: frozenset[str] = frozenset()
    """Never candidates: inverse ETFs, which are instruments and not opinions."""
    blocked: frozenset[str] = frozenset()
    """The operator's block list."""
    fractions: bool = False
    """Whether a symbol must be fractionable."""
    test_mode: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one symbol at the time of the screen; None where it is not."""

    symbol: str
    price: Decimal | None
    """Last price of the day, else the previous close."""
    priced_today: bool
    previous_close: Decimal | None
    market_cap: Decimal | None
    average_volume: Decimal | None
    priced_by: str = ""
    """Source and time of the price, for people; empty: there is but one source."""
    facts_by: str = ""
    """The same of market cap and average volume."""
    price_gap: str = ""
    """Why there is no price, where that is known."""
    facts_gap: str = ""
    """Why there are no figures, where that is known."""
    tradable: bool | None = True
    """None where nobody says."""
    fractionable: bool | None = True
    listing: str = "embedded market"
    """Who says so."""


def judge(known: Known, rules: ScreenRules) -> tuple[RuleOutcome, ...]:
    """Return every rule's answer about one symbol, in order."""
    return (
        _price(known, rules),
        _market_cap(known, rules),
        _average_volume(known, rules),
        _gap(known, rules),
        _tradable(known, rules),
        _block_list(known, rules),
    )


def _price(known: Known, rules: ScreenRules) -> RuleOutcome:
    if known.price is None:
        return _missing("price", known.price_gap or "no price known before the bell", rules)
    return _within("price", known.price, rules.min_price, rules.max_price, known.priced_by)


def _market_cap(known: Known, rules: ScreenRules) -> RuleOutcome:
    if known.market_cap is None:
        return _missing("market_cap", known.facts_gap or "market capitalisation unknown", rules)
    return _within("market_cap", known.market_cap, rules.min_market_cap, rules.max_market_cap, known.facts_by)


def _average_volume(known: Known, rules: ScreenRules) -> RuleOutcome:
    if rules.test_mode:
        return _fixed("average_volume", Outcome.SKIPPED, "test mode: volume not looked at")
    if known.average_volume is None:
        return _missing("average_volume", known.facts_gap or "average volume unknown", rules)
    enough = known.average_volume >= rules.min_volume
    sign = ">=" if enough else "<"
    detail = _by(f"{plain(known.average_volume)} {sign} {plain(rules.min_volume)}", known.facts_by)
    return RuleOutcome(rule="average_volume", outcome=_outcome(passed=enough), detail=detail)


def _gap(known: Known, rules: ScreenRules) -> RuleOutcome:
    if known.previous_close is None:
        return _missing("gap", known.price_gap or "previous close unknown", rules)
    if not known.priced_today or known.price is None:
        # Before the bell nobody can know it; the session holds the day's first price against the same limit.
        return _fixed("gap", Outcome.SKIPPED, "no price today yet: asked at the first one")
    gap = abs(known.price / known.previous_close - ONE)
    detail = f"{gap.quantize(_RATIO_DIGITS)} of {plain(known.previous_close)}, limit {plain(rules.max_gap)}"
    detail = _by(detail, known.priced_by)
    return RuleOutcome(rule="gap", outcome=_outcome(passed=gap <= rules.max_gap), detail=detail)


def _tradable(known: Known, rules: ScreenRules) -> RuleOutcome:
    if known.tradable is None:
        detail = f"{known.listing} does not say; the broker is asked with the order"
        return _fixed("tradable", Outcome.SKIPPED, detail)
    if known.tradable and rules.fractions and known.fractionable is False:
        detail = f"not fractionable by {known.listing}, and FRACTIONAL is true"
        return _fixed("tradable", Outcome.FAILED, detail)
    detail = known.listing if known.tradable else f"not tradable by {known.listing}"
    return _fixed("tradable", _outcome(passed=known.tradable), detail)


def _block_list(known: Known, rules: ScreenRules) -> RuleOutcome:
    blocked = known.symbol in rules.blocked
    detail = "on the block list" if blocked else "not on it"
    return _fixed("block_list", _outcome(passed=not blocked), detail)


def _within(rule: str, value: Decimal, low: Decimal, high: Decimal, source: str) -> RuleOutcome:
    inside = low <= value <= high
    detail = _by(f"{plain(value)} {'in' if inside else 'outside'} {_range(low, high)}", source)
    return RuleOutcome(rule=rule, outcome=_outcome(passed=inside), detail=detail)


@lru_cache(maxsize=64)
def _range(low: Decimal, high: Decimal) -> str:
    return f"[{plain(low)}, {plain(high)}]"


def _by(detail: str, source: str) -> str:
    return f"{detail}; {source}" if source else detail


def _missing(rule: str, words: str, rules: ScreenRules) -> RuleOutcome:
    """Return what a missing datum means: passed over in test mode, a refusal with real money."""
    outcome = Outcome.SKIPPED if rules.test_mode else Outcome.FAILED
    return _fixed(rule, outcome, words)


@lru_cache(maxsize=1024)
def _fixed(rule: str, outcome: Outcome, detail: str) -> RuleOutcome:
    """Return an answer without a figure in it: the same for many symbols."""
    return RuleOutcome(rule=rule, outcome=outcome, detail=detail)


def passes(outcomes: Iterable[RuleOutcome]) -> bool:
    """Return whether no rule failed."""
    return Outcome.FAILED not in [outcome.outcome for outcome in outcomes]


def ranked(judged: Iterable[Verdict], candidates_max: int) -> tuple[Verdict, ...]:
    """Return the verdicts with ranks for the best that passed; ties go by average volume, then by symbol."""
    verdicts = tuple(judged)
    order = sorted(
        (verdict for verdict in verdicts if verdict.passed),
        key=lambda verdict: (-verdict.score, -(verdict.average_volume or ZERO), verdict.symbol),
    )
    ranks = {verdict.symbol: place for place, verdict in enumerate(order[:candidates_max], start=1)}
    placed = ((verdict, ranks.get(verdict.symbol, 0)) for verdict in verdicts)
    return tuple(verdict if verdict.rank == rank else replace(verdict, rank=rank) for verdict, rank in placed)


def _outcome(*, passed: bool) -> Outcome:
    return Outcome.PASSED if passed else Outcome.FAILED


def as_decimal(value: float | None) -> Decimal | None:
    """Return a market datum by its shortest decimal spelling, None where there is none."""
    return None if value is None else spelled(value)
