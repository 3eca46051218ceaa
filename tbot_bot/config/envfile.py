r"""`NAME=value` files, read strictly: whatever is odd is said, with its line, and reading goes on.

    # a comment
    NAME = value            # spaces around `=` and a comment after a space are fine
    NAME='any # text'       # single quotes: as it stands
    NAME="say \"x\" \\"     # double quotes: \" and \\ stand for " and \

Line ends are LF. CRLF, tabs, control characters, a byte order mark, bytes that are not UTF-8, characters that cannot
be seen and typographic quotes are refused: they come from editors and copies that change what a line means.
"""

import codecs
import errno
import os
import re
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import ConfigProblem

SIZE_MAX: Final = 1_000_000
"""Bytes. A settings file is a few kilobytes; a larger one is some other file."""
NAME_SHOWN_MAX: Final = 60
"""Characters of a name that messages show."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TYPOGRAPHIC_QUOTES: Final = tuple("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb")
_DOUBLE_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"(.*)')
_SINGLE_QUOTED: Final = re.compile(r"'([^']*)'(.*)")
_AFTER_QUOTE: Final = re.compile(r" *( #.*)?")
_ESCAPE: Final = re.compile(r'\\(["\\])')
_BOMS: Final = {
    codecs.BOM_UTF8: "UTF-8 text without a byte order mark",
    codecs.BOM_UTF16_LE: "UTF-8 text, not UTF-16",
    codecs.BOM_UTF16_BE: "UTF-8 text, not UTF-16",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One assignment: the value without quotes and comment, and where it was written."""

    name: str
    value: str
    line: int
    """From 1; 0 for what no line of a file gave."""
    file: str


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment with an equals sign in it: perhaps an assignment that has lost its line end."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file says, first assignment of each name, and all that is wrong with it."""

    entries: tuple[Entry, ...]
    problems: tuple[ConfigProblem, ...]
    comments: tuple[Comment, ...] = ()
    blank: bool = False
    """Whether there is a file and nothing at all in it: what a full disk leaves of one."""
    unusable: tuple[Entry, ...] = ()
    """Assignments that count for nothing, refused or second ones, as far as they can be told: to keep them secret."""


class _LineError(ValueError):
    """One line cannot be used: what was expected, and how to mend it."""

    def __init__(self, expected: str, mend: str, name: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.mend = mend
        self.name = name


def read_file(path: Path, shown: str) -> Parsed:
    """Read the file at `path`, which messages call `shown`; an unreadable file is a problem, not an exception."""
    data = read_bytes(path, shown)
    return Parsed((), (data,)) if isinstance(data, ConfigProblem) else parse(data, shown)


def read_bytes(path: Path, shown: str) -> bytes | ConfigProblem:
    """Return what the ordinary file at `path` holds, or why it cannot be read."""
    try:
        status = path.stat()
        problem = _unfit(status.st_mode, status.st_size)
        if problem is None:
            with open(path, "rb", opener=_without_waiting) as file:
                mode = os.fstat(file.fileno()).st_mode  # it may be another file by now
                data = file.read(SIZE_MAX + 1) if stat.S_ISREG(mode) else b""
            problem = _unfit(mode, len(data))  # it may have grown since
    except OSError as error:
        problem = _refused(error, shown)
    except ValueError:  # a NUL in the path itself
        problem = ("a file name without NUL", "rename the file")
    if problem is None:
        return data
    expected, mend = problem
    return ConfigProblem(file=shown, expected=expected, mend=mend)


def parse(data: bytes, shown: str) -> Parsed:
    """Read the bytes of a file that messages call `shown`."""
    problems: list[ConfigProblem] = []
    for mark, expected in _BOMS.items():
        if data.startswith(mark):
            problems.append(ConfigProblem(file=shown, line=1, expected=expected, mend="save it as plain UTF-8"))
            data = data[len(mark) :]
            break
    lines = data.split(b"\n")
    crlf = [number for number, line in enumerate(lines, 1) if line.endswith(b"\r")]
    if crlf:
        mend = f"{len(crlf)} lines end with CR LF; convert with: sed -i 's/\\r$//' {shown}"
        problems.append(ConfigProblem(file=shown, line=crlf[0], expected="lines that end with LF alone", mend=mend))
    first: dict[str, Entry] = {}
    comments: list[Comment] = []
    unusable: list[Entry] = []
    for number, raw in enumerate(lines, 1):
        try:
            pair = _assignment(_text(raw.removesuffix(b"\r")))
        except _LineError as error:
            problems.append(
                ConfigProblem(
                    file=shown,
                    line=number,
                    variable=error.name[:NAME_SHOWN_MAX],
                    expected=error.expected,
                    mend=error.mend,
                )
            )
            unusable.append(_unusable(raw, number, shown))
            continue
        _, _, comment = raw.partition(b"#")
        if b"=" in comment:
            comments.append(Comment(number, comment.decode("utf-8", "replace")))
        if pair is None:
            continue
        name, value = pair
        if name in first:
            problems.append(_twice(name, first[name].line, number, shown))
            unusable.append(Entry(name, value, number, shown))
        else:
            first[name] = Entry(name, value, number, shown)
    blank = not data.strip(b" \n")
    return Parsed(tuple(first.values()), tuple(problems), tuple(comments), blank, tuple(unusable))


def quoted(value: str) -> str:
    """Return `value` so that `parse` reads it back: bare where that is safe.

    Raises:
        ValueError: control characters, or others that cannot be seen, which no line may hold.
    """
    if not value.isprintable():
        raise ValueError("control and invisible characters cannot be written to a settings file")
    odd_start = value.startswith(("'", '"', "#", *_TYPOGRAPHIC_QUOTES))
    if value == value.strip(" ") and not odd_start and " #" not in value:
        return value
    if "'" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unusable(raw: bytes, line: int, shown: str) -> Entry:
    """Return what a refused line was probably meant to say, without quotes and what cannot be seen around it."""
    name, _, value = raw.decode("utf-8", "replace").partition("=")
    return Entry(name.strip().removeprefix("export").strip(), value.strip().strip("\"'").strip(), line, shown)


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _LineError(f"UTF-8 text, not the byte 0x{raw[error.start]:02x}", "save the file as UTF-8") from None
    if "\x00" in text:
        raise _LineError("text without NUL bytes", "this looks like a binary or damaged file")
    return text


def _assignment(text: str) -> tuple[str, str] | None:
    text = text.strip(" ")
    if not text or text.startswith("#"):
        return None
    if "\t" in text:
        raise _LineError("spaces, no tabs", "replace each tab by a space")
    if _CONTROL.search(text):
        raise _LineError("no control characters", "type the line anew")
    if not text.isprintable():
        odd = next(character for character in text if not character.isprintable())
        raise _LineError(f"only characters that can be seen, not {_named(odd)}", "type the line anew")
    name, equals, rest = text.partition("=")
    name = name.rstrip(" ")
    if not equals:
        raise _LineError("NAME=value", "add the `=`, or put # before a comment")
    if name.startswith("export "):
        raise _LineError("NAME=value", "leave out `export`")
    if not _NAME.fullmatch(name):
        foreign = next((character for character in name if not character.isascii()), "")
        mend = f"type the name anew: {_named(foreign)} is not one of them" if foreign else "write NAME=value"
        raise _LineError("a name of letters A to Z, digits and underscores before the `=`", mend)
    return name, _value(name, rest)


def _value(name: str, rest: str) -> str:
    if rest.startswith("#"):
        raise _LineError("a value, or a space before the comment", "quote a value that begins with #", name)
    value = rest.lstrip(" ")
    for quote, pattern, unescape in _QUOTES:
        if value.startswith(quote):
            match = pattern.fullmatch(value)
            if match is None:
                raise _LineError(f"a closing {quote}", "close the quote on the same line", name)
            if not _AFTER_QUOTE.fullmatch(match[2]):
                after = "put the comment after a space and #, or quote the whole value"
                raise _LineError("nothing but a comment after the closing quote", after, name)
            return unescape(match[1])
    if value.startswith(_TYPOGRAPHIC_QUOTES):
        mend = "type the quote anew, or put ' before and after the whole value"
        raise _LineError(f"a straight quote, not {_named(value[0])}", mend, name)
    if value.startswith("#"):
        return ""
    return value.partition(" #")[0].rstrip(" ")


def _named(character: str) -> str:
    """Return what cannot be told by its look: `U+00A0 (NO-BREAK SPACE)`."""
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")


def _without_waiting(path: str, flags: int) -> int:
    """Open `path` at once, whatever it is: a pipe that took a file's place would else wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)


_QUOTES: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], str]], ...]] = (
    ('"', _DOUBLE_QUOTED, _unescape),
    ("'", _SINGLE_QUOTED, str),
)


def _twice(name: str, before: int, line: int, shown: str) -> ConfigProblem:
    return ConfigProblem(
        file=shown,
        line=line,
        variable=name[:NAME_SHOWN_MAX],
        expected="each variable once",
        mend=f"line {before} sets it already; delete one of the two",
    )


def _unfit(mode: int, size: int) -> tuple[str, str] | None:
    if stat.S_ISDIR(mode):
        return "a file, not a directory", "move the directory away"
    if not stat.S_ISREG(mode):
        return "an ordinary file, not a device, pipe or socket", "move it away and copy the template"
    if size > SIZE_MAX:
        return f"at most {SIZE_MAX} bytes", "is this the right file?"
    return None


def _refused(error: OSError, shown: str) -> tuple[str, str]:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "this file to exist", "copy the template and edit it"
        case errno.ELOOP:
            return "a file, not symbolic links in a circle", f"delete the link and copy the file: rm {shown}"
        case errno.EACCES | errno.EPERM:
            return "a file this user may read", f"chmod u+r {shown}, or chown it"
        case _:
            return f"a readable file ({error.strerror})", "check the disk"
