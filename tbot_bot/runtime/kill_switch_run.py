"""Start what carries out the kill switch, over which day and venues, and wait for it: for supervisor and command."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import JournalError
from tbot_bot.config.settings import salvaged_settings
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.codec import CodecError
from tbot_bot.core.identity import SessionId, StrategyName
from tbot_bot.journal.store import journal_path, open_reader
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.dead_man_run import one_run
from tbot_bot.runtime.heartbeat import read_beat
from tbot_bot.runtime.kill_switch import MODES
from tbot_bot.runtime.kill_switch_flag import ShutdownFlag
from tbot_bot.runtime.market_source import is_embedded
from tbot_bot.runtime.runner_arguments import RunnerArguments
from tbot_bot.runtime.session_brokers import session_brokers
from tbot_bot.runtime.session_progress import progress_of
from tbot_bot.runtime.supervisor_state import saved

PATH_MODULE: Final = "tbot_bot.runtime.kill_switch_path"
SECONDS_MAX: Final = 600.0
"""Real time for everything; simulated venues fill with the next bar, five minutes away at worst."""
STARTS_MAX: Final = 3
REPORT: Final = "REPORT "
_ANSWERED: Final = frozenset({0, 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """How it went."""

    done: bool
    words: str
    flag: ShutdownFlag | None = None
    """What the path told of itself; None where it did not come to that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Which venues can be reached, and what cannot be known of them."""

    arguments: RunnerArguments
    knows_market: bool = True
    remark: str = ""


def reach(home: Path, control: Path) -> Reach | None:
    """Return what there may be to close; None where no day was ever begun.

    The day in hand tells it. Where that cannot be read, the word that the last session at real brokers left does, then
    the venues' own books on disk: the newest ones; at last, where the settings name real brokers, today does.
    """
    hand = saved(control)
    if hand is not None:
        session = _session(home, control, hand.day, hand.run)
        return Reach(
            arguments=RunnerArguments(
                session=session,
                home=home,
                anchor=hand.anchor,
                speed=hand.speed,
                data=hand.data,
                vix=hand.vix,
                seed=hand.seed,
                rehearsal=hand.rehearsal,
            )
        )
    word = session_brokers(control)
    if word is not None:
        remark = f"the day in hand is not on record, so the last session at real brokers was taken: {word.session}"
        return Reach(arguments=word.request, knows_market=False, remark=remark)
    return _newest_books(home, control) or _today(home, control)


def _newest_books(home: Path, control: Path) -> Reach | None:
    try:
        folders = sorted((home / "output" / "venue").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    except OSError:
        return None
    for folder in reversed(folders):
        day, _, run = folder.name.partition("_")
        try:
            session = _session(home, control, date.fromisoformat(day), int(run))
        except ValueError:
            continue  # a folder of somebody else's
        remark = f"the day in hand is not on record, so the newest venue's books were taken: {folder.name}"
        return Reach(arguments=RunnerArguments(session=session, home=home), knows_market=False, remark=remark)
    return None


def _today(home: Path, control: Path) -> Reach | None:
    """Return today's sessions where the settings name real brokers, though nothing is on record of any."""
    try:
        bot = salvaged_settings(home).settings.bot
    except OSError:
        return None
    if is_embedded(bot):
        return None
    day = exchange_time(wall_now()).date()
    remark = f"nothing is on record of any session, so the brokers of the settings were asked for orders of {day}"
    request = RunnerArguments(session=_session(home, control, day, 1), home=home)
    return Reach(arguments=request, knows_market=False, remark=remark)


def _session(home: Path, control: Path, day: date, run: int) -> SessionId:
    """Return the session under way on that day; its first one where nothing tells."""
    for mode in MODES:
        path = journal_path(home / "output" / "journal", mode)
        try:
            if path.exists():
                with open_reader(path, busy_seconds=1.0) as journal:
                    names = [SessionId.parse(name) for name in journal.sessions_of(day)]
                    for name in reversed([name for name in names if name.run == run]):
                        if progress_of(journal, name).ended_at is None:
                            return name
        except (JournalError, CodecError, OSError, ValueError):
            break
    beat = read_beat(control)
    if beat is not None and beat.session:
        try:
            session = SessionId.parse(beat.session)
        except ValueError:
            session = None
        if session is not None and (session.day, session.run) == (day, run):
            return session
    return SessionId(day=day, strategy=StrategyName.OPEN, run=run)


async def carry_out(home: Path, control: Path, words: Sequence[str], *, seconds: float = SECONDS_MAX) -> Carried:
    """Run the path until it has answered; `words` are its own arguments. A run outlives us.

    Nothing is raised: what cannot be done is in the answer.
    """
    found = reach(home, control)
    if found is None:
        return Carried(done=True, words="no day was begun here, so there is nothing to close")
    given = [*words, "--control", str(control), "--seconds", str(seconds)]
    if not found.knows_market:
        given.append("--no-market")
    command = (sys.executable, "-m", PATH_MODULE, *given, *found.arguments.argv())
    status, last = -1, ""
    for _ in range(STARTS_MAX):
        try:
            status, last = await one_run(command, _output(home), seconds)
        except OSError as error:
            status, last = -1, f"it could not be started: {error.strerror or error}"
        if status in _ANSWERED:
            break
    flag = _report(last)
    told = last if flag is None else flag.words
    text = "; ".join(filter(None, (told or f"the path ended with status {status}", found.remark)))
    return Carried(done=status == 0, words=text, flag=flag)


def carry_out_now(home: Path, control: Path, words: Sequence[str], *, seconds: float = SECONDS_MAX) -> Carried:
    """Do the same for whoever has no loop."""
    return asyncio.run(carry_out(home, control, words, seconds=seconds))


def _output(home: Path) -> Path:
    """Return where the path prints to; beside the logs, or, where nothing can be written there, anywhere."""
    path = home / "logs" / "bot" / "kill_switch.out"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            return path
    except OSError:
        handle, name = tempfile.mkstemp(prefix="tbot_kill_")
        os.close(handle)
        return Path(name)


def _report(line: str) -> ShutdownFlag | None:
    if not line.startswith(REPORT):
        return None
    try:
        return ShutdownFlag.of(json.loads(line.removeprefix(REPORT)))
    except ValueError:
        return None


__all__ = ["Carried", "Reach", "carry_out", "carry_out_now", "reach"]
