"""Real waiting for `core.backoff`."""

import asyncio
import random
from typing import Final

from tbot_bot.core.instants import SECOND, Duration

_DICE: Final = random.SystemRandom()
"""Only spreads retries in time: nothing that is decided or journaled depends on it."""


class RealWaiting:
    """Waits on the machine's clock."""

    def dice(self) -> float:
        """Return a random number from 0 up to 1."""
        return _DICE.random()

    async def sleep(self, span: Duration) -> None:
        """Return after `span`, or later."""
        await asyncio.sleep(span / SECOND)


__all__ = ["RealWaiting"]
