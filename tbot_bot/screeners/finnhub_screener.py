"""The screener over live sources: the recorded one's rules, over snapshots, quotes and cached fundamentals.

Two steps. `gather` asks: which symbols there are, what each costs; a source that fails is rotated out and the next
one asked for what is left, and that is told. `screen` judges what was gathered, once for each session, and is pure.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import DAY, HOUR, Duration, Instant, iso
from tbot_bot.core.money import ONE, ZERO
from tbot_bot.core.screen_sources import Listing, PriceSource, Reading
from tbot_bot.core.screening import Fundamentals, RuleOutcome, Verdict
from tbot_bot.screeners.rules import Known, ScreenRules, judge, passes, ranked

_SCORE_DIGITS: Final = Decimal("0.000001")
_SCORE_MAX: Final = Decimal(10**9)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFacts:
    """Fundamentals that were fetched before."""

    facts: Fundamentals
    source: str
    age: Duration
    usable: bool
    """Young enough to decide by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One source failed, and what it had not told was left to the next."""

    source: str
    next_source: str
    """Empty: there was none."""
    left: int
    """Symbols."""
    why: str

    def __str__(self) -> str:
        """Return it in words."""
        follows = f"{self.next_source} is asked" if self.next_source else "nobody is left to ask"
        return f"{self.source} failed with {self.left} symbols to go, {follows}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All that is known at one moment."""

    day: date
    at: Instant
    listings: Mapping[str, Listing]
    readings: Mapping[str, Reading]
    unpriced: Mapping[str, str]
    """Symbols without a reading, and why."""
    facts: Mapping[str, CachedFacts]
    switches: tuple[Switch, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Asking:
    left: tuple[str, ...]
    readings: dict[str, Reading] = field(default_factory=dict)
    unpriced: dict[str, str] = field(default_factory=dict)
    switches: list[Switch] = field(default_factory=list)


async def gather(
    listings: Mapping[str, Listing],
    facts: Mapping[str, CachedFacts],
    sources: tuple[PriceSource, ...],
    *,
    day: date,
    at: Instant,
    worth: Callable[[str], bool] = lambda _: True,
    progress: Callable[[int], None] = lambda _: None,
) -> Gathered:
    """Ask `sources` in turn for prices of all tradable symbols in `listings`.

    A source with a limit gets a shortlist: symbols that are `worth` it (their cached facts pass), most traded first.

    Raises:
        TbotError: a source raised what no other source mends, such as refused keys.
    """
    asking = _Asking(left=tuple(symbol for symbol, one in listings.items() if one.tradable is not False))
    asking.unpriced.update(
        (symbol, "not asked: not tradable") for symbol, one in listings.items() if one.tradable is False
    )
    for number, source in enumerate(sources):
        if not asking.left:
            break
        shortlist = asking.left if source.symbols_max is None else _shortlist(asking.left, facts, source, worth)
        told = await source.prices(shortlist, day, progress)
        asking.readings.update(told.readings)
        asking.unpriced.update(told.refused)
        asked = frozenset(shortlist)
        cut = [symbol for symbol in asking.left if symbol not in asked]
        asking.unpriced.update(dict.fromkeys(cut, f"not asked: {source.name} tells {source.symbols_max} in time"))
        asking.left = tuple(one for one in shortlist if one not in told.readings and one not in told.refused)
        if not told.trouble:
            break
        follows = sources[number + 1].name if number + 1 < len(sources) else ""
        asking.switches.append(Switch(source=source.name, next_source=follows, left=len(asking.left), why=told.trouble))
        asking.unpriced.update(dict.fromkeys(asking.left, f"{source.name} failed: {told.trouble}"))
    return Gathered(
        day=day,
        at=at,
        listings=listings,
        readings=asking.readings,
        unpriced={symbol: why for symbol, why in asking.unpriced.items() if symbol not in asking.readings},
        facts=facts,
        switches=tuple(asking.switches),
    )


def _shortlist(
    symbols: Iterable[str], facts: Mapping[str, CachedFacts], source: PriceSource, worth: Callable[[str], bool]
) -> tuple[str, ...]:
    """Return what a source with a limit is asked for."""

    def traded(symbol: str) -> Decimal:
        known = facts.get(symbol)
        return ZERO if known is None else known.facts.average_volume or ZERO

    order = sorted((symbol for symbol in symbols if worth(symbol)), key=lambda symbol: (-traded(symbol), symbol))
    return tuple(order[: source.symbols_max])


def worth_asking(facts: Mapping[str, CachedFacts], rules: Iterable[ScreenRules]) -> Callable[[str], bool]:
    """Return whether the cached facts of a symbol leave it a chance under any of `rules`."""
    sets = tuple(rules)

    def worth(symbol: str) -> bool:
        known = facts.get(symbol)
        return any(passes(_by_facts_alone(symbol, known, one)) for one in sets if symbol not in one.excluded)

    return worth


def _by_facts_alone(symbol: str, facts: CachedFacts | None, rules: ScreenRules) -> Iterable[RuleOutcome]:
    usable = facts.facts if facts is not None and facts.usable else None
    known = Known(
        symbol=symbol,
        price=None,
        priced_today=False,
        previous_close=None,
        market_cap=None if usable is None else usable.market_cap,
        average_volume=None if usable is None else usable.average_volume,
    )
    return (one for one in judge(known, rules) if one.rule not in {"price", "gap"})


def screen(gathered: Gathered, strategy: StrategyName, rules: ScreenRules) -> tuple[Verdict, ...]:
    """Return the verdict on every symbol as of `gathered.at`, sorted by symbol; the best have a rank.

    OPEN ranks by the gap times one and the relative volume so far, so that a gap without any known volume still counts;
    MID by distance from VWAP, CLOSE by the day's move times relative volume. Where the price's source tells no volume
    or VWAP, the score does without. The recorded screener scores by the same rules.
    """
    wanted = rules.universe or tuple(gathered.listings)
    symbols = sorted(symbol for symbol in dict.fromkeys(wanted) if symbol not in rules.excluded)
    return ranked((_verdict(gathered, strategy, rules, symbol) for symbol in symbols), rules.max_candidates)


def _verdict(gathered: Gathered, strategy: StrategyName, rules: ScreenRules, symbol: str) -> Verdict:
    listing, facts = gathered.listings.get(symbol), gathered.facts.get(symbol)
    reading = gathered.readings.get(symbol)
    known = _known(gathered, symbol, listing, reading, facts)
    outcomes = judge(known, rules)
    return Verdict(
        symbol=symbol,
        passed=passes(outcomes),
        rank=0,
        score=_score(strategy, known, reading),
        last_price=known.price,
        previous_close=known.previous_close,
        sector="" if facts is None else facts.facts.sector,
        fractionable=listing is not None and listing.fractionable is True,
        shortable=listing is not None and listing.shortable is True,
        rules=outcomes,
        average_volume=known.average_volume,
    )


def _known(
    gathered: Gathered, symbol: str, listing: Listing | None, reading: Reading | None, facts: CachedFacts | None
) -> Known:
    usable = facts.facts if facts is not None and facts.usable else None
    today = None if reading is None else reading.price
    previous = None if reading is None else reading.previous_close
    return Known(
        symbol=symbol,
        price=previous if today is None else today,
        priced_today=today is not None,
        previous_close=previous,
        market_cap=None if usable is None else usable.market_cap,
        average_volume=None if usable is None else usable.average_volume,
        priced_by="" if reading is None else _priced_by(reading),
        facts_by="" if facts is None else f"{facts.source}, {_words_of(facts.age)} old",
        price_gap=_price_gap(gathered, symbol, reading),
        facts_gap=_facts_gap(facts),
        tradable=False if listing is None else listing.tradable,
        fractionable=None if listing is None else listing.fractionable,
        listing="any list of assets" if listing is None else f"{listing.source} {listing.exchange}".rstrip(),
    )


def _priced_by(reading: Reading) -> str:
    if reading.price is None:
        return f"{reading.source}, the close before"
    return reading.source if reading.priced_at is None else f"{reading.source} at {iso(reading.priced_at)[11:19]} UTC"


def _price_gap(gathered: Gathered, symbol: str, reading: Reading | None) -> str:
    if reading is None:
        return gathered.unpriced.get(symbol, "no source was asked")
    return f"{reading.source} has none of the trading day before" if reading.previous_close is None else ""


def _facts_gap(facts: CachedFacts | None) -> str:
    if facts is None:
        return "never fetched: `tbot fundamentals refresh`, or wait for the nightly one"
    if not facts.usable:
        return f"fetched from {facts.source} {_words_of(facts.age)} ago, which is too old to decide by"
    return f"{facts.source} does not know it"


def _words_of(span: Duration) -> str:
    return f"{span // DAY} d" if span >= 2 * DAY else f"{span // HOUR} h"


def _score(strategy: StrategyName, known: Known, reading: Reading | None) -> Decimal:
    if reading is None or reading.price is None:
        return ZERO
    match strategy:
        case StrategyName.OPEN:
            relative = _relative(reading.day_volume, known.average_volume, unknown=ZERO)
            base, times = known.previous_close, 1 + relative
        case StrategyName.MID:
            base, times = reading.day_vwap, Decimal(1)
        case StrategyName.CLOSE:
            base, times = reading.day_open, _relative(reading.day_volume, known.average_volume)
    if base is None:
        return ZERO
    return min(abs(reading.price / base - 1) * times, _SCORE_MAX).quantize(_SCORE_DIGITS)


def _relative(volume: Decimal | None, average: Decimal | None, *, unknown: Decimal = ONE) -> Decimal:
    return volume / average if volume is not None and average is not None and average > ZERO else unknown


__all__ = ["CachedFacts", "Gathered", "Switch", "gather", "screen", "worth_asking"]
