"""What can be wrong with a backup, by name."""

from enum import StrEnum
from typing import ClassVar, Final

from tbot_bot.config.error_handler import TbotError


class Damage(StrEnum):
    """Why a backup is not good."""

    WRONG_KEY = "wrong_key"
    """Sealed for keys that are not at hand."""
    TRUNCATED = "truncated"
    """Its end is missing."""
    ALTERED = "altered"
    """Bits were changed after it was written."""
    MISSING_CHUNK = "missing_chunk"
    """Parts are missing within it, or stand in another order."""
    MISSING_FILE = "missing_file"
    """A file that its manifest lists is not in it, or the backup itself has gone."""
    FOREIGN = "foreign"
    """Something that no backup of ours would hold: another file, or bytes after the end."""
    CHANGED_FILE = "changed_file"
    """A file in it is not the one that its manifest lists."""
    RECORDS = "records"
    """The file is whole, but the records in it do not hold: chain, tape or projections."""


_MEND: Final = "Take another copy of it, or an older backup."


class BackupError(TbotError):
    """A backup was not made, not copied, not kept, or cannot be read. Trading is not concerned."""

    code: ClassVar[str] = "BACKUP"
    retryable: ClassVar[bool] = True


class BackupDamaged(BackupError):
    """A backup that must not be relied upon; `damage` says in which way."""

    code: ClassVar[str] = "BACKUP_DAMAGED"
    retryable: ClassVar[bool] = False

    def __init__(self, damage: Damage, what: str, *, where: str = "", mend: str = _MEND) -> None:
        """Tell what is wrong with which file."""
        super().__init__(what, where=where, mend=mend)
        self.damage: Final = damage


__all__ = ["BackupDamaged", "BackupError", "Damage"]
