"""Tells of one thing where no bot is there to tell: a start that was refused, a kill switch pulled on a dead bot.

A short process of its own, since whoever starts it imports nothing that sends. What to tell comes on standard input, as
JSON of `said`. It goes through the journal's outbox like any other, so the same is not told twice in half an hour, and
what cannot be sent now waits; only where the journal cannot be used it is sent without one, once. Settings are read
leniently: whatever is wrong with them, those that say where to send may be sound.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.scrub import scrub
from tbot_bot.config.settings import Settings, salvaged_settings
from tbot_bot.core.identity import Mode
from tbot_bot.journal.alerts import AlertAsked
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.engaged import engaged_in
from tbot_bot.journal.store import Entry, Journal, journal_path
from tbot_bot.reporting.alert_senders import Channel, ChannelFailed, Letter, channels_of
from tbot_bot.reporting.process_log import process_log
from tbot_bot.runtime.alert_keeper import ALERTS_LOCK, wanted
from tbot_bot.runtime.alert_process import post_of, records_of
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.last_resort import scrubbed_output
from tbot_bot.runtime.locks import AlreadyRunning, Lock
from tbot_bot.runtime.messenger import Messenger
from tbot_bot.trading.notifier_bot import Topic

_TEXT_MAX: Final = 4000


def settings_to_tell_by(home: Path) -> Settings | None:
    """Return the settings, None where nobody is to be told.

    Where the mode cannot be read, an installation that has traded live is told of, any other not.
    """
    found = salvaged_settings(home)
    if wanted(found.settings):
        return found.settings
    mode_is_known = found.knows("TEST_MODE") and found.knows("ALERTS_IN_TEST_MODE")
    has_traded = journal_path(home / "output" / "journal", Mode.LIVE).exists()
    return found.settings if not mode_is_known and has_traded else None


def tell(settings: Settings, asked: AlertAsked) -> None:
    """Queue and send `asked`, and what else waits."""
    records = records_of(settings.home, settings)
    control = settings.home / settings.env.control_dir
    with ExitStack() as stack:
        try:
            journal = stack.enter_context(Journal.open(records.journal, records.mode))
            if asked.topic != Topic.KILL or engaged_in(journal) is None:  # its own row tells of that
                journal.append([Entry.of(asked, kind=Kind.NOTE, at=asked.at, recorded_at=asked.at)])
            stack.enter_context(Lock(control / ALERTS_LOCK))
            keep = settings.bot.log_retention_days
            log = stack.enter_context(process_log(records, "alerts", wall_now, retention_days=keep))
            messenger = Messenger(post=post_of(settings, journal, log))
            asyncio.run(messenger.drain(asyncio.Event()))
        except AlreadyRunning:
            return  # a bot's own messenger reads the row
        except (TbotError, OSError) as error:
            sys.stderr.write(f"the alert is sent without the journal: {error}\n")
            asyncio.run(_send_plainly(channels_of(settings.env).senders, asked))


async def _send_plainly(channels: Sequence[Channel], asked: AlertAsked) -> None:
    letter = Letter(
        id=f"plain-{asked.at}",
        subject=scrub(f"[TradeBot] {asked.severity.upper()}: {asked.title}"),
        text=scrub(asked.text),
        images={},
    )
    for channel in channels:
        try:
            await channel.send(letter)
        except ChannelFailed as failed:
            sys.stderr.write(scrub(f"{channel.name}: {failed}\n"))


def main(argv: Sequence[str] | None = None) -> int:
    """Tell what standard input says."""
    parser = argparse.ArgumentParser(prog="python -m tbot_bot.runtime.alert_once", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="TBOT_HOME")
    home: Path = parser.parse_args(argv).home
    with scrubbed_output(stdout=True):
        try:
            settings = settings_to_tell_by(home)
            said: dict[str, str] = json.loads(sys.stdin.read())
            if settings is not None:
                asked = AlertAsked(
                    at=wall_now(), topic=said["topic"], severity=said["severity"], title=scrub(said["title"]),
                    text=scrub(said["text"][:_TEXT_MAX]),
                )  # fmt: skip
                tell(settings, asked)
        except TbotError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())


__all__ = ["main", "settings_to_tell_by", "tell"]
