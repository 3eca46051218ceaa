"""Backups: made, read back, copied to the remotes, kept as long as asked. Called in processes of its own.

Nothing here touches what is being written, and nothing waits for it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot import __version__
from tbot_bot.config.error_handler import MachineError, TbotError
from tbot_bot.config.settings import Settings, bot_files, key_at_hand
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant, iso
from tbot_bot.journal.store import open_reader
from tbot_bot.reporting.backup_archive import ArchiveWriter, read_archive
from tbot_bot.reporting.backup_contents import Copied, chosen, copy_of, emptied
from tbot_bot.reporting.backup_errors import BackupDamaged, BackupError
from tbot_bot.reporting.backup_keys import BackupKey, RecipientKey, SettingsKey
from tbot_bot.reporting.backup_manifest import Manifest
from tbot_bot.reporting.backup_names import BackupName, What, expired
from tbot_bot.reporting.backup_remotes import Remote, address_of, remote_of
from tbot_bot.reporting.backup_shelf import COPYING, Card, Shelf, Shelved, sum_of
from tbot_bot.reporting.report_router import OutputPaths

PATIENCE_SECONDS: Final = 600.0
"""How long a backup waits for another one to end."""
LEDGER_PATIENCE_SECONDS: Final = 60.0
_VARIABLES: Final = ("BACKUP_REMOTE", "BACKUP_REMOTE_SECOND")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRoom:
    """What backups of one installation and mode are made with."""

    records: OutputPaths
    seal_for: tuple[BackupKey, ...]
    """Each of them opens what is made."""
    key: BackupKey | None
    """The one at hand, which reads back what was made."""
    retention_days: int
    log_format: str
    level: str
    sealed_settings: tuple[str, ...]
    """Their names below the installation's folder, where they exist."""
    remotes: tuple[Remote, ...]
    now: Callable[[], Instant]

    @property
    def shelf(self) -> Shelf:
        """Return the folder of the backups."""
        return Shelf(self.records.backups)

    @property
    def copies(self) -> Shelf:
        """Return the same folder for who copies or restores, which may take long."""
        return Shelf(self.records.backups, COPYING)

    @property
    def mode(self) -> Mode:
        """Return whose records these are."""
        return self.records.mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated:
    """What came of the copies."""

    sent: tuple[str, ...] = ()
    """`name -> remote`."""
    removed: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


def room_of(settings: Settings, records: OutputPaths, now: Callable[[], Instant]) -> BackupRoom:
    """Return what the settings say of backups.

    Raises:
        ConfigError: a remote or the recipient's key has a form that cannot be.
    """
    env, bot = settings.env, settings.bot
    key = key_at_hand(env)
    own = None if key is None else SettingsKey(key)
    recipient = env.backup_recipient_key.get_secret_value()
    seal_for: list[BackupKey] = [own] if own is not None else []
    if recipient:
        seal_for.append(RecipientKey.parse(recipient))
    texts = (env.backup_remote.get_secret_value(), env.backup_remote_second.get_secret_value())
    addresses = [address_of(text, name) for text, name in zip(texts, _VARIABLES, strict=True) if text]
    files = bot_files(settings.home, env)
    return BackupRoom(
        records=records,
        seal_for=tuple(seal_for),
        key=own,
        retention_days=bot.backup_retention_days,
        log_format=bot.log_format.value,
        level=bot.debug_log_level.value,
        sealed_settings=(files.sealed_shown, files.next_shown),
        remotes=tuple(remote_of(address, settings.home, records.backups) for address in addresses),
        now=now,
    )


def require_key(room: BackupRoom) -> BackupKey:
    """Return the key that reads back what is made.

    Raises:
        BackupError: there is none: a backup that nobody has read is none.
    """
    if room.key is None:
        what = "no backup can be made or read here without ENCRYPTION_KEY"
        raise BackupError(what, where=".env", mend="`tbot config encrypt --new-key` makes one; see docs/backups.md.")
    return room.key


def make_backup(room: BackupRoom, what: What = What.RECORDS, *, patience_seconds: float = PATIENCE_SECONDS) -> Shelved:
    """Make a backup, read it back, and only then give it its name.

    Raises:
        BackupError: it was not made. Nothing that looks like one is left.
    """
    key = require_key(room)
    shelf = room.shelf
    with shelf.locked(patience_seconds):
        try:
            name = BackupName(what=what, mode=room.mode, made_at=room.now())
            draft = _build(room, name, emptied(shelf.draft("files")), shelf.draft(f"{name}"))
            manifest = read_archive(draft, key)
            card = Card(bytes=draft.stat().st_size, sha256=sum_of(draft), verified_at=room.now())
            made = shelf.put(draft, name, card)
        except OSError as error:
            mend = "Look at the room on the disk and at the rights of the folder."
            raise BackupError(f"cannot be made ({error.strerror})", where=str(shelf.folder), mend=mend) from error
        finally:
            shelf.sweep()
    if manifest.notes:
        raise BackupError(f"made, but not of everything: {'; '.join(manifest.notes)}", where=str(name))
    return made


def _build(room: BackupRoom, name: BackupName, staging: Path, draft: Path) -> Path:
    about = {"what": name.what.value, "mode": name.mode.value, "made_at": iso(name.made_at)}
    home, rows, head = room.records.home, 0, ""
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        writer = ArchiveWriter(file, room.seal_for, about)
        for number, path in enumerate(chosen(home, room.mode, name.what, room.sealed_settings)):
            copied = copy_of(home, path, staging / str(number))
            if copied is None:
                continue
            if home / path == room.records.journal:
                rows, head = _end_of(copied)
            writer.add(copied)
            copied.staged.unlink()
        writer.finish(
            Manifest(
                what=name.what.value,
                mode=name.mode.value,
                made_at=iso(name.made_at),
                program=__version__,
                journal_rows=rows,
                journal_head=head,
                log_format=room.log_format,
                level=room.level,
                files=tuple(writer.files),
                notes=tuple(writer.notes),
            )
        )
        file.flush()
        os.fsync(file.fileno())
    return draft


def _end_of(copied: Copied) -> tuple[int, str]:
    """Return the number and hash of the last row in the copy of the journal."""
    try:
        with open_reader(copied.staged) as journal:
            head = journal.head()
    except TbotError as error:
        raise BackupError(f"the journal's copy does not hold: {error.what}", where=copied.kept.path) from error
    return head.seq, head.hash.hex()


def back_up_ledger(room: BackupRoom) -> Shelved | None:
    """Make a backup of the ledger before something is written to it; None where there is no ledger yet.

    Raises:
        BackupError: it was not made, and so nothing should be written.
    """
    if not chosen(room.records.home, room.mode, What.LEDGER, ()):
        return None
    return make_backup(room, What.LEDGER, patience_seconds=LEDGER_PATIENCE_SECONDS)


def look_through(room: BackupRoom) -> None:
    """Read what has no card: a process was killed between the two. What does not hold stays without.

    Raises:
        BackupError: the folder cannot be used.
    """
    shelf, key = room.shelf, require_key(room)
    with shelf.locked(PATIENCE_SECONDS):
        for each in shelf.entries():
            if each.name.mode is not room.mode or each.bytes < 0 or each.card is not None:
                continue
            try:
                read_archive(each.path, key)
            except BackupDamaged:
                continue  # `verify` names it; it never counts as good
            card = Card(bytes=each.bytes, sha256=sum_of(each.path), verified_at=room.now())
            shelf.note(each.name, card)


def replicate(room: BackupRoom) -> Replicated:
    """Send each remote what it lacks, then remove what is out of the retention, there and here.

    Raises:
        BackupError: the folder of the backups cannot be used. A remote that fails is told in the result.
    """
    sent: list[str] = []
    removed: list[str] = []
    failures: list[str] = []
    shelf = room.copies
    with shelf.locked(PATIENCE_SECONDS):
        for remote in room.remotes:
            try:
                sent += [f"{name} -> {remote.shown}" for name in _send(room, remote)]
                removed += [f"{name} at {remote.shown}" for name in _thin_out(room, remote)]
            except (BackupError, MachineError) as error:
                failures.append(str(error))
        mine = {each.name: each for each in shelf.entries() if each.name.mode is room.mode}
        for name in expired(mine, lambda name: mine[name].is_good, room.now(), retention_days=room.retention_days):
            shelf.remove(name)
            removed.append(str(name))
    return Replicated(sent=tuple(sent), removed=tuple(removed), failures=tuple(failures))


def _send(room: BackupRoom, remote: Remote) -> list[str]:
    there, sent, shelf = remote.sizes(), [], room.shelf
    for each in shelf.entries():
        if each.name.mode is not room.mode or each.card is None or not each.is_good:
            continue
        if there.get(str(each.name)) == each.bytes and remote.shown in each.card.copies:
            continue
        remote.put(each.path, str(each.name), each.card.sha256)
        shelf.note_copy(each, remote.shown)
        sent.append(str(each.name))
    return sent


def _thin_out(room: BackupRoom, remote: Remote) -> list[str]:
    """Remove at the remote what is out of the retention and has a newer copy there that was checked."""
    there = remote.sizes()
    names = {name for text in there if (name := BackupName.parse(text)) is not None and name.mode is room.mode}

    def is_good(name: BackupName) -> bool:
        known = room.shelf.entry(name)
        return known.card is not None and remote.shown in known.card.copies and there[str(name)] == known.card.bytes

    gone = expired(names, is_good, room.now(), retention_days=room.retention_days)
    for name in gone:
        remote.remove(str(name))
    return [str(name) for name in gone]


def newest_good(room: BackupRoom, what: What = What.RECORDS) -> Shelved | None:
    """Return the newest backup here that counts as good."""
    found = [
        each for each in room.shelf.entries() if each.is_good and each.name.what is what and each.name.mode is room.mode
    ]
    return found[-1] if found else None


__all__ = [
    "BackupRoom",
    "Replicated",
    "back_up_ledger",
    "look_through",
    "make_backup",
    "newest_good",
    "replicate",
    "require_key",
    "room_of",
]
