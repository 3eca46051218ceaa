"""What a check of bars can find, and what it comes to.

Each kind has a count, its worst examples and a verdict. "never": no backtest runs on it. "refused": none does unless
`--accept-data` says so. "noted": told, and no more. The limits stand in `KINDS`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.price_jumps import BadPrint, Jump
from tbot_bot.core.instants import Instant, iso

_EPOCH: Final = date(1970, 1, 1)
EXAMPLES: Final = 5


class Kind(StrEnum):
    """What can be wrong."""

    UNREADABLE = "unreadable"
    CHANGED = "changed"
    DUPLICATES = "duplicates"
    UNSORTED = "unsorted"
    BAD_PRICES = "bad_prices"
    OFF_MINUTE = "off_minute"
    NIGHT = "night"
    CLOSED = "closed_market"
    SPLITS = "unadjusted_splits"
    OUTLIERS = "outliers"
    HOLES = "holes"
    ABSENT_DAYS = "absent_days"
    SILENT = "no_volume"
    EXTENDED = "extended_hours"


class Verdict(StrEnum):
    """What a finding comes to."""

    FINE = "fine"
    NOTED = "noted"
    REFUSED = "refused"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a kind is judged."""

    says: str
    never: bool = False
    """Whether no backtest can run on it."""
    share: float = 1.0
    """Of what there is, the part from which it is refused."""
    of: str = ""
    """Of what the share is, in words."""


KINDS: Final[dict[Kind, Rule]] = {
    Kind.UNREADABLE: Rule(says="a file that cannot be read", never=True),
    Kind.CHANGED: Rule(says="bars that are not those the manifest tells of", share=0.0),
    Kind.DUPLICATES: Rule(says="bars that stand there twice", never=True),
    Kind.UNSORTED: Rule(says="rows in no order", never=True),
    Kind.BAD_PRICES: Rule(says="prices or volumes that cannot be", never=True),
    Kind.OFF_MINUTE: Rule(says="bars that begin between two minutes", never=True),
    Kind.NIGHT: Rule(says="bars outside 04:00 to 20:00 New York: not of US equities", never=True),
    Kind.CLOSED: Rule(says="bars of weekends and holidays", share=0.0),
    Kind.SPLITS: Rule(says="jumps overnight as of a split that was not adjusted for", share=0.0),
    Kind.OUTLIERS: Rule(says="prices far from the minutes before and after", share=0.0005, of="bars"),
    Kind.HOLES: Rule(says="minutes of a session without a bar", share=0.2, of="minutes"),
    Kind.ABSENT_DAYS: Rule(says="days of a symbol without any bar, between its first and last", share=0.2, of="days"),
    Kind.SILENT: Rule(says="days of a symbol without any volume; such a day is left out"),
    Kind.EXTENDED: Rule(says="bars before the opening or after the closing bell"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One finding, the worse the larger `size`."""

    where: str
    """Symbol and time, or a file."""
    what: str
    size: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one kind."""

    kind: Kind
    count: int
    of: int
    """Among how many; 0 where no share is asked for."""
    verdict: Verdict
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What a check came to."""

    source: str
    bars: int
    symbols: int
    sessions: int
    first: Instant | None
    last: Instant | None
    findings: tuple[Finding, ...]
    """One of each kind, in the order of `KINDS`."""
    notices: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Return the gravest verdict."""
        order = list(Verdict)
        return max((finding.verdict for finding in self.findings), key=order.index, default=Verdict.FINE)

    def of(self, *verdicts: Verdict) -> tuple[Finding, ...]:
        """Return what was found with one of these verdicts."""
        return tuple(finding for finding in self.findings if finding.verdict in verdicts)


@dataclass(slots=True)
class Counted:
    """What was found of one kind so far."""

    count: int = 0
    of: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, count: int, examples: Iterable[Example] = ()) -> None:
        """Count `count` more, and keep the worst of `examples`."""
        self.count += count
        self.examples = sorted([*self.examples, *examples], key=lambda one: (-one.size, one.where))[:EXAMPLES]


def none_yet() -> dict[Kind, Counted]:
    """Return a count of nothing for each kind."""
    return {kind: Counted() for kind in KINDS}


def judged(found: Mapping[Kind, Counted]) -> tuple[Finding, ...]:
    """Return the findings and what each comes to."""
    return tuple(_judged(kind, counted) for kind, counted in found.items())


def _judged(kind: Kind, counted: Counted) -> Finding:
    rule = KINDS[kind]
    if not counted.count:
        verdict = Verdict.FINE
    elif rule.never:
        verdict = Verdict.NEVER
    elif rule.share < 1 and counted.count > rule.share * counted.of:
        verdict = Verdict.REFUSED
    else:
        verdict = Verdict.NOTED
    return Finding(kind=kind, count=counted.count, of=counted.of, verdict=verdict, examples=tuple(counted.examples))


def changed_example(bars: str, manifest: str) -> Example:
    """Return bars that are not those of their manifest as an example."""
    what = f"SHA-256 is not the one in {manifest}: the file was edited, or another stands in its place"
    return Example(where=bars, what=what)


def print_examples(symbol: str, found: Sequence[BadPrint]) -> list[Example]:
    """Return prices that do not belong as examples."""
    return [Example(where=f"{symbol} {iso(Instant(one.ts))}", what=str(one), size=one.size) for one in found]


def split_examples(symbol: str, found: Sequence[Jump]) -> list[Example]:
    """Return nights that look like splits as examples."""
    return [
        Example(where=f"{symbol} {day_text(one.day)}", what=str(one), size=max(one.ratio, 1 / one.ratio))
        for one in found
    ]


def hole_example(symbol: str, day: int, missing: int, expected: int, longest: str) -> Example:
    """Return a day with holes as an example."""
    what = f"{missing} of {expected} missing{longest}"
    return Example(where=f"{symbol} {day_text(day)}", what=what, size=float(missing))


def days_example(symbol: str, count: int, of: int, first: int) -> Example:
    """Return some of a symbol's days as an example."""
    return Example(where=symbol, what=f"{count} of {of} days, first {day_text(first)}", size=float(count))


def longest_hole(ts: NDArray[np.int64], span: int) -> str:
    """Say which hole between two of a session's bars is the longest; empty where there is none between two."""
    gaps = np.diff(ts)
    if not gaps.size or int(gaps.max()) <= span:
        return ""
    at = int(np.argmax(gaps))
    return f", the longest from {iso(Instant(int(ts[at] + span)))[11:16]} on: {int(gaps[at] // span) - 1} in a row"


def day_text(number: int) -> str:
    """Return a day (since 1970) as a date."""
    return (_EPOCH + timedelta(days=number)).isoformat()


__all__ = [
    "EXAMPLES", "KINDS", "Counted", "DataReport", "Example", "Finding", "Kind", "Rule", "Verdict", "changed_example",
    "day_text", "days_example", "hole_example", "judged", "longest_hole", "none_yet", "print_examples",
    "split_examples",
]  # fmt: skip
