"""The grid of a sweep: `NAME=from:to:step` and `NAME=a,b,c` read exactly, every combination in one fixed order."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from difflib import get_close_matches
from math import prod
from typing import Final

from tbot_bot.backtest.model import Overrides
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.config.model import Variable, variables
from tbot_bot.core.money import plain

SETS_MAX: Final = 10_000
AXES_MAX: Final = 8
GRID: Final = "--grid"
"""What messages call the place of a fault."""
_NUMBER: Final = r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})"
_DIGITS: Final = 120
"""Enough for every number that can be written here: no step is rounded."""
_RANGE: Final = re.compile(rf"({_NUMBER}):({_NUMBER}):({_NUMBER})")
_PLAIN: Final = re.compile(_NUMBER)
_FORM: Final = "write NAME=FROM:TO:STEP, or NAME=A,B,C (values that have commas themselves are parted by ;)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One setting and the values that it takes, in the order given; each as the settings file would say it."""

    name: str
    values: tuple[str, ...]

    @property
    def numeric(self) -> bool:
        """Return whether every value is a number."""
        return all(_PLAIN.fullmatch(value) for value in self.values)

    def __str__(self) -> str:
        """Return the axis in the form in which it can be given again."""
        return f"{self.name}={(';' if any(',' in value for value in self.values) else ',').join(self.values)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All combinations of the axes, numbered from 0; the last axis changes fastest."""

    axes: tuple[Axis, ...]

    def __len__(self) -> int:
        """Return how many sets of parameters there are."""
        return prod(len(axis.values) for axis in self.axes)

    def places(self, number: int) -> tuple[int, ...]:
        """Return which value of each axis the set `number` has."""
        found: list[int] = []
        for axis in reversed(self.axes):
            number, place = divmod(number, len(axis.values))
            found.append(place)
        return tuple(reversed(found))

    def pairs(self, number: int) -> Overrides:
        """Return the settings of the set `number`."""
        places = self.places(number)
        return tuple((axis.name, axis.values[place]) for axis, place in zip(self.axes, places, strict=True))

    def sets(self) -> Iterator[Overrides]:
        """Yield the settings of every set, in order."""
        return map(self.pairs, range(len(self)))


def read_grid(texts: Sequence[str], taken: Mapping[str, str]) -> Grid:
    """Read what `--grid` was given; `taken` says of names that are spoken for by what.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    known = {variable.name: variable for variable in variables(BotSettings)}
    axes: list[Axis] = []
    problems: list[ConfigProblem] = []
    for text in texts:
        try:
            axis = _axis(text, known)
            by = "another --grid" if any(axis.name == other.name for other in axes) else taken.get(axis.name, "")
            if by:
                raise _fault(axis.name, f"a setting that is given once; {by} gives it too", "leave out one of the two")
            axes.append(axis)
        except ConfigError as error:
            problems += error.problems
    grid = Grid(axes=tuple(axes))
    if not texts:
        problems.append(ConfigProblem(file=GRID, expected="at least one setting to vary", mend=_FORM))
    elif len(axes) > AXES_MAX:
        problems.append(
            ConfigProblem(file=GRID, expected=f"at most {AXES_MAX} settings, not {len(axes)}", mend="vary fewer")
        )
    elif len(grid) > SETS_MAX:
        times = " x ".join(str(len(axis.values)) for axis in axes)
        problems.append(
            ConfigProblem(
                file=GRID,
                expected=f"at most {SETS_MAX:,} combinations, not {times} = {len(grid):,}",
                mend="take wider steps, or sweep some of the settings at a time",
            )
        )
    if problems:
        raise ConfigError(problems)
    return grid


def _axis(text: str, known: Mapping[str, Variable]) -> Axis:
    name, equals, given = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise ConfigError([ConfigProblem(file=GRID, variable=text, expected="the form NAME=VALUES", mend=_FORM)])
    variable = known.get(name)
    if variable is None:
        near = get_close_matches(name.upper(), known, n=1, cutoff=0.6)
        mend = f"did you mean {near[0]}?" if near else "`tbot config show` lists them"
        raise _fault(name, "a trading setting", mend)
    values: dict[object, str] = {}
    for part in given.split(";" if ";" in given else ","):
        for value in _values(name, part.strip()):
            parsed = _parsed(variable, value)
            if parsed in values:
                raise _fault(name, "each value once", f"take out the second {value}")
            values[parsed] = variable.kind.render(parsed)
    if len(values) < 2:  # noqa: PLR2004 - one value is no choice
        raise _fault(name, "two values or more", f"add values, or use --set {name}={given}", given)
    return Axis(name=name, values=tuple(values.values()))


def _values(name: str, part: str) -> Iterator[str]:
    """Yield what one part stands for: itself, or the steps of a range, both ends included where a step meets them."""
    found = _RANGE.fullmatch(part)
    if found is None:
        if part.count(":") == 2:  # noqa: PLR2004 - it was meant as a range
            raise _fault(name, "numbers as FROM:TO:STEP", "as in 0.005:0.03:0.005", part)
        yield part
        return
    first, last, step = map(Decimal, found.groups())
    if step <= 0:
        raise _fault(name, "a step above 0", "write the smaller end first and a step above 0", part)
    if first > last:
        raise _fault(name, "a range that holds something", "write the smaller end first", part)
    with localcontext(prec=_DIGITS):
        count = int(((last - first) / step).to_integral_value(ROUND_FLOOR)) + 1
        if count > SETS_MAX:
            raise _fault(name, f"at most {SETS_MAX:,} values, not {count:,}", "take a wider step", part)
        values = [plain(first + number * step) for number in range(count)]
    yield from values


def _parsed(variable: Variable, value: str) -> object:
    try:
        return variable.kind.parse(value)
    except ValueError:
        mend = f"the default is {variable.default}" if variable.default else "correct the value"
        raise _fault(variable.name, variable.kind.expected, mend, value) from None


def _fault(name: str, expected: str, mend: str, value: str | None = None) -> ConfigError:
    return ConfigError([ConfigProblem(file=GRID, variable=name, value=value, expected=expected, mend=mend)])


__all__ = ["AXES_MAX", "GRID", "SETS_MAX", "Axis", "Grid", "read_grid"]
