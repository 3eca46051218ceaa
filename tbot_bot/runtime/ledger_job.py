"""What the supervisor has done about the books at a day's end: a process of its own, which may be killed at any step.

Booking writes all or nothing, so whatever is cut off is made up by the next day's end, or by `tbot ledger book`.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.config.choices import LedgerExportMode
from tbot_bot.core.identity import Mode

if TYPE_CHECKING:
    from tbot_bot.config.settings import Settings
    from tbot_bot.reporting.report_router import OutputPaths

SECONDS_MAX: Final = 300.0
"""Real time after which a booking is given up: nothing of it is written then."""
_TEXT_MAX: Final = 2_000


def command(home: Path, mode: Mode) -> Sequence[str]:
    """Return what the supervisor starts."""
    return (sys.executable, "-m", "tbot_bot.runtime.ledger_job", "--home", str(home), "--mode", mode.value)


async def book_day(
    settings: "Settings", records: "OutputPaths", log: FilteringBoundLogger, tell: Callable[[str], None]
) -> None:
    """Have a process book what the journal has; `tell` reaches people where it failed. Raises nothing."""
    if settings.bot.ledger_export_mode is LedgerExportMode.OFF:
        return
    nothing = asyncio.subprocess.DEVNULL
    words = command(records.home, records.mode)
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=records.home,
            stdin=nothing,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        tell(f"the ledger was not booked: {error}")
        return
    try:
        told, _ = await asyncio.wait_for(process.communicate(), SECONDS_MAX)
    except TimeoutError:
        process.kill()
        await process.wait()
        tell(f"the ledger was not booked within {SECONDS_MAX:.0f} s; `tbot ledger book` does it")
        return
    except asyncio.CancelledError:
        process.kill()
        raise
    text = told.decode(errors="replace").strip()[-_TEXT_MAX:]
    log.info("ledger_job", status=process.returncode, told=text)
    if process.returncode:
        tell(f"the ledger was not booked: {text or f'status {process.returncode}'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Book, and say on stdout what came of it; the exit status is that of the command line."""
    from tbot_bot.config.error_handler import TbotError  # noqa: PLC0415 - the supervisor needs only the names above
    from tbot_bot.config.settings import load_settings  # noqa: PLC0415
    from tbot_bot.runtime import ledger_desk, ledger_export  # noqa: PLC0415
    from tbot_bot.runtime.cli_output import DONE, status_of  # noqa: PLC0415
    from tbot_bot.runtime.last_resort import scrubbed_output  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m tbot_bot.runtime.ledger_job", allow_abbrev=False)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--mode", type=Mode, required=True)
    asked = parser.parse_args(argv)
    with scrubbed_output(stdout=True):
        try:
            settings = load_settings(asked.home, {}, defaults_if_absent=True)
            books = ledger_desk.books_of(asked.home, asked.mode, settings)
            done = ledger_desk.book_now(books)
        except TbotError as error:
            sys.stdout.write(f"{error}\n")
            return status_of(error)
        for one in done.not_booked:
            sys.stdout.write(f"not booked: row {one.journal_seq} ({one.session or 'no session'}): {one.why}\n")
        sys.stdout.write(f"{done.entries} entries booked, up to journal row {done.journal_seq}\n")
        try:
            ledger_export.write_after_day(books)
        except TbotError as error:  # the books are whole, and the next day's end writes the file again
            sys.stdout.write(f"no {ledger_export.manager_path(books).name}: {error}\n")
    return DONE


__all__ = ["book_day", "command", "main"]

if __name__ == "__main__":
    sys.exit(main())
