"""The outbox as the journal's rows leave it: which message waits where, for how long, and which has been given up."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.commands import Severity
from tbot_bot.core.instants import HOUR, MINUTE, SECOND, Duration, Instant, later
from tbot_bot.journal.alerts import NEVER, AlertQueued, AlertTried, Outcome
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import JournalReader

_NAMES: Final = tuple(f'{{"_":"{row.__name__}"' for row in (AlertQueued, AlertTried))
WAITS: Final = tuple(Duration(span) for span in (5 * SECOND, 15 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE))
"""Between one failed attempt and the next; the last one again and again."""
GIVE_UP_AFTER: Final = Duration(48 * HOUR)
REFUSALS_MAX: Final = 3
"""Clear refusals (a wrong password, an address that is not known) after which a message is given up."""
WAITING_MAX: Final = 200
"""Messages that wait at one channel; beyond it the oldest quiet ones are given up, so that the queue has an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message at one channel."""

    message: AlertQueued
    channel: str
    attempts: int = 0
    due_at: Instant = NEVER
    outcome: Outcome = Outcome.FAILED
    """`failed` until it is done or dead; also before the first attempt."""
    detail: str = ""
    tried_at: Instant = NEVER

    @property
    def is_waiting(self) -> bool:
        """Return whether it is still to be sent."""
        return self.outcome in {Outcome.FAILED, Outcome.AGAIN}

    @property
    def state(self) -> str:
        """Return it in a word."""
        if self.is_waiting:
            return "due" if self.attempts == 0 else "retrying"
        return self.outcome.value

    def after(self, tried: AlertTried) -> "Delivery":
        """Return it after one more row."""
        attempts = 0 if tried.outcome is Outcome.AGAIN else tried.attempt
        return replace(
            self, attempts=attempts, due_at=tried.due_at, outcome=tried.outcome, detail=tried.detail, tried_at=tried.at
        )


@dataclass(slots=True, kw_only=True)
class Outbox:
    """Everything that was ever queued, as far as it was read; done ones are forgotten where nobody wants them."""

    keep_done: bool = False
    deliveries: dict[tuple[str, str], Delivery] = field(default_factory=dict)
    """By message id and channel, oldest first."""
    ids: set[str] = field(default_factory=set)
    """Of all messages that were ever queued: none is queued twice."""
    until: int = 0
    """The last row that has been looked at."""

    def take(self, row: AlertQueued | AlertTried) -> None:
        """Take in one row; the same row twice changes nothing."""
        if isinstance(row, AlertQueued):
            self.until = max(self.until, row.until)
            if row.id in self.ids:
                return
            self.ids.add(row.id)
            for channel in row.channels:
                self.deliveries.setdefault((row.id, channel), Delivery(message=row, channel=channel, due_at=row.at))
            return
        known = self.deliveries.get((row.id, row.channel))
        if known is None:
            return
        self.deliveries[row.id, row.channel] = known.after(row)
        if row.outcome is Outcome.DONE and not self.keep_done:
            del self.deliveries[row.id, row.channel]

    def due(self, channel: str, now: Instant) -> Delivery | None:
        """Return what `channel` is to be given next: the loudest, then the oldest."""
        found = [one for one in self.waiting(channel) if one.due_at <= now]
        loud = (one for one in found if one.message.severity == Severity.CRITICAL)
        return next(loud, found[0] if found else None)

    def waiting(self, channel: str | None = None) -> list[Delivery]:
        """Return what is still to be sent, oldest first."""
        return [one for one in self.deliveries.values() if one.is_waiting and channel in {None, one.channel}]

    def next_due(self) -> Instant | None:
        """Return when something is due next; None: nothing waits."""
        return min((one.due_at for one in self.waiting()), default=None)

    def overflow(self, channel: str) -> list[Delivery]:
        """Return what has to be given up because too much waits at `channel`: the oldest, quiet ones first."""
        waiting = self.waiting(channel)
        over = len(waiting) - WAITING_MAX
        if over <= 0:
            return []
        return sorted(waiting, key=lambda one: one.message.severity == Severity.CRITICAL)[:over]


def tried(delivery: Delivery, now: Instant, *, refused: bool, detail: str, wait: Duration | None = None) -> AlertTried:
    """Return the row of an attempt that failed: when it is tried next, or that it is given up.

    `refused`: the channel said no; `wait`: how long it asked us to wait.
    """
    attempt = delivery.attempts + 1
    span = WAITS[min(attempt, len(WAITS)) - 1] if wait is None else wait
    if refused:
        span = max(span, WAITS[2])
    dead = (refused and attempt >= REFUSALS_MAX) or now - delivery.message.at >= GIVE_UP_AFTER
    return AlertTried(
        at=now,
        id=delivery.message.id,
        channel=delivery.channel,
        attempt=attempt,
        outcome=Outcome.DEAD if dead else Outcome.FAILED,
        detail=detail,
        due_at=NEVER if dead else later(now, span),
    )


def outbox_rows(journal: JournalReader, after: int = 0) -> Iterator[AlertQueued | AlertTried]:
    """Yield the outbox's rows behind number `after`, in order.

    Raises:
        JournalError: the journal is damaged.
    """
    for row in journal.rows(after=after, session="", kind=Kind.NOTE):
        found = outbox_row(row.payload)
        if found is not None:
            yield found


def outbox_row(payload: str) -> AlertQueued | AlertTried | None:
    """Return the outbox's row that `payload` is, None where it is another one."""
    if not payload.startswith(_NAMES):
        return None
    try:
        found = loads(payload)
    except CodecError:  # of a newer version: it is that version's to send
        return None
    return found if isinstance(found, AlertQueued | AlertTried) else None


def outbox_of(rows: Iterable[AlertQueued | AlertTried], *, keep_done: bool = False) -> Outbox:
    """Return the outbox that `rows` come to."""
    made = Outbox(keep_done=keep_done)
    for row in rows:
        made.take(row)
    return made


__all__ = [
    "GIVE_UP_AFTER", "REFUSALS_MAX", "WAITING_MAX", "WAITS", "Delivery", "Outbox", "outbox_of", "outbox_row",
    "outbox_rows", "tried",
]  # fmt: skip
