"""What one file assigns, on its way into its model: strangers, doubles, lines run into each other, wrong values."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, TypeVar

from pydantic import ValidationError

from tbot_bot.config.checks import Objection
from tbot_bot.config.env import EnvSettings
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.envfile import NAME_SHOWN_MAX, Comment, Entry, Parsed
from tbot_bot.config.error_handler import ConfigProblem
from tbot_bot.config.model import SettingsGroup, Variable, variables

ENV_FILE: Final = ".env"
BOT_FILE: Final = ".env_bot"
OLDER_NAMES: Final = MappingProxyType({"ENV_BOT_KEY": "ENCRYPTION_KEY", "ACCOUNTING_EXPORT_MODE": "LEDGER_EXPORT_MODE"})
"""Names of earlier versions and what they are called now."""

_VARIABLES: Final[Mapping[str, Mapping[str, Variable]]] = MappingProxyType(
    {
        ENV_FILE: MappingProxyType({variable.name: variable for variable in variables(EnvSettings)}),
        BOT_FILE: MappingProxyType({variable.name: variable for variable in variables(BotSettings)}),
    }
)
_SUGGESTIONS_MAX: Final = 50  # looking for near names is slow; a file of strangers is some other file
_FOREIGN_LINES_MAX: Final = 20
"""A file with more lines than this, none of them ours, is told in one line instead of in each."""
_SWAPPED_MIN: Final = 3
_NAME_IN_TEXT_MIN: Final = 6  # a shorter one may end a base64 text by chance
_UPPER_NAME: Final = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_ASSIGNED_IN_COMMENT: Final = re.compile(r"([A-Za-z0-9_]*[A-Z][A-Z0-9_]*) ?=")
_MAY_PRECEDE: Final = frozenset(" \t#(\"'`[{<:,;/=-")
"""What stands before a name that a comment mentions; anything else ran into it where a line end was lost."""

M = TypeVar("M", bound=SettingsGroup)


class Source:
    """One file's assignments on their way into a model; problems are collected as they are met."""

    def __init__(
        self, section: str, shown: str, parsed: Parsed, problems: list[ConfigProblem], *, chosen_at: str = ""
    ) -> None:
        """Take what `parsed` says; `chosen_at` is where the file's name was set, if it is not the usual one."""
        self.shown = shown
        self.entries: dict[str, Entry] = {}
        self.broken: set[str] = {OLDER_NAMES.get(problem.variable, problem.variable) for problem in parsed.problems}
        """What is known to be wrong, and so is not held against other variables."""
        self.unread = bool(parsed.problems) and not parsed.entries
        """Whether nothing is known of what the file says."""
        self._section = section
        self._known = _VARIABLES[section]
        self._names = {*self._known, *(old for old, new in OLDER_NAMES.items() if new in self._known)}
        self._problems = problems
        self._strangers = 0
        self._meant: set[str] = set()
        see = f"; see {chosen_at}" if chosen_at else ""
        foreign = self._foreign(parsed)
        if foreign is not None:
            self.unread = True
            problems.append(replace(foreign, mend=foreign.mend + see))
            return
        problems.extend(one if one.line else replace(one, mend=one.mend + see) for one in parsed.problems)
        if parsed.blank and section == BOT_FILE:  # `.env` may say nothing; how to trade, somebody has to mean
            mend = "restore it from a backup, or copy the template; a comment alone stands for all defaults"
            problems.append(ConfigProblem(file=shown, expected="settings; there is nothing in it", mend=mend))
        self.add(parsed.entries)
        self._look_into(parsed.comments)

    def add(self, entries: Iterable[Entry]) -> None:
        """Take `entries`; those from elsewhere go before what is there, twice from one place is a problem."""
        for entry in entries:
            name = OLDER_NAMES.get(entry.name, entry.name)
            if name not in self._known:
                self._problems.append(self._stranger(entry))
                continue
            before = self.entries.get(name)
            if before is not None and before.file == entry.file:
                where = f"line {before.line} sets {before.name}; " if before.line else ""
                self._object(entry, f"only one of {name} and its older name", f"{where}delete one of the two")
                continue
            self.entries[name] = entry

    def chosen_at(self, name: str) -> str:
        """Return where `name` was set to something else than its default, as `file:line (NAME)`; empty: nowhere."""
        return _chosen(name, "", self._section, self)

    def build(self, model: type[M]) -> M:
        """Return the model; a variable that cannot be used is reported, and its default stands in for it."""
        values = {name: entry.value for name, entry in self.entries.items()}
        self.broken |= self._meant.difference(values)
        wrong = set(self._run_in())
        try:
            return model.model_validate({name: value for name, value in values.items() if name not in wrong})
        except ValidationError as error:
            unfit = {str(item["loc"][0]) for item in error.errors(include_url=False, include_input=False)}
        for name in values:  # in the order of the file
            if name in unfit:
                self._object(self.entries[name], self._known[name].kind.expected, "")
        self.broken |= unfit
        return model.model_validate({name: value for name, value in values.items() if name not in wrong | unfit})

    def _run_in(self) -> Iterator[str]:
        """Yield what has an assignment inside its value: a line end was lost, and that is said before anything else."""
        for name, entry in self.entries.items():
            inside = next((other for other in sorted(self._names, key=len) if _holds(entry.value, other)), None)
            if inside is None:
                continue
            self.broken |= {name, OLDER_NAMES.get(inside, inside)}
            yield name
            self._problems.append(
                ConfigProblem(
                    file=entry.file,
                    line=entry.line,
                    variable=entry.name,  # without its value: what ran into it may be a secret
                    expected=f"one variable a line; {inside} stands in this one too",
                    mend=f"put a line end before {inside}",
                )
            )

    def _look_into(self, comments: Iterable[Comment]) -> None:
        """Find variables that a lost line end has moved into a comment, where they would silently be at default."""
        for comment in comments:
            for name in self._swallowed(comment.text):
                if OLDER_NAMES.get(name, name) not in self.entries:
                    self.broken.add(OLDER_NAMES.get(name, name))
                    self._problems.append(
                        ConfigProblem(
                            file=self.shown,
                            line=comment.line,
                            variable=name,
                            expected="a line of its own, not the end of a comment",
                            mend="put a line end before the name, or a space if it is meant as a comment",
                        )
                    )

    def _swallowed(self, comment: str) -> Iterator[str]:
        for match in _ASSIGNED_IN_COMMENT.finditer(comment):
            word, before = match[1], comment[match.start() - 1 : match.start()]
            if word in self._names:
                if before and before not in _MAY_PRECEDE:
                    yield word
                continue
            ends = [name for name in self._names if word.endswith(name)]
            name = max(ends, key=len, default="")
            if name and not word.removesuffix(name).endswith("_"):
                yield name

    def _foreign(self, parsed: Parsed) -> ConfigProblem | None:
        """Return the one thing to say of a file that is another one altogether."""
        names = [entry.name for entry in parsed.entries]
        if any(name in self._names for name in names):
            return None
        first = min([entry.line for entry in parsed.entries] + [problem.line for problem in parsed.problems], default=0)
        (other,) = (section for section in _VARIABLES if section != self._section)
        if len(names) >= _SWAPPED_MIN and all(name in _VARIABLES[other] for name in names):
            expected = f"the variables of {self._section}; all {len(names)} here belong in {other}"
            return ConfigProblem(file=self.shown, line=first, expected=expected, mend="were the two files swapped?")
        lines = len(names) + len(parsed.problems)
        if lines <= _FOREIGN_LINES_MAX:
            return None
        expected = f"settings; none of {lines} lines sets a variable of this program"
        mend = f"is this another program's file? Copy the template of {self._section} and edit it"
        return ConfigProblem(file=self.shown, line=first, expected=expected, mend=mend)

    def _object(self, entry: Entry, expected: str, mend: str) -> None:
        variable = self._known[OLDER_NAMES.get(entry.name, entry.name)]
        self._problems.append(
            ConfigProblem(
                file=entry.file,
                line=entry.line,
                variable=entry.name,
                value=variable.kind.shown(entry.value),
                expected=expected,
                mend=mend or (f"the default is {variable.default}" if variable.default else "correct the value"),
            )
        )

    def _stranger(self, entry: Entry) -> ConfigProblem:
        self._strangers += 1
        name = entry.name[:NAME_SHOWN_MAX]
        elsewhere = [section for section, known in _VARIABLES.items() if name in known and section != self._section]
        near: list[str] = []
        if self._strangers <= _SUGGESTIONS_MAX:
            near = get_close_matches(name.upper(), self._names, n=1, cutoff=0.6)
        if elsewhere:
            mend = f"it belongs in {elsewhere[0]}"
        elif near:
            mend = f"did you mean {near[0]}?"
            self._meant.add(OLDER_NAMES.get(near[0], near[0]))
        else:
            mend = "delete it"
        # the value is not shown: it may be a secret under a misspelt name. The name may be one that was broken in two
        shown = name if elsewhere or near or _UPPER_NAME.fullmatch(name) else ""
        return ConfigProblem(file=entry.file, line=entry.line, variable=shown, expected="a known variable", mend=mend)


def located(objection: Objection, env: Source, bot: Source) -> ConfigProblem:
    """Return the objection at the line of its first variable, with the lines of the others that were chosen."""
    name, *others = objection.variables
    section, source = _place(name, env, bot)
    entry = source.entries.get(name)
    file = entry.file if entry else source.shown
    see = [place for other in others if (place := _chosen(other, file, *_place(other, env, bot)))]
    return ConfigProblem(
        file=file,
        line=entry.line if entry else 0,
        variable=name,
        value=_VARIABLES[section][name].kind.shown(entry.value) if entry else None,
        expected=objection.expected,
        mend="; see ".join([objection.mend, *([", ".join(see)] if see else [])]),
        on_record=objection.missing,
    )


def in_reading_order(problems: Iterable[ConfigProblem]) -> list[ConfigProblem]:
    """Return `problems` file by file, as the files were read, each from its first line to its last."""
    found = list(problems)
    files = list(dict.fromkeys(problem.file for problem in found))
    return sorted(found, key=lambda problem: (files.index(problem.file), problem.line))


def _place(name: str, env: Source, bot: Source) -> tuple[str, Source]:
    return (ENV_FILE, env) if name in _VARIABLES[ENV_FILE] else (BOT_FILE, bot)


def _chosen(name: str, beside: str, section: str, source: Source) -> str:
    """Return where `name` was set to something else than its default; empty where it was not."""
    entry = source.entries.get(name)
    if entry is None or entry.value == _VARIABLES[section][name].default:
        return ""
    if not entry.line:
        return f"{entry.file} {name}"
    place = f"line {entry.line}" if entry.file == beside else f"{entry.file}:{entry.line}"
    return f"{place} ({name})"


def _holds(value: str, name: str) -> bool:
    _, found, after = value.partition(f"{name}=")
    return bool(found) and (len(name) >= _NAME_IN_TEXT_MIN or after.strip("=") != "")
