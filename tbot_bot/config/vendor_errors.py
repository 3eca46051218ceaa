"""What a data vendor may say instead of answering.

NetworkError
└── VendorUnavailable     no answer: later, or elsewhere          (timeouts, 429, 5xx, dropped sockets)
DataError
├── VendorRefused         a clear no to this one request          (400, 404, 422; 403 for what the plan lacks)
└── VendorNotUnderstood   an answer of odd form
TbotError
└── VendorKeysRefused     the vendor does not know the key        (401)
"""

from tbot_bot.config.error_handler import DataError, NetworkError, TbotError


class VendorUnavailable(NetworkError):
    """No usable answer came."""

    code = "VENDOR_UNAVAILABLE"


class VendorRefused(DataError):
    """The vendor does not answer this request, and asking again will not help."""

    code = "VENDOR_REFUSED"
    retryable = False


class VendorNotUnderstood(DataError):
    """An answer that cannot be read."""

    code = "VENDOR_ANSWER"
    retryable = False


class VendorKeysRefused(TbotError):
    """The vendor does not know the key."""

    code = "CREDENTIALS"


__all__ = ["VendorKeysRefused", "VendorNotUnderstood", "VendorRefused", "VendorUnavailable"]
