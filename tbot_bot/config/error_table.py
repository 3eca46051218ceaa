"""What an exception means to this program: the one place where foreign exceptions get class, code and weight.

Libraries are named, not imported: an exception is looked up by the names of its class and of that one's bases,
the nearest first, so that judging an error costs no start and needs no library that is not there anyway.
"""

import errno
from dataclasses import dataclass
from typing import Final, Self

from tbot_bot.config.error_handler import (
    ALERT_FROM,
    STOP_FROM,
    BrokerError,
    ConfigError,
    DataError,
    JournalError,
    LogicError,
    MachineError,
    NetworkError,
    Severity,
    TbotError,
)

UNEXPECTED: Final = "UNEXPECTED"
"""Code of what nobody has thought of: a defect, whatever it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known of an error without looking at its text."""

    kind: type[TbotError]
    """Where it belongs in the tree of errors."""
    code: str
    retryable: bool
    severity: Severity

    @classmethod
    def of_kind(
        cls, kind: type[TbotError], *, code: str = "", retryable: bool | None = None, severity: Severity | None = None
    ) -> Self:
        """Return the verdict on an error of `kind`, which says what is not given here."""
        return cls(
            kind=kind,
            code=code or kind.code,
            retryable=kind.retryable if retryable is None else retryable,
            severity=severity or kind.severity,
        )

    @property
    def alerts(self) -> bool:
        """Return whether a person has to hear of it."""
        return self.severity.at_least(ALERT_FROM)

    @property
    def stops(self) -> bool:
        """Return whether what met it must end: the session is taken up by a fresh process, or by the kill switch."""
        return self.severity.at_least(STOP_FROM)


KINDS: Final = (NetworkError, BrokerError, LogicError, ConfigError, DataError, JournalError, MachineError)

_NETWORK: Final = Verdict.of_kind(NetworkError)
_BROKER: Final = Verdict.of_kind(BrokerError)
_DATA: Final = Verdict.of_kind(DataError)
_JOURNAL: Final = Verdict.of_kind(JournalError)
_MACHINE: Final = Verdict.of_kind(MachineError)
_MACHINE_LOST: Final = Verdict.of_kind(MachineError, severity=Severity.CRITICAL)
_UNEXPECTED: Final = Verdict.of_kind(LogicError, code=UNEXPECTED)

TABLE: Final[dict[str, Verdict]] = {
    # what a broker's adapter says
    "tbot_bot.core.errors.BrokerUnavailable": _NETWORK,
    "tbot_bot.core.errors.BrokerRefused": _BROKER,
    "tbot_bot.core.errors.CredentialsRejected": Verdict.of_kind(
        BrokerError, code="CREDENTIALS", severity=Severity.CRITICAL
    ),
    "tbot_bot.core.errors.UnknownMessage": Verdict.of_kind(  # it may be a fill
        BrokerError, code="UNKNOWN_MESSAGE", severity=Severity.CRITICAL
    ),
    "tbot_bot.core.errors.BrokerProblem": _BROKER,
    # what the sandbox answers its clients: raised and caught at its edge
    "tbot_bot.sandbox.alpaca_requests.AlpacaError": _BROKER,
    "tbot_bot.sandbox.tickets.Refused": _BROKER,
    "tbot_bot.sandbox.tws_frames.Malformed": _BROKER,
    "tbot_bot.sandbox.tws_tickets.Objection": _BROKER,
    # the network
    "builtins.TimeoutError": _NETWORK,
    "builtins.ConnectionError": _NETWORK,
    "socket.gaierror": _NETWORK,
    "socket.herror": _NETWORK,
    "ssl.SSLError": _NETWORK,
    "ssl.SSLCertVerificationError": Verdict.of_kind(NetworkError, retryable=False, severity=Severity.ERROR),
    "asyncio.exceptions.IncompleteReadError": _NETWORK,
    "http.client.HTTPException": _NETWORK,
    "urllib.error.URLError": _NETWORK,
    "urllib.error.HTTPError": _BROKER,
    "httpx.TransportError": _NETWORK,
    "httpx.HTTPStatusError": _BROKER,
    "httpx2.TransportError": _NETWORK,
    "httpx2.HTTPStatusError": _BROKER,
    "websockets.exceptions.WebSocketException": _NETWORK,
    # what cannot be read
    "json.decoder.JSONDecodeError": _DATA,
    "_csv.Error": _DATA,
    "builtins.UnicodeError": _DATA,
    "zlib.error": _DATA,
    "struct.error": _DATA,
    "pyarrow.lib.ArrowException": _DATA,
    "tbot_bot.core.calendar.NotATradingDay": Verdict.of_kind(DataError, retryable=False, severity=Severity.ERROR),
    "pydantic_core._pydantic_core.ValidationError": Verdict.of_kind(ConfigError),
    # records
    "apsw.Error": _JOURNAL,
    "sqlite3.Error": _JOURNAL,
    "tbot_bot.core.codec.CodecError": _JOURNAL,
    # the machine
    "builtins.OSError": _MACHINE,
    "subprocess.SubprocessError": _MACHINE,
    "builtins.MemoryError": _MACHINE_LOST,
    "builtins.ImportError": _MACHINE_LOST,
    "concurrent.futures._base.BrokenExecutor": _MACHINE_LOST,
}
"""By `module.class`; what stands nowhere here is unexpected."""

_UNREACHABLE: Final = frozenset({
    errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENOTCONN,
})  # fmt: skip
_LOST: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})
"""What no later attempt of ours mends, and what keeps records from being written."""


def classify(error: BaseException) -> Verdict:
    """Return what `error` means; of several at once the gravest counts, and all must be worth a retry."""
    if isinstance(error, TbotError):
        kind = next((kind for kind in KINDS if isinstance(error, kind)), TbotError)
        return Verdict(kind=kind, code=error.code, retryable=error.retryable, severity=error.severity)
    if isinstance(error, BaseExceptionGroup):
        verdicts = [classify(member) for member in error.exceptions]
        gravest = max(verdicts, key=lambda verdict: verdict.severity.rank)
        return Verdict.of_kind(
            gravest.kind,
            code=gravest.code,
            retryable=all(verdict.retryable for verdict in verdicts),
            severity=gravest.severity,
        )
    for base in type(error).__mro__:
        found = TABLE.get(f"{base.__module__}.{base.__qualname__}")
        if found is _MACHINE and isinstance(error, OSError):
            return _NETWORK if error.errno in _UNREACHABLE else _MACHINE_LOST if error.errno in _LOST else _MACHINE
        if found is not None:
            return found
    return _UNEXPECTED


__all__ = ["KINDS", "TABLE", "UNEXPECTED", "Verdict", "classify"]
