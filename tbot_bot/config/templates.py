"""`.env.example` and `.env_bot.template-test`, written from the models: `python -m tbot_bot.config.templates`."""

import sys
import textwrap
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tbot_bot.config.env import EnvSettings
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.envfile import quoted
from tbot_bot.config.model import SettingsGroup, Variable, variables
from tbot_bot.config.settings import tbot_home

_WIDTH: Final = 110
_ENV_HEAD: Final = (
    "Where things are and what is secret. Copy to .env, fill in what you use, and keep it from others "
    "(chmod 600 .env). As it stands it is enough for the first dry run."
)
_BOT_HEAD: Final = (
    "How to trade. Copy to .env_bot. As it stands it rehearses on the embedded simulator: no account, no key, "
    "no network."
)
_HEADS: Final[Mapping[str, tuple[type[SettingsGroup], str]]] = MappingProxyType(
    {".env.example": (EnvSettings, _ENV_HEAD), ".env_bot.template-test": (BotSettings, _BOT_HEAD)}
)


def templates() -> dict[str, str]:
    """Return the text of each template by its file name."""
    return {name: _template(model, head) for name, (model, head) in _HEADS.items()}


def write_templates(folder: Path) -> tuple[Path, ...]:
    """Write the templates into `folder` and return where."""
    written = []
    for name, text in templates().items():
        path = folder / name
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    return tuple(written)


def _template(model: type[SettingsGroup], head: str) -> str:
    note = "Generated from the models by `python -m tbot_bot.config.templates`; changes to this file are lost."
    blocks = [_comment(head) + "\n" + _comment(note)]
    for title, group in groupby(variables(model), key=lambda variable: variable.group):
        rule = "-" * (_WIDTH - len(title) - 7)
        blocks.append("\n\n".join([f"# --- {title} {rule}", *map(_assignment, group)]))
    return "\n\n".join(blocks) + "\n"


def _assignment(variable: Variable) -> str:
    comment = _comment(variable.kind.description)
    default = f"; default {variable.default}" if variable.default and not variable.kind.secret else ""
    value = "" if variable.kind.secret else quoted(variable.default)
    return f"{comment}\n{variable.name}={value}  # {variable.kind.expected}{default}"


def _comment(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


if __name__ == "__main__":
    for place in write_templates(tbot_home()):
        sys.stdout.write(f"wrote {place.name}\n")
