"""Webull: books only, no real orders.

Its official library speaks only to the vendor's own hosts, so nothing could be proven without an account.
"""

from typing import ClassVar

from tbot_bot.broker.books_only import BooksOnlyBroker


class WebullBroker(BooksOnlyBroker):
    """Simulated orders under the name `webull`."""

    vendor: ClassVar[str] = "webull"


__all__ = ["WebullBroker"]
