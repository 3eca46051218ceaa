"""`.env_bot` on disk: plain, sealed, or in the middle of a change of keys; which of them counts, and what it says."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tbot_bot.config.envfile import read_bytes
from tbot_bot.config.error_handler import ConfigProblem
from tbot_bot.config.security_bot import SealBroken, SealingKey, key_id_of, unseal

SEALED: Final = ".enc"
NEXT: Final = ".enc.next"
"""A change of keys writes the newly sealed settings here first; they count once their key is the one at hand."""
KEY_PLACES: Final = (
    "$CREDENTIALS_DIRECTORY/encryption_key, ENCRYPTION_KEY of the environment, or ENCRYPTION_KEY of .env"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BotFiles:
    """Where the settings may be; names as messages show them."""

    home: Path
    shown: str
    """`ENV_BOT_PATH`."""

    @property
    def plain(self) -> Path:
        """The plaintext."""
        return self.home / self.shown

    @property
    def sealed(self) -> Path:
        """The sealed settings."""
        return self.home / self.sealed_shown

    @property
    def next(self) -> Path:
        """The settings sealed with the next key."""
        return self.home / self.next_shown

    @property
    def sealed_shown(self) -> str:
        """Name of the sealed settings."""
        return f"{self.shown}{SEALED}"

    @property
    def next_shown(self) -> str:
        """Name of the settings sealed with the next key."""
        return f"{self.shown}{NEXT}"

    @property
    def are_sealed(self) -> bool:
        """Return whether there are sealed settings, readable or not."""
        return os.path.lexists(self.sealed) or os.path.lexists(self.next)


@dataclass(frozen=True, slots=True, kw_only=True)
class BotText:
    """What the file that counts says."""

    shown: str
    """Name of that file."""
    data: bytes | None = None
    """None: there is no such file, and it was allowed to be absent; or `problems` tell why it is not known."""
    problems: tuple[ConfigProblem, ...] = ()
    warnings: tuple[str, ...] = ()


def read_bot(files: BotFiles, key: SealingKey | None, *, production: bool, may_be_absent: bool) -> BotText:
    """Return the settings' text, decrypted in memory where it is sealed. Nothing is written."""
    has_plain = os.path.lexists(files.plain)
    if not files.are_sealed:
        if not production:
            return _plain(files, may_be_absent=may_be_absent)
        if may_be_absent and not has_plain:
            return BotText(shown=files.sealed_shown)
    beside: tuple[ConfigProblem, ...] = ()
    if production and has_plain:
        mend = (
            f"compare it with `tbot config decrypt`, then remove it: rm {files.shown}"
            if files.are_sealed
            else "`tbot config encrypt` seals it and removes it"
        )
        expected = f"no plaintext settings where ENVIRONMENT=production: only {files.sealed_shown} is read"
        beside = (ConfigProblem(file=files.shown, expected=expected, mend=mend),)
        if not files.are_sealed:
            return BotText(shown=files.sealed_shown, problems=beside)
    text = open_sealed(files, key)
    warnings = list(text.warnings)
    if has_plain and not production:
        warnings.append(f"{files.shown} is not read: {text.shown} goes before it. Remove the one you do not mean.")
    return BotText(shown=text.shown, data=text.data, problems=(*beside, *text.problems), warnings=tuple(warnings))


def open_sealed(files: BotFiles, key: SealingKey | None) -> BotText:
    """Return what the sealed settings say, or why they cannot be opened."""
    shown = files.sealed_shown
    sealed = read_bytes(files.sealed, shown)
    warnings: tuple[str, ...] = ()
    following = _following(files, key) if isinstance(sealed, ConfigProblem) or (key and _id(sealed) != key.id) else None
    if following is not None:
        shown, sealed = files.next_shown, following
        warnings = (f"a change of keys was cut off: {shown} counts, until `tbot config rotate --finish`",)
    if isinstance(sealed, ConfigProblem):
        there = os.path.lexists(files.sealed)
        return BotText(shown=shown, problems=(replace(sealed, on_record=True) if there else _absent(shown),))
    if key is None:
        named = f" (the one whose id is {_id(sealed)})" if _id(sealed) else ""
        expected, mend = f"the key that opens it{named}", f"put it in {KEY_PLACES}"
        problem = ConfigProblem(file=shown, expected=expected, mend=mend, on_record=True)
        return BotText(shown=shown, problems=(problem,))
    try:
        return BotText(shown=shown, data=unseal(sealed, key), warnings=warnings)
    except SealBroken as error:
        expected = f"settings sealed with the key at hand; {error.what}"
        mend = "restore the file from a backup, or the key that it names"
        return BotText(shown=shown, problems=(ConfigProblem(file=shown, expected=expected, mend=mend, on_record=True),))


def _plain(files: BotFiles, *, may_be_absent: bool) -> BotText:
    if may_be_absent and not os.path.lexists(files.plain):
        return BotText(shown=files.shown)
    data = read_bytes(files.plain, files.shown)
    if isinstance(data, ConfigProblem):
        return BotText(shown=files.shown, problems=(data,))
    return BotText(shown=files.shown, data=data)


def _following(files: BotFiles, key: SealingKey | None) -> bytes | None:
    """Return the settings that wait for their key, if the key at hand is the one."""
    if key is None or not os.path.lexists(files.next):
        return None
    data = read_bytes(files.next, files.next_shown)
    return data if isinstance(data, bytes) and _id(data) == key.id else None


def _absent(shown: str) -> ConfigProblem:
    mend = "`tbot config encrypt` makes it from a plaintext; restore a lost one from a backup, and the key it names"
    return ConfigProblem(file=shown, expected="this file to exist", mend=mend, on_record=True)


def _id(sealed: bytes) -> str:
    try:
        return key_id_of(sealed)
    except SealBroken:
        return ""


__all__ = ["KEY_PLACES", "BotFiles", "BotText", "open_sealed", "read_bot"]
