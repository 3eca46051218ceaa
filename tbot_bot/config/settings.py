"""Both files, read and checked: every problem at once, or settings that can be used."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from pydantic import ValidationError

from tbot_bot.config.checks import Objection, objections
from tbot_bot.config.choices import Environment
from tbot_bot.config.env import EnvSettings
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.envfile import NAME_SHOWN_MAX, Entry, Parsed, quoted, read_file
from tbot_bot.config.error_handler import MASK, ConfigError, ConfigProblem
from tbot_bot.config.inverse_etf import InverseEtfMap, load_inverse_etf_map
from tbot_bot.config.model import SettingsGroup, Variable, variables

ENV_FILE: Final = ".env"
BOT_FILE: Final = ".env_bot"
VERSION_FILE: Final = "VERSION.md"
OVERRIDE_SOURCE: Final = "--set"
"""What messages call the command line's overrides."""
ENVIRONMENT_SOURCE: Final = "environment"
OLDER_NAMES: Final = MappingProxyType({"ENV_BOT_KEY": "ENCRYPTION_KEY", "ACCOUNTING_EXPORT_MODE": "LEDGER_EXPORT_MODE"})
"""Names of earlier versions and what they are called now."""

_VARIABLES: Final[Mapping[str, Mapping[str, Variable]]] = {
    ENV_FILE: {variable.name: variable for variable in variables(EnvSettings)},
    BOT_FILE: {variable.name: variable for variable in variables(BotSettings)},
}
_SUGGESTIONS_MAX: Final = 50  # looking for near names is slow; a file of strangers is some other file
_TAG: Final = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+")
_NO_OVERRIDES: Final[Mapping[str, str]] = MappingProxyType({})

M = TypeVar("M", bound=SettingsGroup)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the owner chose, checked."""

    env: EnvSettings
    bot: BotSettings
    home: Path
    """The installation's folder; every path in the settings is relative to it."""


def tbot_home() -> Path:
    """Return the installation's folder: TBOT_HOME of the process environment, else the working directory."""
    return Path(os.environ.get("TBOT_HOME") or ".").absolute()


def load_settings(
    home: Path, overrides: Mapping[str, str] = _NO_OVERRIDES, *, defaults_if_absent: bool = False
) -> Settings:
    """Read `.env` and `.env_bot` under `home`; `overrides` go before the latter.

    With `defaults_if_absent` a missing file is no problem: its defaults rehearse on the simulator.

    Raises:
        ConfigError: with everything there is to mend.
    """
    problems: list[ConfigProblem] = []
    env_source = _Source(ENV_FILE, ENV_FILE, _read(home, ENV_FILE, defaults_if_absent=defaults_if_absent), problems)
    env_source.add(_from_environment())
    env = env_source.build(EnvSettings)
    shown = env.env_bot_path.as_posix()
    parsed = _read_bot(home, env, env_source, defaults_if_absent=defaults_if_absent)
    bot_source = _Source(BOT_FILE, shown, parsed, problems)
    bot_source.add([Entry(name, value.strip(" "), 0, OVERRIDE_SOURCE) for name, value in overrides.items()])
    bot = bot_source.build(BotSettings)
    broken = env_source.broken | bot_source.broken
    if not (env_source.unread or bot_source.unread):
        problems.extend(
            _problem_of(objection, env_source, bot_source)
            for objection in (*objections(env, bot), *_version_objections(home, bot))
            if broken.isdisjoint(objection.variables)  # what is wrong already is not judged by its default
        )
    if problems:
        raise ConfigError(problems)
    return Settings(env=env, bot=bot, home=home)


def settings_lines(settings: Settings, *, masked: bool = True) -> list[str]:
    """Return every variable in force as `NAME=value`, in a stable order; secrets show only whether they are set."""
    lines = []
    for model in (settings.env, settings.bot):
        for variable in variables(type(model)):
            text = variable.kind.render(getattr(model, variable.attribute))
            hidden = masked and variable.kind.secret and text
            lines.append(f"{variable.name}={MASK if hidden else quoted(text)}")
    return lines


class _Source:
    """One file's assignments on their way into a model; problems are collected as they are met."""

    def __init__(self, section: str, shown: str, parsed: Parsed, problems: list[ConfigProblem]) -> None:
        self.shown = shown
        self.entries: dict[str, Entry] = {}
        self.broken: set[str] = {problem.variable for problem in parsed.problems}
        self.unread = bool(parsed.problems) and not parsed.entries
        """Whether nothing is known of what the file says."""
        self._section = section
        self._known = _VARIABLES[section]
        self._problems = problems
        self._strangers = 0
        problems.extend(parsed.problems)
        self.add(parsed.entries)

    def add(self, entries: tuple[Entry, ...] | list[Entry]) -> None:
        """Take `entries`; those from elsewhere go before what is there, twice from one place is a problem."""
        for entry in entries:
            name = OLDER_NAMES.get(entry.name, entry.name)
            if name not in self._known:
                self._problems.append(self._stranger(entry))
                continue
            before = self.entries.get(name)
            if before is not None and before.file == entry.file:
                self._object(entry, f"only one of {name} and its older name", f"delete {entry.name}")
                continue
            self.entries[name] = entry

    def build(self, model: type[M]) -> M:
        """Return the model; a variable that cannot be used is reported, and its default stands in for it."""
        values = {name: entry.value for name, entry in self.entries.items()}
        try:
            return model.model_validate(values)
        except ValidationError as error:
            wrong = {str(item["loc"][0]) for item in error.errors(include_url=False, include_input=False)}
        for name in values:  # in the order of the file
            if name in wrong:
                self.broken.add(name)
                self._object(self.entries[name], self._known[name].kind.expected, "")
        return model.model_validate({name: value for name, value in values.items() if name not in wrong})

    def _object(self, entry: Entry, expected: str, mend: str) -> None:
        kind = self._known[OLDER_NAMES.get(entry.name, entry.name)].kind
        default = self._known[OLDER_NAMES.get(entry.name, entry.name)].default
        self._problems.append(
            ConfigProblem(
                file=entry.file,
                line=entry.line,
                variable=entry.name,
                value=kind.shown(entry.value),
                expected=expected,
                mend=mend or (f"the default is {default}" if default else "correct the value"),
            )
        )

    def _stranger(self, entry: Entry) -> ConfigProblem:
        self._strangers += 1
        name = entry.name[:NAME_SHOWN_MAX]
        elsewhere = [section for section, known in _VARIABLES.items() if name in known and section != self._section]
        near: list[str] = []
        if self._strangers <= _SUGGESTIONS_MAX:
            near = get_close_matches(name.upper(), [*self._known, *OLDER_NAMES], n=1, cutoff=0.6)
        if elsewhere:
            mend = f"it belongs in {elsewhere[0]}"
        elif near:
            mend = f"did you mean {near[0]}?"
        else:
            mend = "delete it"
        # the value is not shown: it may be a secret under a misspelt name
        return ConfigProblem(file=entry.file, line=entry.line, variable=name, expected="a known variable", mend=mend)


def _read(home: Path, name: str, *, defaults_if_absent: bool) -> Parsed:
    path = home / name
    if defaults_if_absent and not os.path.lexists(path):
        return Parsed((), ())
    return read_file(path, name)


def _read_bot(home: Path, env: EnvSettings, source: _Source, *, defaults_if_absent: bool) -> Parsed:
    """Read how to trade. Encryption's place: what is refused here is decrypted there."""
    shown = env.env_bot_path.as_posix()
    if not source.broken.isdisjoint({"ENVIRONMENT", "ENV_BOT_PATH"}):
        return Parsed((), ())  # which file is meant is not known
    if env.environment is Environment.PRODUCTION or os.path.lexists(home / f"{shown}.enc"):
        problem = ConfigProblem(
            file=f"{shown}.enc",
            expected="a version of the program that reads encrypted settings",
            mend=f"until then use ENVIRONMENT=development and a plaintext {shown} alone",
        )
        return Parsed((), (problem,))
    return _read(home, shown, defaults_if_absent=defaults_if_absent)


def _from_environment() -> list[Entry]:
    """Return the one variable that the process environment may set: the key, which so need not be on disk."""
    for name in ("ENCRYPTION_KEY", "ENV_BOT_KEY"):
        if value := os.environ.get(name):
            return [Entry(name, value, 0, ENVIRONMENT_SOURCE)]
    return []


def _version_objections(home: Path, bot: BotSettings) -> tuple[Objection, ...]:
    """Object to a tag that is not the one at the head of VERSION.md; no file, no objection."""
    path = home / VERSION_FILE
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            head = next((line for line in file if line.strip()), "")
    except FileNotFoundError:
        return ()
    except OSError as error:
        mend = f"make {VERSION_FILE} readable ({error.strerror})"
        return (Objection(variables=("VERSION_TAG",), expected=f"a readable {VERSION_FILE}", mend=mend),)
    tag = _TAG.search(head)
    if tag is None:
        expected = f"a tag such as v1.0.0 at the head of {VERSION_FILE}"
        return (Objection(variables=("VERSION_TAG",), expected=expected, mend=f"restore {VERSION_FILE}"),)
    if tag[0] == bot.version_tag:
        return ()
    expected = f"{tag[0]}, the tag at the head of {VERSION_FILE}"
    return (Objection(variables=("VERSION_TAG",), expected=expected, mend="read what changed, then write that tag"),)


def _problem_of(objection: Objection, env: _Source, bot: _Source) -> ConfigProblem:
    """Return the objection at the line of its first variable, or at its file where the default is in force."""
    name = objection.variables[0]
    section, source = (ENV_FILE, env) if name in _VARIABLES[ENV_FILE] else (BOT_FILE, bot)
    kind = _VARIABLES[section][name].kind
    entry = source.entries.get(name)
    return ConfigProblem(
        file=entry.file if entry else source.shown,
        line=entry.line if entry else 0,
        variable=name,
        value=kind.shown(entry.value) if entry else None,
        expected=objection.expected,
        mend=objection.mend,
    )


__all__ = [
    "InverseEtfMap",
    "Settings",
    "load_inverse_etf_map",
    "load_settings",
    "settings_lines",
    "tbot_home",
]
