"""Robinhood: books only, no real orders.

It has no official interface for orders of shares; unofficial ones need a person's password and may end any day.
"""

from typing import ClassVar

from tbot_bot.broker.books_only import BooksOnlyBroker


class RobinhoodBroker(BooksOnlyBroker):
    """Simulated orders under the name `robinhood`."""

    vendor: ClassVar[str] = "robinhood"


__all__ = ["RobinhoodBroker"]
