"""A day's letter, put together: figures from the journal, the chart by its own process, the sessions to come."""

from collections.abc import Iterator
from datetime import date
from itertools import chain
from typing import Final

from tbot_bot import __version__
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.scrub import scrub
from tbot_bot.core.calendar import NotATradingDay, next_trading_day
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import to_datetime
from tbot_bot.journal.store import JournalReader
from tbot_bot.reporting.alert_senders import Letter
from tbot_bot.reporting.daily_summary import summary_of
from tbot_bot.reporting.day_chart import draw
from tbot_bot.reporting.day_mail import CHART, mail_of_day
from tbot_bot.reporting.day_report import day_report_of
from tbot_bot.reporting.equity import equity_of
from tbot_bot.reporting.projector import item_of
from tbot_bot.reporting.story import Stories
from tbot_bot.runtime.schedule import plan_day, schedule_rules

_DAYS_AHEAD: Final = 10
_SESSIONS_SHOWN: Final = 4


def day_letter(journal: JournalReader, bot: BotSettings, day: date) -> Letter:
    """Return the mail of `day` from the journal.

    Raises:
        JournalError: the journal is damaged.
    """
    names = journal.sessions_of(day)
    rows = sorted(chain.from_iterable(journal.rows(session=name) for name in names), key=lambda row: row.seq)
    stories = Stories(journal.mode)
    for row in rows:
        item = item_of(row)
        if item is not None:
            stories.feed(SessionId.parse(row.session), item)
    report, summary = day_report_of(stories, day), summary_of(stories, day)
    picture, why_not = draw(equity_of(journal, day))
    made = mail_of_day(
        report, summary, tuple(upcoming(bot, day)), chart=bool(picture), no_chart=why_not, version=__version__
    )
    return Letter(
        id=f"{journal.mode}-{day.isoformat()}",
        subject=scrub(made.subject),
        text=scrub(made.text),
        html=scrub(made.html),
        images={CHART: picture} if picture else {},
    )


def upcoming(bot: BotSettings, day: date) -> Iterator[str]:
    """Yield the next sessions after `day`, in words."""
    rules, found = schedule_rules(bot), 0
    for _ in range(_DAYS_AHEAD):
        try:
            day = next_trading_day(day)
        except (NotATradingDay, ValueError):  # the end of the calendar
            return
        for planned in plan_day(rules, day).due:
            if found >= _SESSIONS_SHOWN:
                return
            found += 1
            start = to_datetime(planned.windows.start)
            yield f"{planned.strategy} {start:%a %d %b} at {start:%H:%M} UTC"


__all__ = ["day_letter", "upcoming"]
