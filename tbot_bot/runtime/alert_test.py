"""Alerts without a bot: a test message to every channel, and the outbox sent once."""

import asyncio
from dataclasses import dataclass

from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.config.settings import Settings
from tbot_bot.core.instants import Instant, iso
from tbot_bot.journal.store import Journal
from tbot_bot.reporting.alert_senders import Channel, ChannelFailed, Channels, Letter, ping
from tbot_bot.reporting.outbox import Delivery
from tbot_bot.reporting.process_log import process_log
from tbot_bot.runtime.alert_keeper import ALERTS_LOCK, wanted
from tbot_bot.runtime.alert_process import post_of, records_of
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.locks import Lock
from tbot_bot.runtime.messenger import Messenger


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one channel said."""

    channel: str
    problem: str
    """Empty where the message was taken."""
    seconds: float


async def answers(channels: Channels, now: Instant) -> tuple[Answer, ...]:
    """Send a test message to each of `channels` and visit the dead-man addresses, all at once."""
    letter = Letter(
        id=f"test-{now}",
        subject="[TradeBot] a test message",
        text=f"This is a test of the alerts, sent {iso(now)} by `tbot alerts test`. Nothing has happened.",
        images={},
    )
    sent = [_sent(channel, letter) for channel in channels.senders]
    visited = [_visited(f"dead-man {number}", url) for number, url in enumerate(channels.pings, start=1)]
    return tuple(await asyncio.gather(*sent, *visited))


async def _sent(channel: Channel, letter: Letter) -> Answer:
    began, problem = monotonic_seconds(), ""
    try:
        await channel.send(letter)
    except ChannelFailed as failed:
        problem = str(failed)
    return Answer(channel=channel.name, problem=problem, seconds=monotonic_seconds() - began)


async def _visited(name: str, url: str) -> Answer:
    began, problem = monotonic_seconds(), ""
    try:
        await ping(url)
    except ChannelFailed as failed:
        problem = str(failed)
    return Answer(channel=name, problem=problem, seconds=monotonic_seconds() - began)


async def send_now(settings: Settings) -> tuple[Delivery, ...]:
    """Queue what has not been told, send what is due, and return what still waits.

    Raises:
        ConfigError: there is nowhere to send to, or nothing is sent in test mode.
        AlreadyRunning: a bot's own messenger is at work.
        JournalError: the journal cannot be opened.
    """
    if not wanted(settings):
        expected = "somewhere to send to, and ALERTS_IN_TEST_MODE=true in test mode"
        raise ConfigError([ConfigProblem(file="settings", expected=expected, mend="See docs/alerts.md.")])
    records = records_of(settings.home, settings)
    with (
        Lock(settings.home / settings.env.control_dir / ALERTS_LOCK),
        Journal.open(records.journal, records.mode) as journal,
        process_log(records, "alerts", wall_now, retention_days=settings.bot.log_retention_days) as log,
    ):
        messenger = Messenger(post=post_of(settings, journal, log))
        await messenger.drain(asyncio.Event())
        return tuple(messenger.outbox.waiting())


__all__ = ["Answer", "answers", "send_now"]
