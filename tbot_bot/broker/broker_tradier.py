"""Tradier: books only, no real orders.

Its interface for orders is public, but no document describes its answers, and nothing could be proven against it.
"""

from typing import ClassVar

from tbot_bot.broker.books_only import BooksOnlyBroker


class TradierBroker(BooksOnlyBroker):
    """Simulated orders under the name `tradier`."""

    vendor: ClassVar[str] = "tradier"


__all__ = ["TradierBroker"]
