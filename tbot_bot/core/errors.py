"""What a broker's adapter may say instead of answering.

BrokerProblem
├── BrokerUnavailable    no answer: nothing is known, look it up   (timeouts, 429, 5xx, dropped sockets)
├── BrokerRefused        a clear no: it never existed              (bad quantity, no buying power)
├── CredentialsRejected  stop the start                            (wrong or missing keys)
└── UnknownMessage       stop and look: it may be a fill
"""

from tbot_bot.core.instants import Duration


class BrokerProblem(Exception):
    """Base of everything that an adapter raises."""


class BrokerUnavailable(BrokerProblem):
    """No answer came; the outcome of the request is unknown."""

    def __init__(self, *words: object, retry_after: Duration | None = None) -> None:
        """`retry_after` is when to come again, where the broker said so."""
        super().__init__(*words)
        self.retry_after = retry_after


class BrokerRefused(BrokerProblem):
    """The broker definitely did not take the request."""


class CredentialsRejected(BrokerProblem):
    """The broker does not know these keys."""


class UnknownMessage(BrokerProblem):
    """The broker said something about an order or a fill that the adapter does not understand."""
