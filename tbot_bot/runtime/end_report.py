"""The end report of a day, read from the journal; a process of its own, so that the supervisor stays small.

Reads only: the files for people belong to the process that runs the sessions.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import JournalError, TbotError
from tbot_bot.config.settings import load_settings
from tbot_bot.core.calendar import exchange_time, why_closed
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.journal.store import open_reader
from tbot_bot.reporting.day_report import DayReport, day_report_of
from tbot_bot.reporting.day_view import plain_text, render
from tbot_bot.reporting.projector import item_of
from tbot_bot.reporting.report_router import records_for
from tbot_bot.reporting.story import Stories
from tbot_bot.runtime.cli_output import complain, console, status_of, stdout_is_terminal
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.requests import REHEARSAL_DAY, RunRequest

MODULE: Final = "tbot_bot.runtime.end_report"


class NothingRan(JournalError):
    """The journal holds no session of the day asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the end report and return the exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", allow_abbrev=False)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--day", type=date.fromisoformat, required=True)
    parser.add_argument("--mode", type=Mode, required=True)
    parser.add_argument("--run-seconds", type=float)
    asked = parser.parse_args(argv)
    try:
        report = day_report(asked.home, asked.day, asked.mode, took_seconds=asked.run_seconds)
    except NothingRan as nothing:
        sys.stdout.write(f"{nothing.what}\n")  # a day without trading ends well
        return 0
    except TbotError as error:
        complain(error)
        return status_of(error)
    show(report, terminal=stdout_is_terminal())
    return 0


def day_report(home: Path, day: date, mode: Mode, *, took_seconds: float | None = None) -> DayReport:
    """Return the end report of `day` from the journal of `mode`; nothing is written.

    Raises:
        NothingRan: no session of that day was run.
        JournalError: there is no journal, or it cannot be read.
    """
    records = records_for(home, mode, test_mode=False)
    with open_reader(records.journal) as journal:
        if not journal.sessions_of(day):
            reason = why_closed(day)
            detail = f": it is no trading day ({reason})" if reason else ""
            raise NothingRan(f"no session of {day.isoformat()} in the journal{detail}", where=str(records.journal))
        stories = Stories(records.mode)
        for row in journal.rows():
            item = item_of(row)
            if item is not None and row.session:
                stories.feed(SessionId.parse(row.session), item)
    return day_report_of(stories, day, files=records.for_people(), took_seconds=took_seconds)


def show(report: DayReport, *, terminal: bool) -> None:
    """Print `report`: styled on a terminal, plain elsewhere."""
    if terminal:
        console().print(render(report))
    else:
        sys.stdout.write(plain_text(report))


def print_after(request: RunRequest, seconds: float) -> None:
    """Print the report of the day that a run was about, in a process of its own."""
    today = exchange_time(wall_now()).date()
    day = request.day or (REHEARSAL_DAY if request.rehearsal else today)
    settings = load_settings(request.home, dict(request.overrides), defaults_if_absent=True).bot
    records = records_for(
        request.home, Mode.LIVE, test_mode=settings.test_mode, force_paper_export=settings.force_paper_export
    )
    command = [sys.executable, "-m", MODULE, "--home", str(request.home), "--day", day.isoformat()]
    command += ["--mode", records.mode.value, "--run-seconds", f"{seconds:.1f}"]
    subprocess.run(command, check=False)  # noqa: S603 - our own module


if __name__ == "__main__":
    sys.exit(main())
