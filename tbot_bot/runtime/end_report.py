"""The end report of a day, read from the journal; a process of its own, so that the supervisor stays small.

Reads only: the files for people belong to the process that runs the sessions.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import date
from itertools import chain
from pathlib import Path

from tbot_bot.config.error_handler import JournalError, TbotError
from tbot_bot.core.calendar import why_closed
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.journal.store import JournalReader, open_reader
from tbot_bot.reporting.daily_summary import summary_of
from tbot_bot.reporting.day_report import DayReport, day_report_of
from tbot_bot.reporting.day_view import plain_text, render
from tbot_bot.reporting.projector import item_of
from tbot_bot.reporting.range_report import RangeReport, range_report_of
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.reporting.story import Stories
from tbot_bot.runtime.cli_output import complain, console, status_of, stdout_is_terminal
from tbot_bot.runtime.ledger_desk import books_of, closing_lines


class NothingRan(JournalError):
    """The journal holds no session of the day asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the end report and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tbot_bot.runtime.end_report", allow_abbrev=False)
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
    tell_books(asked.home, asked.mode)
    return 0


def tell_books(home: Path, mode: Mode) -> None:
    """Print where the books are and whether they balance."""
    for line in closing_lines(books_of(home, mode)):
        sys.stdout.write(f" {line}\n")
    sys.stdout.flush()


def day_report(home: Path, day: date, mode: Mode, *, took_seconds: float | None = None) -> DayReport:
    """Return the report of `day` from the journal of `mode`, without writing anything.

    Raises:
        NothingRan: no session of that day is in the journal, or there is no journal.
        JournalError: it cannot be read.
    """
    records = _records(home, mode, day.isoformat())
    with open_reader(records.journal) as journal:
        stories = _stories(journal, day)
    if stories is None:
        why = why_closed(day)
        reason = f": {day.isoformat()} is no trading day, {why}" if why else ""
        raise NothingRan(
            f"no sessions of {day.isoformat()} in the {mode} journal{reason}",
            where=str(records.journal),
            mend="tbot journal tail shows which days it holds.",
        )
    return day_report_of(stories, day, files=records.for_people(), took_seconds=took_seconds)


def report_of_range(
    home: Path, first: date, last: date, mode: Mode, progress: Callable[[int, str], None] = lambda _, __: None
) -> RangeReport:
    """Return the report of the days from `first` to `last` from the journal of `mode`, without writing anything.

    `progress` hears how many days were read, and which one is next. Days are read one by one: the journal holds years.

    Raises:
        NothingRan: no session of those days is in the journal, or there is no journal.
        JournalError: it cannot be read.
    """
    span = f"{first.isoformat()} to {last.isoformat()}"
    records = _records(home, mode, span)
    summaries = []
    with open_reader(records.journal) as journal:
        days = sorted({SessionId.parse(name).day for name in journal.sessions()})
        for done, day in enumerate(day for day in days if first <= day <= last):
            progress(done, day.isoformat())
            stories = _stories(journal, day)
            if stories is not None:
                summaries.append(summary_of(stories, day))
    if not summaries:
        held = f"It holds {days[0].isoformat()} to {days[-1].isoformat()}." if days else "It holds no session at all."
        raise NothingRan(f"no sessions of {span} in the {mode} journal", where=str(records.journal), mend=held)
    return range_report_of(first, last, mode, summaries)


def _records(home: Path, mode: Mode, wanted: str) -> OutputPaths:
    records = records_for(home, mode, test_mode=False)
    if not records.journal.exists():
        raise NothingRan(
            f"no sessions of {wanted} in the {mode} journal: there is no such journal yet",
            where=str(records.journal),
            mend="tbot run --rehearsal --once makes one.",
        )
    return records


def _stories(journal: JournalReader, day: date) -> Stories | None:
    """Return what the sessions of `day` came to; None where there are none."""
    names = journal.sessions_of(day)
    # a session at a time: the journal holds years, and its index finds a session at once
    rows = sorted(chain.from_iterable(journal.rows(session=name) for name in names), key=lambda row: row.seq)
    stories = Stories(journal.mode)
    for row in rows:
        item = item_of(row)
        if item is not None:
            stories.feed(SessionId.parse(row.session), item)
    return stories if names else None


def show(report: DayReport, *, terminal: bool) -> None:
    """Print `report`: styled for a terminal, plain for everything else."""
    if terminal:
        console().print(render(report))
    else:
        sys.stdout.write(plain_text(report))
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
