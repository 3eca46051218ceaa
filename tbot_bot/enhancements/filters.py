"""What a filter answers, which filters there are, and what each means by missing data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from tbot_bot.core.codec import record
from tbot_bot.core.identity import StrategyName


class FilterName(StrEnum):
    """The filters, in the order in which they are asked: the cheapest and most final first."""

    TICKER_BLOCKLIST = "ticker_blocklist"
    VIX_GATEKEEPER = "vix_gatekeeper"
    ADX = "adx_filter"
    BOLLINGER_CONFLUENCE = "bollinger_confluence"
    IMBALANCE = "imbalance_scanner_ibkr"
    VOLUME = "volume"
    SPREAD = "spread"


class FilterVerdict(StrEnum):
    """How a filter ended for one signal."""

    ALLOW = "allow"
    BLOCK = "block"
    SKIPPED = "skipped"
    """The question does not arise here (test mode, too early); the signal goes on, and `reason` says why."""


class OnMissing(StrEnum):
    """What a filter does when its datum is missing, or when it raises."""

    ALLOW_AND_WARN = "allow_and_warn"
    """A refinement: better an unrefined trade than none."""
    BLOCK = "block"
    """A requirement: no datum, no trade."""
    NEVER_MISSING = "never_missing"
    """Its datum is our own; should it raise all the same, the signal is blocked."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class FilterAnswer:
    """One filter's answer to one signal."""

    name: FilterName
    verdict: FilterVerdict
    missing: bool
    """The datum was missing; with ALLOW, a warning is due."""
    reason: str
    """With the numbers and limits."""
    error: str = ""
    """What the filter raised, else empty; the engine alerts once per filter."""

    @property
    def blocks(self) -> bool:
        """Return whether the signal ends here."""
        return self.verdict is FilterVerdict.BLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRule:
    """Where a filter applies and what it does without its datum."""

    applies_to: tuple[StrategyName, ...]
    on_missing: OnMissing
    skipped_in_test_mode: bool = False
    ibkr_only: bool = False


_ALL: Final = tuple(StrategyName)

FILTERS: Final[Mapping[FilterName, FilterRule]] = {
    FilterName.TICKER_BLOCKLIST: FilterRule(applies_to=_ALL, on_missing=OnMissing.NEVER_MISSING),
    FilterName.VIX_GATEKEEPER: FilterRule(applies_to=(StrategyName.CLOSE,), on_missing=OnMissing.BLOCK),
    FilterName.ADX: FilterRule(applies_to=(StrategyName.MID,), on_missing=OnMissing.ALLOW_AND_WARN),
    FilterName.BOLLINGER_CONFLUENCE: FilterRule(applies_to=(StrategyName.MID,), on_missing=OnMissing.ALLOW_AND_WARN),
    FilterName.IMBALANCE: FilterRule(
        applies_to=(StrategyName.CLOSE,), on_missing=OnMissing.ALLOW_AND_WARN, ibkr_only=True
    ),
    FilterName.VOLUME: FilterRule(applies_to=_ALL, on_missing=OnMissing.BLOCK, skipped_in_test_mode=True),
    FilterName.SPREAD: FilterRule(applies_to=_ALL, on_missing=OnMissing.BLOCK, skipped_in_test_mode=True),
}


@lru_cache(maxsize=16)
def filters_for(strategy: StrategyName, *, ibkr: bool) -> tuple[FilterName, ...]:
    """Return the filters a signal of `strategy` meets, in asking order; `ibkr`: the order goes to IBKR."""
    return tuple(name for name, rule in FILTERS.items() if strategy in rule.applies_to and (ibkr or not rule.ibkr_only))


def allow(name: FilterName, reason: str) -> FilterAnswer:
    """Return the answer that lets the signal pass."""
    return FilterAnswer(name=name, verdict=FilterVerdict.ALLOW, missing=False, reason=reason)


def block(name: FilterName, reason: str) -> FilterAnswer:
    """Return the answer that ends the signal."""
    return FilterAnswer(name=name, verdict=FilterVerdict.BLOCK, missing=False, reason=reason)


def allow_if(ok: bool, name: FilterName, reason: str) -> FilterAnswer:  # noqa: FBT001 - the first thing it is about
    """Return `allow` where `ok`, else `block`, with the same reason."""
    return allow(name, reason) if ok else block(name, reason)


def skipped(name: FilterName, reason: str) -> FilterAnswer:
    """Return the answer of a filter whose question does not arise."""
    return FilterAnswer(name=name, verdict=FilterVerdict.SKIPPED, missing=False, reason=reason)


def missing(name: FilterName, reason: str) -> FilterAnswer:
    """Return what the table says `name` answers without its datum."""
    return _without_datum(name, FILTERS[name].on_missing, reason, "")


def ask(filter_call: Callable[[], FilterAnswer], name: FilterName, on_missing: OnMissing) -> FilterAnswer:
    """Return what `filter_call` answers; where it raises, the answer `on_missing` prescribes, with the error."""
    try:
        return filter_call()
    except Exception as error:  # noqa: BLE001 - a filter's bug must not stop a session; it is kept and alerted
        text = f"{type(error).__name__}: {error}"
        return _without_datum(name, on_missing, f"filter failed: {text}", text)


def _without_datum(name: FilterName, on_missing: OnMissing, reason: str, error: str) -> FilterAnswer:
    verdict = FilterVerdict.ALLOW if on_missing is OnMissing.ALLOW_AND_WARN else FilterVerdict.BLOCK
    return FilterAnswer(name=name, verdict=verdict, missing=True, reason=reason, error=error)
