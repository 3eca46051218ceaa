"""The screening rules: small functions over what is known of one symbol, each with its missing-data words."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tbot_bot.core.money import ONE, exact, plain
from tbot_bot.core.screening import Outcome, RuleOutcome

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


def judge(known: Known, rules: ScreenRules) -> tuple[RuleOutcome, ...]:
    """Return every rule's answer about one symbol, in order."""
    return (
        _price(known, rules),
        _market_cap(known, rules),
        _average_volume(known, rules),
        _gap(known, rules),
        RuleOutcome(rule="tradable", outcome=Outcome.PASSED, detail="embedded market"),
        _block_list(known, rules),
    )


def _price(known: Known, rules: ScreenRules) -> RuleOutcome:
    if known.price is None:
        return _missing("price", "no price known before the bell", rules)
    return _within("price", known.price, rules.min_price, rules.max_price)


def _market_cap(known: Known, rules: ScreenRules) -> RuleOutcome:
    if known.market_cap is None:
        return _missing("market_cap", "market capitalisation unknown", rules)
    return _within("market_cap", known.market_cap, rules.min_market_cap, rules.max_market_cap)


def _average_volume(known: Known, rules: ScreenRules) -> RuleOutcome:
    if rules.test_mode:
        return RuleOutcome(rule="average_volume", outcome=Outcome.SKIPPED, detail="test mode: volume not looked at")
    if known.average_volume is None:
        return _missing("average_volume", "average volume unknown", rules)
    enough = known.average_volume >= rules.min_volume
    sign = ">=" if enough else "<"
    detail = f"{plain(known.average_volume)} {sign} {plain(rules.min_volume)}"
    return RuleOutcome(rule="average_volume", outcome=_outcome(passed=enough), detail=detail)


def _gap(known: Known, rules: ScreenRules) -> RuleOutcome:
    if known.previous_close is None:
        return _missing("gap", "previous close unknown", rules)
    if not known.priced_today or known.price is None:
        # Before the bell nobody can know it; the session holds the day's first price against the same limit.
        return RuleOutcome(rule="gap", outcome=Outcome.SKIPPED, detail="no price today yet: asked at the first one")
    gap = abs(known.price / known.previous_close - ONE)
    detail = f"{gap.quantize(_RATIO_DIGITS)} of {plain(known.previous_close)}, limit {plain(rules.max_gap)}"
    return RuleOutcome(rule="gap", outcome=_outcome(passed=gap <= rules.max_gap), detail=detail)


def _block_list(known: Known, rules: ScreenRules) -> RuleOutcome:
    blocked = known.symbol in rules.blocked
    detail = "on the block list" if blocked else "not on it"
    return RuleOutcome(rule="block_list", outcome=_outcome(passed=not blocked), detail=detail)


def _within(rule: str, value: Decimal, low: Decimal, high: Decimal) -> RuleOutcome:
    inside = low <= value <= high
    detail = f"{plain(value)} {'in' if inside else 'outside'} [{plain(low)}, {plain(high)}]"
    return RuleOutcome(rule=rule, outcome=_outcome(passed=inside), detail=detail)


def _missing(rule: str, words: str, rules: ScreenRules) -> RuleOutcome:
    """Return what a missing datum means: passed over in test mode, a refusal with real money."""
    outcome = Outcome.SKIPPED if rules.test_mode else Outcome.FAILED
    return RuleOutcome(rule=rule, outcome=outcome, detail=words)


def _outcome(*, passed: bool) -> Outcome:
    return Outcome.PASSED if passed else Outcome.FAILED


def as_decimal(value: float | None) -> Decimal | None:
    """Return a market datum by its shortest decimal spelling, None where there is none."""
    return None if value is None else exact(repr(value))
