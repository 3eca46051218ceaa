"""The supervisor's look at defense mode after each session."""

import asyncio
from pathlib import Path

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.identity import SessionId
from tbot_bot.journal.store import Journal
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.runtime.defense_mode import DefenseRoom, review
from tbot_bot.runtime.session_progress import progress_of
from tbot_bot.runtime.supervisor_voice import Voice


async def judge_defense(
    session: SessionId, *, bot: BotSettings, records: OutputPaths, journal: Journal, control: Path, voice: Voice
) -> None:
    """Judge defense mode by what the session left: whoever looks shall know it before the next one."""
    words: list[tuple[str, str]] = []
    room = DefenseRoom(
        bot=bot, records=records, journal=journal, control=control, warn=lambda title, text: words.append((title, text))
    )
    try:
        ended_at = progress_of(journal, session).ended_at
        if ended_at is not None:
            await asyncio.to_thread(review, room, session, at=ended_at)
    except (TbotError, ValueError) as error:  # ValueError: a row of a newer version, a day outside the calendar
        voice.tell(f"defense mode was not judged: {error}")
    for title, text in words:
        voice.alert(title, text)


__all__ = ["judge_defense"]
