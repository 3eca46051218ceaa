"""Release the kill switch: only with a reason, only while nothing is at work, and only once it is journaled."""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.settings import load_settings
from tbot_bot.core.identity import Mode
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.released import KillSwitchReleased
from tbot_bot.journal.store import Entry, Journal, journal_path
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.background import control_path
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import KILLED_FILE, ControlFolder, Flag, set_aside
from tbot_bot.runtime.dead_man_run import DEAD_MAN_FILE
from tbot_bot.runtime.kill_switch import engaged, engaged_journals
from tbot_bot.runtime.kill_switch_flag import flag_path
from tbot_bot.runtime.locks import RUNNER_LOCK, SUPERVISOR_LOCK, AlreadyRunning, Lock

_WAIT: Final = "Wait for its end (`tbot status`), or stop it with `tbot stop`, and resume then."


class StillAtWork(TbotError):
    """The bot runs and may be closing positions because of the very kill that is to be forgotten."""

    code = "ALREADY_RUNNING"


def resume(home: Path, *, by: str, why: str) -> KillSwitchReleased:
    """Release the kill switch of `home`, journal who did it and why, and return that.

    Raises:
        StillAtWork: a supervisor, a runner or the dead-man path is at work.
        ConfigError: the settings do not tell which journal it belongs to.
        JournalError: it could not be journaled; the switch stays engaged.
        TbotError: there is no reason, nothing is engaged, or the latch could not be moved away.
    """
    if not why.strip():
        raise TbotError("a reason is needed", where="tbot resume", mend='Give one: tbot resume --why "..."')
    control = control_path(home)
    folder = ControlFolder(control)
    if not engaged(home, control) and folder.peek(Flag.KILL) is None:
        raise TbotError("the kill switch is not engaged; there is nothing to resume", where=KILLED_FILE)
    with ExitStack() as stack:
        for name in (SUPERVISOR_LOCK, RUNNER_LOCK):
            try:
                stack.enter_context(Lock(control / name))
            except AlreadyRunning as error:
                pid = error.pid or "unknown"
                raise StillAtWork(f"the bot is at work (pid {pid}) and may be closing positions", mend=_WAIT) from None
        folder.take(Flag.KILL)  # left while nobody ran: it counts as engaged
        bot = load_settings(home, defaults_if_absent=True).bot
        records = records_for(home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export)
        released = KillSwitchReleased(at=wall_now(), by=by, why=why.strip(), engaged=engaged(home, control))
        modes = dict.fromkeys((*engaged_journals(home), records.mode))  # the one that this start reads comes last
        for mode in modes:
            journal = stack.enter_context(Journal.open(journal_path(home / "output" / "journal", mode), mode))
            journal.append([Entry.of(released, kind=Kind.CONTROL, at=released.at, recorded_at=released.at)])
        try:
            set_aside(control, control / DEAD_MAN_FILE)  # whoever resumes has seen to what it could not close
            set_aside(control, flag_path(home))
            set_aside(control, control / KILLED_FILE)
        except OSError as error:
            raise TbotError(
                f"the kill switch stays engaged: {error.strerror}",
                where=KILLED_FILE,
                mend="Make the control folder writable and resume again.",
            ) from error
    return released
