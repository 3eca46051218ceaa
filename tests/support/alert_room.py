"""A journal, a messenger over it, and channels that answer as they are told."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import structlog

from tbot_bot.core.commands import Decided, Output, TradeOpened
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.journal.alerts import AlertAsked, AlertQueued, AlertTried
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.started import ProcessStarted
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.alert_senders import Channel, Channels, Letter
from tbot_bot.reporting.outbox import outbox_rows
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.messenger import Messenger, Post
from tbot_bot.trading.notifier_bot import Desk, Pace, Wishes

DAY = date(2025, 12, 2)
QUICK = Pace(gather=Duration(0))


class Box:
    """A channel that keeps letters; `problem` is what it raises instead."""

    def __init__(self, name: str = "box") -> None:
        self.name = name
        self.letters: list[Letter] = []
        self.problem: Exception | None = None

    async def send(self, letter: Letter) -> None:
        """Keep `letter`, or raise."""
        if self.problem is not None:
            raise self.problem
        self.letters.append(letter)

    @property
    def subjects(self) -> list[str]:
        """Return what was taken."""
        return [letter.subject for letter in self.letters]


class AlertRoom:
    """One home's journal with a supervisor's start in it."""

    def __init__(self, home: Path) -> None:
        self.path = home / "output" / "journal" / "tbot_paper.sqlite3"
        self.journal = Journal.open(self.path, Mode.PAPER)
        now = wall_now()
        started = ProcessStarted(
            at=now, process="supervisor", version="1.0.0", code_fingerprint="c" * 64, settings_fingerprint="s"
        )
        self.journal.append([Entry.of(started, kind=Kind.START, at=now, recorded_at=now)])

    def messenger(self, *channels: Channel, wishes: Wishes | None = None, pace: Pace = QUICK) -> Messenger:
        """Return a new messenger, as a new process would have it."""

        async def summary(day: str) -> Letter:
            return Letter(id="", subject="+1.00 USD", text=f"the day {day}", html="<p>day</p>", images={"equity": b"x"})

        post = Post(
            journal=self.journal, channels=Channels(senders=channels, pings=(), missing=()), wishes=wishes or Wishes(),
            log=structlog.testing.CapturingLogger(), summary=summary, is_well=lambda: True,
        )  # fmt: skip
        return Messenger(post=post, desk=Desk(pace=pace))

    def ask(self, *titles: str, severity: str = "warning", at: Instant | None = None) -> None:
        """Append one request for an alert for each of `titles`, in one transaction."""
        now = wall_now() if at is None else at
        self.append(
            [AlertAsked(at=now, topic="backup", severity=severity, title=title, text="why") for title in titles], now
        )

    def append(self, records: Sequence[object], now: Instant | None = None, kind: Kind = Kind.NOTE) -> None:
        """Append rows."""
        at = wall_now() if now is None else now
        self.journal.append([Entry.of(record, kind=kind, at=at, recorded_at=at) for record in records])

    def decide(self, *outputs: Output) -> None:
        """Append an engine's answer."""
        decided = Decided(number=1, at=wall_now(), tape_digest="", outputs=outputs)
        at = wall_now()
        self.journal.append(
            [Entry.of(decided, kind=Kind.COMMAND, at=at, recorded_at=at, session=f"{DAY}/open", input_number=1)]
        )

    def rows(self) -> list[AlertQueued | AlertTried]:
        """Return the outbox's rows."""
        return list(outbox_rows(self.journal))


def opened(trade: str = "20251202-open-sim-AAA") -> TradeOpened:
    """Return a fill."""
    return TradeOpened(at=wall_now(), trade_id=trade, price=Decimal("51.60"), quantity=Decimal(10))


async def deliver(messenger: Messenger, until: Callable[[], bool] | None = None) -> None:
    """Look, and send to each channel what is due now."""
    messenger.look()
    for _ in range(200):
        tried = [await messenger.send_next(channel) for channel in messenger.post.channels.senders]
        if not any(tried) or (until is not None and until()):
            return
        await asyncio.sleep(0)
