"""What goes wrong at the sandbox on purpose: rules, drawn by seed and call number, and a record of what struck.

A rule names a kind, a vendor and a place, both as shell patterns. A place is a REST call such as
`POST /v2/orders`, `trade_updates` or `market_data` (messages of those streams), or what the TWS side calls a
request. The same seed, rules and calls give the same faults.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, Generic, TypeVar

from tbot_bot.core.bars import Quote
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import SECOND, Instant, later
from tbot_bot.core.money import CENT
from tbot_bot.marketdata.dice import Dice

_REMEMBERED: Final = 1000

Message = TypeVar("Message")


class FaultKind(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"
    """The call waits `seconds` before anything else."""
    LOST_BEFORE = "lost_before"
    """The request has no effect; no answer comes for `seconds`, then the connection is cut."""
    LOST_AFTER = "lost_after"
    """The request takes effect; no answer comes for `seconds`, then the connection is cut."""
    STATUS = "status"
    """HTTP `status` instead of any effect; `seconds` go into Retry-After, where they are not zero."""
    STATUS_AFTER = "status_after"
    """The request takes effect and is answered with HTTP `status` all the same."""
    DROPPED = "dropped"
    """The connection is cut without a word."""
    HALF_OPEN = "half_open"
    """The stream stays connected, and neither speaks nor listens from now on."""
    DUPLICATED = "duplicated"
    """A message of a stream comes twice."""
    REORDERED = "reordered"
    """A message of a stream comes after the one that follows it."""
    REJECTED = "rejected"
    """An order is refused, or taken in and then rejected, as the vendor does it."""
    PARTIAL = "partial"
    """While it stands: orders may take only `fraction` of the volume that they else may."""
    HALTED = "halted"
    """While it stands: `symbols` do not trade."""
    STALE = "stale"
    """While it stands: quotes are `seconds` old."""
    CROSSED = "crossed"
    """While it stands: bids lie above asks."""
    SKEWED = "skewed"
    """While it stands: the vendor's clock is `seconds` ahead (behind, where negative)."""
    MAINTENANCE = "maintenance"
    """While it stands: REST answers 503, streams are cut, the gateway takes no connection."""
    RESTART = "restart"
    """The gateway's nightly restart: connections are cut, and none is taken for `seconds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """One thing that goes wrong, where and how often."""

    kind: FaultKind
    vendor: str = "*"
    place: str = "*"
    chance: float = 1.0
    """Of each matching call, 0 to 1."""
    skip: int = 0
    """Matching calls that are spared first."""
    times: int | None = None
    """Strikes after which the rule is used up; None: never."""
    seconds: float = 0.0
    """Real seconds; for `stale` and `skewed`, market seconds."""
    status: int = 503
    fraction: float = 0.0
    symbols: tuple[str, ...] = ()
    """Empty: all."""
    since: time | None = None
    """New York time of day at which the rule begins to hold."""
    until: time | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A fault that was taken."""

    number: int
    at: Instant
    vendor: str
    place: str
    call: int
    """The how manieth call it was that the rule matched, from 1."""
    rule: FaultRule


class FaultPlan:
    """The rules in force. May be changed at any time; numbering begins anew then."""

    def __init__(self, now: Callable[[], Instant], rules: Sequence[FaultRule] = (), *, seed: int = 1) -> None:
        """`now` tells market time."""
        self._now = now
        self.struck: deque[Struck] = deque(maxlen=_REMEMBERED)
        self._count = 0
        self.set(rules, seed=seed)

    def set(self, rules: Sequence[FaultRule], *, seed: int) -> None:
        """Put `rules` in force instead of those before."""
        self.rules, self.seed = tuple(rules), seed
        self._calls = [0] * len(self.rules)
        self._strikes = [0] * len(self.rules)

    def of_call(self, vendor: str, place: str, *kinds: FaultKind) -> tuple[FaultRule, ...]:
        """Count a call at `place` and return the rules of `kinds` (all, where none are given) that strike it."""
        found = []
        for index, rule in enumerate(self.rules):
            if (kinds and rule.kind not in kinds) or not self._matches(rule, vendor, place):
                continue
            self._calls[index] += 1
            call = self._calls[index]
            if call <= rule.skip or (rule.times is not None and self._strikes[index] >= rule.times):
                continue
            if rule.chance < 1.0 and Dice(self.seed, index, call).uniform() >= rule.chance:
                continue
            self._strikes[index] += 1
            self._count += 1
            self.struck.append(
                Struck(number=self._count, at=self._now(), vendor=vendor, place=place, call=call, rule=rule)
            )
            found.append(rule)
        return tuple(found)

    def standing(self, vendor: str, kind: FaultKind) -> FaultRule | None:
        """Return the first rule of `kind` that holds for the vendor now; not counted."""
        return next(
            (rule for rule in self.rules if rule.kind is kind and self._matches(rule, vendor, rule.place)), None
        )

    def altered(self, vendor: str, quote: Quote, older: Callable[[Instant], Quote | None]) -> Quote:
        """Return `quote` as the vendor shows it; `older` gives the symbol's quote at an earlier time."""
        stale = self.standing(vendor, FaultKind.STALE)
        if stale is not None and _meant(stale, quote.symbol):
            quote = older(later(Instant(quote.at), -round(stale.seconds * SECOND))) or quote
        crossed = self.standing(vendor, FaultKind.CROSSED)
        if crossed is not None and _meant(crossed, quote.symbol):
            quote = quote._replace(bid=quote.ask + CENT, ask=quote.bid)
        return quote

    def vendor_now(self, vendor: str) -> Instant:
        """Return market time by the vendor's own clock."""
        skewed = self.standing(vendor, FaultKind.SKEWED)
        return later(self._now(), 0 if skewed is None else round(skewed.seconds * SECOND))

    def halted(self) -> frozenset[str]:
        """Return the symbols that standing rules keep from trading."""
        rules = (rule for rule in self.rules if rule.kind is FaultKind.HALTED and self._in_time(rule))
        return frozenset(symbol for rule in rules for symbol in rule.symbols)

    def participation(self, vendor: str, usual: Decimal) -> Decimal:
        """Return the part of the volume that orders at the vendor may take."""
        partial = self.standing(vendor, FaultKind.PARTIAL)
        return usual if partial is None else usual * Decimal(repr(partial.fraction))

    def _matches(self, rule: FaultRule, vendor: str, place: str) -> bool:
        return fnmatchcase(vendor, rule.vendor) and fnmatchcase(place, rule.place) and self._in_time(rule)

    def _in_time(self, rule: FaultRule) -> bool:
        if rule.since is None and rule.until is None:
            return True
        clock = exchange_time(self._now()).time()
        return (rule.since is None or clock >= rule.since) and (rule.until is None or clock < rule.until)


class Delivery(Generic[Message]):
    """The order in which one connection's messages leave: repeated or swapped where a rule says so."""

    def __init__(self, plan: FaultPlan, vendor: str, place: str) -> None:
        """Watch the messages of one stream."""
        self._plan, self._vendor, self._place = plan, vendor, place
        self._held: list[Message] = []

    def passed_on(self, message: Message) -> list[Message]:
        """Return what is sent now that `message` is due."""
        held, self._held = self._held, []
        kinds = {rule.kind for rule in self._plan.of_call(
            self._vendor, self._place, FaultKind.DUPLICATED, FaultKind.REORDERED
        )}  # fmt: skip
        if FaultKind.REORDERED in kinds and not held:
            self._held = [message]
            return []
        return [message, *([message] if FaultKind.DUPLICATED in kinds else []), *held]


def _meant(rule: FaultRule, symbol: str) -> bool:
    return not rule.symbols or symbol in rule.symbols
