"""The sealed form of `.env_bot`: AES-256-GCM, and the key that opens it.

    magic       8 bytes   "TBOTSEAL"
    version     1 byte    1
    key id      8 bytes   which key; the first bytes of SHA-256 over a fixed text and the key
    nonce      12 bytes   random, a new one for each sealing
    the rest              ciphertext and its 16-byte tag

The first 17 bytes are authenticated with the content, so that no bit of the file can change unnoticed.
"""

import base64
import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import ClassVar, Final

from tbot_bot.config.error_handler import Severity, TbotError

MAGIC: Final = b"TBOTSEAL"
VERSION: Final = 1
KEY_BYTES: Final = 32
KEY_FORM: Final = "32 bytes as 44 characters of urlsafe base64"
NONCE_BYTES: Final = 12
"""96 bits, what GCM is made for; random, so one key may seal 2**32 times (NIST SP 800-38D, 8.3)."""
_KEY_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{43}=")
_ID_BYTES: Final = 8
_TAG_BYTES: Final = 16
_HEADER_BYTES: Final = len(MAGIC) + 1 + _ID_BYTES
_ID_PURPOSE: Final = b"tbot settings key id 1\0"


class SealBroken(TbotError):
    """A sealed file cannot be opened: damaged, changed, or sealed with another key."""

    code: ClassVar[str] = "SEAL"
    severity: ClassVar[Severity] = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A 256-bit key; neither `repr` nor `str` shows it."""

    material: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a key of another length."""
        if len(self.material) != KEY_BYTES:
            raise ValueError(KEY_FORM)

    @property
    def id(self) -> str:
        """Return what names this key and does not tell it: 16 hexadecimal digits."""
        return _key_id(self.material).hex()

    @property
    def text(self) -> str:
        """Return the key itself as `ENCRYPTION_KEY` takes it. A secret."""
        return base64.urlsafe_b64encode(self.material).decode()

    @classmethod
    def parse(cls, text: str) -> "SealingKey":
        """Read what `text` gives, spaces and the end of line around it aside.

        Raises:
            ValueError: another form or length; the message is the expected form and shows nothing of `text`.
        """
        given = text.strip()
        if not _KEY_TEXT.fullmatch(given):
            raise ValueError(KEY_FORM)
        return cls(base64.urlsafe_b64decode(given))

    @classmethod
    def generate(cls) -> "SealingKey":
        """Return a new random key."""
        return cls(os.urandom(KEY_BYTES))


def seal(plain: bytes, key: SealingKey) -> bytes:
    """Return `plain` sealed; the same text sealed twice gives different bytes."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - only where something is sealed

    header = MAGIC + bytes([VERSION]) + _key_id(key.material)
    nonce = os.urandom(NONCE_BYTES)
    return header + nonce + AESGCM(key.material).encrypt(nonce, plain, header)


def unseal(sealed: bytes, key: SealingKey) -> bytes:
    """Return what was sealed.

    Raises:
        SealBroken: not one bit different from what `seal` returned, and the same key, is what opens it.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    _require_form(sealed)
    header, rest = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:]
    try:
        return AESGCM(key.material).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header)
    except InvalidTag:
        sealed_with = key_id_of(sealed)
        if sealed_with != key.id:
            what = f"tampered or wrong key: it names the key {sealed_with}, the one at hand is {key.id}"
        else:
            what = f"tampered or wrong key: it names the key at hand, {key.id}, and was changed after it was sealed"
        raise SealBroken(what) from None


def key_id_of(sealed: bytes) -> str:
    """Return which key a sealed file says it was sealed with; only `unseal` can tell whether that is true.

    Raises:
        SealBroken: this is no sealed file, or one of a later version.
    """
    _require_form(sealed)
    return sealed[len(MAGIC) + 1 : _HEADER_BYTES].hex()


def _require_form(sealed: bytes) -> None:
    if not sealed.startswith(MAGIC) or len(sealed) < _HEADER_BYTES + NONCE_BYTES + _TAG_BYTES:
        raise SealBroken("tampered or wrong key: this is not a sealed settings file, or only a part of one")
    version = sealed[len(MAGIC)]
    if version != VERSION:
        raise SealBroken(
            f"tampered or wrong key: format {version} is not known to this version, which writes {VERSION}"
        )


def _key_id(material: bytes) -> bytes:
    return hashlib.sha256(_ID_PURPOSE + material).digest()[:_ID_BYTES]


__all__ = ["KEY_FORM", "SealBroken", "SealingKey", "key_id_of", "seal", "unseal"]
