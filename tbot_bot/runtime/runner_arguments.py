"""What the supervisor tells a runner on its command line, written and read in one place."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, Self

from tbot_bot.core.identity import SessionId
from tbot_bot.runtime.clock import RunClock, clock_of

RUNNER_MODULE: Final = "tbot_bot.runtime.main"


class RunnerExit(IntEnum):
    """How a runner's exit status is to be read."""

    DONE = 0
    FAILED = 1
    CONFIGURATION = 2
    LOCKED = 4
    """Another runner holds the lock."""
    KILLED = 5
    """Ended by the kill switch."""
    CREDENTIALS = 6
    """A broker does not know our keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerArguments:
    """All that a runner is told. The same arguments again recover the same session."""

    session: SessionId
    home: Path
    anchor: str = ""
    """Of the compressed clock, `market:real` in nanoseconds; empty: the real clock."""
    speed: float = 1.0
    data: Path | None = None
    vix: Path | None = None
    seed: int | None = None
    rehearsal: bool = False
    """Test mode is forced, and built-in settings stand in for absent files."""
    overrides: tuple[tuple[str, str], ...] = ()
    settings_given: bool = False
    """The settings come on standard input: the supervisor's, whatever the files say by now."""
    expects_fingerprint: str = ""
    """Of code and settings as the supervisor sees them; another one begins no session."""

    @property
    def clock(self) -> RunClock:
        """Return the market's clock, the same as the supervisor's."""
        return clock_of(self.anchor, self.speed)

    @property
    def venue_folder(self) -> Path:
        """Return where the embedded venues keep what they know; each rehearsal of a day has its own."""
        return self.home / "output" / "venue" / f"{self.session.day.isoformat()}_{self.session.run}"

    def argv(self) -> tuple[str, ...]:
        """Return the command line that `parse` reads."""
        words = ["--session", str(self.session), "--home", str(self.home)]
        if self.anchor:
            words += ["--anchor", self.anchor, "--speed", repr(self.speed)]
        for name, value in (("--data", self.data), ("--vix", self.vix), ("--seed", self.seed)):
            if value is not None:
                words += [name, str(value)]
        if self.rehearsal:
            words.append("--rehearsal")
        if self.settings_given:
            words.append("--settings-given")
        for name, text in self.overrides:
            words += ["--set", f"{name}={text}"]
        return (*words, "--expects-fingerprint", self.expects_fingerprint)

    @classmethod
    def parse(cls, argv: Sequence[str] | None = None) -> Self:
        """Read what `argv` writes; exits with status 2 on anything else (only the supervisor starts runners)."""
        parser = argparse.ArgumentParser(prog=f"python -m {RUNNER_MODULE}", allow_abbrev=False)
        parser.add_argument("--session", type=SessionId.parse, required=True)
        parser.add_argument("--home", type=Path, required=True)
        parser.add_argument("--anchor", default="")
        parser.add_argument("--speed", type=float, default=1.0)
        parser.add_argument("--data", type=Path)
        parser.add_argument("--vix", type=Path)
        parser.add_argument("--seed", type=int)
        parser.add_argument("--rehearsal", action="store_true")
        parser.add_argument("--settings-given", action="store_true")
        parser.add_argument("--set", action="append", default=[])
        parser.add_argument("--expects-fingerprint", default="")
        found = parser.parse_args(argv)
        return cls(
            session=found.session,
            home=found.home,
            anchor=found.anchor,
            speed=found.speed,
            data=found.data,
            vix=found.vix,
            seed=found.seed,
            rehearsal=found.rehearsal,
            overrides=tuple(_pair(text) for text in found.set),
            settings_given=found.settings_given,
            expects_fingerprint=found.expects_fingerprint,
        )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
