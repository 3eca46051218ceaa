"""One check of the build check, and those that look at the owner's files: rights, and the key of sealed settings."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tbot_bot.config.choices import Environment
from tbot_bot.config.security_bot import SealBroken, key_id_of
from tbot_bot.config.settings import ENV_FILE, Settings, bot_files, key_at_hand
from tbot_bot.core.identity import StrategyName


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at."""

    name: str
    passed: bool
    detail: str
    mend: str = ""
    critical: bool = True
    """False: a failure leaves `strategy` out for the day and stops nothing else."""
    strategy: StrategyName | None = None


def files_and_rights(home: Path, settings: Settings) -> Check:
    """Object to settings and folders that others on the machine could change: who can, trades."""
    name = "files and rights"
    forbidden = stat.S_IWOTH
    if settings.env.environment is Environment.PRODUCTION:
        forbidden |= stat.S_IWGRP
    looked_at = 0
    for path, shown in _looked_at(home, settings):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            continue  # other checks say so where it matters
        except OSError as error:
            mend = f"Let the user that runs the bot read {shown}."
            return Check(name=name, passed=False, detail=f"{shown}: {error.strerror}", mend=mend)
        looked_at += 1
        if mode & forbidden and not mode & stat.S_ISVTX:
            detail = f"{shown} has mode {mode:04o}: others than its owner can change it"
            return Check(name=name, passed=False, detail=detail, mend=f"chmod go-w {shown}")
    return Check(name=name, passed=True, detail=f"{looked_at} files and folders, none that others can change")


def keys(home: Path, settings: Settings) -> Check:
    """Object to sealed settings without the key that seals them, and to production without a key."""
    name = "keys"
    key, files = key_at_hand(settings.env), bot_files(home, settings.env)
    production = settings.env.environment is Environment.PRODUCTION
    if key is None and (production or files.are_sealed):
        why = f"{files.sealed_shown} is sealed" if files.are_sealed else "ENVIRONMENT=production reads sealed settings"
        mend = "Give ENCRYPTION_KEY as a systemd credential (docs/deployment.md), or in .env."
        return Check(name=name, passed=False, detail=f"{why}, and there is no ENCRYPTION_KEY", mend=mend)
    if key is None:
        return Check(name=name, passed=True, detail="none needed: no settings are sealed")
    if not files.sealed.exists():
        return Check(name=name, passed=True, detail=f"key {key.id} at hand, no settings are sealed yet")
    try:
        named = key_id_of(files.sealed.read_bytes())
    except (SealBroken, OSError) as error:
        mend = f"Put back the last good copy of {files.sealed_shown}."
        return Check(name=name, passed=False, detail=f"{files.sealed_shown}: {error}", mend=mend)
    if named != key.id and not files.next.exists():
        mend = "Give the key that sealed them, or seal them again: `tbot config encrypt`."
        detail = f"{files.sealed_shown} is sealed with key {named}, the one at hand is {key.id}"
        return Check(name=name, passed=False, detail=detail, mend=mend)
    return Check(name=name, passed=True, detail=f"key {key.id} opens {files.sealed_shown}")


def _looked_at(home: Path, settings: Settings) -> Iterator[tuple[Path, str]]:
    files, control = bot_files(home, settings.env), settings.env.control_dir
    yield home, "the home folder"
    for shown in (ENV_FILE, files.shown, files.sealed_shown, files.next_shown):
        yield home / shown, shown
    for folder in (str(control), "output", "output/journal", "logs"):
        yield home / folder, folder
