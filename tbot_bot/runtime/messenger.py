"""The process that tells people: it reads the journal, queues messages there, and sends them, whoever else is alive.

The supervisor starts it where alerts are configured and wanted (`alert_keeper.py`). It lives on when supervisor or
runner die, says so, and ends by itself when nobody is left. Nothing that trades waits for it.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.config.error_handler import JournalError
from tbot_bot.config.scrub import scrub
from tbot_bot.core.commands import Severity
from tbot_bot.core.instants import DAY, Instant, later, seconds, to_datetime
from tbot_bot.journal.alerts import AlertQueued, AlertTried, DayOver, Outcome
from tbot_bot.journal.chain import Kind, Row
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.alert_senders import Channel, ChannelFailed, Channels, Letter, ping
from tbot_bot.reporting.alert_watch import Watch
from tbot_bot.reporting.outbox import Delivery, Outbox, outbox_of, outbox_row, outbox_rows, tried
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.trading.notifier_bot import Desk, Notice, Parcel, Topic, Wishes, text_of, title_of

STALE: Final = DAY
"""Older than that, and a happening is counted only: a bot that was off for a month has old news."""
_POLL_SECONDS: Final = 0.5
PING_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 30.0
"""Real time that is spent on what is left when nobody else is alive; the rest waits for the next start."""

MakeSummary = Callable[[str], Awaitable[Letter]]
"""Makes the letter of a day (`2025-09-02`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What one messenger works with."""

    journal: Journal
    channels: Channels
    wishes: Wishes
    log: FilteringBoundLogger
    summary: MakeSummary
    is_well: Callable[[], bool]
    """Whether the bot lives, for the dead-man addresses."""
    prefix: str = "TradeBot"
    """What each subject begins with."""


@dataclass(slots=True, kw_only=True)
class Messenger:
    """Reads, queues and sends; all methods belong to one loop."""

    post: Post
    desk: Desk = field(default_factory=Desk)
    outbox: Outbox = field(default_factory=Outbox)
    _watch: Watch = field(init=False)
    _read: int = 0
    _unwritten: list[AlertQueued | AlertTried] = field(default_factory=list)
    """Rows that a full disk refused; the messages go out all the same."""
    _old: int = 0
    """Happenings that were too old to be told."""
    _complaint: str = ""
    _letters: dict[str, Letter] = field(default_factory=dict)
    """Summaries that were made and not taken by every channel yet."""

    def __post_init__(self) -> None:
        """Begin where the last messenger ended; the very first one at the start of the bot that started it."""
        journal = self.post.journal
        self._watch = Watch(journal=journal, wishes=self.post.wishes)
        now = wall_now()
        rows = tuple(outbox_rows(journal))
        self.outbox = outbox_of(rows)
        for row in rows:
            if isinstance(row, AlertQueued) and now - row.at < self.desk.pace.repeat:
                self.desk.remember(row.at, row.keys)
        starts = () if self.outbox.until else tuple(journal.rows(session="", kind=Kind.START))
        self._read = max((row.seq - 1 for row in starts), default=self.outbox.until)

    # --- reading and queueing -----------------------------------------------------------------------------------------

    def look(self, *, at_once: bool = False) -> None:
        """Read what is new in the journal and queue what is due.

        Raises:
            JournalError: it cannot be read.
        """
        now = wall_now()
        days: list[tuple[str, int]] = []
        for row in self.post.journal.rows(after=self._read):
            self._take(row, now, days)
            self._read = row.seq
        if self._old:
            self._tell_of_old(now)
        self._write([])
        queued = [self._message(parcel, now) for parcel in self.desk.take(now, at_once=at_once)]
        queued += [self._summary(day, seq, now) for day, seq in days]
        if queued:
            self._write(queued)

    def _take(self, row: Row, now: Instant, days: list[tuple[str, int]]) -> None:
        known = outbox_row(row.payload) if row.kind is Kind.NOTE else None
        if known is not None:
            if isinstance(known, AlertQueued) or known.outcome is Outcome.AGAIN:
                self.outbox.take(known)  # a person's command; our own rows change nothing
            return
        if row.kind is Kind.NOTE and (over := DayOver.of(row.payload)) is not None:
            days.append((over.day, row.seq))
            self._watch.traded.clear()
            return
        for notice in self._watch.notices(row):
            if now - row.recorded_at > STALE:
                self._old += 1
            else:
                self.desk.add(notice, now)

    def _tell_of_old(self, now: Instant) -> None:
        count, self._old = self._old, 0
        text = "Nobody was there to tell them. They stand in the journal: tbot journal export"
        title = f"{count} happenings of more than a day ago were not told"
        self.desk.add(
            Notice(at=now, seq=self._read, topic=Topic.NOTICE, severity=Severity.INFO, key=f"old:{self._read}",
                   title=title, text=text), now,
        )  # fmt: skip

    def say(self, topic: Topic, severity: Severity, title: str, text: str) -> None:
        """Tell of something that no row says."""
        now = wall_now()
        key = f"{topic}:{title}"
        self.desk.add(
            Notice(at=now, seq=self._read, topic=topic, severity=severity, key=key, title=title, text=text), now
        )

    def summarize_what_is_left(self) -> None:
        """Queue the summary of a day that ends before its time: nobody will say that it is over."""
        now = wall_now()
        self._write([self._summary(day.isoformat(), self._read, now) for day in sorted(self._watch.traded)[-1:]])
        self._watch.traded.clear()

    def _message(self, parcel: Parcel, now: Instant) -> AlertQueued:
        clock = [f"{to_datetime(notice.at):%d %b %H:%M:%S}" for notice in parcel.notices]
        topics = {notice.topic for notice in parcel.notices}
        told = hashlib.sha256("\n".join(parcel.keys).encode()).hexdigest()[:8]  # one row may hold several happenings
        severity = "" if parcel.severity is Severity.INFO else f"{parcel.severity.value.upper()}: "
        return AlertQueued(
            at=now,
            id=f"{self.post.journal.mode}-{parcel.notices[0].seq}-{told}",
            topic=next(iter(topics)).value if len(topics) == 1 else Topic.NOTICE.value,
            severity=parcel.severity.value,
            title=scrub(f"[{self.post.prefix} {self.post.journal.mode}] {severity}{title_of(parcel)}"),
            text=scrub(f"{text_of(parcel, clock)}\nTimes are UTC; of a rehearsal, the market's."),
            keys=parcel.keys,
            until=self._read,
            channels=self.post.channels.names,
        )

    def _summary(self, day: str, seq: int, now: Instant) -> AlertQueued:
        return AlertQueued(
            at=now,
            id=f"{self.post.journal.mode}-{seq}-day",
            topic=Topic.SUMMARY.value,
            severity=Severity.INFO.value,
            title=f"[{self.post.prefix} {self.post.journal.mode}] {day}",
            text="",
            keys=(),
            until=0 if self.desk.waiting else self._read,
            channels=self.post.channels.names,
            day=day,
        )

    def _write(self, rows: Sequence[AlertQueued | AlertTried]) -> None:
        """Put rows into the journal and into effect; where the journal refuses, into effect all the same."""
        new = [row for row in rows if isinstance(row, AlertTried) or row.id not in self.outbox.ids]
        for row in new:
            self.outbox.take(row)
        self._unwritten += new
        if not self._unwritten:
            return
        now = wall_now()
        try:
            self.post.journal.append(
                [Entry.of(row, kind=Kind.NOTE, at=row.at, recorded_at=now) for row in self._unwritten]
            )
        except JournalError as error:
            if str(error) != self._complaint:
                self.post.log.exception("outbox_not_journaled", error=str(error), rows=len(self._unwritten))
            self._complaint = str(error)
            return
        self._unwritten, self._complaint = [], ""

    # --- sending ------------------------------------------------------------------------------------------------------

    async def send_next(self, channel: Channel) -> bool:
        """Send what is due at `channel`, if anything is; return whether something was tried."""
        now = wall_now()
        self._write([_given_up(one, now) for one in self.outbox.overflow(channel.name)])
        delivery = self.outbox.due(channel.name, now)
        if delivery is None:
            return False
        try:
            await channel.send(await self._letter(delivery))
        except ChannelFailed as failed:
            row = tried(delivery, wall_now(), refused=failed.refused, detail=str(failed), wait=failed.wait)
        except Exception as error:
            self.post.log.exception("alert_not_sent", channel=channel.name, id=delivery.message.id)
            row = tried(delivery, wall_now(), refused=False, detail=scrub(f"{type(error).__name__}: {error}"[:300]))
        else:
            row = AlertTried(
                at=wall_now(), id=delivery.message.id, channel=channel.name, attempt=delivery.attempts + 1,
                outcome=Outcome.DONE, detail="",
            )  # fmt: skip
        self._write([row])
        if row.outcome is not Outcome.DONE:
            self.post.log.warning("alert_failed", channel=channel.name, id=row.id, attempt=row.attempt,
                                  outcome=row.outcome.value, detail=row.detail)  # fmt: skip
        if row.outcome is Outcome.DEAD:
            self._tell_of_dead(channel, row)
        if not any(one.message.id == row.id for one in self.outbox.waiting()):
            self._letters.pop(row.id, None)
        return True

    def _tell_of_dead(self, channel: Channel, row: AlertTried) -> None:
        others = tuple(name for name in self.post.channels.names if name != channel.name)
        title = f"alerts do not reach {channel.name}"
        if not others or any(one.message.title.endswith(title) for one in self.outbox.waiting()):
            return
        now = wall_now()
        text = f"{row.detail}\n\nAfter mending it: tbot alerts test, then tbot alerts retry --all"
        self._write([
            AlertQueued(
                at=now, id=f"{row.id}-{channel.name}-dead", topic=Topic.NOTICE.value, severity=Severity.WARNING.value,
                title=f"[{self.post.prefix} {self.post.journal.mode}] WARNING: {title}", text=text, keys=(), until=0,
                channels=others,
            )
        ])  # fmt: skip

    async def _letter(self, delivery: Delivery) -> Letter:
        message = delivery.message
        if not message.day:
            return Letter(id=message.id, subject=message.title, text=message.text, images={})
        if message.id not in self._letters:
            made = await self.post.summary(message.day)
            subject = f"{message.title}: {made.subject}"
            self._letters[message.id] = Letter(
                id=message.id, subject=subject, text=made.text, html=made.html, images=made.images
            )
        return self._letters[message.id]

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def run(self, over: Callable[[], bool], stop: asyncio.Event) -> None:
        """Work until `stop` (then at once), or until `over`, then send what is left for a while."""
        tasks = [asyncio.create_task(self._serve(channel)) for channel in self.post.channels.senders]
        tasks.append(asyncio.create_task(self._ping()))
        try:
            while not stop.is_set() and not over():
                self._try_to_look(at_once=False)
                await _until(stop, _POLL_SECONDS)
            if not stop.is_set():
                self._try_to_look(at_once=True)
                self.summarize_what_is_left()
                await self._drain(stop)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, stop: asyncio.Event) -> None:
        """Queue and send what there is, once, without a bot."""
        self._try_to_look(at_once=True)
        tasks = [asyncio.create_task(self._serve(channel)) for channel in self.post.channels.senders]
        try:
            await self._drain(stop)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self, stop: asyncio.Event) -> None:
        deadline = monotonic_seconds() + DRAIN_SECONDS
        while not stop.is_set() and (left := deadline - monotonic_seconds()) > 0:
            due = self.outbox.next_due()
            if due is None or due > later(wall_now(), seconds(left)):
                return  # nothing that could still be tried
            await asyncio.sleep(_POLL_SECONDS / 10)

    def _try_to_look(self, *, at_once: bool) -> None:
        try:
            self.look(at_once=at_once)
        except JournalError as error:
            self.say(Topic.ERROR, Severity.CRITICAL, "the journal cannot be read", scrub(str(error)))
            self._write([self._message(parcel, wall_now()) for parcel in self.desk.take(wall_now(), at_once=at_once)])

    async def _serve(self, channel: Channel) -> None:
        while True:
            if not await self.send_next(channel):
                await asyncio.sleep(_POLL_SECONDS / 2)

    async def _ping(self) -> None:
        failed: dict[str, str] = {}
        while self.post.channels.pings:
            if self.post.is_well():
                for url in self.post.channels.pings:
                    try:
                        await ping(url)
                        failed.pop(url, None)
                    except ChannelFailed as error:
                        if str(error) != failed.get(url):
                            self.post.log.warning("ping_failed", detail=str(error))
                        failed[url] = str(error)
            await asyncio.sleep(PING_SECONDS)


def _given_up(delivery: Delivery, now: Instant) -> AlertTried:
    return AlertTried(
        at=now, id=delivery.message.id, channel=delivery.channel, attempt=delivery.attempts, outcome=Outcome.DEAD,
        detail="given up: the queue of this channel is full",
    )  # fmt: skip


async def _until(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


__all__ = ["DRAIN_SECONDS", "PING_SECONDS", "STALE", "Messenger", "Post"]
