"""What stands in the journal's `error` and `note` rows, as far as people's files show it.

Any other record in such a row is shown by its text, so that nothing is passed over in silence.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from tbot_bot.config.error_handler import Severity, TbotError
from tbot_bot.core.codec import record
from tbot_bot.core.commands import TradeRecord
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant

_TRACE_MAX: Final = 2_000
"""Characters of a traceback that are kept: its end tells most."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRaised:
    """An error that a process met and survived, or died of. Texts are scrubbed before they get here."""

    at: Instant
    error_class: str
    code: str
    severity: str
    where: str
    text: str
    broker: str = ""
    client_order_id: str = ""
    trace: str = ""
    """The end of the traceback, shortened."""

    @classmethod
    def of(cls, error: Exception, *, at: Instant, broker: str = "", trace: str = "") -> "ErrorRaised":
        """Return the row for `error`, with its own code where it is one of ours."""
        if not isinstance(error, TbotError):
            error = _Unexpected(str(error), kind=type(error).__name__)
        return cls(
            at=at,
            error_class=error.kind if isinstance(error, _Unexpected) else type(error).__name__,
            code=error.code,
            severity=error.severity.value,
            where=error.where,
            text=error.what,
            broker=broker,
            trace=trace[-_TRACE_MAX:],
        )


class _Unexpected(TbotError):
    """A foreign exception that nobody has renamed at its edge: a defect, whatever it is."""

    code = "UNEXPECTED"
    severity = Severity.CRITICAL

    def __init__(self, what: str, *, kind: str) -> None:
        super().__init__(what)
        self.kind = kind


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSkipped:
    """A planned session that was not started, and why."""

    at: Instant
    day: date
    strategy: StrategyName
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A remark for people."""

    at: Instant
    text: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class DeadManReport:
    """What the dead-man path did about a session whose runner could not be started any more."""

    at: Instant
    """Market time."""
    why: str
    cancelled: tuple[str, ...]
    """Client ids of the orders that it cancelled."""
    trades: tuple[TradeRecord, ...]
    """What was closed, or is still held (`unclosed`)."""
    left: tuple[str, ...]
    """In words, what a person has to see to; empty where everything is flat."""


__all__ = ["DeadManReport", "ErrorRaised", "Noted", "SessionSkipped"]
