"""The sealed file of a backup: a stream in chunks of AES-256-GCM, written and read with the memory of one chunk.

    magic           8 bytes   "TBOTBKUP"
    version         1 byte    1
    header length   4 bytes
    header                    JSON: what it is, chunk size, the content key wrapped for each key that may open it
    header digest  32 bytes   SHA-256 of all before it: names a damaged header; the chunks authenticate it
    chunks                    each 4 bytes (length, highest bit: the last one), then ciphertext and its 16-byte tag

Each file has a random content key of its own, so a chunk's nonce is its number and never repeats under a key. A chunk
authenticates the header's digest, its own number and whether it is the last: chunks that are missing, swapped, taken
from another file or cut off at the end do not open. Numbers are big-endian.
"""

import hashlib
import io
import json
import os
import struct
from collections.abc import Iterable
from typing import BinaryIO, Final, cast

from tbot_bot.reporting.backup_errors import BackupDamaged, Damage
from tbot_bot.reporting.backup_keys import CONTENT_KEY_BYTES, BackupKey, Wrap, wrap_of

MAGIC: Final = b"TBOTBKUP"
VERSION: Final = 1
CHUNK_BYTES: Final = 1 << 20
_HEADER_MAX: Final = 1 << 16
_CHUNK_MAX: Final = 1 << 24
_TAG_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_LAST: Final = 1 << 31
_LENGTH: Final = struct.Struct(">I")
_NUMBER: Final = struct.Struct(">Q")
_LOOK_AROUND_MAX: Final = 4096
"""Chunks among which a misplaced one is recognized, so that its damage has the right name."""


class SealingWriter(io.RawIOBase):
    """Takes a stream and writes it sealed. Without `finish` the file has no end and is known as cut off."""

    def __init__(self, file: BinaryIO, keys: Iterable[BackupKey], about: dict[str, str]) -> None:
        """Write the header; `about` is not secret and is authenticated."""
        super().__init__()
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - only where one is sealed

        content_key = os.urandom(CONTENT_KEY_BYTES)
        wraps = [key.wrap(content_key).as_json() for key in keys]
        told = {"about": about, "chunk_bytes": CHUNK_BYTES, "keys": wraps}
        text = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
        head = MAGIC + bytes([VERSION]) + _LENGTH.pack(len(text)) + text
        self._file: Final = file
        self._digest: Final = hashlib.sha256(head).digest()
        self._cipher: Final = AESGCM(content_key)
        self._number = 0
        self._pending = bytearray()
        file.write(head + self._digest)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # of all buffers, ours are bytes
        """Take `data`; a full chunk is kept back until more follows, since the last one is sealed as such."""
        self._pending += data
        while len(self._pending) > CHUNK_BYTES:
            self._seal(bytes(self._pending[:CHUNK_BYTES]), last=False)
            del self._pending[:CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        """Write the last chunk, which may be empty."""
        self._seal(bytes(self._pending), last=True)
        self._pending.clear()

    def _seal(self, plain: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number), plain, _bound(self._digest, self._number, last=last))
        self._file.write(_LENGTH.pack(len(sealed) | (_LAST if last else 0)) + sealed)
        self._number += 1


class OpeningReader(io.RawIOBase):
    """Reads what `SealingWriter` wrote; every byte it gives has been authenticated."""

    def __init__(self, file: BinaryIO, key: BackupKey, name: str) -> None:
        """Read the header of the file that messages call `name`.

        Raises:
            BackupDamaged: no backup, cut off, changed, or sealed for other keys.
        """
        super().__init__()
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        header = read_header(file, name)
        self.about: Final = header.about
        self._file: Final = file
        self._name: Final = name
        self._digest: Final = header.digest
        wrap = wrap_of(key, header.wraps)
        if wrap is None:
            told = ", ".join(found.key_id for found in header.wraps)
            what = f"wrong key: it was sealed for the keys {told}; the one at hand is {key.id}"
            raise BackupDamaged(Damage.WRONG_KEY, what, where=name, mend="Give the key that it names (--key-file).")
        content_key = key.unwrap(wrap)
        if content_key is None:
            what = f"wrong key: it names the key at hand, {key.id}, which does not open it"
            raise BackupDamaged(Damage.WRONG_KEY, what, where=name, mend="Take another copy, or the right key.")
        self._cipher: Final = AESGCM(content_key)
        self._chunk_bytes: Final = header.chunk_bytes
        self._number = 0
        self._open = b""
        self._at = 0
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object, /) -> int:
        """Fill `buffer` from the present chunk; 0 at the end, which has been authenticated.

        Raises:
            BackupDamaged: the next chunk is not what was written there.
        """
        while self._at >= len(self._open) and not self._ended:
            self._next()
        view = memoryview(cast("bytearray", buffer)).cast("B")
        part = self._open[self._at : self._at + len(view)]
        view[: len(part)] = part
        self._at += len(part)
        return len(part)

    def finish(self) -> None:
        """Read on to the end, so that what follows the content is looked at as well; raises BackupDamaged."""
        while not self._ended:
            self._next()

    def _next(self) -> None:
        head = self._file.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise self._damage(Damage.TRUNCATED, f"cut off: chunk {self._number} and what follows is missing")
        (told,) = _LENGTH.unpack(head)
        last, length = bool(told & _LAST), told & ~_LAST
        if not _TAG_BYTES <= length <= self._chunk_bytes + _TAG_BYTES:
            raise self._damage(Damage.ALTERED, f"changed: the length of chunk {self._number} cannot be")
        sealed = self._file.read(length)
        if len(sealed) < length:
            raise self._damage(Damage.TRUNCATED, f"cut off within chunk {self._number}")
        opened = self._try(sealed, self._number, last=last)
        if opened is None:
            raise self._why_not(sealed, last=last)
        if last and self._file.read(1):
            raise self._damage(Damage.FOREIGN, f"foreign bytes follow the last chunk, {self._number}")
        self._open, self._at, self._ended = opened, 0, last
        self._number += 1

    def _try(self, sealed: bytes, number: int, *, last: bool) -> bytes | None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        try:
            return self._cipher.decrypt(_nonce(number), sealed, _bound(self._digest, number, last=last))
        except InvalidTag:
            return None

    def _why_not(self, sealed: bytes, *, last: bool) -> BackupDamaged:
        """Name what is wrong: a chunk of another place is known by opening there."""
        around = range(max(0, self._number - _LOOK_AROUND_MAX), self._number + _LOOK_AROUND_MAX)
        if self._try(sealed, self._number, last=not last) is not None:
            return self._damage(Damage.ALTERED, f"changed: the mark of the last chunk at chunk {self._number}")
        for other in around:
            if other != self._number and self._try(sealed, other, last=last) is not None:
                what = f"missing chunk: chunk {other} stands where chunk {self._number} should be"
                return self._damage(Damage.MISSING_CHUNK, what)
        return self._damage(Damage.ALTERED, f"flipped bits: chunk {self._number} is not what was written")

    def _damage(self, damage: Damage, what: str) -> BackupDamaged:
        return BackupDamaged(damage, what, where=self._name)


class Header:
    """What a backup's first bytes say; only opening it tells whether that is true."""

    def __init__(self, digest: bytes, about: dict[str, str], chunk_bytes: int, wraps: tuple[Wrap, ...]) -> None:
        """Keep what was read."""
        self.digest: Final = digest
        self.about: Final = about
        self.chunk_bytes: Final = chunk_bytes
        self.wraps: Final = wraps


def read_header(file: BinaryIO, name: str) -> Header:
    """Return the header of the file at its beginning.

    Raises:
        BackupDamaged: it is none of ours, cut off, changed or of a later version.
    """
    fixed = file.read(len(MAGIC) + 1 + _LENGTH.size)
    if not fixed.startswith(MAGIC):
        short = MAGIC.startswith(fixed[: len(MAGIC)])
        damage, what = (Damage.TRUNCATED, "cut off in its header") if short else (Damage.FOREIGN, "this is no backup")
        raise BackupDamaged(damage, what, where=name)
    if len(fixed) == len(MAGIC) + 1 + _LENGTH.size and fixed[len(MAGIC)] != VERSION:
        what = f"format {fixed[len(MAGIC)]} is not known to this version, which writes {VERSION}"
        raise BackupDamaged(Damage.ALTERED, what, where=name, mend="A newer version wrote it, or it was changed.")
    length = _LENGTH.unpack(fixed[len(MAGIC) + 1 :])[0] if len(fixed) == len(MAGIC) + 1 + _LENGTH.size else 0
    rest = file.read(min(length, _HEADER_MAX) + _DIGEST_BYTES)
    if length > _HEADER_MAX:
        raise BackupDamaged(Damage.ALTERED, "flipped bits in its header: a length that cannot be", where=name)
    if not length or len(rest) < length + _DIGEST_BYTES:
        raise BackupDamaged(Damage.TRUNCATED, "cut off in its header", where=name)
    text, digest = rest[:length], rest[length:]
    if hashlib.sha256(fixed + text).digest() != digest:
        raise BackupDamaged(Damage.ALTERED, "flipped bits in its header", where=name)
    try:
        told = json.loads(text)
        about = {str(key): str(value) for key, value in dict(told["about"]).items()}
        chunk_bytes = int(told["chunk_bytes"])
        wraps = tuple(Wrap.from_json(each) for each in told["keys"])
    except (ValueError, KeyError, TypeError) as error:
        raise BackupDamaged(Damage.ALTERED, f"changed: its header cannot be read ({error})", where=name) from None
    if not 0 < chunk_bytes <= _CHUNK_MAX:
        raise BackupDamaged(Damage.ALTERED, "changed: its header tells a chunk size that cannot be", where=name)
    return Header(digest, about, chunk_bytes, wraps)


def _nonce(number: int) -> bytes:
    return b"\0\0\0\0" + _NUMBER.pack(number)


def _bound(digest: bytes, number: int, *, last: bool) -> bytes:
    return digest + _NUMBER.pack(number) + bytes([last])


__all__ = ["CHUNK_BYTES", "Header", "OpeningReader", "SealingWriter", "read_header"]
