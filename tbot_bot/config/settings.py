"""Both files, read and checked: every problem at once, or settings that can be used."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tbot_bot.config.assignments import BOT_FILE, ENV_FILE, Source, in_reading_order, located
from tbot_bot.config.bot_file import BotFiles, read_bot
from tbot_bot.config.checks import objections
from tbot_bot.config.choices import Environment
from tbot_bot.config.env import EnvSettings
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.envfile import Entry, Parsed, parse, quoted, read_bytes, read_file
from tbot_bot.config.error_handler import MASK, ConfigError, ConfigProblem
from tbot_bot.config.inverse_etf import InverseEtfMap, load_inverse_etf_map
from tbot_bot.config.model import variables
from tbot_bot.config.named_files import named_file_problems
from tbot_bot.config.process_env import credentials_folder
from tbot_bot.config.scrub import learn
from tbot_bot.config.security_bot import SealingKey
from tbot_bot.config.version_tag import VERSION_FILE, version_objections

OVERRIDE_SOURCE: Final = "--set"
"""What messages call the command line's overrides."""
ENVIRONMENT_SOURCE: Final = "environment"
CREDENTIAL: Final = "encryption_key"
"""Name of the key among the service manager's credentials."""

_WHOLE: Final = "# end of settings"
"""Last line of settings that are handed over: a process may die while it writes."""
_NO_OVERRIDES: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the owner chose, checked."""

    env: EnvSettings
    bot: BotSettings
    home: Path
    """The installation's folder; every path in the settings is relative to it."""
    warnings: tuple[str, ...] = ()
    """What is not wrong, but should be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A text that would take the place of a file's, to be checked before it is written."""

    section: str
    """`.env` or `.env_bot`."""
    text: bytes


def tbot_home() -> Path:
    """Return the installation's folder: TBOT_HOME of the process environment, else the working directory."""
    return Path(os.environ.get("TBOT_HOME") or ".").absolute()


def load_settings(
    home: Path,
    overrides: Mapping[str, str] = _NO_OVERRIDES,
    *,
    defaults_if_absent: bool = False,
    draft: Draft | None = None,
) -> Settings:
    """Read `.env` and `.env_bot` under `home`; `overrides` go before the latter.

    With `defaults_if_absent` a missing file is no problem: its defaults rehearse on the simulator. A `draft` is
    read in place of its file, which need not exist.

    Raises:
        ConfigError: with everything there is to mend.
    """
    read = _read_both(home, overrides, defaults_if_absent=defaults_if_absent, draft=draft)
    if read.problems:
        raise ConfigError(in_reading_order(read.problems))
    return read.settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """What can be known of settings of which something is wrong: defaults stand in for what cannot be used."""

    settings: Settings
    broken: frozenset[str]
    """Variables that are not what the owner meant."""
    unread: bool
    """A whole file could not be read: every variable of it is at its default."""
    problems: tuple[ConfigProblem, ...]

    def knows(self, variable: str) -> bool:
        """Return whether `variable` is as the owner wrote it, or left it."""
        return not self.unread and variable not in self.broken


def salvaged_settings(home: Path, overrides: Mapping[str, str] = _NO_OVERRIDES) -> Salvaged:
    """Read both files for whoever has to act whatever stands in them: to close positions, never to open one."""
    return _read_both(home, overrides, defaults_if_absent=False, draft=None)


def _read_both(home: Path, overrides: Mapping[str, str], *, defaults_if_absent: bool, draft: Draft | None) -> Salvaged:
    problems: list[ConfigProblem] = []
    env_source, env = _env(home, problems, draft, defaults_if_absent=defaults_if_absent)
    if draft is not None and draft.section == BOT_FILE:
        bot_text = _Text(env.env_bot_path.as_posix(), parse(draft.text, env.env_bot_path.as_posix()))
    else:
        bot_text = _read_bot(home, env, env_source, defaults_if_absent=defaults_if_absent)
    named_at = env_source.chosen_at("ENV_BOT_PATH")
    bot_source = Source(BOT_FILE, bot_text.shown, bot_text.parsed, problems, chosen_at=named_at)
    bot_source.add([Entry(name, value.strip(" "), 0, OVERRIDE_SOURCE) for name, value in overrides.items()])
    bot = bot_source.build(BotSettings)
    broken = env_source.broken | bot_source.broken
    if not (env_source.unread or bot_source.unread):
        problems.extend(
            located(objection, env_source, bot_source)
            for objection in (*objections(env, bot), *version_objections(home, bot))
            if broken.isdisjoint(objection.variables)  # what is wrong already is not judged by its default
        )
    problems.extend(named_file_problems(home, bot, bot_source.chosen_at))
    absent = not bot_source.entries.keys() - overrides.keys()
    return Salvaged(
        settings=Settings(env=env, bot=bot, home=home, warnings=bot_text.warnings),
        broken=frozenset(broken),
        unread=env_source.unread or bot_source.unread or absent,
        problems=tuple(problems),
    )


def handed_over(settings: Settings) -> bytes:
    """Return `settings` as one process hands them to another, secrets included: never to a file or a command line."""
    lines = settings_lines(settings, masked=False)
    count = len(variables(EnvSettings))
    return "\n".join([*lines[:count], "", *lines[count:], _WHOLE, ""]).encode()


def taken_over(home: Path, given: bytes) -> Settings:
    """Return what `handed_over` gave; the files, which may have changed since, are not read.

    Raises:
        ConfigError: it is not that.
    """
    problems: list[ConfigProblem] = []
    if not given.endswith(f"\n{_WHOLE}\n".encode()):
        raise ConfigError([ConfigProblem(file="standard input", expected="the whole settings of the supervisor")])
    env_text, _, bot_text = given.partition(b"\n\n")
    source = Source(ENV_FILE, ENV_FILE, parse(env_text + b"\n", ENV_FILE), problems)
    _learn_secrets(source)
    env = source.build(EnvSettings)
    bot = Source(BOT_FILE, BOT_FILE, parse(bot_text, BOT_FILE), problems).build(BotSettings)
    if problems:
        raise ConfigError(problems)
    return Settings(env=env, bot=bot, home=home)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvFile:
    """`.env` alone, checked."""

    env: EnvSettings
    key_from: str
    """Where the key at hand comes from, as messages say it; empty where there is none."""


def load_env(home: Path, *, defaults_if_absent: bool = False) -> EnvFile:
    """Read `.env` alone: what has to be known to find and open the other file.

    Raises:
        ConfigError: with everything there is to mend in it.
    """
    problems: list[ConfigProblem] = []
    source, env = _env(home, problems, None, defaults_if_absent=defaults_if_absent)
    if problems:
        raise ConfigError(problems)
    entry = source.entries.get("ENCRYPTION_KEY")
    return EnvFile(env=env, key_from=entry.file if entry is not None and entry.value else "")


def key_at_hand(env: EnvSettings) -> SealingKey | None:
    """Return the key of the sealed settings, None where there is none."""
    text = env.encryption_key.get_secret_value()
    return SealingKey.parse(text) if text else None


def bot_files(home: Path, env: EnvSettings) -> BotFiles:
    """Return where the settings that say how to trade may be."""
    return BotFiles(home=home, shown=env.env_bot_path.as_posix())


def settings_lines(settings: Settings, *, masked: bool = True) -> list[str]:
    """Return every variable in force as `NAME=value`, in a stable order; secrets show only whether they are set."""
    lines = []
    for model in (settings.env, settings.bot):
        for variable in variables(type(model)):
            text = variable.kind.render(getattr(model, variable.attribute))
            hidden = masked and variable.kind.secret and text
            lines.append(f"{variable.name}={MASK if hidden else quoted(text)}")
    return lines


def _env(
    home: Path, problems: list[ConfigProblem], draft: Draft | None, *, defaults_if_absent: bool
) -> tuple[Source, EnvSettings]:
    if draft is not None and draft.section == ENV_FILE:
        parsed = parse(draft.text, ENV_FILE)
    else:
        parsed = _read(home, ENV_FILE, defaults_if_absent=defaults_if_absent)
    source = Source(ENV_FILE, ENV_FILE, parsed, problems)
    source.add(_key_entries(problems))
    _learn_secrets(source, parsed.unusable)
    env = source.build(EnvSettings)
    problems.extend(_rights(home, env))
    return source, env


def _learn_secrets(source: Source, unusable: Sequence[Entry] = ()) -> None:
    """Have this process mask what the file says of secrets, well or badly written, in all that it writes down."""
    for variable in variables(EnvSettings):
        if not variable.kind.secret:
            continue
        usable = source.entries.get(variable.name)
        for entry in (*([] if usable is None else [usable]), *unusable):
            if entry.name == variable.name:
                learn(text for part in (entry.value, *entry.value.split(",")) for text in (part, part.strip()))


def _read(home: Path, name: str, *, defaults_if_absent: bool) -> Parsed:
    path = home / name
    if defaults_if_absent and not os.path.lexists(path):
        return Parsed((), ())
    return read_file(path, name)


@dataclass(frozen=True, slots=True)
class _Text:
    """One file, parsed."""

    shown: str
    parsed: Parsed
    warnings: tuple[str, ...] = ()


def _read_bot(home: Path, env: EnvSettings, source: Source, *, defaults_if_absent: bool) -> _Text:
    """Read how to trade, from the plaintext or from the sealed file."""
    files = bot_files(home, env)
    if not source.broken.isdisjoint({"ENVIRONMENT", "ENV_BOT_PATH"}):
        return _Text(files.shown, Parsed((), ()))  # which file is meant is not known
    production = env.environment is Environment.PRODUCTION
    if "ENCRYPTION_KEY" in source.broken and (production or files.are_sealed):
        return _Text(files.sealed_shown, Parsed((), ()))  # the key is what is to be mended first
    text = read_bot(files, key_at_hand(env), production=production, may_be_absent=defaults_if_absent)
    parsed = Parsed((), ()) if text.data is None else parse(text.data, text.shown)
    parsed = replace(parsed, problems=(*text.problems, *parsed.problems))
    return _Text(text.shown, parsed, text.warnings)


def _key_entries(problems: list[ConfigProblem]) -> list[Entry]:
    """Return the one variable that comes from outside the files where it is given there: the key, systemd's first."""
    folder = credentials_folder()
    if folder is not None and os.path.lexists(folder / CREDENTIAL):
        shown = f"$CREDENTIALS_DIRECTORY/{CREDENTIAL}"
        data = read_bytes(folder / CREDENTIAL, shown)
        if isinstance(data, bytes):
            return [Entry("ENCRYPTION_KEY", data.decode("ascii", "replace").strip() or "(empty)", 0, shown)]
        problems.append(data)  # it is there and was meant: no other key stands in for it
        return []
    names = ("ENCRYPTION_KEY", "ENV_BOT_KEY")
    return [Entry(name, value, 0, ENVIRONMENT_SOURCE) for name in names if (value := os.environ.get(name))]


def _rights(home: Path, env: EnvSettings) -> list[ConfigProblem]:
    """Object to secrets that others on the machine may read."""
    if env.environment is not Environment.PRODUCTION:
        return []
    try:
        mode = (home / ENV_FILE).stat().st_mode
    except OSError:
        return []  # reading it has said so
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return []
    expected = f"a file that only its owner may read where ENVIRONMENT=production, not mode {stat.S_IMODE(mode):04o}"
    return [ConfigProblem(file=ENV_FILE, expected=expected, mend=f"chmod 600 {ENV_FILE}")]


__all__ = [
    "BOT_FILE",
    "ENV_FILE",
    "VERSION_FILE",
    "Draft",
    "EnvFile",
    "InverseEtfMap",
    "Salvaged",
    "Settings",
    "bot_files",
    "handed_over",
    "key_at_hand",
    "load_env",
    "load_inverse_etf_map",
    "load_settings",
    "salvaged_settings",
    "settings_lines",
    "taken_over",
    "tbot_home",
]
