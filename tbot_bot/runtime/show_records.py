"""Bring the files for people up to date with the journal, from outside a session."""

from tbot_bot.config.settings import load_settings
from tbot_bot.core.identity import Mode
from tbot_bot.journal.store import open_reader
from tbot_bot.reporting.facts import Level, LogFormat
from tbot_bot.reporting.projector import rebuild
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.runner_arguments import RunnerArguments


def show_records(request: RunnerArguments, mode: Mode) -> None:
    """Write every file of `mode` anew, as the settings of a runner with these arguments want it.

    Raises:
        ConfigError, JournalError, RecordsError: what stands in the way.
    """
    bot = load_settings(request.home, dict(request.overrides), defaults_if_absent=True).bot
    test_mode = request.rehearsal or bot.test_mode
    records = records_for(request.home, mode, test_mode=test_mode, force_paper_export=bot.force_paper_export)
    with open_reader(records.journal) as journal:
        rebuild(journal, records, LogFormat(bot.log_format.value), Level(bot.debug_log_level.value))
