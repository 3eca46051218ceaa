"""Brokers for which we keep books and send nothing: their orders are simulated, and they say so.

No official interface for orders of shares has been proven here (Tradier, Webull), or there is none (Robinhood). To
enable one screens and rehearses with what it could do; it has no keys, opens no connection, and cannot be made live.
"""

from collections.abc import Callable
from typing import ClassVar

from tbot_bot.broker.broker_sim import FaultPlan, SimulatedBroker, VenueStore
from tbot_bot.broker.capabilities import CAPABILITIES
from tbot_bot.broker.matching import Venue
from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.instants import Instant


def books_only_notice(name: str) -> str:
    """Return what a person must know of an enabled broker that sends no orders; empty for any other."""
    known = CAPABILITIES.get(name)
    if known is None or known.real_orders or name == "sim":
        return ""
    return f"{name}: orders are simulated, nothing is ever sent to {name.capitalize()}; trade there by other means"


class BooksOnlyBroker(SimulatedBroker):
    """The simulated broker under a vendor's name, with what the vendor could do."""

    vendor: ClassVar[str]

    def __init__(
        self,
        venue: Venue,
        *,
        note: Callable[[str], None],
        store: VenueStore | None = None,
        now: Callable[[], Instant] | None = None,
        faults: FaultPlan | None = None,
    ) -> None:
        """`note` is told at each connect that nothing is sent.

        Raises:
            LogicError: the venue bears another name, so the books would be somebody else's.
        """
        if venue.broker != self.vendor:
            raise LogicError(f"books of {venue.broker} for {self.vendor}", where="broker")
        super().__init__(venue, store=store, now=now, faults=faults, capabilities=CAPABILITIES[self.vendor])
        self._note = note

    async def connect(self) -> None:
        """Say that nothing is sent."""
        self._note(books_only_notice(self.name))
        await super().connect()


__all__ = ["BooksOnlyBroker", "books_only_notice"]
