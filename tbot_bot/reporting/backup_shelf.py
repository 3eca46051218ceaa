"""The folder `backups/`: drafts, finished backups, and beside each a card that says what is known of it.

A backup counts as good from the moment on at which its card says that it was read back. A process may be killed at any
step: what it leaves is a draft, which the next run removes, or a whole backup without a card, which the next run reads.
"""

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tbot_bot.config.files import sweep_drafts, sync_folder, write_atomically
from tbot_bot.core.instants import Instant, iso, parse_iso
from tbot_bot.reporting.backup_errors import BackupError
from tbot_bot.reporting.backup_names import SUFFIX, BackupName

CARD: Final = ".json"
MAKING: Final = "draft"
COPYING: Final = "copy"
"""What one is at here, each with a lock and drafts of its own: a slow remote holds up no backup."""
_POLL_SECONDS: Final = 0.1
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is known of one backup."""

    bytes: int
    sha256: str
    verified_at: Instant
    """When it was last read to its end and found whole."""
    copies: tuple[str, ...] = field(default=())
    """Remotes at which it was found by its hash, as messages show them."""

    def text(self) -> str:
        """Return it as JSON."""
        told = {"bytes": self.bytes, "sha256": self.sha256, "verified_at": iso(self.verified_at)}
        return f"{json.dumps({**told, 'copies': list(self.copies)}, indent=1)}\n"

    @classmethod
    def parse(cls, text: str) -> "Card | None":
        """Read it; None where it is none: the backup will be read again."""
        try:
            told = json.loads(text)
            return cls(
                bytes=int(told["bytes"]),
                sha256=str(told["sha256"]),
                verified_at=parse_iso(told["verified_at"]),
                copies=tuple(map(str, told["copies"])),
            )
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """One backup in the folder."""

    name: BackupName
    path: Path
    bytes: int
    """-1: its card is there and it is not."""
    card: Card | None

    @property
    def is_good(self) -> bool:
        """Return whether it was read back, and has the size that it had then."""
        return self.card is not None and self.card.bytes == self.bytes


class Shelf:
    """The backups of one installation."""

    def __init__(self, folder: Path, purpose: str = MAKING) -> None:
        """Nothing is made before it is needed."""
        self.folder: Final = folder
        self._purpose: Final = purpose

    @contextmanager
    def locked(self, patience_seconds: float) -> Iterator[None]:
        """Be the only one who writes here, and clear away what a killed one has left.

        Raises:
            BackupError: another process is at it for longer than that, or the folder cannot be used.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self.folder / f".lock-{self._purpose}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            mend = "Look at the rights of the folder and at the disk."
            raise BackupError(f"cannot be used ({error.strerror})", where=str(self.folder), mend=mend) from error
        try:
            self._wait(handle, patience_seconds)
            self.sweep()
            yield
        finally:
            os.close(handle)

    def _wait(self, handle: int, patience_seconds: float) -> None:
        for _ in range(max(1, round(patience_seconds / _POLL_SECONDS))):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                threading.Event().wait(_POLL_SECONDS)
            else:
                return
        raise BackupError("another backup is under way", where=str(self.folder), mend="Try again when it has ended.")

    def sweep(self) -> None:
        """Remove what was left unfinished; only for who holds the lock."""
        for left in self.folder.glob(f".{self._purpose}-*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        for path in self.folder.glob(f".*{SUFFIX}{CARD}.*"):  # what a killed writing of a card has left
            sweep_drafts(path.with_name(path.name[1:].rpartition(".")[0]))

    def draft(self, name: str) -> Path:
        """Return where something may be built that the next run may remove."""
        return self.folder / f".{self._purpose}-{name}"

    def put(self, draft: Path, name: BackupName, card: Card) -> Shelved:
        """Take a finished and synced draft under its own name, then give it its card."""
        path = self.folder / str(name)
        draft.replace(path)
        sync_folder(self.folder)
        self.note(name, card)
        return Shelved(name=name, path=path, bytes=card.bytes, card=card)

    def note(self, name: BackupName, card: Card) -> None:
        """Write down what is known of a backup."""
        write_atomically(self.folder / f"{name}{CARD}", card.text())

    def note_copy(self, shelved: Shelved, where: str) -> Shelved:
        """Write down that a backup was found whole at a remote."""
        if shelved.card is None or where in shelved.card.copies:
            return shelved
        card = replace(shelved.card, copies=(*shelved.card.copies, where))
        self.note(shelved.name, card)
        return replace(shelved, card=card)

    def remove(self, name: BackupName) -> None:
        """Remove a backup: the card goes first, so that what a kill leaves counts as nothing."""
        (self.folder / f"{name}{CARD}").unlink(missing_ok=True)
        (self.folder / str(name)).unlink(missing_ok=True)

    def entries(self) -> tuple[Shelved, ...]:
        """Return every backup, and every card without one, oldest first."""
        found = {}
        for path in self._files():
            name = BackupName.parse(path.name.removesuffix(CARD))
            if name is not None and name not in found:
                found[name] = self.entry(name)
        return tuple(sorted(found.values(), key=lambda each: (each.name.made_at, str(each.name))))

    def entry(self, name: BackupName) -> Shelved:
        """Return what is there of `name`."""
        path = self.folder / str(name)
        try:
            card = Card.parse((self.folder / f"{name}{CARD}").read_text(encoding="utf-8"))
        except (FileNotFoundError, UnicodeDecodeError):
            card = None
        size = path.stat().st_size if path.is_file() else -1
        return Shelved(name=name, path=path, bytes=size, card=card)

    def foreign(self) -> tuple[str, ...]:
        """Return what lies here and is no backup of ours."""
        return tuple(
            path.name
            for path in self._files()
            if not path.name.startswith(".") and BackupName.parse(path.name.removesuffix(CARD)) is None
        )

    def _files(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []


def sum_of(path: Path) -> str:
    """Return the SHA-256 sum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


__all__ = ["CARD", "COPYING", "Card", "Shelf", "Shelved", "sum_of"]
