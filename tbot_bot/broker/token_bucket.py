"""One allowance of requests per vendor and credential: order traffic first, data with what is left.

A bucket holds up to `burst` requests and gains `per_minute - burst` of them a minute, so that no minute ever sees
more than `per_minute`. Data traffic leaves a reserve for orders, and waits while the vendor asks it to; orders wait
only for the allowance itself. Whoever waits is served in order of arrival.
"""

import asyncio
from collections.abc import Callable

_NAP_SECONDS_MIN = 0.005


class TokenBucket:
    """The requests that may still be made now."""

    def __init__(self, *, per_minute: int, burst: int, reserve: int, monotonic: Callable[[], float]) -> None:
        """`reserve` requests are for orders only; `monotonic` gives seconds.

        Raises:
            ValueError: numbers with which somebody would wait for ever.
        """
        if not 0 <= reserve < burst < per_minute:
            msg = f"no allowance: {per_minute} a minute, {burst} at once, {reserve} of them for orders"
            raise ValueError(msg)
        self._rate = (per_minute - burst) / 60
        self._burst, self._reserve, self._monotonic = burst, reserve, monotonic
        self._tokens, self._at = float(burst), monotonic()
        self._data_from = float("-inf")
        self._lines = {True: asyncio.Lock(), False: asyncio.Lock()}

    async def take(self, *, urgent: bool) -> None:
        """Return when one request may be made; `urgent` ones are about orders."""
        async with self._lines[urgent]:
            while (wait := self._wait(urgent=urgent)) > 0:  # noqa: ASYNC110 - time is what is waited for
                await asyncio.sleep(max(wait, _NAP_SECONDS_MIN))
            self._tokens -= 1

    def hold_data(self, seconds: float) -> None:
        """Let data traffic rest for `seconds`: the vendor said so."""
        self._data_from = max(self._data_from, self._monotonic() + seconds)

    def _wait(self, *, urgent: bool) -> float:
        """Return the seconds until a request may go, as it looks now."""
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        lacking = (1 if urgent else 1 + self._reserve) - self._tokens
        allowance = lacking / self._rate if lacking > 0 else 0.0
        return allowance if urgent else max(allowance, self._data_from - now)


__all__ = ["TokenBucket"]
