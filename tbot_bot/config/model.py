"""What the settings models share, and how to look at their variables one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tbot_bot.config.fields import Kind


class SettingsGroup(BaseSettings):
    """A frozen group of variables; a field is named like its variable, in lower case. Strangers are refused.

    The values come from a parsed file, never from the process environment: a shell's `USERNAME` must not log in.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=False,  # defaults are values already; a test reads each back from its text
        alias_generator=str.upper,
        hide_input_in_errors=True,
    )

    title: ClassVar[str] = ""
    """Heading of the group in templates, docs and forms."""

    # mypy's plugin reports the alias generator here; it is about required fields, and ours all have defaults
    @classmethod  # type: ignore[pydantic-alias]
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the one source there is: what the loader hands over."""
        return (init_settings,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable as templates, documentation and forms need it."""

    name: str
    group: str
    kind: Kind
    default: str
    """As the file would say it; empty for secrets."""

    @property
    def attribute(self) -> str:
        """Return the name of the model's field."""
        return self.name.lower()


def groups_of(model: type[SettingsGroup]) -> tuple[type[SettingsGroup], ...]:
    """Return the groups that `model` is put together from, in reading order."""
    return tuple(base for base in model.__mro__ if issubclass(base, SettingsGroup) and base.title and base is not model)


def variables(model: type[SettingsGroup]) -> tuple[Variable, ...]:
    """Return every variable of `model`, group by group, in the order of definition."""
    return tuple(variable for group in groups_of(model) for variable in _own(group))


def _own(group: type[SettingsGroup]) -> Iterator[Variable]:
    for attribute, field in group.model_fields.items():
        kind = next(item for item in field.metadata if isinstance(item, Kind))
        yield Variable(name=attribute.upper(), group=group.title, kind=kind, default=kind.render(field.get_default()))
