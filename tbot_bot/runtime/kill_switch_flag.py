"""`output/shutdown_flag.json`: why the bot was shut down for good, what was done about it, and what is left."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from tbot_bot.core.instants import Instant, iso, parse_iso
from tbot_bot.runtime.files import write_atomically

SHUTDOWN_FLAG: Final = "shutdown_flag.json"
_BYTES_MAX: Final = 1_000_000
Value = str | bool | list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownFlag:
    """What the kill switch came to. Times are the machine's; texts are for people."""

    reason: str
    by: str
    source: str
    at: Instant
    """When it was engaged."""
    written_at: Instant
    keep_positions: bool
    done: bool
    """Nothing is left: flat and without orders, or, with `keep_positions`, without entries and all protected."""
    cancelled: tuple[str, ...] = ()
    """Client ids of the orders that were cancelled without an engine."""
    closed: tuple[str, ...] = ()
    """What was closed since, by whomever: one line for each trade."""
    kept: tuple[str, ...] = ()
    """What stays under its stop: one line for each trade."""
    left: tuple[str, ...] = ()
    """What a person has to see to."""
    problems: tuple[str, ...] = ()
    """What could not be read or written on the way."""

    @property
    def words(self) -> str:
        """Return the outcome as one line."""
        if self.left:
            return f"LEFT: {'; '.join(self.left)}"
        if self.keep_positions:
            return f"no entry order rests; {len(self.kept)} positions stay under their stops"
        return "nothing of ours rests or is held any more"

    def after(self, before: "ShutdownFlag | None") -> "ShutdownFlag":
        """Return this with what an earlier run for the same engagement has done already."""
        if before is None or before.at != self.at:
            return self
        return replace(
            self,
            cancelled=tuple(dict.fromkeys((*before.cancelled, *self.cancelled))),
            closed=tuple(dict.fromkeys((*before.closed, *self.closed))),
        )

    def plain(self) -> Mapping[str, Value]:
        """Return it as JSON-ready data."""
        lists = ("cancelled", "closed", "kept", "left", "problems")
        return {
            "reason": self.reason,
            "by": self.by,
            "source": self.source,
            "at": iso(self.at),
            "written_at": iso(self.written_at),
            "keep_positions": self.keep_positions,
            "done": self.done,
            "summary": self.words,
            **{name: list(getattr(self, name)) for name in lists},
        }

    @classmethod
    def of(cls, data: object) -> Self | None:
        """Read what `plain` writes; None where it is something else."""
        if not isinstance(data, dict):
            return None
        with suppress(KeyError, ValueError, TypeError, AttributeError):  # something else: None
            lists = ("cancelled", "closed", "kept", "left", "problems")
            return cls(
                reason=str(data["reason"]),
                by=str(data["by"]),
                source=str(data["source"]),
                at=parse_iso(data["at"]),
                written_at=parse_iso(data["written_at"]),
                keep_positions=data["keep_positions"] is True,
                done=data["done"] is True,
                **{name: tuple(str(item) for item in data[name]) for name in lists},
            )
        return None


def flag_path(home: Path) -> Path:
    """Return where the flag of `home` is."""
    return home / "output" / SHUTDOWN_FLAG


def write_flag(home: Path, flag: ShutdownFlag) -> None:
    """Put `flag` in the place of the one before, whole or not at all.

    Raises:
        OSError: it could not be written.
    """
    write_atomically(flag_path(home), json.dumps(flag.plain(), ensure_ascii=False, indent=1))


def read_flag(home: Path) -> ShutdownFlag | None:
    """Return the flag of `home`; None where there is none that can be read."""
    try:
        with flag_path(home).open("rb") as file:
            return ShutdownFlag.of(json.loads(file.read(_BYTES_MAX)))
    except (OSError, ValueError, RecursionError):
        return None


__all__ = ["ShutdownFlag", "flag_path", "read_flag", "write_flag"]
