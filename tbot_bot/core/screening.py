"""What a screener looks at and what it says of each symbol."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tbot_bot.core.codec import record


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Fundamentals:
    """Slow facts about a symbol; None where the source does not know."""

    symbol: str
    market_cap: Decimal | None = None
    """US dollars."""
    average_volume: Decimal | None = None
    """Shares a day."""
    sector: str = ""


class Outcome(StrEnum):
    """How one screening rule ended for one symbol."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """The datum is missing, or the rule is off in this mode; never silently: `detail` says why."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOutcome:
    """One rule's answer, with the number it looked at and the limit: `price`, `12.40 in [5, 100]`."""

    rule: str
    outcome: Outcome
    detail: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A screener's judgement of one symbol at one session."""

    symbol: str
    passed: bool
    rank: int
    """1 is best among those that passed; 0 for those that did not, and for those cut by the maximum."""
    score: Decimal
    """What the rank is by, larger is better; its meaning is the session's (see the screener)."""
    last_price: Decimal | None
    previous_close: Decimal | None
    sector: str
    fractionable: bool
    shortable: bool
    rules: tuple[RuleOutcome, ...]
    average_volume: Decimal | None = None
    """Shares a day; None where unknown."""
