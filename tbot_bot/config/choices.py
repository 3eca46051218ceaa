"""The words a variable may be set to, each with what it means."""

from enum import StrEnum


class Environment(StrEnum):
    """How strictly the configuration is guarded."""

    PRODUCTION = "production"
    """Only the encrypted `.env_bot.enc` is read."""
    DEVELOPMENT = "development"
    """A plaintext `.env_bot` is allowed."""


class BuildMode(StrEnum):
    """What kind of run this is."""

    RELEASE = "release"
    DEBUG = "debug"


class TestModeVenue(StrEnum):
    """Where orders go in test mode."""

    __test__ = False  # pytest: not a test class
    SIMULATOR = "simulator"
    """Embedded: no network at all."""
    BROKER_PAPER = "broker_paper"
    """The enabled brokers' paper endpoints."""


class LogLevel(StrEnum):
    """How much is logged."""

    QUIET = "quiet"
    INFO = "info"
    VERBOSE = "verbose"


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "json"
    CSV = "csv"


class BrokerMode(StrEnum):
    """Which of a broker's endpoints is used outside test mode."""

    PAPER = "paper"
    LIVE = "live"


class Weekday(StrEnum):
    """Days on which New York may trade."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"

    @property
    def number(self) -> int:
        """Return the day as `date.weekday()` counts: Monday is 0."""
        return list(Weekday).index(self)


class SessionAnchor(StrEnum):
    """What the start times move with."""

    EXCHANGE = "exchange"
    """Read as of New York standard time; they follow its daylight saving, so 14:30 is always the bell."""
    UTC = "utc"
    """Literal."""


class EarlyClosePolicy(StrEnum):
    """What CLOSE does on a day that ends early."""

    SHIFT = "shift"
    """Keeps its distance to the closing bell."""
    SKIP = "skip"


class LateStartPolicy(StrEnum):
    """What a start inside a session's window does."""

    JOIN = "join"
    """Joins, if the missed bars can be had and entries are still open."""
    SKIP = "skip"


class VixSource(StrEnum):
    """Where the volatility index is read."""

    AUTO = "auto"
    """The chain of sources, first answer wins."""
    IBKR = "ibkr"
    YAHOO = "yahoo"
    FINNHUB = "finnhub"
    RECORDED = "recorded"


class LedgerExportMode(StrEnum):
    """Whether the accountant's ledger is written by itself."""

    AUTO = "auto"
    OFF = "off"


class GuardPolicy(StrEnum):
    """What the independent dead-man's switch does."""

    FLATTEN = "flatten"
    """Cancels entries and closes positions."""
    CANCEL = "cancel"
    """Cancels entries, leaves positions under their protective stops."""
