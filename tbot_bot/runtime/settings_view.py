"""The settings in force, each with where it was set: what `tbot config show` prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from tbot_bot.config.assignments import BOT_FILE, ENV_FILE, OLDER_NAMES
from tbot_bot.config.envfile import parse, quoted
from tbot_bot.config.error_handler import MASK, ConfigError, ConfigProblem
from tbot_bot.config.model import SettingsGroup, variables
from tbot_bot.config.settings import Settings, bot_files, load_settings
from tbot_bot.config.settings_bot import COMMAND_LINE, current_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSetting:
    """One variable, fit to be shown."""

    name: str
    value: str
    """As a file would say it; a secret's is masked."""
    is_set: bool
    """False: it is at its default."""
    place: str
    """`file:line` where it is set."""
    description: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsView:
    """All variables that were asked for, in their stable order."""

    shown: tuple[ShownSetting, ...]
    warnings: tuple[str, ...]


def settings_view(home: Path, names: Sequence[str]) -> SettingsView:
    """Return what is in force under `home`; all of it where no names are given.

    Raises:
        ConfigError: the settings cannot be used, or there is no variable of such a name.
    """
    settings = load_settings(home)
    shown = tuple(_shown(settings))
    known = {one.name: one for one in shown}
    wanted = [OLDER_NAMES.get(name, name) for name in names]
    strangers = [name for name in wanted if name not in known]
    if strangers:
        raise ConfigError([_stranger(name, list(known)) for name in strangers])
    chosen = tuple(known[name] for name in wanted) if wanted else shown
    return SettingsView(shown=chosen, warnings=settings.warnings)


def _shown(settings: Settings) -> Iterator[ShownSetting]:
    files = bot_files(settings.home, settings.env)
    sources: tuple[tuple[str, str, SettingsGroup], ...] = (
        (ENV_FILE, ENV_FILE, settings.env),
        (BOT_FILE, files.sealed_shown if files.are_sealed else files.shown, settings.bot),
    )
    for section, name, model in sources:
        entries = parse(current_text(settings.home, section), name).entries
        lines = {OLDER_NAMES.get(entry.name, entry.name): entry.line for entry in entries}
        for variable in variables(type(model)):
            text = variable.kind.render(getattr(model, variable.attribute))
            line = lines.get(variable.name)
            elsewhere = text and variable.kind.secret and line is None  # the key, from outside the files
            yield ShownSetting(
                name=variable.name,
                value=MASK if variable.kind.secret and text else quoted(text),
                is_set=line is not None or bool(elsewhere),
                place=f"{name}:{line}" if line is not None else "environment" if elsewhere else "default",
                description=variable.kind.description,
                expected=variable.kind.expected,
            )


def _stranger(name: str, known: Sequence[str]) -> ConfigProblem:
    near = get_close_matches(name.upper(), known, n=1, cutoff=0.6)
    mend = f"did you mean {near[0]}?" if near else "`tbot config show` lists all of them"
    return ConfigProblem(file=COMMAND_LINE, variable=name, expected="a known variable", mend=mend)


__all__ = ["SettingsView", "ShownSetting", "settings_view"]
