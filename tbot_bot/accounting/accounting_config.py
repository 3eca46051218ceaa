"""What the books of one installation are made with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tbot_bot.core.identity import Mode

Backup = Callable[[Path], None]
"""Makes a copy of the file at the path before it is written to; raises TbotError where it cannot."""


def no_backup(_: Path) -> None:
    """Make no copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksConfig:
    """Where books are, whose they are, and how they are kept safe."""

    mode: Mode
    """Live or paper: a backtest keeps none."""
    ledger: Path
    journal: Path
    backup: Backup = no_backup
    """Called before each writing that adds something, with the ledger's path, if there is a ledger."""


__all__ = ["Backup", "BooksConfig", "no_backup"]
