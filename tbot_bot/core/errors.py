"""What a broker's adapter may say instead of answering.

BrokerProblem
├── BrokerUnavailable    no answer: nothing is known, look it up   (timeouts, 429, 5xx, dropped sockets)
├── BrokerRefused        a clear no: it never existed              (bad quantity, no buying power)
├── CredentialsRejected  stop the start                            (wrong or missing keys)
└── UnknownMessage       stop and look: it may be a fill
"""


class BrokerProblem(Exception):
    """Base of everything that an adapter raises."""


class BrokerUnavailable(BrokerProblem):
    """No answer came; the outcome of the request is unknown."""


class BrokerRefused(BrokerProblem):
    """The broker definitely did not take the request."""


class CredentialsRejected(BrokerProblem):
    """The broker does not know these keys."""


class UnknownMessage(BrokerProblem):
    """The broker said something about an order or a fill that the adapter does not understand."""
