"""The latch of the kill switch: in the journal and in `control/killed.json`; engaged where either says so.

So a restart does not release it, nor does a lost file, nor a broken journal. Whoever asks whether it is engaged
asks here: the supervisor's start, the build check, runners, metrics, transfers of money.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import JournalError
from tbot_bot.config.scrub import scrub
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant, iso, parse_iso
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.engaged import KillSwitchEngaged, engaged_in
from tbot_bot.journal.store import Entry, Journal, journal_path, open_reader
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import BYTES_MAX, KILLED_FILE
from tbot_bot.runtime.files import write_atomically

MODES: Final = (Mode.PAPER, Mode.LIVE)
"""Those that trade: the switch is the installation's, so it counts whichever of their journals tells of it."""
_BUSY_SECONDS: Final = 2.0
"""Of waiting for another process's transaction: closing must not wait for a journal that hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """The kill switch as it is engaged."""

    by: str
    why: str
    at: Instant | None = None
    """Real time; None where it cannot be read."""
    source: str = ""
    keep_positions: bool = False
    remark: str = ""
    """Which of the two places does not say so, if one does not."""

    @property
    def words(self) -> str:
        """Return it for people: `by anna: prices look wrong`."""
        remark = f" ({self.remark})" if self.remark else ""
        return f"by {self.by or 'unknown'}: {self.why or 'no reason given'}{remark}"


def engagement(home: Path, control: Path) -> Engagement | None:
    """Return how the kill switch of `home` is engaged; None where it is not. Raises nothing."""
    filed = _filed(control / KILLED_FILE)
    if filed is not None:
        return filed
    for mode in MODES:
        told = _journaled(home, mode)
        if told is not None:
            return Engagement(
                by=told.by,
                why=told.why,
                at=told.at,
                source=told.source,
                keep_positions=told.keep_positions,
                remark=f"the {mode} journal says so, though {KILLED_FILE} is missing",
            )
    return None


def engaged(home: Path, control: Path) -> str:
    """Return by whom and why the kill switch is engaged, empty where it is not."""
    found = engagement(home, control)
    return "" if found is None else found.words


def engage(
    home: Path, control: Path, *, by: str, why: str, source: str, keep_positions: bool = False
) -> tuple[Engagement, tuple[str, ...]]:
    """Engage the kill switch in both places and return how it is engaged now, and what could not be written.

    The first reason stands. It never raises: whatever fails, closing must go on.
    """
    problems: list[str] = []
    present = _filed(control / KILLED_FILE)
    if present is None:
        present = Engagement(by=by, why=why, at=wall_now(), source=source, keep_positions=keep_positions)
        try:
            write_atomically(control / KILLED_FILE, _text_of(present))
        except OSError as error:
            problems.append(f"{KILLED_FILE} could not be written: {error.strerror or error}")
            with suppress(OSError):  # on a full disk an empty file: engaged, though it cannot say why
                (control / KILLED_FILE).touch()
    problems += [words for mode in MODES if (words := _journal(home, mode, present))]
    return present, tuple(problems)


def engaged_journals(home: Path) -> Iterator[Mode]:
    """Yield the modes whose journal says that the switch is engaged."""
    return (mode for mode in MODES if _journaled(home, mode) is not None)


def row_of(found: Engagement) -> KillSwitchEngaged:
    """Return the journal's row for `found`."""
    return KillSwitchEngaged(
        at=found.at or wall_now(),
        by=found.by,
        why=found.why,
        source=found.source or "latch",
        keep_positions=found.keep_positions,
    )


def _journal(home: Path, mode: Mode, found: Engagement) -> str:
    """Write the row where there is such a journal that does not say so yet; return what stands in the way."""
    path = journal_path(home / "output" / "journal", mode)
    if not os.path.lexists(path):
        return ""
    try:
        with Journal.open(path, mode, busy_seconds=_BUSY_SECONDS) as journal:
            if engaged_in(journal) is None:
                row = row_of(found)
                journal.append([Entry.of(row, kind=Kind.CONTROL, at=row.at, recorded_at=wall_now())])
    except (JournalError, OSError) as error:
        return f"the {mode} journal could not be told: {error}"
    return ""


def _journaled(home: Path, mode: Mode) -> KillSwitchEngaged | None:
    path = journal_path(home / "output" / "journal", mode)
    if not os.path.lexists(path):
        return None
    try:
        with open_reader(path, busy_seconds=_BUSY_SECONDS) as journal:
            return engaged_in(journal)
    except (JournalError, OSError):  # a journal that cannot be read stops every start by itself
        return None


def _filed(path: Path) -> Engagement | None:
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Engagement(by="unknown", why=f"unreadable {KILLED_FILE}: {error.strerror}")
    try:
        data = json.loads(raw) if len(raw) <= BYTES_MAX else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        return Engagement(by="unknown", why=f"unreadable {KILLED_FILE}")
    at: Instant | None = None
    with suppress(ValueError, KeyError, TypeError):  # engaged, at a time that cannot be read
        at = parse_iso(data["at"])
    return Engagement(
        by=str(data.get("by", "unknown")),
        why=str(data.get("why", "")),
        at=at,
        source=str(data.get("source", "")),
        keep_positions=data.get("keep_positions") is True,
    )


def _text_of(found: Engagement) -> str:
    at = None if found.at is None else iso(found.at)
    values = {"by": found.by, "why": scrub(found.why), "at": at, "source": found.source}
    return json.dumps({**values, "keep_positions": found.keep_positions})


__all__ = ["Engagement", "engage", "engaged", "engaged_journals", "engagement", "row_of"]
