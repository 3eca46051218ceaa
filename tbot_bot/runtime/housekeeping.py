"""What a supervisor does beside supervising: logs, disk, metrics where asked, the nightly fundamentals, backups.

Nothing here is critical: what fails is told and journaled, and trading goes on.
"""

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apscheduler.schedulers.base import BaseScheduler
from structlog.typing import FilteringBoundLogger

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.settings import Settings
from tbot_bot.journal.alerts import DayOver
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal, JournalReader
from tbot_bot.reporting.log_rotation import rotate_logs
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.runtime import backup_job, fundamentals_job, ledger_job, reconciliation_job
from tbot_bot.runtime.alert_keeper import LOOK_SECONDS as ALERTS_LOOK_SECONDS
from tbot_bot.runtime.alert_keeper import AlertKeeper
from tbot_bot.runtime.backup_keeper import BackupKeeper
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.fingerprint import code_fingerprint
from tbot_bot.runtime.last_resort import watched
from tbot_bot.runtime.supervisor_facts import FactBook

if TYPE_CHECKING:
    from tbot_bot.runtime.metrics_server import MetricsServer

FREE_BYTES_LOW: Final = 1_000_000_000
"""Below this a person is told; a start needs `build_check.FREE_BYTES_MIN`."""
DISK_EVERY_MINUTES: Final = 15
_MEGABYTE: Final = 1_000_000
_TEXT_MAX: Final = 1_000


class Housekeeping:
    """The supervisor's jobs; all methods belong to its loop."""

    def __init__(
        self,
        *,
        bot: BotSettings,
        records: OutputPaths,
        control: Path,
        log: FilteringBoundLogger,
        tell: Callable[[str], None],
        fail: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        """`tell` reaches people and the journal; so does `fail`, as an error that alerts."""
        self._bot, self._records, self._control = bot, records, control
        self._log, self._tell = log, tell
        self._metrics: MetricsServer | None = None
        self._disk_was_low = False
        self._complaint = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._refresh: asyncio.subprocess.Process | None = None
        self._refresh_complaint = ""
        self._fail: Final = fail or self._report
        self._backups: Final = BackupKeeper(records.home, log, self._fail)
        self._backs_up = False
        self.book: Final = FactBook()
        output = records.process_logs / "alerts.out"
        self.alerts: Final = AlertKeeper(home=records.home, control=control, output=output, log=log, tell=self._say)

    def start(self, scheduler: BaseScheduler, settings: Settings | None = None) -> None:
        """Serve the metrics, and have the jobs done now and in time; by `settings` also the fundamentals."""
        self._serve()
        self._begin(self.rotate())
        self._begin(self.look_at_disk())
        scheduler.add_job(self._rotate_in_time, "cron", (True,), hour=0, minute=5)
        scheduler.add_job(self._rotate_in_time, "cron", (False,), hour="1-23", minute=5)
        scheduler.add_job(self._look_in_time, "interval", minutes=DISK_EVERY_MINUTES)
        if settings is not None:
            self.alerts.renew(settings)
            scheduler.add_job(self._keep_alerts_in_time, "interval", seconds=ALERTS_LOOK_SECONDS)
        if settings is not None and fundamentals_job.wanted_nightly(settings):
            self._begin(self.refresh_fundamentals())  # what an earlier night has left undone
            at = {"hour": fundamentals_job.HOURS_UTC, "minute": fundamentals_job.MINUTE_UTC}
            scheduler.add_job(self._refresh_in_time, "cron", **at)
        if settings is not None and backup_job.wanted(settings):
            self._backs_up = True
            at = {"hour": backup_job.HOUR_UTC, "minute": backup_job.MINUTE_UTC}
            scheduler.add_job(self._keep_backups_in_time, "cron", **at)
        elif settings is not None and not settings.bot.test_mode:
            self._say("no backups are made: there is no ENCRYPTION_KEY to seal them with; see docs/backups.md")

    async def close(self, *, hurried: bool = False) -> None:
        """Let the jobs end, and serve no longer; a refresh goes on next time, and `hurried` a backup too."""
        self._closing = True
        if hurried:
            self._backups.hurry()
        if self._refresh is not None and self._refresh.returncode is None:
            self._refresh.terminate()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None

    def _begin(self, job: Coroutine[None, None, None]) -> None:
        """Do a job in a task of our own: the scheduler's shutdown would cut it off."""
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        watched(task, "housekeeping", self._report)

    def _report(self, where: str, error: BaseException) -> None:
        self._log.error(where, error=str(error), exc_info=error)
        self._say(f"{where} failed: {type(error).__name__}: {error}")

    async def _rotate_in_time(self, new_day: bool) -> None:  # noqa: FBT001 - the scheduler knows no names
        self._begin(self.rotate(new_day=new_day))

    async def _look_in_time(self) -> None:
        self._begin(self.look_at_disk())

    async def _refresh_in_time(self) -> None:
        if self._refresh is None:
            self._begin(self.refresh_fundamentals())

    async def _keep_alerts_in_time(self) -> None:
        self.alerts.look()

    async def refresh_fundamentals(self) -> None:
        """Have a process of its own refresh the fundamentals; people hear of a failure, once while it stays so."""
        words = fundamentals_job.command(self._records.home)
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            self._refresh = await asyncio.create_subprocess_exec(
                *words, cwd=self._records.home, stdin=nothing, stdout=pipe, stderr=asyncio.subprocess.STDOUT
            )
            if self._closing:
                self._refresh.terminate()
            told, _ = await self._refresh.communicate()
            status = self._refresh.returncode
        except OSError as error:
            self._say(f"the fundamentals could not be refreshed: {error}")
            return
        finally:
            self._refresh = None
        text = told.decode(errors="replace").strip()[-_TEXT_MAX:]
        self._log.info("fundamentals_refreshed", status=status, told=text)
        complaint = (text or f"the refresh of the fundamentals ended with status {status}") if status else ""
        if complaint and complaint != self._refresh_complaint and not self._closing:
            self._say(complaint)
        self._refresh_complaint = complaint

    async def rotate(self, *, new_day: bool = False) -> None:
        """Bring the logs in order; a failure is told once, as long as it stays the same."""
        logs = self._records.process_logs.parent
        days = self._bot.log_retention_days
        done = await asyncio.to_thread(rotate_logs, logs, wall_now(), retention_days=days, new_day=new_day)
        complaint = "; ".join(done.failures)
        if not complaint:
            self.book.logs_rotated()
        elif complaint != self._complaint:
            self._say(f"logs could not be rotated: {complaint}. Look at the rights and the room in {logs}")
        self._complaint = complaint
        if done.turned or done.packed or done.removed:
            self._log.info("logs_rotated", turned=done.turned, packed=done.packed, removed=done.removed)

    async def look_at_disk(self) -> None:
        """Tell when the disk gets low, and when it has room again."""
        try:
            free = shutil.disk_usage(self._records.home).free
        except OSError as error:
            self._log.error("disk_unknown", error=str(error))
            return
        low = free < FREE_BYTES_LOW
        if low is not self._disk_was_low:
            has, wanted = f"{free // _MEGABYTE} MB free", f"{FREE_BYTES_LOW // _MEGABYTE} MB"
            self._say(
                f"the disk is low: {has}, less than {wanted}. Make room: a full disk stops all entries"
                if low
                else f"the disk has room again: {has}"
            )
        self._disk_was_low = low

    async def _keep_backups_in_time(self) -> None:
        self._begin(self._backups.run(backup_job.UPKEEP))

    async def end_day(self, settings: Settings, journal: Journal, day: date) -> None:
        """Have `day` booked and compared with the brokers, tell what is to be told of it, and have it backed up."""
        await ledger_job.book_day(settings, self._records, self._log, self._say)
        await reconciliation_job.reconcile_after_day(settings, self._records, day, self._log, self._fail)
        await self.note_floats(settings, journal, day)
        self.note_day_over(journal, day)
        if self._backs_up:
            self._begin(self._backups.run(backup_job.AFTER_DAY))

    def note_day_over(self, journal: Journal, day: date) -> None:
        """Leave word that the day's summary can be told."""
        over = DayOver(at=wall_now(), day=day.isoformat())
        try:
            journal.append([Entry.of(over, kind=Kind.NOTE, at=over.at, recorded_at=over.at)])
        except TbotError as error:
            self._log.error("day_over_not_journaled", error=str(error))

    async def note_floats(self, settings: Settings, journal: JournalReader, day: date) -> None:
        """Tell the rebalance plan at the end of `day`, where that is a day on which floats are checked."""
        from tbot_bot.runtime.float_desk import plan_note  # noqa: PLC0415 - once a day

        try:
            note = await asyncio.to_thread(plan_note, settings, journal, day)
        except (TbotError, ValueError) as error:  # ValueError: a row of a newer version, a day outside the calendar
            note = f"no rebalance plan: {error}"
        if note:
            self._say(note)

    def _say(self, text: str) -> None:
        """Tell people; on a disk that is full the journal refuses, and that must not end the bot."""
        try:
            self._tell(text)
        except TbotError as error:
            self._log.error("not_told", text=text, error=str(error))

    def _serve(self) -> None:
        if not self._bot.metrics_port:
            return
        # with the libraries it needs: only for those who asked
        from tbot_bot.runtime.metrics import MetricSources  # noqa: PLC0415
        from tbot_bot.runtime.metrics_server import ADDRESS, MetricsServer  # noqa: PLC0415

        sources = MetricSources(
            home=self._records.home,
            control=self._control,
            records=self._records,
            book=self.book,
            code=code_fingerprint(),
        )
        try:
            self._metrics = MetricsServer.open(
                self._bot.metrics_port, sources, lambda text: self._log.error("metrics", error=text)
            )
        except TbotError as error:
            self._log.error("metrics", error=str(error))
            self._say(str(error))
            return
        self._log.info("metrics", address=f"{ADDRESS}:{self._metrics.port}")
