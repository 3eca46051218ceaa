"""Frames of the TWS socket protocol: a length of four bytes, big-endian, then fields that each end with NUL.

A connection opens with `API`, NUL and one frame without NUL: the versions that the client speaks, as `v157..178`.
Pure: bytes in, frames out, and the other way round.
"""

import re
from collections.abc import Iterable
from typing import Final

GREETING: Final = b"API\0"
LENGTH_BYTES: Final = 4
FRAME_BYTES_MAX: Final = 0xFFFFFF
"""The longest message that the vendor's own client accepts (MAX_MSG_LEN)."""
_VERSIONS: Final = re.compile(r"v(\d{1,6})(?:\.\.(\d{1,6}))?(?: .*)?", re.ASCII | re.DOTALL)


class Malformed(Exception):
    """What arrived is not this protocol; the connection cannot be trusted any longer.

    `request_id` is the request (or order) that the text belongs to, -1 where none was readable.
    """

    def __init__(self, what: str, *, request_id: int = -1) -> None:
        super().__init__(what)
        self.what = what
        self.request_id = request_id


class FrameReader:
    """Cuts what a socket delivers, in whatever pieces, into frames."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._greeted = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that `data` completes, without their lengths.

        Raises:
            Malformed: no greeting at the start, an empty frame or one beyond `FRAME_BYTES_MAX`.
        """
        self._pending += data
        if not self._greeted and not self._read_greeting():
            return []
        frames: list[bytes] = []
        while len(self._pending) >= LENGTH_BYTES:
            length = int.from_bytes(self._pending[:LENGTH_BYTES], "big")
            if not 0 < length <= FRAME_BYTES_MAX:
                raise Malformed(f"a frame of {length} bytes; 1 to {FRAME_BYTES_MAX} are possible")
            end = LENGTH_BYTES + length
            if len(self._pending) < end:
                break
            frames.append(bytes(self._pending[LENGTH_BYTES:end]))
            del self._pending[:end]
        return frames

    def _read_greeting(self) -> bool:
        start = bytes(self._pending[: len(GREETING)])
        if not GREETING.startswith(start):
            raise Malformed("the connection does not begin with API and NUL")
        if len(start) < len(GREETING):
            return False
        del self._pending[: len(GREETING)]
        self._greeted = True
        return True


def frame(payload: bytes) -> bytes:
    """Return `payload` with its length before it."""
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def frame_of(fields: Iterable[str]) -> bytes:
    """Return one frame of `fields`, in UTF-8.

    Raises:
        ValueError: a field holds NUL, which would become two.
    """
    payload = bytearray()
    for text in fields:
        if "\0" in text:
            raise ValueError(f"the field {text!r} holds NUL")
        payload += text.encode() + b"\0"
    return frame(bytes(payload))


def fields_of(payload: bytes) -> tuple[str, ...]:
    """Return the fields of one frame.

    Raises:
        Malformed: not UTF-8, or the last field does not end.
    """
    if not payload.endswith(b"\0"):
        raise Malformed("the last field of a message does not end with NUL")
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"a message is not UTF-8 at byte {error.start}") from None
    return tuple(text[:-1].split("\0"))


def versions_of(payload: bytes) -> tuple[int, int]:
    """Return the lowest and the highest version that a client's first frame offers.

    Raises:
        Malformed: it is not of the form `v157..178`.
    """
    found = _VERSIONS.fullmatch(payload.decode("latin-1"))
    if found is None:
        raise Malformed("the first frame does not offer versions as v157..178")
    lowest = int(found[1])
    return lowest, int(found[2] or lowest)
