r"""The hash chain of the journal, as pure functions over rows.

The canonical form of a row, which its hash covers, is the concatenation of

    b"tbot-journal-row-1\0"
    seq, at, recorded_at, input_number, version     five signed 64-bit integers, big-endian
    length of session, of kind, of payload          three unsigned 64-bit integers, big-endian: bytes of UTF-8
    session, kind, payload                          UTF-8
    previous_hash                                   the 32 bytes of the row before

and the hash is its SHA-256. The row before the first is the genesis, which holds the journal's mode, so
that a paper journal cannot be passed off as a live one. What a chain cannot tell is that its last rows are
missing: compare `head` with a copy kept elsewhere (the backups' manifest, the status file) for that.
"""

import hashlib
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tbot_bot.core.identity import Mode

HASH_BYTES: Final = 32
_MARK: Final = b"tbot-journal-row-1\0"
_NUMBERS: Final = struct.Struct(">qqqqqQQQ")


class Kind(StrEnum):
    """What a row of the journal is."""

    INPUT = "input"
    """An event the engine was given; market bars are on the tape instead."""
    COMMAND = "command"
    """What the engine answered to the input of the same number, journaled before it is carried out."""
    SESSION = "session"
    """What a session is made of: written once, before its first input."""
    CONTROL = "control"
    """A request by a person: stop, kill, flatten, confirm."""
    SETTINGS = "settings"
    START = "start"
    """A process began: its fingerprints of code and settings."""
    ERROR = "error"
    NOTE = "note"
    """For people; nothing reads it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it was written."""

    seq: int
    """Position from 1, without gaps."""
    at: int
    """Market time in nanoseconds UTC."""
    recorded_at: int
    """Wall clock in nanoseconds UTC, for people; no decision reads it."""
    session: str
    """`2025-09-02/open`, or empty where no session is meant."""
    input_number: int
    """Number of the session's input that this row is, or answers; 0 where none."""
    kind: Kind
    version: int
    """Version of the payload's form."""
    payload: str
    """Canonical JSON of a record (`core.codec.dumps`)."""
    previous_hash: bytes
    hash: bytes

    def claims(self) -> bytes:
        """Return the hash that this row's columns really have."""
        return hash_of(
            seq=self.seq,
            at=self.at,
            recorded_at=self.recorded_at,
            session=self.session,
            input_number=self.input_number,
            kind=self.kind,
            version=self.version,
            payload=self.payload,
            previous_hash=self.previous_hash,
        )


def genesis(mode: Mode) -> bytes:
    """Return what stands as previous hash in the first row of a journal of `mode`."""
    return hashlib.sha256(b"tbot-journal-genesis-1\0" + mode.value.encode()).digest()


def hash_of(
    *,
    seq: int,
    at: int,
    recorded_at: int,
    session: str,
    input_number: int,
    kind: str,
    version: int,
    payload: str,
    previous_hash: bytes,
) -> bytes:
    """Return the SHA-256 of a row's canonical form.

    Raises:
        struct.error: a number beyond 64 bits.
        UnicodeEncodeError: a text with half a character (a lone surrogate).
    """
    texts = (session.encode(), kind.encode(), payload.encode())
    lengths = map(len, texts)
    numbers = _NUMBERS.pack(seq, at, recorded_at, input_number, version, *lengths)
    return hashlib.sha256(b"".join((_MARK, numbers, *texts, previous_hash))).digest()


def fault_of(row: Row, *, seq: int, previous_hash: bytes) -> str:
    """Return what is wrong with `row`, which should be number `seq` after `previous_hash`; empty if nothing."""
    if row.seq != seq:
        return f"gap: row {seq} is missing" if row.seq > seq else f"row {row.seq} stands where {seq} should be"
    if row.claims() != row.hash:
        return "hash mismatch: a column was changed after it was written"
    if row.previous_hash != previous_hash:
        return "broken link: it does not follow the row before it"
    return ""


__all__ = ["HASH_BYTES", "Kind", "Row", "fault_of", "genesis", "hash_of"]
