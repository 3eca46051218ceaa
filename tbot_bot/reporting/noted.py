"""What stands in the journal's `error` and `note` rows, as far as people's files show it.

Any other record in such a row is shown by its text, so that nothing is passed over in silence.
"""

import traceback
from dataclasses import dataclass
from datetime import date
from typing import Final

from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.error_table import classify
from tbot_bot.config.scrub import scrub
from tbot_bot.core.codec import record
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.journal.closed import DeadManReport

_TRACE_MAX: Final = 2_000
"""Characters of a traceback that are kept: its end tells most."""
_TEXT_MAX: Final = 2_000


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
    def of(cls, error: BaseException, *, at: Instant, broker: str = "", trace: str = "") -> "ErrorRaised":
        """Return the row for `error`.

        Without a `trace` it is the error's own, causes included, if it was raised.
        """
        verdict = classify(error)
        known = error if isinstance(error, TbotError) else None
        if not trace and error.__traceback__ is not None:
            trace = "".join(traceback.format_exception(error))
        return cls(
            at=at,
            error_class=type(error).__name__,
            code=verdict.code,
            severity=verdict.severity.value,
            where=scrub(known.where) if known else "",
            text=scrub(known.what if known else str(error) or repr(error))[:_TEXT_MAX],
            broker=broker,
            trace=scrub(trace)[-_TRACE_MAX:],  # scrubbed whole: what a cut leaves of a secret is hard to tell
        )


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


__all__ = ["DeadManReport", "ErrorRaised", "Noted", "SessionSkipped"]
