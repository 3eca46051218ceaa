"""A start that failed on its settings, on record: a seal that does not open, a variable that is missing.

Which mode the bot should have run in is then not known, so the record is a paper one: live records are only
ever written by a bot that knows that it is live.
"""

from pathlib import Path

from tbot_bot.config.error_handler import ConfigError, TbotError
from tbot_bot.core.identity import Mode
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.atomic import append_lines
from tbot_bot.reporting.noted import ErrorRaised
from tbot_bot.reporting.report_router import records_for
from tbot_bot.reporting.unresolved import UnresolvedOrders, line_of
from tbot_bot.runtime.clock import wall_now


def record_failure(home: Path, error: ConfigError) -> str:
    """Put what belongs on record of `error` into journal and log; return why that failed, empty where it did not."""
    found = [problem for problem in error.problems if problem.on_record]
    if not found:
        return ""
    now = wall_now()
    records = records_for(home, Mode.LIVE, test_mode=True)
    raised = [ErrorRaised.of(ConfigError([problem]), at=now) for problem in found]
    follower = UnresolvedOrders(None)
    lines = b"".join(line_of(line) for item in raised for line in follower.feed(item))
    try:
        with Journal.open(records.journal, records.mode) as journal:
            journal.append([Entry.of(item, kind=Kind.ERROR, at=now, recorded_at=now) for item in raised])
        append_lines(records.unresolved_log, lines)
    except TbotError as second:
        return str(second)
    return ""
