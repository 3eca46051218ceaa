"""The supervisor's hand on backups: starts the job's process, waits for none, and reports what failed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.config.error_handler import Severity, TbotError
from tbot_bot.runtime import backup_job

_TEXT_MAX: Final = 2_000


class BackupFailed(TbotError):
    """A backup, a copy or a restore drill failed. Trading goes on; a person has to look at it."""

    code = "BACKUP"
    severity = Severity.ERROR


class BackupKeeper:
    """One job at a time; all methods belong to the supervisor's loop."""

    def __init__(self, home: Path, log: FilteringBoundLogger, fail: Callable[[str, BaseException], None]) -> None:
        """`fail` journals an error and alerts."""
        self._home, self._log, self._fail = home, log, fail
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._closing = False

    async def run(self, job: str) -> None:
        """Have a process do the job, and see what comes of it."""
        async with self._turn:
            if not self._closing:
                await self._run(job)

    def hurry(self) -> None:
        """End what is under way, since the bot has to stop; what is cut off leaves nothing half, and is made up."""
        self._closing = True
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def _run(self, job: str) -> None:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            self._process = await asyncio.create_subprocess_exec(
                *backup_job.command(self._home, job),
                cwd=self._home, stdin=nothing, stdout=pipe, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            if self._closing:
                self._process.terminate()
            told, _ = await self._process.communicate()
            status = self._process.returncode
        except OSError as error:
            self._fail("backup", error)
            return
        finally:
            self._process = None
        text = told.decode(errors="replace").strip()[-_TEXT_MAX:]
        self._log.info("backup_job", job=job, status=status, told=text)
        if status and not self._closing:
            mend = "`tbot backup create` and `tbot backup drill` show it again; see docs/backups.md."
            self._fail("backup", BackupFailed(text or f"{job} ended with status {status}", where="backup", mend=mend))


__all__ = ["BackupFailed", "BackupKeeper"]
