"""What the supervisor has done about backups: a process of its own, which may be killed at any step.

After a day: a backup, its copies, the retention. Each morning: a backup if the last one is old, copies that are
missing, and once a week the restore drill.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.instants import SECOND, Duration

if TYPE_CHECKING:
    from tbot_bot.config.settings import Settings
    from tbot_bot.reporting.auto_backup import BackupRoom

AFTER_DAY: Final = "after-day"
UPKEEP: Final = "upkeep"
HOUR_UTC: Final = 6
MINUTE_UTC: Final = 40
"""After New York's day and its reports, hours before the next bell and before the timer's check."""
BACKUP_EVERY: Final = Duration(20 * 3_600 * SECOND)
"""Younger than this, the last backup is that of the day which has ended."""
DRILL_EVERY: Final = Duration(6 * 86_400 * SECOND + 43_200 * SECOND)
"""A week, less what a morning's job may begin earlier than the one before."""


def command(home: Path, job: str) -> Sequence[str]:
    """Return what the supervisor starts; the child reads the settings of `home` by itself."""
    return (sys.executable, "-m", "tbot_bot.runtime.backup_job", str(home), job)


def wanted(settings: "Settings") -> bool:
    """Return whether backups can be made: there is a key to seal them with."""
    return bool(settings.env.encryption_key.get_secret_value())


def room_at(settings: "Settings") -> "BackupRoom":
    """Return the room of the records that these settings write.

    Raises:
        ConfigError: what the settings say of remotes or keys cannot be.
    """
    from tbot_bot.core.identity import Mode  # noqa: PLC0415 - the supervisor needs only the names above
    from tbot_bot.reporting.auto_backup import room_of  # noqa: PLC0415
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415

    bot = settings.bot
    records = records_for(settings.home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export)
    return room_of(settings, records, wall_now)


def do(room: "BackupRoom", job: str) -> tuple[list[str], list[str]]:
    """Do one job; return what was done and what failed, in words. One failure does not keep the rest from being done.

    Raises:
        OSError: something that none of the steps expects.
    """
    from tbot_bot.reporting.auto_backup import look_through, make_backup, newest_good, replicate  # noqa: PLC0415
    from tbot_bot.reporting.backup_drill import drill, drill_is_due  # noqa: PLC0415
    from tbot_bot.runtime.clock import monotonic_seconds  # noqa: PLC0415

    done: list[str] = []
    failed: list[str] = []
    try:
        look_through(room)
        newest = newest_good(room)
        if job == AFTER_DAY or newest is None or room.now() - newest.name.made_at > BACKUP_EVERY:
            made = make_backup(room)
            done.append(f"{made.name}: {made.bytes} bytes, read back")
    except TbotError as error:
        failed.append(str(error))
    try:
        copied = replicate(room)
        done += [f"copied: {words}" for words in copied.sent]
        done += [f"out of the retention: {words}" for words in copied.removed]
        failed += [f"not copied: {words}" for words in copied.failures]
    except TbotError as error:
        failed.append(str(error))
    if job == UPKEEP and drill_is_due(room, DRILL_EVERY):
        try:
            held = drill(room, monotonic_seconds)
        except TbotError as error:
            failed.append(f"no restore drill: {error}")
        else:
            (done if held.ok else failed).append(str(held))
    return done, failed


def main(home: Path, job: str) -> int:
    """Do one job and say on stdout what came of it; the exit status is that of the command line."""
    from tbot_bot.config.settings import load_settings  # noqa: PLC0415
    from tbot_bot.runtime.cli_output import DONE, FAILED, status_of  # noqa: PLC0415
    from tbot_bot.runtime.last_resort import scrubbed_output  # noqa: PLC0415

    with scrubbed_output():
        try:
            done, failed = do(room_at(load_settings(home, {}, defaults_if_absent=True)), job)
        except TbotError as error:
            sys.stdout.write(f"{error}\n")
            return status_of(error)
        sys.stdout.write("".join(f"{line}\n" for line in (failed or done)))
        return FAILED if failed else DONE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))


__all__ = ["AFTER_DAY", "HOUR_UTC", "MINUTE_UTC", "UPKEEP", "command", "do", "main", "room_at", "wanted"]
