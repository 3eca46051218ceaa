"""The errors of the whole program, sorted by what the caller should do about them.

    TbotError
    ├── NetworkError    no answer came: nothing is known              retry reads, never orders
    ├── BrokerError     a broker said no, or something we cannot use  do not retry, look at it
    ├── LogicError      our own rule was broken: a defect             stop
    ├── ConfigError     the owner's settings cannot be used           mend the files, start again
    ├── DataError       market data is missing, stale or impossible   the next reading may be good
    ├── JournalError    the journal cannot be read or written         stop: nothing may be done unrecorded
    └── MachineError    the machine refused: disk, rights, memory     look at the machine

A message says where it happened, what happened and how to mend it. Foreign exceptions are renamed to one
of these at the edge where they arise; above the adapters nobody has heard of HTTP, SQLite or pydantic. What comes
through all the same is judged by `error_table.classify`: whatever nobody has thought of is a defect.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from tbot_bot.core.instants import Duration

MASK: Final = "********"
"""What is shown instead of a secret; of fixed length, so that it does not tell the secret's."""


class Severity(StrEnum):
    """How loudly an error is reported, in rising order."""

    WARNING = "warning"
    """Work goes on; worth a line in the log."""
    ERROR = "error"
    """Something asked for was not done."""
    CRITICAL = "critical"
    """Trading stops, or must not start; somebody is alerted."""

    @property
    def rank(self) -> int:
        """Return where it stands, from 0: texts do not compare by weight."""
        return list(Severity).index(self)

    def at_least(self, other: "Severity") -> bool:
        """Return whether this is as severe as `other`, or more."""
        return self.rank >= other.rank


ALERT_FROM: Final = Severity.ERROR
"""Errors from here on alert a person."""
STOP_FROM: Final = Severity.CRITICAL
"""Errors from here on end what met them; what cannot be taken up again ends in the kill switch."""


class TbotError(Exception):
    """Any error this program raises on purpose; `str` gives `where: what. mend`."""

    code: ClassVar[str] = "TBOT"
    """Stable short name for logs and for the records of unresolved orders."""
    retryable: ClassVar[bool] = False
    """Whether doing the same again, later, may succeed. Says nothing about orders: those are never retried."""
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        """Tell `what` happened, `where` (a file and line, a broker, a symbol) and how to `mend` it."""
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        """Return `where: what. mend`, leaving out what is empty."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text.rstrip('.')}. {self.mend}" if self.mend else text


class NetworkError(TbotError):
    """No usable answer came back: refused, timed out, cut off. An order sent this way is in doubt."""

    code = "NETWORK"
    retryable = True
    severity = Severity.WARNING
    retry_after: Duration | None = None
    """When to come again, where the server said so (`Retry-After`); set by whoever raises it."""


class BrokerError(TbotError):
    """A broker refused, or answered something that cannot be understood."""

    code = "BROKER"


class LogicError(TbotError):
    """A rule of our own was broken; the program is wrong, not the world."""

    code = "LOGIC"
    severity = Severity.CRITICAL


class DataError(TbotError):
    """Market data is missing, stale or impossible."""

    code = "DATA"
    retryable = True
    severity = Severity.WARNING


class JournalError(TbotError):
    """The journal cannot be read, written or trusted."""

    code = "JOURNAL"
    severity = Severity.CRITICAL


class MachineError(TbotError):
    """The machine refused: no room, no right, no memory, a library that is not there."""

    code = "MACHINE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """One thing wrong with the settings. Texts are shown as they are: a secret's `value` is already masked."""

    file: str
    """The file's path as the owner would type it, or `--set`."""
    line: int = 0
    """Line number from 1; 0 where no line is to blame (a missing variable, an unreadable file)."""
    variable: str = ""
    value: str | None = None
    """The text as written; None where there is none."""
    expected: str
    mend: str = ""
    on_record: bool = False
    """Whether a start that fails on it is recorded: a seal that does not open, a variable that is missing."""

    def __str__(self) -> str:
        """Return the problem as one line: `file:line: VARIABLE='value': expected ...; mend`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        given = "" if self.value is None else f"={_one_line(self.value)}"
        subject = f"{self.variable}{given}: " if self.variable else ""
        mend = f"; {self.mend}" if self.mend else ""
        return f"{place}: {subject}expected {self.expected}{mend}"


class ConfigError(TbotError):
    """The settings cannot be used; `problems` are all there is to mend, not only the first."""

    code = "CONFIG"
    severity = Severity.CRITICAL

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        """Collect `problems`; the text has one line for each."""
        self.problems: tuple[ConfigProblem, ...] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))
        self.args = (self.problems,)  # so that the error survives pickling and copying


def _one_line(text: str, limit: int = 120) -> str:
    """Return `text` quoted, without control characters, and cut at `limit` characters."""
    shown = text if len(text) <= limit else f"{text[:limit]}..."
    return repr(shown)
