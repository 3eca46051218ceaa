"""What can go wrong between us and the bank: it is unknown what was done, or nothing was.

NetworkError
└── BankUnavailable        no usable answer        look it up before anything else
    └── BankNotUnderstood  an answer of odd form   the same, and asking again will not help
TbotError
└── BankRefused            a clear no              nothing was done
    ├── TransferRefused    400                     also: the same transfer within a day
    └── TokenRefused       401, 403
"""

from tbot_bot.config.error_handler import NetworkError, TbotError


class BankUnavailable(NetworkError):
    """No usable answer came: whether the bank has done what it was asked is unknown."""

    code = "BANK_UNAVAILABLE"


class BankRefused(TbotError):
    """A clear no: nothing was done."""

    code = "BANK_REFUSED"


class TransferRefused(BankRefused):
    """The transfer was refused as it stands (400): also where the bank has seen the same one within a day."""

    code = "BANK_TRANSFER_REFUSED"


class TokenRefused(BankRefused):
    """The bank does not know the token, or does not let it do this from here."""

    code = "BANK_TOKEN"


class BankNotUnderstood(BankUnavailable):
    """An answer that cannot be read: what it says is as unknown as if it had not come."""

    code = "BANK_ANSWER"
    retryable = False


__all__ = ["BankNotUnderstood", "BankRefused", "BankUnavailable", "TokenRefused", "TransferRefused"]
