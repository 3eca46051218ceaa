"""The messenger's program: takes the settings over from whoever starts it, and sends until nobody is left.

Exit status: 0 done or ended by SIGTERM, 2 settings, 4 another one sends already.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.settings import Settings, taken_over
from tbot_bot.core.commands import Severity
from tbot_bot.core.identity import Mode
from tbot_bot.journal.store import Journal, open_reader
from tbot_bot.reporting.alert_senders import Letter, channels_of
from tbot_bot.reporting.process_log import process_log
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.reporting.status_logger import BotState, read_status
from tbot_bot.runtime.alert_keeper import ALERTS_LOCK, wanted
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.day_letter import day_letter
from tbot_bot.runtime.guard_signs import life_signs
from tbot_bot.runtime.heartbeat import SILENCE_MAX
from tbot_bot.runtime.last_resort import scrubbed_output
from tbot_bot.runtime.locks import RUNNER_LOCK, SUPERVISOR_LOCK, AlreadyRunning, Lock, holder
from tbot_bot.runtime.messenger import Messenger, Post
from tbot_bot.trading.notifier_bot import Topic, Wishes

GRACE_SECONDS: Final = 20.0
"""A supervisor that died has this long to be started again before anybody is told."""
_RUNNING: Final = 4


def records_of(home: Path, settings: Settings) -> OutputPaths:
    """Return the paths of the records that a bot with `settings` writes."""
    bot = settings.bot
    return records_for(home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export)


def post_of(settings: Settings, journal: Journal, log: FilteringBoundLogger) -> Post:
    """Return what a messenger works with under `settings`."""
    home, bot = settings.home, settings.bot

    async def summary(day: str) -> Letter:
        return await asyncio.to_thread(_summary, settings, journal.path, day)

    return Post(
        journal=journal,
        channels=channels_of(settings.env),
        wishes=Wishes(fills=bot.notify_on_fill, exits=bot.notify_on_exit),
        log=log,
        summary=summary,
        is_well=partial(is_well, home / settings.env.control_dir),
    )


def _summary(settings: Settings, journal: Path, day: str) -> Letter:
    with open_reader(journal) as reader:
        return day_letter(reader, settings.bot, date.fromisoformat(day))


def is_well(control: Path) -> bool:
    """Return whether the supervisor's loop turns and no runner is silent: what the dead-man addresses are told."""
    signs, now = life_signs(control), wall_now()
    fresh = bool(signs.supervisor) and now - signs.supervisor_at < SILENCE_MAX
    return fresh and (not signs.runner or now - signs.runner_at < SILENCE_MAX)


@dataclass(slots=True, kw_only=True)
class Company:
    """Who else is alive. A bot that said good-bye is over at once; one that did not is missed first."""

    home: Path
    control: Path
    messenger: Messenger
    grace: float = GRACE_SECONDS
    monotonic: Callable[[], float] = field(default=monotonic_seconds)
    _alone_since: float | None = None
    _missed: bool = False

    def is_over(self) -> bool:
        """Return whether nobody is left for whom to tell; say so where it should not be."""
        if holder(self.control / SUPERVISOR_LOCK) is not None:
            self._alone_since, self._missed = None, False
            return False
        now = self.monotonic()
        self._alone_since = now if self._alone_since is None else self._alone_since
        said = read_status(OutputPaths(home=self.home, mode=Mode.PAPER).status, wall_now()).status
        expected = said is not None and said.state in {BotState.SHUTDOWN, BotState.HALTED}
        if not expected and now - self._alone_since < self.grace:
            return False
        runner = holder(self.control / RUNNER_LOCK) is not None
        if not expected and not self._missed:
            self._missed = True
            goes_on = "A runner finishes its session by itself. " if runner else "No session runs. "
            self.messenger.say(
                Topic.WATCHDOG, Severity.CRITICAL, "the supervisor is gone",
                f"It ended without a word and was not started again within {self.grace:g} s. {goes_on}"
                "Look: tbot status; start it: tbot start",
            )  # fmt: skip
        return not runner


async def _run(home: Path, control: Path, messenger: Messenger) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    company = Company(home=home, control=control, messenger=messenger)
    await messenger.run(company.is_over, stop)


def main(argv: Sequence[str] | None = None) -> int:
    """Send alerts until the bot is over; the settings come on standard input."""
    parser = argparse.ArgumentParser(prog="python -m tbot_bot.runtime.alert_process", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="TBOT_HOME")
    home: Path = parser.parse_args(argv).home
    with scrubbed_output(stdout=True), ExitStack() as stack:
        try:
            settings = taken_over(home, sys.stdin.buffer.read())
            if not wanted(settings):
                return 0
            control = home / settings.env.control_dir
            stack.enter_context(Lock(control / ALERTS_LOCK))
            records = records_of(home, settings)
            journal = stack.enter_context(Journal.open(records.journal, records.mode))
            keep = settings.bot.log_retention_days
            log = stack.enter_context(process_log(records, "alerts", wall_now, retention_days=keep))
            post = post_of(settings, journal, log)
            log.info("start", channels=post.channels.names, missing=post.channels.missing)
            asyncio.run(_run(home, control, Messenger(post=post)))
            log.info("end")
        except AlreadyRunning:
            return _RUNNING
        except TbotError as error:
            sys.stderr.write(f"error: {error}\n")
            return 2 if error.code == "CONFIG" else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())


__all__ = ["GRACE_SECONDS", "Company", "is_well", "main", "post_of", "records_of"]
