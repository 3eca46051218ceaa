"""Waiting for one's turn within a process: orders first, data with what is left, each in order of arrival.

The arithmetic is `core.token_bucket`'s. Kept in memory, so that what closes positions needs no file for it.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from tbot_bot.core.instants import MINUTE, SECOND, Duration, Instant, later
from tbot_bot.core.token_bucket import Limit, TokenBucket, Turns

REQUESTS_PER_MINUTE: Final = 200
"""Of Alpaca's basic plan, per credential."""
_FOR_ORDERS: Final = 20
_FOR_DATA: Final = 110
"""What market data and screens may take of it together: the broker's own reads have to be answered in time."""
_NAP_SECONDS: Final = 0.01
_SPAN: Final = Duration(MINUTE + SECOND)
"""Requests overtake each other on their way."""


class LocalTurns:
    """The turns of one vendor and credential in one process; one object for all tasks."""

    def __init__(
        self, limits: tuple[Limit, ...], *, monotonic: Callable[[], float], within: Turns | None = None
    ) -> None:
        """`monotonic` gives seconds; `within` is a wider allowance, of which this one is a part."""
        self._bucket, self._monotonic, self._within = TokenBucket(limits), monotonic, within
        self._lines = {True: asyncio.Lock(), False: asyncio.Lock()}
        self._orders_waiting = 0

    async def take(self, *, urgent: bool = False) -> None:
        """Return when one request may be made; `urgent` ones are about orders."""
        self._orders_waiting += urgent
        try:
            async with self._lines[urgent]:
                while wait := self._wait(urgent=urgent):  # noqa: ASYNC110 - time is what is waited for
                    await asyncio.sleep(wait)
        finally:
            self._orders_waiting -= urgent
        if self._within is not None:
            await self._within.take(urgent=urgent)

    def rest(self, span: Duration) -> None:
        """Let data traffic rest for `span`: the vendor said so. A wider allowance goes on."""
        now = self._now()
        self._bucket.rest(now, later(now, span))

    def _wait(self, *, urgent: bool) -> float:
        """Return the seconds until a request may go, as it looks now; 0 has taken it."""
        if self._orders_waiting and not urgent:
            return _NAP_SECONDS
        wait = self._bucket.take(self._now(), urgent=urgent)
        return max(wait / SECOND, _NAP_SECONDS) if wait else 0.0

    def _now(self) -> Instant:
        return Instant(int(self._monotonic() * SECOND))


class AlpacaTurns:
    """What one credential may ask Alpaca for: `orders` and the account's own reads, and a share of it for `data`."""

    def __init__(self, *, monotonic: Callable[[], float], speed: float = 1.0) -> None:
        """`speed` is the market's, in market seconds per real one: a rehearsal's stand-in counts by market minutes."""
        times = max(speed, 1.0)
        whole = Limit(count=round(REQUESTS_PER_MINUTE * times), span=_SPAN, for_orders=round(_FOR_ORDERS * times))
        self.orders: Turns = LocalTurns((whole,), monotonic=monotonic)
        part = Limit(count=round(_FOR_DATA * times), span=_SPAN)
        self.data: Turns = LocalTurns((part,), monotonic=monotonic, within=self.orders)


__all__ = ["REQUESTS_PER_MINUTE", "AlpacaTurns", "LocalTurns"]
