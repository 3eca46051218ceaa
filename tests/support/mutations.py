"""Settings files with one thing wrong, made from the templates: what it is, on which line, and what has to follow.

Each family of damage is a generator in `mutation_kinds.py`. The same seed gives the same files.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Final

from tbot_bot.config.error_handler import ConfigError
from tbot_bot.config.settings import BOT_FILE, ENV_FILE, load_settings

ROOT: Final = Path(__file__).resolve().parents[2]
TEMPLATES: Final = {
    ENV_FILE: (ROOT / ".env.example").read_text(encoding="utf-8"),
    BOT_FILE: (ROOT / ".env_bot.template-test").read_text(encoding="utf-8"),
}
MARKER: Final = "hunter2"
"""Stands in every secret that a mutation writes; no message may hold it."""


class Verdict(Enum):
    """What has to become of a file."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    EITHER = "either"
    """What was hit may be a comment, or the result may be another good value; if refused, then at the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One file, and what was done to it."""

    kind: str
    section: str
    data: bytes
    lines: tuple[int, ...] = ()
    """Where it was damaged, from 1; a message names one of them. Empty: no line is to blame."""
    verdict: Verdict = Verdict.REFUSED
    beside: bytes | None = None
    """The other file, where it is not the template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a mutated file."""

    mutation: Mutation
    message: str
    """Empty: accepted."""

    @property
    def refused(self) -> bool:
        return bool(self.message)

    @property
    def as_declared(self) -> bool:
        return self.mutation.verdict is Verdict.EITHER or self.refused is (self.mutation.verdict is Verdict.REFUSED)

    @property
    def names_its_line(self) -> bool:
        """Return whether a refusal names a damaged line, as `file:line:` or as `line N` of its own file."""
        named = set()
        for problem in self.message.splitlines():
            place = re.escape(self.mutation.section)
            named |= {int(number) for number in re.findall(rf"{place}:(\d+)\b", problem)}
            if problem.startswith(f"{self.mutation.section}:"):
                named |= {int(number) for number in re.findall(r"\bline (\d+)\b", problem)}
        return not named.isdisjoint(self.mutation.lines)

    @property
    def tells_a_secret(self) -> bool:
        return MARKER in self.message


def judged(mutation: Mutation, home: Path) -> Outcome:
    """Return what the loader says of `mutation`, written to `home`; anything but settings or ConfigError is raised."""
    for section, template in TEMPLATES.items():
        other = template.encode() if mutation.beside is None else mutation.beside
        (home / section).write_bytes(mutation.data if section == mutation.section else other)
    try:
        load_settings(home)
    except ConfigError as error:
        return Outcome(mutation=mutation, message=str(error) or "an empty message")
    return Outcome(mutation=mutation, message="")


def corpus(count: int, seed: int = 1) -> Iterator[Mutation]:
    """Yield `count` distinct mutations, the kinds in turn; a kind that has no new ones left falls out."""
    from tests.support.mutation_kinds import KINDS  # noqa: PLC0415 - they are made of what is defined here

    random, barren = Random(seed), dict.fromkeys(KINDS, 0)
    seen: set[tuple[str, bytes, bytes | None]] = set()
    for kind in cycle(KINDS):
        if count <= len(seen) or not barren:
            return
        if kind not in barren:
            continue
        mutation = kind(random)
        key = (mutation.section, mutation.data, mutation.beside)
        if key in seen:
            barren[kind] += 1
            if barren[kind] > _TRIES_MAX:
                del barren[kind]
            continue
        seen.add(key)
        yield mutation


_TRIES_MAX: Final = 30
