"""How many requests a vendor still takes: arithmetic over the requests that were made, orders before data. Pure.

A limit holds in every window of its span, wherever that begins: whoever counts by calendar minutes counts no more
than whoever counts any sixty seconds. Part of each limit is for orders alone, so data traffic never keeps one waiting.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tbot_bot.core.instants import MINUTE, SECOND, Duration, Instant, later


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `count` requests in any `span`.

    Raises:
        ValueError: somebody would wait for ever.
    """

    count: int
    span: Duration
    for_orders: int = 0
    """Of `count`, what data traffic leaves alone."""

    def __post_init__(self) -> None:
        """Refuse a limit that lets nothing through."""
        if not 0 <= self.for_orders < self.count or self.span <= 0:
            msg = f"no allowance: {self.count} requests in {self.span} ns, {self.for_orders} of them for orders"
            raise ValueError(msg)


_SLACK: Final = SECOND
"""Requests overtake each other on their way: what left in one minute may arrive in the next one."""

FINNHUB: Final = (
    Limit(count=60, span=Duration(MINUTE + _SLACK)),
    Limit(count=30, span=Duration(SECOND + SECOND // 2)),
)
"""The free plan: 60 calls a minute; 30 a second for every plan."""
ALPACA_DATA: Final = (Limit(count=200, span=Duration(MINUTE + _SLACK), for_orders=20),)
"""The basic plan: 200 calls a minute."""


class Turns(Protocol):
    """Waits until a request may be made."""

    async def take(self, *, urgent: bool = False) -> None:
        """Return when one request may be made; `urgent` ones are about orders."""
        ...

    def rest(self, span: Duration) -> None:
        """Let data traffic rest for `span`: the vendor said so."""
        ...


def wait_for(limits: Iterable[Limit], granted: Sequence[Instant], now: Instant, *, urgent: bool) -> Duration:
    """Return how long a request has to wait at `now`, 0 where it may go; `granted` is oldest first."""
    wait = 0
    for limit in limits:
        room = limit.count if urgent else limit.count - limit.for_orders
        if len(granted) >= room:
            wait = max(wait, granted[-room] + limit.span - now)
    return Duration(wait)


def remembered(limits: Iterable[Limit]) -> int:
    """Return how many of the latest requests have to be known."""
    return max(limit.count for limit in limits)


def longest(limits: Iterable[Limit]) -> Duration:
    """Return after how long a request is of no consequence any more."""
    return max(limit.span for limit in limits)


def rest_seen_at(now: Instant, since: Instant, until: Instant) -> tuple[Instant, Instant]:
    """Return a rest as it is at `now`: where the clock was set back, it begins anew instead of lasting for hours."""
    return (since, until) if since <= now else (now, later(now, until - since))


class TokenBucket:
    """The requests of one vendor and credential, kept in memory."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        """Begin with nothing asked."""
        self.limits: Final = limits
        self._granted: deque[Instant] = deque(maxlen=remembered(limits))
        self._rest: tuple[Instant, Instant] = (Instant(0), Instant(0))
        """Since when and until when data traffic rests."""

    def take(self, now: Instant, *, urgent: bool) -> Duration:
        """Note a request made at `now` and return 0, or return how long to wait and note nothing."""
        if self._granted and now < self._granted[-1]:  # the clock was set back: as if all had been asked just now
            self._granted = deque((min(at, now) for at in self._granted), maxlen=self._granted.maxlen)
        while self._granted and self._granted[0] < now - longest(self.limits):
            self._granted.popleft()
        wait = wait_for(self.limits, self._granted, now, urgent=urgent)
        if not urgent:
            self._rest = rest_seen_at(now, *self._rest)
            wait = Duration(max(wait, self._rest[1] - now))
        if wait <= 0:
            self._granted.append(now)
            return Duration(0)
        return wait

    def rest(self, now: Instant, until: Instant) -> None:
        """Let data traffic rest until `until`; orders go on."""
        if until > self._rest[1]:
            self._rest = now, until


__all__ = [
    "ALPACA_DATA",
    "FINNHUB",
    "Limit",
    "TokenBucket",
    "Turns",
    "longest",
    "remembered",
    "rest_seen_at",
    "wait_for",
]
