"""A backup's list of contents: what every file's SHA-256 sum was when it was put in."""

import json
from dataclasses import asdict, dataclass
from typing import Final

NAME: Final = "manifest.json"
VERSION: Final = 1
_BYTES_MAX: Final = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One file in a backup."""

    path: str
    """Below the installation's folder, with `/`."""
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds."""

    what: str
    mode: str
    made_at: str
    program: str
    """Version of the program that made it."""
    journal_rows: int
    """0 where there is no journal in it."""
    journal_head: str
    """Hash of the last row, in hexadecimal."""
    log_format: str
    level: str
    """In which form the session logs were asked for."""
    files: tuple[Kept, ...]
    notes: tuple[str, ...]
    """What could not be put in as it should have been."""

    def to_bytes(self) -> bytes:
        """Return it as it stands in the backup."""
        told = {"version": VERSION, **asdict(self)}
        return f"{json.dumps(told, indent=1, sort_keys=True)}\n".encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """Read it.

        Raises:
            ValueError: this is none, or one of a later version.
        """
        try:
            told = json.loads(data)
            if told.pop("version") != VERSION:
                msg = "a manifest of another version"
                raise ValueError(msg)
            files = tuple(Kept(**each) for each in told.pop("files"))
            return cls(**{**told, "files": files, "notes": tuple(told.pop("notes"))})
        except (AttributeError, KeyError, TypeError) as error:
            msg = f"no manifest ({error})"
            raise ValueError(msg) from None


MANIFEST_BYTES_MAX: Final = _BYTES_MAX

__all__ = ["MANIFEST_BYTES_MAX", "NAME", "Kept", "Manifest"]
