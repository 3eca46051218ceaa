"""How a typed record becomes the fields of a TWS message: the order of its attributes is the order on the wire.

An attribute may be a str, int, bool, Decimal, one of these or None ("no value"), another record (its fields follow in
place) or a tuple of records or texts (their number comes first). An attribute annotated with `OnlyWhere` is on the wire
only where its condition on the attributes before it holds. Pure.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import NoneType, UnionType
from typing import Annotated, ClassVar, Final, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from tbot_bot.core.money import plain
from tbot_bot.sandbox.tws_frames import Malformed

UNSET_SPELLINGS: Final = frozenset({"", "2147483647", "1.7976931348623157E308", "1.7976931348623157e+308"})
"""How clients say "no value": nothing, the largest 32-bit integer, the largest double."""
_DIGITS_MAX: Final = 40
"""Of a number as it is spelled: doubles need 24."""
_MAGNITUDE_MAX: Final = 11
"""Powers of ten between which prices and quantities lie: products of two stay exact in 28 digits."""

_KNOWN: Final[dict[type, tuple["Attribute", ...]]] = {}
"""What `attributes_of` has found; it only saves looking again."""

T = TypeVar("T")
Seen = Mapping[str, object]


class Cursor:
    """Walks over the fields of one message."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = fields
        self._next = 0

    @property
    def left(self) -> int:
        """Return how many fields were not taken yet."""
        return len(self._fields) - self._next

    def take(self) -> str:
        """Return the next field.

        Raises:
            Malformed: there is none.
        """
        if not self.left:
            raise Malformed(f"the message ends after {len(self._fields)} fields")
        self._next += 1
        return self._fields[self._next - 1]


@dataclass(frozen=True, slots=True)
class Kind:
    """How values of one type are read and written."""

    read: Callable[[Cursor], object]
    write: Callable[[object], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a record, with its condition if it has one."""

    name: str
    kind: Kind
    present: Callable[[Seen], bool] | None


@dataclass(frozen=True, slots=True)
class OnlyWhere:
    """Annotates an attribute that is on the wire only where `holds` for the attributes before it."""

    holds: Callable[[Seen], bool]


def read_integer(text: str) -> int:
    """Return the whole number that `text` spells; nothing is 0, as the vendor's clients have it.

    Raises:
        Malformed: it spells none.
    """
    if len(text) > _DIGITS_MAX or not text.isascii():
        raise Malformed(f"{text[:_DIGITS_MAX]!r} is not a whole number")
    try:
        return int(text or "0")
    except ValueError:
        raise Malformed(f"{text!r} is not a whole number") from None


def read_number(text: str) -> Decimal:
    """Return the exact number that `text` spells; nothing is 0.

    Raises:
        Malformed: it spells none, or none that is finite.
    """
    try:
        number = Decimal(text or "0")
    except InvalidOperation:
        raise Malformed(f"{text[:_DIGITS_MAX]!r} is not a number") from None
    if not number.is_finite() or abs(number.adjusted()) > _MAGNITUDE_MAX or len(text) > _DIGITS_MAX:
        raise Malformed(f"{text[:_DIGITS_MAX]!r} is not a number that a price or a quantity can be")
    return number


def read_truth(text: str) -> bool:
    """Return whether `text` says yes: 1 or true; 0, false and nothing say no.

    Raises:
        Malformed: it says something else.
    """
    if text.lower() in {"1", "true"}:
        return True
    if text.lower() in {"", "0", "false"}:
        return False
    raise Malformed(f"{text[:_DIGITS_MAX]!r} is neither 1 nor 0")


def read_record(record: type[T], cursor: Cursor) -> T:
    """Return the `record` that begins at the cursor."""
    seen: dict[str, object] = {}
    for attribute in attributes_of(record):
        if attribute.present is None or attribute.present(seen):
            seen[attribute.name] = attribute.kind.read(cursor)
    return record(**seen)


def write_record(value: object) -> Iterator[str]:
    """Yield the fields of a record, in order."""
    seen: dict[str, object] = {}
    for attribute in attributes_of(type(value)):
        if attribute.present is None or attribute.present(seen):
            seen[attribute.name] = held = getattr(value, attribute.name)
            yield from attribute.kind.write(held)


def attributes_of(record: type) -> tuple[Attribute, ...]:
    """Return the attributes of a record's class, in the order of the wire."""
    if record not in _KNOWN:
        if not dataclasses.is_dataclass(record):
            raise TypeError(f"{record!r} is not a record")
        hints = get_type_hints(record, include_extras=True)
        _KNOWN[record] = tuple(_attribute(field.name, hints[field.name]) for field in dataclasses.fields(record))
    return _KNOWN[record]


def _attribute(name: str, hint: object) -> Attribute:
    if get_origin(hint) is not Annotated:
        return Attribute(name, kind_of(hint), None)
    inner, condition = get_args(hint)
    return Attribute(name, kind_of(inner), condition.holds)


def kind_of(hint: object) -> Kind:
    """Return how a value annotated with `hint` is read and written.

    Raises:
        TypeError: the protocol has no spelling for it.
    """
    if isinstance(hint, type) and hint in _SIMPLE:
        return _SIMPLE[hint]
    arguments = get_args(hint)
    if get_origin(hint) in {Union, UnionType}:
        [inner] = [argument for argument in arguments if argument is not NoneType]
        return kind_of(inner) if dataclasses.is_dataclass(inner) else _optional(kind_of(inner))
    if get_origin(hint) is tuple and arguments[1:] == (...,):
        return _counted(kind_of(arguments[0]))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return Kind(functools.partial(read_record, hint), write_record)
    raise TypeError(f"no spelling for {hint!r}")


def _optional(inner: Kind) -> Kind:
    def read(cursor: Cursor) -> object:
        text = cursor.take()
        return None if text in UNSET_SPELLINGS else inner.read(Cursor([text]))

    def write(value: object) -> Iterator[str]:
        return iter([""]) if value is None else inner.write(value)

    return Kind(read, write)


def _counted(inner: Kind) -> Kind:
    def read(cursor: Cursor) -> object:
        number = read_integer(cursor.take())
        if not 0 <= number <= cursor.left:
            raise Malformed(f"a list of {number} entries where {cursor.left} fields are left")
        return tuple(inner.read(cursor) for _ in range(number))

    def write(value: object) -> Iterator[str]:
        if not isinstance(value, tuple):
            raise TypeError(f"{value!r} is not a tuple")
        yield str(len(value))
        for entry in value:
            yield from inner.write(entry)

    return Kind(read, write)


def _simple(read: Callable[[str], object]) -> Kind:
    return Kind(lambda cursor: read(cursor.take()), lambda value: iter([_spell(value)]))


def _spell(value: object) -> str:
    match value:
        case bool():
            return "1" if value else "0"
        case Decimal():
            return plain(value)
        case str() | int():
            return str(value)
        case _:
            raise TypeError(f"no spelling for {value!r}")


_SIMPLE: Final[Mapping[type, Kind]] = {
    str: _simple(str),
    int: _simple(read_integer),
    bool: _simple(read_truth),
    Decimal: _simple(read_number),
}


class Message:
    """One kind of message: its number, and the version that precedes its fields, if any."""

    number: ClassVar[int]
    version: ClassVar[int | None] = None

    __slots__ = ()

    def fields(self) -> Iterator[str]:
        """Yield every field of the message, its number first."""
        yield str(self.number)
        if self.version is not None:
            yield str(self.version)
        yield from write_record(self)

    @classmethod
    def parse(cls, fields: Sequence[str]) -> Self:
        """Return the message whose fields, number included, are given; what follows the known ones is left unread.

        Raises:
            Malformed: a field is missing or is not what its place asks for.
        """
        cursor = Cursor(fields)
        cursor.take()
        if cls.version is not None:
            read_integer(cursor.take())
        return read_record(cls, cursor)
