"""What is worth telling a person, and how much of it at once. Pure: whoever reads the journal brings rows and times.

Everything that is told stands in the journal already; a `Notice` is a row in a person's words. The `Desk` gathers
notices and makes messages of them: one for a few, one digest for many, nothing for what was said a moment ago.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tbot_bot.core import events
from tbot_bot.core.commands import (
    BrokerHalted,
    Decided,
    EngageKillSwitch,
    Output,
    RaiseAlert,
    Severity,
    SignalDropped,
    TradeOpened,
    TradeRecord,
)
from tbot_bot.core.identity import OrderName, TradeName
from tbot_bot.core.instants import Duration, Instant, minutes, seconds
from tbot_bot.core.money import plain, to_cents


class Topic(StrEnum):
    """What a notice is about."""

    FILL = "fill"
    EXIT = "exit"
    REJECTION = "rejection"
    HALT = "halt"
    KILL = "kill"
    WATCHDOG = "watchdog"
    RESTART = "restart"
    DEFENSE = "defense"
    BACKUP = "backup"
    CANARY = "canary"
    RECONCILIATION = "reconciliation"
    ERROR = "error"
    NOTICE = "notice"
    """What fits nowhere else, such as a disk that gets full."""
    SUMMARY = "summary"
    """A day's results."""


LOUDNESS: Final = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
"""Quietest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that a person should know."""

    at: Instant
    """Market time, or real time where no session is meant."""
    seq: int
    """The journal's row."""
    topic: Topic
    severity: Severity
    key: str
    """The same thing again has the same key."""
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the owner wants to hear of."""

    fills: bool = True
    exits: bool = True


def notices_of(decided: Decided, seq: int, wishes: Wishes) -> Iterator[Notice]:
    """Yield what the engine's answer in row `seq` holds for a person."""
    told: set[str] = set()
    raised = sorted(decided.outputs, key=lambda output: not isinstance(output, RaiseAlert))
    for output in raised:  # alerts first: they say best what the commands beside them mean
        notice = _notice(output, decided.at, seq, wishes)
        if notice is not None and notice.key not in told:
            told.add(notice.key)
            yield notice


def rejected(event: events.OrderRejected, seq: int) -> Notice:
    """Return what a broker's refusal of an order is to a person."""
    name = OrderName.parse(event.client_order_id)
    trade = name.trade if name is not None else event.client_order_id
    return Notice(
        at=event.at,
        seq=seq,
        topic=Topic.REJECTION,
        severity=Severity.WARNING,
        key=f"rejection:{trade}",
        title=f"order rejected: {_what(trade)}",
        text=f"order {event.client_order_id}: {event.reason}",
    )


def _notice(output: Output, at: Instant, seq: int, wishes: Wishes) -> Notice | None:
    match output:
        case RaiseAlert():
            topic = _topic_of(output.title)
            return Notice(
                at=at, seq=seq, topic=topic, severity=output.severity, key=_key_of(topic, output),
                title=output.title, text=output.text,
            )  # fmt: skip
        case EngageKillSwitch():
            return Notice(
                at=output.at, seq=seq, topic=Topic.KILL, severity=Severity.CRITICAL, key=KILL_KEY,
                title="the kill switch is engaged", text=output.reason,
            )  # fmt: skip
        case BrokerHalted():
            return Notice(
                at=output.at, seq=seq, topic=Topic.HALT, severity=Severity.CRITICAL, key=f"halt:{output.broker}",
                title=f"{output.broker} is halted", text=f"{output.code}: {output.reason}",
            )  # fmt: skip
        case TradeOpened() if wishes.fills:
            return Notice(
                at=output.at, seq=seq, topic=Topic.FILL, severity=Severity.INFO, key=f"fill:{output.trade_id}",
                title=f"entered {_what(output.trade_id)}",
                text=f"{plain(output.quantity)} at {plain(output.price)} (trade {output.trade_id})",
            )  # fmt: skip
        case TradeRecord():
            return _of_trade(output, seq, wishes)
        case SignalDropped():
            where = f" at {output.broker}" if output.broker else ""
            return Notice(
                at=output.at, seq=seq, topic=Topic.REJECTION, severity=Severity.INFO,
                key=f"dropped:{output.trade_id}:{output.broker}:{output.code}",
                title=f"{output.symbol} not traded{where}: {output.code}", text=output.reason,
            )  # fmt: skip
        case _:
            return None


def _of_trade(trade: TradeRecord, seq: int, wishes: Wishes) -> Notice | None:
    if trade.entered_at is None:
        if not trade.error_code:
            return None  # an entry that was not filled in its window: nothing happened
        return Notice(
            at=trade.at, seq=seq, topic=Topic.REJECTION, severity=Severity.WARNING, key=f"rejection:{trade.trade_id}",
            title=f"no entry in {trade.ticker} at {trade.broker}: {trade.error_code}", text=trade.exit_reason,
        )  # fmt: skip
    unclosed = trade.exit_price is None
    if not wishes.exits and not unclosed:
        return None
    price = "" if trade.exit_price is None else f" at {plain(trade.exit_price)}"
    entry = "" if trade.entry_price is None else f", entered at {plain(trade.entry_price)}"
    return Notice(
        at=trade.at,
        seq=seq,
        topic=Topic.EXIT,
        severity=Severity.CRITICAL if unclosed else Severity.INFO,
        key=f"exit:{trade.trade_id}",
        title=f"{'STILL HELD' if unclosed else 'left'} {trade.ticker} at {trade.broker}: {dollars(trade.pnl)}",
        text=f"{trade.strategy} {trade.side} {plain(trade.size)}{price}{entry}; {trade.exit_reason};"
        f" fees {to_cents(trade.fees)}, slippage {to_cents(trade.slippage)} (trade {trade.trade_id})",
    )


KILL_KEY: Final = "kill"
_BY_TITLE: Final = (
    ("the kill switch", Topic.KILL),
    (" is halted", Topic.HALT),
    (": halted", Topic.HALT),
    (" is down", Topic.WATCHDOG),
    (" is degraded", Topic.WATCHDOG),
    (" is restored", Topic.WATCHDOG),
    (" is unprotected", Topic.WATCHDOG),
)


def _topic_of(title: str) -> Topic:
    return next((topic for words, topic in _BY_TITLE if words in title), Topic.NOTICE)


def _key_of(topic: Topic, raised: RaiseAlert) -> str:
    if topic is Topic.KILL:
        return KILL_KEY
    if topic is Topic.HALT and raised.title.endswith(" is halted"):
        return f"halt:{raised.title.removesuffix(' is halted')}"
    return f"{topic}:{raised.title}:{raised.text}"


def _what(trade: str) -> str:
    name = TradeName.parse(trade)
    return trade if name is None else f"{name.symbol} at {name.broker} ({name.session.strategy})"


def dollars(amount: Decimal) -> str:
    """Return an amount with its sign, in dollars."""
    return f"{to_cents(amount):+,} USD"


# --- how much at once ------------------------------------------------------------------------------------------------

_GATHER: Final = seconds(2)
_GATHER_MAX: Final = seconds(10)
_WINDOW: Final = minutes(10)
_REPEAT: Final = minutes(30)
_NEVER: Final = Instant(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How notices become messages. Real time."""

    gather: Duration = _GATHER
    """As long as notices keep coming in within it, they are gathered."""
    gather_max: Duration = _GATHER_MAX
    """Nobody waits for longer, except where too much has been said already."""
    single_max: int = 3
    """More of them at once are one digest."""
    window: Duration = _WINDOW
    messages_max: int = 6
    """Messages in any `window`; what comes on top is one digest when there is room."""
    critical_max: int = 4
    """Further messages in the same window, for what is critical only."""
    repeat: Duration = _REPEAT
    """The same key again within it is not told again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Notices that make one message."""

    notices: tuple[Notice, ...]
    repeated: int = 0
    """How often something of before came again and was not told."""

    @property
    def severity(self) -> Severity:
        """Return the loudest."""
        return max((notice.severity for notice in self.notices), key=LOUDNESS.index)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return what is told."""
        return tuple(notice.key for notice in self.notices)


@dataclass(slots=True, kw_only=True)
class Desk:
    """Gathers notices. Its memory is restored from the messages that were queued: see `remember`."""

    pace: Pace = field(default_factory=Pace)
    _waiting: list[Notice] = field(default_factory=list)
    _first_at: Instant = _NEVER
    _last_at: Instant = _NEVER
    _told: dict[str, Instant] = field(default_factory=dict)
    _sent: list[Instant] = field(default_factory=list)
    _repeated: int = 0

    @property
    def waiting(self) -> int:
        """Return how many notices are not in a message yet."""
        return len(self._waiting)

    def remember(self, at: Instant, keys: Iterable[str]) -> None:
        """Take note of a message that was queued at `at`."""
        self._sent.append(at)
        for key in keys:
            self._told[key] = at

    def add(self, notice: Notice, now: Instant) -> bool:
        """Take `notice` in at `now`; return False where the same was told a moment ago."""
        told = self._told.get(notice.key)
        if told is not None and now - told < self.pace.repeat:
            self._repeated += 1
            return False
        self._told[notice.key] = now
        if not self._waiting:
            self._first_at = now
        self._last_at = now
        self._waiting.append(notice)
        return True

    def take(self, now: Instant, *, at_once: bool = False) -> tuple[Parcel, ...]:
        """Return what is due at `now` and count it as told: single messages, or one digest.

        `at_once` where nobody will ask again: then everything goes, as one digest where it is much.
        """
        if not self._waiting:
            return ()
        loud = any(notice.severity is Severity.CRITICAL for notice in self._waiting)
        room = self._room(now, loud=loud)
        quiet = now - self._last_at >= self.pace.gather or now - self._first_at >= self.pace.gather_max
        if not at_once and (not quiet or room < 1):
            return ()
        notices, repeated = tuple(self._waiting), self._repeated
        self._waiting, self._repeated = [], 0
        if len(notices) <= min(self.pace.single_max, room):
            parcels = [Parcel(notices=(notice,)) for notice in notices]
        else:
            parcels = [Parcel(notices=notices, repeated=repeated)]
        self._sent += [now] * len(parcels)
        self._told = {key: at for key, at in self._told.items() if now - at < self.pace.repeat}
        return tuple(parcels)

    def _room(self, now: Instant, *, loud: bool) -> int:
        self._sent = [at for at in self._sent if 0 <= now - at < self.pace.window]
        return self.pace.messages_max + (self.pace.critical_max if loud else 0) - len(self._sent)


LINES_MAX: Final = 40
"""Of a digest; the rest is counted, and stands in the journal."""
_TEXT_MAX: Final = 1_500
_LINE_MAX: Final = 300


def title_of(parcel: Parcel) -> str:
    """Return the subject of a message, without the bot's name."""
    if len(parcel.notices) == 1:
        return parcel.notices[0].title
    loud = [notice for notice in parcel.notices if notice.severity is Severity.CRITICAL]
    first = f", first: {loud[0].title}" if loud else ""
    critical = f", {len(loud)} critical" if loud else ""
    return f"{len(parcel.notices)} happenings{critical}{first}"


def text_of(parcel: Parcel, clock: Sequence[str]) -> str:
    """Return the body of a message; `clock` has each notice's time in words."""
    if len(parcel.notices) == 1:
        notice = parcel.notices[0]
        return f"{clock[0]}  {notice.title}\n{notice.text[:_TEXT_MAX]}\n\nJournal row {notice.seq}."
    counts = ((topic, sum(notice.topic is topic for notice in parcel.notices)) for topic in Topic)
    lines = [", ".join(f"{count} {topic}" for topic, count in counts if count), ""]
    order = sorted(range(len(parcel.notices)), key=lambda number: -LOUDNESS.index(parcel.notices[number].severity))
    shown = sorted(order[:LINES_MAX])
    for number in shown:
        notice = parcel.notices[number]
        mark = "! " if notice.severity is Severity.CRITICAL else "  "
        lines.append(f"{mark}{clock[number]}  {notice.title}: {notice.text}"[:_LINE_MAX])
    if len(parcel.notices) > len(shown):
        lines.append(f"  and {len(parcel.notices) - len(shown)} more")
    if parcel.repeated:
        lines.append(f"  and {parcel.repeated} repetitions of what was told before")
    rows = [notice.seq for notice in parcel.notices]
    return "\n".join([*lines, "", f"Journal rows {min(rows)} to {max(rows)}."])


__all__ = [
    "KILL_KEY", "LINES_MAX", "LOUDNESS", "Desk", "Notice", "Pace", "Parcel", "Topic", "Wishes", "dollars",
    "notices_of", "rejected", "text_of", "title_of",
]  # fmt: skip
