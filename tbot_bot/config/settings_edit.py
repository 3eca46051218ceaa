"""One variable of a settings file changed in its text: comments, order and every other byte stay."""

import re
from collections.abc import Iterable
from typing import Final

from tbot_bot.config.envfile import quoted

_QUOTED: Final = {
    '"': re.compile(rb'"(?:[^"\\]|\\.)*"'),
    "'": re.compile(rb"'[^']*'"),
}


def with_value(text: bytes, name: str, value: str, older_names: Iterable[str] = ()) -> bytes:
    """Return `text` with `name` set to `value`, on the line that sets it, else on a new last line.

    A line that uses one of the `older_names` gets the present one. `text` is a file that `envfile.parse` has
    nothing against.

    Raises:
        ValueError: `value` holds what cannot be seen, which no line may hold.
    """
    written = quoted(value).encode()
    names = {name.encode(), *(older.encode() for older in older_names)}
    lines = text.split(b"\n")
    for number, line in enumerate(lines):
        before, equals, after = line.partition(b"=")
        if equals and before.strip(b" ") in names:
            indent = before[: len(before) - len(before.lstrip(b" "))]
            space, tail = _around(after)
            lines[number] = indent + name.encode() + b"=" + (space if written else b"") + written + tail
            return b"\n".join(lines)
    end = b"" if not text or text.endswith(b"\n") else b"\n"
    return text + end + name.encode() + b"=" + written + b"\n"


def _around(after: bytes) -> tuple[bytes, bytes]:
    """Return what stands before a value and what behind it: spaces, a comment."""
    value = after.lstrip(b" ")
    space = after[: len(after) - len(value)]
    if value.startswith(b"#"):  # no value at all
        return b"", after
    pattern = _QUOTED.get(value[:1].decode("ascii", "replace"))
    if pattern is not None and (match := pattern.match(value)) is not None:
        return space, value[match.end() :]
    bare = value.partition(b" #")[0]
    return space, value[len(bare.rstrip(b" ")) :] if len(bare) < len(value) else b""


__all__ = ["with_value"]
