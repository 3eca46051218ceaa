"""How the commands read their words and speak: JSON or text on stdout, messages on stderr."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

import typer

from tbot_bot.config.error_handler import ConfigError, TbotError
from tbot_bot.config.process_env import columns_given

if TYPE_CHECKING:  # rich takes a tenth of a second to import; `--help` and `--json` do without
    from rich.console import Console

JsonValue = Mapping[str, "JsonValue"] | Sequence["JsonValue"] | str | int | float | bool | None

DONE: Final = 0
FAILED: Final = 1
CONFIGURATION: Final = 2
BUILD_CHECK: Final = 3
ALREADY_RUNNING: Final = 4
HALTED: Final = 5
CREDENTIALS: Final = 6
INTERRUPTED: Final = 130
TERMINATED: Final = 143
"""As a shell says of a process that died of SIGTERM."""
EXIT_CODES: Final = (
    (DONE, "done"),
    (FAILED, "failed"),
    (CONFIGURATION, "the settings or the words given cannot be used"),
    (BUILD_CHECK, "a check before the start failed"),
    (ALREADY_RUNNING, "already running"),
    (HALTED, "halted by the kill switch"),
    (CREDENTIALS, "a broker or a data vendor refused the credentials"),
    (INTERRUPTED, "interrupted"),
)
"""Every exit status that a command may end with, and what it means."""

_STATUS_BY_CODE: Final = {"CONFIG": CONFIGURATION, "ALREADY_RUNNING": ALREADY_RUNNING, "CREDENTIALS": CREDENTIALS}
_EXAMPLE_WIDTH: Final = 75
"""Columns that are left by what help puts before an example, and by a backslash after it."""
_PIPE_WIDTH: Final = 120
"""Columns where nobody's terminal says how many."""
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_SPEED_MAX: Final = 1e6


def example(*lines: str) -> str:
    """Return the epilog of a command for 80 columns; the mark in front keeps typer from joining the lines.

    A long line goes on after a backslash, as a shell reads it.
    """
    return "\n".join(("\b", "Example:", *(part for line in lines for part in _folded(line))))


def _folded(line: str) -> Iterator[str]:
    """Yield `line` cut before options, so that no value is parted from its name."""
    words, *options = line.split(" --")
    shown = f"  {words}"
    for option in options:
        if len(f"{shown} --{option}") > _EXAMPLE_WIDTH:
            yield f"{shown} \\"
            shown = f"      --{option}"
        else:
            shown = f"{shown} --{option}"
    yield shown


def with_exit_codes(epilog: str) -> str:
    """Return `epilog` followed by the table of exit codes."""
    return "\n".join((epilog, "", "\b", "Exit codes:", *(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES)))


def status_of(error: TbotError) -> int:
    """Return the exit status that belongs to `error`."""
    return _STATUS_BY_CODE.get(error.code, FAILED)


def complain(error: Exception | str) -> None:
    """Say on stderr what went wrong; settings with one problem per line."""
    if isinstance(error, ConfigError) and len(error.problems) > 1:
        text = f"the settings have {len(error.problems)} problems\n{error}"
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror or error}"
    else:
        text = str(error)
    typer.echo(f"error: {printable(text)}", err=True)


def printable(text: str) -> str:
    """Return `text` without control characters, line ends apart: file names can hold anything."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def emit_json(value: JsonValue) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1))


def console(*, stderr: bool = False) -> "Console":
    """Return a rich console: styled on a terminal without NO_COLOR, else plain and wide enough."""
    from rich.console import Console  # noqa: PLC0415 - not needed for JSON

    made = Console(stderr=stderr, highlight=False, markup=False)
    if made.no_color:  # rich would leave bold and dim, escape codes as well
        made = Console(stderr=stderr, highlight=False, markup=False, color_system=None)
    if not made.is_terminal and not columns_given():
        made.width = _PIPE_WIDTH
    return made


def is_live(out: "Console") -> bool:
    """Return whether `out` can show something in place: a terminal that understands more than line ends."""
    return out.is_terminal and not out.is_dumb_terminal


def stdout_is_terminal() -> bool:
    """Return whether a person reads along."""
    return sys.stdout.isatty()


def day_of(text: str) -> date:
    """Read a day.

    Raises:
        typer.BadParameter: not a day of the calendar.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is not a day; write it as 2018-03-02"
        raise typer.BadParameter(msg) from None


def speed_of(text: str) -> float | None:
    """Read a speed in market seconds per real second; `max` is None.

    Raises:
        typer.BadParameter: neither `max` nor a usable number.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= _SPEED_MAX:
        msg = f"{text!r} is not a speed; write max, or a number above 0 such as 60 (market seconds per second)"
        raise typer.BadParameter(msg, param_hint="'--speed'")
    return speed


def pairs_of(settings: Iterable[str] | None) -> tuple[tuple[str, str], ...]:
    """Read the `NAME=VALUE` of `--set`.

    Raises:
        typer.BadParameter: one without `=`, or a name given twice.
    """
    pairs: dict[str, str] = {}
    for text in settings or ():
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            msg = f"{text!r} is not of the form NAME=VALUE"
            raise typer.BadParameter(msg, param_hint="'--set'")
        if name in pairs:
            msg = f"{name} is given twice"
            raise typer.BadParameter(msg, param_hint="'--set'")
        pairs[name] = value
    return tuple(pairs.items())


def user_name(command: str) -> str:
    """Return who is asking, for the journal: the account's name and the command."""
    import getpass  # noqa: PLC0415 - only for control flags

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # no entry in the user database, as in some containers
        name = "unknown"
    return f"{name} ({command})"


Command = Callable[..., int]
