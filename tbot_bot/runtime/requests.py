"""What the commands ask for, as frozen values: between the command line and the programs behind it."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

REHEARSAL_DAY: Final = date(2025, 9, 2)
"""A plain Tuesday in summer time: no holiday around it, no early close, no expiry."""
REHEARSAL_SEED: Final = 20250902
REHEARSAL_SPEED: Final = 400.0
"""Market seconds per real second: two hours of morning, then, idle time skipped, one of afternoon."""

Overrides = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunRequest:
    """`tbot dry-run`: one day over recorded bars, without processes."""

    home: Path
    data: Path
    day: date
    vix: Path | None = None
    speed: float | None = None
    """Market seconds per real second; None: as fast as it goes."""
    overrides: Overrides = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """`tbot run`: the supervisor, for ever or for the rest of one day."""

    home: Path
    once: bool = False
    day: date | None = None
    """A day other than today; test mode only."""
    rehearsal: bool = False
    """Test mode, a fixed day of the synthetic market, built-in settings where there are none."""
    data: Path | None = None
    vix: Path | None = None
    seed: int | None = None
    speed: float | None = None
    """None: as TIME_COMPRESSION says."""
    overrides: Overrides = ()
    i_know: str = ""
    """Why strategies may trade live that have no proof on record; empty: they may not."""
    by: str = ""
    """Who asks, for the journal."""
