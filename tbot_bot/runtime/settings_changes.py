"""Changes of the settings as the commands make them: one at a time, journaled before they are written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tbot_bot.config.env import EnvSettings
from tbot_bot.config.error_handler import ConfigError
from tbot_bot.config.settings import Settings, load_env, load_settings
from tbot_bot.config.settings_bot import Plan, Rotation, encrypt, finish_rotation, rotate
from tbot_bot.core.identity import Mode
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.settings_changed import SettingsChanged
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.locks import Lock

SETTINGS_LOCK: Final = "settings.lock"


@contextmanager
def changing(home: Path) -> Iterator[None]:
    """Keep everybody else from changing the settings meanwhile.

    Raises:
        AlreadyRunning: somebody else is at it.
    """
    try:
        env = load_env(home, defaults_if_absent=True).env
    except ConfigError:
        env = EnvSettings()  # the change itself will say what is wrong, or mend it
    with Lock(home / env.control_dir / SETTINGS_LOCK):
        yield


def apply(plan: Plan, *, by: str, why: str) -> None:
    """Journal what `plan` changes, then write it. Within `changing`.

    Raises:
        JournalError: it cannot be journaled; nothing is written.
        TbotError, OSError: see `Plan.write`; the journal says that it was not done.
    """
    changes = tuple((change.name, change.old, change.new) for change in plan.changes)
    row = SettingsChanged(at=wall_now(), by=by, why=why, file=plan.shown, changes=changes)
    _journaled(plan.settings, row, plan.write)


def encrypt_journaled(home: Path, *, by: str, new_key: bool) -> str:
    """Seal the plaintext and journal it; return the key's id. See `settings_bot.encrypt`."""
    key_id = encrypt(home, new_key=new_key)
    _tell(load_settings(home), SettingsChanged(at=wall_now(), by=by, why="", file="", what=f"encrypted, key {key_id}"))
    return key_id


def rotate_journaled(home: Path, *, by: str, key_out: Path | None) -> Rotation:
    """Change the key and journal it. See `settings_bot.rotate`."""
    settings = load_settings(home)
    rotation = rotate(home, key_out)
    what = f"key changed from {rotation.old_id} to {rotation.new_id}{'' if rotation.finished else ', not finished'}"
    _tell(settings, SettingsChanged(at=wall_now(), by=by, why="", file="", what=what))
    return rotation


def finish_journaled(home: Path, *, by: str) -> bool:
    """Finish a change of keys and journal it; return whether there was one. See `settings_bot.finish_rotation`."""
    settings = load_settings(home)
    finished = finish_rotation(home)
    if finished:
        _tell(settings, SettingsChanged(at=wall_now(), by=by, why="", file="", what="change of keys finished"))
    return finished


def _journaled(settings: Settings, row: SettingsChanged, write: Callable[[], None]) -> None:
    _tell(settings, row)
    try:
        write()
    except BaseException:
        _tell(settings, SettingsChanged(at=wall_now(), by=row.by, why="", file=row.file, what="the change failed"))
        raise


def _tell(settings: Settings, row: SettingsChanged) -> None:
    bot = settings.bot
    records = records_for(settings.home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export)
    with Journal.open(records.journal, records.mode) as journal:
        journal.append([Entry.of(row, kind=Kind.SETTINGS, at=row.at, recorded_at=row.at)])


__all__ = ["apply", "changing", "encrypt_journaled", "finish_journaled", "rotate_journaled"]
