"""Who may open a backup: the key of the sealed settings, and a recipient whose private key is not on this machine.

Every backup has a content key of its own, which stands in its header once for each of them, wrapped by AES-256-GCM:
under a key derived (HKDF-SHA256) from ENCRYPTION_KEY, and, where BACKUP_RECIPIENT_KEY names a public X25519 key, under
one derived from an agreement of that with a key made for this backup alone. Either opens all.
"""

import base64
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.config.security_bot import KEY_FORM, SealingKey

CONTENT_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SALT_BYTES: Final = 32
_PURPOSE: Final = b"tbot backup content key 1"
_KEY_BYTES: Final = 32
_PRIVATE: Final = re.compile(r"tbot-backup-private:([A-Za-z0-9_-]{43}=)")
_PUBLIC: Final = re.compile(r"[A-Za-z0-9_-]{43}=")
KEY_FILE_FORM: Final = f"an ENCRYPTION_KEY ({KEY_FORM}), or the private key that `tbot backup key` made"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrap:
    """A content key as one key may unwrap it."""

    kind: str
    key_id: str
    salt: bytes
    """The derivation's salt; for a recipient the public key that was made for this backup."""
    nonce: bytes
    wrapped: bytes

    def as_json(self) -> dict[str, str]:
        """Return it for the header."""
        parts = {"salt": self.salt, "nonce": self.nonce, "wrapped": self.wrapped}
        return {"kind": self.kind, "key": self.key_id, **{name: part.hex() for name, part in parts.items()}}

    @classmethod
    def from_json(cls, told: dict[str, str]) -> "Wrap":
        """Read it; raises ValueError, KeyError or TypeError where it is none."""
        salt, nonce, wrapped = (bytes.fromhex(told[name]) for name in ("salt", "nonce", "wrapped"))
        return cls(kind=str(told["kind"]), key_id=str(told["key"]), salt=salt, nonce=nonce, wrapped=wrapped)


class BackupKey(Protocol):
    """A key that wraps or unwraps."""

    @property
    def kind(self) -> str:
        """Return which sort of wrap it makes."""

    @property
    def id(self) -> str:
        """Return what names the key and does not tell it."""

    def wrap(self, content_key: bytes) -> Wrap:
        """Return the content key for the header."""

    def unwrap(self, wrap: Wrap) -> bytes | None:
        """Return the content key, None where this key does not open it."""


@dataclass(frozen=True, slots=True)
class SettingsKey:
    """ENCRYPTION_KEY, which also opens `.env_bot.enc`."""

    key: SealingKey
    kind: ClassVar[str] = "settings"

    @property
    def id(self) -> str:
        """Return the id that the sealed settings name too."""
        return self.key.id

    def wrap(self, content_key: bytes) -> Wrap:
        """Return the content key for the header."""
        salt = os.urandom(_SALT_BYTES)
        return _wrapped(self.kind, self.id, salt, _derived(self.key.material, salt), content_key)

    def unwrap(self, wrap: Wrap) -> bytes | None:
        """Return the content key, None where this key does not open it."""
        return _unwrapped(wrap, _derived(self.key.material, wrap.salt))


@dataclass(frozen=True, slots=True)
class RecipientKey:
    """A public key to wrap for; with its private one, which no machine that trades needs, it unwraps."""

    public: bytes
    private: bytes | None = field(default=None, repr=False)
    kind: ClassVar[str] = "recipient"

    @property
    def id(self) -> str:
        """Return 16 hexadecimal digits."""
        import hashlib  # noqa: PLC0415 - beside the other cryptography

        return hashlib.sha256(b"tbot backup recipient 1\0" + self.public).hexdigest()[:16]

    @property
    def text(self) -> str:
        """Return the public key as BACKUP_RECIPIENT_KEY takes it."""
        return base64.urlsafe_b64encode(self.public).decode()

    @property
    def private_text(self) -> str:
        """Return the private key as a key file holds it. A secret."""
        return f"tbot-backup-private:{base64.urlsafe_b64encode(self.private or b'').decode()}"

    @classmethod
    def parse(cls, text: str) -> "RecipientKey":
        """Read BACKUP_RECIPIENT_KEY.

        Raises:
            ConfigError: another form.
        """
        if not _PUBLIC.fullmatch(text.strip()):
            expected = "nothing, or the public key that `tbot backup key` prints (44 characters of urlsafe base64)"
            mend = "make a pair with `tbot backup key` and keep the private one away from this machine"
            raise ConfigError(
                [ConfigProblem(file=".env", variable="BACKUP_RECIPIENT_KEY", expected=expected, mend=mend)]
            )
        return cls(base64.urlsafe_b64decode(text.strip()))

    @classmethod
    def generate(cls) -> "RecipientKey":
        """Return a new pair."""
        return cls.of_private(os.urandom(_KEY_BYTES))

    @classmethod
    def of_private(cls, private: bytes) -> "RecipientKey":
        """Return the pair of a private key."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

        return cls(X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw(), private)

    def wrap(self, content_key: bytes) -> Wrap:
        """Return the content key for the header."""
        made = self.generate()
        return _wrapped(self.kind, self.id, made.public, self._agreed(made.private or b"", self.public), content_key)

    def unwrap(self, wrap: Wrap) -> bytes | None:
        """Return the content key, None where this key does not open it."""
        if self.private is None or len(wrap.salt) != _KEY_BYTES:
            return None
        try:
            wrapping = self._agreed(self.private, wrap.salt, ephemeral=wrap.salt)
        except ValueError:  # a point that nobody's key has
            return None
        return _unwrapped(wrap, wrapping)

    def _agreed(self, private: bytes, other: bytes, *, ephemeral: bytes | None = None) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: PLC0415
            X25519PrivateKey,
            X25519PublicKey,
        )

        own = X25519PrivateKey.from_private_bytes(private)
        made = own.public_key().public_bytes_raw() if ephemeral is None else ephemeral
        return _derived(own.exchange(X25519PublicKey.from_public_bytes(other)), made + self.public)


def key_of_file(text: str) -> BackupKey:
    """Return the key that a key file holds.

    Raises:
        ValueError: neither form; the message shows nothing of the text.
    """
    private = _PRIVATE.fullmatch(text.strip())
    if private:
        return RecipientKey.of_private(base64.urlsafe_b64decode(private[1]))
    try:
        return SettingsKey(SealingKey.parse(text))
    except ValueError:
        raise ValueError(KEY_FILE_FORM) from None


def wrap_of(key: BackupKey, wraps: Iterable[Wrap]) -> Wrap | None:
    """Return the wrap that is for `key`, None where there is none."""
    return next((wrap for wrap in wraps if (wrap.kind, wrap.key_id) == (key.kind, key.id)), None)


def _wrapped(kind: str, key_id: str, salt: bytes, wrapping: bytes, content_key: bytes) -> Wrap:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - only where one is sealed

    nonce = os.urandom(_NONCE_BYTES)
    wrapped = AESGCM(wrapping).encrypt(nonce, content_key, _bound(kind, key_id))
    return Wrap(kind=kind, key_id=key_id, salt=salt, nonce=nonce, wrapped=wrapped)


def _unwrapped(wrap: Wrap, wrapping: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    try:
        opened = AESGCM(wrapping).decrypt(wrap.nonce, wrap.wrapped, _bound(wrap.kind, wrap.key_id))
    except (InvalidTag, ValueError):  # ValueError: a nonce of a length that none has
        return None
    return opened if len(opened) == CONTENT_KEY_BYTES else None


def _bound(kind: str, key_id: str) -> bytes:
    return b"\0".join((_PURPOSE, kind.encode(), key_id.encode()))


def _derived(secret: bytes, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=_PURPOSE).derive(secret)


__all__ = ["CONTENT_KEY_BYTES", "KEY_FILE_FORM", "BackupKey", "RecipientKey", "SettingsKey", "Wrap", "key_of_file",
           "wrap_of"]  # fmt: skip
