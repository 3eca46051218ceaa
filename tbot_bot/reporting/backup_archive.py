"""A backup as one file: tar, packed by zstandard, sealed. Written and read as streams, whatever its size."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final, cast

from tbot_bot.reporting.backup_container import OpeningReader, SealingWriter
from tbot_bot.reporting.backup_contents import Copied
from tbot_bot.reporting.backup_errors import BackupDamaged, Damage
from tbot_bot.reporting.backup_keys import BackupKey
from tbot_bot.reporting.backup_manifest import MANIFEST_BYTES_MAX, NAME, Kept, Manifest

_LEVEL: Final = 6
_WINDOW_MAX: Final = 1 << 27
_PIECE: Final = 1 << 20


class ArchiveWriter:
    """Puts files in, one after another; `finish` adds the manifest and the end."""

    def __init__(self, file: BinaryIO, keys: Iterable[BackupKey], about: dict[str, str]) -> None:
        """Begin to write to `file`."""
        import zstandard  # noqa: PLC0415 - only in the processes that make backups

        self._sealing: Final = SealingWriter(file, keys, about)
        packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._packing: Final = packer.stream_writer(cast("BinaryIO", self._sealing), closefd=False)
        target = cast("IO[bytes]", self._packing)
        self._tar: Final = tarfile.open(mode="w|", fileobj=target)  # noqa: SIM115 - `finish` closes it
        self.files: Final[list[Kept]] = []
        self.notes: Final[list[str]] = []

    def add(self, copied: Copied) -> None:
        """Put a copied file in."""
        with copied.staged.open("rb") as file:
            self._put(copied.kept.path, copied.kept.bytes, file)
        self.files.append(copied.kept)
        if copied.note:
            self.notes.append(copied.note)

    def finish(self, manifest: Manifest) -> None:
        """Put the manifest in and end the file."""
        data = manifest.to_bytes()
        self._put(NAME, len(data), io.BytesIO(data))
        self._tar.close()
        self._packing.close()  # type: ignore[no-untyped-call]  # zstandard's own omission
        self._sealing.finish()

    def _put(self, name: str, size: int, file: BinaryIO) -> None:
        told = tarfile.TarInfo(name)
        told.size, told.mode = size, 0o600
        self._tar.addfile(told, file)


def read_archive(path: Path, key: BackupKey, into: Path | None = None) -> Manifest:
    """Read a backup to its end and compare each file with the manifest; write the files below `into`, if given.

    Raises:
        BackupDamaged: by name what is wrong with it. What was written below `into` until then is still there.
        OSError: it cannot be read, or a file cannot be written.
    """
    try:
        with path.open("rb") as file:
            return _read(OpeningReader(file, key, path.name), path.name, into)
    except FileNotFoundError as error:
        if error.filename != str(path):
            raise
        raise BackupDamaged(Damage.MISSING_FILE, "it is not there", where=path.name) from None


def _read(opening: OpeningReader, name: str, into: Path | None) -> Manifest:
    manifest: bytes | None = None
    found: dict[str, Kept] = {}
    with _named(name):
        for member, content in _members(opening):
            if not _is_sound(member) or member.name in found or manifest is not None:
                raise BackupDamaged(Damage.FOREIGN, f"a foreign file is in it: {member.name!r}", where=name)
            if member.name == NAME:
                manifest = content.read(MANIFEST_BYTES_MAX)
            else:
                found[member.name] = _take(member, content, into)
        opening.finish()
        if manifest is None:
            raise BackupDamaged(Damage.MISSING_FILE, "its manifest is missing", where=name)
        told = Manifest.from_bytes(manifest)
    _compare(told, found, name)
    return told


def _members(opening: OpeningReader) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    import zstandard  # noqa: PLC0415

    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX)
    with unpacker.stream_reader(cast("BinaryIO", opening), closefd=False) as plain:
        with tarfile.open(mode="r|", fileobj=cast("IO[bytes]", plain)) as tar:
            for member in tar:
                yield member, tar.extractfile(member) or io.BytesIO()
        while plain.read(_PIECE):
            pass  # the padding behind tar's own end; zstandard's sum is at the very end


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Give what the libraries say of a damaged file our name for it."""
    import zstandard  # noqa: PLC0415

    try:
        yield
    except BackupDamaged:
        raise
    except (zstandard.ZstdError, tarfile.TarError, ValueError, EOFError) as error:
        raise BackupDamaged(Damage.ALTERED, f"its content cannot be read ({error})", where=name) from error


def _is_sound(member: tarfile.TarInfo) -> bool:
    path = PurePosixPath(member.name)
    return member.isreg() and not path.is_absolute() and ".." not in path.parts and "\\" not in member.name


def _take(member: tarfile.TarInfo, content: IO[bytes], into: Path | None) -> Kept:
    digest, size = hashlib.sha256(), 0
    target = None if into is None else into / member.name
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = None if target is None else target.open("xb")
    try:
        while piece := content.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            if file is not None:
                file.write(piece)
    finally:
        if file is not None:
            file.close()
    if target is not None:
        target.chmod(0o600)
    return Kept(path=member.name, bytes=size, sha256=digest.hexdigest())


def _compare(told: Manifest, found: dict[str, Kept], name: str) -> None:
    listed = {kept.path: kept for kept in told.files}
    for path in sorted(listed.keys() - found.keys()):
        raise BackupDamaged(Damage.MISSING_FILE, f"a file is missing in it: {path}", where=name)
    for path in sorted(found.keys() - listed.keys()):
        raise BackupDamaged(Damage.FOREIGN, f"a foreign file is in it: {path!r}", where=name)
    for path, kept in listed.items():
        if found[path] != kept:
            raise BackupDamaged(Damage.CHANGED_FILE, f"a file in it is not the one listed: {path}", where=name)


__all__ = ["ArchiveWriter", "read_archive"]
