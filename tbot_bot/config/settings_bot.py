"""Changing the settings by program: judged as a whole first, then written whole, sealed where they are sealed.

Nothing here is in force at once: processes that run keep what they have read until their next session.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tbot_bot.config.assignments import BOT_FILE, ENV_FILE, OLDER_NAMES
from tbot_bot.config.bot_file import KEY_PLACES, BotFiles, open_sealed, read_bot
from tbot_bot.config.choices import Environment
from tbot_bot.config.env import EnvSettings
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.envfile import parse, read_bytes
from tbot_bot.config.error_handler import ConfigError, ConfigProblem, TbotError
from tbot_bot.config.files import sweep_drafts, sync_folder, write_atomically
from tbot_bot.config.model import SettingsGroup, Variable, variables
from tbot_bot.config.security_bot import SealBroken, SealingKey, key_id_of, seal, unseal
from tbot_bot.config.settings import Draft, EnvFile, Settings, bot_files, key_at_hand, load_env, load_settings
from tbot_bot.config.settings_edit import with_value

COMMAND_LINE: Final = "command line"
_SECTIONS: Final[Mapping[str, type[SettingsGroup]]] = MappingProxyType({ENV_FILE: EnvSettings, BOT_FILE: BotSettings})


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """One variable's old and new text; a secret's are masked."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A text that would be in order, and what it changes; nothing is written before `write`."""

    section: str
    """`.env` or `.env_bot`."""
    shown: str
    """Name of the file that will be written."""
    changes: tuple[SettingChange, ...]
    settings: Settings
    """What is in force once it is written and read."""
    text: bytes
    before: bytes
    key: SealingKey | None
    """With which the text will be sealed; None: it stays plain."""

    def write(self) -> None:
        """Put the text in its file's place.

        Raises:
            TbotError: the file has been changed since the plan was made; nothing is written.
            OSError: it cannot be written; the old one is untouched.
        """
        home, files = self.settings.home, bot_files(self.settings.home, self.settings.env)
        if current_text(home, self.section) != self.before:
            raise TbotError("it was changed by somebody else meanwhile", where=self.shown, mend="Try again.")
        if self.section == ENV_FILE:
            _write(_real(home / ENV_FILE), self.text)
        elif self.key is None:
            _write(_real(files.plain), self.text)
        else:
            _write_sealed(files, self.text, self.key)


def current_text(home: Path, section: str) -> bytes:
    """Return what the file of `section` says now, decrypted; empty where `.env` does not exist.

    Raises:
        ConfigError: it cannot be read, or not be found without mending `.env` first.
    """
    if section == ENV_FILE:
        return _plain_env(home)
    found = load_env(home, defaults_if_absent=True)
    text = read_bot(
        bot_files(home, found.env),
        key_at_hand(found.env),
        production=found.env.environment is Environment.PRODUCTION,
        may_be_absent=False,
    )
    if text.data is None:
        raise ConfigError(text.problems)
    return text.data


def plan_set(home: Path, pairs: Sequence[tuple[str, str]]) -> Plan:
    """Return the plan that gives each name of `pairs` its value; all belong to one file.

    Raises:
        ConfigError: an unknown name, names of both files, or a result that could not be used.
    """
    sections = {name: _section_of(name) for name, _ in pairs}
    if len(set(sections.values())) != 1:
        expected = f"variables of one file; {', '.join(f'{name} is in {place}' for name, place in sections.items())}"
        raise ConfigError([ConfigProblem(file=COMMAND_LINE, expected=expected, mend="set them one file at a time")])
    (section,) = set(sections.values())
    before = current_text(home, section)
    text = before
    for name, value in pairs:
        present = OLDER_NAMES.get(name, name)
        older = [old for old, new in OLDER_NAMES.items() if new == present]
        try:
            text = with_value(text, present, value.strip(" "), older)
        except ValueError as error:
            variable = _variable(present, section)
            shown = variable.kind.shown(value)
            expected = f"a value for one line of a file: {error}"
            problem = ConfigProblem(file=COMMAND_LINE, variable=present, value=shown, expected=expected)
            raise ConfigError([problem]) from None
    return plan_text(home, section, text, before)


def plan_text(home: Path, section: str, text: bytes, before: bytes) -> Plan:
    """Return the plan that puts `text` in the place of `before`.

    Raises:
        ConfigError: the settings could not be used with it; with everything there is to mend.
    """
    settings = load_settings(home, draft=Draft(section=section, text=text), defaults_if_absent=section == BOT_FILE)
    files = bot_files(home, settings.env)
    sealed = section == BOT_FILE and files.are_sealed
    return Plan(
        section=section,
        shown=ENV_FILE if section == ENV_FILE else files.sealed_shown if sealed else files.shown,
        changes=tuple(_changes(section, before, text)),
        settings=settings,
        text=text,
        before=before,
        key=key_at_hand(settings.env) if sealed else None,
    )


def encrypt(home: Path, *, new_key: bool = False) -> str:
    """Seal the plaintext, read it back, remove the plaintext, and return the key's id.

    `new_key` makes one and keeps it in `.env`, where there is none. May be cut off anywhere and done again.

    Raises:
        ConfigError: no plaintext, no key, or settings that could not be used.
        OSError: a file cannot be written.
    """
    found = load_env(home, defaults_if_absent=True)
    files = bot_files(home, found.env)
    key = key_at_hand(found.env)
    text = read_bytes(files.plain, files.shown)
    if isinstance(text, ConfigProblem):
        raise ConfigError([text])
    load_settings(home, draft=Draft(section=BOT_FILE, text=text), defaults_if_absent=True)
    if files.are_sealed:
        opened = open_sealed(files, key)
        if opened.data != text:
            mend = f"keep one of them: rm {files.shown}, or move {files.sealed_shown} away"
            expected = f"no other settings in {files.sealed_shown} already"
            raise ConfigError([ConfigProblem(file=files.shown, expected=expected, mend=mend)])
    if key is None:
        if not new_key:
            mend = f"put it in {KEY_PLACES}; `tbot config encrypt --new-key` makes one and keeps it in .env"
            raise ConfigError([ConfigProblem(file=files.sealed_shown, expected="a key to seal it with", mend=mend)])
        key = SealingKey.generate()
        _keep_in_env(home, key)
    _write_sealed(files, text, key)
    _read_back(files.sealed, files.sealed_shown, key, text)
    files.plain.unlink()
    sync_folder(files.plain.parent)
    return key.id


def decrypt(home: Path) -> bytes:
    """Return what the sealed settings say; nothing is written.

    Raises:
        ConfigError: there are none, or they cannot be opened.
    """
    found = load_env(home, defaults_if_absent=True)
    opened = open_sealed(bot_files(home, found.env), key_at_hand(found.env))
    if opened.data is None:
        raise ConfigError(opened.problems)
    return opened.data


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A change of keys."""

    old_id: str
    new_id: str
    key_written_to: str
    """Where the new key is kept: `.env`, or the file that was asked for."""
    finished: bool
    """False: the new key has to be put in the old one's place by hand, then the change is finished."""


def rotate(home: Path, key_out: Path | None = None) -> Rotation:
    """Seal the settings with a new key.

    A key that stands in `.env` is changed there, in one go. One that comes from elsewhere we cannot change: the new
    one is written to `key_out`, both files stay until it has taken the old one's place, and whichever key is at hand
    opens its own. Cut off anywhere, the settings can be opened with the key that is then at hand.

    Raises:
        ConfigError: nothing is sealed, it cannot be opened, or `key_out` is missing where it is needed.
        OSError: a file cannot be written.
    """
    found = load_env(home)
    files = bot_files(home, found.env)
    old = key_at_hand(found.env)
    text = decrypt(home)
    if old is None:
        raise ConfigError([ConfigProblem(file=ENV_FILE, expected="a key", mend=f"put it in {KEY_PLACES}")])
    in_env = found.key_from == ENV_FILE
    if in_env is (key_out is not None):
        raise ConfigError([_about_key_out(found)])
    finish_rotation(home)
    new = SealingKey.generate()
    if key_out is not None:
        _write_new(key_out, f"{new.text}\n")
    _write(_real(files.next), seal(text, new))
    _read_back(files.next, files.next_shown, new, text)
    if key_out is not None:
        return Rotation(old_id=old.id, new_id=new.id, key_written_to=str(key_out), finished=False)
    _keep_in_env(home, new)
    finish_rotation(home)
    return Rotation(old_id=old.id, new_id=new.id, key_written_to=ENV_FILE, finished=True)


def finish_rotation(home: Path) -> bool:
    """Let the settings sealed with the key at hand take the place of the older ones; return whether there were any.

    Raises:
        ConfigError: the settings cannot be opened with the key at hand.
        OSError: a file cannot be moved.
    """
    found = load_env(home)
    files, key = bot_files(home, found.env), key_at_hand(found.env)
    if key is None or not os.path.lexists(files.next):
        return False
    opened = open_sealed(files, key)
    if opened.data is None:
        raise ConfigError(opened.problems)
    if opened.shown != files.next_shown:
        return False  # the new key is not in place yet
    _read_back(files.next, files.next_shown, key, opened.data)
    files.next.replace(_real(files.sealed))
    sync_folder(files.sealed.parent)
    return True


def _about_key_out(found: EnvFile) -> ConfigProblem:
    if found.key_from == ENV_FILE:
        expected = "no --key-out: the key stands in .env and is changed there"
        return ConfigProblem(file=COMMAND_LINE, expected=expected, mend="leave it out")
    expected = f"a place for the new key, since the old one comes from {found.key_from}, which we cannot change"
    return ConfigProblem(file=COMMAND_LINE, expected=expected, mend="add --key-out FILE, best on memory-backed storage")


def _keep_in_env(home: Path, key: SealingKey) -> None:
    older = [old for old, new in OLDER_NAMES.items() if new == "ENCRYPTION_KEY"]
    _write(_real(home / ENV_FILE), with_value(_plain_env(home), "ENCRYPTION_KEY", key.text, older))


def _plain_env(home: Path) -> bytes:
    if not os.path.lexists(home / ENV_FILE):
        return b""
    data = read_bytes(home / ENV_FILE, ENV_FILE)
    if isinstance(data, ConfigProblem):
        raise ConfigError([data])
    return data


def _write_sealed(files: BotFiles, text: bytes, key: SealingKey) -> None:
    """Write the sealed settings; those that a change of keys has left for the same key are thereby old."""
    _write(_real(files.sealed), seal(text, key))
    following = read_bytes(files.next, files.next_shown) if os.path.lexists(files.next) else None
    if isinstance(following, bytes) and _names(following, key):
        files.next.unlink()


def _names(sealed: bytes, key: SealingKey) -> bool:
    try:
        return key_id_of(sealed) == key.id
    except SealBroken:
        return False


def _read_back(path: Path, shown: str, key: SealingKey, text: bytes) -> None:
    """Make sure that what was written can be opened, before anything that it replaces goes."""
    data = read_bytes(path, shown)
    if isinstance(data, ConfigProblem):
        raise ConfigError([data])
    if unseal(data, key) != text:
        raise TbotError("what was written reads back as something else", where=shown, mend="Check the disk.")


def _write_new(path: Path, text: str) -> None:
    """Write a file for its owner's eyes that must not exist yet."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _write(path: Path, content: bytes) -> None:
    """Put `content` in the place of `path`, and clear away what a killed change of it has left: it holds secrets."""
    sweep_drafts(path)
    write_atomically(path, content)


def _real(path: Path) -> Path:
    """Return where a link leads: a deployment keeps the files elsewhere, and the link stays."""
    return path.resolve() if path.is_symlink() else path


def _changes(section: str, before: bytes, after: bytes) -> Iterable[SettingChange]:
    old, new = (_values(section, text) for text in (before, after))
    for variable in variables(_SECTIONS[section]):
        was, becomes = (side.get(variable.name, variable.default) for side in (old, new))
        if was != becomes:
            kind = variable.kind
            yield SettingChange(name=variable.name, old=kind.shown(was), new=kind.shown(becomes))


def _values(section: str, text: bytes) -> dict[str, str]:
    return {OLDER_NAMES.get(entry.name, entry.name): entry.value for entry in parse(text, section).entries}


def _section_of(name: str) -> str:
    present = OLDER_NAMES.get(name, name)
    every = {section: [variable.name for variable in variables(model)] for section, model in _SECTIONS.items()}
    for section, names in every.items():
        if present in names:
            return section
    near = get_close_matches(present.upper(), [name for names in every.values() for name in names], n=1, cutoff=0.6)
    mend = f"did you mean {near[0]}?" if near else "`tbot config show` lists all of them"
    raise ConfigError([ConfigProblem(file=COMMAND_LINE, variable=name, expected="a known variable", mend=mend)])


def _variable(name: str, section: str) -> Variable:
    return next(variable for variable in variables(_SECTIONS[section]) if variable.name == name)


__all__ = [
    "COMMAND_LINE",
    "Plan",
    "Rotation",
    "SettingChange",
    "current_text",
    "decrypt",
    "encrypt",
    "finish_rotation",
    "plan_set",
    "plan_text",
    "rotate",
]
